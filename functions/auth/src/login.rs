//! `POST /auth/login`

use std::time::Duration;

use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use shared::auth::{OneTimeToken, passwords};
use shared::config::Hidden;
use shared::error::RateLimit;
use shared::http::{BodyOrForm, Problem, RequestInfo};
use shared::metrics::Count;
use shared::models::audit::AuditEntry;
use shared::models::session::Session;
use shared::models::text::LoginName;
use shared::store::accounts::Account;
use shared::store::rates::{Rule, Window};
use shared::{App, Error, Result};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::token::Token;

/// Log in
///
/// With e-mail or user name and password, as JSON or as a form (`username`, `password`). Limited per address; after five
/// failures for one account the answers for it come later and later, up to two seconds.
///
/// Three round trips: the limit is read with the login name, before any password is hashed, and counted in
/// the same write as the outcome. Requests that were let in together cannot pass the limit that way: whoever
/// finds the window full at the end gets 429 and no answer about the password.
#[utoipa::path(
    post, path = "/login", tag = "auth",
    request_body(content(
        (Credentials = "application/json"),
        (Credentials = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, description = "Access and refresh token", body = Token),
        (status = 401, description = "`invalid_credentials`", body = Problem),
        (status = 403, description = "`account_inactive`, after the right password only", body = Problem),
        (status = 429, description = "Too many logins from this address", body = Problem),
    )
)]
pub(crate) async fn login(
    State(app): State<App>,
    info: RequestInfo,
    BodyOrForm(credentials): BodyOrForm<Credentials>,
) -> Result<Token> {
    let name = credentials.login_name()?;
    by_password(&app, &info, name, &credentials.password).await
}

/// Logs somebody in by their password. Whoever has no account waits as long as whoever has.
pub(crate) async fn by_password(
    app: &App,
    info: &RequestInfo,
    name: Option<LoginName>,
    password: &str,
) -> Result<Token> {
    let rule = Rule {
        name: "login",
        limit: app.config.limits.logins_per_minute,
        seconds: 60,
    };
    let now = app.clock.now();
    let attempts = rule.window(&info.limit_subject(), now);
    let (account, failures) = find_account(app, name, &attempts, info).await?;
    let hash = account
        .as_ref()
        .and_then(|account| Some(account.password.as_ref()?.hash.clone()));
    let is_right = passwords::verify(password, hash.clone()).await?;
    let Some(account) = account.filter(|_| is_right) else {
        app.metrics.add(Count::LoginsRefused, 1);
        app.store.count_failed_login(&attempts, &failures).await?;
        return Err(Error::InvalidCredentials);
    };
    if !account.user.is_active {
        app.metrics.add(Count::LoginsRefused, 1);
        app.store.count_failed_login(&attempts, &failures).await?;
        return Err(Error::AccountInactive);
    }
    let ip = info.ip().to_string();
    let session = Session::begin(
        &account.user,
        app.clock.now(),
        ip.clone(),
        info.user_agent(),
    );
    let audit = AuditEntry::new("session.began", Some(account.user.id), &ip).about(session.id);
    let better_hash = match hash.is_some_and(|hash| passwords::is_outdated(&hash)) {
        true => Some(Hidden::new(passwords::hash(password).await?)),
        false => None,
    };
    app.store
        .begin_session(&account, &session, &attempts, better_hash.as_ref(), &audit)
        .await?;
    app.metrics.add(Count::Logins, 1);
    Token::of(app, info, &account.user, session.id, 0)
}

/// What a person signs in with: `email`, or `username`, which may hold either.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ada@example.com", "password": "Correct-horse-7"}))]
pub(crate) struct Credentials {
    #[schema(example = "ada@example.com")]
    email: Option<String>,
    username: Option<String>,
    #[schema(format = "password", example = "Correct-horse-7")]
    password: String,
}

impl Credentials {
    /// The name to look for; `None` if nobody can have it, which is answered as if nobody had.
    fn login_name(&self) -> Result<Option<LoginName>> {
        match (&self.email, &self.username) {
            (Some(name), None) | (None, Some(name)) => Ok(LoginName::parse(name)),
            (None, None) => Err(Error::invalid("email", "required", "is required")),
            (Some(_), Some(_)) => Err(Error::invalid(
                "username",
                "ambiguous",
                "must not be sent beside email",
            )),
        }
    }
}

/// The logins of this account that have failed lately, or with this name, if it is nobody's: then it is kept as a hash.
fn failures(user: Option<Uuid>, name: Option<&LoginName>, now: Timestamp) -> Window {
    let rule = Rule {
        name: "failed",
        limit: u32::MAX,
        seconds: 900,
    };
    let name = || OneTimeToken::hash_of(&name.map(LoginName::folded).unwrap_or_default());
    rule.window(&user.map_or_else(name, |user| user.to_string()), now)
}

/// How long an answer is held back after so many failures: guessing becomes slow, whatever addresses it comes from, and
/// who knows the password gets in all the same.
fn delay(failures: u32) -> Duration {
    match failures.checked_sub(5) {
        None => Duration::ZERO,
        Some(more) => Duration::from_millis(250 << more.min(3)),
    }
}

/// The account of that name, if there is one. Takes two round trips either way, so that their number does not
/// tell who has an account.
async fn find_account(
    app: &App,
    name: Option<LoginName>,
    attempts: &Window,
    info: &RequestInfo,
) -> Result<(Option<Account>, Window)> {
    let (user, state) = app.store.find_login(name.as_ref(), attempts).await?;
    if state.remaining == 0 {
        return Err(Error::RateLimited(state));
    }
    info.note_limit(RateLimit {
        remaining: state.remaining - 1,
        ..state
    });
    let failures = failures(user, name.as_ref(), app.clock.now());
    let user = user.unwrap_or(Uuid::nil());
    let (account, failed) = app.store.account_to_log_in(user, &failures).await?;
    tokio::time::sleep(delay(failed)).await;
    Ok((account, failures))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_becomes_slow_after_five_failures() {
        let seconds = [0, 4, 5, 6, 7, 8, 9, 1_000].map(|failures| delay(failures).as_secs_f64());
        assert_eq!(seconds, [0.0, 0.0, 0.25, 0.5, 1.0, 2.0, 2.0, 2.0]);
    }
}
