//! Calls a function through Lambda's own HTTP interface, which `cargo lambda watch` speaks.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// The function of this name at the Lambda with this URL, to be called with an event.
///
/// A call that takes longer than `timeout` fails: the emulator waits for ever for an instance that was stopped in the
/// middle of a call, as one is when its code changes.
pub fn function(
    lambda_url: &str,
    name: &str,
    timeout: Duration,
) -> impl Fn(Value) -> Pin<Box<dyn Future<Output = Result<Value>> + Send>> + use<> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let url = format!("{lambda_url}/2015-03-31/functions/{name}/invocations");
    let name = name.to_owned();
    move |event| {
        let (client, url, name) = (client.clone(), url.clone(), name.clone());
        Box::pin(async move {
            let request = Request::post(url)
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(Full::from(event.to_string()))?;
            let call = async {
                let answer = client.request(request).await?;
                let status = answer.status();
                let body = answer.into_body().collect().await?.to_bytes();
                anyhow::Ok((status, body))
            };
            let (status, body) = tokio::time::timeout(timeout, call)
                .await
                .with_context(|| format!("{name} did not answer in {timeout:?}"))?
                .with_context(|| format!("{name} could not be called"))?;
            if !status.is_success() {
                bail!("{name} failed: {}", String::from_utf8_lossy(&body).trim());
            }
            if body.is_empty() {
                return Ok(Value::Null);
            }
            serde_json::from_slice(&body).with_context(|| format!("{name} answered no JSON"))
        })
    }
}
