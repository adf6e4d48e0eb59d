//! `GET, PATCH, PUT, DELETE /users/me`

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use shared::auth::CurrentUser;
use shared::http::{Body, Problem, RequestInfo, etag};
use shared::{App, Result, wire};

use crate::change::{self, ProfileChange};

/// My profile
///
/// With an `ETag`; `If-None-Match` is answered with 304.
#[utoipa::path(
    get, path = "/me", tag = "users", security(("bearer" = [])),
    responses(
        (status = 200, description = "The caller", body = wire::User),
        (status = 304, description = "Unchanged"),
    )
)]
pub(crate) async fn get_me(headers: HeaderMap, current: CurrentUser) -> Response {
    let CurrentUser { user, .. } = current;
    etag::respond(&headers, user.version, wire::User::from(user))
}

/// Change my profile
///
/// Only the fields that are sent change; null clears one. A new e-mail address is `pending_email` until the link that
/// is sent there has come back; the old one is told. Sending the same again sends the link again. `If-Match` is honoured.
#[utoipa::path(
    patch, path = "/me", tag = "users", security(("bearer" = [])), request_body = ProfileChange,
    responses(
        (status = 200, description = "The changed profile", body = wire::User),
        (status = 409, description = "`email_taken`, `username_taken` or `stale`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
        (status = 429, description = "Too many e-mail addresses", body = Problem),
    )
)]
pub(crate) async fn update_me(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    Body(change): Body<ProfileChange>,
) -> Result<Response> {
    let me = current.user;
    let asks_again = change.asks_again(&me);
    let after = change.apply(me.clone())?;
    change::save(&app, (&info, &headers), me.id, me, after, asks_again).await
}

/// Change my profile (PUT)
///
/// The same partial update as `PATCH`, which is canonical.
#[utoipa::path(
    put, path = "/me", tag = "users", security(("bearer" = [])), request_body = ProfileChange,
    responses(
        (status = 200, description = "The changed profile", body = wire::User),
        (status = 409, description = "`email_taken`, `username_taken` or `stale`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
        (status = 429, description = "Too many e-mail addresses", body = Problem),
    )
)]
pub(crate) async fn put_me(
    state: State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    change: Body<ProfileChange>,
) -> Result<Response> {
    update_me(state, info, headers, current, change).await
}

/// Delete my account
///
/// All sessions end at once, and the names are free again. The rest is erased by a task. What stays of the audit trail
/// holds nothing personal. `If-Match` is honoured.
#[utoipa::path(
    delete, path = "/me", tag = "users", security(("bearer" = [])),
    responses(
        (status = 204, description = "Deleted"),
        (status = 409, description = "`last_admin` or `stale`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
    )
)]
pub(crate) async fn delete_me(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
) -> Result<StatusCode> {
    let me = current.user;
    change::delete(&app, &info, &headers, me.id, me).await
}
