//! `GET /.well-known/jwks.json`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use shared::{App, Result};

/// Public keys
///
/// The keys that access tokens are signed with, as a JSON Web Key Set (RFC 7517, RFC 8037). A key that was replaced stays
/// for a day.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "auth",
    responses((
        status = 200, description = "A JSON Web Key Set", body = Object,
        example = json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "9f2c41d07b3e58aa",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        }]}),
    )),
)]
pub(crate) async fn get_jwks(State(app): State<App>) -> Result<Response> {
    let keys = Json(app.keyring.published(&app.store).await?);
    Ok(([(CACHE_CONTROL, "public, max-age=300")], keys).into_response())
}
