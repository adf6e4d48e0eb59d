//! The links in mails.

use shared::models::User;
use shared::models::one_time_token::Purpose;
use shared::models::text::Email;
use shared::{App, Context, Result};

/// Where clients reach the API. Only the configuration may say that: a request's host is the client's own word, and a
/// link with a stranger's host would hand them the token in it.
pub(crate) fn public_url(app: &App) -> Result<&str> {
    let url = app.config.public_url.as_deref();
    url.context("PUBLIC_URL is not set, and a mail needs it for its link")
}

/// A link that works once, for a mail to this address.
pub(crate) async fn one_time(
    app: &App,
    purpose: Purpose,
    user: &User,
    email: &Email,
) -> Result<String> {
    let url = public_url(app)?;
    let token = app.store.issue_one_time_token(purpose, user, email).await?;
    Ok(format!("{url}/{}?token={}", purpose.page(), token.reveal()))
}
