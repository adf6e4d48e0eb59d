//! Health, the front door, and the OpenAPI document.

use tests::Stage;

#[tokio::test]
async fn health_asks_nobody() {
    let stage = Stage::new().await;
    for path in ["/health", "/api/v1/health"] {
        let answer = stage
            .anon()
            .get(path)
            .await
            .expect(200)
            .expect_round_trips(0);
        assert_eq!(answer.text("status"), "healthy");
    }
}

#[tokio::test]
async fn the_front_door_shows_the_way() {
    let stage = Stage::new().await;
    let root = stage
        .anon()
        .get("/")
        .await
        .expect(200)
        .expect_round_trips(0)
        .json();
    assert_eq!(root["name"], "Sheaf");
    for (_, link) in root["links"].as_object().unwrap() {
        let link = link.as_str().unwrap();
        assert!(link.starts_with("https://api.example.com/"), "{link}");
    }
}

#[tokio::test]
async fn without_a_public_url_links_name_the_domain_of_the_gateway() {
    let stage = Stage::with(&[("PUBLIC_URL", "")]).await;
    let root = stage
        .anon()
        .with_header("host", "evil.example")
        .get("/")
        .await
        .expect(200)
        .json();
    assert_eq!(
        root["links"]["health"],
        "https://api.example.com/api/v1/health"
    );
    // Tokens are then issued by and for that domain, and work.
    stage.user().await.get("/api/v1/users/me").await.expect(200);
}

#[tokio::test]
async fn the_openapi_document_is_served() {
    let stage = Stage::new().await;
    let answer = stage
        .anon()
        .get("/openapi.json")
        .await
        .expect(200)
        .expect_round_trips(0);
    let document = answer.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["servers"][0]["url"], "https://api.example.com");
    let login = &document["paths"]["/api/v1/auth/login"]["post"];
    assert_eq!(login["operationId"], "login");
    assert_eq!(login["tags"], serde_json::json!(["auth"]));
}

#[tokio::test]
async fn every_response_carries_id_time_and_security_headers() {
    let stage = Stage::new().await;
    for path in ["/health", "/nowhere"] {
        let answer = stage.anon().get(path).await;
        assert!(!answer.header("x-request-id").is_empty());
        assert!(answer.header("x-process-time").parse::<f64>().unwrap() >= 0.0);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(
            answer
                .header("strict-transport-security")
                .starts_with("max-age=")
        );
        assert!(
            answer
                .header("content-security-policy")
                .contains("default-src 'none'")
        );
    }
    let known = stage
        .anon()
        .with_header("x-request-id", "from-the-client-1");
    assert_eq!(
        known.get("/health").await.header("x-request-id"),
        "from-the-client-1"
    );
    let forged = stage
        .anon()
        .with_header("x-request-id", "{\"forged\": true}");
    assert_ne!(
        forged.get("/health").await.header("x-request-id"),
        "{\"forged\": true}"
    );
}

#[tokio::test]
async fn browsers_may_call_from_configured_origins_only() {
    let stage = Stage::with(&[("CORS_ORIGINS", "https://app.example.com")]).await;
    let preflight = async |origin: &str| {
        let browser = stage.anon().with_header("origin", origin);
        let browser = browser.with_header("access-control-request-method", "PATCH");
        browser.send("OPTIONS", "/api/v1/users/me", None, b"").await
    };
    let allowed = preflight("https://app.example.com").await.expect(200);
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        "https://app.example.com"
    );
    assert!(
        allowed
            .header("access-control-allow-methods")
            .contains("PATCH")
    );
    let refused = preflight("https://evil.example").await;
    assert_eq!(refused.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn long_bodies_are_compressed_when_asked() {
    let stage = Stage::new().await;
    let plain = stage.anon().get("/openapi.json").await.expect(200);
    assert_eq!(plain.header("content-encoding"), "");
    let modern = stage.anon().with_header("accept-encoding", "gzip, br");
    let packed = modern.get("/openapi.json").await.expect(200);
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.body.len() * 2 < plain.body.len());
    assert_eq!(modern.get("/health").await.header("content-encoding"), "");
}
