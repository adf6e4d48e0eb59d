//! The OpenAPI document of the whole house, merged from the routes of all functions.
//!
//! The one function that may depend on the others: a route cannot exist without standing here.

mod openapi;

use shared::App;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use openapi::document;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(openapi::get_openapi))
}
