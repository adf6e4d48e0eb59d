//! The public signing keys, as one item that `auth` writes and everyone reads.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::SignedDuration;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use serde::{Deserialize, Serialize};

use super::{Item, Store, Table, failed, keys, to_item};
use crate::error::{Context, Result};

/// How long a key that was replaced stays: instances that know the old secret sign with it for as long as they live.
const OVERLAP: SignedDuration = SignedDuration::from_hours(24);

#[derive(Serialize)]
struct Stored<'a> {
    keys: &'a str,
}

#[derive(Clone, Serialize, Deserialize)]
struct Published {
    key: Jwk,
    /// In seconds since the epoch; none for the key that is in use.
    retired_at: Option<i64>,
}

impl Store {
    /// The published keys that are not retired, the one in use first. An empty set before `auth` has run for the first
    /// time.
    pub async fn published_keys(&self) -> Result<JwkSet> {
        let keys = self.published().await?.into_iter();
        Ok(JwkSet {
            keys: keys.map(|published| published.key).collect(),
        })
    }

    /// Makes `key` the one in use, unless it is already, and answers the published keys. The one before stays for a day.
    pub async fn publish_key(&self, key: &Jwk) -> Result<JwkSet> {
        let mut published = self.published().await?;
        let in_use = published.iter().find(|known| known.retired_at.is_none());
        if in_use.map(|known| &known.key) != Some(key) {
            published.retain(|known| known.key != *key);
            let retired_at = (self.clock.now() + OVERLAP).as_second();
            for known in &mut published {
                known.retired_at.get_or_insert(retired_at);
            }
            let newest = Published {
                key: key.clone(),
                retired_at: None,
            };
            published.insert(0, newest);
            let json = serde_json::to_string(&published).context("write the keys")?;
            let request = self.client.put_item().table_name(self.name(Table::App)?);
            let request = request.set_item(Some(to_item(&keys::jwks(), &Stored { keys: &json })?));
            request.send().await.map_err(failed("publish the keys"))?;
        }
        let keys = published.into_iter().map(|published| published.key);
        Ok(JwkSet {
            keys: keys.collect(),
        })
    }

    async fn published(&self) -> Result<Vec<Published>> {
        let item: Option<Item> = self.get(Table::App, &keys::jwks()).await?;
        let Some(AttributeValue::S(json)) = item.as_ref().and_then(|item| item.get("keys")) else {
            return Ok(Vec::new());
        };
        let mut published: Vec<Published> = serde_json::from_str(json).context("read the keys")?;
        let now = self.clock.seconds();
        published.retain(|known| known.retired_at.is_none_or(|at| at > now));
        Ok(published)
    }
}
