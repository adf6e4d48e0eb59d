//! What AWS does between a queue and its function: receives batches, calls the function with the event of an SQS
//! trigger, and deletes what the function handled. And what EventBridge does: sends a rule's input when it is due.
//!
//! As deployed, a message that is not deleted comes back when its visibility timeout ends, and goes to the dead-letter
//! queue once it was received too often. Unlike AWS, batches come one after another, so that a log reads in order.

mod event;
mod http;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use jiff::Timestamp;
use serde_json::Value;

pub use http::function;

use crate::provision::arn;
use crate::schedule::Timing;
use crate::template::Trigger;

/// How long to wait before trying again when the queue or the function cannot be reached.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a receive waits for messages. Stopping abandons it, so that it may be as long as SQS allows.
const LONG_POLL_SECONDS: i32 = 20;

/// A queue that a function receives from.
#[derive(Clone, Debug)]
pub struct Source {
    pub queue_url: String,
    pub queue_arn: String,
    pub batch_size: u32,
    /// Whether the function answers which messages failed.
    pub reports_failures: bool,
}

/// What became of one batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    pub received: usize,
    /// How many stay in the queue, to come back.
    pub failed: usize,
    /// What the function or the way to it had to say, if the whole batch failed.
    pub error: Option<String>,
}

impl Source {
    pub async fn new(sqs: &Client, queue_url: &str, trigger: &Trigger) -> Result<Self> {
        Ok(Self {
            queue_url: queue_url.to_owned(),
            queue_arn: arn(sqs, queue_url).await?,
            batch_size: trigger.batch_size,
            reports_failures: trigger.reports_failures,
        })
    }
}

/// Delivers for ever, and reports what failed in words. Before each batch it waits until the function is `ready`, for a
/// message that is received in vain stays hidden until its visibility timeout ends.
pub async fn run<R, I, F>(
    sqs: &Client,
    source: &Source,
    ready: impl Fn() -> R,
    invoke: I,
    report: impl Fn(&str),
) -> Infallible
where
    R: Future<Output = ()>,
    I: Fn(Value) -> F,
    F: Future<Output = Result<Value>>,
{
    loop {
        ready().await;
        match deliver(sqs, source, LONG_POLL_SECONDS, &invoke).await {
            Ok(Delivery { failed: 0, .. }) => {}
            Ok(Delivery {
                received,
                failed,
                error,
            }) => {
                let why = error.map(|error| format!(": {error}")).unwrap_or_default();
                report(&format!(
                    "{failed} of {received} messages failed and will come back{why}"
                ));
            }
            Err(error) => {
                report(&format!("the queue could not be read: {error:#}"));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Receives one batch, waiting up to `wait_seconds` for a first message, and calls the function with it.
///
/// `invoke` answers what the function answered, or an error if it failed as a whole. Tests pass the worker itself; see
/// [`function`] for the one that runs elsewhere.
pub async fn deliver<I, F>(
    sqs: &Client,
    source: &Source,
    wait_seconds: i32,
    invoke: &I,
) -> Result<Delivery>
where
    I: Fn(Value) -> F,
    F: Future<Output = Result<Value>>,
{
    let batch_size = i32::try_from(source.batch_size).context("the batch size is too large")?;
    let received = sqs
        .receive_message()
        .queue_url(&source.queue_url)
        .max_number_of_messages(batch_size)
        .wait_time_seconds(wait_seconds)
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .message_attribute_names("All")
        .send()
        .await?;
    let messages = received.messages();
    if messages.is_empty() {
        return Ok(Delivery::default());
    }

    let event = event::sqs(messages, &source.queue_arn);
    let answer = invoke(event).await;
    let outcome = answer.and_then(|answer| failures(source, messages, &answer));
    let (failed, error) = match outcome {
        Ok(failed) => (failed, None),
        Err(error) => {
            let all = messages.iter().filter_map(Message::message_id);
            (all.collect(), Some(format!("{error:#}")))
        }
    };

    for message in messages {
        let id = message.message_id().unwrap_or_default();
        if failed.contains(id) {
            continue;
        }
        let handle = message.receipt_handle().unwrap_or_default();
        let delete = sqs.delete_message().queue_url(&source.queue_url);
        // A message that outlived its visibility timeout may be gone or in other hands. Neither is an error to AWS.
        let _ = delete.receipt_handle(handle).send().await;
    }
    Ok(Delivery {
        received: messages.len(),
        failed: failed.len(),
        error,
    })
}

/// The ids of the messages that the function says failed. As to AWS, an answer that makes no sense fails the batch.
fn failures<'a>(
    source: &Source,
    messages: &'a [Message],
    answer: &Value,
) -> Result<BTreeSet<&'a str>> {
    if !source.reports_failures {
        return Ok(BTreeSet::new());
    }
    let list = match &answer["batchItemFailures"] {
        Value::Null => return Ok(BTreeSet::new()),
        list => list.as_array().context("batchItemFailures is not a list")?,
    };
    list.iter()
        .map(|failure| {
            let id = failure["itemIdentifier"]
                .as_str()
                .context("an entry of batchItemFailures has no itemIdentifier")?;
            messages
                .iter()
                .filter_map(Message::message_id)
                .find(|known| *known == id)
                .with_context(|| format!("batchItemFailures names {id}, which was not delivered"))
        })
        .collect()
}

/// Sends a rule's input to its queue whenever it is due, and does nothing once it never will be again.
///
/// The first time is one period after the start, as it is after a deployment.
pub async fn run_schedule(
    sqs: &Client,
    timing: &Timing,
    queue_url: &str,
    input: &str,
    report: impl Fn(&str),
) -> Infallible {
    loop {
        let Some(wait) = timing.wait_from(Timestamp::now()) else {
            return std::future::pending().await;
        };
        tokio::time::sleep(wait).await;
        let send = sqs.send_message().queue_url(queue_url).message_body(input);
        if let Err(error) = send.send().await {
            let error = anyhow::Error::from(error);
            report(&format!("a schedule could not send its message: {error:#}"));
        }
    }
}

#[cfg(test)]
mod tests;
