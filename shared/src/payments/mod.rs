//! Payments: what a provider is asked, and what it tells. `manual` has none: an administrator marks an order as paid.
//!
//! An order knows its intent before anybody can pay it, so that whatever is paid finds its order. What the provider tells
//! may come late, twice, or in any order: the state machine of [`Order`] says what it changes. And it may never come: who
//! cancels an order asks the provider before or after, in a task that is repeated until there is an answer.

pub mod stripe;
pub mod webhook;

use std::time::Duration;

use uuid::Uuid;

use crate::App;
use crate::error::{Context, Error, Result};
use crate::models::audit::AuditEntry;
use crate::models::order::{Order, Provider};
pub use stripe::{Intent, IntentStatus, OrderRef, Stripe};
use webhook::Event;

/// How often a change is tried that others get in the way of.
const ATTEMPTS: u32 = 5;

/// The way to Stripe, if its keys are set.
pub fn stripe(app: &App) -> Result<Stripe> {
    let keys = app.config.stripe.as_ref();
    Stripe::new(keys.context("STRIPE_SECRET_KEY is not set")?)
}

/// Makes the intent of a pending order unless it has one, and answers it. 409 `stale` if the order is not pending any
/// more.
///
/// A crash before the intent is noted leaves one that nobody knows, and so nobody can pay; the next request gets the same
/// from Stripe, by its key.
pub async fn open_intent(app: &App, order: &Order) -> Result<Intent> {
    let stripe = stripe(app)?;
    if let Some(id) = &order.payment.intent_id {
        return stripe.intent(id).await;
    }
    let made = stripe.create_intent(order).await?;
    let noted = match order.with_intent(&made.id, app.clock.now()) {
        Some(new) => app.store.note_intent(order, &new).await,
        None => Err(Error::Stale),
    };
    let Err(Error::Stale) = noted else {
        return noted.map(|()| made);
    };
    // It was cancelled meanwhile, or another request was faster.
    let now = app.store.order(order.user_id, order.id).await?;
    let noted = now.and_then(|order| order.payment.intent_id);
    if noted.as_deref() == Some(made.id.as_str()) {
        return Ok(made);
    }
    if let Err(error) = stripe.cancel_intent(&made.id).await {
        // Nobody has its secret, so it will not be paid.
        tracing::warn!(cause = ?error, "an intent that nobody knows could not be cancelled");
    }
    match noted {
        Some(id) => stripe.intent(&id).await,
        None => Err(Error::Stale),
    }
}

/// Applies what the provider has told to the order that it is about. What is about none of our orders is left alone: one
/// account of a provider may serve many. 400 `amount_mismatch` if something else was paid than the order costs.
pub async fn apply(app: &App, event: &Event) -> Result<()> {
    let (order, intent, amount, currency) = match event {
        Event::Paid(intent) => (&intent.order, &intent.id, intent.amount, &intent.currency),
        Event::Refunded(refund) => (
            &refund.order,
            &refund.intent_id,
            refund.amount,
            &refund.currency,
        ),
        Event::Other => return Ok(()),
    };
    let Some(OrderRef { user_id, order_id }) = order else {
        return Ok(());
    };
    for attempt in 0..ATTEMPTS {
        let order = app.store.order(*user_id, *order_id).await?;
        let Some(order) = order.filter(|order| is_paid_by(order, intent)) else {
            tracing::warn!(order.id = %order_id, "a payment of order {order_id} is not known here");
            return Ok(());
        };
        if amount != order.total() || *currency != order.currency {
            tracing::error!(order.id = %order_id, "order {order_id} was paid by another amount");
            return Err(Error::AmountMismatch);
        }
        let now = app.clock.now();
        let (new, action) = match event {
            Event::Paid(_) => (order.paid_at_provider(now), "order.paid"),
            _ => (order.refunded_at_provider(now), "order.refunded"),
        };
        let Some(new) = new else {
            return Ok(());
        };
        let audit = AuditEntry::new(action, None, "").about(order.id);
        match app.store.change_order(&order, &new, &audit).await {
            Err(Error::Stale) => pause(attempt).await,
            changed => return changed,
        }
    }
    Err(Error::Busy)
}

fn is_paid_by(order: &Order, intent: &str) -> bool {
    let Order { payment, .. } = order;
    payment.provider == Provider::Stripe && payment.intent_id.as_deref() == Some(intent)
}

/// Waits before something is tried again that others got in the way of, longer each time.
pub async fn pause(attempt: u32) {
    let most = 10_u64 << attempt;
    tokio::time::sleep(Duration::from_millis(fastrand::u64(most / 2..=most))).await;
}

/// A reference as the provider keeps it for us.
impl OrderRef {
    pub fn of(order: &Order) -> Self {
        let (user_id, order_id): (Uuid, Uuid) = (order.user_id, order.id);
        Self { user_id, order_id }
    }
}
