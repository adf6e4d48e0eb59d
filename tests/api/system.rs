//! Health, the front door, and the OpenAPI document.

use futures_util::future::join_all;
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

#[tokio::test]
async fn readiness_asks_what_requests_need() {
    let stage = Stage::new().await;
    for (path, checks, trips) in [
        ("/api/v1/health/db", vec!["database"], 1),
        ("/api/v1/health/queue", vec!["queue"], 0),
        ("/api/v1/health/full", vec!["database", "queue"], 1),
        ("/health/full", vec!["database", "queue"], 1),
    ] {
        // What was found a second ago is old.
        stage.later(2).await;
        let answer = stage.anon().get(path).await.expect(200);
        let answer = answer.expect_round_trips(trips).json();
        assert_eq!(answer["status"], "healthy", "{path}");
        let found = answer["checks"].as_object().unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), checks, "{path}");
        for check in found.values() {
            assert_eq!(check["status"], "healthy");
            assert!(check["duration_ms"].as_f64().unwrap() >= 0.0);
        }
    }
    // Many at once ask once, or twice if a second ends meanwhile.
    stage.later(2).await;
    let anon = stage.anon();
    let answers = join_all((0..50).map(|_| anon.get("/health/db"))).await;
    let trips = answers.iter().map(|answer| answer.usage.round_trips());
    assert!((1..=2).contains(&trips.sum::<u32>()));
}

#[tokio::test]
async fn what_does_not_answer_makes_it_degraded_and_tells_nothing_more() {
    let stage = Stage::new().await;
    // One takes no connection, the other takes it and says nothing.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute = format!("http://{}", mute.local_addr().unwrap());
    for (broken, url, answers) in [
        ("database", "http://127.0.0.1:1", "queue"),
        ("database", mute.as_str(), "queue"),
        ("queue", "http://127.0.0.1:1", "database"),
        ("queue", mute.as_str(), "database"),
    ] {
        let mut config = stage.app.config.clone();
        match broken {
            "database" => config.aws.dynamodb_endpoint = Some(url.to_owned()),
            _ => config.aws.sqs_endpoint = Some(url.to_owned()),
        }
        let sick = stage.beside(shared::App::new(config).unwrap());
        let anon = stage.anon();
        let anon = anon.at(&sick);
        let answer = anon.get("/api/v1/health/full").await.expect(503);
        let body = answer.json();
        assert_eq!(body["status"], "degraded");
        assert_eq!(body["checks"][broken]["status"], "degraded");
        assert_eq!(body["checks"][answers]["status"], "healthy");
        if url == mute {
            let waited = body["checks"][broken]["duration_ms"].as_f64().unwrap();
            assert!(waited >= 2_000.0, "{waited}");
        }
        let text = String::from_utf8(answer.body).unwrap();
        for word in ["127.0.0.1", "error", "app", "timed out", "arn:"] {
            assert!(!text.contains(word), "{word} is in {text}");
        }
        anon.get("/health").await.expect(200);
    }
}
