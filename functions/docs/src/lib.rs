//! The OpenAPI document of the whole house, merged from the routes of all functions, and the pages that show it.
//!
//! The one function that may depend on the others: a route cannot exist without standing here.

mod examples;
mod openapi;
mod pages;
mod problems;
mod rules;
mod security;

use shared::App;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use openapi::document;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(openapi::get_openapi))
        .routes(routes!(pages::get_docs))
        .routes(routes!(pages::get_docs_file))
        .routes(routes!(pages::get_redoc))
}
