//! `POST /orders/{id}/pay`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use shared::auth::Caller;
use shared::http::{Id, Problem, RequestInfo};
use shared::models::order::Provider;
use shared::models::{self, Scope};
use shared::{App, Error, Result};

use crate::order::{self, NOT_UNPAID, Order, Step};

const PAY: Step = Step {
    action: "order.paid",
    next: models::Order::paid,
    refusal: NOT_UNPAID,
};

/// Mark an order as paid
///
/// One of the provider `manual`, whose money has come in another way. Of the others the provider tells. `If-Match` is
/// honoured. Needs the scope `orders:manage`.
#[utoipa::path(
    post, path = "/{id}/pay", tag = "orders", security(("bearer" = ["orders:manage"])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The order, which is paid now", body = Order),
        (status = 404, description = "No order that the caller may see has this id", body = Problem),
        (status = 409, description = "`illegal_transition`: not pending, or not of `manual`; `busy`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
    )
)]
pub(crate) async fn pay_order(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    caller: Caller,
    Id(id): Id,
) -> Result<Response> {
    let (current, order) = order::find(&app, &caller, id).await?;
    current.require(Scope::OrdersManage)?;
    match order.payment.provider {
        Provider::Manual => PAY.take(&app, &info, &headers, &current, order).await,
        Provider::Stripe => Err(Error::IllegalTransition(
            "The payment provider tells when this order is paid.",
        )),
    }
}
