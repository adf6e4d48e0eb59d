//! Metrics: what instances count, and what `/metrics` tells of all of them.

use std::collections::BTreeMap;

use axum::Router;
use serde_json::json;
use shared::App;
use shared::metrics::Count;
use tests::faults::{Fault, Faults, Schedule};
use tests::{Actor, Answer, PASSWORD, Stage, permissions, template};
use tokio::sync::watch;

const METRICS: &str = "/metrics";
const ME: &str = "/api/v1/users/me";
const TOKEN: &str = "a-token-that-only-the-scraper-knows-0001";

/// An instance of a function as Lambda runs it.
struct Instance {
    app: App,
    router: Router,
}

impl Instance {
    fn of(function: &str, app: App) -> Self {
        let routes = match function {
            "system" => system::router(),
            "users" => users::router(),
            other => panic!("no {other} here"),
        };
        let router = shared::lambda::service(app.clone(), routes);
        Self { app, router }
    }

    async fn get(&self, actor: &Actor<'_>, path: &str) -> Answer {
        actor.send_to(self.router.clone(), "GET", path).await
    }
}

/// What the page says, by name and labels.
async fn scrape(actor: &Actor<'_>) -> BTreeMap<String, f64> {
    let answer = actor.get(METRICS).await.expect(200);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(answer.header("content-type"), kind);
    let page = String::from_utf8(answer.body).unwrap();
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

fn requests(route: &str, status: u16) -> String {
    format!("http_requests_total{{method=\"GET\",route=\"{route}\",status=\"{status}\"}}")
}

#[tokio::test]
async fn ten_thousand_requests_to_four_instances_are_ten_thousand() {
    let stage = Stage::new().await;
    let (admin, ada, anon) = (stage.admin().await, stage.user().await, stage.anon());
    let instances = ["system", "system", "users", "users"]
        .map(|function| Instance::of(function, stage.instance()));
    // What each of them sends and knows; all of them share one clock.
    let mut sent = 0;
    for round in 0..50 {
        for (at, instance) in instances.iter().enumerate() {
            for n in 0..50 {
                let (path, status, actor) = match (at < 2, n % 5) {
                    (true, 4) => ("/nowhere", 404, &anon),
                    (true, _) => ("/health", 200, &anon),
                    (false, 0) => (ME, 200, &ada),
                    (false, _) => (ME, 401, &anon),
                };
                instance.get(actor, path).await.expect(status);
                sent += 1;
            }
        }
        if round % 10 == 0 {
            stage.later(11).await;
        }
    }
    assert_eq!(sent, 10_000);
    let early: f64 = scrape(&admin)
        .await
        .into_iter()
        .filter(is_count)
        .map(|(_, n)| n)
        .sum();
    assert!(early > 1_000.0, "{early} were told before the end");
    for instance in &instances {
        instance.app.flush_last_metrics().await;
        // Whoever tells once more has nothing to tell.
        instance.app.flush_last_metrics().await;
    }
    let page = scrape(&admin).await;
    let total: f64 = page
        .clone()
        .into_iter()
        .filter(is_count)
        .map(|(_, n)| n)
        .sum();
    assert_eq!(total, 10_000.0);
    for (name, expected) in [
        (requests("/health", 200), 4_000.0),
        (requests("-", 404), 1_000.0),
        (requests(ME, 200), 1_000.0),
        (requests(ME, 401), 4_000.0),
        ("app_errors_total{code=\"not_found\"}".to_owned(), 1_000.0),
        (
            "app_errors_total{code=\"token_missing\"}".to_owned(),
            4_000.0,
        ),
    ] {
        assert_eq!(page.get(&name), Some(&expected), "{name}");
    }
    let labels = format!("method=\"GET\",route=\"{ME}\",status=\"200\"");
    let name = format!("http_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}}");
    assert_eq!(page[&name], 1_000.0);
    assert!(page[&format!("http_request_duration_seconds_sum{{{labels}}}")] > 0.0);
    // Each looks at user and session, and some leased permits; the last lease of an instance is its own.
    assert!(page["dynamodb_round_trips_total"] >= 1_000.0);
    assert!(page["dynamodb_capacity_units_total{kind=\"read\"}"] >= 1_000.0);
}

fn is_count((name, _): &(String, f64)) -> bool {
    name.starts_with("http_requests_total")
}

#[tokio::test]
async fn what_people_do_is_counted() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let wrong = json!({"email": ada.email, "password": "Wrong-horse-7"});
    stage
        .anon()
        .post("/api/v1/auth/login", wrong)
        .await
        .expect(401);
    let item = json!({"title": "Tent", "price": 10, "stock": 3});
    let item = ada.post("/api/v1/items", item).await.expect(201);
    let order = json!({"items": [{"id": item.text("id"), "quantity": 1}]});
    let buyer = ada.clone().with_header("idempotency-key", "one");
    for _ in 0..2 {
        buyer
            .post("/api/v1/orders", order.clone())
            .await
            .expect(201);
    }
    stage.work().await;
    stage.app.flush_last_metrics().await;
    let page = scrape(&stage.admin().await).await;
    for (name, expected) in [
        ("registrations_total", 1.0),
        ("logins_total{result=\"succeeded\"}", 1.0),
        ("logins_total{result=\"refused\"}", 1.0),
        // The other one was a replay.
        ("orders_total", 1.0),
        ("tasks_total{state=\"failed\"}", 0.0),
    ] {
        assert_eq!(page.get(name), Some(&expected), "{name}");
    }
    let succeeded = stage.app.metrics.total(Count::TasksSucceeded) as f64;
    assert!(succeeded >= 3.0);
    assert_eq!(page["tasks_total{state=\"succeeded\"}"], succeeded);
}

#[tokio::test]
async fn only_the_scraper_and_administrators_see_metrics() {
    let stage = Stage::with(&[("METRICS_TOKEN", TOKEN)]).await;
    let with = |token: &str| {
        stage
            .anon()
            .with_header("authorization", &format!("Bearer {token}"))
    };
    // The token costs no look at a user: only the four parts are read.
    with(TOKEN)
        .get(METRICS)
        .await
        .expect(200)
        .expect_round_trips(4);
    stage
        .admin()
        .await
        .get(METRICS)
        .await
        .expect(200)
        .expect_round_trips(5);
    stage
        .anon()
        .get(METRICS)
        .await
        .expect_problem(401, "token_missing");
    let almost = &TOKEN[..TOKEN.len() - 1];
    with(almost)
        .get(METRICS)
        .await
        .expect_problem(401, "invalid_token");
    let ada = stage.user().await;
    ada.get(METRICS)
        .await
        .expect_problem(403, "insufficient_scope");
    // Without a token that is configured none is right, not even an empty one.
    let closed = Stage::new().await;
    let empty = closed.anon().with_header("authorization", "Bearer ");
    empty
        .get(METRICS)
        .await
        .expect_problem(401, "invalid_token");
}

#[tokio::test]
async fn what_was_counted_is_added_once_whatever_is_lost() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    // Each of the first calls of an instance in turn: the answer is lost, or nobody takes it.
    for fault in [Fault::AnswerLost, Fault::Unreachable] {
        let (switch, on) = watch::channel(true);
        let faults = Faults::new(Schedule::Service("DynamoDB", fault, on));
        let instance = Instance::of("system", faults.instance(&stage.app));
        let before = scrape(&admin).await;
        let before = before
            .get(&requests("/health", 200))
            .copied()
            .unwrap_or_default();
        for _ in 0..7 {
            instance.get(&stage.anon(), "/health").await.expect(200);
        }
        instance.app.flush_last_metrics().await;
        for _ in 0..3 {
            instance.get(&stage.anon(), "/health").await.expect(200);
        }
        switch.send(false).unwrap();
        instance.app.flush_last_metrics().await;
        let after = scrape(&admin).await[&requests("/health", 200)];
        assert_eq!(after - before, 10.0, "{fault:?}");
    }
}

#[tokio::test]
async fn metrics_are_told_beside_a_request_and_cost_it_nothing() {
    let stage = Stage::new().await;
    let (admin, ada) = (stage.admin().await, stage.user().await);
    let instance = Instance::of("users", stage.instance());
    // The first one fetches the keys and leases permits.
    instance
        .get(&ada, ME)
        .await
        .expect(200)
        .expect_round_trips(3);
    for _ in 0..2 {
        stage.later(11).await;
        instance.get(&ada, ME).await.expect(200);
        instance
            .get(&ada, ME)
            .await
            .expect(200)
            .expect_round_trips(1);
    }
    // Known of it is what it had answered when it told the last time.
    assert_eq!(scrape(&admin).await[&requests(ME, 200)], 3.0);
    // While the table is away, requests that need none are answered all the same.
    let (_switch, on) = watch::channel(true);
    let faults = Faults::new(Schedule::Service("DynamoDB", Fault::Unreachable, on));
    let instance = Instance::of("system", faults.instance(&stage.app));
    for _ in 0..2 {
        instance.get(&stage.anon(), "/health").await.expect(200);
        stage.later(11).await;
    }
}

#[tokio::test]
async fn one_register_is_one_registration() {
    let stage = Stage::new().await;
    let account = json!({"email": "ada@example.com", "password": PASSWORD});
    for status in [201, 409] {
        let answer = stage
            .anon()
            .post("/api/v1/auth/register", account.clone())
            .await;
        answer.expect(status);
    }
    assert_eq!(stage.app.metrics.total(Count::Registrations), 1);
}

#[tokio::test]
async fn every_function_may_tell_what_it_has_counted() {
    let stage = Stage::new().await;
    for function in &template().functions {
        let instance = stage.instance();
        instance.metrics.add(Count::Orders, 1);
        permissions::as_function(&function.name, instance.flush_last_metrics()).await;
    }
    let told = scrape(&stage.admin().await).await["orders_total"];
    assert_eq!(told, template().functions.len() as f64);
}
