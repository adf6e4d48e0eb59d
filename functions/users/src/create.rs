//! `POST /users`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use shared::auth::{CurrentUser, passwords};
use shared::http::{Body, PREFIX, Problem, RequestInfo, etag};
use shared::models::audit::AuditEntry;
use shared::models::password::NewPassword;
use shared::models::text::{Email, Name, Phone, Username, Website};
use shared::models::{Role, Scope, User};
use shared::{App, Error, Result, wire};
use utoipa::ToSchema;

use crate::change::check_rank;

/// Create a user
///
/// With a password, which they can log in with. Without one they are invited by mail to choose it. Unless `is_verified`
/// says that the address is theirs, they are asked to confirm it. Administrators are made by administrators only, and so is
/// a verified user with a password. Needs the scope `users:write`.
#[utoipa::path(
    post, path = "", tag = "users", security(("bearer" = ["users:write"])), request_body = NewUser,
    responses(
        (status = 201, description = "The new user", body = wire::User, headers(("Location" = String), ("ETag" = String))),
        (status = 409, description = "`email_taken` or `username_taken`", body = Problem),
    )
)]
pub(crate) async fn create_user(
    State(app): State<App>,
    info: RequestInfo,
    current: CurrentUser,
    Body(mut new): Body<NewUser>,
) -> Result<Response> {
    current.require(Scope::UsersWrite)?;
    let password = new.password.take();
    let user = new.into_user();
    check_rank(&current, &[user.role])?;
    if user.is_verified && password.is_some() {
        // Whose address it is could log in elsewhere, and share the account with whoever knows this password.
        current.require(Scope::AdminAll)?;
    }
    if !user.is_active && password.is_none() {
        let message = "must be true for somebody who is invited";
        return Err(Error::invalid("is_active", "not_invited", message));
    }
    let ip = info.ip().to_string();
    let audit = AuditEntry::new("user.created", Some(current.user.id), &ip);
    match password {
        Some(password) => {
            let refused = password.differs_from(&user.email);
            refused.map_err(|e| Error::invalid("password", e.code, e.message))?;
            let hash = passwords::hash(password.reveal()).await?;
            app.store.create_account(&user, &hash, &audit).await?;
        }
        None => app.store.invite(&user, &audit).await?,
    }
    let location = format!("{PREFIX}/users/{}", user.id);
    let version = user.version;
    let body = etag::respond(&HeaderMap::new(), version, wire::User::from(user));
    Ok((StatusCode::CREATED, [(LOCATION, location)], body).into_response())
}

/// Whom an administrator makes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    email: Email,
    /// Without it they are invited.
    password: Option<NewPassword>,
    username: Option<Username>,
    first_name: Option<Name>,
    last_name: Option<Name>,
    /// First and last name, unless given.
    full_name: Option<Name>,
    desired_name: Option<Name>,
    phone: Option<Phone>,
    website: Option<Website>,
    /// `user`, unless given.
    #[serde(default)]
    role: Role,
    /// True, unless given.
    #[serde(default = "yes")]
    is_active: bool,
    /// Whether the address is known to be theirs.
    #[serde(default)]
    is_verified: bool,
}

fn yes() -> bool {
    true
}

impl NewUser {
    fn into_user(self) -> User {
        let mut user = User {
            username: self.username,
            first_name: self.first_name,
            last_name: self.last_name,
            full_name: self.full_name,
            desired_name: self.desired_name,
            phone: self.phone,
            website: self.website,
            role: self.role,
            is_active: self.is_active,
            is_verified: self.is_verified,
            ..User::new(self.email)
        };
        user.complete_full_name();
        user
    }
}
