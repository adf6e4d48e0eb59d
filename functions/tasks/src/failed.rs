//! `GET /tasks/failed`

use axum::Json;
use axum::extract::State;
use shared::auth::CurrentUser;
use shared::http::{PageOf, Paging};
use shared::models::Scope;
use shared::{App, Result};

use crate::task::Task;

/// Failed tasks
///
/// Those of everybody that were given up, the last one first. They stay until somebody retries or cancels them; what names
/// an address that may be nobody's goes after a week.
/// Needs the scope `admin:all`.
#[utoipa::path(
    get, path = "/failed", tag = "tasks", security(("bearer" = ["admin:all"])), params(Paging),
    responses(
        (status = 200, description = "A page of failed tasks", body = PageOf<Task>),
    )
)]
pub(crate) async fn list_failed_tasks(
    State(app): State<App>,
    current: CurrentUser,
    Paging(slice): Paging,
) -> Result<Json<PageOf<Task>>> {
    current.require(Scope::AdminAll)?;
    let page = app.store.failed_tasks(&slice).await?;
    Ok(Json(PageOf::new(&slice, page, |task| Task::of(task, true))))
}
