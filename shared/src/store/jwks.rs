//! The public signing keys, as one item that `auth` writes and everyone reads.

use aws_sdk_dynamodb::types::AttributeValue;
use jsonwebtoken::jwk::JwkSet;

use super::{Item, Store, Table, failed, keys, to_item};
use crate::error::{Context, Result};

#[derive(serde::Serialize)]
struct Stored<'a> {
    keys: &'a str,
}

impl Store {
    /// The published keys, or an empty set before `auth` has run for the first time.
    pub async fn published_keys(&self) -> Result<JwkSet> {
        let item: Option<Item> = self.get(Table::App, &keys::jwks()).await?;
        match item.as_ref().and_then(|item| item.get("keys")) {
            Some(AttributeValue::S(json)) => serde_json::from_str(json).context("read the keys"),
            _ => Ok(JwkSet { keys: Vec::new() }),
        }
    }

    pub async fn publish_keys(&self, set: &JwkSet) -> Result<()> {
        let json = serde_json::to_string(set).context("write the keys")?;
        let request = self.client.put_item().table_name(self.name(Table::App)?);
        let request = request.set_item(Some(to_item(&keys::jwks(), &Stored { keys: &json })?));
        request.send().await.map_err(failed("publish the keys"))?;
        Ok(())
    }
}
