//! The house itself: its name and its health. Also answers every path that no other function has.

mod health;
mod root;

use shared::App;
use shared::http::PREFIX;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    // Load balancers and people look for the health at the top, clients of the API below its prefix.
    let health = || OpenApiRouter::new().routes(routes!(health::get_health));
    OpenApiRouter::new()
        .routes(routes!(root::get_root))
        .merge(health())
        .nest(PREFIX, health())
}
