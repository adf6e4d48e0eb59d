//! The house itself: its name, its health, its settings and its metrics. Also answers every path that no other function
//! has.

mod root;

mod config;
mod health;
mod metrics;

use axum::routing::get;
use shared::App;
use shared::http::PREFIX;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    let health = OpenApiRouter::new()
        .routes(routes!(health::live::get_health))
        .routes(routes!(health::ready::get_database_health))
        .routes(routes!(health::ready::get_queue_health))
        .routes(routes!(health::ready::get_full_health));
    let config = OpenApiRouter::new()
        .routes(routes!(config::list::get_config))
        .routes(routes!(
            config::get::get_setting,
            config::put::put_setting,
            config::delete::delete_setting
        ));
    let api = OpenApiRouter::new()
        .nest("/health", health)
        .nest("/config", config);
    OpenApiRouter::new()
        .routes(routes!(root::get_root))
        .routes(routes!(metrics::get_metrics))
        .nest(PREFIX, api)
        // Load balancers and people look at the top. The document names these routes once, below the prefix.
        .route("/health", get(health::live::get_health))
        .route("/health/db", get(health::ready::get_database_health))
        .route("/health/queue", get(health::ready::get_queue_health))
        .route("/health/full", get(health::ready::get_full_health))
}
