//! `reindex`: rebuilds the search rows of all users, a page at a time. Each task leaves the next page to another.

use serde_json::{Value, json};
use shared::models::User;
use shared::store::tasks::{NewTask, following};
use shared::tasks::Task;
use shared::{App, Result};
use uuid::Uuid;

/// How many users a task takes: far fewer than it has time for.
const PAGE: u32 = 50;

pub(crate) async fn run(app: &App, task: Uuid, after: Option<Uuid>) -> Result<Value> {
    let users = app.store.users_after(after, PAGE).await?;
    for user in &users {
        app.store.index::<User>(*user, task, true).await?;
    }
    if users.len() >= PAGE as usize
        && let Some(last) = users.last()
    {
        let next = NewTask::new(Task::Reindex { after: Some(*last) });
        // Who comes here again must not begin a second chain.
        app.store
            .add_task_once(&next.with_id(following(task)))
            .await?;
    }
    Ok(json!({"users": users.len()}))
}
