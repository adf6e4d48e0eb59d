//! `POST /auth/reset-password`

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use shared::auth::passwords;
use shared::http::{Body, Problem, RequestInfo};
use shared::models::audit::AuditEntry;
use shared::models::one_time_token::Purpose;
use shared::models::password::NewPassword;
use shared::store::accounts::Account;
use shared::store::one_time_tokens::Link;
use shared::{App, Error, Result};
use utoipa::ToSchema;

use crate::change_password::refuse_address;
use crate::recovery;

/// Set a new password
///
/// By the token of the link in the mail, or of an invitation. It works once, and only until the password is changed in
/// any way. Ends all sessions, verifies the address, and unlinks every login with a provider: whoever holds the address
/// there links it again by logging in.
#[utoipa::path(
    post, path = "/reset-password", tag = "auth", request_body = PasswordReset,
    responses(
        (status = 204, description = "Set"),
        (status = 400, description = "`invalid_token`", body = Problem),
        (status = 409, description = "`stale`: the profile has just changed; try again", body = Problem),
        (status = 429, description = "Too many attempts from this address", body = Problem),
    )
)]
pub(crate) async fn reset_password(
    State(app): State<App>,
    info: RequestInfo,
    Body(reset): Body<PasswordReset>,
) -> Result<StatusCode> {
    recovery::limit_attempts(&app, &info).await?;
    let purposes = [Purpose::ResetPassword, Purpose::AcceptInvitation];
    let link = app.store.link(purposes, &reset.token).await?;
    let link = link.ok_or(Error::InvalidLink)?;
    let account = app.store.account(link.user_id).await?;
    let account = account.filter(|account| is_good_for(&link, account));
    let account = account.ok_or(Error::InvalidLink)?;
    refuse_address(&reset.new_password, &account.user.email)?;

    let hash = passwords::hash(reset.new_password.reveal()).await?;
    let user = account.user.id;
    let audit = AuditEntry::new("user.password_reset", Some(user), &info.ip().to_string());
    app.store
        .reset_password(&link, &account, &hash, &audit)
        .await?;
    info.note_user(user);
    Ok(StatusCode::NO_CONTENT)
}

/// Whether the link went to the address that the account still has, and is younger than its password.
fn is_good_for(link: &Link, account: &Account) -> bool {
    let password = account.password.as_ref();
    let is_younger = password.is_none_or(|password| link.issued_at > password.changed_at);
    account.user.is_active && link.went_to(&account.user.email) && is_younger
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordReset {
    /// The `token` of the link.
    #[schema(example = "LhN4cJd9SgPfAeU3iq8ZrT2mWxK0q8ZrT2mWxK0vYb7")]
    token: String,
    new_password: NewPassword,
}
