//! `reindex`: rebuilds the search rows of all users or items, a page at a time. Each task leaves the next page to another.

use serde_json::{Value, json};
use shared::store::tasks::{NewTask, following};
use shared::tasks::{Searched, Task};
use shared::{App, Result};
use uuid::Uuid;

/// How many things a task takes: far fewer than it has time for.
const PAGE: u32 = 50;

pub(crate) async fn run(
    app: &App,
    task: Uuid,
    what: Searched,
    after: Option<Uuid>,
) -> Result<Value> {
    let ids = app.store.ids_after(what, after, PAGE).await?;
    for id in &ids {
        app.store.reindex(what, *id, task).await?;
    }
    if ids.len() >= PAGE as usize
        && let Some(last) = ids.last()
    {
        let after = Some(*last);
        let next = NewTask::new(Task::Reindex { what, after });
        // Who comes here again must not begin a second chain.
        app.store
            .add_task_once(&next.with_id(following(task)))
            .await?;
    }
    Ok(json!({"reindexed": ids.len()}))
}
