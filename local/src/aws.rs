//! The local AWS: DynamoDB, SQS and S3, each on a port of 127.0.0.1, in this process.
//!
//! It has a runtime of its own. A test process may thus keep one in a `static` and use it from many tests, each of
//! which has a runtime that ends with the test; and whoever drops it never waits for it.

mod dynamodb;
mod http;
mod notifications;
mod s3;
mod sqs;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_credential_types::Credentials;
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub use notifications::Notification;
use notifications::Notifications;

/// The region that clients must name; all three services live in it.
pub const REGION: &str = "us-east-1";
/// The only key pair that the local S3 accepts. DynamoDB and SQS accept any.
pub const ACCESS_KEY_ID: &str = "local";
pub const SECRET_ACCESS_KEY: &str = "local-development-only";

/// Where the data lives. Messages in queues are in memory either way: the sweep sends again what a restart loses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Gone when the process ends.
    Memory,
    /// `dynamodb.sqlite` and `s3/` in this folder, which is made if it is missing.
    Folder(PathBuf),
}

/// Which ports to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Whatever is free.
    Any,
    /// This port for DynamoDB and the next two for SQS and S3, so that they stay the same from run to run. One that
    /// is taken is replaced by any free one.
    From(u16),
}

/// The URLs of the three services, without a final slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    pub dynamodb: String,
    pub sqs: String,
    pub s3: String,
}

/// The running services. They stop when this is dropped; [`LocalAws::shutdown`] also waits for it.
pub struct LocalAws {
    endpoints: Endpoints,
    buckets: s3::Buckets,
    notifications: Notifications,
    stop: Option<watch::Sender<()>>,
    runtime: Option<Runtime>,
}

impl LocalAws {
    /// Starts the three services. It takes some milliseconds and does not need a runtime; in one it does not block
    /// for longer than that.
    pub fn start(storage: Storage, ports: Ports) -> Result<Self> {
        if let Storage::Folder(folder) = &storage {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        }
        let database = dynamodb::open(&storage)?;
        let buckets = s3::Buckets::new(&storage);
        let [dynamodb, sqs, s3] = [0, 1, 2].map(|offset| listen(ports, offset));
        let (dynamodb, sqs, s3) = (dynamodb?, sqs?, s3?);
        let endpoints = Endpoints {
            dynamodb: url(&dynamodb)?,
            sqs: url(&sqs)?,
            s3: url(&s3)?,
        };

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("local-aws")
            .enable_all()
            .build()
            .context("the local AWS could not start its threads")?;
        let (stop, stopped) = watch::channel(());
        let guard = runtime.enter();
        dynamodb::serve(into_tokio(dynamodb)?, database, stopped.clone());
        sqs::serve(into_tokio(sqs)?, endpoints.sqs.clone(), stopped.clone());
        let notifications = Notifications::new(sqs_client(&endpoints.sqs));
        s3::serve(
            into_tokio(s3)?,
            buckets.clone(),
            notifications.clone(),
            stopped,
        );
        drop(guard);

        Ok(Self {
            endpoints,
            buckets,
            notifications,
            stop: Some(stop),
            runtime: Some(runtime),
        })
    }

    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    pub fn dynamodb_url(&self) -> &str {
        &self.endpoints.dynamodb
    }

    pub fn sqs_url(&self) -> &str {
        &self.endpoints.sqs
    }

    pub fn s3_url(&self) -> &str {
        &self.endpoints.s3
    }

    /// Makes a bucket unless it exists.
    pub fn create_bucket(&self, name: &str) -> Result<()> {
        self.buckets.create(name)
    }

    /// What a bucket tells queues from now on, in the place of what it told before.
    pub fn notify(&self, bucket: &str, notifications: Vec<Notification>) {
        self.notifications.set(bucket, notifications);
    }

    /// Lets running requests finish for up to two seconds, then frees the ports and the files.
    pub async fn shutdown(mut self) {
        self.stop = None;
        if let Some(runtime) = self.runtime.take() {
            // Waiting blocks, which only a thread that is meant for it may do.
            let waited = tokio::task::spawn_blocking(move || {
                runtime.shutdown_timeout(Duration::from_secs(2));
            });
            let _ = waited.await;
        }
    }
}

impl Drop for LocalAws {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A DynamoDB client for the local AWS, without the machinery that looks for credentials and certificates.
pub fn dynamodb_client(url: &str) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::from_conf(
        aws_sdk_dynamodb::Config::builder()
            .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
            .region(aws_sdk_dynamodb::config::Region::new(REGION))
            .credentials_provider(credentials())
            .http_client(plain_http())
            .endpoint_url(url)
            .build(),
    )
}

/// An SQS client for the local AWS.
pub fn sqs_client(url: &str) -> aws_sdk_sqs::Client {
    aws_sdk_sqs::Client::from_conf(
        aws_sdk_sqs::Config::builder()
            .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
            .region(aws_sdk_sqs::config::Region::new(REGION))
            .credentials_provider(credentials())
            .http_client(plain_http())
            .endpoint_url(url)
            .build(),
    )
}

fn credentials() -> Credentials {
    Credentials::from_keys(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None)
}

/// The endpoints are plain HTTP, so that no TLS stack has to be linked or set up.
fn plain_http() -> aws_sdk_dynamodb::config::SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_http()
}

fn listen(ports: Ports, offset: u16) -> Result<TcpListener> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = match ports {
        Ports::Any => TcpListener::bind(any_port),
        Ports::From(first) => {
            let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, first.saturating_add(offset)));
            TcpListener::bind(wanted).or_else(|_| TcpListener::bind(any_port))
        }
    };
    listener.context("the local AWS found no free port on 127.0.0.1")
}

fn url(listener: &TcpListener) -> Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}

fn into_tokio(listener: TcpListener) -> Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    Ok(tokio::net::TcpListener::from_std(listener)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn starts_twice_side_by_side_and_frees_its_ports() {
        let first = LocalAws::start(Storage::Memory, Ports::Any).unwrap();
        let second = LocalAws::start(Storage::Memory, Ports::Any).unwrap();
        assert_ne!(first.endpoints(), second.endpoints());

        let address = first.sqs_url().trim_start_matches("http://").to_owned();
        first.shutdown().await;
        TcpListener::bind(address).unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_replaced_by_a_free_one() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let aws = LocalAws::start(Storage::Memory, Ports::From(port)).unwrap();
        assert!(!aws.dynamodb_url().ends_with(&format!(":{port}")));
    }

    #[test]
    fn an_unusable_folder_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let folder = file.path().join("below");
        let error = LocalAws::start(Storage::Folder(folder.clone()), Ports::Any)
            .err()
            .unwrap();
        assert!(error.to_string().contains(&folder.display().to_string()));
    }
}
