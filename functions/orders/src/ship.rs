//! `POST /orders/{id}/ship`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use shared::auth::Caller;
use shared::http::{Id, Problem, RequestInfo};
use shared::models::{self, Scope};
use shared::{App, Result};

use crate::order::{self, Order, Step};

const SHIP: Step = Step {
    action: "order.shipped",
    next: models::Order::shipped,
    refusal: "Only a processed order whose payment is there can be shipped.",
};

/// Ship an order
///
/// What it has held is not on hand any more. `If-Match` is honoured. Needs the scope `orders:manage`.
#[utoipa::path(
    post, path = "/{id}/ship", tag = "orders", security(("bearer" = ["orders:manage"])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The order, which is shipped now", body = Order),
        (status = 404, description = "No order that the caller may see has this id", body = Problem),
        (status = 409, description = "`illegal_transition`: it is not processed; `busy`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
    )
)]
pub(crate) async fn ship_order(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    caller: Caller,
    Id(id): Id,
) -> Result<Response> {
    let (current, order) = order::find(&app, &caller, id).await?;
    current.require(Scope::OrdersManage)?;
    SHIP.take(&app, &info, &headers, &current, order).await
}
