//! `GET /openapi.json`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use shared::App;
use shared::http::RequestInfo;
use utoipa::openapi::tag::Tag;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder, Server};
use utoipa_axum::router::OpenApiRouter;

use crate::{examples, problems, rules, security};

/// OpenAPI
///
/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "docs",
    responses((
        status = 200, description = "An OpenAPI 3.1 document", body = Object,
        example = json!({"openapi": "3.1.0", "info": {"title": "Sheaf", "version": "0.1.0"}, "paths": {}}),
    ))
)]
pub(crate) async fn get_openapi(State(app): State<App>, info: RequestInfo) -> Response {
    let api = info.public_url(&app.config);
    let mut document = assemble(&api, app.config.allow_password_grant);
    document.servers = Some(vec![Server::new(api)]);
    ([(CACHE_CONTROL, "public, max-age=300")], Json(document)).into_response()
}

/// The document of all functions, wherever they are, with all the logins that there can be.
pub fn document() -> OpenApi {
    assemble("", true)
}

/// Merges the routes of all functions. `api` is where they are, and `login` whether the page can log in by itself.
fn assemble(api: &str, login: bool) -> OpenApi {
    let schemes = security::schemes(api).into_iter();
    let schemes = schemes.filter(|(name, _)| login || *name != security::LOGIN);
    let components = schemes.fold(ComponentsBuilder::new(), |components, (name, scheme)| {
        components.security_scheme(name, scheme)
    });
    let mut license = License::new(env!("CARGO_PKG_LICENSE"));
    license.identifier = Some(env!("CARGO_PKG_LICENSE").to_owned());
    let empty = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Sheaf")
                .version(env!("CARGO_PKG_VERSION"))
                .license(Some(license))
                .description(Some(introduction())),
        )
        .tags(Some(TAGS.map(|(name, description)| {
            Tag::builder()
                .name(name)
                .description(Some(description))
                .build()
        })))
        .components(Some(components.build()))
        .build();
    let functions: [OpenApiRouter<App>; 8] = [
        auth::router(),
        users::router(),
        items::router(),
        orders::router(),
        files::router(),
        tasks::router(),
        system::router(),
        crate::router(),
    ];
    let whole = OpenApiRouter::with_openapi(empty);
    let whole = functions.into_iter().fold(whole, OpenApiRouter::merge);
    let mut document = whole.into_openapi();
    rules::apply(&mut document, login);
    examples::fill(&mut document);
    document
}

/// In the order in which one would read them.
const TAGS: [(&str, &str); 11] = [
    (
        "auth",
        "Registering, logging in and out, sessions, passwords and the ways back to them, logins with OpenID providers, \
         service clients and their tokens (OAuth 2.0), public keys.",
    ),
    (
        "users",
        "One's own profile, preferences and activity; the administration of users, their audit trail, the search.",
    ),
    (
        "items",
        "The catalogue: what is offered, and how much of it there is.",
    ),
    ("categories", "The tree that items are sorted into."),
    ("tags", "The words that items are found by."),
    (
        "orders",
        "Placing, paying, cancelling, shipping and refunding orders.",
    ),
    (
        "payments",
        "Where the payment provider tells what was paid.",
    ),
    (
        "files",
        "Uploads and images: avatars, images of items, files of one's own.",
    ),
    (
        "tasks",
        "The state of background tasks; retrying and cancelling them.",
    ),
    ("system", "The front door, and whether the house is well."),
    ("docs", "This document, and pages that show it."),
];

/// What holds for all of it.
fn introduction() -> String {
    format!(
        "A serverless backend. Bodies are JSON in UTF-8, and unknown fields are refused. Ids are UUIDs, times are RFC \
         3339 in UTC, money is a number with at most two decimal places. `PUT` and `PATCH` are the same partial update.\n\
         \n\
         Lists take `limit`, and `cursor` or `skip`, and answer `items` with `next_cursor`.\n\
         \n\
         Errors are problem documents (RFC 9457); branch on `code`. Only the OAuth endpoints have OAuth's own form.\n\
         \n\
         {}",
        problems::table()
    )
}
