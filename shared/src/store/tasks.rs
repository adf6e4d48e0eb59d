//! Tasks: claimed by a conditional update with a lease, finished by another.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::change::{Change, Updated, number, text};
use super::{Store, Table, failed, from_item, keys};
use crate::error::{Context, Result};
use crate::models::time;
use crate::tasks::{Status, Task};

/// How long a worker may hold a task before another may take it over, in seconds.
pub const LEASE: i64 = 60;

/// When a claimed task is due again for the sweep, in seconds: once the queue has had the time to deliver its
/// message again (its visibility time-out in `template.yaml`), so that as a rule the queue alone drives retries.
pub const DUE_AGAIN: i64 = 360 + LEASE;

/// How long a finished task stays readable, in seconds.
const KEPT: i64 = 7 * 24 * 3_600;

/// A task on its way into a transaction.
#[derive(Clone, Debug)]
pub struct NewTask {
    pub id: Uuid,
    task: Task,
    /// Whose task it is, for the list of one's own tasks.
    owner: Option<Uuid>,
}

/// A task as it is stored. The `due_*` attributes are there until it is finished, for the sweep's index.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredTask {
    pub id: Uuid,
    #[serde(flatten)]
    pub task: Task,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Uuid>,
    pub created_at: Timestamp,
    pub attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_shard: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_at: Option<i64>,
}

impl NewTask {
    pub fn due_now(task: Task, owner: Option<Uuid>) -> Self {
        let id = Uuid::now_v7();
        Self { id, task, owner }
    }

    pub(super) fn stored(&self) -> StoredTask {
        let now = time::now();
        StoredTask {
            id: self.id,
            task: self.task.clone(),
            status: Status::Pending,
            owner: self.owner,
            created_at: now,
            attempts: 0,
            due_shard: Some(keys::due_shard(self.id)),
            due_at: Some(now.as_second()),
        }
    }
}

impl Store {
    /// Takes a task to run it. `None` if it is finished, held by another, or unknown: a duplicate delivery.
    pub async fn claim_task(&self, id: Uuid) -> Result<Option<StoredTask>> {
        let now = time::now().as_second();
        let change = Change::new()
            .set("status", text("running"))
            .set("lease_until", number(now + LEASE))
            .set("due_at", number(now + DUE_AGAIN))
            .add("attempts", 1)
            .if_exists("due_shard")
            .if_below("lease_until", now);
        let key = keys::task(id);
        let claimed = self.update(&key, change, ReturnValue::AllNew, "claim a task");
        match claimed.await? {
            Updated::Done(item) => from_item(item).map(Some),
            Updated::Refused => Ok(None),
        }
    }

    /// Ends a task and takes it out of the sweep's index. Doing it twice changes nothing.
    pub async fn finish_task(&self, id: Uuid, status: Status) -> Result<()> {
        let status = serde_dynamo::to_attribute_value(status);
        let status: AttributeValue = status.context("write a status")?;
        let change = Change::new()
            .set("status", status)
            .set("ttl", number(time::now().as_second() + KEPT))
            .remove("lease_until")
            .remove("due_shard")
            .remove("due_at")
            .if_exists("due_shard");
        self.update(&keys::task(id), change, ReturnValue::None, "finish a task")
            .await?;
        Ok(())
    }

    /// Sends unfinished tasks to the queue again that were due before `due_before` (seconds since the epoch), at
    /// most `most` of them from each shard of the index. Answers how many.
    pub async fn resend_due_tasks(&self, due_before: i64, most: i32) -> Result<usize> {
        let mut sent = 0;
        for shard in keys::due_shards() {
            let request = self.client.query().table_name(self.name(Table::App)?);
            let request = request
                .index_name("due")
                .key_condition_expression("due_shard = :shard AND due_at < :before")
                .expression_attribute_values(":shard", AttributeValue::S(shard))
                .expression_attribute_values(":before", number(due_before))
                .limit(most);
            let output = request.send().await.map_err(failed("list due tasks"))?;
            for item in output.items() {
                let key = item.get("pk").and_then(|pk| pk.as_s().ok());
                if let Some(id) = key.and_then(|pk| keys::task_id(pk)) {
                    sent += usize::from(self.resend_task(id).await?);
                }
            }
        }
        Ok(sent)
    }

    /// Sends a task again, unless it has ended meanwhile, and not once more before it had its turn.
    async fn resend_task(&self, id: Uuid) -> Result<bool> {
        let again = time::now().as_second() + LEASE;
        let change = Change::new()
            .set("due_at", number(again))
            .if_exists("due_shard");
        let key = keys::task(id);
        match self
            .update(&key, change, ReturnValue::None, "send a task again")
            .await?
        {
            Updated::Refused => Ok(false),
            Updated::Done(_) => {
                self.queue.send(id).await;
                Ok(true)
            }
        }
    }

    pub async fn task(&self, id: Uuid) -> Result<Option<StoredTask>> {
        let item = self.get(Table::App, &keys::task(id)).await?;
        item.map(from_item).transpose()
    }
}
