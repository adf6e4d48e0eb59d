//! An order on the wire, whose it is to see, and how it gets from one status to the next.

use axum::response::Response;
use http::HeaderMap;
use jiff::Timestamp;
use serde::Serialize;
use shared::auth::{Caller, CurrentUser};
use shared::http::{RequestInfo, etag};
use shared::models::audit::AuditEntry;
use shared::models::item::Title;
use shared::models::money::{Money, Percent};
use shared::models::order::{Note, OrderStatus, PaymentStatus, Provider};
use shared::models::{self, Scope};
use shared::payments::pause;
use shared::{App, Error, Result};
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) const NOT_FOUND: Error = Error::NotFound("order of this id");

/// Why nobody can pay an order.
pub(crate) const NOT_UNPAID: &str = "Only an unpaid order can be paid.";

/// How often a step is tried that others get in the way of.
const ATTEMPTS: u32 = 5;

/// Something that somebody has ordered.
#[derive(Serialize, ToSchema)]
pub(crate) struct Order {
    id: Uuid,
    /// Who has placed it.
    user_id: Uuid,
    status: OrderStatus,
    /// Each item once.
    items: Vec<OrderLine>,
    /// Without tax.
    #[schema(value_type = f64, example = 39.98)]
    subtotal: Money,
    #[schema(value_type = f64, example = 7.6)]
    tax_total: Money,
    /// With tax: the sum of the lines.
    #[schema(value_type = f64, example = 47.58)]
    total: Money,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    note: Option<Note>,
    payment: Payment,
    /// When it is processed if it is paid by then, and cancelled if not.
    due_at: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// An item as it was when it was ordered, and how many of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrderLine {
    item_id: Uuid,
    title: Title,
    #[schema(example = 2)]
    quantity: i64,
    /// What one costs without tax.
    #[schema(value_type = f64, example = 19.99)]
    unit_price: Money,
    /// Percent.
    tax: Percent,
    /// What all cost with tax, half up to minor units.
    #[schema(value_type = f64, example = 47.58)]
    line_total: Money,
}

/// How an order is paid, and how far that has come.
#[derive(Serialize, ToSchema)]
pub(crate) struct Payment {
    status: PaymentStatus,
    provider: Provider,
}

impl From<models::Order> for Order {
    fn from(order: models::Order) -> Self {
        Self {
            subtotal: order.subtotal(),
            tax_total: order.tax_total(),
            total: order.total(),
            id: order.id,
            user_id: order.user_id,
            status: order.status,
            items: order.lines.into_iter().map(OrderLine::from).collect(),
            currency: order.currency,
            note: order.note,
            payment: Payment {
                status: order.payment.status,
                provider: order.payment.provider,
            },
            due_at: order.due_at,
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

impl From<models::order::OrderLine> for OrderLine {
    fn from(line: models::order::OrderLine) -> Self {
        Self {
            line_total: line.total(),
            item_id: line.item_id,
            title: line.title,
            quantity: line.quantity,
            unit_price: line.unit_price,
            tax: line.tax,
        }
    }
}

/// The caller, and the order of this id if they may see it: their own in one round trip, and with `orders:read` or
/// `orders:manage` anybody's. 404 for all others.
pub(crate) async fn find(
    app: &App,
    caller: &Caller,
    id: Uuid,
) -> Result<(CurrentUser, models::Order)> {
    let (current, own) = caller.with_order(app, id).await?;
    let sees_all = |scope| current.require(scope).is_ok();
    let order = match own {
        Some(order) => Some(order),
        None if sees_all(Scope::OrdersRead) || sees_all(Scope::OrdersManage) => {
            app.store.find_order(id).await?
        }
        None => None,
    };
    Ok((current, order.ok_or(NOT_FOUND)?))
}

/// A step from one status to another.
pub(crate) struct Step {
    /// As the audit trail names it.
    pub(crate) action: &'static str,
    /// The order after it; `None` if it does not begin where the order is.
    pub(crate) next: fn(&models::Order, Timestamp) -> Option<models::Order>,
    /// What the caller is told then.
    pub(crate) refusal: &'static str,
}

impl Step {
    /// Takes the step, and answers the order after it. If others change the order at the same time, it is decided anew
    /// from what they have made of it: 409 `illegal_transition` if the step does not begin there, 412 if `If-Match`
    /// does not name that, 409 `busy` after a few times.
    pub(crate) async fn take(
        &self,
        app: &App,
        info: &RequestInfo,
        headers: &HeaderMap,
        current: &CurrentUser,
        mut order: models::Order,
    ) -> Result<Response> {
        let (actor, ip) = (Some(current.user.id), info.ip().to_string());
        let audit = AuditEntry::new(self.action, actor, &ip).about(order.id);
        for attempt in 0..ATTEMPTS {
            etag::check_if_match(headers, order.version)?;
            let next = (self.next)(&order, app.clock.now());
            let next = next.ok_or(Error::IllegalTransition(self.refusal))?;
            match app.store.change_order(&order, &next, &audit).await {
                Ok(()) => {
                    let version = next.version;
                    let none = HeaderMap::new();
                    return Ok(etag::respond(&none, version, Order::from(next)));
                }
                Err(Error::Stale) => pause(attempt).await,
                Err(error) => return Err(error),
            }
            let changed = app.store.order(order.user_id, order.id).await?;
            order = changed.ok_or(NOT_FOUND)?;
        }
        Err(Error::Busy)
    }
}
