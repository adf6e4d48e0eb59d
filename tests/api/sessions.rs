//! Sessions: refreshing them, seeing them, ending them.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::{Actor, Answer, PASSWORD, Stage};

const ME: &str = "/api/v1/users/me";
const REFRESH: &str = "/api/v1/auth/refresh";
const LOGOUT: &str = "/api/v1/auth/logout";
const SESSIONS: &str = "/api/v1/auth/sessions";

/// Somebody's tokens, as a client keeps them.
struct Client<'a> {
    actor: Actor<'a>,
    refresh: String,
}

impl<'a> Client<'a> {
    async fn log_in(stage: &'a Stage, email: &str) -> Client<'a> {
        let anon = stage.anon().with_header("user-agent", "a browser");
        let credentials = json!({"email": email, "password": PASSWORD});
        let token = anon
            .post("/api/v1/auth/login", credentials)
            .await
            .expect(200);
        Self {
            actor: bearer(anon, &token),
            refresh: token.text("refresh_token"),
        }
    }

    async fn refresh(&self) -> Answer {
        refresh(&self.actor, &self.refresh).await
    }
}

fn bearer<'a>(actor: Actor<'a>, token: &Answer) -> Actor<'a> {
    let token = format!("Bearer {}", token.text("access_token"));
    actor.with_header("authorization", &token)
}

async fn refresh(actor: &Actor<'_>, token: &str) -> Answer {
    actor.post(REFRESH, json!({"refresh_token": token})).await
}

fn refused(answer: Answer) {
    answer.expect_problem(401, "invalid_refresh_token");
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_once_after_another() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let client = Client::log_in(&stage, &ada.email).await;
    let mut token = client.refresh.clone();
    for _ in 0..3 {
        stage.later(3_600).await;
        // The limit's lease; the rotation, and at the same time the user.
        let answer = refresh(&stage.anon(), &token).await.expect(200);
        let answer = answer.expect_round_trips(1 + 2);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.json()["expires_in"], 900);
        assert_ne!(answer.text("refresh_token"), token);
        token = answer.text("refresh_token");
        bearer(stage.anon(), &answer).get(ME).await.expect(200);
    }
    // The first access token has expired, the session has not.
    client
        .actor
        .get(ME)
        .await
        .expect_problem(401, "invalid_token");
    // As a form too.
    let form = format!("refresh_token={token}");
    let kind = Some("application/x-www-form-urlencoded");
    let answer = stage
        .anon()
        .send("POST", REFRESH, kind, form.as_bytes())
        .await;
    answer.expect(200);
}

#[tokio::test]
async fn a_lost_answer_may_be_asked_for_again_and_gives_the_same_child() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let client = Client::log_in(&stage, &ada.email).await;
    let first = client.refresh().await.expect(200).text("refresh_token");
    stage.later(9).await;
    let again = client.refresh().await.expect(200).text("refresh_token");
    assert_eq!(first, again);
    refresh(&client.actor, &first).await.expect(200);
}

#[tokio::test]
async fn fifty_refreshes_at_once_keep_one_lineage() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let client = Client::log_in(&stage, &ada.email).await;
    let answers = join_all((0..50).map(|_| client.refresh())).await;
    let children: BTreeSet<_> = answers
        .into_iter()
        .map(|answer| answer.expect(200).text("refresh_token"))
        .collect();
    assert_eq!(children.len(), 1);
    let child = children.into_iter().next().unwrap();
    refresh(&client.actor, &child).await.expect(200);
}

#[tokio::test]
async fn an_old_refresh_token_ends_its_session_and_that_lasts() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let stolen = Client::log_in(&stage, &ada.email).await;
    let other = Client::log_in(&stage, &ada.email).await;
    let child = stolen.refresh().await.expect(200).text("refresh_token");
    stage.later(11).await;
    refused(stolen.refresh().await);
    // Neither the thief nor she can go on with this session, and its access token is refused at once.
    refused(refresh(&stolen.actor, &child).await);
    refused(stolen.refresh().await);
    stolen
        .actor
        .get(ME)
        .await
        .expect_problem(401, "invalid_token");
    // Her other session is not concerned.
    other.refresh().await.expect(200);
    let trail = stage.all_items().await;
    let noted = trail
        .iter()
        .filter(|i| i.contains("session.ended_as_stolen"));
    assert_eq!(noted.count(), 1);
}

#[tokio::test]
async fn a_grandparent_is_old_at_once() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let client = Client::log_in(&stage, &ada.email).await;
    let child = client.refresh().await.expect(200).text("refresh_token");
    let grandchild = refresh(&client.actor, &child).await.expect(200);
    refused(client.refresh().await);
    refused(refresh(&client.actor, &grandchild.text("refresh_token")).await);
}

#[tokio::test]
async fn made_up_refresh_tokens_are_refused_without_a_look_at_the_table() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let client = Client::log_in(&stage, &ada.email).await;
    let access = {
        let credentials = json!({"email": ada.email, "password": PASSWORD});
        let token = stage.anon().post("/api/v1/auth/login", credentials).await;
        token.text("access_token")
    };
    let mut altered = client.refresh.clone().into_bytes();
    altered[40] = if altered[40] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    let shortened = &client.refresh[..80];
    for token in ["", "x", "💥", &altered, shortened, &access, &"A".repeat(91)] {
        let answer = refresh(&client.actor, token).await;
        let answer = answer.expect_problem(401, "invalid_refresh_token");
        answer.expect_round_trips(0);
    }
    client.refresh().await.expect(200);
}

#[tokio::test]
async fn a_session_that_is_used_lives_on_and_one_that_is_not_ends() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let used = Client::log_in(&stage, &ada.email).await;
    let unused = Client::log_in(&stage, &ada.email).await;
    let mut token = used.refresh.clone();
    for _ in 0..4 {
        stage.later(20 * 24 * 3_600).await;
        let answer = refresh(&stage.anon(), &token).await.expect(200);
        token = answer.text("refresh_token");
        bearer(stage.anon(), &answer).get(ME).await.expect(200);
    }
    refused(unused.refresh().await);
    stage.later(31 * 24 * 3_600).await;
    refused(refresh(&stage.anon(), &token).await);
}

#[tokio::test]
async fn sessions_are_listed_and_ended_one_by_one() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let laptop = Client::log_in(&stage, &ada.email).await;
    let phone = Client::log_in(&stage, &ada.email).await;
    stage.later(60).await;
    phone.refresh().await.expect(200);

    // The lease of a new minute; the caller; the families; the sessions' public parts.
    let list = laptop.actor.get(SESSIONS).await.expect(200);
    let list = list.expect_round_trips(4).json();
    assert_eq!(list["total"], 3);
    let items = list["items"].as_array().unwrap();
    let current: Vec<_> = items.iter().map(|s| s["current"].clone()).collect();
    assert_eq!(current, [json!(false), json!(true), json!(false)]);
    assert_eq!(items[0]["user_agent"], "a browser");
    assert!(items[0]["last_used_at"].as_str() > items[0]["created_at"].as_str());
    assert_eq!(items[1]["last_used_at"], items[1]["created_at"]);

    let path = |session: &Value| format!("{SESSIONS}/{}", session["id"].as_str().unwrap());
    let of_phone = path(&items[0]);
    // Somebody else's session is nobody's.
    let eve = stage.user().await;
    let nobodys = eve.send("DELETE", &of_phone, None, b"").await;
    nobodys.expect_problem(404, "not_found");
    laptop
        .actor
        .send("DELETE", &of_phone, None, b"")
        .await
        .expect(204);
    let again = laptop.actor.send("DELETE", &of_phone, None, b"").await;
    again.expect_problem(404, "not_found");
    phone
        .actor
        .get(ME)
        .await
        .expect_problem(401, "invalid_token");
    refused(phone.refresh().await);
    laptop.actor.get(ME).await.expect(200);
    let list = laptop.actor.get(SESSIONS).await.expect(200).json();
    assert_eq!(list["total"], 2);
}

#[tokio::test]
async fn logging_out_ends_this_session_or_all() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let [a, b, c] = [
        Client::log_in(&stage, &ada.email).await,
        Client::log_in(&stage, &ada.email).await,
        Client::log_in(&stage, &ada.email).await,
    ];
    a.actor.send("POST", LOGOUT, None, b"").await.expect(204);
    a.actor.get(ME).await.expect_problem(401, "invalid_token");
    refused(a.refresh().await);
    b.actor.get(ME).await.expect(200);

    // One write, however many sessions there are.
    let all = b.actor.post(LOGOUT, json!({"all": true})).await;
    all.expect(204).expect_round_trips(2);
    for client in [&b, &c] {
        client
            .actor
            .get(ME)
            .await
            .expect_problem(401, "invalid_token");
        refused(client.refresh().await);
    }
    ada.get(ME).await.expect_problem(401, "invalid_token");
    // A new one is a new one.
    let d = Client::log_in(&stage, &ada.email).await;
    d.actor.get(ME).await.expect(200);
    d.refresh().await.expect(200);
    let wrong = d.actor.post(LOGOUT, json!({"every": true})).await;
    wrong.expect_problem(422, "validation_failed");
    // Without its content type nobody knows what the body says, and nothing is ended.
    let untyped = d.actor.send("POST", LOGOUT, None, b"{\"all\": true}").await;
    untyped.expect_problem(415, "unsupported_media_type");
    d.actor.get(ME).await.expect(200);
}

#[tokio::test]
async fn a_dead_refresh_token_does_not_use_up_its_owners_limit() {
    let stage = Stage::with(&[("RATE_LIMIT_PER_MINUTE", "30")]).await;
    let ada = stage.user().await;
    let client = Client::log_in(&stage, &ada.email).await;
    client
        .actor
        .send("POST", LOGOUT, None, b"")
        .await
        .expect(204);
    for _ in 0..40 {
        let status = client.refresh().await.status.as_u16();
        assert!(status == 401 || status == 429, "{status}");
    }
    ada.get(ME).await.expect(200);
}

#[tokio::test]
async fn no_live_session_is_hidden_behind_those_that_have_ended() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    for _ in 0..105 {
        let user = stage.app.store.user(ada.id.parse().unwrap()).await;
        let user = user.unwrap().unwrap();
        let session = shared::models::session::Session::begin(
            &user,
            stage.app.clock.now(),
            "127.0.0.1".to_owned(),
            None,
        );
        let audit = || shared::models::audit::AuditEntry::new("test", None, "127.0.0.1");
        let store = &stage.app.store;
        store
            .begin_session_of(&user, &session, &audit())
            .await
            .unwrap();
        store
            .end_session(user.id, session.id, &audit())
            .await
            .unwrap();
    }
    let list = ada.get(SESSIONS).await.expect(200).json();
    assert_eq!(list["total"], 1);
    assert_eq!(list["items"][0]["current"], true);
}
