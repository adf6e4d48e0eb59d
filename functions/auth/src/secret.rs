//! The one secret, of which all keys are derived.

use shared::auth::SigningKeys;
use shared::config::{Hidden, SecretSource};
use shared::{App, Context, Result};

/// Fetches the secret, derives the keys, and publishes the public one.
pub async fn unlock(app: &App) -> Result<()> {
    app.config
        .vault_table
        .as_ref()
        .context("VAULT_TABLE is not set")?;
    let source = app.config.secret.as_ref();
    let secret = match source.context("neither AUTH_SECRET_ARN nor AUTH_SECRET is set")? {
        SecretSource::Plain(secret) => secret.clone(),
        SecretSource::Arn(arn) => from_secrets_manager(app, arn).await?,
    };
    app.sign_with(SigningKeys::derive(secret.reveal())?).await
}

async fn from_secrets_manager(app: &App, arn: &str) -> Result<Hidden> {
    let mut config = aws_sdk_secretsmanager::config::Builder::from(&app.sdk);
    config.set_endpoint_url(app.config.aws.secrets_manager_endpoint.clone());
    let client = aws_sdk_secretsmanager::Client::from_conf(config.build());
    let answer = client.get_secret_value().secret_id(arn).send().await;
    let secret = answer.context("read the secret")?.secret_string;
    secret.map(Hidden::new).context("the secret is not a text")
}
