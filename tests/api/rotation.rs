//! The secret in Secrets Manager is rotated while instances of `auth` are running.

use aws_sdk_secretsmanager::Client as SecretsManager;
use serde_json::{Value, json};
use tests::{Answer, PASSWORD, Stage};
use winterbaume_secretsmanager::SecretsManagerService;

use crate::aws;
use crate::oauth::{Client, form, introspected};

const LOGIN: &str = "/api/v1/auth/login";
const REFRESH: &str = "/api/v1/auth/refresh";
const REVOKE: &str = "/api/v1/auth/revoke";

const HOST: &str = "secretsmanager.us-east-1.amazonaws.com";
const OLD: &str = tests::SECRET;
const NEW: &str = "q8ZrT2mWxK0vYb7LhN4cJd9SgPfAeU3i";

/// A bundle whose `auth` has its secret from a Secrets Manager at `url`.
async fn bundle(url: &str) -> Stage {
    let variables = [
        ("AUTH_SECRET_ARN", "sheaf"),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", url),
    ];
    Stage::with(&variables).await
}

fn secrets_manager(stage: &Stage, url: &str) -> SecretsManager {
    let config = aws_sdk_secretsmanager::config::Builder::from(&stage.app.sdk);
    SecretsManager::from_conf(config.endpoint_url(url).build())
}

async fn refresh_token(stage: &Stage, email: &str) -> String {
    let credentials = json!({"email": email, "password": PASSWORD});
    let login = stage.anon().post(LOGIN, credentials).await.expect(200);
    login.text("refresh_token")
}

async fn refresh(stage: &Stage, token: &str) -> Answer {
    let body = json!({"refresh_token": token});
    stage.anon().post(REFRESH, body).await
}

#[tokio::test]
async fn an_instance_learns_a_secret_that_was_rotated_while_it_ran() {
    let (url, sent) = aws::serve(SecretsManagerService::new(), HOST).await;
    let old = bundle(&url).await;
    let secrets = secrets_manager(&old, &url);
    let create = secrets.create_secret().name("sheaf").secret_string(OLD);
    create.send().await.unwrap();
    let ada = old.user().await;
    let admin = old.admin().await;
    let client = Client::new(&admin, &["tokens:introspect"]).await;

    let rotate = secrets.put_secret_value().secret_id("sheaf");
    rotate.secret_string(NEW).send().await.unwrap();
    let new = old.rotated(NEW).await;
    let [one, two, three] = [
        refresh_token(&new, &ada.email).await,
        refresh_token(&new, &ada.email).await,
        refresh_token(&new, &ada.email).await,
    ];
    let asked = || sent.lock().unwrap().len();
    let before = asked();

    // Within a minute of its start nobody looks again.
    refresh(&old, &one)
        .await
        .expect_problem(401, "invalid_refresh_token");
    assert_eq!(asked(), before);
    old.later(61).await;
    let child = refresh(&old, &one).await.expect(200).text("refresh_token");
    // The current version and the one before.
    assert_eq!(asked(), before + 2);

    let service = client.actor(&old);
    assert_eq!(introspected(&service, &two).await["active"], true);
    form(&service, REVOKE, &[("token", &two)]).await.expect(200);
    refresh(&new, &two)
        .await
        .expect_problem(401, "invalid_refresh_token");
    refresh(&new, &child).await.expect(200);
    refresh(&old, &three).await.expect(200);

    // Tokens of the old secret go on, and made-up ones cost nothing more.
    let forged = "A".repeat(91);
    for _ in 0..20 {
        refresh(&old, &forged)
            .await
            .expect_problem(401, "invalid_refresh_token");
    }
    assert_eq!(asked(), before + 2);
    old.later(61).await;
    for _ in 0..20 {
        refresh(&old, &forged)
            .await
            .expect_problem(401, "invalid_refresh_token");
    }
    assert_eq!(asked(), before + 4);
}

#[tokio::test]
async fn a_token_of_the_old_secret_goes_on_after_the_instance_has_learnt_the_new_one() {
    let (url, _) = aws::serve(SecretsManagerService::new(), HOST).await;
    let old = bundle(&url).await;
    let secrets = secrets_manager(&old, &url);
    let create = secrets.create_secret().name("sheaf").secret_string(OLD);
    create.send().await.unwrap();
    let ada = old.user().await;
    let before = refresh_token(&old, &ada.email).await;
    let rotate = secrets.put_secret_value().secret_id("sheaf");
    rotate.secret_string(NEW).send().await.unwrap();
    let new = old.rotated(NEW).await;
    let after = refresh_token(&new, &ada.email).await;
    old.later(61).await;
    refresh(&old, &after).await.expect(200);
    refresh(&old, &before).await.expect(200);
    ada.get("/api/v1/users/me").await.expect(200);
}

#[tokio::test]
async fn without_secrets_manager_nobody_is_told_that_their_token_is_wrong() {
    // Nobody listens at the port of discarded text.
    let old = bundle("http://127.0.0.1:9").await;
    let ada = old.user().await;
    let admin = old.admin().await;
    let client = Client::new(&admin, &["tokens:introspect"]).await;
    let new = old.rotated(NEW).await;
    let token = refresh_token(&new, &ada.email).await;
    old.later(61).await;

    refresh(&old, &token)
        .await
        .expect_problem(503, "unavailable");
    let service = client.actor(&old);
    let revoked = form(&service, REVOKE, &[("token", &token)])
        .await
        .expect(503);
    let expected = Value::from("temporarily_unavailable");
    assert_eq!(revoked.json()["error"], expected);
    refresh(&new, &token).await.expect(200);
}
