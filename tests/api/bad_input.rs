//! Bad input, once for the wrapper that all functions share.

use serde_json::json;
use tests::{PASSWORD, Stage};

const REGISTER: &str = "/api/v1/auth/register";
const ME: &str = "/api/v1/users/me";
const JSON: Option<&str> = Some("application/json");

#[tokio::test]
async fn what_is_not_json_is_400() {
    let stage = Stage::new().await;
    let anon = stage.anon();
    let deep = "[".repeat(10_000);
    let bodies: [&[u8]; 7] = [
        b"",
        b"{",
        b"{\"email\": }",
        b"nonsense",
        b"{\"email\": \"a@example.com\"} {}",
        b"{\"email\": \"\xff\xfe@example.com\", \"password\": \"Correct-horse-7\"}",
        deep.as_bytes(),
    ];
    for body in bodies {
        let answer = anon.send("POST", REGISTER, JSON, body).await;
        answer
            .expect_problem(400, "malformed_body")
            .expect_round_trips(0);
    }
    let twice =
        br#"{"email":"a@example.com","email":"b@example.com","password":"Correct-horse-7"}"#;
    anon.send("POST", REGISTER, JSON, twice)
        .await
        .expect_problem(400, "malformed_body");
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let stage = Stage::new().await;
    let body = json!({"email": 7, "username": "a", "first_name": null, "color": "red"});
    let answer = stage
        .anon()
        .post(REGISTER, body)
        .await
        .expect_problem(422, "validation_failed");
    let answer = answer.expect_round_trips(0);
    let mut fields = answer.wrong_fields();
    fields.sort();
    let expected = [
        ("color", "unknown_field"),
        ("email", "invalid_type"),
        ("password", "required"),
        ("username", "too_short"),
    ];
    assert_eq!(fields, expected.map(|(f, c)| (f.to_owned(), c.to_owned())));
    for list in ["[]", "3", "null", "\"text\""] {
        let answer = stage
            .anon()
            .send("POST", REGISTER, JSON, list.as_bytes())
            .await;
        answer.expect_problem(422, "validation_failed");
    }
}

#[tokio::test]
async fn another_content_type_is_415() {
    let stage = Stage::new().await;
    let body = json!({"email": "a@example.com", "password": PASSWORD}).to_string();
    for kind in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some(""),
    ] {
        let answer = stage
            .anon()
            .send("POST", REGISTER, kind, body.as_bytes())
            .await;
        answer.expect_problem(415, "unsupported_media_type");
    }
    let kind = Some("application/json; charset=utf-8");
    stage
        .anon()
        .send("POST", REGISTER, kind, body.as_bytes())
        .await
        .expect(201);
}

#[tokio::test]
async fn a_body_of_more_than_a_mebibyte_is_413() {
    let stage = Stage::new().await;
    let limit = 1024 * 1024;
    let body = |length: usize| {
        let start = "{\"email\":\"";
        format!("{start}{}\"}}", "x".repeat(length - start.len() - 2)).into_bytes()
    };
    let fits = stage
        .anon()
        .send("POST", REGISTER, JSON, &body(limit))
        .await;
    fits.expect_problem(422, "validation_failed");
    let too_large = stage
        .anon()
        .send("POST", REGISTER, JSON, &body(limit + 1))
        .await;
    too_large.expect_problem(413, "body_too_large");
}

#[tokio::test]
async fn a_wrong_method_is_405_with_allow() {
    let stage = Stage::new().await;
    let answer = stage.anon().send("DELETE", REGISTER, None, b"").await;
    let answer = answer.expect_problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "POST");
    let answer = stage.anon().send("POST", "/health", None, b"").await;
    let answer = answer.expect_problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "GET,HEAD");
    stage
        .anon()
        .send("HEAD", "/health", None, b"")
        .await
        .expect(200);
}

#[tokio::test]
async fn an_unknown_route_is_404_in_every_group() {
    let stage = Stage::new().await;
    for path in [
        "/nowhere",
        "/api/v1/auth/nowhere",
        "/api/v1/users/me/nowhere",
        "/api/v2/x",
        "/.well-known/x",
    ] {
        let answer = stage
            .anon()
            .get(path)
            .await
            .expect_problem(404, "not_found");
        assert_eq!(answer.text("instance"), path);
    }
}

#[tokio::test]
async fn a_missing_or_malformed_token_is_401() {
    let stage = Stage::new().await;
    let missing = stage
        .anon()
        .get(ME)
        .await
        .expect_problem(401, "token_missing");
    assert_eq!(missing.header("www-authenticate"), "Bearer");
    let basic = stage
        .anon()
        .with_header("authorization", "Basic YTpi")
        .get(ME)
        .await;
    basic.expect_problem(401, "token_missing");

    let ada = stage.user().await;
    let good = ada.get(ME).await.expect(200);
    assert_eq!(good.text("id"), ada.id);
    let long = format!("Bearer {}", "x".repeat(5_000));
    for bad in [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer a.b.c",
        "Bearer \u{fe}",
        &long,
    ] {
        let answer = stage
            .anon()
            .with_header("authorization", bad)
            .get(ME)
            .await
            .expect(401);
        assert_eq!(answer.usage.round_trips(), 0, "{bad}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
}

#[tokio::test]
async fn a_forged_token_is_401() {
    use base64::Engine;
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let credentials = json!({"email": ada.email, "password": PASSWORD});
    let token = stage
        .anon()
        .post("/api/v1/auth/login", credentials)
        .await
        .expect(200);
    let token = token.text("access_token");
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let none = base64.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    let hs256 = base64.encode(r#"{"alg":"HS256","typ":"at+jwt","kid":"x"}"#);
    let mut promoted: serde_json::Value =
        serde_json::from_slice(&base64.decode(claims).unwrap()).unwrap();
    promoted["role"] = json!("admin");
    let promoted = base64.encode(promoted.to_string());
    let forged = [
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{hs256}.{claims}.{signature}"),
        format!("{header}.{promoted}.{signature}"),
        format!("{header}.{claims}."),
        format!("{header}.{claims}"),
        format!("{header}.{claims}.{signature}.x"),
    ];
    for token in forged {
        let thief = stage
            .anon()
            .with_header("authorization", &format!("Bearer {token}"));
        let answer = thief.get(ME).await.expect_problem(401, "invalid_token");
        assert!(answer.header("www-authenticate").contains("invalid_token"));
    }
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_instance_lives_on() {
    use axum::extract::Path;
    use utoipa_axum::router::OpenApiRouter;

    let stage = Stage::new().await;
    let routes = OpenApiRouter::new()
        .route(
            "/panic",
            axum::routing::get(async || -> &'static str { panic!("on purpose") }),
        )
        .route("/fine", axum::routing::get(async || "fine"))
        .route(
            "/number/{n}",
            axum::routing::get(async |Path(n): Path<u8>| n.to_string()),
        );
    let router = shared::http::wrap(stage.app.clone(), routes);
    let anon = stage.anon();
    let answer = anon.send_to(router.clone(), "GET", "/panic").await;
    let answer = answer.expect_problem(500, "internal");
    assert!(
        !String::from_utf8_lossy(&answer.body).contains("on purpose"),
        "{answer:?}"
    );
    anon.send_to(router.clone(), "GET", "/fine")
        .await
        .expect(200);
    // What an extractor of axum's own refuses is a problem document too.
    anon.send_to(router, "GET", "/number/x")
        .await
        .expect_problem(400, "bad_request");
}

#[tokio::test]
async fn a_missing_scope_is_403_and_says_which() {
    use shared::auth::CurrentUser;
    use shared::models::Scope;

    let stage = Stage::new().await;
    let (ada, admin) = (stage.user().await, stage.admin().await);
    let secret = async |user: CurrentUser| user.require(Scope::AdminAll).map(|()| "for admins");
    let routes = utoipa_axum::router::OpenApiRouter::new().route("/x", axum::routing::get(secret));
    let router = shared::http::wrap(stage.app.clone(), routes);

    let refused = ada.send_to(router.clone(), "GET", "/x").await;
    let refused = refused
        .expect_problem(403, "insufficient_scope")
        .expect_round_trips(1);
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"admin:all\"";
    assert_eq!(refused.header("www-authenticate"), challenge);
    admin.send_to(router, "GET", "/x").await.expect(200);
}
