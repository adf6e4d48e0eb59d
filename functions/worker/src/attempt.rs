//! One attempt at a task: claim it, do it, say how it ended.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde_json::Value;
use shared::metrics::Count;
use shared::store::meter::{self, Usage};
use shared::store::tasks::{Claim, Ending, LEASE, StoredTask, TaskError};
use shared::trace::Trace;
use shared::{Error, Result};
use uuid::Uuid;

use crate::{Fate, Worker, execute};

/// A task is tried once and then again so often.
const RETRIES: u32 = 3;

/// Longest that a task may take from its claim on: shorter than its lease, and than the function's time-out in
/// `template.yaml`, by two calls of at most 8 seconds, so that its end can still be written.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long a task waits whose kind this build does not know, in seconds: a newer one may be on its way.
const UNKNOWN_WAITS: i64 = 300;

/// Runs a task, unless another does or has.
pub(crate) async fn run(worker: &Worker, id: Uuid) -> Fate {
    let usage = Arc::new(Usage::default());
    let fate = meter::metered(usage.clone(), run_metered(worker, id, &usage)).await;
    worker.app.metrics.used(&usage);
    fate
}

async fn run_metered(worker: &Worker, id: Uuid, usage: &Usage) -> Fate {
    let begun = Instant::now();
    let store = &worker.app.store;
    let task = match store.claim_task(id).await {
        Ok(Claim::Ours(task)) => task,
        Ok(Claim::Later(seconds)) => return Fate::Returned(seconds),
        Ok(Claim::Nothing) => {
            tracing::info!(task.id = %id, "task {id} is finished or gone");
            return Fate::Deleted;
        }
        // It had its last turn: its message belongs to the dead letters.
        Ok(Claim::Failed) => return Fate::Returned(0),
        Err(error) => {
            tracing::error!(task.id = %id, cause = ?error, "task {id} could not be claimed");
            return Fate::Left;
        }
    };
    worker.app.metrics.add(Count::TasksStarted, 1);
    let trace = task.trace.clone().unwrap_or_default();
    let done = if task.attempts > RETRIES + 1 {
        // Each attempt has ended without a word, as when the instance runs out of memory. Enough.
        let cause = because("its worker died each time");
        Err(Error::Refused(cause))
    } else {
        let patience = PATIENCE.saturating_sub(begun.elapsed());
        trace.clone().scope(attempt(worker, &task, patience)).await
    };
    let ending = ending(&task, done);

    let ended = store.end_task(&task, &ending).await;
    let spent = begun.elapsed();
    log(&task, &trace, &ending, spent, usage);
    match ended {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!(task.id = %id, "task {id} was taken over by another");
            return Fate::Deleted;
        }
        Err(error) => {
            tracing::error!(task.id = %id, cause = ?error, "the end of task {id} was not written");
            // By then the lease is over.
            return Fate::Returned(LEASE + 1);
        }
    }
    let (count, fate) = match ending {
        Ending::Succeeded(_) => (Count::TasksSucceeded, Fate::Deleted),
        Ending::Again(_, after) => (Count::TasksRetried, Fate::Returned(after)),
        Ending::Failed(_) => (Count::TasksFailed, Fate::Returned(0)),
    };
    worker.app.metrics.add(count, 1);
    fate
}

/// A panic or a time-out fails this task alone.
async fn attempt(worker: &Worker, task: &StoredTask, patience: Duration) -> Result<Value> {
    // In a box, because it has room for every kind of task, and a batch has many.
    let work = AssertUnwindSafe(Box::pin(execute(worker, task))).catch_unwind();
    match tokio::time::timeout(patience, work).await {
        Ok(Ok(done)) => done,
        Ok(Err(_panic)) => Err(Error::Internal(because("the task panicked"))),
        Err(_) => Err(Error::Unavailable(because("the task took too long"))),
    }
}

/// What an outcome means for the task: after the first failure it waits for 2 seconds, then for 4, then for 8.
fn ending(task: &StoredTask, done: Result<Value>) -> Ending {
    let error = match done {
        Ok(result) => return Ending::Succeeded(result),
        Err(error) => error,
    };
    let told = TaskError {
        code: error.code().to_owned(),
        message: error.to_string(),
        cause: cause(&error),
    };
    let wait = match task.task() {
        Ok(_) => 1 << task.attempts,
        Err(_) => UNKNOWN_WAITS,
    };
    match error.retryable() && task.attempts <= RETRIES {
        true => Ending::Again(told, wait),
        false => Ending::Failed(told),
    }
}

/// What went wrong, for those who may know.
fn cause(error: &Error) -> String {
    match error {
        Error::Internal(cause) | Error::Unavailable(cause) | Error::Refused(cause) => {
            format!("{cause:#}")
        }
        other => other.to_string(),
    }
}

/// One line an attempt. Nothing of the payload is in it.
fn log(task: &StoredTask, trace: &Trace, ending: &Ending, spent: Duration, usage: &Usage) {
    let StoredTask {
        id, kind, attempts, ..
    } = task;
    let duration_ms = (spent.as_secs_f64() * 100_000.0).round() / 100.0;
    let db_trips = usage.round_trips();
    let (trace, request) = (&trace.id, &trace.request);
    match ending {
        Ending::Succeeded(_) => {
            tracing::info!(task.id = %id, kind, attempts, duration_ms, trace, request, db_trips, "task succeeded");
        }
        Ending::Again(error, after) => {
            tracing::warn!(task.id = %id, kind, attempts, duration_ms, trace, request, db_trips, cause = error.cause, after, "task will be tried again");
        }
        Ending::Failed(error) => {
            tracing::error!(task.id = %id, kind, attempts, duration_ms, trace, request, db_trips, cause = error.cause, "task failed");
        }
    }
}

fn because(text: &'static str) -> anyhow::Error {
    anyhow::Error::msg(text)
}
