//! `cancel_payment`: sees to it that nobody can pay a cancelled order any more.

use serde_json::{Value, json};
use shared::payments::webhook::Event;
use shared::payments::{self, IntentStatus, OrderRef};
use shared::tasks::Task;
use shared::{App, Result};
use uuid::Uuid;

use crate::again;

/// How long until a payment is looked at again that is on its way and cannot be stopped, in seconds.
const LOOK_AGAIN: i64 = 3_600;

/// If it was paid after all, the money goes back.
pub(crate) async fn run(app: &App, task: Uuid, user_id: Uuid, order_id: Uuid) -> Result<Value> {
    let order = app.store.order(user_id, order_id).await?;
    let Some((order, id)) = order.and_then(|order| {
        let id = order.payment.intent_id.clone()?;
        Some((order, id))
    }) else {
        return Ok(json!({"intent": "none"}));
    };
    let next = Task::CancelPayment { user_id, order_id };
    let intent = payments::stripe(app)?.cancel_intent(&id).await;
    let Some(mut intent) = again::unless_away(app, task, next.clone(), intent).await? else {
        return Ok(json!({"intent": "unknown"}));
    };
    // Whatever somebody may have written on it there.
    intent.order = Some(OrderRef::of(&order));
    Ok(match intent.status {
        IntentStatus::Succeeded => {
            payments::apply(app, &Event::Paid(intent)).await?;
            json!({"intent": "paid"})
        }
        IntentStatus::Processing => {
            again::after(app, task, next, LOOK_AGAIN).await?;
            json!({"intent": "processing"})
        }
        IntentStatus::Open | IntentStatus::Cancelled => json!({"intent": "cancelled"}),
    })
}
