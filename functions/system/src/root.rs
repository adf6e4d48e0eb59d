//! `GET /`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::App;
use shared::http::RequestInfo;
use utoipa::ToSchema;

/// Name and links
///
/// Where to begin, and what the house is called.
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
            docs: link("/docs"),
            redoc: link("/redoc"),
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
    #[schema(example = "https://api.example.com/api/v1")]
    api: String,
    #[schema(example = "https://api.example.com/api/v1/health")]
    health: String,
    #[schema(example = "https://api.example.com/api/v1/config")]
    config: String,
    #[schema(example = "https://api.example.com/metrics")]
    metrics: String,
    #[schema(example = "https://api.example.com/openapi.json")]
    openapi: String,
    #[schema(example = "https://api.example.com/docs")]
    docs: String,
    #[schema(example = "https://api.example.com/redoc")]
    redoc: String,
    #[schema(example = "https://api.example.com/.well-known/jwks.json")]
    jwks: String,
}
