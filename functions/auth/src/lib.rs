//! Identity: registering, logging in and out, sessions, passwords and the ways back to them, and the public keys that
//! tokens are verified with.
//!
//! The only function that reads the vault table and knows the secret.

mod register;

mod login;
mod logout;
mod refresh;
mod sessions;

mod change_password;
mod forgot_password;
mod reset_password;
mod verify_email;

mod oidc;

mod clients;
mod introspect;
mod oauth_token;
mod revoke;

mod jwks;
mod metadata;

mod oauth_error;
mod recovery;
pub mod secret;
mod token;

use axum::Extension;
use shared::App;
use shared::http::PREFIX;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    let api = OpenApiRouter::new()
        .routes(routes!(register::register))
        .routes(routes!(login::login))
        .routes(routes!(refresh::refresh))
        .routes(routes!(logout::logout))
        .routes(routes!(sessions::list_sessions))
        .routes(routes!(sessions::end_session))
        .routes(routes!(change_password::change_password))
        .routes(routes!(verify_email::verify_email))
        .routes(routes!(verify_email::resend_verification))
        .routes(routes!(forgot_password::forgot_password))
        .routes(routes!(reset_password::reset_password))
        .routes(routes!(oidc::begin_oidc_login))
        .routes(routes!(oidc::finish_oidc_login))
        .routes(routes!(oauth_token::issue_token))
        .routes(routes!(introspect::introspect))
        .routes(routes!(revoke::revoke))
        .routes(routes!(clients::create_client, clients::list_clients))
        .routes(routes!(clients::delete_client))
        .routes(routes!(clients::rotate_client));
    OpenApiRouter::new()
        .nest(
            &format!("{PREFIX}/auth"),
            api.layer(Extension(oidc::Providers::default())),
        )
        .routes(routes!(jwks::get_jwks))
        .routes(routes!(metadata::get_server_metadata))
}
