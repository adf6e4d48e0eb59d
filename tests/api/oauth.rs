//! OAuth: service clients, their tokens, introspection, revocation, and the server's metadata.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use shared::models::audit::AuditEntry;
use tests::{Actor, Answer, PASSWORD, Stage};
use uuid::Uuid;

const CLIENTS: &str = "/api/v1/auth/clients";
const TOKEN: &str = "/api/v1/auth/token";
const INTROSPECT: &str = "/api/v1/auth/introspect";
const REVOKE: &str = "/api/v1/auth/revoke";
const ME: &str = "/api/v1/users/me";

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
const CREDENTIALS: (&str, &str) = ("grant_type", "client_credentials");

/// What an administrator was shown of a client.
pub(crate) struct Client {
    id: String,
    secret: String,
}

impl Client {
    pub(crate) async fn new(admin: &Actor<'_>, scopes: &[&str]) -> Self {
        let body = json!({"name": "billing", "scopes": scopes});
        Self::of(&admin.post(CLIENTS, body).await.expect(201))
    }

    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.header("cache-control"), "no-store");
        Self {
            id: answer.text("client_id"),
            secret: answer.text("client_secret"),
        }
    }

    /// The program itself, which sends its secret in the header.
    pub(crate) fn actor<'a>(&self, stage: &'a Stage) -> Actor<'a> {
        self.authenticate(stage.anon())
    }

    fn authenticate<'a>(&self, actor: Actor<'a>) -> Actor<'a> {
        let pair = STANDARD.encode(format!("{}:{}", self.id, self.secret));
        actor.with_header("authorization", &format!("Basic {pair}"))
    }

    async fn token(&self, stage: &Stage) -> Answer {
        form(&self.actor(stage), TOKEN, &[CREDENTIALS]).await
    }

    async fn rotated(&self, admin: &Actor<'_>) -> Self {
        let path = format!("{CLIENTS}/{}/rotate", self.id);
        let rotated = admin.send("POST", &path, None, b"").await.expect(200);
        let rotated = Self::of(&rotated);
        assert_eq!(rotated.id, self.id);
        rotated
    }

    async fn delete(&self, admin: &Actor<'_>) -> Answer {
        let path = format!("{CLIENTS}/{}", self.id);
        admin.send("DELETE", &path, None, b"").await
    }
}

pub(crate) async fn form(actor: &Actor<'_>, path: &str, fields: &[(&str, &str)]) -> Answer {
    let fields = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)));
    let body = fields.collect::<Vec<_>>().join("&");
    actor.send("POST", path, FORM, body.as_bytes()).await
}

fn encoded(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let encode = |b: u8| match plain(b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02X}"),
    };
    value.bytes().map(encode).collect()
}

/// Asserts an error as RFC 6749 has it, section 5.2.
#[track_caller]
fn refused(answer: Answer, status: u16, error: &str) -> Answer {
    let answer = answer.expect(status);
    assert_eq!(
        answer.header("content-type"),
        "application/json",
        "{answer:?}"
    );
    assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
    assert_eq!(answer.json()["error"], error, "{answer:?}");
    assert!(answer.json()["error_description"].is_string(), "{answer:?}");
    assert_eq!(answer.json().get("code"), None, "{answer:?}");
    answer
}

fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

pub(crate) async fn introspected(actor: &Actor<'_>, token: &str) -> Value {
    let answer = form(actor, INTROSPECT, &[("token", token)]).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.expect(200).json()
}

async fn log_in(stage: &Stage, email: &str) -> Answer {
    let credentials = json!({"email": email, "password": PASSWORD});
    let login = stage.anon().post("/api/v1/auth/login", credentials).await;
    login.expect(200)
}

fn bearer<'a>(stage: &'a Stage, token: &str) -> Actor<'a> {
    let header = format!("Bearer {token}");
    stage.anon().with_header("authorization", &header)
}

fn inactive() -> Value {
    json!({"active": false})
}

#[tokio::test]
async fn an_administrator_makes_lists_rotates_and_deletes_a_client() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let body = json!({"name": " Billing ", "scopes": ["orders:read", "items:read", "orders:read"]});
    let made = admin.post(CLIENTS, body).await.expect(201);
    assert_eq!(made.json()["name"], "Billing");
    assert_eq!(made.json()["scopes"], json!(["orders:read", "items:read"]));
    assert!(made.json()["created_at"].is_string());
    let first = Client::of(&made);
    assert!(first.secret.starts_with("sheaf_") && first.secret.len() > 40);

    let other = Client::new(&admin, &["users:read"]).await;
    let list = admin.get(CLIENTS).await.expect(200);
    let items = list.json()["items"].clone();
    assert_eq!(items.as_array().unwrap().len(), 2);
    assert_eq!(items[0]["client_id"], first.id);
    assert_eq!(items[0]["created_by"], admin.id);
    assert_eq!(items[0]["is_active"], true);
    assert_eq!(items[1]["client_id"], other.id);
    let text = String::from_utf8_lossy(&list.body).into_owned();
    assert!(
        !text.contains("secret") && !text.contains("sheaf_"),
        "{text}"
    );

    // Two secrets live at a time.
    first.token(&stage).await.expect(200);
    let second = first.rotated(&admin).await;
    assert_ne!(first.secret, second.secret);
    first.token(&stage).await.expect(200);
    second.token(&stage).await.expect(200);
    let third = first.rotated(&admin).await;
    refused(first.token(&stage).await, 401, "invalid_client");
    second.token(&stage).await.expect(200);
    third.token(&stage).await.expect(200);

    let deleted = third.delete(&admin).await.expect(204);
    assert_eq!(deleted.body, b"");
    for client in [&second, &third] {
        refused(client.token(&stage).await, 401, "invalid_client");
    }
    third.delete(&admin).await.expect_problem(404, "not_found");
    let rotate = format!("{CLIENTS}/{}/rotate", third.id);
    let gone = admin.send("POST", &rotate, None, b"").await;
    gone.expect_problem(404, "not_found");
    other.token(&stage).await.expect(200);
    let left = admin.get(CLIENTS).await.expect(200).json();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);

    let trail = stage.all_items().await;
    let noted = |action: &str| trail.iter().filter(|item| item.contains(action)).count();
    assert_eq!(noted("client.created"), 2);
    assert_eq!(noted("client.rotated"), 2);
    assert_eq!(noted("client.deleted"), 1);
}

#[tokio::test]
async fn a_client_has_a_name_and_scopes_that_exist() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let check = async |body: Value, field: &str, code: &str| {
        let answer = admin.post(CLIENTS, body.clone()).await;
        let answer = answer.expect_problem(422, "validation_failed");
        let expected = [(field.to_owned(), code.to_owned())];
        assert_eq!(answer.wrong_fields(), expected, "for {body}");
    };
    let long = "n".repeat(101);
    check(
        json!({"name": " ", "scopes": ["items:read"]}),
        "name",
        "too_short",
    )
    .await;
    check(
        json!({"name": long, "scopes": ["items:read"]}),
        "name",
        "too_long",
    )
    .await;
    check(json!({"name": "x", "scopes": []}), "scopes", "too_short").await;
    check(json!({"name": "x"}), "scopes", "required").await;
    check(
        json!({"name": "x", "scopes": ["items:read", "items:all"]}),
        "scopes[1]",
        "unknown_scope",
    )
    .await;
    check(
        json!({"name": "x", "scopes": ["items:read"], "secret": "mine"}),
        "secret",
        "unknown_field",
    )
    .await;
    assert_eq!(
        admin.get(CLIENTS).await.expect(200).json(),
        json!({"items": []})
    );
}

#[tokio::test]
async fn only_an_administrator_sees_or_touches_clients() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let ada = stage.user().await;
    let client = Client::new(&admin, &["items:read"]).await;
    let service = bearer(
        &stage,
        &client.token(&stage).await.expect(200).text("access_token"),
    );
    let one = format!("{CLIENTS}/{}", client.id);
    let rotate = format!("{one}/rotate");
    for (method, path) in [
        ("GET", CLIENTS),
        ("DELETE", one.as_str()),
        ("POST", rotate.as_str()),
    ] {
        let answer = ada.send(method, path, None, b"").await;
        answer.expect_problem(403, "insufficient_scope");
        let answer = stage.anon().send(method, path, None, b"").await;
        answer.expect_problem(401, "token_missing");
        let answer = service.send(method, path, None, b"").await;
        answer.expect_problem(401, "invalid_token");
    }
    let body = json!({"name": "x", "scopes": ["items:read"]});
    let answer = ada.post(CLIENTS, body).await;
    answer.expect_problem(403, "insufficient_scope");
    client.token(&stage).await.expect(200);

    let nothing = format!("{CLIENTS}/no-uuid");
    let answer = admin.send("DELETE", &nothing, None, b"").await;
    answer.expect_problem(404, "not_found");
}

#[tokio::test]
async fn there_are_a_hundred_clients_at_most() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let first = Client::new(&admin, &["items:read"]).await;
    for _ in 1..100 {
        Client::new(&admin, &["items:read"]).await;
    }
    let body = json!({"name": "one more", "scopes": ["items:read"]});
    let refused = admin.post(CLIENTS, body.clone()).await;
    refused.expect_problem(409, "limit_reached");
    let list = admin.get(CLIENTS).await.expect(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 100);

    first.delete(&admin).await.expect(204);
    // Deleting it twice makes no more room.
    first.delete(&admin).await.expect(404);
    admin.post(CLIENTS, body.clone()).await.expect(201);
    admin.post(CLIENTS, body).await.expect(409);
}

#[tokio::test]
async fn a_client_gets_tokens_by_header_or_by_form() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let client = Client::new(&admin, &["orders:read", "items:read"]).await;

    let by_header = client.token(&stage).await.expect(200);
    // The client with its address's failures, and the limit.
    let by_header = by_header.expect_round_trips(2);
    assert_eq!(by_header.header("cache-control"), "no-store");
    let limit = stage.app.config.limits.tokens_per_minute.to_string();
    assert_eq!(by_header.header("x-ratelimit-limit"), limit);
    let token = by_header.json();
    assert_eq!(token["token_type"], "bearer");
    assert_eq!(token["expires_in"], 900);
    assert_eq!(token["scope"], "orders:read items:read");
    assert_eq!(token.get("refresh_token"), None);
    let claims = claims(&by_header.text("access_token"));
    assert_eq!(claims["sub"], client.id);
    assert_eq!(claims["type"], "service");
    assert_eq!(claims["scope"], "orders:read items:read");
    assert_eq!(claims["iss"], "https://api.example.com");
    for personal in ["sid", "email", "role"] {
        assert_eq!(claims.get(personal), None, "{claims}");
    }

    let by_form = [
        CREDENTIALS,
        ("client_id", client.id.as_str()),
        ("client_secret", client.secret.as_str()),
    ];
    form(&stage.anon(), TOKEN, &by_form).await.expect(200);
    // What is not known is ignored, and so is what has no value.
    let more = [CREDENTIALS, ("audience", "x"), ("scope", "")];
    let token = form(&client.actor(&stage), TOKEN, &more).await.expect(200);
    assert_eq!(token.text("scope"), "orders:read items:read");
}

#[tokio::test]
async fn a_token_has_no_scope_that_its_client_has_not() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let client = Client::new(&admin, &["orders:read", "items:read"]).await;
    let ask = async |scope: &str| {
        let fields = [CREDENTIALS, ("scope", scope)];
        form(&client.actor(&stage), TOKEN, &fields).await
    };
    let less = ask("items:read").await.expect(200);
    assert_eq!(less.text("scope"), "items:read");
    let claims = claims(&less.text("access_token"));
    assert_eq!(claims["scope"], "items:read");
    let all = ask("items:read orders:read").await.expect(200);
    assert_eq!(all.text("scope"), "orders:read items:read");
    for scope in [
        "admin:all",
        "items:read admin:all",
        "items:write",
        "nonsense",
        "items:read  orders:read",
    ] {
        refused(ask(scope).await, 400, "invalid_scope");
    }
}

#[tokio::test]
async fn who_cannot_authenticate_is_not_told_why() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let client = Client::new(&admin, &["items:read"]).await;
    let with = |id: &str, secret: &str| Client {
        id: id.to_owned(),
        secret: secret.to_owned(),
    };
    let unknown = Uuid::now_v7().to_string();
    let mut told = Vec::new();
    for wrong in [
        with(&client.id, "sheaf_wrong"),
        with(&unknown, &client.secret),
        with("no-uuid", &client.secret),
        with(&client.id, ""),
        with("", &client.secret),
    ] {
        let answer = refused(wrong.token(&stage).await, 401, "invalid_client");
        assert_eq!(answer.header("www-authenticate"), "Basic realm=\"sheaf\"");
        // The client with its address's failures, and one more of those.
        let answer = answer.expect_round_trips(2);
        told.push(answer.text("error_description"));
    }
    told.dedup();
    assert_eq!(told.len(), 1);

    // Nothing, or half of it.
    for fields in [
        vec![CREDENTIALS],
        vec![CREDENTIALS, ("client_id", client.id.as_str())],
        vec![CREDENTIALS, ("client_secret", client.secret.as_str())],
    ] {
        let answer = form(&stage.anon(), TOKEN, &fields).await;
        let answer = refused(answer, 401, "invalid_client").expect_round_trips(0);
        assert!(answer.header("www-authenticate").starts_with("Basic"));
    }
    let spoilt = stage.anon().with_header("authorization", "Basic ?");
    let answer = form(&spoilt, TOKEN, &[CREDENTIALS]).await;
    refused(answer, 401, "invalid_client");
    for path in [INTROSPECT, REVOKE] {
        let answer = form(&stage.anon(), path, &[("token", "x")]).await;
        refused(answer, 401, "invalid_client");
        let wrong = with(&client.id, "sheaf_wrong").actor(&stage);
        let answer = form(&wrong, path, &[("token", "x")]).await;
        refused(answer, 401, "invalid_client");
    }
}

#[tokio::test]
async fn a_token_request_that_is_no_such_request() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let client = Client::new(&admin, &["items:read"]).await;
    let actor = client.actor(&stage);
    let (id, secret) = (client.id.as_str(), client.secret.as_str());
    let malformed: [&[(&str, &str)]; 7] = [
        &[],
        &[("grant_type", "")],
        &[CREDENTIALS, CREDENTIALS],
        &[CREDENTIALS, ("x", "1"), ("x", "2")],
        // Both ways at once.
        &[CREDENTIALS, ("client_id", id), ("client_secret", secret)],
        &[CREDENTIALS, ("client_secret", secret)],
        &[CREDENTIALS, ("client_id", "another")],
    ];
    for fields in malformed {
        let answer = form(&actor, TOKEN, fields).await;
        refused(answer, 400, "invalid_request").expect_round_trips(0);
    }
    let same = [CREDENTIALS, ("client_id", id)];
    form(&actor, TOKEN, &same).await.expect(200);

    let json = json!({"grant_type": "client_credentials"});
    refused(actor.post(TOKEN, json).await, 400, "invalid_request");
    let large = vec![b'x'; 1024 * 1024 + 1];
    let answer = actor.send("POST", TOKEN, FORM, &large).await;
    refused(answer, 413, "invalid_request");
    for grant in ["authorization_code", "password", "CLIENT_CREDENTIALS"] {
        let answer = form(&actor, TOKEN, &[("grant_type", grant)]).await;
        refused(answer, 400, "unsupported_grant_type");
    }
    // The route itself is one like the others.
    let answer = actor.get(TOKEN).await;
    answer.expect_problem(405, "method_not_allowed");
}

#[tokio::test]
async fn a_users_tokens_can_be_refreshed_in_the_way_of_oauth() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let ada = stage.user().await;
    let first = log_in(&stage, &ada.email).await.text("refresh_token");
    let refresh = async |actor: &Actor<'_>, token: &str| {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        form(actor, TOKEN, &fields).await
    };
    // No refresh token was issued to a service.
    let client = Client::new(&admin, &["items:read"]).await;
    let answer = refresh(&client.actor(&stage), &first).await;
    refused(answer, 400, "unauthorized_client");

    let anon = stage.anon();
    let second = refresh(&anon, &first).await.expect(200);
    assert_eq!(second.header("cache-control"), "no-store");
    bearer(&stage, &second.text("access_token"))
        .get(ME)
        .await
        .expect(200);
    // A page that has a stale access token at hand may send it along.
    let page = bearer(&stage, "stale");
    let third = refresh(&page, &second.text("refresh_token")).await;
    third.expect(200);

    refused(refresh(&anon, "nonsense").await, 400, "invalid_grant");
    // Twice used and long ago: that is a thief.
    refused(refresh(&anon, &first).await, 400, "invalid_grant");
    let missing = form(&anon, TOKEN, &[("grant_type", "refresh_token")]).await;
    refused(missing, 400, "invalid_request");
}

#[tokio::test]
async fn the_password_grant_is_there_where_it_is_allowed() {
    let fields = |email: &str, password: &str| {
        [
            ("grant_type", "password".to_owned()),
            ("username", email.to_owned()),
            ("password", password.to_owned()),
        ]
    };
    let log_in = async |actor: &Actor<'_>, email: &str, password: &str| {
        let fields = fields(email, password);
        let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        form(actor, TOKEN, &fields).await
    };
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let answer = log_in(&stage.anon(), &ada.email, PASSWORD).await;
    refused(answer, 400, "unsupported_grant_type");

    let stage = Stage::with(&[("ALLOW_PASSWORD_GRANT", "true")]).await;
    let ada = stage.user().await;
    // So the page of the documentation sends it, which has no client.
    let page = stage.anon().with_header("authorization", "Basic Og==");
    let token = log_in(&page, &ada.email, PASSWORD).await.expect(200);
    assert!(token.json()["refresh_token"].is_string());
    bearer(&stage, &token.text("access_token"))
        .get(ME)
        .await
        .expect(200);
    let wrong = log_in(&page, &ada.email, "Wrong-horse-7").await;
    refused(wrong, 400, "invalid_grant");
    let nobody = log_in(&page, "nobody@example.com", PASSWORD).await;
    refused(nobody, 400, "invalid_grant");
}

#[tokio::test]
async fn a_service_is_not_a_user() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let client = Client::new(&admin, &["admin:all", "users:read"]).await;
    let token = client.token(&stage).await.expect(200).text("access_token");
    let service = bearer(&stage, &token);
    let answer = service.get(ME).await.expect_problem(401, "invalid_token");
    answer.expect_round_trips(0);
    let answer = service.post("/api/v1/auth/logout", json!({})).await;
    answer.expect_problem(401, "invalid_token");
}

#[tokio::test]
async fn tokens_are_limited_per_client() {
    let stage = Stage::with(&[("TOKEN_LIMIT_PER_MINUTE", "3")]).await;
    let admin = stage.admin().await;
    let client = Client::new(&admin, &["items:read"]).await;
    let other = Client::new(&admin, &["items:read"]).await;
    for left in ["2", "1", "0"] {
        let token = client.token(&stage).await.expect(200);
        assert_eq!(token.header("x-ratelimit-remaining"), left);
    }
    // From whatever address.
    let limited = refused(client.token(&stage).await, 429, "slow_down");
    let seconds: u64 = limited.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert_eq!(limited.header("x-ratelimit-remaining"), "0");
    other.token(&stage).await.expect(200);
    stage.app.clock.advance(60);
    client.token(&stage).await.expect(200);
}

#[tokio::test]
async fn guesses_are_limited_per_address() {
    let stage = Stage::with(&[("TOKEN_LIMIT_PER_MINUTE", "3")]).await;
    let admin = stage.admin().await;
    let client = Client::new(&admin, &["items:read"]).await;
    let address = "203.0.113.7";
    let guess = async |id: String| {
        let guess = Client {
            id,
            secret: "sheaf_guess".to_owned(),
        };
        let thief = guess.authenticate(stage.anon().from_ip(address));
        form(&thief, TOKEN, &[CREDENTIALS]).await
    };
    for _ in 0..2 {
        refused(guess(client.id.clone()).await, 401, "invalid_client");
    }
    // Whatever client is guessed at.
    let unknown = Uuid::now_v7().to_string();
    refused(guess(unknown).await, 401, "invalid_client");
    let limited = refused(guess(client.id.clone()).await, 429, "slow_down");
    let limited = limited.expect_round_trips(1);
    assert!(!limited.header("retry-after").is_empty());
    // Whoever has the right secret is let in from there all the same: nobody guesses 256 bits.
    let there = client.authenticate(stage.anon().from_ip(address));
    form(&there, TOKEN, &[CREDENTIALS]).await.expect(200);
    client.token(&stage).await.expect(200);
}

#[tokio::test]
async fn a_live_token_tells_what_it_is() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let ada = stage.user().await;
    let inspector = Client::new(&admin, &["tokens:introspect"]).await;
    let inspector = inspector.actor(&stage);
    let service = Client::new(&admin, &["items:read"]).await;

    let token = service.token(&stage).await.expect(200).text("access_token");
    let said = introspected(&inspector, &token).await;
    let claims = claims(&token);
    let expected = json!({
        "active": true,
        "scope": "items:read",
        "client_id": service.id,
        "token_type": "bearer",
        "exp": claims["exp"],
        "iat": claims["iat"],
        "iss": "https://api.example.com",
        "aud": "https://api.example.com",
        "sub": service.id,
        "jti": claims["jti"],
    });
    assert_eq!(said, expected);

    let tokens = log_in(&stage, &ada.email).await;
    let said = introspected(&inspector, &tokens.text("access_token")).await;
    assert_eq!(said["active"], true);
    assert_eq!(said["sub"], ada.id);
    assert_eq!(said["username"], ada.email);
    assert_eq!(said["scope"], tokens.text("scope"));
    assert_eq!(said.get("client_id"), None);

    let said = introspected(&inspector, &tokens.text("refresh_token")).await;
    assert_eq!(said["active"], true);
    assert_eq!(said["token_type"], "refresh_token");
    assert_eq!(said["sub"], ada.id);
    // Nobody shall take it for an access token.
    assert_eq!(said.get("scope"), None);
    let month = 30 * 24 * 3_600;
    let left = said["exp"].as_i64().unwrap() - stage.app.clock.seconds();
    assert!((month - 60..=month).contains(&left), "{left}");

    // The client, and what the token belongs to; the limit was leased before.
    let fields = [("token", token.as_str()), ("token_type_hint", "nonsense")];
    let again = form(&inspector, INTROSPECT, &fields).await.expect(200);
    again.expect_round_trips(2);
}

#[tokio::test]
async fn what_is_not_good_is_not_active() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let ada = stage.user().await;
    let inspector = Client::new(&admin, &["tokens:introspect"]).await;
    let inspector = inspector.actor(&stage);
    let is_active = async |token: &str| {
        let said = introspected(&inspector, token).await;
        assert!(said["active"] == true || said == inactive(), "{said}");
        said["active"] == true
    };
    for nonsense in ["x", "a.b.c", "\u{e4}", &"x".repeat(5_000)] {
        assert!(!is_active(nonsense).await);
    }

    // A client that was deleted.
    let service = Client::new(&admin, &["items:read"]).await;
    let token = service.token(&stage).await.expect(200).text("access_token");
    assert!(is_active(&token).await);
    service.delete(&admin).await.expect(204);
    assert!(!is_active(&token).await);

    // A refresh token that was used.
    let first = log_in(&stage, &ada.email).await;
    let used = first.text("refresh_token");
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", used.as_str()),
    ];
    let second = form(&stage.anon(), TOKEN, &fields).await.expect(200);
    assert!(!is_active(&used).await);
    assert!(is_active(&second.text("refresh_token")).await);

    // A session that has ended.
    let (access, refresh) = (second.text("access_token"), second.text("refresh_token"));
    assert!(is_active(&access).await);
    let logout = bearer(&stage, &access);
    logout
        .post("/api/v1/auth/logout", json!({}))
        .await
        .expect(204);
    assert!(!is_active(&access).await);
    assert!(!is_active(&refresh).await);

    // All of them at once.
    let tokens = log_in(&stage, &ada.email).await;
    let (access, refresh) = (tokens.text("access_token"), tokens.text("refresh_token"));
    let logout = bearer(
        &stage,
        &log_in(&stage, &ada.email).await.text("access_token"),
    );
    logout
        .post("/api/v1/auth/logout", json!({"all": true}))
        .await
        .expect(204);
    assert!(!is_active(&access).await);
    assert!(!is_active(&refresh).await);

    // Time.
    stage.app.clock.advance(1);
    let tokens = log_in(&stage, &ada.email).await;
    let (access, refresh) = (tokens.text("access_token"), tokens.text("refresh_token"));
    assert!(is_active(&access).await);
    stage.app.clock.advance(1_000);
    assert!(!is_active(&access).await);
    assert!(is_active(&refresh).await);
    stage.app.clock.advance(31 * 24 * 3_600);
    assert!(!is_active(&refresh).await);
}

#[tokio::test]
async fn tokens_of_somebody_who_was_deactivated_are_not_active() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let ada = stage.user().await;
    let inspector = Client::new(&admin, &["tokens:introspect"]).await;
    let inspector = inspector.actor(&stage);
    let tokens = log_in(&stage, &ada.email).await;

    let store = &stage.app.store;
    let id: Uuid = ada.id.parse().unwrap();
    let old = store.user(id).await.unwrap().unwrap();
    let mut new = old.clone();
    new.is_active = false;
    new.version += 1;
    let audit = AuditEntry::new("user.deactivated", None, "::1");
    store.update_user(&old, &new, &audit).await.unwrap();

    for token in ["access_token", "refresh_token"] {
        let said = introspected(&inspector, &tokens.text(token)).await;
        assert_eq!(said, inactive());
    }
}

#[tokio::test]
async fn introspection_needs_its_scope_and_a_token() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let other = Client::new(&admin, &["admin:all"]).await.actor(&stage);
    let answer = form(&other, INTROSPECT, &[("token", "x")]).await;
    refused(answer, 403, "insufficient_scope");
    let inspector = Client::new(&admin, &["tokens:introspect"]).await;
    let inspector = inspector.actor(&stage);
    let answer = form(&inspector, INTROSPECT, &[]).await;
    refused(answer, 400, "invalid_request");
    // An administrator is no client.
    let answer = form(&admin, INTROSPECT, &[("token", "x")]).await;
    refused(answer, 401, "invalid_client");
}

#[tokio::test]
async fn revoking_a_users_token_ends_their_session() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let ada = stage.user().await;
    let client = Client::new(&admin, &["items:read"]).await;
    let actor = client.actor(&stage);
    let revoke = async |token: &str| form(&actor, REVOKE, &[("token", token)]).await;

    for kind in ["access_token", "refresh_token"] {
        let tokens = log_in(&stage, &ada.email).await;
        let owner = bearer(&stage, &tokens.text("access_token"));
        owner.get(ME).await.expect(200);
        let revoked = revoke(&tokens.text(kind)).await.expect(200);
        assert_eq!(revoked.body, b"");
        owner.get(ME).await.expect_problem(401, "invalid_token");
        let refresh = tokens.text("refresh_token");
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.as_str()),
        ];
        let answer = form(&stage.anon(), TOKEN, &fields).await;
        refused(answer, 400, "invalid_grant");
        // Again, and by a token that is not good any more.
        revoke(&tokens.text(kind)).await.expect(200);
    }
    // Her other session goes on.
    ada.get(ME).await.expect(200);
    let trail = stage.all_items().await;
    assert!(trail.iter().any(|item| item.contains("session.revoked")));

    for nonsense in ["x", "a.b.c"] {
        revoke(nonsense).await.expect(200);
    }
    refused(form(&actor, REVOKE, &[]).await, 400, "invalid_request");
}

#[tokio::test]
async fn the_token_of_a_service_cannot_be_revoked_before_it_ends() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let client = Client::new(&admin, &["items:read"]).await;
    let token = client.token(&stage).await.expect(200).text("access_token");
    let actor = client.actor(&stage);
    let fields = [
        ("token", token.as_str()),
        ("token_type_hint", "access_token"),
    ];
    let answer = form(&actor, REVOKE, &fields).await;
    refused(answer, 400, "unsupported_token_type");
    stage.app.clock.advance(1_000);
    form(&actor, REVOKE, &fields).await.expect(200);
}

#[tokio::test]
async fn the_metadata_name_routes_that_exist() {
    let stage = Stage::new().await;
    let path = "/.well-known/oauth-authorization-server";
    let answer = stage.anon().get(path).await.expect(200);
    let answer = answer.expect_round_trips(0);
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let metadata = answer.json();
    let url = "https://api.example.com";
    assert_eq!(metadata["issuer"], url);
    for endpoint in [
        "token_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
    ] {
        let path = metadata[endpoint].as_str().unwrap();
        let path = path.strip_prefix(url).unwrap();
        // An empty form is refused by the route itself.
        let answer = stage.anon().send("POST", path, FORM, b"x=1").await;
        assert!(answer.json()["error"].is_string(), "{path}: {answer:?}");
    }
    let jwks = metadata["jwks_uri"].as_str().unwrap();
    let jwks = jwks.strip_prefix(url).unwrap();
    stage.anon().get(jwks).await.expect(200);

    let grants = json!(["client_credentials", "refresh_token"]);
    assert_eq!(metadata["grant_types_supported"], grants);
    let methods = json!(["client_secret_basic", "client_secret_post"]);
    assert_eq!(
        metadata["introspection_endpoint_auth_methods_supported"],
        methods
    );
    let scopes = metadata["scopes_supported"].as_array().unwrap();
    assert!(scopes.contains(&json!("tokens:introspect")));
    // RFC 8414, section 3.2.
    for (name, value) in metadata.as_object().unwrap() {
        let list = value.as_array();
        assert!(list.is_none_or(|list| !list.is_empty()), "{name} is empty");
    }

    let stage = Stage::with(&[("ALLOW_PASSWORD_GRANT", "true")]).await;
    let metadata = stage.anon().get(path).await.expect(200).json();
    let grants = json!(["client_credentials", "refresh_token", "password"]);
    assert_eq!(metadata["grant_types_supported"], grants);
}

#[tokio::test]
async fn no_role_may_introspect() {
    let stage = Stage::new().await;
    stage.admin().await;
    let tokens = log_in(&stage, "admin@example.com").await;
    assert!(tokens.text("scope").contains("admin:all"));
    assert!(!tokens.text("scope").contains("tokens:introspect"));
}

#[tokio::test]
async fn no_secret_of_a_client_is_stored_in_clear() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let client = Client::new(&admin, &["items:read"]).await;
    let rotated = client.rotated(&admin).await;
    let token = rotated.token(&stage).await.expect(200).text("access_token");
    let items = stage.all_items().await;
    for secret in [&client.secret, &rotated.secret, &token] {
        let random = secret.trim_start_matches("sheaf_");
        let stored = items.iter().any(|item| item.contains(random));
        assert!(!stored, "{secret} is stored");
    }
    // What is stored of a client is in the vault: its hashes, and its place in the list.
    let of_client = items.iter().filter(|item| item.contains("CLIENT"));
    assert_eq!(of_client.count(), 3);
}
