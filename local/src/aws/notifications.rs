//! What buckets tell queues: the event of each object that is created below a prefix.
//!
//! As with S3, an upload succeeds whatever becomes of its event. Unlike there, the event is in the queue before the
//! upload is answered.

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use aws_sdk_sqs::Client;
use http::{Method, StatusCode};
use jiff::Timestamp;
use s3s::access::S3Access;
use s3s::dto::PutObjectInput;
use s3s::{S3Request, S3Result, s3_error};
use serde_json::{Value, json};

use super::REGION;

/// That a bucket tells a queue of each object whose key begins like this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub prefix: String,
    pub queue_url: String,
}

#[derive(Clone)]
pub(super) struct Notifications {
    sqs: Client,
    /// By the names of the buckets.
    rules: Arc<RwLock<BTreeMap<String, Vec<Notification>>>>,
}

impl Notifications {
    pub(super) fn new(sqs: Client) -> Self {
        let rules = Arc::default();
        Self { sqs, rules }
    }

    /// What a bucket tells from now on.
    pub(super) fn set(&self, bucket: &str, notifications: Vec<Notification>) {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        rules.insert(bucket.to_owned(), notifications);
    }

    /// Tells what a request has created, if it has.
    pub(super) async fn tell(&self, upload: &Upload, answer: StatusCode) {
        let failed = answer.is_client_error() || answer.is_server_error();
        let Some(object) = upload.0.get().filter(|_| !failed) else {
            return;
        };
        for queue_url in self.queues(object) {
            let send = self.sqs.send_message().queue_url(queue_url);
            let _ = send.message_body(object.event().to_string()).send().await;
        }
    }

    fn queues(&self, object: &Object) -> Vec<String> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let of_bucket = rules.get(&object.bucket).into_iter().flatten();
        let matching = of_bucket.filter(|rule| object.key.starts_with(&rule.prefix));
        matching.map(|rule| rule.queue_url.clone()).collect()
    }
}

/// What a request is about to create. It travels with the request, and [`Noting`] fills it in.
#[derive(Clone, Default)]
pub(super) struct Upload(Arc<OnceLock<Object>>);

struct Object {
    bucket: String,
    key: String,
    size: i64,
    /// By a form, and not by a request of an SDK.
    is_posted: bool,
}

impl Object {
    /// As S3 tells it, as far as anybody has asked.
    fn event(&self) -> Value {
        let kind = if self.is_posted { "Post" } else { "Put" };
        let bucket = &self.bucket;
        let record = json!({
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": REGION,
            "eventTime": Timestamp::now(),
            "eventName": format!("ObjectCreated:{kind}"),
            "s3": {
                "s3SchemaVersion": "1.0",
                "bucket": { "name": bucket, "arn": format!("arn:aws:s3:::{bucket}") },
                "object": { "key": encoded(&self.key), "size": self.size },
            },
        });
        json!({ "Records": [record] })
    }
}

/// A key as it stands in an event: as a form would send it, but with its slashes.
fn encoded(key: &str) -> String {
    let letters = key.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => {
            char::from(byte).to_string()
        }
        b' ' => "+".to_owned(),
        byte => format!("%{byte:02X}"),
    });
    letters.collect()
}

/// Allows what is signed, as S3 does without it, and notes what it creates: only here the key of a form is known.
pub(super) struct Noting {
    /// With a folder for each bucket. An upload to another would make it.
    pub(super) folder: PathBuf,
}

impl S3Access for Noting {
    /// For uploads of both kinds. (Written as the macro `async_trait` would write it.)
    fn put_object<'a, 'b, 'c>(
        &'a self,
        request: &'b mut S3Request<PutObjectInput>,
    ) -> Pin<Box<dyn Future<Output = S3Result<()>> + Send + 'c>>
    where
        Self: 'c,
        'a: 'c,
        'b: 'c,
    {
        let input = &request.input;
        if !self.folder.join(&input.bucket).is_dir() {
            return Box::pin(ready(Err(s3_error!(NoSuchBucket))));
        }
        if let Some(upload) = request.extensions.get::<Upload>() {
            upload.0.get_or_init(|| Object {
                bucket: input.bucket.clone(),
                key: input.key.clone(),
                size: input.content_length.unwrap_or_default(),
                is_posted: request.method == Method::POST,
            });
        }
        Box::pin(ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_as_s3_does_it() {
        for (key, expected) in [
            ("pending/1-2_3.x", "pending/1-2_3.x"),
            ("red flower.jpg", "red+flower.jpg"),
            ("a+b%ä", "a%2Bb%25%C3%A4"),
        ] {
            assert_eq!(encoded(key), expected);
        }
    }
}
