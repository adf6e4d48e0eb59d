//! S3: s3s over a folder of files, with one key pair. Signatures, expiry and the policies of posted forms are checked.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, anyhow, bail};
use hyper::service::service_fn;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Storage, http};

/// The buckets, each a folder in one folder.
///
/// That one is made at the first use: most tests use no bucket, and a process that ends without dropping what it
/// keeps in a `static` leaves its temporary folder behind.
#[derive(Clone)]
pub(super) struct Buckets {
    storage: Storage,
    opened: Arc<OnceLock<Opened>>,
}

struct Opened {
    folder: PathBuf,
    service: S3Service,
    /// Removes the folder when it is dropped.
    _temporary: Option<TempDir>,
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
            let temporary = tempfile::Builder::new()
                .prefix("sheaf-s3-")
                .tempdir()
                .context("the local S3 got no temporary folder")?;
            (temporary.path().to_owned(), Some(temporary))
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
    Ok(Opened {
        folder,
        service: builder.build(),
        _temporary: temporary,
    })
}

pub(super) fn serve(listener: TcpListener, buckets: Buckets, stopped: watch::Receiver<()>) {
    let service = service_fn(move |request: ::http::Request<hyper::body::Incoming>| {
        let buckets = buckets.clone();
        async move {
            let service = &buckets.opened()?.service;
            let response = service.call(request.map(s3s::Body::from)).await;
            response.map_err(|error| anyhow!("{error:?}"))
        }
    });
    http::serve(listener, service, stopped);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_sdk_s3::presigning::PresigningConfig;

    use super::super::{LocalAws, Ports, REGION, credentials, plain_http};
    use super::*;

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
        use http_body_util::BodyExt;

        let client =
            hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
                .build_http::<http_body_util::Empty<bytes::Bytes>>();
        let answer = client.get(url.parse().unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}
