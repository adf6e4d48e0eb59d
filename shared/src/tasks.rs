//! Background work: what a task is, and how it gets to the queue.
//!
//! A task is written in the transaction of the change that causes it ([`Transaction::task`]) and is its own
//! outbox row: its id is sent to SQS after the commit, and again by the sweep if that was lost. Payloads live
//! here and the code that runs them in `functions/worker`, so that producers link none of it.
//!
//! [`Transaction::task`]: crate::store::Transaction::task

use std::time::Duration;

use aws_types::SdkConfig;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Config;

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

/// How long a request waits for the queue; the sweep stands behind it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The task queue.
#[derive(Clone, Debug)]
pub struct Queue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl Queue {
    pub fn new(sdk: &SdkConfig, config: &Config) -> Self {
        let mut sqs = aws_sdk_sqs::config::Builder::from(sdk);
        sqs.set_endpoint_url(config.aws.sqs_endpoint.clone());
        Self {
            client: aws_sdk_sqs::Client::from_conf(sqs.build()),
            url: config.task_queue_url.clone(),
        }
    }

    /// Tells the worker of a task. A failure is logged and not returned: the task is safe in its table, and
    /// the sweep sends it again.
    pub async fn send(&self, task_id: Uuid) {
        let message = Message::Task { task_id };
        let Ok(body) = serde_json::to_string(&message) else {
            return;
        };
        let request = self.client.send_message().queue_url(&self.url);
        let sent = tokio::time::timeout(PATIENCE, request.message_body(body).send()).await;
        if !matches!(sent, Ok(Ok(_))) {
            let cause = sent.map_or("timed out".to_owned(), |sent| {
                sent.err()
                    .map(|error| error.to_string())
                    .unwrap_or_default()
            });
            tracing::warn!(task.id = %task_id, cause, "the sweep will send task {task_id}");
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
