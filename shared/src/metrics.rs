//! What an instance counts, told in two places: to CloudWatch as lines of its log in the Embedded Metric Format
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>),
//! and to rows that all instances add to, which `/metrics` shows.
//!
//! Both at most every ten seconds, and when the instance ends. What could not be added is added later, once: a part keeps
//! its token, by which DynamoDB knows it again.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::App;
use crate::error::Error;
use crate::ids;
use crate::store::keys::METRIC_SHARDS;
use crate::store::meter::Usage;

/// The namespace in CloudWatch; `template.yaml` names it in its alarms.
const NAMESPACE: &str = "Sheaf";

/// How long what was counted may wait, in seconds.
const EVERY: i64 = 10;

/// For how long DynamoDB knows a token again is ten minutes. A part that is older is given up.
const TOKEN_LIVES: i64 = 9 * 60;

/// How long a request may wait for what is told beside it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the end of an instance may wait for the table: Lambda gives it half a second.
const LAST_PATIENCE: Duration = Duration::from_millis(400);

/// The most durations that CloudWatch takes at once.
const MOST_DURATIONS: usize = 100;

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Tasks written by a change, whether or not the queue took their message.
    TasksQueued,
    /// Tasks claimed by a worker, each attempt anew.
    TasksStarted,
    TasksSucceeded,
    /// Attempts that failed and will be made again.
    TasksRetried,
    /// Tasks given up.
    TasksFailed,
    /// Messages sent again by the sweep.
    TasksResent,
    /// Accounts that people made for themselves, with a password or with a provider.
    Registrations,
    /// Sessions begun.
    Logins,
    /// Logins refused for a wrong password or name.
    LoginsRefused,
    /// Orders placed; a replay is none.
    Orders,
    /// Requests answered.
    Requests,
    /// Those answered with 4xx.
    ClientErrors,
    /// Those answered with 5xx.
    ServerErrors,
    /// Requests to DynamoDB, each try anew.
    DatabaseRoundTrips,
    /// Tenths of them.
    ReadUnits,
    /// Tenths of them.
    WriteUnits,
}

/// Each with its name in CloudWatch, and by how much that is less.
const COUNTS: [(Count, &str, u32); 16] = [
    (Count::TasksQueued, "TasksQueued", 1),
    (Count::TasksStarted, "TasksStarted", 1),
    (Count::TasksSucceeded, "TasksSucceeded", 1),
    (Count::TasksRetried, "TasksRetried", 1),
    (Count::TasksFailed, "TasksFailed", 1),
    (Count::TasksResent, "TasksResent", 1),
    (Count::Registrations, "Registrations", 1),
    (Count::Logins, "Logins", 1),
    (Count::LoginsRefused, "LoginsRefused", 1),
    (Count::Orders, "Orders", 1),
    (Count::Requests, "Requests", 1),
    (Count::ClientErrors, "ClientErrors", 1),
    (Count::ServerErrors, "ServerErrors", 1),
    (Count::DatabaseRoundTrips, "DatabaseRoundTrips", 1),
    (Count::ReadUnits, "ReadUnits", 10),
    (Count::WriteUnits, "WriteUnits", 10),
];

impl Count {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        COUNTS.into_iter().map(|(count, ..)| count)
    }

    /// What it is called in CloudWatch and in the row of counts.
    pub fn name(self) -> &'static str {
        COUNTS[self as usize].1
    }
}

/// The upper bounds of how long requests take, in milliseconds; beyond the last there is one more bucket.
pub const BUCKETS: [u16; 12] = [2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// Counters since the start of the instance. Clones go together.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Which of the shared rows this instance adds to.
    shard: u8,
    counted: [AtomicU64; COUNTS.len()],
    /// What CloudWatch knows of it.
    told: [AtomicU64; COUNTS.len()],
    /// What the shared rows have of it.
    added: [AtomicU64; COUNTS.len()],
    /// Seconds, one more than it is; nothing was measured since the last line if it is 0.
    oldest_task: AtomicU64,
    waiting: Mutex<Waiting>,
}

/// What cannot be a counter of its own from the start.
#[derive(Debug, Default)]
struct Waiting {
    /// By method and route.
    routes: HashMap<(&'static str, String), BTreeMap<u16, Answers>>,
    /// By code.
    errors: BTreeMap<&'static str, u64>,
    /// In milliseconds, for CloudWatch.
    durations: Vec<f64>,
    /// When something was told last, or first waited, in seconds since the epoch.
    told: Option<i64>,
    /// What was taken to be added, and may have been.
    open: Option<Part>,
}

/// Requests that were answered with the same status, by how long that took.
#[derive(Clone, Debug, Default, PartialEq)]
struct Answers {
    buckets: [u64; BUCKETS.len() + 1],
    microseconds: u64,
}

/// What is added to the shared rows together, or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its name: what has been added under it once is not added again.
    pub token: Uuid,
    pub shard: u8,
    /// By row, and in it by attribute.
    pub rows: BTreeMap<String, BTreeMap<String, u64>>,
    /// In seconds since the epoch.
    taken: i64,
}

/// The row of everything but requests.
pub const COUNTS_ROW: &str = "COUNTS";

/// What the names of errors begin with in that row.
pub const ERROR_PREFIX: &str = "error_";

/// What the rows of requests begin with; method and route follow.
pub const REQUESTS_PREFIX: &str = "REQUESTS#";

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Inner {
            shard: fastrand::u8(..METRIC_SHARDS),
            counted: Default::default(),
            told: Default::default(),
            added: Default::default(),
            oldest_task: AtomicU64::default(),
            waiting: Mutex::default(),
        }))
    }
}

impl Metrics {
    pub fn add(&self, count: Count, number: usize) {
        self.0.counted[count as usize].fetch_add(number as u64, Ordering::Relaxed);
    }

    /// Counts an answered request. `code` is the word of its error.
    pub(crate) fn answered(
        &self,
        method: &Method,
        route: &str,
        status: StatusCode,
        code: Option<&'static str>,
        spent: Duration,
    ) {
        self.add(Count::Requests, 1);
        if status.is_client_error() {
            self.add(Count::ClientErrors, 1);
        }
        if status.is_server_error() {
            self.add(Count::ServerErrors, 1);
        }
        let milliseconds = spent.as_secs_f64() * 1_000.0;
        let mut waiting = self.lock();
        if waiting.durations.len() < MOST_DURATIONS {
            waiting.durations.push(milliseconds);
        }
        if let Some(code) = code {
            *waiting.errors.entry(code).or_default() += 1;
        }
        let route = waiting
            .routes
            .entry((known_method(method), route.to_owned()))
            .or_default();
        let answers = route.entry(status.as_u16()).or_default();
        let bucket = BUCKETS
            .iter()
            .position(|most| milliseconds <= f64::from(*most));
        answers.buckets[bucket.unwrap_or(BUCKETS.len())] += 1;
        answers.microseconds += u64::try_from(spent.as_micros()).unwrap_or_default();
    }

    /// Counts what a request or a task has used.
    pub fn used(&self, usage: &Usage) {
        self.add(Count::DatabaseRoundTrips, usage.round_trips() as usize);
        self.add(Count::ReadUnits, usage.read_tenths() as usize);
        self.add(Count::WriteUnits, usage.write_tenths() as usize);
    }

    /// How old the oldest unfinished task is that the sweep has seen, in seconds; 0 if there was none.
    pub fn oldest_task(&self, seconds: u64) {
        let seconds = seconds.saturating_add(1);
        self.0.oldest_task.store(seconds, Ordering::Relaxed);
    }

    /// What was counted since the start.
    pub fn total(&self, count: Count) -> u64 {
        self.0.counted[count as usize].load(Ordering::Relaxed)
    }

    /// What CloudWatch was not told yet, as one document; `None` if that is nothing.
    pub fn document(&self, environment: &str, now: Timestamp) -> Option<Value> {
        let mut values = Map::new();
        let mut names = Vec::new();
        let mut put = |name: &str, unit: &str, value: Value| {
            names.push(json!({"Name": name, "Unit": unit}));
            values.insert(name.to_owned(), value);
        };
        for (count, name, divisor) in COUNTS {
            let more = news(&self.0.told[count as usize], self.total(count));
            match divisor {
                _ if more == 0 => {}
                1 => put(name, "Count", json!(more)),
                _ => put(name, "Count", json!(more as f64 / f64::from(divisor))),
            }
        }
        let durations = std::mem::take(&mut self.lock().durations);
        if !durations.is_empty() {
            let rounded = durations.iter().map(|ms| (ms * 100.0).round() / 100.0);
            let rounded: Vec<_> = rounded.collect();
            put("RequestDuration", "Milliseconds", json!(rounded));
        }
        let oldest = self.0.oldest_task.swap(0, Ordering::Relaxed);
        if oldest > 0 {
            put("OldestTaskAge", "Seconds", json!(oldest - 1));
        }
        if names.is_empty() {
            return None;
        }
        let directive = json!({
            "Timestamp": now.as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE, "Dimensions": [["Environment"]], "Metrics": names,
            }],
        });
        let mut document = Map::from_iter([
            ("_aws".to_owned(), directive),
            ("Environment".to_owned(), json!(environment)),
        ]);
        document.extend(values);
        Some(Value::Object(document))
    }

    /// Whether ten seconds have passed since something was told.
    fn is_due(&self, now: i64) -> bool {
        let mut waiting = self.lock();
        let told = *waiting.told.get_or_insert(now);
        if now - told < EVERY {
            return false;
        }
        waiting.told = Some(now);
        true
    }

    /// Whether there is something that an alarm waits for.
    fn is_urgent(&self) -> bool {
        let failed = Count::TasksFailed as usize;
        let told = self.0.told[failed].load(Ordering::Relaxed);
        self.total(Count::TasksFailed) > told || self.0.oldest_task.load(Ordering::Relaxed) > 0
    }

    /// What is to be added to the shared rows next: what may or may not have been added the last time, or what was
    /// counted since. [`Self::is_added`] ends it.
    fn part(&self, now: i64) -> Option<Part> {
        let mut waiting = self.lock();
        if let Some(open) = &waiting.open {
            if now - open.taken < TOKEN_LIVES {
                return Some(open.clone());
            }
            tracing::warn!("what was counted nine minutes ago could not be added, and is lost");
        }
        let mut rows = BTreeMap::new();
        let mut counts = BTreeMap::new();
        for (count, name, _) in COUNTS {
            let more = news(&self.0.added[count as usize], self.total(count));
            if more > 0 {
                counts.insert(name.to_owned(), more);
            }
        }
        for (code, number) in std::mem::take(&mut waiting.errors) {
            counts.insert(format!("{ERROR_PREFIX}{code}"), number);
        }
        if !counts.is_empty() {
            rows.insert(COUNTS_ROW.to_owned(), counts);
        }
        for ((method, route), answers) in std::mem::take(&mut waiting.routes) {
            let attributes = answers
                .iter()
                .flat_map(|(status, answers)| answers.attributes(*status));
            rows.insert(
                format!("{REQUESTS_PREFIX}{method} {route}"),
                attributes.collect(),
            );
        }
        waiting.open = (!rows.is_empty()).then(|| Part {
            token: ids::new(),
            shard: self.0.shard,
            rows,
            taken: now,
        });
        waiting.open.clone()
    }

    fn is_added(&self) {
        self.lock().open = None;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic cannot leave a count half changed.
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    /// As `200_3`, how many were in the fourth bucket, and `200_us`, how long all of them took.
    fn attributes(&self, status: u16) -> impl Iterator<Item = (String, u64)> {
        let buckets = self.buckets.into_iter().enumerate();
        let buckets = buckets.filter(|(_, number)| *number > 0);
        buckets
            .map(move |(at, number)| (format!("{status}_{at}"), number))
            .chain([(format!("{status}_us"), self.microseconds)])
    }
}

impl App {
    /// Tells what was counted, if ten seconds have passed since the last time; what an alarm waits for at once. A failure
    /// is logged and not returned: what could not be added waits for the next time.
    pub async fn flush_metrics(&self) {
        let is_due = self.metrics.is_due(self.clock.seconds());
        if is_due || self.metrics.is_urgent() {
            self.tell_metrics();
        }
        if is_due {
            self.add_metrics().await;
        }
    }

    /// Tells all of it, because the instance ends.
    pub async fn flush_last_metrics(&self) {
        self.tell_metrics();
        // Once for what may be open, and once for the rest.
        let both = async {
            self.add_metrics().await;
            self.add_metrics().await;
        };
        if tokio::time::timeout(LAST_PATIENCE, both).await.is_err() {
            tracing::warn!("what was counted last could not be added");
        }
    }

    fn tell_metrics(&self) {
        let now = self.clock.now();
        if let Some(document) = self.metrics.document(&self.config.environment, now) {
            // A log that cannot be written to cannot be told about either.
            let _ = writeln!(std::io::stdout().lock(), "{document}");
        }
    }

    async fn add_metrics(&self) {
        let Some(part) = self.metrics.part(self.clock.seconds()) else {
            return;
        };
        let added = tokio::time::timeout(PATIENCE, self.store.add_metrics(&part)).await;
        let late = || Error::Unavailable(anyhow::Error::msg("it took too long"));
        match added.unwrap_or_else(|_| Err(late())) {
            Ok(()) => self.metrics.is_added(),
            Err(error) => tracing::warn!(cause = ?error, "what was counted will be added later"),
        }
    }
}

/// How much more there is than what was noted, which is noted now.
fn news(noted: &AtomicU64, total: u64) -> u64 {
    total.saturating_sub(noted.swap(total, Ordering::Relaxed))
}

/// A method of ours. All others are one, so that nobody can make up new ones.
fn known_method(method: &Method) -> &'static str {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    let found = known.into_iter().find(|known| *known == method.as_str());
    found.unwrap_or("OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_tells_what_is_new() {
        let metrics = Metrics::default();
        let tell = || metrics.document("test", Timestamp::UNIX_EPOCH);
        assert_eq!(tell(), None);

        metrics.add(Count::TasksQueued, 2);
        metrics.add(Count::TasksFailed, 1);
        metrics.add(Count::ReadUnits, 25);
        metrics.oldest_task(0);
        let expected = json!({
            "_aws": {
                "Timestamp": 0,
                "CloudWatchMetrics": [{
                    "Namespace": "Sheaf",
                    "Dimensions": [["Environment"]],
                    "Metrics": [
                        {"Name": "TasksQueued", "Unit": "Count"},
                        {"Name": "TasksFailed", "Unit": "Count"},
                        {"Name": "ReadUnits", "Unit": "Count"},
                        {"Name": "OldestTaskAge", "Unit": "Seconds"},
                    ],
                }],
            },
            "Environment": "test",
            "TasksQueued": 2,
            "TasksFailed": 1,
            "ReadUnits": 2.5,
            "OldestTaskAge": 0,
        });
        assert_eq!(tell(), Some(expected));
        assert_eq!(tell(), None);

        metrics.add(Count::TasksQueued, 3);
        let told = tell().unwrap();
        assert_eq!(told["TasksQueued"], 3);
        assert_eq!(told.get("TasksFailed"), None);
        assert_eq!(metrics.total(Count::TasksQueued), 5);
    }

    #[test]
    fn the_counts_are_in_the_order_of_their_numbers() {
        for (at, (count, ..)) in COUNTS.iter().enumerate() {
            assert_eq!(*count as usize, at);
        }
    }

    fn answer(metrics: &Metrics, method: Method, status: StatusCode, milliseconds: u64) {
        let code = status.is_client_error().then_some("not_found");
        let spent = Duration::from_millis(milliseconds);
        metrics.answered(&method, "/items/{id}", status, code, spent);
    }

    #[test]
    fn requests_are_counted_by_route_status_and_time() {
        let metrics = Metrics::default();
        answer(&metrics, Method::GET, StatusCode::OK, 2);
        answer(&metrics, Method::GET, StatusCode::OK, 3);
        answer(&metrics, Method::GET, StatusCode::NOT_FOUND, 60_000);
        answer(
            &metrics,
            Method::from_bytes(b"BREW").unwrap(),
            StatusCode::NOT_FOUND,
            1,
        );
        let part = metrics.part(1_000).unwrap();
        let row = |attributes: &[(&str, u64)]| {
            let attributes = attributes.iter().map(|(name, n)| ((*name).to_owned(), *n));
            attributes.collect::<BTreeMap<_, _>>()
        };
        let expected = BTreeMap::from([
            (
                "COUNTS".to_owned(),
                row(&[("ClientErrors", 2), ("Requests", 4), ("error_not_found", 2)]),
            ),
            (
                "REQUESTS#GET /items/{id}".to_owned(),
                row(&[
                    ("200_0", 1),
                    ("200_1", 1),
                    ("200_us", 5_000),
                    ("404_12", 1),
                    ("404_us", 60_000_000),
                ]),
            ),
            (
                "REQUESTS#OTHER /items/{id}".to_owned(),
                row(&[("404_0", 1), ("404_us", 1_000)]),
            ),
        ]);
        assert_eq!(part.rows, expected);
        let told = metrics.document("test", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(told["RequestDuration"], json!([2.0, 3.0, 60_000.0, 1.0]));
    }

    #[test]
    fn what_may_have_been_added_is_not_counted_anew() {
        let metrics = Metrics::default();
        answer(&metrics, Method::GET, StatusCode::OK, 2);
        let first = metrics.part(1_000).unwrap();
        answer(&metrics, Method::GET, StatusCode::OK, 2);
        assert_eq!(metrics.part(1_010), Some(first.clone()), "the same again");
        metrics.is_added();
        let second = metrics.part(1_020).unwrap();
        assert_ne!(second.token, first.token);
        assert_eq!(second.rows[COUNTS_ROW]["Requests"], 1);
        metrics.is_added();
        assert_eq!(metrics.part(1_030), None);
    }

    #[test]
    fn it_is_time_every_ten_seconds() {
        let metrics = Metrics::default();
        let due = [1_000, 1_009, 1_010, 1_011, 1_020].map(|now| metrics.is_due(now));
        assert_eq!(due, [false, false, true, false, true]);
        assert!(!metrics.is_urgent());
        metrics.add(Count::TasksFailed, 1);
        assert!(metrics.is_urgent());
        metrics.document("test", Timestamp::UNIX_EPOCH);
        assert!(!metrics.is_urgent());
    }
}
