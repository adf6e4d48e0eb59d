//! The requests that a migration makes.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Put, ReturnConsumedCapacity,
    ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::App;
use shared::store::keys::{self, Key};
use shared::store::schema::{Migration, SCHEMA_VERSION};
use shared::store::{Change, Item, Table};

use super::{Direction, Run, Version};

/// How often a request is made again that others are in the way of.
const MOST_TRIES: u32 = 10;

pub(super) struct Tables<'a> {
    pub(super) client: Client,
    pub(super) app: &'a App,
}

/// One of the writes of a transaction in the table `app`.
pub(super) enum Write {
    Create(Key, Item),
    Update(Key, Change),
    Check(Key, Change),
}

/// How an update ended.
pub(super) enum Updated {
    /// With the units that it has cost.
    Done(f64),
    /// Its condition did not hold for the item as it is, if there is one.
    Refused(Option<Item>),
}

impl<'a> Tables<'a> {
    pub(super) fn of(app: &'a App) -> Self {
        let mut config = aws_sdk_dynamodb::config::Builder::from(&app.sdk);
        config.set_endpoint_url(app.config.aws.dynamodb_endpoint.clone());
        let client = Client::from_conf(config.build());
        Self { client, app }
    }

    pub(super) fn name(&self, table: Table) -> Result<&str> {
        match table {
            Table::App => Ok(&self.app.config.app_table),
            Table::Vault => {
                let vault = self.app.config.vault_table.as_deref();
                vault.context("VAULT_TABLE is not set")
            }
        }
    }

    /// An item of the table `app`, strongly consistent.
    pub(super) async fn read<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>> {
        let request = self.client.get_item().table_name(self.name(Table::App)?);
        let request = request
            .set_key(Some(key.attributes()))
            .consistent_read(true);
        let item = request.send().await.map_err(failed("read"))?.item;
        item.map(serde_dynamo::from_item)
            .transpose()
            .with_context(|| format!("{} / {} cannot be read", key.pk, key.sk))
    }

    /// Tables that were never migrated count as of the first version: new ones too, in which there is nothing to change.
    pub(super) async fn version(&self) -> Result<Version> {
        let version = self.read(&keys::schema_version()).await?;
        Ok(version.unwrap_or(Version {
            version: 1,
            open: None,
        }))
    }

    /// The unfinished run of this migration in this direction, if that is what is under way.
    pub(super) async fn open_run(
        &self,
        version: &Version,
        migration: &Migration,
        direction: Direction,
    ) -> Result<Option<Run>> {
        let Some(open) = version.open else {
            return Ok(None);
        };
        let key = keys::migration_run(open.migration, open.run);
        let run: Option<Run> = self.read(&key).await?;
        Ok(run.filter(|run| {
            let is_its = run.migration == migration.number && run.direction == direction;
            is_its && run.finished_at.is_none()
        }))
    }

    /// Every run, in the order of their migrations.
    pub(super) async fn runs(&self) -> Result<Vec<Run>> {
        let (mut runs, mut start) = (Vec::new(), None);
        loop {
            let request = self.client.query().table_name(self.name(Table::App)?);
            let request = request
                .key_condition_expression("pk = :pk AND begins_with(sk, :sk)")
                .expression_attribute_values(":pk", stored(&keys::schema_version().pk)?)
                .expression_attribute_values(":sk", stored(&keys::MIGRATION)?)
                .consistent_read(true)
                .set_exclusive_start_key(start);
            let page = request.send().await.map_err(failed("list the runs"))?;
            for run in page.items.unwrap_or_default() {
                runs.push(serde_dynamo::from_item(run).context("a run cannot be read")?);
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(runs);
            }
        }
    }

    /// How many items a table has. DynamoDB counts them every six hours.
    pub(super) async fn count(&self, table: Table) -> Result<u64> {
        let request = self.client.describe_table().table_name(self.name(table)?);
        let described = request.send().await.map_err(failed("describe the table"))?;
        let count = described.table.and_then(|table| table.item_count);
        Ok(count.and_then(|count| count.try_into().ok()).unwrap_or(0))
    }

    /// A conditional update in the table `app`.
    pub(super) async fn update(&self, key: &Key, change: Change) -> Result<Updated> {
        self.update_in(Table::App, key, change).await
    }

    /// A conditional update. Tried again while others are in the way.
    pub(super) async fn update_in(
        &self,
        table: Table,
        key: &Key,
        change: Change,
    ) -> Result<Updated> {
        let expressions = change.expressions();
        let request = self.client.update_item().table_name(self.name(table)?);
        let request = request
            .set_key(Some(key.attributes()))
            .update_expression(expressions.update)
            .set_condition_expression(expressions.condition)
            .set_expression_attribute_names(expressions.names)
            .set_expression_attribute_values(expressions.values)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let mut tries = 0;
        loop {
            let error = match request.clone().send().await {
                Ok(done) => {
                    let units = done.consumed_capacity.and_then(|used| used.capacity_units);
                    return Ok(Updated::Done(units.unwrap_or(1.0)));
                }
                Err(error) => error,
            };
            if let Some(UpdateItemError::ConditionalCheckFailedException(refused)) =
                error.as_service_error()
            {
                return Ok(Updated::Refused(refused.item.clone()));
            }
            self.wait(&mut tries, error, "update").await?;
        }
    }

    /// Waits before another try if the error may pass, longer each time.
    pub(super) async fn wait<E>(
        &self,
        tries: &mut u32,
        error: SdkError<E>,
        doing: &'static str,
    ) -> Result<()>
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let passes = matches!(
            error.as_service_error().and_then(|error| error.code()),
            Some(
                "TransactionConflictException"
                    | "ProvisionedThroughputExceededException"
                    | "ThrottlingException"
                    | "RequestLimitExceeded"
            )
        );
        *tries += 1;
        if !passes || *tries >= MOST_TRIES {
            return Err(failed(doing)(error));
        }
        let most = 25_u64 << *tries;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(most / 2..=most))).await;
        Ok(())
    }

    /// A conditional delete in the table `app`. Nothing happens if the condition does not hold.
    pub(super) async fn delete(&self, key: &Key, condition: Change) -> Result<()> {
        let condition = condition.expressions();
        let request = self.client.delete_item().table_name(self.name(Table::App)?);
        let request = request
            .set_key(Some(key.attributes()))
            .set_condition_expression(condition.condition)
            .set_expression_attribute_names(condition.names)
            .set_expression_attribute_values(condition.values);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(failed("delete")(error)),
            },
        }
    }

    /// All of it or nothing, in the table `app`. The client's token makes a second try harmless.
    pub(super) async fn commit(&self, writes: Vec<Write>) -> Result<()> {
        let table = self.name(Table::App)?;
        let writes: Result<Vec<_>> = writes.into_iter().map(|write| write.of(table)).collect();
        let request = self.client.transact_write_items();
        let request = request.set_transact_items(Some(writes?));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(_)) => {
                    Err(anyhow!("another process has taken the lock"))
                }
                _ => Err(failed("commit")(error)),
            },
        }
    }
}

impl Write {
    fn of(self, table: &str) -> Result<TransactWriteItem> {
        let write = TransactWriteItem::builder();
        Ok(match self {
            Self::Create(key, mut item) => {
                item.extend(key.attributes());
                item.insert("v".to_owned(), number(SCHEMA_VERSION.into()));
                let put = Put::builder().table_name(table).set_item(Some(item));
                let put = put.condition_expression("attribute_not_exists(pk)");
                write.put(put.build()?)
            }
            Self::Update(key, change) => {
                let expressions = change.expressions();
                let update = Update::builder()
                    .table_name(table)
                    .set_key(Some(key.attributes()))
                    .update_expression(expressions.update)
                    .set_condition_expression(expressions.condition)
                    .set_expression_attribute_names(expressions.names)
                    .set_expression_attribute_values(expressions.values);
                write.update(update.build()?)
            }
            Self::Check(key, condition) => {
                let expressions = condition.expressions();
                let check = ConditionCheck::builder()
                    .table_name(table)
                    .set_key(Some(key.attributes()))
                    .set_condition_expression(expressions.condition)
                    .set_expression_attribute_names(expressions.names)
                    .set_expression_attribute_values(expressions.values);
                write.condition_check(check.build()?)
            }
        }
        .build())
    }
}

/// What was not possible, and why.
pub(super) fn failed<E>(doing: &'static str) -> impl FnOnce(SdkError<E>) -> anyhow::Error
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    move |error| {
        let service = error.as_service_error();
        let told =
            service.and_then(|error| Some(format!("{}: {}", error.code()?, error.message()?)));
        let told = told.unwrap_or_else(|| DisplayErrorContext(&error).to_string());
        anyhow!("DynamoDB could not {doing}: {told}")
    }
}

pub(super) fn stored(value: &impl Serialize) -> Result<AttributeValue> {
    serde_dynamo::to_attribute_value(value).context("write an attribute")
}

pub(super) fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(super) fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}
