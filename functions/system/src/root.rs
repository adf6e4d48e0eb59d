//! `GET /`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::App;
use shared::http::RequestInfo;
use utoipa::ToSchema;

/// Name and links
#[utoipa::path(
    get, path = "/", tag = "system",
    responses((status = 200, description = "What this is, and where to go on", body = Root))
)]
pub(crate) async fn get_root(State(app): State<App>, info: RequestInfo) -> Json<Root> {
    let public_url = info.public_url(&app.config);
    let link = |path| format!("{public_url}{path}");
    Json(Root {
        name: "Sheaf",
        version: env!("CARGO_PKG_VERSION"),
        links: Links {
            api: link("/api/v1"),
            health: link("/api/v1/health"),
            config: link("/api/v1/config"),
            metrics: link("/metrics"),
            openapi: link("/openapi.json"),
            jwks: link("/.well-known/jwks.json"),
        },
    })
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Root {
    #[schema(example = "Sheaf")]
    name: &'static str,
    #[schema(example = "0.1.0")]
    version: &'static str,
    links: Links,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Links {
    api: String,
    health: String,
    config: String,
    metrics: String,
    openapi: String,
    jwks: String,
}
