//! `GET /users/{id}`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Serialize;
use shared::auth::CurrentUser;
use shared::http::{Id, Problem, etag};
use shared::models::Scope;
use shared::{App, Result, wire};
use utoipa::ToSchema;

use crate::change;

/// A user
///
/// With the scope `users:read`, and for oneself, all of it; for others what is public. With an `ETag`; `If-None-Match`
/// is answered with 304.
#[utoipa::path(
    get, path = "/{id}", tag = "users", security(("bearer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The user", body = SeenUser),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "No user has this id", body = Problem),
    )
)]
pub(crate) async fn get_user(
    State(app): State<App>,
    headers: HeaderMap,
    current: CurrentUser,
    Id(id): Id,
) -> Result<Response> {
    let user = change::find(&app, id).await?;
    let sees_all = id == current.user.id || current.require(Scope::UsersRead).is_ok();
    match sees_all {
        true => {
            let version = user.version;
            let whole = SeenUser::Whole(Box::new(user.into()));
            Ok(etag::respond(&headers, version, whole))
        }
        // The version would tell of changes that are not public.
        false => etag::respond_hashed(&headers, &SeenUser::Public(user.into())),
    }
}

/// As much of a user as the caller may see.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum SeenUser {
    Whole(Box<wire::User>),
    Public(wire::PublicUser),
}
