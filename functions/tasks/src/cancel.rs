//! `POST /tasks/{id}/cancel`

use axum::Json;
use axum::extract::State;
use shared::auth::CurrentUser;
use shared::http::{Id, Problem, RequestInfo};
use shared::models::Scope;
use shared::models::audit::AuditEntry;
use shared::{App, Result};

use crate::get;
use crate::task::Task;

/// Cancel a task
///
/// One that waits will not run, and one that has failed is off the list. What runs cannot be stopped. Needs the scope
/// `admin:all`.
#[utoipa::path(
    post, path = "/{id}/cancel", tag = "tasks", security(("bearer" = ["admin:all"])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The task, which is cancelled now", body = Task),
        (status = 404, description = "No task has this id", body = Problem),
        (status = 409, description = "`illegal_transition`: it runs, or is finished; `stale`: it has just changed", body = Problem),
    )
)]
pub(crate) async fn cancel_task(
    State(app): State<App>,
    info: RequestInfo,
    current: CurrentUser,
    Id(id): Id,
) -> Result<Json<Task>> {
    current.require(Scope::AdminAll)?;
    let task = get::find(&app, id).await?;
    let audit = AuditEntry::new(
        "task.cancelled",
        Some(current.user.id),
        &info.ip().to_string(),
    );
    let task = app.store.cancel_task(&task, &audit.about(id)).await?;
    Ok(Json(Task::of(task, true)))
}
