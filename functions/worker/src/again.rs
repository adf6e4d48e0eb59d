//! Looking again: a task that cannot be done yet, and must not be given up either, leaves the rest to another one.

use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::store::tasks::{NewTask, following};
use shared::tasks::Task;
use shared::{App, Error, Result};
use uuid::Uuid;

/// How long a provider of payments is left alone that does not answer, in seconds.
const AWAY: i64 = 60;

/// Lets `next` run so many seconds from now, as what follows the task of this id.
pub(crate) async fn after(app: &App, task: Uuid, next: Task, seconds: i64) -> Result<()> {
    let later = app.clock.now() + SignedDuration::from_secs(seconds);
    // Who comes here again must not begin a second chain.
    let next = NewTask::new(next)
        .not_before(later)
        .with_id(following(task));
    app.store.add_task_once(&next).await
}

/// What came of work on an order; if others got in the way for too long, `next` will try it again, each at another time.
pub(crate) async fn unless_busy(
    app: &App,
    task: Uuid,
    next: Task,
    done: Result<Value>,
) -> Result<Value> {
    match done {
        Err(Error::Busy) => {
            after(app, task, next, fastrand::i64(30..90)).await?;
            Ok(json!({"order": "busy"}))
        }
        done => done,
    }
}

/// What a provider has answered; `None` if it is away, and `next` will ask again, for as long as that lasts.
pub(crate) async fn unless_away<T>(
    app: &App,
    task: Uuid,
    next: Task,
    answer: Result<T>,
) -> Result<Option<T>> {
    match answer {
        Err(Error::Unavailable(cause)) => {
            tracing::warn!(task.id = %task, cause = format!("{cause:#}"), "a payment provider is away");
            after(app, task, next, AWAY).await?;
            Ok(None)
        }
        answer => answer.map(Some),
    }
}
