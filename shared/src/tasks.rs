//! Background work: what a task is, and how it gets to the queue.
//!
//! A task is written in the transaction of the change that causes it ([`Transaction::task`]) and is its own
//! outbox row: its id is sent to SQS after the commit, and again by the sweep if that was lost. Payloads live
//! here and the code that runs them in `functions/worker`, so that producers link none of it.
//!
//! [`Transaction::task`]: crate::store::Transaction::task

use std::time::Duration;

use aws_sdk_sqs::types::{
    MessageSystemAttributeNameForSends, MessageSystemAttributeValue, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use aws_types::SdkConfig;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Config;
use crate::error::{Context, Error, Result};
use crate::media::Resize;
use crate::models::item::Tag;
use crate::models::text::Email;
use crate::trace::Trace;

/// What is to be done: a kind, and a payload of what it needs to know. `functions/worker` has a file for each kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "payload", rename_all = "snake_case")]
pub enum Task {
    /// Ask a user to confirm their e-mail address, or the one that they want to have.
    VerificationMail { user_id: Uuid },
    /// Greet a user whose account is ready.
    WelcomeMail { user_id: Uuid },
    /// The same for whoever has this address, if anybody has: the route that asks for it must not know.
    VerificationMailAgain { email: Email },
    /// Send whoever has this address, if anybody has, the link to set a new password.
    PasswordResetMail { email: Email },
    /// Invite a user whose account somebody else has made.
    InvitationMail { user_id: Uuid },
    /// Tell the address of an account that somebody has asked for another.
    EmailChangeAskedMail { user_id: Uuid, new_email: Email },
    /// Tell the old address that the account has another now.
    EmailChangedMail { user_id: Uuid, old_email: Email },
    /// Tell a user that this provider can log them in from now on.
    LoginLinkedMail { user_id: Uuid, provider: String },
    /// Process an order that was paid in time, and cancel one that was not.
    ProcessOrder { user_id: Uuid, order_id: Uuid },
    /// Say what was ordered, once it is processed.
    OrderConfirmationMail { user_id: Uuid, order_id: Uuid },
    /// See to it that nobody can pay a cancelled order any more.
    CancelPayment { user_id: Uuid, order_id: Uuid },
    /// Give the money for an order back.
    RefundPayment { user_id: Uuid, order_id: Uuid },
    /// Look at a file an hour after it was begun, and remove what is nobody's.
    CheckFile { file_id: Uuid },
    /// Check what has come into the bucket, though nobody asks for it.
    CompleteUpload { file_id: Uuid },
    /// Make the small forms of an image.
    MakeVariants { file_id: Uuid },
    /// Resize an image that is too large to be done while somebody waits.
    ProcessImage { file_id: Uuid, resize: Resize },
    /// Remove the objects of a file, and then its row.
    DeleteFile { file_id: Uuid },
    /// Erase what is left of a deleted user.
    EraseUser { user_id: Uuid },
    /// Bring the search rows of an item up to date, and the list of tags.
    IndexItem { item_id: Uuid, tags: Vec<Tag> },
    /// Bring the search rows of a user up to date.
    IndexUser { user_id: Uuid },
    /// Rebuild the search rows of all users, or of all items, a page at a time: the one after this thing, or the first.
    Reindex {
        #[serde(default)]
        what: Searched,
        after: Option<Uuid>,
    },
}

/// What a search can look for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Searched {
    #[default]
    Users,
    Items,
}

impl Task {
    /// Whether it names somebody who need not be a user of ours, so that nobody's erasure would erase it.
    pub fn names_a_stranger(&self) -> bool {
        matches!(
            self,
            Self::VerificationMailAgain { .. } | Self::PasswordResetMail { .. }
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TaskStatus)]
pub enum Status {
    /// Waits for its first turn or its next one.
    Pending,
    /// A worker has claimed it.
    Running,
    Succeeded,
    /// Was given up. Stays until somebody retries or cancels it.
    Failed,
    Cancelled,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What travels through the queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Message {
    Task {
        task_id: Uuid,
        /// The sweep has sent it: a worker may have died of this task.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        resent: bool,
    },
    Schedule {
        schedule: Schedule,
    },
    /// S3 tells of objects that have come (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>).
    Objects {
        #[serde(rename = "Records")]
        records: Vec<ObjectRecord>,
    },
    /// S3 tries whether the queue takes what it tells.
    Trial {
        #[serde(rename = "Event")]
        event: Trial,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectRecord {
    pub s3: ObjectEvent,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectEvent {
    pub object: ObjectName,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectName {
    /// Encoded as in a URL; ours have no characters for which that matters.
    pub key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trial {
    #[serde(rename = "s3:TestEvent")]
    S3,
}

/// What the rules in `template.yaml` send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Send due tasks again whose message was lost.
    Sweep,
}

/// The longest that SQS holds a message back, in seconds.
pub const MOST_DELAY: i64 = 900;

/// The most messages of one request to SQS.
pub const BATCH: usize = 10;

/// By which X-Ray knows whence a message comes; it does not count against the message's size.
const TRACE_HEADER: MessageSystemAttributeNameForSends =
    MessageSystemAttributeNameForSends::AwsTraceHeader;

/// How long a request waits for the queue; the sweep stands behind it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The id of a task on its way to the worker, and how many seconds (at most [`MOST_DELAY`]) it is to be held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub task_id: Uuid,
    pub delay: i64,
    pub resent: bool,
}

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

    /// Tells the worker of tasks that were just written. A failure is logged and not returned: the tasks are safe in
    /// their table, and the sweep sends them again.
    pub async fn announce(&self, tasks: &[Outgoing]) {
        if tasks.is_empty() {
            return;
        }
        let sending = async {
            for batch in tasks.chunks(BATCH) {
                self.send(batch).await?;
            }
            Ok::<_, Error>(())
        };
        let failed = match tokio::time::timeout(PATIENCE, sending).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!("{error:?}"),
            Err(_) => "timed out".to_owned(),
        };
        let ids: Vec<_> = tasks.iter().map(|task| task.task_id.to_string()).collect();
        let ids = ids.join(" ");
        tracing::warn!(tasks = ids, cause = failed, "the sweep will send {ids}");
    }

    /// Sends a batch of at most [`BATCH`]. Fails if SQS did not take all of it.
    pub async fn send(&self, tasks: &[Outgoing]) -> Result<()> {
        let mut request = self.client.send_message_batch().queue_url(&self.url);
        let traced = Trace::current().and_then(|trace| trace.xray);
        let traced = traced.map(|header| {
            let kind = "String";
            let value = MessageSystemAttributeValue::builder().data_type(kind);
            value.string_value(header).build()
        });
        let traced = traced.transpose().context("build a trace header")?;
        for (at, task) in tasks.iter().enumerate() {
            let Outgoing {
                task_id,
                delay,
                resent,
            } = *task;
            let message = Message::Task { task_id, resent };
            let body = serde_json::to_string(&message).context("write a message")?;
            let entry = SendMessageBatchRequestEntry::builder()
                .id(at.to_string())
                .message_body(body)
                .set_delay_seconds(i32::try_from(delay).ok().filter(|delay| *delay > 0));
            let entry = match &traced {
                Some(header) => entry.message_system_attributes(TRACE_HEADER, header.clone()),
                None => entry,
            };
            request = request.entries(entry.build().context("build a message")?);
        }
        let sent = request.send().await;
        let sent = sent.map_err(|error| unavailable(error.into_service_error(), "send tasks"))?;
        match sent.failed() {
            [] => Ok(()),
            [first, ..] => {
                let cause = anyhow::Error::msg(first.code().to_owned());
                Err(Error::Unavailable(cause.context("send tasks")))
            }
        }
    }

    /// Hides a received message for so many seconds from now, after which it is delivered again.
    pub async fn postpone(&self, receipt_handle: &str, seconds: i64) -> Result<()> {
        let request = self.client.change_message_visibility();
        let request = request.queue_url(&self.url).receipt_handle(receipt_handle);
        let seconds = i32::try_from(seconds).context("hide a message")?;
        let hidden = request.visibility_timeout(seconds).send().await;
        hidden.map_err(|error| unavailable(error.into_service_error(), "hide a message"))?;
        Ok(())
    }

    /// About how many messages wait to be received.
    pub async fn depth(&self) -> Result<usize> {
        let waiting = QueueAttributeName::ApproximateNumberOfMessages;
        let request = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = request.attribute_names(waiting.clone()).send().await;
        let answer =
            answer.map_err(|error| unavailable(error.into_service_error(), "look at the queue"))?;
        let number = answer.attributes.and_then(|mut all| all.remove(&waiting));
        number
            .and_then(|number| number.parse().ok())
            .context("read the number of messages")
    }
}

fn unavailable(
    cause: impl std::error::Error + Send + Sync + 'static,
    doing: &'static str,
) -> Error {
    Error::Unavailable(anyhow::Error::new(cause).context(doing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_the_template_and_the_store_write_them() {
        let id = Uuid::nil();
        let read = |json: &str| serde_json::from_str::<Message>(json).ok();
        let task = |resent| Message::Task {
            task_id: id,
            resent,
        };
        let short = format!("{{\"task_id\":\"{id}\"}}");
        assert_eq!(read(&short), Some(task(false)));
        assert_eq!(serde_json::to_string(&task(false)).unwrap(), short);
        let long = serde_json::to_string(&task(true)).unwrap();
        assert_eq!(read(&long), Some(task(true)));
        let sweep = Message::Schedule {
            schedule: Schedule::Sweep,
        };
        assert_eq!(read("{\"schedule\":\"sweep\"}"), Some(sweep));
        let trial = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}"#;
        assert_eq!(read(trial), Some(Message::Trial { event: Trial::S3 }));
        let object = r#"{"Records":[{"eventName":"ObjectCreated:Post","s3":{"object":{"key":"pending/1"}}}]}"#;
        let Some(Message::Objects { records }) = read(object) else {
            panic!("not read")
        };
        assert_eq!(records[0].s3.object.key, "pending/1");
        assert_eq!(read("{\"task\":1}"), None);
        assert_eq!(read("nonsense"), None);
    }

    #[test]
    fn the_status_is_written_as_it_is_called() {
        for status in [
            Status::Pending,
            Status::Running,
            Status::Succeeded,
            Status::Failed,
            Status::Cancelled,
        ] {
            let written = serde_json::to_value(status).unwrap();
            assert_eq!(written, status.as_str());
        }
    }
}
