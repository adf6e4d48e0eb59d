//! `GET /health`

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// Liveness
///
/// Answers without asking anything else.
#[utoipa::path(
    get, path = "", tag = "system",
    responses((status = 200, description = "The function runs", body = Health))
)]
pub(crate) async fn get_health() -> Json<Health> {
    Json(Health {
        status: "healthy",
        version: env!("CARGO_PKG_VERSION"),
    })
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    #[schema(example = "healthy")]
    status: &'static str,
    #[schema(example = "0.1.0")]
    version: &'static str,
}
