//! `POST /tasks/{id}/retry`

use axum::Json;
use axum::extract::State;
use shared::auth::CurrentUser;
use shared::http::{Id, Problem, RequestInfo};
use shared::models::Scope;
use shared::models::audit::AuditEntry;
use shared::{App, Result};

use crate::get;
use crate::task::Task;

/// Retry a task
///
/// Gives a failed or cancelled task all its attempts again, and sends it to the queue. Needs the scope `admin:all`.
#[utoipa::path(
    post, path = "/{id}/retry", tag = "tasks", security(("bearer" = ["admin:all"])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The task, which is pending now", body = Task),
        (status = 404, description = "No task has this id", body = Problem),
        (status = 409, description = "`illegal_transition`: it is neither failed nor cancelled; `stale`: it has just changed", body = Problem),
    )
)]
pub(crate) async fn retry_task(
    State(app): State<App>,
    info: RequestInfo,
    current: CurrentUser,
    Id(id): Id,
) -> Result<Json<Task>> {
    current.require(Scope::AdminAll)?;
    let task = get::find(&app, id).await?;
    let audit = AuditEntry::new(
        "task.retried",
        Some(current.user.id),
        &info.ip().to_string(),
    );
    let task = app.store.retry_task(&task, &audit.about(id)).await?;
    Ok(Json(Task::of(task, true)))
}
