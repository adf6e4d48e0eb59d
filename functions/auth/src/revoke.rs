//! `POST /auth/revoke`

use axum::extract::State;
use http::StatusCode;
use shared::auth::RefreshToken;
use shared::auth::tokens::{self, TokenKind};
use shared::http::RequestInfo;
use shared::models::audit::AuditEntry;
use shared::{App, Error};
use uuid::Uuid;

use crate::introspect::SentToken;
use crate::oauth_error::{OauthError, OauthProblem};
use crate::oauth_token::OauthForm;
use crate::secret;

/// Revoke
///
/// RFC 7009: ends the session of a user's access or refresh token, and with it all its tokens. A token that is not
/// good, or not ours, is answered with 200 as well: it is what was wanted. The token of a service ends by itself.
#[utoipa::path(
    post, path = "/revoke", tag = "auth", security(("client" = [])),
    request_body(content = SentToken, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The token is not good any more, or never was"),
        (status = 400, description = "`invalid_request`, or `unsupported_token_type` for the token of a service", body = OauthProblem),
        (status = 401, description = "`invalid_client`", body = OauthProblem),
        (status = 429, description = "`slow_down`", body = OauthProblem),
    )
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    info: RequestInfo,
    form: OauthForm,
) -> Result<StatusCode, OauthError> {
    let client = form.authenticate(&app, &info).await?;
    info.note_limit(app.permit(&client.id.to_string()).await?);
    let token = form.required("token")?;
    let Some((user, session)) = session_of(&app, &info, token).await? else {
        return Ok(StatusCode::OK);
    };
    let ip = info.ip().to_string();
    let audit = AuditEntry::new("session.revoked", Some(client.id), &ip).about(session);
    match app.store.end_session(user, session, &audit).await {
        // It has ended before.
        Ok(()) | Err(Error::NotFound(_)) => Ok(StatusCode::OK),
        Err(other) => Err(other.into()),
    }
}

/// The user and the session that a token belongs to; `None` if it is no good token.
async fn session_of(
    app: &App,
    info: &RequestInfo,
    token: &str,
) -> Result<Option<(Uuid, Uuid)>, OauthError> {
    // A refresh token that was used is taken too: whoever sends it has had the session.
    let refresh = secret::read_refresh(app, token).await?;
    if let Some(RefreshToken { user, session, .. }) = refresh {
        return Ok(Some((user, session)));
    }
    let url = info.public_url(&app.config);
    let claims = match tokens::verify_access(app, &url, token).await {
        Ok(claims) => claims,
        Err(Error::TokenInvalid(_)) => return Ok(None),
        Err(other) => return Err(other.into()),
    };
    match claims.kind {
        TokenKind::Access => Ok(claims.sid.map(|session| (claims.sub, session))),
        TokenKind::Service => Err(OauthError::UnsupportedTokenType),
    }
}
