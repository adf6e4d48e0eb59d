//! What real instances have counted, as a reader of Prometheus's format reads it.

use std::process::Command;
use std::time::{Duration, Instant};

use tests::{Instance, Stage};

use crate::bundle::{Bundle, root, signal};
use crate::python;

/// Reads a page with Prometheus's own client library, and prints how many requests to a route it tells of.
const SCRIPT: &str = r#"
import sys
from prometheus_client.parser import text_string_to_metric_families

families = {family.name: family for family in text_string_to_metric_families(sys.stdin.read())}
for name, kind in [
    ("http_requests", "counter"), ("http_request_duration_seconds", "histogram"), ("app_errors", "counter"),
    ("tasks", "counter"), ("logins", "counter"), ("dynamodb_capacity_units", "counter"),
]:
    assert families[name].type == kind, (name, families[name].type)
print(int(sum(
    sample.value for sample in families["http_requests"].samples if sample.labels["route"] == sys.argv[1]
)))
"#;

const ROUTE: &str = "/api/v1/health";

/// How many requests to the route a page tells of.
fn count(page: &str) -> u64 {
    use std::io::Write;
    let mut child = Command::new(python::with(
        "prometheus_client",
        "prometheus-client==0.26.0",
    ))
    .args(["-c", SCRIPT, ROUTE])
    .stdin(std::process::Stdio::piped())
    .stdout(std::process::Stdio::piped())
    .spawn()
    .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{page}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// Several instances of a function share what they count.
pub(crate) fn instances_tell_what_they_have_counted(bundle: &Bundle) {
    let token = bundle.log_in();
    let page = || {
        let page = bundle.get("/metrics", Some(&token)).expect(200);
        page.as_str().unwrap().to_owned()
    };
    let ask = || bundle.get(ROUTE, None).expect(200);
    let before = count(&page());
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| (0..20).for_each(|_| drop(ask())));
        }
    });
    // An instance tells when it answers again, ten seconds later at the earliest.
    let begun = Instant::now();
    let mut asked = 200;
    loop {
        std::thread::sleep(Duration::from_millis(500));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(ask);
            }
        });
        asked += 4;
        let told = count(&page()) - before;
        assert!(told <= asked, "{told} of {asked}");
        if told >= 200 {
            println!(
                "{told} of {asked} were told after {:.1} s",
                begun.elapsed().as_secs_f64()
            );
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{told} of {asked}"
        );
    }
}

/// The binary is that which `cargo dev` has built for the stories before.
pub(crate) fn an_instance_that_ends_tells_the_rest(_: &Bundle) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let stage = Stage::new().await;
        let event = stage.anon().event("GET", ROUTE);
        let mut instance =
            Instance::start(&stage, "system", &root().join("target/debug/system")).await;
        instance.ready().await;
        for _ in 0..7 {
            let answer = instance.invoke(&event).await;
            assert_eq!(answer["statusCode"], 200, "{answer}");
        }
        let admin = stage.admin().await;
        let page =
            async || String::from_utf8(admin.get("/metrics").await.expect(200).body).unwrap();
        assert_eq!(count(&page().await), 0, "it is too early");
        signal("TERM", &instance.id().to_string());
        assert!(instance.ended(Duration::from_secs(10)), "it goes on");
        assert_eq!(count(&page().await), 7);
    });
}
