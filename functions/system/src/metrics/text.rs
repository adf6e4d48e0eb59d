//! The text format of Prometheus, version 0.0.4:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.

use std::collections::BTreeMap;
use std::fmt::Write;

use shared::metrics::{BUCKETS, COUNTS_ROW, Count, ERROR_PREFIX, REQUESTS_PREFIX};

/// What the instances have added, by row and attribute.
type Rows = BTreeMap<String, BTreeMap<String, u64>>;

/// All of it. A counter that nothing has counted yet is 0.
pub(super) fn of(rows: &Rows) -> String {
    let mut page = Page::default();
    requests(&mut page, rows);
    let none = BTreeMap::new();
    counts(&mut page, rows.get(COUNTS_ROW).unwrap_or(&none));
    page.0
}

fn requests(page: &mut Page, rows: &Rows) {
    let mut answers = Vec::new();
    for (row, attributes) in rows {
        let name = row.strip_prefix(REQUESTS_PREFIX);
        if let Some((method, route)) = name.and_then(|name| name.split_once(' ')) {
            let mut by_status: BTreeMap<&str, Answers> = BTreeMap::new();
            for (attribute, number) in attributes {
                if let Some((status, what)) = attribute.split_once('_') {
                    by_status.entry(status).or_default().add(what, *number);
                }
            }
            let by_status = by_status.into_iter();
            answers.extend(by_status.map(|(status, answers)| {
                (
                    [("method", method), ("route", route), ("status", status)],
                    answers,
                )
            }));
        }
    }
    page.head("http_requests_total", "counter", "Requests answered.");
    for (labels, answers) in &answers {
        page.line("http_requests_total", labels, answers.count());
    }
    let name = "http_request_duration_seconds";
    page.head(name, "histogram", "How long requests took.");
    for (labels, answers) in &answers {
        let [method, route, status] = *labels;
        let mut below = 0;
        let bounds = BUCKETS
            .iter()
            .map(|ms| (f64::from(*ms) / 1_000.0).to_string());
        for (bound, number) in bounds.chain(["+Inf".to_owned()]).zip(answers.buckets) {
            below += number;
            let labels = [method, route, status, ("le", &bound)];
            page.line(&format!("{name}_bucket"), &labels, below);
        }
        page.line(
            &format!("{name}_sum"),
            labels,
            answers.microseconds as f64 / 1e6,
        );
        page.line(&format!("{name}_count"), labels, answers.count());
    }
}

#[derive(Default)]
struct Answers {
    buckets: [u64; BUCKETS.len() + 1],
    microseconds: u64,
}

impl Answers {
    /// Reads an attribute of the row; one that another build has written and this does not know is left out.
    fn add(&mut self, what: &str, number: u64) {
        if what == "us" {
            self.microseconds += number;
        } else if let Some(bucket) = what
            .parse()
            .ok()
            .and_then(|at: usize| self.buckets.get_mut(at))
        {
            *bucket += number;
        }
    }

    fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

fn counts(page: &mut Page, row: &BTreeMap<String, u64>) {
    let number = |count: Count| row.get(count.name()).copied().unwrap_or_default();
    page.head(
        "app_errors_total",
        "counter",
        "Errors answered, by their code.",
    );
    for (name, number) in row {
        if let Some(code) = name.strip_prefix(ERROR_PREFIX) {
            page.line("app_errors_total", &[("code", code)], *number);
        }
    }
    page.head(
        "tasks_total",
        "counter",
        "Background tasks, by what happened to them.",
    );
    for (state, count) in [
        ("queued", Count::TasksQueued),
        ("started", Count::TasksStarted),
        ("succeeded", Count::TasksSucceeded),
        ("retried", Count::TasksRetried),
        ("failed", Count::TasksFailed),
        ("resent", Count::TasksResent),
    ] {
        page.line("tasks_total", &[("state", state)], number(count));
    }
    let name = "registrations_total";
    page.head(name, "counter", "Accounts that people made for themselves.");
    page.line(name, &[], number(Count::Registrations));
    page.head("logins_total", "counter", "Logins, by how they ended.");
    for (result, count) in [
        ("succeeded", Count::Logins),
        ("refused", Count::LoginsRefused),
    ] {
        page.line("logins_total", &[("result", result)], number(count));
    }
    page.head("orders_total", "counter", "Orders placed.");
    page.line("orders_total", &[], number(Count::Orders));
    let name = "dynamodb_round_trips_total";
    page.head(name, "counter", "Requests to DynamoDB.");
    page.line(name, &[], number(Count::DatabaseRoundTrips));
    let name = "dynamodb_capacity_units_total";
    page.head(name, "counter", "Capacity units consumed of DynamoDB.");
    for (kind, count) in [("read", Count::ReadUnits), ("write", Count::WriteUnits)] {
        page.line(name, &[("kind", kind)], number(count) as f64 / 10.0);
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        let labels = labels.collect::<Vec<_>>().join(",");
        let labels = match labels.as_str() {
            "" => labels,
            _ => format!("{{{labels}}}"),
        };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

fn escaped(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(attributes: &[(&str, u64)]) -> BTreeMap<String, u64> {
        attributes
            .iter()
            .map(|(name, n)| ((*name).to_owned(), *n))
            .collect()
    }

    #[test]
    fn a_route_is_a_counter_and_a_histogram() {
        let rows = BTreeMap::from([(
            "REQUESTS#GET /items/{id}".to_owned(),
            row(&[
                ("200_0", 2),
                ("200_3", 1),
                ("200_12", 1),
                ("200_us", 1_500_000),
                ("200_later", 9),
            ]),
        )]);
        let page = of(&rows);
        let labels = "method=\"GET\",route=\"/items/{id}\",status=\"200\"";
        for line in [
            format!("http_requests_total{{{labels}}} 4"),
            format!("http_request_duration_seconds_bucket{{{labels},le=\"0.002\"}} 2"),
            format!("http_request_duration_seconds_bucket{{{labels},le=\"0.01\"}} 2"),
            format!("http_request_duration_seconds_bucket{{{labels},le=\"0.02\"}} 3"),
            format!("http_request_duration_seconds_bucket{{{labels},le=\"10\"}} 3"),
            format!("http_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 4"),
            format!("http_request_duration_seconds_sum{{{labels}}} 1.5"),
            format!("http_request_duration_seconds_count{{{labels}}} 4"),
        ] {
            assert!(
                page.lines().any(|found| found == line),
                "{line} is not in\n{page}"
            );
        }
    }

    #[test]
    fn what_nothing_has_counted_is_nothing() {
        let page = of(&BTreeMap::new());
        for line in [
            "orders_total 0",
            "tasks_total{state=\"failed\"} 0",
            "dynamodb_capacity_units_total{kind=\"read\"} 0",
        ] {
            assert!(
                page.lines().any(|found| found == line),
                "{line} is not in\n{page}"
            );
        }
    }

    #[test]
    fn every_count_is_shown() {
        let counts = Count::all().map(|count| (count.name().to_owned(), 7));
        let page = of(&BTreeMap::from([(COUNTS_ROW.to_owned(), counts.collect())]));
        // Requests and their errors are shown by route.
        let shown = Count::all().count() - 3;
        let found = page
            .lines()
            .filter(|line| line.ends_with(" 7") || line.ends_with(" 0.7"));
        assert_eq!(found.count(), shown, "{page}");
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
