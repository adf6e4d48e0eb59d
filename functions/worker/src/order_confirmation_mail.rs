//! `order_confirmation_mail`: says what was ordered, once it is processed.

use serde_json::Value;
use shared::models::Order;
use shared::{App, Result};
use uuid::Uuid;

use crate::mail::letters::{self, Letter, OrderConfirmation};
use crate::{Worker, links, mail};

pub(crate) async fn run(
    worker: &Worker,
    task: Uuid,
    user_id: Uuid,
    order_id: Uuid,
) -> Result<Value> {
    let Some(user) = worker.app.store.user(user_id).await? else {
        return Ok(mail::not_sent("the user is gone"));
    };
    // One who was deleted wants no more mail; who may not log in still has bought something.
    if user.is_deleted() {
        return Ok(mail::not_sent("the user is deleted"));
    }
    let Some(order) = worker.app.store.order(user_id, order_id).await? else {
        return Ok(mail::not_sent("the order is gone"));
    };
    let Some(envelope) = worker.mailer.to(task, &user.email)? else {
        return Ok(mail::not_sent("MAIL_URL is not set"));
    };
    let name = user.greeting().to_owned();
    let letter = Letter::OrderConfirmation(confirmation(&worker.app, name, &order)?);
    envelope.send(&letter).await
}

fn confirmation(app: &App, name: String, order: &Order) -> Result<OrderConfirmation> {
    let url = links::public_url(app)?;
    let lines = order.lines.iter().map(|line| letters::OrderLine {
        title: line.title.to_string(),
        quantity: line.quantity,
        total: line.total().to_string(),
    });
    Ok(OrderConfirmation {
        name,
        order_id: order.id.to_string(),
        lines: lines.collect(),
        subtotal: order.subtotal().to_string(),
        tax: order.tax_total().to_string(),
        total: order.total().to_string(),
        currency: order.currency.clone(),
        link: format!("{url}/orders/{}", order.id),
    })
}
