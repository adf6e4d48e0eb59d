//! SQS: winterbaume's queues behind HTTP, with the limits that it leaves out.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use winterbaume_core::{MockRequest, MockResponse, MockService};
use winterbaume_sqs::SqsService;

use super::{REGION, http};

/// The longest delay of a message, in seconds.
const MAX_DELAY_SECONDS: i64 = 900;
/// The most entries of a batch, and the most messages of one receive.
const MAX_ENTRIES: usize = 10;
/// The most bytes of a message, and of all the messages of a batch together.
const MAX_BYTES: usize = 1024 * 1024;

pub(super) fn serve(listener: TcpListener, url: String, stopped: watch::Receiver<()>) {
    let queues = Arc::new(SqsService::new());
    let url: Arc<str> = url.into();
    let service = service_fn(move |request| answer(queues.clone(), url.clone(), request));
    http::serve(listener, service, stopped);
}

async fn answer(
    queues: Arc<SqsService>,
    url: Arc<str>,
    request: ::http::Request<Incoming>,
) -> Result<::http::Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let action = head
        .headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
        .and_then(|target| target.strip_prefix("AmazonSQS."))
        .unwrap_or_default()
        .to_owned();

    let response = match refusal(&action, &body) {
        Some((code, message)) => MockResponse::json(
            400,
            json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": message })
                .to_string(),
        ),
        None => {
            queues
                .handle(MockRequest {
                    method: head.method.to_string(),
                    // The backend reads the region from a host as AWS would name it.
                    uri: format!("https://sqs.{REGION}.amazonaws.com{}", head.uri.path()),
                    headers: head.headers,
                    body,
                })
                .await
        }
    };
    let body = if names_queues(&action) {
        localise(&response.body, &url)
    } else {
        response.body
    };
    Ok(http::whole(response.status, response.headers, body))
}

/// Whether the answer to this action holds queue URLs and nothing that a sender wrote.
fn names_queues(action: &str) -> bool {
    matches!(
        action,
        "CreateQueue" | "GetQueueUrl" | "ListQueues" | "ListDeadLetterSourceQueues"
    )
}

/// Puts this server's address into queue URLs, so that a URL works for clients that call it as it stands.
fn localise(body: &Bytes, url: &str) -> Bytes {
    let from = format!("https://sqs.{REGION}.amazonaws.com");
    match std::str::from_utf8(body) {
        Ok(text) => text.replace(&from, url).into(),
        Err(_) => body.clone(),
    }
}

/// The error code and message with which SQS refuses what is over its limits.
fn refusal(action: &str, body: &[u8]) -> Option<(&'static str, String)> {
    let input: Value = serde_json::from_slice(body).ok()?;
    let entries = input["Entries"].as_array();
    let messages = match action {
        "SendMessage" => std::slice::from_ref(&input),
        "SendMessageBatch" => entries.map(Vec::as_slice).unwrap_or_default(),
        _ => &[],
    };

    if action.ends_with("Batch") {
        match entries.map_or(0, Vec::len) {
            0 => {
                return Some((
                    "EmptyBatchRequest",
                    "The batch request doesn't contain any entries.".to_owned(),
                ));
            }
            1..=MAX_ENTRIES => {}
            count => {
                return Some((
                    "TooManyEntriesInBatchRequest",
                    format!("The batch has {count} entries; the most is {MAX_ENTRIES}."),
                ));
            }
        }
    }
    if let Some(delay) = messages
        .iter()
        .filter_map(|message| message["DelaySeconds"].as_i64())
        .find(|delay| !(0..=MAX_DELAY_SECONDS).contains(delay))
    {
        return Some((
            "InvalidParameterValue",
            format!("DelaySeconds is {delay}; it must be from 0 to {MAX_DELAY_SECONDS}."),
        ));
    }
    let bytes: usize = messages
        .iter()
        .filter_map(|message| message["MessageBody"].as_str())
        .map(str::len)
        .sum();
    if bytes > MAX_BYTES {
        let code = match action {
            "SendMessageBatch" => "BatchRequestTooLong",
            _ => "InvalidParameterValue",
        };
        return Some((
            code,
            format!("{bytes} bytes were sent; the most is {MAX_BYTES}."),
        ));
    }
    if action == "ReceiveMessage"
        && let Some(count) = input["MaxNumberOfMessages"].as_i64()
        && !(1..=MAX_ENTRIES as i64).contains(&count)
    {
        return Some((
            "InvalidParameterValue",
            format!("MaxNumberOfMessages is {count}; it must be from 1 to {MAX_ENTRIES}."),
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{LocalAws, Ports, Storage, sqs_client};
    use super::*;

    #[tokio::test]
    async fn a_queue_has_a_local_url_and_keeps_messages_as_they_are() {
        let aws = LocalAws::start(Storage::Memory, Ports::Any).unwrap();
        let sqs = sqs_client(aws.sqs_url());
        let queue = sqs.create_queue().queue_name("tasks").send().await.unwrap();
        let queue = queue.queue_url().unwrap();
        assert!(queue.starts_with(aws.sqs_url()), "{queue}");

        let body = format!("https://sqs.{REGION}.amazonaws.com/ is only text here");
        let send = sqs.send_message().queue_url(queue).message_body(&body);
        send.send().await.unwrap();
        let received = sqs.receive_message().queue_url(queue).send().await.unwrap();
        assert_eq!(received.messages()[0].body(), Some(body.as_str()));
    }

    #[tokio::test]
    async fn limits_are_those_of_sqs() {
        let aws = LocalAws::start(Storage::Memory, Ports::Any).unwrap();
        let sqs = sqs_client(aws.sqs_url());
        let queue = sqs.create_queue().queue_name("tasks").send().await.unwrap();
        let send = || {
            let message = sqs.send_message().queue_url(queue.queue_url().unwrap());
            message.message_body("{}")
        };

        send().delay_seconds(900).send().await.unwrap();
        send().delay_seconds(901).send().await.unwrap_err();
        let too_long = "x".repeat(MAX_BYTES + 1);
        send().message_body(too_long).send().await.unwrap_err();
    }

    #[test]
    fn batches_hold_one_to_ten_entries() {
        let batch = |count: usize| {
            let entries: Vec<_> = (0..count).map(|id| json!({ "Id": id })).collect();
            let body = json!({ "Entries": entries }).to_string();
            refusal("DeleteMessageBatch", body.as_bytes()).map(|(code, _)| code)
        };
        assert_eq!(batch(0), Some("EmptyBatchRequest"));
        assert_eq!(batch(1), None);
        assert_eq!(batch(10), None);
        assert_eq!(batch(11), Some("TooManyEntriesInBatchRequest"));
    }
}
