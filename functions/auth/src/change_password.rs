//! `POST /auth/change-password`

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use shared::auth::{CurrentUser, passwords};
use shared::http::{Body, Problem, RequestInfo};
use shared::models::audit::AuditEntry;
use shared::models::password::NewPassword;
use shared::store::rates::Rule;
use shared::{App, Context, Error, Result};
use utoipa::ToSchema;

/// Change my password
///
/// Ends all other sessions. Limited, because whoever has stolen a token might guess.
#[utoipa::path(
    post, path = "/change-password", tag = "auth", security(("bearer" = [])), request_body = PasswordChange,
    responses(
        (status = 204, description = "Changed"),
        (status = 400, description = "`wrong_password`", body = Problem),
        (status = 409, description = "`stale`: it has just been changed elsewhere", body = Problem),
        (status = 429, description = "Too many attempts", body = Problem),
    )
)]
pub(crate) async fn change_password(
    State(app): State<App>,
    info: RequestInfo,
    current: CurrentUser,
    Body(change): Body<PasswordChange>,
) -> Result<StatusCode> {
    let user = current.user;
    refuse_address(&change.new_password, &user.email)?;
    let rule = Rule {
        name: "password",
        limit: app.config.limits.logins_per_minute,
        seconds: 60,
    };
    let window = rule.window(&user.id.to_string(), app.clock.now());
    info.note_limit(app.store.take(&window).await?);

    let account = app.store.account(user.id).await?;
    let account = account.context("find one's own account")?;
    let hash = account.password.as_ref().map(|known| known.hash.clone());
    if !passwords::verify(&change.current_password, hash).await? {
        return Err(Error::WrongPassword);
    }
    let hash = passwords::hash(change.new_password.reveal()).await?;
    let ip = info.ip().to_string();
    let audit = AuditEntry::new("user.password_changed", Some(user.id), &ip);
    app.store
        .change_password(&account, &hash, current.session.id, &audit)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Refuses a password that is the user's own address.
pub(crate) fn refuse_address(
    password: &NewPassword,
    email: &shared::models::text::Email,
) -> Result<()> {
    let differs = password.differs_from(email);
    differs.map_err(|error| Error::invalid("new_password", error.code, error.message))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordChange {
    #[schema(format = "password")]
    current_password: String,
    new_password: NewPassword,
}
