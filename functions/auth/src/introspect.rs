//! `POST /auth/introspect`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::auth::RefreshToken;
use shared::auth::tokens::{self, Claims, TokenKind};
use shared::http::RequestInfo;
use shared::models::session::Session;
use shared::models::{Scope, User};
use shared::{App, Error, Result};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::oauth_error::{OauthError, OauthProblem};
use crate::oauth_token::OauthForm;
use crate::secret;

/// Introspect
///
/// RFC 7662: whether a token is good now, and what it says. Takes access and refresh tokens of users, and tokens of
/// services. Whatever is not good, or not ours, is `{"active": false}` and nothing more. The client needs the scope
/// `tokens:introspect`.
#[utoipa::path(
    post, path = "/introspect", tag = "auth", security(("client" = [])),
    request_body(content = SentToken, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "What is known of the token", body = Introspection),
        (status = 400, description = "`invalid_request`", body = OauthProblem),
        (status = 401, description = "`invalid_client`", body = OauthProblem),
        (status = 403, description = "`insufficient_scope`", body = OauthProblem),
        (status = 429, description = "`slow_down`", body = OauthProblem),
    )
)]
pub(crate) async fn introspect(
    State(app): State<App>,
    info: RequestInfo,
    form: OauthForm,
) -> Result<Json<Introspection>, OauthError> {
    let client = form.authenticate(&app, &info).await?;
    let needed = Scope::TokensIntrospect;
    if !client.may(needed) {
        return Err(OauthError::InsufficientScope(needed.as_str()));
    }
    info.note_limit(app.permit(&client.id.to_string()).await?);
    let token = form.required("token")?;
    let found = match secret::read_refresh(&app, token).await? {
        Some(token) => inspect_refresh(&app, &token).await?,
        None => inspect_access(&app, &info, token).await?,
    };
    Ok(Json(found.unwrap_or_default()))
}

/// The form of introspection and of revocation.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "it only describes; the form is read by its rules, not by its fields"
)]
#[schema(example = json!({"token": "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSJ9.eyJzdWIiOiIwMTk4YzhmNSJ9.c2lnbmF0dXJl"}))]
pub(crate) struct SentToken {
    #[schema(
        example = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSJ9.eyJzdWIiOiIwMTk4YzhmNSJ9.c2lnbmF0dXJl"
    )]
    token: String,
    /// Ignored: a token tells by itself what it is.
    #[schema(example = "access_token")]
    token_type_hint: Option<String>,
    /// Instead of `Authorization: Basic …`.
    client_id: Option<String>,
    /// Instead of `Authorization: Basic …`.
    #[schema(format = "password")]
    client_secret: Option<String>,
}

/// What a token says (RFC 7662, section 2.2).
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct Introspection {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "items:read orders:write")]
    scope: Option<String>,
    /// Whose token it is, if it is a service's.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<Uuid>,
    /// Whose it is, if it is a user's: their user name, or else their e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ada")]
    username: Option<String>,
    /// `bearer`, or `refresh_token` for what is no access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "bearer")]
    token_type: Option<&'static str>,
    /// When it ends, in seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://api.example.com")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://api.example.com")]
    aud: Option<String>,
    /// The id of the user, or of the service client.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<Uuid>,
}

impl Introspection {
    fn of_access(claims: &Claims, scope: String) -> Self {
        Self {
            active: true,
            scope: Some(scope),
            token_type: Some("bearer"),
            exp: Some(claims.exp),
            iat: Some(claims.iat),
            iss: Some(claims.iss.clone()),
            aud: Some(claims.aud.clone()),
            sub: Some(claims.sub),
            jti: Some(claims.jti),
            ..Self::default()
        }
    }
}

async fn inspect_access(
    app: &App,
    info: &RequestInfo,
    token: &str,
) -> Result<Option<Introspection>> {
    let url = info.public_url(&app.config);
    let claims = match tokens::verify_access(app, &url, token).await {
        Ok(claims) => claims,
        Err(Error::TokenInvalid(_)) => return Ok(None),
        Err(other) => return Err(other),
    };
    match (claims.kind, claims.sid) {
        (TokenKind::Access, Some(session)) => {
            let (user, session) = app.store.signed_in(claims.sub, session).await?;
            let live = user.zip(session).filter(|found| is_live(app, found));
            Ok(live.map(|(user, _)| Introspection {
                username: Some(name(&user)),
                ..Introspection::of_access(&claims, scope_of(&claims, &user))
            }))
        }
        (TokenKind::Access, None) => Ok(None),
        (TokenKind::Service, _) => {
            let client = app.store.service_client(claims.sub).await?;
            let live = client.filter(|client| client.is_active);
            Ok(live.map(|client| Introspection {
                client_id: Some(client.id),
                ..Introspection::of_access(&claims, claims.scope.clone())
            }))
        }
    }
}

/// Tells no scope: a service that takes every active token for an access token finds nothing that this one allows.
async fn inspect_refresh(app: &App, token: &RefreshToken) -> Result<Option<Introspection>> {
    let found = app.store.inspect_refresh(token).await?;
    let live = found.filter(|found| is_live(app, found));
    Ok(live.map(|(user, session)| Introspection {
        active: true,
        username: Some(name(&user)),
        token_type: Some("refresh_token"),
        exp: Some(session.expires_at.as_second()),
        sub: Some(user.id),
        ..Introspection::default()
    }))
}

/// The same that a request with an access token has to pass.
fn is_live(app: &App, (user, session): &(User, Session)) -> bool {
    user.is_active && session.is_live(app.clock.now()) && !user.has_ended(session.id, session.epoch)
}

/// What the token was issued with, without what the user's role has lost since.
fn scope_of(claims: &Claims, user: &User) -> String {
    let scopes = user.role.scopes().iter().map(|scope| scope.as_str());
    let issued = |scope: &&str| claims.scope.split(' ').any(|issued| issued == *scope);
    scopes.filter(issued).collect::<Vec<_>>().join(" ")
}

fn name(user: &User) -> String {
    match &user.username {
        Some(username) => username.to_string(),
        None => user.email.to_string(),
    }
}
