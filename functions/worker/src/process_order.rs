//! `process_order`: processes an order that was paid in time, and cancels one that was not.

use serde_json::{Value, json};
use shared::models::Order;
use shared::models::audit::AuditEntry;
use shared::models::order::OrderStatus;
use shared::payments::webhook::Event;
use shared::payments::{self, IntentStatus, OrderRef, pause};
use shared::tasks::Task;
use shared::{App, Error, Result};
use uuid::Uuid;

use crate::again;

/// How often a change is tried that others get in the way of.
const ATTEMPTS: u32 = 5;

/// How long until an order is looked at again whose payment is on its way, in seconds.
const LOOK_AGAIN: i64 = 300;

/// Whether an order can still be paid.
enum Payable {
    No,
    /// It was paid just now.
    Paid,
    /// Nobody knows yet; another task will look again.
    Unknown,
}

pub(crate) async fn run(app: &App, task: Uuid, user_id: Uuid, order_id: Uuid) -> Result<Value> {
    for attempt in 0..ATTEMPTS {
        let Some(order) = app.store.order(user_id, order_id).await? else {
            return Ok(json!({"order": "gone"}));
        };
        let now = app.clock.now();
        let (new, action) = match order.status {
            OrderStatus::Paid => (order.processed(now), "order.processed"),
            OrderStatus::Pending => match stop_payment(app, task, &order).await? {
                Payable::No => (order.cancelled(now), "order.expired"),
                Payable::Paid => continue,
                Payable::Unknown => return Ok(json!({"order": order.status})),
            },
            // Somebody was faster.
            status => return Ok(json!({"order": status})),
        };
        let Some(new) = new else {
            return Ok(json!({"order": order.status}));
        };
        let audit = AuditEntry::new(action, None, "").about(order.id);
        match app.store.change_order(&order, &new, &audit).await {
            Ok(()) => return Ok(json!({"order": new.status})),
            Err(Error::Stale) => pause(attempt).await,
            Err(error) => return Err(error),
        }
    }
    Err(Error::Busy)
}

/// Sees to it that nobody can pay an order any more that is about to be cancelled, so that no money comes for what is gone.
async fn stop_payment(app: &App, task: Uuid, order: &Order) -> Result<Payable> {
    let Some(id) = &order.payment.intent_id else {
        return Ok(Payable::No);
    };
    let (user_id, order_id) = (order.user_id, order.id);
    let again = Task::ProcessOrder { user_id, order_id };
    let stripe = payments::stripe(app)?;
    let intent = match stripe.intent(id).await {
        // Not one that is on its way, though Stripe may allow it.
        Ok(intent) if intent.status == IntentStatus::Open => stripe.cancel_intent(id).await,
        read => read,
    };
    let Some(mut intent) = again::unless_away(app, task, again.clone(), intent).await? else {
        return Ok(Payable::Unknown);
    };
    // Whatever somebody may have written on it there.
    intent.order = Some(OrderRef::of(order));
    Ok(match intent.status {
        IntentStatus::Succeeded => {
            payments::apply(app, &Event::Paid(intent)).await?;
            Payable::Paid
        }
        IntentStatus::Processing => {
            again::after(app, task, again, LOOK_AGAIN).await?;
            Payable::Unknown
        }
        IntentStatus::Open | IntentStatus::Cancelled => Payable::No,
    })
}
