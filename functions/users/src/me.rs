//! `GET, PATCH, PUT /users/me`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;
use shared::auth::CurrentUser;
use shared::http::{Body, Patch, Problem, RequestInfo, etag};
use shared::models::audit::AuditEntry;
use shared::models::text::{Email, Name, Phone, Username, Website};
use shared::models::{User, time};
use shared::{App, Error, Result, wire};
use utoipa::ToSchema;

/// My profile
///
/// With an `ETag`; `If-None-Match` is answered with 304.
#[utoipa::path(
    get, path = "/me", tag = "users", security(("bearer" = [])),
    responses(
        (status = 200, description = "The caller", body = wire::User),
        (status = 304, description = "Unchanged"),
        (status = 401, description = "No or no valid token", body = Problem),
    )
)]
pub(crate) async fn get_me(headers: HeaderMap, current: CurrentUser) -> Response {
    let CurrentUser { user, .. } = current;
    etag::respond(&headers, user.version, wire::User::from(user))
}

/// Change my profile
///
/// Only the fields that are sent change; null clears one. A changed e-mail address must be verified again.
/// `If-Match` is honoured.
#[utoipa::path(
    patch, path = "/me", tag = "users", security(("bearer" = [])), request_body = ProfileChange,
    responses(
        (status = 200, description = "The changed profile", body = wire::User),
        (status = 401, description = "No or no valid token", body = Problem),
        (status = 409, description = "`email_taken`, `username_taken` or `stale`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
        (status = 422, description = "Every field that is not valid", body = Problem),
    )
)]
pub(crate) async fn update_me(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    Body(change): Body<ProfileChange>,
) -> Result<Response> {
    let before = current.user;
    etag::check_if_match(&headers, before.version)?;
    let mut after = change.apply(before.clone())?;
    if after == before {
        return Ok(etag::respond(
            &HeaderMap::new(),
            before.version,
            wire::User::from(before),
        ));
    }
    after.version += 1;
    after.updated_at = time::now();
    let audit = AuditEntry::new("user.updated", Some(after.id), &info.ip().to_string());
    let audit = audit.with_changes(&before, &after);
    let updated = app.store.update_user(&before, &after, &audit).await;
    updated.map_err(etag::lost_race(&headers))?;
    Ok(etag::respond(
        &HeaderMap::new(),
        after.version,
        wire::User::from(after),
    ))
}

/// Change my profile (PUT)
///
/// The same partial update as `PATCH`, which is canonical.
#[utoipa::path(
    put, path = "/me", tag = "users", security(("bearer" = [])), request_body = ProfileChange,
    responses(
        (status = 200, description = "The changed profile", body = wire::User),
        (status = 401, description = "No or no valid token", body = Problem),
        (status = 409, description = "`email_taken`, `username_taken` or `stale`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
        (status = 422, description = "Every field that is not valid", body = Problem),
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

/// What people may change about themselves.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileChange {
    #[serde(default)]
    #[schema(value_type = Option<Email>)]
    email: Patch<Email>,
    #[serde(default)]
    #[schema(value_type = Option<Username>)]
    username: Patch<Username>,
    #[serde(default)]
    #[schema(value_type = Option<Name>)]
    first_name: Patch<Name>,
    #[serde(default)]
    #[schema(value_type = Option<Name>)]
    last_name: Patch<Name>,
    #[serde(default)]
    #[schema(value_type = Option<Name>)]
    full_name: Patch<Name>,
    #[serde(default)]
    #[schema(value_type = Option<Name>)]
    desired_name: Patch<Name>,
    #[serde(default)]
    #[schema(value_type = Option<Phone>)]
    phone: Patch<Phone>,
    #[serde(default)]
    #[schema(value_type = Option<Website>)]
    website: Patch<Website>,
}

impl ProfileChange {
    fn apply(self, mut user: User) -> Result<User> {
        match self.email {
            Patch::Keep => {}
            Patch::Clear => return Err(Error::invalid("email", "required", "must not be null")),
            Patch::Set(email) => {
                if email != user.email {
                    user.is_verified = false;
                    user.email_changed_at = Some(time::now());
                }
                user.email = email;
            }
        }
        self.username.apply(&mut user.username);
        self.first_name.apply(&mut user.first_name);
        self.last_name.apply(&mut user.last_name);
        self.full_name.apply(&mut user.full_name);
        self.desired_name.apply(&mut user.desired_name);
        self.phone.apply(&mut user.phone);
        self.website.apply(&mut user.website);
        user.complete_full_name();
        Ok(user)
    }
}
