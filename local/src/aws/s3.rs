//! S3: s3s over a folder of files, with one key pair. Signatures, expiry and the policies of posted forms are checked.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, anyhow, bail};
use hyper::service::service_fn;
use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::notifications::{Notifications, Noting, Upload};
use super::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Storage, http};

/// How far a signature may be from now, in seconds: a week. What is signed ends by its own rules, as with S3, and the
/// clocks of tests are ahead.
const MOST_SKEW: u32 = 604_800;

/// The buckets, each a folder in one folder, which is made at the first use.
#[derive(Clone)]
pub(super) struct Buckets {
    storage: Storage,
    opened: Arc<OnceLock<Opened>>,
}

struct Opened {
    folder: PathBuf,
    service: S3Service,
    _temporary: Option<Temporary>,
}

/// Removes the folder when it is dropped. A process that ends without dropping what it keeps in a `static` leaves it
/// behind, for the next one to remove: it can tell by the lock.
struct Temporary {
    folder: TempDir,
    _lock: File,
}

/// What the names of temporary folders begin with.
const TEMPORARY: &str = "sheaf-s3-";

/// A file in each of them. No bucket is called like this.
const LOCK: &str = ".lock";

impl Temporary {
    fn new() -> Result<Self> {
        remove_left_behind();
        let folder = tempfile::Builder::new().prefix(TEMPORARY).tempdir()?;
        // Under another name until it is locked, so that nobody takes the folder for one that was left behind.
        let unseen = folder.path().join(".locking");
        let lock = File::create(&unseen)?;
        lock.lock()?;
        std::fs::rename(unseen, folder.path().join(LOCK))?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }
}

fn remove_left_behind() {
    let entries = std::fs::read_dir(std::env::temp_dir());
    for entry in entries.into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        let is_left = |lock: File| lock.try_lock().is_ok();
        if is_ours && File::open(entry.path().join(LOCK)).is_ok_and(is_left) {
            // If it fails, somebody else is doing it.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

impl Buckets {
    pub(super) fn new(storage: &Storage) -> Self {
        Self {
            storage: storage.clone(),
            opened: Arc::default(),
        }
    }

    pub(super) fn create(&self, name: &str) -> Result<()> {
        let well_named = (3..=63).contains(&name.len())
            && name
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !well_named {
            bail!("`{name}` is no name for a bucket: use 3 to 63 of a-z, 0-9 and -");
        }
        let folder = self.opened()?.folder.join(name);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("the bucket folder {} cannot be made", folder.display()))
    }

    fn opened(&self) -> Result<&Opened> {
        match self.opened.get() {
            Some(opened) => Ok(opened),
            None => {
                let opened = open(&self.storage)?;
                // Two callers may both have come here; the first wins, and what the other made goes again.
                Ok(self.opened.get_or_init(|| opened))
            }
        }
    }
}

fn open(storage: &Storage) -> Result<Opened> {
    let (folder, temporary) = match storage {
        Storage::Folder(folder) => {
            let folder = folder.join("s3");
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
            (folder, None)
        }
        Storage::Memory => {
            let temporary = Temporary::new().context("the local S3 got no temporary folder")?;
            (temporary.folder.path().to_owned(), Some(temporary))
        }
    };
    let files = FileSystem::new(&folder).map_err(|error| {
        anyhow!(
            "the local S3 cannot use the folder {}: {error:?}",
            folder.display()
        )
    })?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
    builder.set_access(Noting {
        folder: folder.clone(),
    });
    let mut config = S3Config::default();
    config.presigned_url_max_skew_time_secs = MOST_SKEW;
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    Ok(Opened {
        folder,
        service: builder.build(),
        _temporary: temporary,
    })
}

pub(super) fn serve(
    listener: TcpListener,
    buckets: Buckets,
    notifications: Notifications,
    stopped: watch::Receiver<()>,
) {
    let service = service_fn(move |request: ::http::Request<hyper::body::Incoming>| {
        let (buckets, notifications) = (buckets.clone(), notifications.clone());
        async move {
            let service = &buckets.opened()?.service;
            let upload = Upload::default();
            let mut request = request.map(s3s::Body::from);
            request.extensions_mut().insert(upload.clone());
            let response = service.call(request).await;
            let response = response.map_err(|error| anyhow!("{error:?}"))?;
            notifications.tell(&upload, response.status()).await;
            anyhow::Ok(response)
        }
    });
    http::serve(listener, service, stopped);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_sdk_s3::presigning::PresigningConfig;
    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    use jiff::SignedDuration;

    use serde_json::{Value, json};
    use shared::bucket::{Bucket, Form};
    use shared::models::file::ContentType;
    use shared::{App, Config};

    use super::super::{
        LocalAws, Notification, Ports, REGION, credentials, plain_http, sqs_client,
    };
    use super::*;
    use crate::environment;

    #[tokio::test]
    async fn an_object_goes_in_and_a_presigned_link_brings_it_out() {
        let aws = LocalAws::start(Storage::Memory, Ports::Any).unwrap();
        aws.create_bucket("files-bucket").unwrap();
        aws.create_bucket("files-bucket").unwrap();
        let s3 = client(&aws);

        s3.put_object()
            .bucket("files-bucket")
            .key("pending/hello.txt")
            .content_type("text/plain")
            .body(b"hello".to_vec().into())
            .send()
            .await
            .unwrap();
        let object = s3
            .get_object()
            .bucket("files-bucket")
            .key("pending/hello.txt")
            .send()
            .await
            .unwrap();
        assert_eq!(object.content_type(), Some("text/plain"));
        assert_eq!(
            object.body.collect().await.unwrap().into_bytes().as_ref(),
            b"hello"
        );

        let link = s3
            .get_object()
            .bucket("files-bucket")
            .key("pending/hello.txt")
            .presigned(PresigningConfig::expires_in(Duration::from_secs(60)).unwrap())
            .await
            .unwrap();
        assert_eq!(get(link.uri()).await, (200, "hello".to_owned()));

        let forged = link.uri().replace("hello.txt", "other.txt");
        assert_eq!(get(&forged).await.0, 403);
    }

    #[tokio::test]
    async fn a_queue_is_told_of_each_object_below_a_prefix() {
        let aws = LocalAws::start(Storage::Memory, Ports::Any).unwrap();
        let sqs = sqs_client(aws.sqs_url());
        let queue = sqs.create_queue().queue_name("tasks").send().await.unwrap();
        let queue = queue.queue_url.unwrap();
        for name in ["files-bucket", "other-bucket"] {
            aws.create_bucket(name).unwrap();
        }
        let rule = Notification {
            prefix: "pending/".to_owned(),
            queue_url: queue.clone(),
        };
        aws.notify("files-bucket", vec![rule.clone()]);
        // As at the next start of `cargo dev`: it is told once all the same.
        aws.notify("files-bucket", vec![rule]);

        let s3 = client(&aws);
        for (bucket, key) in [
            ("files-bucket", "files/1"),
            ("other-bucket", "pending/2"),
            ("missing-bucket", "pending/3"),
            ("files-bucket", "pending/4 5"),
        ] {
            let put = s3.put_object().bucket(bucket).key(key);
            let put = put.body(b"hello".to_vec().into()).send().await;
            assert_eq!(put.is_ok(), bucket != "missing-bucket");
        }
        let got = s3.get_object().bucket("files-bucket").key("pending/4 5");
        got.send().await.unwrap();

        let receive = sqs.receive_message().queue_url(queue);
        let received = receive.max_number_of_messages(10).send().await.unwrap();
        let [message] = received.messages() else {
            panic!("{:?}", received.messages());
        };
        let event: Value = serde_json::from_str(message.body().unwrap()).unwrap();
        let [record] = event["Records"].as_array().unwrap().as_slice() else {
            panic!("{event}");
        };
        assert_eq!(record["eventSource"], "aws:s3");
        assert_eq!(record["eventName"], "ObjectCreated:Put");
        assert_eq!(record["s3"]["bucket"]["name"], "files-bucket");
        let object = json!({"key": "pending/4+5", "size": 5});
        assert_eq!(record["s3"]["object"], object);
    }

    #[tokio::test]
    async fn a_queue_is_told_of_what_a_form_uploads() {
        let aws = LocalAws::start(Storage::Memory, Ports::Any).unwrap();
        let sqs = sqs_client(aws.sqs_url());
        let queue = sqs.create_queue().queue_name("tasks").send().await.unwrap();
        let queue_url = queue.queue_url.unwrap();
        aws.create_bucket("files-bucket").unwrap();
        let notification = Notification {
            prefix: String::new(),
            queue_url: queue_url.clone(),
        };
        aws.notify("files-bucket", vec![notification]);

        let mut variables = environment::aws(aws.endpoints());
        for (name, value) in [
            ("ENVIRONMENT", "test"),
            ("APP_TABLE", "app-table"),
            ("TASK_QUEUE_URL", &queue_url),
            ("FILES_BUCKET", "files-bucket"),
        ] {
            variables.insert(name.to_owned(), value.to_owned());
        }
        let config = Config::from_lookup(|name| variables.get(name).cloned());
        let app = App::new(config.unwrap()).unwrap();
        let bucket = Bucket::new(&app).unwrap();
        let form = |from| {
            let form = bucket.form("pending/1", ContentType::Text, 5, from, 900);
            form.unwrap()
        };
        let now = app.clock.now();
        assert_eq!(post(&form(now), "hello!").await, 400);
        // It is good as long as its policy says, by whatever clock it was signed.
        let long_ago = now - SignedDuration::from_mins(16);
        assert_eq!(post(&form(long_ago), "hello").await, 403);
        let ahead = now + SignedDuration::from_hours(2);
        assert_eq!(post(&form(ahead), "hello").await, 204);

        let receive = sqs.receive_message().queue_url(queue_url);
        let received = receive.max_number_of_messages(10).send().await.unwrap();
        let [message] = received.messages() else {
            panic!("{:?}", received.messages());
        };
        let event: Value = serde_json::from_str(message.body().unwrap()).unwrap();
        let record = &event["Records"][0];
        assert_eq!(record["eventName"], "ObjectCreated:Post");
        let object = json!({"key": "pending/1", "size": 5});
        assert_eq!(record["s3"]["object"], object);
    }

    #[test]
    fn what_a_process_left_behind_is_removed() {
        let left = tempfile::Builder::new().prefix(TEMPORARY).tempdir();
        let left = left.unwrap().keep();
        std::fs::write(left.join("object"), "hello").unwrap();
        let running = Temporary::new().unwrap();
        assert!(left.exists(), "who has no lock may be about to get it");

        File::create(left.join(LOCK)).unwrap();
        drop(Temporary::new().unwrap());
        assert!(!left.exists());
        assert!(running.folder.path().exists());
    }

    #[test]
    fn a_bucket_name_cannot_leave_the_folder() {
        let buckets = Buckets::new(&Storage::Memory);
        for name in ["../elsewhere", "Upper", "a", "with/slash"] {
            assert!(buckets.create(name).is_err(), "{name}");
        }
    }

    fn client(aws: &LocalAws) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::from_conf(
            aws_sdk_s3::Config::builder()
                .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
                .region(aws_sdk_s3::config::Region::new(REGION))
                .credentials_provider(credentials())
                .http_client(plain_http())
                .endpoint_url(aws.s3_url())
                .force_path_style(true)
                .build(),
        )
    }

    async fn get(url: &str) -> (u16, String) {
        send(::http::Request::get(url).body(Full::default()).unwrap()).await
    }

    /// Sends a form as a browser does it, and answers the status.
    async fn post(form: &Form, file: &str) -> u16 {
        let part = |name: &str, value: &str| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let fields = form.fields.iter().map(|(name, value)| part(name, value));
        let body = format!(
            "{}{}--b--\r\n",
            fields.collect::<String>(),
            part("file", file)
        );
        let request = ::http::Request::post(&form.url)
            .header("content-type", "multipart/form-data; boundary=b")
            .body(Full::from(body));
        send(request.unwrap()).await.0
    }

    async fn send(request: ::http::Request<Full<Bytes>>) -> (u16, String) {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let answer = client.request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}
