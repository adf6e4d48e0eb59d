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

/// Introspect
///
/// RFC 7662: whether a token is good now, and what it says. Takes access and refresh tokens of users, and tokens of
/// services. Whatever is not good, or not ours, is `{"active": false}` and nothing more. The client needs the scope
/// `tokens:introspect`.
#[utoipa::path(
    post, path = "/introspect", tag = "auth", security(("client" = ["tokens:introspect"])),
    request_body(content = TokenToInspect, content_type = "application/x-www-form-urlencoded"),
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
    let token = form.required("token")?;
    let found = match app.signing()?.read_refresh(token) {
        Some(token) => inspect_refresh(&app, &token).await?,
        None => inspect_access(&app, &info, token).await?,
    };
    Ok(Json(found.unwrap_or_default()))
}

/// What a client sends to ask about a token, or to revoke it.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "it only describes; the form is read by its rules, not by its fields"
)]
pub(crate) struct TokenToInspect {
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

/// What a token says. Without `active`, none of the rest.
#[derive(Default, Serialize, ToSchema)]
#[serde_with_absent]
pub(crate) struct Introspection {
    active: bool,
}
