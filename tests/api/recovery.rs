//! Passwords and addresses: changing them, forgetting them, and the links that lead back.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::{Actor, Answer, Mail, MailFolder, PASSWORD, Stage};

const ME: &str = "/api/v1/users/me";
const LOGIN: &str = "/api/v1/auth/login";
const REFRESH: &str = "/api/v1/auth/refresh";
const CHANGE: &str = "/api/v1/auth/change-password";
const VERIFY: &str = "/api/v1/auth/verify-email";
const RESEND: &str = "/api/v1/auth/verify-email/resend";
const FORGOT: &str = "/api/v1/auth/forgot-password";
const RESET: &str = "/api/v1/auth/reset-password";
const NEW: &str = "Better-horse-8";

/// A bundle whose mails can be read.
struct Post {
    stage: Stage,
    mails: MailFolder,
}

impl Post {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(variables: &[(&str, &str)]) -> Self {
        let mails = MailFolder::new();
        let url = mails.url();
        let variables = [variables, &[("MAIL_URL", url.as_str())]].concat();
        let stage = Stage::with(&variables).await;
        Self { stage, mails }
    }

    /// The mails that have come since the last call.
    async fn new_mails(&self) -> Vec<Mail> {
        self.stage.work().await;
        let mails = self
            .mails
            .ids()
            .iter()
            .map(|id| self.mails.read(id))
            .collect();
        self.mails.clear();
        mails
    }

    /// The token of the one mail that has come with this subject.
    async fn token(&self, subject: &str) -> String {
        let mails = self.new_mails().await;
        let mut mails = mails.iter().filter(|mail| mail.subject == subject);
        let mail = mails
            .next()
            .unwrap_or_else(|| panic!("no mail {subject:?}"));
        assert!(mails.next().is_none(), "two mails");
        mail.token()
    }
}

const VERIFICATION: &str = "Confirm your e-mail address";
const RESETTING: &str = "Set a new password";

async fn log_in(actor: &Actor<'_>, email: &str, password: &str) -> Answer {
    actor
        .post(LOGIN, json!({"email": email, "password": password}))
        .await
}

#[tokio::test]
async fn a_link_verifies_an_address_once() {
    let post = Post::new().await;
    let ada = post.stage.user().await;
    let token = post.token(VERIFICATION).await;
    let anon = post.stage.anon();
    assert_eq!(ada.get(ME).await.json()["is_verified"], false);
    anon.post(VERIFY, json!({"token": token})).await.expect(204);
    assert_eq!(ada.get(ME).await.json()["is_verified"], true);
    let again = anon.post(VERIFY, json!({"token": token})).await;
    again.expect_problem(400, "invalid_token");
    for token in ["", "nonsense", &"A".repeat(43)] {
        let wrong = anon.post(VERIFY, json!({"token": token})).await;
        wrong.expect_problem(400, "invalid_token");
    }
}

#[tokio::test]
async fn of_many_who_use_a_link_at_once_one_does() {
    let post = Post::new().await;
    post.stage.user().await;
    let token = post.token(VERIFICATION).await;
    let anon = post.stage.anon();
    let uses = (0..10).map(|_| anon.post(VERIFY, json!({"token": token})));
    let answers = join_all(uses).await;
    let done = answers.iter().filter(|answer| answer.status == 204).count();
    assert_eq!(done, 1);
}

#[tokio::test]
async fn a_link_expires() {
    let post = Post::new().await;
    post.stage.user().await;
    let token = post.token(VERIFICATION).await;
    post.stage.later(24 * 3_600).await;
    let late = post
        .stage
        .anon()
        .post(VERIFY, json!({"token": token}))
        .await;
    late.expect_problem(400, "invalid_token");
}

#[tokio::test]
async fn a_link_is_for_the_address_it_went_to_and_for_what_it_says() {
    let post = Post::new().await;
    let ada = post.stage.user().await;
    let verification = post.token(VERIFICATION).await;
    let anon = post.stage.anon();
    // A verification is no password reset.
    let reset = json!({"token": verification, "new_password": NEW});
    anon.post(RESET, reset)
        .await
        .expect_problem(400, "invalid_token");

    let change = json!({"email": "new@example.com"});
    ada.patch(ME, change).await.expect(200);
    assert_eq!(ada.get(ME).await.json()["is_verified"], false);
    let token = post.token(VERIFICATION).await;
    anon.post(VERIFY, json!({"token": token})).await.expect(204);
    let me = ada.get(ME).await.json();
    assert_eq!(me["email"], "new@example.com");
    assert_eq!(me["is_verified"], true);
    let old = anon.post(VERIFY, json!({"token": verification})).await;
    old.expect_problem(400, "invalid_token");
}

#[tokio::test]
async fn a_verification_can_be_sent_again() {
    let post = Post::new().await;
    let ada = post.stage.user().await;
    post.new_mails().await;
    let anon = post.stage.anon();
    anon.post(RESEND, json!({"email": ada.email}))
        .await
        .expect(202);
    let token = post.token(VERIFICATION).await;
    anon.post(VERIFY, json!({"token": token})).await.expect(204);
    // Whoever is verified gets none.
    anon.post(RESEND, json!({"email": ada.email}))
        .await
        .expect(202);
    assert!(post.new_mails().await.is_empty());
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew_and_all_sessions_end() {
    let post = Post::new().await;
    let ada = post.stage.user().await;
    let token = log_in(&post.stage.anon(), &ada.email, PASSWORD).await;
    let refresh = json!({"refresh_token": token.text("refresh_token")});
    post.new_mails().await;
    let anon = post.stage.anon();
    anon.post(FORGOT, json!({"email": ada.email}))
        .await
        .expect(202);
    let token = post.token(RESETTING).await;

    let short = json!({"token": token, "new_password": "short"});
    let short = anon
        .post(RESET, short)
        .await
        .expect_problem(422, "validation_failed");
    assert_eq!(short.wrong_fields()[0].0, "new_password");
    let reset = json!({"token": token, "new_password": NEW});
    anon.post(RESET, reset.clone()).await.expect(204);
    anon.post(RESET, reset)
        .await
        .expect_problem(400, "invalid_token");

    ada.get(ME).await.expect_problem(401, "invalid_token");
    let refreshed = anon.post(REFRESH, refresh).await;
    refreshed.expect_problem(401, "invalid_refresh_token");
    log_in(&anon, &ada.email, PASSWORD)
        .await
        .expect_problem(401, "invalid_credentials");
    let ada = post.stage.anon().log_in(&ada.email, NEW).await;
    // The link has proved the address.
    assert_eq!(ada.get(ME).await.json()["is_verified"], true);
}

#[tokio::test]
async fn a_link_is_void_once_the_password_was_changed_in_another_way() {
    let post = Post::new().await;
    let ada = post.stage.user().await;
    post.new_mails().await;
    let anon = post.stage.anon();
    anon.post(FORGOT, json!({"email": ada.email}))
        .await
        .expect(202);
    let first = post.token(RESETTING).await;
    anon.post(FORGOT, json!({"email": ada.email}))
        .await
        .expect(202);
    let second = post.token(RESETTING).await;
    let reset = |token: &str| json!({"token": token, "new_password": NEW});
    anon.post(RESET, reset(&second)).await.expect(204);
    let late = anon.post(RESET, reset(&first)).await;
    late.expect_problem(400, "invalid_token");

    anon.post(FORGOT, json!({"email": ada.email}))
        .await
        .expect(202);
    let third = post.token(RESETTING).await;
    let ada = post.stage.anon().log_in(&ada.email, NEW).await;
    let change = json!({"current_password": NEW, "new_password": PASSWORD});
    ada.post(CHANGE, change).await.expect(204);
    let late = anon.post(RESET, reset(&third)).await;
    late.expect_problem(400, "invalid_token");
}

#[tokio::test]
async fn a_stolen_token_does_not_open_the_account_by_another_address() {
    let post = Post::new().await;
    let ada = post.stage.user().await;
    post.new_mails().await;
    // A thief with her access token changes the address, and asks for a link to it.
    let evil = json!({"email": "evil@example.com"});
    ada.patch(ME, evil.clone()).await.expect(200);
    let told = post.new_mails().await;
    assert!(told.iter().any(|mail| mail.to == ada.email), "{told:?}");
    post.stage.anon().post(FORGOT, evil).await.expect(202);
    assert!(post.new_mails().await.is_empty());
}

#[tokio::test]
async fn changing_the_password_ends_the_other_sessions() {
    let post = Post::new().await;
    let ada = post.stage.user().await;
    let other = log_in(&post.stage.anon(), &ada.email, PASSWORD).await;
    let refresh = json!({"refresh_token": other.text("refresh_token")});
    let other = post.stage.anon().log_in(&ada.email, PASSWORD).await;

    let wrong = json!({"current_password": "Wrong-horse-7", "new_password": NEW});
    ada.post(CHANGE, wrong)
        .await
        .expect_problem(400, "wrong_password");
    let weak = json!({"current_password": PASSWORD, "new_password": "password"});
    ada.post(CHANGE, weak)
        .await
        .expect_problem(422, "validation_failed");
    let change = json!({"current_password": PASSWORD, "new_password": NEW});
    ada.post(CHANGE, change).await.expect(204);

    ada.get(ME).await.expect(200);
    other.get(ME).await.expect_problem(401, "invalid_token");
    let refreshed = post.stage.anon().post(REFRESH, refresh).await;
    refreshed.expect_problem(401, "invalid_refresh_token");
    let anon = post.stage.anon();
    log_in(&anon, &ada.email, PASSWORD).await.expect(401);
    log_in(&anon, &ada.email, NEW).await.expect(200);
}

#[tokio::test]
async fn nobody_can_guess_a_password_with_a_stolen_token() {
    let post = Post::with(&[("LOGIN_LIMIT_PER_MINUTE", "10")]).await;
    let ada = post.stage.user().await;
    let guess = json!({"current_password": "Wrong-horse-7", "new_password": NEW});
    for _ in 0..10 {
        ada.post(CHANGE, guess.clone()).await.expect(400);
    }
    ada.post(CHANGE, guess)
        .await
        .expect_problem(429, "rate_limited");
}

/// What differs between two answers to the same request of two people.
fn told(answer: &Answer) -> (u16, Value, u32, Vec<String>) {
    let body = match answer.body.is_empty() {
        true => Value::Null,
        false => {
            let mut body = answer.json();
            body.as_object_mut().unwrap().remove("request_id");
            body
        }
    };
    let varying = ["x-request-id", "x-process-time"];
    let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
    names.retain(|name| !varying.contains(&name.as_str()));
    names.sort();
    (
        answer.status.as_u16(),
        body,
        answer.usage.round_trips(),
        names,
    )
}

#[tokio::test]
async fn no_route_tells_whether_somebody_has_an_address() {
    let post = Post::new().await;
    let ada = post.stage.user().await;
    post.new_mails().await;
    let nobody = "nobody@example.com";
    for path in [RESEND, FORGOT] {
        let known = post
            .stage
            .anon()
            .post(path, json!({"email": ada.email}))
            .await;
        let unknown = post.stage.anon().post(path, json!({"email": nobody})).await;
        assert_eq!(told(&known), told(&unknown), "{path}");
    }
    let known = log_in(&post.stage.anon(), &ada.email, "Wrong-horse-7").await;
    let unknown = log_in(&post.stage.anon(), nobody, "Wrong-horse-7").await;
    assert_eq!(told(&known), told(&unknown));
    // Nobody gets a mail, and the tasks are nobody's.
    let mails = post.new_mails().await;
    assert!(mails.iter().all(|mail| mail.to == ada.email), "{mails:?}");
    assert_eq!(mails.len(), 2);
}

#[tokio::test]
async fn mails_that_strangers_cause_are_limited_by_both_addresses() {
    let post = Post::with(&[("RECOVERY_LIMIT_PER_HOUR", "5")]).await;
    let victim = json!({"email": "victim@example.com"});
    for _ in 0..5 {
        post.stage
            .anon()
            .post(FORGOT, victim.clone())
            .await
            .expect(202);
    }
    let sixth = post.stage.anon().post(FORGOT, victim).await;
    sixth.expect_problem(429, "rate_limited");
    let stranger = post.stage.anon();
    for n in 0..5 {
        let email = json!({"email": format!("victim{n}@example.com")});
        stranger.post(RESEND, email).await.expect(202);
    }
    let other = json!({"email": "other@example.com"});
    stranger
        .post(RESEND, other)
        .await
        .expect_problem(429, "rate_limited");
}
