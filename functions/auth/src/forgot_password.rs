//! `POST /auth/forgot-password`

use axum::extract::State;
use http::StatusCode;
use shared::http::{Body, Problem, RequestInfo};
use shared::store::tasks::NewTask;
use shared::tasks::Task;
use shared::{App, Result};

use crate::recovery;
use crate::verify_email::Address;

/// Forgot my password
///
/// The answer is the same whether or not anybody has this address, and comes as fast: the worker looks for them.
#[utoipa::path(
    post, path = "/forgot-password", tag = "auth", request_body = Address,
    responses(
        (status = 202, description = "If somebody has this address, a mail is on its way"),
        (status = 429, description = "Too many mails to this address, or from this one", body = Problem),
    )
)]
pub(crate) async fn forgot_password(
    State(app): State<App>,
    info: RequestInfo,
    Body(Address { email }): Body<Address>,
) -> Result<StatusCode> {
    recovery::limit_mails(&app, &info, "forgot", &email).await?;
    let task = NewTask::new(Task::PasswordResetMail { email });
    app.store.add_task(&task).await?;
    Ok(StatusCode::ACCEPTED)
}
