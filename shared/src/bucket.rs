//! The bucket with the bytes of all files: the only room that knows S3.
//!
//! A file's row is written before any of its objects, so that no object is without a row that leads to its removal.
//! Clients get and send large files without us: by links and forms that are signed for one object, for some minutes.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use aws_types::SdkConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use ring::hmac;
use serde_json::json;

use crate::App;
use crate::config::{Aws, Hidden};
use crate::error::{Context, Error, Result};
use crate::models::file::ContentType;

/// How long the bytes of one object may take, with all attempts.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long an attempt may take: the largest object in both directions, with time to spare.
const ATTEMPT: Duration = Duration::from_secs(10);

/// How many objects S3 deletes at once.
const BATCH: usize = 1_000;

/// The keys of objects. Each says by its beginning how long the object lives; see the rules in `template.yaml`.
pub mod keys {
    use uuid::Uuid;

    const PENDING: &str = "pending/";

    /// An upload that is not checked yet. Gone after a day, whatever happens.
    pub fn pending(id: Uuid) -> String {
        format!("{PENDING}{id}")
    }

    /// Whose upload this is the key of.
    pub fn pending_id(key: &str) -> Option<Uuid> {
        let id = key.strip_prefix(PENDING)?.parse().ok()?;
        // A UUID can be written in several ways, and only one of them is a key.
        (pending(id) == key).then_some(id)
    }

    /// The file itself, once it is checked.
    pub fn stored(id: Uuid, hash: &str) -> String {
        format!("{}{hash}", all_of(id))
    }

    pub fn variant(id: Uuid, hash: &str, name: &str) -> String {
        format!("{}{hash}-{name}", all_of(id))
    }

    /// What the keys of a file and of its variants begin with.
    pub fn all_of(id: Uuid) -> String {
        format!("files/{id}/")
    }

    /// What a task is to work on. Gone after a day, whatever happens.
    pub fn work(id: Uuid) -> String {
        format!("work/{id}")
    }
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bucket {
    client: Client,
    name: String,
    /// What forms are signed with; links are signed by the client.
    aws: Aws,
}

/// What somebody gets who follows a link, beside the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    pub content_type: ContentType,
    /// A `Content-Disposition` (RFC 6266).
    pub disposition: String,
    pub cache_control: Option<String>,
}

/// A form that uploads one object: `multipart/form-data` with these fields, and after them the field `file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    pub url: String,
    pub fields: BTreeMap<String, String>,
}

impl Bucket {
    /// Makes the client; opens no connection yet.
    pub fn new(app: &App) -> Result<Self> {
        let name = app.config.files_bucket.as_deref();
        let name = name.context("FILES_BUCKET is not set")?;
        Ok(Self::with_sdk(&app.sdk, &app.config.aws, name))
    }

    fn with_sdk(sdk: &SdkConfig, aws: &Aws, name: &str) -> Self {
        // Other requests are small, and so is the time that the SDK's configuration gives them.
        let timeout = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(PATIENCE);
        let mut s3 = aws_sdk_s3::config::Builder::from(sdk)
            .timeout_config(timeout.build())
            // The signature covers the bytes, and we hash them. Not every S3 knows the checksums that come on top.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            // An endpoint of one's own seldom has a name for each bucket.
            .force_path_style(aws.s3_endpoint.is_some());
        s3.set_endpoint_url(aws.s3_endpoint.clone());
        Self {
            client: Client::from_conf(s3.build()),
            name: name.to_owned(),
            aws: aws.clone(),
        }
    }

    /// Writes an object, in the place of one that has the key.
    pub async fn put(&self, key: &str, bytes: Vec<u8>, content_type: ContentType) -> Result<()> {
        let request = self.client.put_object().bucket(&self.name).key(key);
        let request = request.content_type(content_type.as_str());
        let request = request.body(ByteStream::from(bytes));
        request.send().await.map_err(failed("write an object"))?;
        Ok(())
    }

    /// Reads an object; `None` if there is none. One of more than `most` bytes is refused without reading it all.
    pub async fn get(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>> {
        let request = self.client.get_object().bucket(&self.name).key(key);
        let object = match request.send().await {
            Ok(object) => object,
            Err(error) => {
                let refusal = error.as_service_error();
                return match refusal.is_some_and(GetObjectError::is_no_such_key) {
                    true => Ok(None),
                    false => Err(failed("read an object")(error)),
                };
            }
        };
        let announced = object.content_length.unwrap_or_default();
        if u64::try_from(announced).is_ok_and(|length| length > most) {
            return Err(too_large(most));
        }
        // The client's time-outs end with the head of the answer.
        let bytes = tokio::time::timeout(PATIENCE, read(object.body, most)).await;
        bytes.map_err(|_| unavailable("read an object", "it took too long"))?
    }

    /// Deletes objects; those that are not there are fine. If it fails, some were deleted.
    pub async fn delete(&self, keys: &[String]) -> Result<()> {
        for batch in keys.chunks(BATCH) {
            let name = |key: &String| ObjectIdentifier::builder().key(key).build();
            let names = batch.iter().map(name).collect::<Result<_, _>>();
            let names = names.context("name objects")?;
            let delete = Delete::builder().set_objects(Some(names)).quiet(true);
            let delete = delete.build().context("name objects")?;
            let request = self.client.delete_objects().bucket(&self.name);
            let output = request.delete(delete).send().await;
            let output = output.map_err(failed("delete objects"))?;
            if let Some(error) = output.errors().first() {
                return Err(refused("delete objects", error.code()));
            }
        }
        Ok(())
    }

    /// The keys that begin like this, in order.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        let mut next = None;
        loop {
            let request = self.client.list_objects_v2().bucket(&self.name);
            let request = request.prefix(prefix).set_continuation_token(next);
            let page = request.send().await.map_err(failed("list objects"))?;
            let objects = page.contents.unwrap_or_default().into_iter();
            keys.extend(objects.filter_map(|object| object.key));
            next = page.next_continuation_token;
            if next.is_none() {
                return Ok(keys);
            }
        }
    }

    /// A link to an object, good for so many seconds from then on; the same one for the same arguments. Asks nobody,
    /// not even whether the object is there. It ends with the credentials of the instance at the latest.
    pub async fn link(
        &self,
        key: &str,
        download: &Download,
        from: Timestamp,
        seconds: u32,
    ) -> Result<String> {
        let presigning = PresigningConfig::builder()
            .start_time(SystemTime::from(from))
            .expires_in(Duration::from_secs(seconds.into()))
            .build();
        let request = self.client.get_object().bucket(&self.name).key(key);
        let request = request
            .response_content_type(download.content_type.as_str())
            .response_content_disposition(&download.disposition)
            .set_response_cache_control(download.cache_control.clone());
        let link = request.presigned(presigning.context("time a link")?);
        let link = link.await.map_err(failed("sign a link"))?;
        Ok(link.uri().to_owned())
    }

    /// A form that uploads an object under this key, of this type, and of exactly so many bytes; good for so many
    /// seconds. S3 itself refuses everything else.
    ///
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html>
    pub fn form(
        &self,
        key: &str,
        content_type: ContentType,
        size: u64,
        now: Timestamp,
        seconds: u32,
    ) -> Result<Form> {
        let Aws {
            region,
            access_key_id,
            secret_access_key,
            session_token,
            ..
        } = &self.aws;
        let date = now.strftime("%Y%m%d").to_string();
        let scope = format!("{access_key_id}/{date}/{region}/s3/aws4_request");
        let signed = [
            ("key", key.to_owned()),
            ("Content-Type", content_type.as_str().to_owned()),
            ("x-amz-algorithm", "AWS4-HMAC-SHA256".to_owned()),
            ("x-amz-credential", scope),
            ("x-amz-date", now.strftime("%Y%m%dT%H%M%SZ").to_string()),
        ];
        let token = session_token.as_ref().map(|t| t.reveal().to_owned());
        let token = token.map(|token| ("x-amz-security-token", token));
        let mut fields: BTreeMap<String, String> = signed
            .into_iter()
            .chain(token)
            .map(|(name, value)| (name.to_owned(), value))
            .collect();

        let mut conditions = vec![
            json!({"bucket": self.name}),
            json!(["content-length-range", size, size]),
        ];
        conditions.extend(fields.iter().map(|(name, value)| json!({name: value})));
        let until = now + SignedDuration::from_secs(seconds.into());
        let policy = json!({"expiration": format!("{until:.3}"), "conditions": conditions});
        let policy = STANDARD.encode(policy.to_string());
        let signature = signature(secret_access_key, &date, region, &policy);
        fields.insert("policy".to_owned(), policy);
        fields.insert("x-amz-signature".to_owned(), signature);
        Ok(Form {
            url: self.url(),
            fields,
        })
    }

    /// Where forms go.
    fn url(&self) -> String {
        let (name, region) = (&self.name, &self.aws.region);
        match &self.aws.s3_endpoint {
            Some(endpoint) => format!("{}/{name}", endpoint.trim_end_matches('/')),
            None if region.starts_with("cn-") => {
                format!("https://{name}.s3.{region}.amazonaws.com.cn/")
            }
            None => format!("https://{name}.s3.{region}.amazonaws.com/"),
        }
    }
}

async fn read(mut body: ByteStream, most: u64) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    loop {
        match body.try_next().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(Some(bytes)),
            Err(error) => {
                let cause = anyhow::Error::new(error).context("read an object");
                return Err(Error::Unavailable(cause));
            }
        }
        if bytes.len() as u64 > most {
            return Err(too_large(most));
        }
    }
}

fn too_large(most: u64) -> Error {
    Error::BodyTooLarge(usize::try_from(most).unwrap_or(usize::MAX))
}

/// The signature of a policy: HMAC-SHA256 with a key that is good for one day, region and service.
fn signature(secret: &Hidden, date: &str, region: &str, policy: &str) -> String {
    let sign = |key: &[u8], text: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, text.as_bytes())
    };
    let mut key = sign(format!("AWS4{}", secret.reveal()).as_bytes(), date);
    for part in [region, "s3", "aws4_request"] {
        key = sign(key.as_ref(), part);
    }
    let signature = sign(key.as_ref(), policy);
    let digits = signature.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// Turns what the SDK says into an [`Error`]: unreachable and throttled may pass, the rest is our fault.
fn failed<E>(doing: &'static str) -> impl FnOnce(SdkError<E>) -> Error
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    move |error| match &error {
        SdkError::ServiceError(service) => refused(doing, service.err().code()),
        _ => Error::Unavailable(anyhow::Error::new(error).context(doing)),
    }
}

/// What S3 has answered, without its message, which may name the object.
fn refused(doing: &'static str, code: Option<&str>) -> Error {
    // Without a code it was not S3 itself that has answered.
    let told = code.unwrap_or("an answer without a code");
    match code {
        None | Some("InternalError" | "RequestTimeout" | "ServiceUnavailable" | "SlowDown") => {
            unavailable(doing, told)
        }
        Some(_) => Error::Internal(anyhow::Error::msg(told.to_owned()).context(doing)),
    }
}

fn unavailable(doing: &'static str, why: &str) -> Error {
    Error::Unavailable(anyhow::Error::msg(why.to_owned()).context(doing))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;
    use crate::Config;

    const NOW: Timestamp = Timestamp::constant(1_700_000_000, 123_000_000);

    fn bucket(more: &[(&str, &str)]) -> Result<Bucket> {
        let config = Config::from_lookup(|name| {
            let more = more.iter().find(|(known, _)| *known == name);
            let value = more.map(|(_, value)| *value).or(match name {
                "APP_TABLE" => Some("app"),
                "TASK_QUEUE_URL" => Some("http://127.0.0.1:1/queue"),
                "AWS_REGION" => Some("eu-central-1"),
                "AWS_ACCESS_KEY_ID" => Some("AKIDEXAMPLE"),
                "AWS_SECRET_ACCESS_KEY" => Some("a secret key"),
                "FILES_BUCKET" => Some("files"),
                _ => None,
            });
            value.map(str::to_owned)
        });
        Bucket::new(&App::new(config.unwrap()).unwrap())
    }

    fn form(bucket: &Bucket) -> Form {
        let form = bucket.form("pending/1", ContentType::Png, 1_000, NOW, 900);
        form.unwrap()
    }

    fn policy(form: &Form) -> Value {
        let policy = STANDARD.decode(&form.fields["policy"]).unwrap();
        serde_json::from_slice(&policy).unwrap()
    }

    /// The example of <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html>.
    #[test]
    fn policies_are_signed_as_aws_publishes_it() {
        let policy = [
            r#"{ "expiration": "2015-12-30T12:00:00.000Z","#,
            r#"  "conditions": ["#,
            r#"    {"bucket": "sigv4examplebucket"},"#,
            r#"    ["starts-with", "$key", "user/user1/"],"#,
            r#"    {"acl": "public-read"},"#,
            r#"    {"success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},"#,
            r#"    ["starts-with", "$Content-Type", "image/"],"#,
            r#"    {"x-amz-meta-uuid": "14365123651274"},"#,
            r#"    {"x-amz-server-side-encryption": "AES256"},"#,
            r#"    ["starts-with", "$x-amz-meta-tag", ""],"#,
            "",
            r#"    {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"},"#,
            r#"    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},"#,
            r#"    {"x-amz-date": "20151229T000000Z" }"#,
            "  ]",
            "}",
        ];
        let policy = STANDARD.encode(policy.join("\r\n"));
        let secret = Hidden::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        assert_eq!(
            signature(&secret, "20151229", "us-east-1", &policy),
            "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"
        );
    }

    #[test]
    fn a_form_is_good_for_one_object() {
        let form = form(&bucket(&[]).unwrap());
        assert_eq!(form.url, "https://files.s3.eu-central-1.amazonaws.com/");
        let credential = "AKIDEXAMPLE/20231114/eu-central-1/s3/aws4_request";
        let expected = json!({
            "expiration": "2023-11-14T22:28:20.123Z",
            "conditions": [
                {"bucket": "files"},
                ["content-length-range", 1_000, 1_000],
                {"Content-Type": "image/png"},
                {"key": "pending/1"},
                {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
                {"x-amz-credential": credential},
                {"x-amz-date": "20231114T221320Z"},
            ],
        });
        assert_eq!(policy(&form), expected);
        let secret = Hidden::new("a secret key");
        let signature = signature(&secret, "20231114", "eu-central-1", &form.fields["policy"]);
        let expected = [
            ("Content-Type", "image/png"),
            ("key", "pending/1"),
            ("policy", &form.fields["policy"]),
            ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
            ("x-amz-credential", credential),
            ("x-amz-date", "20231114T221320Z"),
            ("x-amz-signature", &signature),
        ];
        let found = form.fields.iter().map(|(name, value)| (&**name, &**value));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_session_token_goes_into_the_form_and_its_policy() {
        let form = form(&bucket(&[("AWS_SESSION_TOKEN", "a token")]).unwrap());
        assert_eq!(form.fields["x-amz-security-token"], "a token");
        let conditions = policy(&form)["conditions"].take();
        let token = json!({"x-amz-security-token": "a token"});
        assert!(conditions.as_array().unwrap().contains(&token));
    }

    #[test]
    fn forms_go_where_the_bucket_is() {
        for (name, value, expected) in [
            (
                "AWS_ENDPOINT_URL_S3",
                "http://127.0.0.1:9003",
                "http://127.0.0.1:9003/files",
            ),
            (
                "AWS_REGION",
                "cn-north-1",
                "https://files.s3.cn-north-1.amazonaws.com.cn/",
            ),
        ] {
            assert_eq!(form(&bucket(&[(name, value)]).unwrap()).url, expected);
        }
    }

    #[tokio::test]
    async fn a_link_is_the_same_for_the_same_time() {
        let bucket = bucket(&[]).unwrap();
        let download = Download {
            content_type: ContentType::Pdf,
            disposition: "attachment; filename=\"a b.pdf\"".to_owned(),
            cache_control: Some("no-store".to_owned()),
        };
        let link = async |from| {
            let link = bucket.link("files/1/hash", &download, from, 300);
            link.await.unwrap()
        };
        let first = link(NOW).await;
        assert_eq!(link(NOW).await, first);
        assert_ne!(link(NOW + SignedDuration::from_secs(1)).await, first);

        let url = url::Url::parse(&first).unwrap();
        assert_eq!(url.path(), "/files/1/hash");
        let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        for (name, expected) in [
            ("X-Amz-Date", "20231114T221320Z"),
            ("X-Amz-Expires", "300"),
            ("X-Amz-SignedHeaders", "host"),
            ("response-content-type", "application/pdf"),
            (
                "response-content-disposition",
                "attachment; filename=\"a b.pdf\"",
            ),
            ("response-cache-control", "no-store"),
        ] {
            assert_eq!(query[name], expected, "{name}");
        }
    }

    #[test]
    fn keys_begin_with_how_long_they_live() {
        let id: Uuid = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let file = "files/01890a5d-ac96-774b-bcce-b302099a8057/";
        let pending = "pending/01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(keys::pending(id), pending);
        assert_eq!(keys::all_of(id), file);
        assert_eq!(keys::stored(id, "h-_"), format!("{file}h-_"));
        assert_eq!(keys::variant(id, "h-_", "64"), format!("{file}h-_-64"));
        assert_eq!(keys::work(id), "work/01890a5d-ac96-774b-bcce-b302099a8057");

        assert_eq!(keys::pending_id(pending), Some(id));
        for other in [
            "",
            "pending/",
            "pending/x",
            "files/01890a5d-ac96-774b-bcce-b302099a8057",
            "pending/01890a5d-ac96-774b-bcce-b302099a8057/x",
            "pending/01890A5D-AC96-774B-BCCE-B302099A8057",
            "pending/01890a5dac96774bbcceb302099a8057",
        ] {
            assert_eq!(keys::pending_id(other), None, "{other:?}");
        }
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for (code, may_pass) in [
            (Some("SlowDown"), true),
            (Some("InternalError"), true),
            (Some("ServiceUnavailable"), true),
            (Some("RequestTimeout"), true),
            (None, true),
            (Some("AccessDenied"), false),
            (Some("NoSuchBucket"), false),
            (Some("InvalidAccessKeyId"), false),
        ] {
            let error = refused("read an object", code);
            let is_unavailable = matches!(error, Error::Unavailable(_));
            assert_eq!(is_unavailable, may_pass, "{code:?}");
            assert!(is_unavailable || matches!(error, Error::Internal(_)));
        }
    }

    #[test]
    fn a_bucket_is_named_and_keeps_its_secrets() {
        let bucket_of_nobody = bucket(&[("FILES_BUCKET", "")]);
        assert!(matches!(bucket_of_nobody, Err(Error::Internal(_))));
        let bucket = bucket(&[("AWS_SESSION_TOKEN", "a token")]).unwrap();
        let shown = format!("{bucket:?}");
        assert!(!shown.contains("a secret key") && !shown.contains("a token"));
    }
}
