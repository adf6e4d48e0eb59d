//! `POST /orders/{id}/cancel`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use shared::auth::Caller;
use shared::http::{Id, Problem, RequestInfo};
use shared::models::{self, Scope};
use shared::{App, Result};

use crate::order::{self, Order, Step};

const CANCEL: Step = Step {
    action: "order.cancelled",
    next: models::Order::cancelled,
    refusal: "Only an unpaid order can be cancelled.",
};

/// Cancel an order
///
/// One that is not paid. What it has held can be ordered again. A payment that comes all the same is given back.
/// `If-Match` is honoured. Needs the scope `orders:write`, for somebody else's order `orders:manage`.
#[utoipa::path(
    post, path = "/{id}/cancel", tag = "orders", security(("bearer" = ["orders:write"])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The order, which is cancelled now", body = Order),
        (status = 404, description = "No order that the caller may see has this id", body = Problem),
        (status = 409, description = "`illegal_transition`: it is not pending; `busy`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
    )
)]
pub(crate) async fn cancel_order(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    caller: Caller,
    Id(id): Id,
) -> Result<Response> {
    let (current, order) = order::find(&app, &caller, id).await?;
    current.require(match order.user_id == current.user.id {
        true => Scope::OrdersWrite,
        false => Scope::OrdersManage,
    })?;
    CANCEL.take(&app, &info, &headers, &current, order).await
}
