//! The house itself: its name and its health. Also answers every path that no other function has.

mod health;
mod root;

use axum::routing::get;
use shared::App;
use shared::http::PREFIX;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    let api = OpenApiRouter::new().routes(routes!(health::get_health));
    OpenApiRouter::new()
        .routes(routes!(root::get_root))
        .nest(PREFIX, api)
        // Load balancers and people look at the top. The document names the route once, below the prefix.
        .route("/health", get(health::get_health))
}
