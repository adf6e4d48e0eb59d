//! `refund_payment`: gives the money for an order back.

use serde_json::{Value, json};
use shared::models::order::PaymentStatus;
use shared::payments::webhook::{Event, Refund};
use shared::payments::{self, OrderRef};
use shared::tasks::Task;
use shared::{App, Result};
use uuid::Uuid;

use crate::again;

/// Stripe gives nothing back twice; so this may be done again.
pub(crate) async fn run(app: &App, task: Uuid, user_id: Uuid, order_id: Uuid) -> Result<Value> {
    let order = app.store.order(user_id, order_id).await?;
    let order = order.filter(|order| order.payment.status == PaymentStatus::Refunding);
    let Some((order, intent_id)) = order.and_then(|order| {
        let id = order.payment.intent_id.clone()?;
        Some((order, id))
    }) else {
        return Ok(json!({"payment": "not to be refunded"}));
    };
    let refunded = payments::stripe(app)?.refund(&intent_id).await;
    let next = Task::RefundPayment { user_id, order_id };
    if again::unless_away(app, task, next, refunded)
        .await?
        .is_none()
    {
        return Ok(json!({"payment": "unknown"}));
    }
    let refund = Refund {
        intent_id,
        amount: order.total(),
        currency: order.currency.clone(),
        order: Some(OrderRef { user_id, order_id }),
    };
    payments::apply(app, &Event::Refunded(refund)).await?;
    Ok(json!({"payment": "refunded"}))
}
