//! `GET /tasks/{id}`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use shared::auth::CurrentUser;
use shared::http::{Id, Problem, etag};
use shared::models::Scope;
use shared::store::tasks::StoredTask;
use shared::{App, Error, Result};
use uuid::Uuid;

use crate::task::Task;

/// A task
///
/// One's own, or anybody's with the scope `admin:all`, and then with the cause of its last failure. With an `ETag`;
/// `If-None-Match` is answered with 304, so that polling costs little.
#[utoipa::path(
    get, path = "/{id}", tag = "tasks", security(("bearer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The task and its state", body = Task),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "No task of the caller's has this id", body = Problem),
    )
)]
pub(crate) async fn get_task(
    State(app): State<App>,
    headers: HeaderMap,
    current: CurrentUser,
    Id(id): Id,
) -> Result<Response> {
    let is_admin = current.require(Scope::AdminAll).is_ok();
    let task = find(&app, id).await?;
    if !is_admin && task.owner != Some(current.user.id) {
        return Err(NOT_FOUND);
    }
    Ok(etag::respond(
        &headers,
        task.version,
        Task::of(task, is_admin),
    ))
}

const NOT_FOUND: Error = Error::NotFound("task of this id");

/// The task of this id, whosever it is.
pub(crate) async fn find(app: &App, id: Uuid) -> Result<StoredTask> {
    app.store.task(id).await?.ok_or(NOT_FOUND)
}
