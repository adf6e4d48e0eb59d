//! `POST /auth/verify-email` and `POST /auth/verify-email/resend`

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use shared::http::{Body, Problem, RequestInfo};
use shared::models::audit::AuditEntry;
use shared::models::one_time_token::Purpose;
use shared::models::text::Email;
use shared::store::tasks::NewTask;
use shared::tasks::Task;
use shared::{App, Error, Result};
use utoipa::ToSchema;

use crate::recovery;

/// Verify an address
///
/// By the token of the link in the mail. It works once, for 24 hours, and for the address it was sent to. An address that
/// was asked for instead of the old one takes its place now.
#[utoipa::path(
    post, path = "/verify-email", tag = "auth", request_body = Token,
    responses(
        (status = 204, description = "The address is verified"),
        (status = 400, description = "`invalid_token`", body = Problem),
        (status = 409, description = "`email_taken`: somebody else has the address by now", body = Problem),
        (status = 429, description = "Too many attempts from this address", body = Problem),
    )
)]
pub(crate) async fn verify_email(
    State(app): State<App>,
    info: RequestInfo,
    Body(body): Body<Token>,
) -> Result<StatusCode> {
    recovery::limit_attempts(&app, &info).await?;
    let link = app.store.link([Purpose::VerifyEmail], &body.token).await?;
    let link = link.ok_or(Error::InvalidLink)?;
    let user = link.user_id;
    let audit = AuditEntry::new("user.email_verified", Some(user), &info.ip().to_string());
    app.store.verify_email(&link, audit).await?;
    info.note_user(user);
    Ok(StatusCode::NO_CONTENT)
}

/// Send the link again
///
/// The answer is the same whether or not anybody has this address.
#[utoipa::path(
    post, path = "/verify-email/resend", tag = "auth", request_body = Address,
    responses(
        (status = 202, description = "If somebody has this address and it is not verified, a mail is on its way"),
        (status = 429, description = "Too many mails to this address, or from this one", body = Problem),
    )
)]
pub(crate) async fn resend_verification(
    State(app): State<App>,
    info: RequestInfo,
    Body(Address { email }): Body<Address>,
) -> Result<StatusCode> {
    recovery::limit_mails(&app, &info, "resend", &email).await?;
    let task = NewTask::new(Task::VerificationMailAgain { email });
    app.store.add_task(&task).await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LinkToken)]
pub(crate) struct Token {
    /// The `token` of the link.
    #[schema(example = "LhN4cJd9SgPfAeU3iq8ZrT2mWxK0q8ZrT2mWxK0vYb7")]
    token: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Address {
    pub(crate) email: Email,
}
