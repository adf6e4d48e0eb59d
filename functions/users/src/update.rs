//! `PATCH, PUT /users/{id}`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;
use shared::auth::CurrentUser;
use shared::http::{Body, Id, Patch, Problem, RequestInfo};
use shared::models::text::{Email, Name, Phone, Username, Website};
use shared::models::{Role, Scope, User};
use shared::{App, Result, wire};
use utoipa::ToSchema;

use crate::change::{self, ProfileChange, check_rank, null};

/// Change a user
///
/// As they may themselves, and role and state besides. Deactivating ends their sessions at once. An administrator is
/// changed, and made, by administrators only, and one is always left. `If-Match` is honoured. Needs the scope
/// `users:write`.
#[utoipa::path(
    patch, path = "/{id}", tag = "users", security(("bearer" = ["users:write"])), params(("id" = Uuid, Path)),
    request_body = UserChange,
    responses(
        (status = 200, description = "The changed user", body = wire::User),
        (status = 404, description = "No user has this id", body = Problem),
        (status = 409, description = "`email_taken`, `username_taken`, `last_admin` or `stale`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
        (status = 429, description = "Too many e-mail addresses", body = Problem),
    )
)]
pub(crate) async fn update_user(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    Id(id): Id,
    Body(change): Body<UserChange>,
) -> Result<Response> {
    current.require(Scope::UsersWrite)?;
    let before = change::find(&app, id).await?;
    let asks_again = change.profile().asks_again(&before);
    let after = change.apply(before.clone())?;
    check_rank(&current, &[before.role, after.role])?;
    let request = (&info, &headers);
    change::save(&app, request, current.user.id, before, after, asks_again).await
}

/// Change a user (PUT)
///
/// The same partial update as `PATCH`, which is canonical.
#[utoipa::path(
    put, path = "/{id}", tag = "users", security(("bearer" = ["users:write"])), params(("id" = Uuid, Path)),
    request_body = UserChange,
    responses(
        (status = 200, description = "The changed user", body = wire::User),
        (status = 404, description = "No user has this id", body = Problem),
        (status = 409, description = "`email_taken`, `username_taken`, `last_admin` or `stale`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
        (status = 429, description = "Too many e-mail addresses", body = Problem),
    )
)]
pub(crate) async fn put_user(
    state: State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    id: Id,
    change: Body<UserChange>,
) -> Result<Response> {
    update_user(state, info, headers, current, id, change).await
}

/// What administrators may change about others.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"role": "moderator", "phone": null}))]
pub(crate) struct UserChange {
    #[serde(default)]
    #[schema(value_type = Email, required = false)]
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
    #[serde(default)]
    #[schema(value_type = Role, required = false)]
    role: Patch<Role>,
    #[serde(default)]
    #[schema(value_type = bool, required = false)]
    is_active: Patch<bool>,
}

impl UserChange {
    /// What of it they may change themselves.
    fn profile(&self) -> ProfileChange {
        ProfileChange {
            email: self.email.clone(),
            username: self.username.clone(),
            first_name: self.first_name.clone(),
            last_name: self.last_name.clone(),
            full_name: self.full_name.clone(),
            desired_name: self.desired_name.clone(),
            phone: self.phone.clone(),
            website: self.website.clone(),
        }
    }

    fn apply(self, user: User) -> Result<User> {
        let asks = matches!(self.email, Patch::Set(_));
        let mut user = self.profile().apply(user)?;
        match self.role {
            Patch::Keep => {}
            Patch::Clear => return Err(null("role")),
            Patch::Set(role) => {
                // Whoever has asked for another address could take the account over, with what it may do now.
                if role > user.role && !asks {
                    user.pending_email = None;
                }
                user.role = role;
            }
        }
        match self.is_active {
            Patch::Keep => {}
            Patch::Clear => return Err(null("is_active")),
            Patch::Set(is_active) => user.is_active = is_active,
        }
        Ok(user)
    }
}
