//! The one secret, of which all keys are derived.

use shared::auth::SigningKeys;
use shared::config::{Hidden, SecretSource};
use shared::{App, Context, Result};

/// Fetches the secret, derives the keys, and publishes the public one.
pub async fn unlock(app: &App) -> Result<()> {
    let source = app.config.secret.as_ref();
    let secret = match source.context("neither AUTH_SECRET_ARN nor AUTH_SECRET is set")? {
        SecretSource::Plain(secret) => secret.clone(),
        SecretSource::Arn(arn) => from_secrets_manager(app, arn).await?,
    };
    app.sign_with(SigningKeys::derive(secret.reveal())?).await
}

async fn from_secrets_manager(app: &App, arn: &str) -> Result<Hidden> {
    let client = aws_sdk_secretsmanager::Client::from_conf(config(app));
    let answer = client.get_secret_value().secret_id(arn).send().await;
    let secret = answer.context("read the secret")?.secret_string;
    secret.map(Hidden::new).context("the secret is not a text")
}

fn config(app: &App) -> aws_sdk_secretsmanager::Config {
    let common = &app.clients;
    let mut config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(aws_sdk_secretsmanager::config::BehaviorVersion::latest())
        .http_client(common.http.clone())
        .credentials_provider(common.credentials.clone())
        .region(common.region.clone())
        .retry_config(common.retry.clone())
        .timeout_config(common.timeout.clone());
    config.set_endpoint_url(app.config.aws.secrets_manager_endpoint.clone());
    config.build()
}
