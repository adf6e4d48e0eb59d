//! AWS clients made by hand: no profile files, no SSO, no reading of system certificates at start.
//!
//! A Lambda instance gets its credentials and region from the environment, for as long as it lives. The
//! clients trust Amazon's own certificate authorities, which sign every AWS endpoint; a set `AWS_CA_BUNDLE`
//! replaces them.

use std::time::Duration;

use anyhow::Context;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Region, SharedHttpClient, StalledStreamProtectionConfig, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use aws_types::SdkConfig;

use crate::config::Aws;

/// What all clients of an instance have in common. Each adds its endpoint.
pub fn sdk_config(aws: &Aws) -> anyhow::Result<SdkConfig> {
    let credentials = Credentials::new(
        &aws.access_key_id,
        aws.secret_access_key.reveal(),
        aws.session_token.as_ref().map(|t| t.reveal().to_owned()),
        None,
        "environment",
    );
    // An attempt that takes longer than this will not get better.
    let timeout = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(8));
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client(aws)?)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region(Region::new(aws.region.clone()))
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(25)))
        .timeout_config(timeout.build())
        // Answers are small and whole; the attempt's time-out is enough.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    Ok(config.build())
}

static AMAZON_ROOTS: &[u8] = include_bytes!("amazon_roots.pem");

/// What requests to a service that is not AWS's go through.
pub fn connector(aws: &Aws) -> anyhow::Result<SharedHttpConnector> {
    let connector = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls(aws)?);
    Ok(SharedHttpConnector::new(connector.build()))
}

fn http_client(aws: &Aws) -> anyhow::Result<SharedHttpClient> {
    Ok(Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls(aws)?)
        .build_https())
}

fn tls(aws: &Aws) -> anyhow::Result<TlsContext> {
    let roots = match &aws.ca_bundle {
        Some(path) => std::fs::read(path).with_context(|| format!("read AWS_CA_BUNDLE {path}"))?,
        None => AMAZON_ROOTS.to_vec(),
    };
    let trust = TrustStore::empty().with_pem_certificate(roots);
    Ok(TlsContext::builder().with_trust_store(trust).build()?)
}
