//! `POST /orders/{id}/payment`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use serde::Serialize;
use shared::auth::Caller;
use shared::http::{Id, Problem};
use shared::models::Scope;
use shared::models::order::{OrderStatus, PaymentStatus, Provider};
use shared::{App, Error, Result, payments};
use utoipa::ToSchema;

use crate::order::{NOT_FOUND, NOT_UNPAID};

/// Open the payment of an order
///
/// With Stripe, answers what the page needs in which the caller pays; the same again, as often as it is asked for. With
/// `manual` there is nothing to pay here. One's own order only. Needs the scope `orders:write`.
#[utoipa::path(
    post, path = "/{id}/payment", tag = "orders", security(("bearer" = ["orders:write"])),
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The payment, which is open", body = OpenPayment),
        (status = 404, description = "No order of the caller's has this id", body = Problem),
        (status = 409, description = "`illegal_transition`: it is not pending; `stale`", body = Problem),
        (status = 503, description = "The provider does not answer", body = Problem),
    )
)]
pub(crate) async fn open_payment(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<Response> {
    let (current, order) = caller.with_order(&app, id).await?;
    current.require(Scope::OrdersWrite)?;
    let order = order.ok_or(NOT_FOUND)?;
    if order.status != OrderStatus::Pending {
        return Err(Error::IllegalTransition(NOT_UNPAID));
    }
    let secret = match order.payment.provider {
        Provider::Manual => None,
        Provider::Stripe => payments::open_intent(&app, &order).await?.client_secret,
    };
    let payment = OpenPayment {
        status: order.payment.status,
        provider: order.payment.provider,
        client_secret: secret.map(|secret| secret.reveal().to_owned()),
    };
    // Whoever has the secret sees what is paid, and by whom.
    Ok(([(CACHE_CONTROL, "no-store")], Json(payment)).into_response())
}

/// How an order is paid, and what it takes to do so.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenPayment {
    status: PaymentStatus,
    provider: Provider,
    /// What the provider's page or library is given; null with `manual`. Not to be kept or logged.
    #[schema(example = "pi_3Pxyz_secret_Kq1f")]
    client_secret: Option<String>,
}
