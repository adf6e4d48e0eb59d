//! Orders: placed in one transaction with all that they hold, and moved from one status to the next.
//!
//! An order lies with its user, newest last. What it holds of an item is counted there: placing takes it from what is
//! `available` and adds it to `reserved`. Whatever ends that does so in the transaction that changes the order, whose
//! version is named; so it happens once, however often it is asked for.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::change::{Updated, text};
use super::keys::Key;
use super::listing::{Listing, Sort, readable};
use super::{Change, Item as Attributes, Store, Table, from_item, keys};
use crate::error::{Error, Result};
use crate::events::Event;
use crate::http::{KEPT, Remembered};
use crate::models::audit::AuditEntry;
use crate::models::order::{Order, OrderStatus, StockEffect, stock_effect};
use crate::models::page::{From, Page, Slice, Total};
use crate::models::session::Session;
use crate::models::{Item, User};

/// Which requests a key belongs to.
const PLACING: &str = "POST /orders";

/// The most orders of a user that are looked at for those of a status; the next page goes on behind them.
const MOST_LOOKED_AT: usize = 500;

/// The most orders of a user that are passed over.
const MOST_SKIPPED: u32 = 1_000;

/// An order as it is stored: with the lists that it is in.
#[derive(Serialize)]
struct StoredOrder<'a> {
    #[serde(flatten)]
    order: &'a Order,
    /// The partition of the index `owned`.
    owned_by: String,
    /// The partition of the index `listed`.
    listed_by: String,
}

impl<'a> StoredOrder<'a> {
    fn of(order: &'a Order) -> Self {
        Self {
            order,
            owned_by: keys::orders(),
            listed_by: keys::orders_by_status(order.status),
        }
    }
}

/// An answer that is remembered until a time, in seconds since the epoch.
#[derive(Serialize, Deserialize)]
struct StoredAnswer {
    #[serde(flatten)]
    answer: Remembered,
    ttl: i64,
}

/// What an order is made of.
#[derive(Debug)]
pub struct Basket {
    /// The items that were asked for, in that order.
    pub items: Vec<Option<Item>>,
    /// The answer to an earlier request with the same key.
    pub remembered: Option<Remembered>,
}

/// An order that is to be placed.
#[derive(Debug)]
pub struct Placing<'a> {
    pub order: &'a Order,
    /// The items of its lines, in their order, as they were read.
    pub items: &'a [Item],
    /// The key of the request, and what is answered to it.
    pub answer: Option<(&'a str, &'a Remembered)>,
    /// How many orders of the user may be unpaid, with this one.
    pub most_unpaid: u32,
    pub audit: &'a AuditEntry,
}

/// Which orders a list is of.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrderFilter {
    pub user: Option<Uuid>,
    pub status: Option<OrderStatus>,
}

impl Store {
    /// Who calls, and what their order is made of, in one round trip.
    pub(crate) async fn signed_in_with_basket(
        &self,
        user: Uuid,
        session: Uuid,
        items: &[Uuid],
        key: Option<&str>,
    ) -> Result<(Option<User>, Option<Session>, Basket)> {
        let mut wanted = vec![keys::profile(user), keys::session(user, session)];
        wanted.extend(items.iter().map(|id| keys::item(*id)));
        wanted.extend(key.map(|key| keys::idempotency(user, PLACING, key)));
        let mut read = self.batch_get_app(&wanted).await?.into_iter();
        let profile = read.next().flatten().map(from_item).transpose()?;
        let session = read.next().flatten().map(from_item).transpose()?;
        let found = read.by_ref().take(items.len());
        let items = found.map(|item| item.map(from_item).transpose());
        let basket = Basket {
            items: items.collect::<Result<_>>()?,
            remembered: self.unless_expired(read.next().flatten())?,
        };
        Ok((profile, session, basket))
    }

    /// Who calls, and their own order, in one round trip.
    pub(crate) async fn signed_in_with_order(
        &self,
        user: Uuid,
        session: Uuid,
        order: Uuid,
    ) -> Result<(Option<User>, Option<Session>, Option<Order>)> {
        let (profile, order) = (keys::profile(user), keys::order(user, order));
        let session = keys::session(user, session);
        let wanted = [&profile, &session, &order].map(|key| (Table::App, key));
        let [profile, session, order] = self.batch_get(wanted).await?;
        Ok((
            profile.map(from_item).transpose()?,
            session.map(from_item).transpose()?,
            order.map(from_item).transpose()?,
        ))
    }

    /// What was answered to an order with this key before.
    pub async fn remembered_order(&self, user: Uuid, key: &str) -> Result<Option<Remembered>> {
        let key = keys::idempotency(user, PLACING, key);
        let found = self.get(Table::App, &key).await?;
        self.unless_expired(found)
    }

    fn unless_expired(&self, answer: Option<Attributes>) -> Result<Option<Remembered>> {
        let answer: Option<StoredAnswer> = answer.map(from_item).transpose()?;
        let now = self.clock.seconds();
        Ok(answer.filter(|a| a.ttl > now).map(|a| a.answer))
    }

    /// Places an order: what it holds, the answer that is remembered, the user's count of unpaid orders, its task and the
    /// audit entry, in one transaction.
    ///
    /// [`Error::Stale`] if an item has changed since it was read, there is less of it, or the key was used meanwhile: then
    /// all of that has to be read again. 409 `limit_reached` with too many unpaid orders, or if the account was closed.
    pub async fn place_order(&self, placing: &Placing<'_>) -> Result<()> {
        let Placing { order, audit, .. } = placing;
        let mut transaction = self.transaction();
        // First, because what else is refused may be so because of the request that was here before.
        if let Some((key, answer)) = placing.answer {
            let now = self.clock.seconds();
            let stored = StoredAnswer {
                answer: answer.clone(),
                ttl: now + KEPT,
            };
            let key = keys::idempotency(order.user_id, PLACING, key);
            let is_free = Change::new().if_at_most("ttl", now);
            transaction = transaction
                .put_if(Table::App, &key, &stored, is_free)
                .on_conflict(Error::Stale);
        }
        let one_more = Change::new()
            .add("unpaid_orders", 1)
            .if_below("unpaid_orders", placing.most_unpaid.into())
            // Nothing may come after what erases a user.
            .if_equal("is_active", AttributeValue::Bool(true));
        transaction = transaction
            .update(Table::App, &keys::profile(order.user_id), one_more)
            .on_conflict(Error::LimitReached("unpaid orders"));
        for (line, item) in order.lines.iter().zip(placing.items) {
            let reserve = Change::new()
                .add("reserved", line.quantity)
                .add("available", -line.quantity)
                .add("stock_version", 1)
                // Its price and its status are those that were read.
                .if_equal("version", AttributeValue::N(item.version.to_string()))
                .if_at_least("available", line.quantity);
            transaction = transaction
                .update(Table::App, &keys::item(item.id), reserve)
                .on_conflict(Error::Stale);
        }
        let key = keys::order(order.user_id, order.id);
        transaction
            .create(Table::App, &key, &StoredOrder::of(order))
            .audit(order.user_id, audit)
            .event(Event::OrderPlaced(order))
            .commit()
            .await
    }

    pub async fn order(&self, user: Uuid, id: Uuid) -> Result<Option<Order>> {
        let item = self.get(Table::App, &keys::order(user, id)).await?;
        item.map(from_item).transpose()
    }

    /// Anybody's order, by its id alone: for those who may see all. A moment after it was placed it may not be found yet.
    pub async fn find_order(&self, id: Uuid) -> Result<Option<Order>> {
        let (id, mut listing) = (id.to_string(), OrderFilter::default().listing());
        listing.between = Some((id.clone(), id));
        let (entries, _) = self.keys(&listing, None, 1).await?;
        let Some(key) = entries.first().and_then(Key::of) else {
            return Ok(None);
        };
        let item = self.get(Table::App, &key).await?;
        item.map(from_item).transpose()
    }

    /// A slice of the orders, the newest first: one query of a user's, or a query and a read of everybody's. Of a user's
    /// orders of one status nothing can be skipped.
    pub async fn orders(&self, filter: OrderFilter, slice: &Slice) -> Result<Page<Order>> {
        if let Some(user) = filter.user {
            return self.orders_of(user, filter.status, slice).await;
        }
        let mut page: Page<Order> = self.list(&filter.listing(), slice).await?;
        // The indexes may be a moment behind.
        page.items.retain(|order| filter.wants(order.status));
        Ok(page)
    }

    async fn orders_of(
        &self,
        user: Uuid,
        status: Option<OrderStatus>,
        slice: &Slice,
    ) -> Result<Page<Order>> {
        let listing = Listing {
            index: None,
            partition_key: "pk",
            partitions: vec![keys::profile(user).pk],
            sort: Sort::Text("sk"),
            between: Some((keys::ORDER.to_owned(), keys::AFTER_ORDER.to_owned())),
            newest_first: true,
        };
        let (mut start, skip) = match &slice.from {
            From::Skip(skip) if *skip > 0 && status.is_some() => return Err(Error::SkipTooDeep(0)),
            // They are read whole.
            From::Skip(skip) if *skip > MOST_SKIPPED => {
                return Err(Error::SkipTooDeep(MOST_SKIPPED));
            }
            From::Skip(skip) => (None, *skip as usize),
            From::Cursor(cursor) => (Some(listing.start(cursor)?), 0),
        };
        let end = skip + slice.limit as usize;
        let is_wanted = |order: &Attributes| status.is_none_or(|status| has_status(order, status));
        let (mut found, mut looked) = (Vec::new(), 0);
        let (next, is_whole) = loop {
            // One more tells whether the list goes on.
            let most = u32::try_from(end + 1 - found.len()).unwrap_or(u32::MAX);
            let (orders, is_end) = self.keys(&listing, start, most).await?;
            looked += orders.len();
            let last = orders.last().cloned();
            found.extend(orders.into_iter().filter(is_wanted));
            if found.len() > end {
                break (found.get(end - 1).cloned(), false);
            }
            if is_end {
                break (None, true);
            }
            if looked >= MOST_LOOKED_AT && status.is_some() {
                break (last, false);
            }
            start = last.and_then(|last| listing.after(&last));
        };
        let known = u32::try_from(found.len()).unwrap_or(u32::MAX);
        let items = found.into_iter().skip(skip).take(end - skip);
        Ok(Page {
            items: readable(items.map(Some).collect()),
            total: match (is_whole, &slice.from) {
                (true, From::Skip(_)) => Total::Exactly(known),
                _ => Total::AtLeast(known),
            },
            next: next.map(|last| listing.cursor(&last)).transpose()?,
        })
    }

    /// Changes an order from `old`, as it was read, to `new`, with what it holds and with the tasks that follow. 409 `stale`
    /// if it was changed meanwhile.
    pub async fn change_order(&self, old: &Order, new: &Order, audit: &AuditEntry) -> Result<()> {
        let mut transaction = self
            .transaction()
            .update(
                Table::App,
                &keys::order(new.user_id, new.id),
                changed(old, new)?,
            )
            .on_conflict(Error::Stale);
        let effect = stock_effect(old.status, new.status);
        for line in &new.lines {
            let held = Change::new()
                .add("reserved", -line.quantity)
                .add("stock_version", 1)
                .if_at_least("reserved", line.quantity);
            let change = match effect {
                StockEffect::None => continue,
                StockEffect::Release => held.add("available", line.quantity),
                StockEffect::Ship => held.add("stock", -line.quantity),
            };
            transaction = transaction
                .update(Table::App, &keys::item(line.item_id), change)
                // Its owner may have deleted it.
                .or_without_it();
        }
        let was_unpaid = old.status == OrderStatus::Pending;
        if was_unpaid && new.status != OrderStatus::Pending {
            let one_less = Change::new()
                .add("unpaid_orders", -1)
                .if_above("unpaid_orders", 0);
            transaction = transaction
                .update(Table::App, &keys::profile(new.user_id), one_less)
                // The user may have been erased.
                .or_without_it();
        }
        transaction
            .audit(audit.actor.unwrap_or(new.user_id), audit)
            .event(Event::OrderChanged { old, new })
            .commit()
            .await
    }

    /// Notes the intent that an order has got. 409 `stale` if it was changed meanwhile, or has another.
    pub async fn note_intent(&self, old: &Order, new: &Order) -> Result<()> {
        let key = keys::order(new.user_id, new.id);
        let change = changed(old, new)?;
        let noted = self.update(&key, change, ReturnValue::None, "note a payment intent");
        let found: Order = match noted.await? {
            Updated::Done(_) => return Ok(()),
            Updated::Refused(None) => return Err(Error::Stale),
            Updated::Refused(Some(item)) => from_item(item)?,
        };
        // The answer to our first try may have been lost.
        match found.payment.intent_id == new.payment.intent_id && found.status == new.status {
            true => Ok(()),
            false => Err(Error::Stale),
        }
    }

    /// Removes what a user who is being erased has said about an order. What was ordered stays, as the books need it.
    pub(super) async fn forget_order_note(&self, key: &Key) -> Result<()> {
        let change = Change::new().remove("note").if_exists("note");
        self.update(key, change, ReturnValue::None, "forget a note")
            .await?;
        Ok(())
    }
}

impl OrderFilter {
    fn wants(self, status: OrderStatus) -> bool {
        self.status.is_none_or(|wanted| wanted == status)
    }

    /// Everybody's.
    fn listing(self) -> Listing {
        let (index, partition_key, partition) = match self.status {
            None => ("owned", "owned_by", keys::orders()),
            Some(status) => ("listed", "listed_by", keys::orders_by_status(status)),
        };
        Listing {
            index: Some(index),
            partition_key,
            partitions: vec![partition],
            sort: Sort::Text("id"),
            between: None,
            newest_first: true,
        }
    }
}

fn has_status(order: &Attributes, status: OrderStatus) -> bool {
    order.get("status") == Some(&text(status.as_str()))
}

/// The update of an order that nobody else has changed.
fn changed(old: &Order, new: &Order) -> Result<Change> {
    let version = AttributeValue::N(old.version.to_string());
    let change = Change::between(&StoredOrder::of(old), &StoredOrder::of(new))?;
    Ok(change.if_equal("version", version))
}
