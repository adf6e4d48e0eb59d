//! Tasks: claimed by a conditional update with a lease, finished by another.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use uuid::Uuid;

use super::transaction::Change;
use super::{Store, Table, failed, from_item, keys};
use crate::error::Result;
use crate::models::time;
use crate::tasks::{Status, StoredTask};

/// How long a worker may hold a task before another may take it over, in seconds.
pub const LEASE: i64 = 60;

/// How long a finished task stays readable, in seconds.
const KEPT: i64 = 7 * 24 * 3_600;

impl Store {
    /// Takes a task to run it. `None` if it is finished, held by another, or unknown: a duplicate delivery.
    pub async fn claim_task(&self, id: Uuid) -> Result<Option<StoredTask>> {
        let now = time::now().as_second();
        let change = Change::new()
            .set("status", text("running"))
            .set("lease_until", number(now + LEASE))
            .add("attempts", 1)
            .if_unfinished()
            .if_below("lease_until", now);
        let request = self.client.update_item().table_name(self.name(Table::App)?);
        let request = request
            .set_key(Some(keys::task(id).attributes()))
            .update_expression(change.expression())
            .set_condition_expression(change.condition)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
            .return_values(ReturnValue::AllNew);
        match request.send().await {
            Ok(output) => output.attributes.map(from_item).transpose(),
            Err(error) if is_refused(error.as_service_error()) => Ok(None),
            Err(error) => Err(failed("claim a task")(error)),
        }
    }

    /// Ends a task and takes it out of the sweep's index. Doing it twice changes nothing.
    pub async fn finish_task(&self, id: Uuid, status: Status) -> Result<()> {
        let status = serde_dynamo::to_attribute_value(status);
        let status: AttributeValue = crate::Context::context(status, "write a status")?;
        let change = Change::new()
            .set("status", status)
            .set("ttl", number(time::now().as_second() + KEPT))
            .remove("lease_until")
            .remove("due_shard")
            .remove("due_at")
            .if_unfinished();
        let request = self.client.update_item().table_name(self.name(Table::App)?);
        let request = request
            .set_key(Some(keys::task(id).attributes()))
            .update_expression(change.expression())
            .set_condition_expression(change.condition)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_refused(error.as_service_error()) => Ok(()),
            Err(error) => Err(failed("finish a task")(error)),
        }
    }

    /// Sends unfinished tasks to the queue again that were due more than a lease ago, at most `most` of them
    /// from each shard of the index. Answers how many.
    pub async fn resend_due_tasks(&self, most: i32) -> Result<usize> {
        let before = time::now().as_second() - LEASE;
        let mut sent = 0;
        for shard in keys::due_shards() {
            let request = self.client.query().table_name(self.name(Table::App)?);
            let request = request
                .index_name("due")
                .key_condition_expression("due_shard = :shard AND due_at < :before")
                .expression_attribute_values(":shard", AttributeValue::S(shard))
                .expression_attribute_values(":before", number(before))
                .limit(most);
            let output = request.send().await.map_err(failed("list due tasks"))?;
            for item in output.items() {
                let key = item.get("pk").and_then(|pk| pk.as_s().ok());
                if let Some(id) = key.and_then(|pk| keys::task_id(pk)) {
                    self.queue.send(id).await;
                    sent += 1;
                }
            }
        }
        Ok(sent)
    }

    pub async fn task(&self, id: Uuid) -> Result<Option<StoredTask>> {
        let item = self.get(Table::App, &keys::task(id)).await?;
        item.map(from_item).transpose()
    }
}

impl Change {
    /// Requires a task that exists and has not ended.
    fn if_unfinished(self) -> Self {
        self.if_exists("due_shard")
    }
}

fn is_refused(error: Option<&aws_sdk_dynamodb::operation::update_item::UpdateItemError>) -> bool {
    error.is_some_and(|error| error.is_conditional_check_failed_exception())
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}
