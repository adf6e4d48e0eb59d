//! `GET /.well-known/oauth-authorization-server`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use serde::Serialize;
use shared::App;
use shared::http::{PREFIX, RequestInfo};
use shared::models::Scope;
use utoipa::ToSchema;

/// Server metadata
///
/// What an OAuth client has to know of this server (RFC 8414).
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", tag = "auth",
    responses((status = 200, description = "The metadata", body = ServerMetadata)),
)]
pub(crate) async fn get_server_metadata(State(app): State<App>, info: RequestInfo) -> Response {
    let issuer = info.public_url(&app.config);
    let mut grants = vec!["client_credentials", "refresh_token"];
    if app.config.allow_password_grant {
        grants.push("password");
    }
    let by_secret = || vec!["client_secret_basic", "client_secret_post"];
    let metadata = ServerMetadata {
        token_endpoint: format!("{issuer}{PREFIX}/auth/token"),
        introspection_endpoint: format!("{issuer}{PREFIX}/auth/introspect"),
        revocation_endpoint: format!("{issuer}{PREFIX}/auth/revoke"),
        jwks_uri: format!("{issuer}/.well-known/jwks.json"),
        issuer,
        scopes_supported: Scope::all().map(Scope::as_str).collect(),
        response_types_supported: vec!["none"],
        grant_types_supported: grants,
        token_endpoint_auth_methods_supported: [by_secret(), vec!["none"]].concat(),
        introspection_endpoint_auth_methods_supported: by_secret(),
        revocation_endpoint_auth_methods_supported: by_secret(),
    };
    ([(CACHE_CONTROL, "public, max-age=300")], Json(metadata)).into_response()
}

/// RFC 8414, section 2.
#[derive(Serialize, ToSchema)]
pub(crate) struct ServerMetadata {
    #[schema(example = "https://api.example.com")]
    issuer: String,
    #[schema(example = "https://api.example.com/api/v1/auth/token")]
    token_endpoint: String,
    #[schema(example = "https://api.example.com/api/v1/auth/introspect")]
    introspection_endpoint: String,
    #[schema(example = "https://api.example.com/api/v1/auth/revoke")]
    revocation_endpoint: String,
    #[schema(example = "https://api.example.com/.well-known/jwks.json")]
    jwks_uri: String,
    #[schema(example = json!(["items:read", "items:write", "orders:write"]))]
    scopes_supported: Vec<&'static str>,
    /// There is no authorization endpoint. The RFC wants the list all the same, and no list may be empty (section 3.2);
    /// `none` is the registered word that promises neither a code nor a token.
    #[schema(example = json!(["none"]))]
    response_types_supported: Vec<&'static str>,
    #[schema(example = json!(["client_credentials", "refresh_token"]))]
    grant_types_supported: Vec<&'static str>,
    /// `none` is for users' refresh tokens, which need no client.
    #[schema(example = json!(["client_secret_basic", "client_secret_post", "none"]))]
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    #[schema(example = json!(["client_secret_basic", "client_secret_post"]))]
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    #[schema(example = json!(["client_secret_basic", "client_secret_post"]))]
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
}
