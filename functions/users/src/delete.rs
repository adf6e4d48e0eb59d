//! `DELETE /users/{id}`

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use shared::auth::CurrentUser;
use shared::http::{Id, Problem, RequestInfo};
use shared::models::Scope;
use shared::{App, Error, Result};

use crate::change::{self, check_rank};

/// Delete a user
///
/// All their sessions end at once, and their names are free again. The rest is erased by a task. `If-Match` is honoured.
/// Needs the scope `users:delete`.
#[utoipa::path(
    delete, path = "/{id}", tag = "users", security(("bearer" = ["users:delete"])), params(("id" = Uuid, Path)),
    responses(
        (status = 204, description = "Deleted"),
        (status = 400, description = "`cannot_delete_self`", body = Problem),
        (status = 404, description = "No user has this id", body = Problem),
        (status = 409, description = "`last_admin` or `stale`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
    )
)]
pub(crate) async fn delete_user(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    Id(id): Id,
) -> Result<StatusCode> {
    current.require(Scope::UsersDelete)?;
    if id == current.user.id {
        return Err(Error::CannotDeleteSelf);
    }
    let user = change::find(&app, id).await?;
    check_rank(&current, &[user.role])?;
    change::delete(&app, &info, &headers, current.user.id, user).await
}
