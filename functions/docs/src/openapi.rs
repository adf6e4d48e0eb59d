//! `GET /openapi.json`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use shared::App;
use shared::http::RequestInfo;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Server};
use utoipa_axum::router::OpenApiRouter;

/// OpenAPI
///
/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "docs",
    responses((status = 200, description = "An OpenAPI 3.1 document", body = Object))
)]
pub(crate) async fn get_openapi(State(app): State<App>, info: RequestInfo) -> Response {
    let mut document = document();
    document.servers = Some(vec![Server::new(info.public_url(&app.config))]);
    ([(CACHE_CONTROL, "public, max-age=300")], Json(document)).into_response()
}

/// The routes of all functions.
pub fn document() -> OpenApi {
    let bearer = SecurityScheme::Http(Http::builder().scheme(HttpAuthScheme::Bearer).build());
    let client = SecurityScheme::Http(Http::builder().scheme(HttpAuthScheme::Basic).build());
    let empty = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Sheaf")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some("Errors are problem documents (RFC 9457).")),
        )
        .components(Some(
            ComponentsBuilder::new()
                .security_scheme("bearer", bearer)
                .security_scheme("client", client)
                .build(),
        ))
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
    whole.into_openapi()
}
