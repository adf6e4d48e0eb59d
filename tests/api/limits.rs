//! Rate limits that hold for all routes, and logins that become slow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use shared::store::meter;
use tests::{PASSWORD, Stage};

const ME: &str = "/api/v1/users/me";
const LOGIN: &str = "/api/v1/auth/login";

#[tokio::test]
async fn a_user_may_do_so_much_in_a_minute() {
    let stage = Stage::with(&[("RATE_LIMIT_PER_MINUTE", "30")]).await;
    // Logging in has looked at the own profile once.
    let ada = stage.user().await;
    for n in (0..29).rev() {
        let answer = ada.get(ME).await.expect(200);
        assert_eq!(answer.header("x-ratelimit-limit"), "30");
        assert_eq!(answer.header("x-ratelimit-remaining"), n.to_string());
    }
    let limited = ada.get(ME).await.expect_problem(429, "rate_limited");
    let seconds: u64 = limited.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    // Somebody else is not concerned, and she is not for long.
    stage.user().await.get(ME).await.expect(200);
    stage.later(60).await;
    ada.get(ME).await.expect(200);
}

#[tokio::test]
async fn the_limit_holds_over_all_instances_and_costs_a_write_for_many_requests() {
    let stage = Stage::with(&[("RATE_LIMIT_PER_MINUTE", "100")]).await;
    let instances = [stage.instance(), stage.instance(), stage.instance()];
    let usage = Arc::default();
    let permits = instances
        .iter()
        .flat_map(|app| (0..60).map(move |_| async move { app.permit("somebody").await.is_ok() }));
    let passed = meter::metered(Arc::clone(&usage), join_all(permits)).await;
    let passed = passed.into_iter().filter(|passed| *passed).count();
    assert!((1..=100).contains(&passed), "{passed} passed");

    // One after the other, all of the limit can be used, and ten requests cost one write.
    stage.later(60).await;
    let usage = Arc::default();
    let work = async {
        let mut passed = 0;
        for _ in 0..40 {
            for app in &instances {
                passed += usize::from(app.permit("somebody").await.is_ok());
            }
        }
        passed
    };
    let passed = meter::metered(Arc::clone(&usage), work).await;
    assert_eq!(passed, 100);
    // Ten leases, and then some that were refused.
    let trips = usage.round_trips();
    assert!((10..=60).contains(&trips), "{trips}");
}

#[tokio::test]
async fn guessing_becomes_slow_and_the_owner_gets_in_all_the_same() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    for email in [ada.email.as_str(), "nobody@example.com"] {
        let guess = json!({"email": email, "password": "Wrong-horse-7"});
        for _ in 0..6 {
            // Each from another address.
            stage.anon().post(LOGIN, guess.clone()).await.expect(401);
        }
        let begun = Instant::now();
        stage.anon().post(LOGIN, guess).await.expect(401);
        assert!(begun.elapsed() >= Duration::from_millis(500), "{email}");
    }
    let right = json!({"email": ada.email, "password": PASSWORD});
    stage.anon().post(LOGIN, right).await.expect(200);
}
