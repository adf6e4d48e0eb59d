//! The answer of every route that signs somebody in.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::auth::tokens::ACCESS_LIFETIME;
use shared::http::RequestInfo;
use shared::models::User;
use shared::{App, Result};
use utoipa::ToSchema;
use uuid::Uuid;

/// Tokens, as in RFC 6749, section 5.1. The wrapper sends them with `Cache-Control: no-store`.
#[derive(Serialize, ToSchema)]
pub(crate) struct Token {
    /// A JWT (RFC 9068), to be sent as `Authorization: Bearer …`.
    #[schema(
        example = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSJ9.eyJzdWIiOiIwMTk4YzhmNSJ9.c2lnbmF0dXJl"
    )]
    access_token: String,
    /// Opaque; exchanges for new tokens once.
    #[schema(example = "q8ZrT2mWxK0vYb7LhN4cJd9SgPfAeU3iq8ZrT2mWxK0")]
    refresh_token: String,
    #[schema(example = "bearer")]
    token_type: &'static str,
    /// Seconds until the access token ends.
    #[schema(example = 900)]
    expires_in: i64,
    #[schema(example = "items:read items:write orders:write")]
    scope: String,
}

impl Token {
    /// The tokens of a session's generation: 0 at its beginning.
    pub(crate) fn of(
        app: &App,
        info: &RequestInfo,
        user: &User,
        session: Uuid,
        generation: u32,
    ) -> Result<Self> {
        let keys = app.signing()?;
        let url = info.public_url(&app.config);
        Ok(Self {
            access_token: keys.sign_access(&url, user, session, app.clock.seconds())?,
            refresh_token: keys.sign_refresh(user.id, session, generation),
            token_type: "bearer",
            expires_in: ACCESS_LIFETIME,
            scope: user.role.scope_claim(),
        })
    }
}

impl IntoResponse for Token {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}
