//! DynamoDB: the only room that knows it. One method per access pattern; for a request, that is one round trip.
//!
//! Two tables: `app` for what every function may read, `vault` for what is secret (only `auth` reads it).
//! Rules: what must be whole is one transaction; uniqueness is an item with `attribute_not_exists`;
//! an update names the version it has read; expiry is compared here, because TTL deletes late.

pub mod accounts;
pub mod audit;
pub mod categories;
mod change;
pub mod clients;
mod erase;
pub mod files;
pub mod import;
pub mod items;
pub mod jwks;
pub mod keys;
mod listing;
mod load;
pub mod meter;
pub mod metrics;
pub mod oidc;
pub mod one_time_tokens;
pub mod orders;
pub mod preferences;
pub mod rates;
pub mod schema;
pub mod search;
pub mod sessions;
pub mod settings;
mod tags;
pub mod tasks;
mod transaction;
pub mod users;

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeValue, DeleteRequest, KeysAndAttributes, PutRequest, WriteRequest,
};
use aws_types::SdkConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Config;
use crate::clock::Clock;
use crate::error::{Context, Error, Result};
use crate::metrics::Metrics;
use crate::tasks::Queue;

pub use change::Change;
use keys::Key;
pub use schema::SCHEMA_VERSION;
pub use transaction::Transaction;

/// A stored item: attribute names and values.
pub type Item = HashMap<String, AttributeValue>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    App,
    Vault,
}

#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    queue: Queue,
    clock: Clock,
    metrics: Metrics,
    /// How long an audit entry is kept.
    audit_days: u32,
    app: String,
    vault: Option<String>,
}

impl Store {
    /// Makes the clients, with the meter in the one of DynamoDB.
    pub fn new(sdk: &SdkConfig, config: &Config, clock: Clock, metrics: Metrics) -> Self {
        let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(sdk).interceptor(meter::Meter);
        dynamodb.set_endpoint_url(config.aws.dynamodb_endpoint.clone());
        Self {
            client: Client::from_conf(dynamodb.build()),
            queue: Queue::new(sdk, config),
            clock,
            metrics,
            audit_days: config.audit_retention_days,
            app: config.app_table.clone(),
            vault: config.vault_table.clone(),
        }
    }

    /// The task queue, for the worker, which receives from it.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// One read of an item that is always there, to see whether the table answers.
    pub async fn ping(&self) -> Result<()> {
        self.get(Table::App, &keys::jwks()).await.map(|_| ())
    }

    fn name(&self, table: Table) -> Result<&str> {
        match table {
            Table::App => Ok(&self.app),
            Table::Vault => self.vault.as_deref().context("VAULT_TABLE is not set"),
        }
    }

    /// One strongly consistent read.
    async fn get(&self, table: Table, key: &Key) -> Result<Option<Item>> {
        let request = self.client.get_item().table_name(self.name(table)?);
        let request = request
            .set_key(Some(key.attributes()))
            .consistent_read(true);
        let output = request.send().await.map_err(failed("read an item"))?;
        Ok(output.item)
    }

    /// Reads several items of both tables in one round trip, strongly consistent, in the order of `wanted`.
    async fn batch_get<const N: usize>(
        &self,
        wanted: [(Table, &Key); N],
    ) -> Result<[Option<Item>; N]> {
        let mut found = [const { None }; N];
        self.batch_get_into(&wanted, &mut found).await?;
        Ok(found)
    }

    /// Reads items of the table `app`, strongly consistent, in the order of `keys`. One round trip for each hundred.
    async fn batch_get_app(&self, keys: &[Key]) -> Result<Vec<Option<Item>>> {
        let wanted: Vec<_> = keys.iter().map(|key| (Table::App, key)).collect();
        let mut found = vec![None; keys.len()];
        for (wanted, found) in wanted.chunks(100).zip(found.chunks_mut(100)) {
            self.batch_get_into(wanted, found).await?;
        }
        Ok(found)
    }

    /// Keys that DynamoDB leaves for later are asked for again.
    async fn batch_get_into(
        &self,
        wanted: &[(Table, &Key)],
        found: &mut [Option<Item>],
    ) -> Result<()> {
        let mut open: HashMap<String, KeysAndAttributes> = HashMap::new();
        for table in [Table::App, Table::Vault] {
            let of_table = wanted.iter().filter(|(t, _)| *t == table);
            let keys: Vec<_> = of_table.map(|(_, key)| key.attributes()).collect();
            if !keys.is_empty() {
                let request = KeysAndAttributes::builder().set_keys(Some(keys));
                let request = request.consistent_read(true).build().context("name keys")?;
                open.insert(self.name(table)?.to_owned(), request);
            }
        }
        for attempt in 0.. {
            let request = self.client.batch_get_item().set_request_items(Some(open));
            let output = request.send().await.map_err(failed("read a batch"))?;
            let mut items = output.responses.unwrap_or_default();
            for (slot, (table, key)) in found.iter_mut().zip(wanted) {
                if slot.is_none()
                    && let Some(items) = items.get_mut(self.name(*table)?)
                    && let Some(at) = items.iter().position(|item| key.is_of(item))
                {
                    *slot = Some(items.swap_remove(at));
                }
            }
            open = output.unprocessed_keys.unwrap_or_default();
            if open.is_empty() {
                break;
            }
            back_off(attempt, "read a batch").await?;
        }
        Ok(())
    }

    /// Writes and deletes items without conditions, in batches. Each key may occur once. If it fails, some were written.
    async fn batch_write(&self, table: Table, writes: Vec<Write>) -> Result<()> {
        let name = self.name(table)?;
        for batch in writes.chunks(25) {
            let requests = batch.iter().map(Write::request).collect::<Result<_>>()?;
            let mut open = HashMap::from([(name.to_owned(), requests)]);
            for attempt in 0.. {
                let request = self.client.batch_write_item();
                let request = request.set_request_items(Some(open));
                let output = request.send().await.map_err(failed("write a batch"))?;
                open = output.unprocessed_items.unwrap_or_default();
                if open.is_empty() {
                    break;
                }
                back_off(attempt, "write a batch").await?;
            }
        }
        Ok(())
    }

    pub(crate) fn transaction(&self) -> Transaction<'_> {
        Transaction::new(self)
    }
}

/// One of the writes of a batch.
enum Write {
    Put(Item),
    Delete(Key),
}

impl Write {
    fn request(&self) -> Result<WriteRequest> {
        let request = WriteRequest::builder();
        let request = match self {
            Self::Put(item) => {
                let put = PutRequest::builder().set_item(Some(item.clone()));
                request.put_request(put.build().context("build a put")?)
            }
            Self::Delete(key) => {
                let delete = DeleteRequest::builder().set_key(Some(key.attributes()));
                request.delete_request(delete.build().context("build a delete")?)
            }
        };
        Ok(request.build())
    }
}

impl Key {
    pub fn attributes(&self) -> Item {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::S(self.pk.clone())),
            ("sk".to_owned(), AttributeValue::S(self.sk.clone())),
        ])
    }

    /// The key of an item, or of an index's entry.
    pub fn of(item: &Item) -> Option<Self> {
        let text = |name: &str| item.get(name)?.as_s().ok().cloned();
        Some(Self {
            pk: text("pk")?,
            sk: text("sk")?,
        })
    }

    fn is_of(&self, item: &Item) -> bool {
        let has = |name: &str, text: &str| matches!(item.get(name), Some(AttributeValue::S(s)) if s == text);
        has("sk", &self.sk) && has("pk", &self.pk)
    }
}

/// A model as it is stored: with its key and the schema version.
fn to_item(key: &Key, model: &impl Serialize) -> Result<Item> {
    let mut item: Item = serde_dynamo::to_item(model).context("write an item")?;
    item.extend(key.attributes());
    item.insert(
        "v".to_owned(),
        AttributeValue::N(SCHEMA_VERSION.to_string()),
    );
    Ok(item)
}

/// A stored item as a model, whatever version it is of. Every item that becomes one comes this way.
fn from_item<T: DeserializeOwned>(mut item: Item) -> Result<T> {
    schema::upcast(&mut item);
    serde_dynamo::from_item(item).context("read a stored item")
}

/// What an index tells of an item. That is only some of its attributes, and of no version.
fn from_entry<T: DeserializeOwned>(entry: Item) -> Result<T> {
    serde_dynamo::from_item(entry).context("read an index")
}

/// Waits before attempt `attempt + 1`, longer each time and never twice the same; gives up after five.
async fn back_off(attempt: u32, doing: &'static str) -> Result<()> {
    if attempt >= 5 {
        let busy = anyhow::Error::msg("DynamoDB kept refusing").context(doing);
        return Err(Error::Unavailable(busy));
    }
    let most = 20_u64 << attempt;
    tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(
        most / 2..=most,
    )))
    .await;
    Ok(())
}

/// Turns what the SDK says into an [`Error`]: unreachable and throttled may pass, the rest is our fault.
fn failed<E, R>(doing: &'static str) -> impl FnOnce(SdkError<E, R>) -> Error
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug + 'static,
{
    move |error| {
        let may_pass = match &error {
            SdkError::ServiceError(service) => may_pass(service.err().code()),
            _ => true,
        };
        let cause = anyhow::Error::msg(describe(&error)).context(doing);
        match may_pass {
            true => Error::Unavailable(cause),
            false => Error::Internal(cause),
        }
    }
}

/// What happened, without what was sent or answered: an answer may hold an e-mail address or a password's hash.
fn describe<E, R>(error: &SdkError<E, R>) -> String
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug + 'static,
{
    if let SdkError::ServiceError(service) = error {
        let (code, message) = (service.err().code(), service.err().message());
        return format!("{}: {}", code.unwrap_or("?"), message.unwrap_or("?"));
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn may_pass(code: Option<&str>) -> bool {
    matches!(
        code,
        Some(
            "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "RequestLimitExceeded"
                | "InternalServerError"
                | "ServiceUnavailable"
                | "TransactionInProgressException"
        )
    )
}
