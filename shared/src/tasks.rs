//! Background work: what a task is, and how it gets to the queue.
//!
//! A task is written in the transaction of the change that causes it ([`Transaction::task`]) and is its own
//! outbox row: its id is sent to SQS after the commit, and again by the sweep if that was lost. Payloads live
//! here and the code that runs them in `functions/worker`, so that producers link none of it.
//!
//! [`Transaction::task`]: crate::store::Transaction::task

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::models::time;
use crate::store::keys;

/// What is to be done. The `kind` and the payload are stored as this enum's JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Task {
    /// A user has registered: greet them.
    UserCreated { user_id: Uuid },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Pending,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

/// A task on its way into a transaction.
#[derive(Clone, Debug)]
pub struct NewTask {
    pub id: Uuid,
    task: Task,
    /// Whose task it is, for the list of one's own tasks.
    owner: Option<Uuid>,
    due_at: Timestamp,
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
    pub due_shard: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<i64>,
}

/// What travels through the queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Message {
    Task { task_id: Uuid },
    Schedule { schedule: Schedule },
}

/// What the rules in `template.yaml` send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Send due tasks again whose message was lost.
    Sweep,
}

impl NewTask {
    pub fn due_now(task: Task, owner: Option<Uuid>) -> Self {
        Self {
            id: Uuid::now_v7(),
            task,
            owner,
            due_at: time::now(),
        }
    }

    pub(crate) fn stored(&self) -> StoredTask {
        StoredTask {
            id: self.id,
            task: self.task.clone(),
            status: Status::Pending,
            owner: self.owner,
            created_at: time::now(),
            attempts: 0,
            due_shard: Some(keys::due_shard(self.id)),
            due_at: Some(self.due_at.as_second()),
        }
    }
}

/// The task queue.
#[derive(Clone, Debug)]
pub struct Queue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl Queue {
    pub fn new(client: aws_sdk_sqs::Client, url: String) -> Self {
        Self { client, url }
    }

    /// Tells the worker of a task. A failure is logged and not returned: the task is safe in its table, and
    /// the sweep sends it again.
    pub async fn send(&self, task_id: Uuid) {
        let message = Message::Task { task_id };
        let Ok(body) = serde_json::to_string(&message) else {
            return;
        };
        let request = self.client.send_message().queue_url(&self.url);
        if let Err(error) = request.message_body(body).send().await {
            let error = aws_smithy_types::error::display::DisplayErrorContext(&error);
            tracing::warn!(task.id = %task_id, %error, "the sweep will send task {task_id}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_the_template_and_the_store_write_them() {
        let id = Uuid::nil();
        let read = |json: &str| serde_json::from_str::<Message>(json).ok();
        assert_eq!(
            read(&format!("{{\"task_id\":\"{id}\"}}")),
            Some(Message::Task { task_id: id })
        );
        let sweep = Message::Schedule {
            schedule: Schedule::Sweep,
        };
        assert_eq!(read("{\"schedule\":\"sweep\"}"), Some(sweep));
        assert_eq!(read("{\"task\":1}"), None);
        assert_eq!(read("nonsense"), None);
    }
}
