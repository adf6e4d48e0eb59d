//! What a client sees, over HTTP.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::bundle::{Bundle, PASSWORD};

pub(crate) fn every_function_answers(bundle: &Bundle) {
    let root = bundle.get("/", None).expect(200);
    assert_eq!(root["name"], "Sheaf");
    assert_eq!(root["links"]["health"], bundle.url("/api/v1/health"));
    assert_eq!(
        bundle.get("/api/v1/health", None).expect(200)["status"],
        "healthy"
    );
    let keys = bundle.get("/.well-known/jwks.json", None).expect(200);
    assert_eq!(keys["keys"][0]["crv"], "Ed25519");
    let document = bundle.get("/openapi.json", None).expect(200);
    assert!(document["paths"]["/api/v1/users/me"].is_object());
    bundle.get("/api/v1/users/me", None).expect(401);
}

pub(crate) fn register_log_in_and_change_the_profile(bundle: &Bundle) {
    let account = json!({"email": "ada@example.com", "password": PASSWORD, "first_name": "Ada"});
    let user = bundle
        .post("/api/v1/auth/register", account.clone())
        .expect(201);
    assert_eq!(user["email"], "ada@example.com");
    assert_eq!(
        bundle.post("/api/v1/auth/register", account).expect(409)["code"],
        "email_taken"
    );

    let token = bundle.log_in();
    let change = Some(json!({"first_name": "Chief"}));
    let me = bundle
        .send("PATCH", "/api/v1/users/me", Some(&token), change)
        .expect(200);
    assert_eq!(me["first_name"], "Chief");
    assert_eq!(bundle.get("/api/v1/users/me", Some(&token)).expect(200), me);
}

pub(crate) fn bad_requests_are_problem_documents(bundle: &Bundle) {
    let cases = [
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/auth/nowhere", 404),
        ("GET", "/api/v1/users", 401),
        ("GET", "/api/v1/users/me/nowhere", 404),
        ("DELETE", "/api/v1/auth/login", 405),
        ("GET", "/api/v1/users/me", 401),
        ("POST", "/api/v1/auth/login", 415),
    ];
    for (method, path, status) in cases {
        let answer = bundle.send(method, path, None, None);
        assert_eq!(answer.kind, "application/problem+json", "{method} {path}");
        let problem = answer.expect(status);
        assert_eq!(problem["instance"], path);
    }
}

pub(crate) fn a_registration_reaches_the_worker_through_sqs(bundle: &Bundle) {
    let account =
        json!({"email": "grace@example.com", "password": PASSWORD, "first_name": "Grace"});
    bundle.post("/api/v1/auth/register", account).expect(201);
    let started = Instant::now();
    let arrived = || {
        let mails = std::fs::read_dir(bundle.data.join("mail")).unwrap();
        let mut texts = mails.map(|mail| std::fs::read_to_string(mail.unwrap().path()).unwrap());
        texts.any(|text| text.contains("Hello Grace,") && text.contains("To: grace@example.com"))
    };
    while !arrived() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "no mail:\n{}",
            bundle.output()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    println!(
        "the mail came after {:.2} s",
        started.elapsed().as_secs_f64()
    );
}

pub(crate) fn requests_at_once_are_all_answered(bundle: &Bundle) {
    let token = bundle.log_in();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for _ in 0..10 {
                    bundle.get("/api/v1/users/me", Some(&token)).expect(200);
                }
            });
        }
    });
}

pub(crate) fn each_request_is_told_in_one_readable_line(bundle: &Bundle) {
    let token = bundle.log_in();
    let told = |output: &str| {
        let lines = output.lines();
        let lines = lines.filter(|line| line.contains(" INFO  GET /api/v1/users/me 200 "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = told(&bundle.output()).len();
    bundle.get("/api/v1/users/me", Some(&token)).expect(200);
    std::thread::sleep(Duration::from_millis(500));
    let lines = told(&bundle.output());
    assert_eq!(lines.len(), before + 1, "{}", bundle.output());
    let line = lines.last().unwrap();
    println!("{line}");
    for part in [" ms 1 trip 2 rcu 0 wcu user ", " request "] {
        assert!(line.contains(part), "{part} is missing: {line}");
    }
    let output = bundle.output();
    // Tasks are told in the same way; metrics are not, and this is no terminal.
    assert!(
        output.contains(" INFO  task verification_mail succeeded "),
        "{output}"
    );
    assert!(!output.contains("\"_aws\""), "{output}");
    assert!(!output.contains("{\"level\""), "{output}");
    assert!(!line.contains('\u{1b}'), "{line}");
    assert!(
        !output.contains(&token) && !output.contains(PASSWORD),
        "a secret is in the log"
    );
}

pub(crate) fn each_request_is_one_short_line_of_log(bundle: &Bundle) {
    let token = bundle.log_in();
    let marked = |output: &str| {
        let lines = output
            .lines()
            .filter_map(|line| Some(line[line.find("{\"level\"")?..].to_owned()));
        lines
            .filter(|line| line.contains("\"route\":\"/api/v1/users/me\""))
            .collect::<Vec<_>>()
    };
    // The first request that an instance answers leases permits, which is a round trip more.
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| bundle.get("/api/v1/users/me", Some(&token)).expect(200));
        }
    });
    std::thread::sleep(Duration::from_millis(500));
    let before = marked(&bundle.output()).len();
    bundle.get("/api/v1/users/me", Some(&token)).expect(200);
    std::thread::sleep(Duration::from_millis(500));
    let lines = marked(&bundle.output());
    assert_eq!(lines.len(), before + 1, "{}", bundle.output());
    let line = lines.last().unwrap();
    println!("{} bytes: {line}", line.len());
    assert!(line.len() < 300, "{line}");
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["method"], "GET");
    assert_eq!(line["status"], 200);
    assert_eq!(line["db_trips"], 1);
    for field in ["duration_ms", "ip", "user", "request", "rcu", "wcu"] {
        assert!(!line[field].is_null(), "{field} is missing: {line}");
    }
    let output = bundle.output();
    assert!(
        !output.contains(&token) && !output.contains(PASSWORD),
        "a secret is in the log"
    );
}
