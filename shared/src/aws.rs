//! AWS clients made by hand: no profile files, no SSO, no reading of system certificates at start.
//!
//! A Lambda instance gets its credentials and region from the environment, for as long as it lives. The
//! clients trust Amazon's own certificate authorities, which sign every AWS endpoint; a set `AWS_CA_BUNDLE`
//! replaces them.

use std::time::Duration;

use anyhow::Context;
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Region, SharedCredentialsProvider, SharedHttpClient,
    StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};

use crate::config::Aws;

/// What all clients of an instance have in common.
#[derive(Clone, Debug)]
pub struct Clients {
    pub http: SharedHttpClient,
    pub credentials: SharedCredentialsProvider,
    pub region: Region,
    pub retry: RetryConfig,
    pub timeout: TimeoutConfig,
}

impl Clients {
    pub fn new(aws: &Aws) -> anyhow::Result<Self> {
        let credentials = Credentials::new(
            &aws.access_key_id,
            aws.secret_access_key.reveal(),
            aws.session_token.as_ref().map(|t| t.reveal().to_owned()),
            None,
            "environment",
        );
        // An attempt that takes longer than this will not get better; the function's own time is 15 s.
        let timeout = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_attempt_timeout(Duration::from_secs(3))
            .operation_timeout(Duration::from_secs(8));
        Ok(Self {
            http: http_client(aws)?,
            credentials: SharedCredentialsProvider::new(credentials),
            region: Region::new(aws.region.clone()),
            retry: RetryConfig::standard().with_initial_backoff(Duration::from_millis(25)),
            timeout: timeout.build(),
        })
    }

    pub fn dynamodb(&self, aws: &Aws) -> aws_sdk_dynamodb::config::Builder {
        let mut config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(self.http.clone())
            .credentials_provider(self.credentials.clone())
            .region(self.region.clone())
            .retry_config(self.retry.clone())
            .timeout_config(self.timeout.clone())
            // Answers are small and whole; the attempt's time-out is enough.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url(aws.dynamodb_endpoint.clone());
        config
    }

    pub fn sqs(&self, aws: &Aws) -> aws_sdk_sqs::Client {
        let mut config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(self.http.clone())
            .credentials_provider(self.credentials.clone())
            .region(self.region.clone())
            .retry_config(self.retry.clone())
            .timeout_config(self.timeout.clone());
        config.set_endpoint_url(aws.sqs_endpoint.clone());
        aws_sdk_sqs::Client::from_conf(config.build())
    }
}

static AMAZON_ROOTS: &[u8] = include_bytes!("amazon_roots.pem");

fn http_client(aws: &Aws) -> anyhow::Result<SharedHttpClient> {
    let roots = match &aws.ca_bundle {
        Some(path) => std::fs::read(path).with_context(|| format!("read AWS_CA_BUNDLE {path}"))?,
        None => AMAZON_ROOTS.to_vec(),
    };
    let trust = TrustStore::empty().with_pem_certificate(roots);
    let context = TlsContext::builder().with_trust_store(trust).build()?;
    Ok(Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .build_https())
}
