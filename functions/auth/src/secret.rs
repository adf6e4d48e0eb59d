//! The one secret, of which all keys are derived.

use aws_sdk_secretsmanager::Client;
use futures_util::future::try_join;
use shared::auth::tokens::is_like_refresh;
use shared::auth::{Freshness, RefreshToken, SigningKeys};
use shared::config::{Hidden, SecretSource, weakness};
use shared::{App, Context, Error, Result};

/// Fetches the secret and the one before, derives the keys, and publishes the public one.
pub async fn unlock(app: &App) -> Result<()> {
    app.config
        .vault_table
        .as_ref()
        .context("VAULT_TABLE is not set")?;
    let source = app.config.secret.as_ref();
    let (secret, before) = match source.context("neither AUTH_SECRET_ARN nor AUTH_SECRET is set")? {
        SecretSource::Plain { secret, before } => (secret.clone(), before.clone()),
        SecretSource::Arn(arn) => from_secrets_manager(app, arn).await?,
    };
    let mut keys = SigningKeys::derive(secret.reveal())?;
    if let Some(before) = before {
        keys = keys.after(before.reveal())?;
    }
    app.sign_with(keys).await
}

/// What a refresh token says; `None` if it is none of ours.
///
/// One that these keys do not know may be of a secret that was rotated while this instance was running. Then the secret
/// is fetched again, at most once a minute; if that fails, nobody is told that their token is wrong.
pub(crate) async fn read_refresh(app: &App, token: &str) -> Result<Option<RefreshToken>> {
    let known = app.signing()?.read_refresh(token);
    let may_rotate = matches!(app.config.secret, Some(SecretSource::Arn(_)));
    if known.is_some() || !may_rotate || !is_like_refresh(token) {
        return Ok(known);
    }
    let now = app.clock.seconds();
    match app.signing.freshness(now) {
        Freshness::Fresh => return Ok(None),
        Freshness::Due => {
            let unlocked = unlock(app).await;
            unlocked.inspect_err(|_| app.signing.note_failure(now))?;
        }
        Freshness::Unknown => {
            let cause = anyhow::Error::msg("fetching the secret has just failed");
            return Err(Error::Unavailable(cause));
        }
    }
    Ok(app.signing()?.read_refresh(token))
}

/// The secret, and the one that it has replaced, if Secrets Manager still has it.
async fn from_secrets_manager(app: &App, arn: &str) -> Result<(Hidden, Option<Hidden>)> {
    let mut config = aws_sdk_secretsmanager::config::Builder::from(&app.sdk);
    config.set_endpoint_url(app.config.aws.secrets_manager_endpoint.clone());
    let client = Client::from_conf(config.build());
    let (secret, before) = try_join(
        version(&client, arn, "AWSCURRENT"),
        version(&client, arn, "AWSPREVIOUS"),
    )
    .await?;
    let secret = secret.context("the secret has no current version")?;
    match weakness(secret.reveal()) {
        None => Ok((secret, before)),
        Some(why) => Err(Error::Internal(anyhow::anyhow!("the secret {why}"))),
    }
}

async fn version(client: &Client, arn: &str, stage: &str) -> Result<Option<Hidden>> {
    let request = client.get_secret_value().secret_id(arn);
    match request.version_stage(stage).send().await {
        Ok(answer) => {
            let secret = answer.secret_string.map(Hidden::new);
            secret.context("the secret is not a text").map(Some)
        }
        Err(error) => match error.into_service_error() {
            error if error.is_resource_not_found_exception() => Ok(None),
            error => {
                let cause = anyhow::Error::new(error).context("read the secret");
                Err(Error::Unavailable(cause))
            }
        },
    }
}
