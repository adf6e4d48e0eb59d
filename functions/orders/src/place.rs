//! `POST /orders`

use axum::extract::State;
use axum::response::Response;
use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serialize};
use shared::auth::Caller;
use shared::http::{Body, IdempotencyKey, PREFIX, Problem, Remembered, RequestInfo};
use shared::metrics::Count;
use shared::models::audit::AuditEntry;
use shared::models::item::ItemStatus;
use shared::models::order::{self, Note, OrderLine, OrderQuantity, Wish};
use shared::models::{self, Item, Scope};
use shared::payments::pause;
use shared::store::orders::Placing;
use shared::{App, Error, FieldError, Result};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::order::Order;

/// How often an order is tried whose items change at the same time.
const ATTEMPTS: u32 = 5;

/// Place an order
///
/// At the prices of this moment. What is ordered is held until the order is paid and shipped, or cancelled; unpaid, it is
/// cancelled at `due_at`. The same item in several lines is one line. A line's tax is rounded half up to the smallest unit,
/// once for the line. With an `Idempotency-Key`, of which each is remembered for 24 hours, a repeated request is placed
/// once, and gets the first answer again with `Idempotent-Replay: true`. Needs the scope `orders:write`.
#[utoipa::path(
    post, path = "", tag = "orders", security(("bearer" = ["orders:write"])), request_body = NewOrder,
    params(("Idempotency-Key" = Option<String>, Header,
        description = "1 to 255 visible ASCII characters, another for each order that is meant once",
        example = "5f1c2a7e-order-1")),
    responses(
        (status = 201, description = "The new order", body = Order, headers(("Location" = String))),
        (status = 403, description = "`insufficient_scope`; `email_not_verified`", body = Problem),
        (status = 400, description = "`bad_request`: the `Idempotency-Key` is malformed, or missing where it is required", body = Problem),
        (status = 409, description = "`insufficient_inventory`, which names every line that is short; `limit_reached`: too \
            many orders are unpaid; `busy`", body = Problem),
        (status = 422, description = "Every field that is not valid; `unknown_item`; `idempotency_key_reused`: the key was \
            sent with another order", body = Problem),
    )
)]
pub(crate) async fn place_order(
    State(app): State<App>,
    info: RequestInfo,
    caller: Caller,
    key: IdempotencyKey,
    Body(new): Body<NewOrder>,
) -> Result<Response> {
    let wishes = new.wishes()?;
    let ids: Vec<Uuid> = wishes.iter().map(|wish| wish.item_id).collect();
    let ip = info.ip().to_string();
    for attempt in 0..ATTEMPTS {
        let (current, basket) = caller.with_basket(&app, &ids, key.as_deref()).await?;
        current.require_to_write(&app, Scope::OrdersWrite)?;
        if let Some(remembered) = basket.remembered {
            return remembered.replay(&new);
        }
        match place(&app, caller.id(), &ip, &key, &new, &wishes, basket.items).await {
            Ok(placed) => return placed.answer(),
            // An item has changed meanwhile, or the same request was faster.
            Err(Error::Stale) => pause(attempt).await,
            Err(refused) => {
                // What was missing may have gone to the same request, just after its key was looked for.
                let remembered = match key.as_deref() {
                    Some(key) => app.store.remembered_order(caller.id(), key).await?,
                    None => None,
                };
                return remembered.ok_or(refused)?.replay(&new);
            }
        }
    }
    Err(Error::Busy)
}

/// Places an order of these items, as they were read. Answers what the client is told.
async fn place(
    app: &App,
    user: Uuid,
    ip: &str,
    key: &IdempotencyKey,
    new: &NewOrder,
    wishes: &[Wish],
    items: Vec<Option<Item>>,
) -> Result<Remembered> {
    let items = offered(wishes, items)?;
    check_inventory(wishes, &items)?;
    let lines = items.iter().zip(wishes);
    let lines = lines.map(|(item, wish)| OrderLine::of(item, wish.quantity));
    let now = app.clock.now();
    let due_at = now + SignedDuration::from_secs(app.config.order_due_seconds.into());
    let config = &app.config;
    let provider = config.payment_provider;
    let order = models::Order {
        note: new.note.clone(),
        ..models::Order::new(
            user,
            lines.collect(),
            &config.currency,
            provider,
            now,
            due_at,
        )
    };
    let location = format!("{PREFIX}/orders/{}", order.id);
    let answer = Remembered::created(new, &location, &Order::from(order.clone()))?;
    let audit = AuditEntry::new("order.placed", Some(user), ip).about(order.id);
    let placing = Placing {
        order: &order,
        items: &items,
        answer: key.as_deref().map(|key| (key, &answer)),
        most_unpaid: config.max_unpaid_orders,
        audit: &audit,
    };
    app.store.place_order(&placing).await?;
    app.metrics.add(Count::Orders, 1);
    tracing::info!(order.id = %order.id, "placed order {}", order.id);
    Ok(answer)
}

/// The items that were wished for. 422 `unknown_item`, for each that nobody offers.
fn offered(wishes: &[Wish], items: Vec<Option<Item>>) -> Result<Vec<Item>> {
    let is_offered = |item: &Item| item.status == ItemStatus::Active;
    let items: Vec<_> = items.into_iter().map(|i| i.filter(is_offered)).collect();
    let unknown = wishes.iter().zip(&items).filter(|(_, item)| item.is_none());
    let unknown = unknown.map(|(wish, _)| FieldError {
        field: format!("items[{}].id", wish.place),
        message: "must be the id of an active item".to_owned(),
        code: "unknown_item".to_owned(),
    });
    let unknown: Vec<_> = unknown.collect();
    match unknown.is_empty() {
        true => Ok(items.into_iter().flatten().collect()),
        false => Err(Error::Invalid(unknown)),
    }
}

/// 409 `insufficient_inventory`, for each of which there is less than was wished for.
fn check_inventory(wishes: &[Wish], items: &[Item]) -> Result<()> {
    let lines = wishes.iter().zip(items);
    let short = lines.filter(|(wish, item)| item.available() < wish.quantity);
    let short = short.map(|(wish, item)| FieldError {
        field: format!("items[{}].quantity", wish.place),
        message: format!("must be at most {}", item.available().max(0)),
        code: "insufficient_inventory".to_owned(),
    });
    let short: Vec<_> = short.collect();
    match short.is_empty() {
        true => Ok(()),
        false => Err(Error::InsufficientInventory(short)),
    }
}

/// What somebody wants to have.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOrder {
    /// Up to 40 different items.
    #[schema(min_items = 1)]
    items: Vec<NewLine>,
    /// For the seller; an empty one is none.
    #[serde(default, deserialize_with = "note")]
    note: Option<Note>,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewLine {
    /// Of an active item.
    id: Uuid,
    quantity: OrderQuantity,
}

impl NewOrder {
    /// Each item once.
    fn wishes(&self) -> Result<Vec<Wish>> {
        let lines = self.items.iter().map(|line| (line.id, line.quantity));
        order::merge(lines).map_err(|(place, wrong)| {
            let field = match place {
                usize::MAX => "items".to_owned(),
                place => format!("items[{place}].quantity"),
            };
            Error::invalid(&field, wrong.code, wrong.message)
        })
    }
}

/// A note, or none if there is nothing in it.
fn note<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Note>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let text = text.filter(|text| !text.trim().is_empty());
    let parsed = text.map(Note::try_from).transpose();
    parsed.map_err(serde::de::Error::custom)
}
