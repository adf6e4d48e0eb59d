//! `POST /payments/webhook`

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use serde::Serialize;
use shared::http::Problem;
use shared::http::body::LIMIT;
use shared::payments::{self, webhook};
use shared::{App, Error, Result};
use utoipa::ToSchema;

/// Receive a payment event
///
/// Where Stripe tells what was paid and what was refunded. Its signature proves it, for five minutes. An event may come
/// late, twice, or before an earlier one; what is about none of our orders is taken and left alone. Not limited,
/// because each must arrive.
#[utoipa::path(
    post, path = "/webhook", tag = "payments",
    params(("Stripe-Signature" = String, Header, description = "The time, and what signs it and the body",
        example = "t=1795255200,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd")),
    request_body(
        content = Object, content_type = "application/json", description = "An event, as Stripe documents it",
        example = json!({"id": "evt_3Pxyz", "type": "payment_intent.succeeded", "data": {"object": {"id": "pi_3Pxyz"}}}),
    ),
    responses(
        (status = 200, description = "The event need not be sent again", body = Received),
        (status = 400, description = "`invalid_signature`, `malformed_body` or `amount_mismatch`", body = Problem),
        (status = 409, description = "`busy`: send it again", body = Problem),
        (status = 413, description = "Larger than 1 MiB", body = Problem),
    )
)]
pub(crate) async fn receive_payment_event(
    State(app): State<App>,
    request: Request,
) -> Result<Json<Received>> {
    // Nobody can have signed anything.
    let keys = app.config.stripe.as_ref().ok_or(Error::InvalidSignature)?;
    let (parts, body) = request.into_parts();
    // What was signed are these bytes, whatever they are said to be.
    let body = to_bytes(body, LIMIT).await;
    let body = body.map_err(|_| Error::BodyTooLarge(LIMIT))?;
    let header = parts.headers.get("stripe-signature");
    let header = header.and_then(|header| header.to_str().ok());
    let event = webhook::read(&keys.webhook_secret, header, &body, app.clock.seconds())?;
    payments::apply(&app, &event).await?;
    Ok(Json(Received { received: true }))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Received {
    #[schema(example = true)]
    received: bool,
}
