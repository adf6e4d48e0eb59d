//! `POST /users/{id}/activate` and `/deactivate`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use shared::auth::CurrentUser;
use shared::http::{Id, Problem, RequestInfo};
use shared::models::{Scope, User};
use shared::{App, Result, wire};
use uuid::Uuid;

use crate::change::{self, check_rank};

/// Activate a user
///
/// Who may log in again then. Changes nothing for one who is active. `If-Match` is honoured. Needs the scope
/// `users:write`.
#[utoipa::path(
    post, path = "/{id}/activate", tag = "users", security(("bearer" = ["users:write"])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The active user", body = wire::User),
        (status = 404, description = "No user has this id", body = Problem),
        (status = 409, description = "`stale`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
    )
)]
pub(crate) async fn activate_user(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    Id(id): Id,
) -> Result<Response> {
    set_active(&app, &info, &headers, &current, id, true).await
}

/// Deactivate a user
///
/// Ends all their sessions at once. Changes nothing for one who is not active. `If-Match` is honoured. Needs the scope
/// `users:write`.
#[utoipa::path(
    post, path = "/{id}/deactivate", tag = "users", security(("bearer" = ["users:write"])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The user, who is not active any more", body = wire::User),
        (status = 404, description = "No user has this id", body = Problem),
        (status = 409, description = "`last_admin` or `stale`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
    )
)]
pub(crate) async fn deactivate_user(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    Id(id): Id,
) -> Result<Response> {
    set_active(&app, &info, &headers, &current, id, false).await
}

async fn set_active(
    app: &App,
    info: &RequestInfo,
    headers: &HeaderMap,
    current: &CurrentUser,
    id: Uuid,
    is_active: bool,
) -> Result<Response> {
    current.require(Scope::UsersWrite)?;
    let before = change::find(app, id).await?;
    check_rank(current, &[before.role])?;
    let after = User {
        is_active,
        ..before.clone()
    };
    let request = (info, headers);
    change::save(app, request, current.user.id, before, after, false).await
}
