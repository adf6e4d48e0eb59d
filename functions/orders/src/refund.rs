//! `POST /orders/{id}/refund`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use shared::auth::Caller;
use shared::http::{Id, Problem, RequestInfo};
use shared::models::{self, Scope};
use shared::{App, Result};

use crate::order::{self, Order, Step};

const REFUND: Step = Step {
    action: "order.refunded",
    next: models::Order::refunded,
    refusal: "Only a paid or processed order can be refunded.",
};

/// Refund an order
///
/// One that is paid and not shipped, as a whole. What it has held can be ordered again. What Stripe has taken goes back
/// a few seconds later; until then the payment is `refunding`. `If-Match` is honoured. Needs the scope `orders:manage`.
#[utoipa::path(
    post, path = "/{id}/refund", tag = "orders", security(("bearer" = ["orders:manage"])),
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The order, which is refunded now", body = Order),
        (status = 404, description = "No order that the caller may see has this id", body = Problem),
        (status = 409, description = "`illegal_transition`: it is neither paid nor processed; `busy`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
    )
)]
pub(crate) async fn refund_order(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    caller: Caller,
    Id(id): Id,
) -> Result<Response> {
    let (current, order) = order::find(&app, &caller, id).await?;
    current.require(Scope::OrdersManage)?;
    REFUND.take(&app, &info, &headers, &current, order).await
}
