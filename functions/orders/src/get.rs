//! `GET /orders/{id}`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use shared::auth::Caller;
use shared::http::{Id, Problem, etag};
use shared::{App, Result};

use crate::order::{self, Order};

/// An order
///
/// One's own, or anybody's with the scope `orders:read`. With an `ETag`; `If-None-Match` is answered with 304, so that
/// waiting for a payment costs little.
#[utoipa::path(
    get, path = "/{id}", tag = "orders", security(("bearer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The order", body = Order),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "No order that the caller may see has this id", body = Problem),
    )
)]
pub(crate) async fn get_order(
    State(app): State<App>,
    headers: HeaderMap,
    caller: Caller,
    Id(id): Id,
) -> Result<Response> {
    let (_, order) = order::find(&app, &caller, id).await?;
    let version = order.version;
    Ok(etag::respond(&headers, version, Order::from(order)))
}
