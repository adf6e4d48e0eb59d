//! `erase_user`: erases what is left of a deleted user.

use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::store::search::HELD;
use shared::store::tasks::{NewTask, following};
use shared::tasks::Task;
use shared::{App, Result};
use uuid::Uuid;

/// Each attempt goes on where the one before has ended, because what is erased is not found again. What it could not do
/// it leaves to a task of its own, later than anybody can hold the search rows.
pub(crate) async fn run(app: &App, task: Uuid, user_id: Uuid) -> Result<Value> {
    let is_done = app.store.erase_user(user_id, task).await?;
    if !is_done {
        let later = app.clock.now() + SignedDuration::from_secs(HELD + 1);
        let next = NewTask::new(Task::EraseUser { user_id }).not_before(later);
        // Who comes here again must not begin a second chain.
        let next = next.with_id(following(task));
        app.store.add_task_once(&next).await?;
    }
    Ok(json!({"is_done": is_done}))
}
