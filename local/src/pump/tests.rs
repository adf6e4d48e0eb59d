use std::path::Path;
use std::sync::Mutex;

use anyhow::bail;
use serde_json::json;

use super::*;
use crate::aws::{LocalAws, Ports, Storage, sqs_client};
use crate::provision::create_queues;
use crate::template::Template;

/// A queue with these messages, received in batches of up to ten by a function that reports failures.
struct Queue {
    _aws: LocalAws,
    sqs: Client,
    source: Source,
}

impl Queue {
    async fn with(bodies: &[&str]) -> Self {
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
        let template = Template::read(&template).unwrap();
        let aws = LocalAws::start(Storage::Memory, Ports::Any).unwrap();
        let queues = create_queues(aws.sqs_url(), &template, "").await.unwrap();
        let sqs = sqs_client(aws.sqs_url());
        let trigger = &template.function("worker").unwrap().triggers[0];
        let source = Source::new(&sqs, &queues["TaskQueue"], trigger)
            .await
            .unwrap();
        for body in bodies {
            let send = sqs.send_message().queue_url(&source.queue_url);
            send.message_body(*body).send().await.unwrap();
        }
        Self {
            _aws: aws,
            sqs,
            source,
        }
    }

    async fn deliver(&self, answer: impl Fn(&Value) -> Result<Value>) -> Delivery {
        let invoke = |event| std::future::ready(answer(&event));
        deliver(&self.sqs, &self.source, 0, &invoke).await.unwrap()
    }

    /// How many messages are in the queue, in flight ones among them.
    async fn len(&self) -> usize {
        let request = self.sqs.get_queue_attributes();
        let request = request.queue_url(&self.source.queue_url);
        let answer = request.attribute_names("All".into()).send().await.unwrap();
        let attributes = answer.attributes.unwrap();
        ["", "NotVisible"]
            .iter()
            .map(|which| {
                let name = format!("ApproximateNumberOfMessages{which}");
                attributes[&name.as_str().into()].parse::<usize>().unwrap()
            })
            .sum()
    }
}

fn ids_of(event: &Value) -> Vec<Value> {
    let records = event["Records"].as_array().unwrap();
    records
        .iter()
        .map(|record| record["messageId"].clone())
        .collect()
}

#[tokio::test]
async fn an_empty_queue_calls_nobody() {
    let queue = Queue::with(&[]).await;
    let delivery = queue.deliver(|_| panic!("called")).await;
    assert_eq!(delivery, Delivery::default());
}

#[tokio::test]
async fn the_event_is_as_lambda_makes_it() {
    let queue = Queue::with(&[r#"{"task_id":"1"}"#]).await;
    let seen = Mutex::new(Value::Null);
    queue
        .deliver(|event| {
            *seen.lock().unwrap() = event.clone();
            Ok(json!({ "batchItemFailures": [] }))
        })
        .await;
    let event = seen.into_inner().unwrap();
    let record = &event["Records"][0];
    assert_eq!(record["body"], r#"{"task_id":"1"}"#);
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(record["eventSource"], "aws:sqs");
    assert_eq!(record["awsRegion"], "us-east-1");
    assert_eq!(
        record["eventSourceARN"],
        "arn:aws:sqs:us-east-1:123456789012:task-queue"
    );
}

#[tokio::test]
async fn what_succeeded_is_deleted() {
    let queue = Queue::with(&["a", "b", "c"]).await;
    let delivery = queue.deliver(|_| Ok(Value::Null)).await;
    assert_eq!((delivery.received, delivery.failed), (3, 0));
    assert_eq!(queue.len().await, 0);
}

#[tokio::test]
async fn one_batch_holds_at_most_ten() {
    let queue = Queue::with(&["x"; 12]).await;
    assert_eq!(queue.deliver(|_| Ok(Value::Null)).await.received, 10);
    assert_eq!(queue.deliver(|_| Ok(Value::Null)).await.received, 2);
}

#[tokio::test]
async fn what_failed_stays() {
    let queue = Queue::with(&["a", "b", "c"]).await;
    let delivery = queue
        .deliver(|event| {
            let failed = ids_of(event).remove(1);
            Ok(json!({ "batchItemFailures": [{ "itemIdentifier": failed }] }))
        })
        .await;
    assert_eq!((delivery.received, delivery.failed), (3, 1));
    assert_eq!(delivery.error, None);
    assert_eq!(queue.len().await, 1);
}

#[tokio::test]
async fn a_function_that_fails_fails_the_batch() {
    let queue = Queue::with(&["a", "b"]).await;
    let delivery = queue.deliver(|_| bail!("out of luck")).await;
    assert_eq!((delivery.received, delivery.failed), (2, 2));
    assert_eq!(delivery.error.as_deref(), Some("out of luck"));
    assert_eq!(queue.len().await, 2);
}

#[tokio::test]
async fn an_answer_without_sense_fails_the_batch() {
    let answers = [
        json!({ "batchItemFailures": "all" }),
        json!({ "batchItemFailures": [{}] }),
        json!({ "batchItemFailures": [{ "itemIdentifier": null }] }),
        json!({ "batchItemFailures": [{ "itemIdentifier": "somebody else" }] }),
    ];
    for answer in answers {
        let queue = Queue::with(&["a", "b"]).await;
        let delivery = queue.deliver(|_| Ok(answer.clone())).await;
        assert_eq!(delivery.failed, 2, "{answer}");
        assert_eq!(queue.len().await, 2, "{answer}");
    }
}

#[tokio::test]
async fn a_function_that_reports_nothing_handled_everything() {
    let mut queue = Queue::with(&["a", "b"]).await;
    queue.source.reports_failures = false;
    let delivery = queue
        .deliver(|event| {
            let failed = ids_of(event).remove(0);
            Ok(json!({ "batchItemFailures": [{ "itemIdentifier": failed }] }))
        })
        .await;
    assert_eq!(delivery.failed, 0);
    assert_eq!(queue.len().await, 0);
}

#[tokio::test]
async fn a_schedule_sends_its_input() {
    let queue = Queue::with(&[]).await;
    let timing = Timing::Every(Duration::from_millis(10));
    let url = &queue.source.queue_url;
    let schedule = run_schedule(&queue.sqs, &timing, url, r#"{"schedule":"sweep"}"#, |_| {});
    let _ = tokio::time::timeout(Duration::from_millis(200), schedule).await;
    let seen = Mutex::new(Value::Null);
    queue
        .deliver(|event| {
            *seen.lock().unwrap() = event["Records"][0]["body"].clone();
            Ok(Value::Null)
        })
        .await;
    assert_eq!(seen.into_inner().unwrap(), r#"{"schedule":"sweep"}"#);
}

#[tokio::test]
async fn a_function_that_nobody_runs_is_an_error() {
    // The local SQS answers this path with an error, as a Lambda without the function would.
    let queue = Queue::with(&[]).await;
    let url = queue._aws.sqs_url();
    let invoke = function(url, "worker", Duration::from_secs(5));
    let error = invoke(json!({})).await.unwrap_err();
    assert!(error.to_string().starts_with("worker failed: "), "{error}");
}
