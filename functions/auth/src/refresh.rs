//! `POST /auth/refresh`

use axum::extract::State;
use futures_util::future::try_join;
use serde::Deserialize;
use shared::auth::RefreshToken;
use shared::http::{BodyOrForm, Problem, RequestInfo};
use shared::models::audit::AuditEntry;
use shared::models::session::LIFETIME;
use shared::store::sessions::Rotation;
use shared::{App, Error, Result};
use utoipa::ToSchema;

use crate::secret;
use crate::token::Token;

/// Refresh
///
/// Exchanges a refresh token for new tokens. Each works once; for ten seconds the same one gives the same child again,
/// for a client whose answer was lost. An older one ends its session, because somebody has a copy of it.
#[utoipa::path(
    post, path = "/refresh", tag = "auth",
    request_body(content(
        (Refresh = "application/json"),
        (Refresh = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, description = "New tokens", body = Token),
        (status = 401, description = "`invalid_refresh_token`", body = Problem),
        (status = 429, description = "Too many requests of this user", body = Problem),
    )
)]
pub(crate) async fn refresh(
    State(app): State<App>,
    info: RequestInfo,
    BodyOrForm(body): BodyOrForm<Refresh>,
) -> Result<Token> {
    rotate(&app, &info, &body.refresh_token).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refresh {
    #[schema(example = "q8ZrT2mWxK0vYb7LhN4cJd9SgPfAeU3iq8ZrT2mWxK0")]
    refresh_token: String,
}

/// The exchange. One conditional update, and at the same time one read of the user, who may have been deactivated.
pub(crate) async fn rotate(app: &App, info: &RequestInfo, token: &str) -> Result<Token> {
    let refused = Error::InvalidRefreshToken;
    let Some(token) = secret::read_refresh(app, token).await? else {
        return Err(refused);
    };
    let RefreshToken { user, session, .. } = token;
    // Not the user's own limit: whoever has a dead token of theirs must not use that up.
    info.note_limit(app.permit(&format!("refresh#{session}")).await?);
    let (rotation, user) = try_join(app.store.rotate(&token), app.store.user(user)).await?;
    let (generation, epoch, ends_at) = match rotation {
        Rotation::Rotated {
            generation,
            epoch,
            ends_at,
        } => (generation, epoch, ends_at),
        Rotation::Ended => return Err(refused),
        Rotation::Reused => {
            end_as_stolen(app, info, &token).await?;
            return Err(refused);
        }
    };
    let is_live = |user: &shared::models::User| user.is_active && !user.has_ended(session, epoch);
    let Some(user) = user.filter(is_live) else {
        return Err(refused);
    };
    info.note_user(user.id);
    if ends_at - app.clock.seconds() < LIFETIME.as_secs() / 2 {
        app.store.extend_session(user.id, session).await?;
    }
    Token::of(app, info, &user, session, generation)
}

/// Two have the token, and nobody can tell who is who: both have to log in again.
async fn end_as_stolen(app: &App, info: &RequestInfo, token: &RefreshToken) -> Result<()> {
    let RefreshToken { user, session, .. } = *token;
    tracing::warn!(user = %user, session = %session, ip = %info.ip(), "an old refresh token came again: its session was ended");
    let ip = info.ip().to_string();
    let audit = AuditEntry::new("session.ended_as_stolen", None, &ip).about(session);
    match app.store.end_session(user, session, &audit).await {
        // Its public part has expired already.
        Err(Error::NotFound(_)) => Ok(()),
        ended => ended,
    }
}
