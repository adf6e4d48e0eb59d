//! Identity: registering, logging in, and the public keys that tokens are verified with.
//!
//! The only function that reads the vault table and knows the secret.

mod jwks;
mod login;
mod register;
pub mod secret;
mod token;

use shared::App;
use shared::http::PREFIX;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    let api = OpenApiRouter::new()
        .routes(routes!(register::register))
        .routes(routes!(login::login));
    OpenApiRouter::new()
        .nest(&format!("{PREFIX}/auth"), api)
        .routes(routes!(jwks::get_jwks))
}
