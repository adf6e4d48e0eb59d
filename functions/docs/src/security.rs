//! How callers prove who they are, and what each scope allows.

use shared::http::PREFIX;
use shared::models::Scope;
use utoipa::openapi::security::{
    ClientCredentials, Flow, Http, HttpAuthScheme, OAuth2, Password, Scopes, SecurityScheme,
};

/// A token that somebody has, from a login.
pub(crate) const BEARER: &str = "bearer";

/// The same, where the page logs in by itself.
pub(crate) const LOGIN: &str = "login";

/// A service client's id and secret.
const CLIENT: &str = "client";

/// A service client's token.
const SERVICE: &str = "service";

/// The schemes. `api` is where the API is.
pub(crate) fn schemes(api: &str) -> [(&'static str, SecurityScheme); 4] {
    let token = format!("{api}{PREFIX}/auth/token");
    let bearer = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "An access token, as `/auth/login` answers it. It lasts for a quarter of an hour.",
        ));
    let client = Http::builder()
        .scheme(HttpAuthScheme::Basic)
        .description(Some(
            "The id and the secret of a service client, from `/auth/clients`.",
        ));
    let users = Scope::all().filter(|scope| *scope != Scope::TokensIntrospect);
    let login = Password::with_refresh_url(token.clone(), named(users), token.clone());
    let login = OAuth2::with_description(
        [Flow::Password(login)],
        "Name and password, where the configuration allows it (`ALLOW_PASSWORD_GRANT`), as under `cargo dev`. A token \
         has the scopes of the user's role, whatever is chosen here. Leave the fields of the client empty.",
    );
    let service = ClientCredentials::new(token, named(Scope::all()));
    let service = OAuth2::with_description(
        [Flow::ClientCredentials(service)],
        "The token of a service client, with some of the scopes that it was given. It is for services that verify it \
         by the public keys; routes here that are for users refuse it.",
    );
    [
        (BEARER, SecurityScheme::Http(bearer.build())),
        (LOGIN, SecurityScheme::OAuth2(login)),
        (SERVICE, SecurityScheme::OAuth2(service)),
        (CLIENT, SecurityScheme::Http(client.build())),
    ]
}

fn named(scopes: impl Iterator<Item = Scope>) -> Scopes {
    Scopes::from_iter(scopes.map(|scope| (scope.as_str(), allows(scope))))
}

fn allows(scope: Scope) -> &'static str {
    match scope {
        Scope::ItemsRead => "Read items",
        Scope::ItemsWrite => "Create items, and change and delete one's own",
        Scope::ItemsDelete => "Delete items",
        Scope::ItemsManage => "Manage categories",
        Scope::OrdersRead => "Read everybody's orders",
        Scope::OrdersWrite => "Place orders, and pay and cancel one's own",
        Scope::OrdersManage => "Mark everybody's orders as paid, and ship, cancel and refund them",
        Scope::UsersRead => "Read users as a whole",
        Scope::UsersWrite => "Create and change users",
        Scope::UsersDelete => "Delete users",
        Scope::AdminAll => "Everything else that is for administrators",
        Scope::TokensIntrospect => "Ask what a token is worth; for service clients only",
    }
}
