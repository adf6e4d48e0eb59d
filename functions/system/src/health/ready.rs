//! `GET /health/db`, `/health/queue` and `/health/full`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::future::join;
use http::StatusCode;
use serde::Serialize;
use shared::App;
use shared::ready::Ready;
use utoipa::ToSchema;

/// Readiness of the database
///
/// Reads one item, or answers what another has found within the last second. Waits for two seconds at most.
#[utoipa::path(
    get, path = "/db", tag = "system",
    responses(
        (status = 200, description = "It answers", body = Readiness),
        (status = 503, description = "It does not answer in time: `degraded`", body = Readiness),
    )
)]
pub(crate) async fn get_database_health(State(app): State<App>) -> Response {
    respond([("database", app.database_ready().await)])
}

/// Readiness of the task queue
///
/// Asks the queue about itself, or answers what another has found within the last second. Waits for two seconds at most.
#[utoipa::path(
    get, path = "/queue", tag = "system",
    responses(
        (status = 200, description = "It answers", body = Readiness),
        (status = 503, description = "It does not answer in time: `degraded`", body = Readiness),
    )
)]
pub(crate) async fn get_queue_health(State(app): State<App>) -> Response {
    respond([("queue", app.queue_ready().await)])
}

/// Readiness
///
/// Of all that requests need, asked at the same time. Waits for two seconds at most.
#[utoipa::path(
    get, path = "/full", tag = "system",
    responses(
        (status = 200, description = "All of it answers", body = Readiness),
        (status = 503, description = "Something does not answer in time: `degraded`", body = Readiness),
    )
)]
pub(crate) async fn get_full_health(State(app): State<App>) -> Response {
    let (database, queue) = join(app.database_ready(), app.queue_ready()).await;
    respond([("database", database), ("queue", queue)])
}

/// Whether the services behind answer. Why one does not is in the log.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `healthy`, or `degraded` if one of them is.
    #[schema(example = "healthy")]
    status: &'static str,
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// By name: `database`, `queue`.
    checks: BTreeMap<&'static str, Check>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Check {
    /// `healthy` or `degraded`.
    #[schema(example = "healthy")]
    status: &'static str,
    /// How long its answer took.
    #[schema(example = 1.25)]
    duration_ms: f64,
}

fn respond<const N: usize>(asked: [(&'static str, Ready); N]) -> Response {
    let is_ready = asked.iter().all(|(_, ready)| ready.is_ready);
    let readiness = Readiness {
        status: word(is_ready),
        version: env!("CARGO_PKG_VERSION"),
        checks: asked.map(|(name, ready)| (name, Check::of(ready))).into(),
    };
    let status = match is_ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(readiness)).into_response()
}

impl Check {
    fn of(ready: Ready) -> Self {
        Self {
            status: word(ready.is_ready),
            duration_ms: (ready.spent.as_secs_f64() * 100_000.0).round() / 100.0,
        }
    }
}

fn word(is_ready: bool) -> &'static str {
    match is_ready {
        true => "healthy",
        false => "degraded",
    }
}
