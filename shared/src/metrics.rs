//! What an instance counts, told to CloudWatch as lines of its log in the Embedded Metric Format:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The namespace in CloudWatch; `template.yaml` names it in its alarms.
const NAMESPACE: &str = "Sheaf";

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
}

const COUNTS: [(Count, &str); 6] = [
    (Count::TasksQueued, "TasksQueued"),
    (Count::TasksStarted, "TasksStarted"),
    (Count::TasksSucceeded, "TasksSucceeded"),
    (Count::TasksRetried, "TasksRetried"),
    (Count::TasksFailed, "TasksFailed"),
    (Count::TasksResent, "TasksResent"),
];

/// Counters since the start of the instance. Clones go together.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counted: [AtomicU64; COUNTS.len()],
    told: [AtomicU64; COUNTS.len()],
    /// Seconds, one more than it is; nothing was measured since the last line if it is 0.
    oldest_task: AtomicU64,
}

impl Metrics {
    pub fn add(&self, count: Count, number: usize) {
        self.0.counted[count as usize].fetch_add(number as u64, Ordering::Relaxed);
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

    /// What was counted since the last call, as one document; `None` if that is nothing.
    pub fn document(&self, environment: &str, now: Timestamp) -> Option<Value> {
        let mut values = Map::new();
        let mut names = Vec::new();
        for (count, name) in COUNTS {
            let total = self.total(count);
            let before = self.0.told[count as usize].swap(total, Ordering::Relaxed);
            if total > before {
                names.push(json!({"Name": name, "Unit": "Count"}));
                values.insert(name.to_owned(), json!(total - before));
            }
        }
        let oldest = self.0.oldest_task.swap(0, Ordering::Relaxed);
        if oldest > 0 {
            names.push(json!({"Name": "OldestTaskAge", "Unit": "Seconds"}));
            values.insert("OldestTaskAge".to_owned(), json!(oldest - 1));
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

    /// Writes what was counted since the last time as one line, if there is something.
    pub fn tell(&self, environment: &str, now: Timestamp) {
        if let Some(document) = self.document(environment, now) {
            // A log that cannot be written to cannot be told about either.
            let _ = writeln!(std::io::stdout().lock(), "{document}");
        }
    }
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
                        {"Name": "OldestTaskAge", "Unit": "Seconds"},
                    ],
                }],
            },
            "Environment": "test",
            "TasksQueued": 2,
            "TasksFailed": 1,
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
        for (at, (count, _)) in COUNTS.iter().enumerate() {
            assert_eq!(*count as usize, at);
        }
    }
}
