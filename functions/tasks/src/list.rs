//! `GET /tasks`

use axum::Json;
use axum::extract::State;
use shared::auth::CurrentUser;
use shared::http::{PageOf, Paging};
use shared::{App, Result};

use crate::task::Task;

/// My tasks
///
/// The newest first. A new task may be missing for a second.
#[utoipa::path(
    get, path = "", tag = "tasks", security(("bearer" = [])), params(Paging),
    responses(
        (status = 200, description = "A page of the caller's tasks", body = PageOf<Task>),
    )
)]
pub(crate) async fn list_tasks(
    State(app): State<App>,
    current: CurrentUser,
    Paging(slice): Paging,
) -> Result<Json<PageOf<Task>>> {
    let page = app.store.tasks_of(current.user.id, &slice).await?;
    Ok(Json(PageOf::new(&slice, page, |task| {
        Task::of(task, false)
    })))
}
