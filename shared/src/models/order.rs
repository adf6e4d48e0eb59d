//! An order: what somebody has bought and at which prices, how far it has come, and how it is paid.
//!
//! What an order may become, and what becomes of its payment and of the stock that it holds, is decided here and
//! nowhere else.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::item::{Item, Title};
use super::money::{self, Money, Percent};
use super::text::{Invalid, check_length, clean, parsed_text};
use crate::ids;

/// The most different items of an order. All of them are changed in one transaction.
pub const MOST_LINES: usize = 40;

/// The most of an item in an order.
pub const MOST_QUANTITY: i64 = 1_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    pub id: Uuid,
    pub user_id: Uuid,
    pub status: OrderStatus,
    /// Each item once.
    pub lines: Vec<OrderLine>,
    /// Of all its amounts, as ISO 4217 names it.
    pub currency: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    pub payment: Payment,
    /// Unpaid until then, it is cancelled.
    pub due_at: Timestamp,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Counts the changes; a writer names the version it has read, and loses if it is not the newest.
    pub version: u64,
}

impl Order {
    /// A new, pending order without a note.
    pub fn new(
        user: Uuid,
        lines: Vec<OrderLine>,
        currency: &str,
        provider: Provider,
        now: Timestamp,
        due_at: Timestamp,
    ) -> Self {
        Self {
            id: ids::new(),
            user_id: user,
            status: OrderStatus::Pending,
            lines,
            currency: currency.to_owned(),
            note: None,
            payment: Payment {
                provider,
                status: PaymentStatus::Pending,
                intent_id: None,
            },
            due_at,
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }

    /// What it costs without tax.
    pub fn subtotal(&self) -> Money {
        sum(self.lines.iter().map(OrderLine::subtotal))
    }

    /// The tax, so that it and the subtotal make the total.
    pub fn tax_total(&self) -> Money {
        Money::from_minor(self.total().minor() - self.subtotal().minor())
    }

    /// What it costs: the sum of what the lines show, and so never rounded again.
    pub fn total(&self) -> Money {
        sum(self.lines.iter().map(OrderLine::total))
    }

    /// Whether it holds stock, which nobody else can order.
    pub fn is_held(&self) -> bool {
        self.status.is_held()
    }

    // Each of these answers the order as it is afterwards, or `None` if that is not allowed.

    /// Pending → paid.
    pub fn paid(&self, now: Timestamp) -> Option<Self> {
        let is_allowed = self.status == OrderStatus::Pending;
        is_allowed.then(|| self.moved(OrderStatus::Paid, PaymentStatus::Paid, now))
    }

    /// Paid → processed.
    pub fn processed(&self, now: Timestamp) -> Option<Self> {
        let is_allowed = self.status == OrderStatus::Paid;
        is_allowed.then(|| self.moved(OrderStatus::Processed, self.payment.status, now))
    }

    /// Processed → shipped, but never what the money went back for.
    pub fn shipped(&self, now: Timestamp) -> Option<Self> {
        let is_paid = self.payment.status == PaymentStatus::Paid;
        let is_allowed = self.status == OrderStatus::Processed && is_paid;
        is_allowed.then(|| self.moved(OrderStatus::Shipped, PaymentStatus::Paid, now))
    }

    /// Pending → cancelled. Its intent, if it has one, may still be paid until the provider knows.
    pub fn cancelled(&self, now: Timestamp) -> Option<Self> {
        let is_allowed = self.status == OrderStatus::Pending;
        is_allowed.then(|| self.moved(OrderStatus::Cancelled, PaymentStatus::Cancelled, now))
    }

    /// Paid or processed → refunded. What a provider has got, it must give back first.
    pub fn refunded(&self, now: Timestamp) -> Option<Self> {
        let is_allowed = matches!(self.status, OrderStatus::Paid | OrderStatus::Processed);
        let payment = match self.payment.intent_id {
            Some(_) => PaymentStatus::Refunding,
            None => PaymentStatus::Refunded,
        };
        is_allowed.then(|| self.moved(OrderStatus::Refunded, payment, now))
    }

    /// A pending order has got its intent; it never gets another.
    pub fn with_intent(&self, id: &str, now: Timestamp) -> Option<Self> {
        let is_pending = self.status == OrderStatus::Pending;
        let is_allowed = is_pending && self.payment.intent_id.is_none();
        is_allowed.then(|| {
            let mut noted = self.moved(self.status, self.payment.status, now);
            noted.payment.intent_id = Some(id.to_owned());
            noted
        })
    }

    // What the provider tells comes late, twice and in any order; `None` says that nothing changes.

    /// The provider has got the money. A cancelled order stays so, and the money goes back.
    pub fn paid_at_provider(&self, now: Timestamp) -> Option<Self> {
        match (self.status, self.payment.status) {
            (OrderStatus::Cancelled, PaymentStatus::Cancelled) => {
                Some(self.moved(OrderStatus::Cancelled, PaymentStatus::Refunding, now))
            }
            _ => self.paid(now),
        }
    }

    /// The provider has given all of the money back, whoever asked for that. A shipped order stays so.
    pub fn refunded_at_provider(&self, now: Timestamp) -> Option<Self> {
        let status = match self.status {
            // That it was paid is told later, and then changes nothing.
            OrderStatus::Pending => OrderStatus::Cancelled,
            OrderStatus::Paid | OrderStatus::Processed => OrderStatus::Refunded,
            OrderStatus::Shipped | OrderStatus::Cancelled | OrderStatus::Refunded => self.status,
        };
        let is_news = self.payment.status != PaymentStatus::Refunded;
        is_news.then(|| self.moved(status, PaymentStatus::Refunded, now))
    }

    fn moved(&self, status: OrderStatus, payment: PaymentStatus, now: Timestamp) -> Self {
        let mut moved = self.clone();
        moved.status = status;
        moved.payment.status = payment;
        moved.updated_at = now;
        moved.version += 1;
        moved
    }
}

/// An item as it was when it was ordered. What is changed of it later changes no order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderLine {
    pub item_id: Uuid,
    pub title: Title,
    pub quantity: i64,
    /// Without tax.
    #[serde(with = "money::minor")]
    pub unit_price: Money,
    #[serde(with = "money::hundredths")]
    pub tax: Percent,
    /// With tax. Kept and not worked out again, so that a rule of rounding that changes one day changes no order.
    #[serde(with = "money::minor")]
    total: Money,
}

impl OrderLine {
    /// So many of an item, at what it costs now.
    pub fn of(item: &Item, quantity: i64) -> Self {
        let title = item.title.clone();
        Self::new(item.id, title, quantity, item.current_price(), item.tax)
    }

    /// What it costs with tax is rounded half up to minor units: once for the line, and not for each piece.
    pub fn new(
        item_id: Uuid,
        title: Title,
        quantity: i64,
        unit_price: Money,
        tax: Percent,
    ) -> Self {
        let subtotal = Money::from_minor(unit_price.minor() * quantity);
        Self {
            item_id,
            title,
            quantity,
            unit_price,
            tax,
            total: money::total(subtotal, tax),
        }
    }

    /// What it costs without tax.
    pub fn subtotal(&self) -> Money {
        Money::from_minor(self.unit_price.minor() * self.quantity)
    }

    /// What it costs with tax.
    pub fn total(&self) -> Money {
        self.total
    }
}

/// How an order is paid, and whether it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub provider: Provider,
    pub status: PaymentStatus,
    /// What the provider calls it, once it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent_id: Option<String>,
}

/// Who takes the money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Nobody: somebody who may manage orders says that it is there.
    #[default]
    Manual,
    Stripe,
}

impl Provider {
    pub const ALL: [Self; 2] = [Self::Manual, Self::Stripe];

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == name)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Stripe => "stripe",
        }
    }
}

/// Where the money is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PaymentStatus {
    Pending,
    Paid,
    /// Not to be paid any more.
    Cancelled,
    /// On its way back.
    Refunding,
    Refunded,
}

impl PaymentStatus {
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Paid,
        Self::Cancelled,
        Self::Refunding,
        Self::Refunded,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Refunding => "refunding",
            Self::Refunded => "refunded",
        }
    }
}

/// How far an order has come.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    /// Not paid yet.
    Pending,
    Paid,
    /// Confirmed, and to be shipped.
    Processed,
    Shipped,
    /// Before it was paid.
    Cancelled,
    /// Before it was shipped.
    Refunded,
}

impl OrderStatus {
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Paid,
        Self::Processed,
        Self::Shipped,
        Self::Cancelled,
        Self::Refunded,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Processed => "processed",
            Self::Shipped => "shipped",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
        }
    }

    fn is_held(self) -> bool {
        match self {
            Self::Pending | Self::Paid | Self::Processed => true,
            Self::Shipped | Self::Cancelled | Self::Refunded => false,
        }
    }
}

/// What becomes of the stock that an order holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockEffect {
    None,
    /// Others can order it again.
    Release,
    /// It has left the house.
    Ship,
}

/// What a change from one status to another does to the stock: something once only, when it stops being held.
pub fn stock_effect(old: OrderStatus, new: OrderStatus) -> StockEffect {
    match (old.is_held(), new.is_held()) {
        (true, false) if new == OrderStatus::Shipped => StockEffect::Ship,
        (true, false) => StockEffect::Release,
        _ => StockEffect::None,
    }
}

/// What a buyer says about an order: 1 to 1,000 characters, which may be several lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 1000, example = "Please ring twice.")]
pub struct Note(String);

parsed_text!(Note);

impl Note {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = clean(text);
        // Of the control characters, those that lay out a text are no harm in it.
        check_length(&text.replace(['\n', '\r', '\t'], " "), 1, 1_000)?;
        Ok(Self(text))
    }
}

/// How many of an item are ordered: a whole number from 1 to 1,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "i64")]
#[schema(value_type = i64, minimum = 1, maximum = 1000, example = 2)]
pub struct OrderQuantity(i64);

impl OrderQuantity {
    pub fn parse(number: i64) -> Result<Self, Invalid> {
        match (1..=MOST_QUANTITY).contains(&number) {
            true => Ok(Self(number)),
            false => {
                let message = format!("must be from 1 to {MOST_QUANTITY}");
                Err(Invalid::new("out_of_range", message))
            }
        }
    }

    pub const fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for OrderQuantity {
    type Error = Invalid;

    fn try_from(number: i64) -> Result<Self, Invalid> {
        Self::parse(number)
    }
}

/// So many of an item as a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    pub item_id: Uuid,
    pub quantity: i64,
    /// Where the request names the item first.
    pub place: usize,
}

/// The wishes of a request, each item once, in the order in which they are named first.
///
/// Refused with a place of the request: the first one that names the item, or `usize::MAX` for the request as a whole.
pub fn merge(
    wishes: impl IntoIterator<Item = (Uuid, OrderQuantity)>,
) -> Result<Vec<Wish>, (usize, Invalid)> {
    let mut merged: Vec<Wish> = Vec::new();
    for (place, (item_id, quantity)) in wishes.into_iter().enumerate() {
        let quantity = quantity.get();
        if let Some(wish) = merged.iter_mut().find(|wish| wish.item_id == item_id) {
            wish.quantity += quantity;
            if wish.quantity > MOST_QUANTITY {
                let message = format!("must be at most {MOST_QUANTITY} in all lines of the item");
                return Err((wish.place, Invalid::new("out_of_range", message)));
            }
            continue;
        }
        if merged.len() == MOST_LINES {
            let message = format!("must be at most {MOST_LINES} different items");
            return Err((usize::MAX, Invalid::new("too_many", message)));
        }
        merged.push(Wish {
            item_id,
            quantity,
            place,
        });
    }
    match merged.is_empty() {
        true => Err((usize::MAX, Invalid::new("too_short", "must not be empty"))),
        false => Ok(merged),
    }
}

/// The largest order is a thousand times below the largest number, so that nothing here can overflow.
fn sum(amounts: impl Iterator<Item = Money>) -> Money {
    Money::from_minor(amounts.map(Money::minor).sum())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fastrand::Rng;
    use serde_json::json;

    use super::*;
    use crate::models::item::Description;
    use crate::models::money::Price;
    use crate::models::text::tests::check;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const LATER: Timestamp = Timestamp::constant(60, 0);
    const DUE: Timestamp = Timestamp::constant(300, 0);

    /// A state or what happens, and the state after it.
    type Step = (&'static str, &'static str);

    type Method = fn(&Order, Timestamp) -> Option<Order>;

    const METHODS: [(&str, Method); 8] = [
        ("paid", Order::paid),
        ("processed", Order::processed),
        ("shipped", Order::shipped),
        ("cancelled", Order::cancelled),
        ("refunded", Order::refunded),
        ("with_intent", |order, now| order.with_intent("pi_2", now)),
        ("paid_at_provider", Order::paid_at_provider),
        ("refunded_at_provider", Order::refunded_at_provider),
    ];

    fn method(name: &str) -> Method {
        let mut methods = METHODS.into_iter();
        methods.find(|(other, _)| *other == name).unwrap().1
    }

    fn title() -> Title {
        Title::parse("Wool blanket").unwrap()
    }

    /// Of a price in minor units and a tax in hundredths of a percent.
    fn line(price: i64, quantity: i64, tax: u16) -> OrderLine {
        let (price, tax) = (
            Money::from_minor(price),
            Percent::from_hundredths(tax).unwrap(),
        );
        OrderLine::new(ids::new(), title(), quantity, price, tax)
    }

    fn order(lines: Vec<OrderLine>) -> Order {
        Order::new(Uuid::nil(), lines, "EUR", Provider::Manual, NOW, DUE)
    }

    /// An order of each kind of payment: by hand, and with a provider before and after it was asked.
    fn kinds() -> [Order; 3] {
        let by_hand = order(vec![line(1_999, 3, 1_900)]);
        let mut unasked = by_hand.clone();
        unasked.payment.provider = Provider::Stripe;
        let mut asked = unasked.clone();
        asked.payment.intent_id = Some("pi_1".to_owned());
        [by_hand, unasked, asked]
    }

    /// Whether the payment is as that of an order of this status can be.
    fn agrees(order: &Order) -> bool {
        use PaymentStatus::*;
        let possible: &[PaymentStatus] = match order.status {
            OrderStatus::Pending => &[Pending],
            OrderStatus::Paid | OrderStatus::Processed => &[Paid],
            OrderStatus::Shipped => &[Paid, Refunded],
            OrderStatus::Cancelled => &[Cancelled, Refunding, Refunded],
            OrderStatus::Refunded => &[Refunding, Refunded],
        };
        possible.contains(&order.payment.status)
    }

    /// This order in every state that it can be in.
    fn in_all_states(order: &Order) -> Vec<Order> {
        let mut states = Vec::new();
        for status in OrderStatus::ALL {
            for payment in PaymentStatus::ALL {
                let mut state = order.clone();
                state.status = status;
                state.payment.status = payment;
                states.push(state);
            }
        }
        states.retain(agrees);
        states
    }

    /// The status of an order, and that of its payment.
    fn state(order: &Order) -> String {
        let payment = order.payment.status.as_str();
        format!("{}/{payment}", order.status.as_str())
    }

    #[test]
    fn each_method_does_what_it_says_and_nothing_else() {
        for order in kinds() {
            let is_asked = order.payment.intent_id.is_some();
            let refunded = match is_asked {
                true => "refunded/refunding",
                false => "refunded/refunded",
            };
            let noted: &[Step] = match is_asked {
                true => &[],
                false => &[("pending/pending", "pending/pending")],
            };
            // What each makes of which state. It is not allowed in any other.
            let cases: [(&str, &[Step]); 8] = [
                ("paid", &[("pending/pending", "paid/paid")]),
                ("processed", &[("paid/paid", "processed/paid")]),
                ("shipped", &[("processed/paid", "shipped/paid")]),
                ("cancelled", &[("pending/pending", "cancelled/cancelled")]),
                (
                    "refunded",
                    &[("paid/paid", refunded), ("processed/paid", refunded)],
                ),
                ("with_intent", noted),
                (
                    "paid_at_provider",
                    &[
                        ("pending/pending", "paid/paid"),
                        ("cancelled/cancelled", "cancelled/refunding"),
                    ],
                ),
                (
                    "refunded_at_provider",
                    &[
                        ("pending/pending", "cancelled/refunded"),
                        ("paid/paid", "refunded/refunded"),
                        ("processed/paid", "refunded/refunded"),
                        ("shipped/paid", "shipped/refunded"),
                        ("cancelled/cancelled", "cancelled/refunded"),
                        ("cancelled/refunding", "cancelled/refunded"),
                        ("refunded/refunding", "refunded/refunded"),
                    ],
                ),
            ];
            assert_eq!(cases.map(|(name, _)| name), METHODS.map(|(name, _)| name));
            for (name, moves) in cases {
                for before in in_all_states(&order) {
                    let from = state(&before);
                    let expected = moves.iter().find(|(state, _)| *state == from);
                    let found = method(name)(&before, LATER);
                    assert_eq!(
                        found.as_ref().map(state).as_deref(),
                        expected.map(|(_, to)| *to),
                        "{name} of {from}, {:?}",
                        order.payment
                    );
                }
            }
        }
    }

    #[test]
    fn a_method_changes_status_payment_and_version_only() {
        for order in kinds() {
            for (name, method) in METHODS {
                for before in in_all_states(&order) {
                    let Some(after) = method(&before, LATER) else {
                        continue;
                    };
                    let intent = match name {
                        "with_intent" => Some("pi_2"),
                        _ => before.payment.intent_id.as_deref(),
                    };
                    assert_eq!(after.payment.intent_id.as_deref(), intent, "{name}");
                    assert_eq!(after.payment.provider, before.payment.provider, "{name}");
                    assert_eq!(after.updated_at, LATER, "{name}");
                    assert_eq!(after.version, before.version + 1, "{name}");
                    let undone = Order {
                        status: before.status,
                        payment: before.payment.clone(),
                        updated_at: before.updated_at,
                        version: before.version,
                        ..after
                    };
                    assert_eq!(undone, before, "{name}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_shipped_that_is_not_paid() {
        let [mut order, ..] = kinds();
        order.status = OrderStatus::Processed;
        for status in PaymentStatus::ALL {
            order.payment.status = status;
            let is_shipped = order.shipped(LATER).is_some();
            assert_eq!(is_shipped, status == PaymentStatus::Paid, "{status:?}");
        }
    }

    /// Each step with the state that it leads to, or with "-" if nothing changes.
    #[test]
    fn what_the_provider_tells_counts_once_whenever_it_does() {
        let [.., asked] = kinds();
        let stories: [&[Step]; 8] = [
            &[
                ("paid_at_provider", "paid/paid"),
                ("paid_at_provider", "-"),
                ("processed", "processed/paid"),
                ("paid_at_provider", "-"),
                ("shipped", "shipped/paid"),
                ("paid_at_provider", "-"),
            ],
            // Refunded, and only then paid.
            &[
                ("refunded_at_provider", "cancelled/refunded"),
                ("paid_at_provider", "-"),
                ("refunded_at_provider", "-"),
            ],
            // Paid while it was cancelled.
            &[
                ("cancelled", "cancelled/cancelled"),
                ("paid_at_provider", "cancelled/refunding"),
                ("paid_at_provider", "-"),
                ("refunded_at_provider", "cancelled/refunded"),
                ("refunded_at_provider", "-"),
                ("paid_at_provider", "-"),
            ],
            // The same, and refunded before we have heard that it was paid.
            &[
                ("cancelled", "cancelled/cancelled"),
                ("refunded_at_provider", "cancelled/refunded"),
                ("paid_at_provider", "-"),
            ],
            // Refunded by us.
            &[
                ("paid_at_provider", "paid/paid"),
                ("refunded", "refunded/refunding"),
                ("paid_at_provider", "-"),
                ("refunded", "-"),
                ("refunded_at_provider", "refunded/refunded"),
                ("refunded_at_provider", "-"),
                ("paid_at_provider", "-"),
            ],
            // Refunded by hand there, before and after it was shipped.
            &[
                ("paid_at_provider", "paid/paid"),
                ("processed", "processed/paid"),
                ("refunded_at_provider", "refunded/refunded"),
                ("shipped", "-"),
                ("refunded", "-"),
            ],
            &[
                ("paid_at_provider", "paid/paid"),
                ("processed", "processed/paid"),
                ("shipped", "shipped/paid"),
                ("refunded_at_provider", "shipped/refunded"),
                ("refunded_at_provider", "-"),
                ("paid_at_provider", "-"),
            ],
            // Paid, and too late to be cancelled.
            &[
                ("paid_at_provider", "paid/paid"),
                ("cancelled", "-"),
                ("with_intent", "-"),
            ],
        ];
        for story in stories {
            let mut order = asked.clone();
            for (name, expected) in story {
                let from = state(&order);
                let found = method(name)(&order, LATER);
                let to = found.as_ref().map_or("-".to_owned(), state);
                assert_eq!(to, *expected, "{name} of {from} in {story:?}");
                order = found.unwrap_or(order);
            }
        }
    }

    /// Whatever happens, and in whatever order.
    #[test]
    fn payment_and_status_agree_and_stock_is_moved_once() {
        let mut random = Rng::with_seed(1);
        let mut ends = BTreeMap::new();
        for _ in 0..5_000 {
            let mut order = random.choice(kinds()).unwrap();
            let (mut changes, mut is_held) = (0, true);
            for _ in 0..random.usize(1..20) {
                let (name, method) = random.choice(METHODS).unwrap();
                let Some(new) = method(&order, LATER) else {
                    continue;
                };
                let told = format!("{name} of {}", state(&order));
                assert!(agrees(&new), "{told}: {}", state(&new));
                let is_back = order.payment.status == PaymentStatus::Refunded;
                assert!(!is_back, "{told}: the money is back, nothing can follow");
                if stock_effect(order.status, new.status) != StockEffect::None {
                    assert!(is_held, "{told}: the stock was moved before");
                    is_held = false;
                }
                assert_eq!(new.is_held(), is_held, "{told}");
                changes += 1;
                order = new;
            }
            assert_eq!(order.version, 1 + changes);
            *ends.entry(state(&order)).or_insert(0) += 1;
        }
        // They have been everywhere.
        assert_eq!(ends.len(), in_all_states(&kinds()[0]).len(), "{ends:?}");
    }

    #[test]
    fn stock_goes_back_or_leaves_when_it_stops_being_held() {
        // A row for each old status, with a letter for each new one: released, shipped, or as it was.
        let rows = ["...srr", "...srr", "...srr", "......", "......", "......"];
        for (old, row) in OrderStatus::ALL.into_iter().zip(rows) {
            for (new, letter) in OrderStatus::ALL.into_iter().zip(row.chars()) {
                let expected = match letter {
                    'r' => StockEffect::Release,
                    's' => StockEffect::Ship,
                    _ => StockEffect::None,
                };
                assert_eq!(stock_effect(old, new), expected, "{old:?} to {new:?}");
            }
        }
    }

    #[test]
    fn statuses_are_called_the_same_everywhere() {
        for status in OrderStatus::ALL {
            assert_eq!(json!(status), json!(status.as_str()));
        }
        for status in PaymentStatus::ALL {
            assert_eq!(json!(status), json!(status.as_str()));
        }
        for provider in Provider::ALL {
            assert_eq!(json!(provider), json!(provider.as_str()));
            assert_eq!(Provider::parse(provider.as_str()), Some(provider));
        }
        for unknown in ["", "Stripe", "manual ", "paypal"] {
            assert_eq!(Provider::parse(unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn a_line_is_the_item_as_it_is_now() {
        let mut item = Item::new(Uuid::nil(), title(), Price::parse_major(49.9).unwrap());
        item.description = Some(Description::parse("Undyed").unwrap());
        item.tax = Percent::parse(19.0).unwrap();
        let expected = |item: &Item, price| OrderLine {
            item_id: item.id,
            ..line(price, 3, 1_900)
        };
        assert_eq!(OrderLine::of(&item, 3), expected(&item, 4_990));
        item.discount_price = Some(Price::parse_major(19.99).unwrap());
        assert_eq!(OrderLine::of(&item, 3), expected(&item, 1_999));
        assert_eq!(OrderLine::of(&item, 1).total(), item.total_price());
    }

    /// Price, quantity and tax.
    type LineNumbers = (i64, i64, u16);

    #[test]
    fn totals_are_rounded_once_for_each_line() {
        // Each case is lines with their subtotal, tax and total.
        let cases: [(&[LineNumbers], [i64; 3]); 12] = [
            (&[], [0, 0, 0]),
            // 5.5: half up. Twice, it is twice too much; in one line, it is exact.
            (&[(5, 1, 1_000)], [5, 1, 6]),
            (&[(5, 1, 1_000), (5, 1, 1_000)], [10, 2, 12]),
            (&[(5, 2, 1_000)], [10, 1, 11]),
            // 7136.43, and not three times 2379
            (&[(1_999, 3, 1_900)], [5_997, 1_139, 7_136]),
            (&[(1_999, 1, 10_000)], [1_999, 1_999, 3_998]),
            (&[(1_999, 1_000, 0)], [1_999_000, 0, 1_999_000]),
            // 1.4999, 1.5, 1000.5 and 2499.9975
            (&[(1, 1, 4_999)], [1, 0, 1]),
            (&[(1, 1, 5_000)], [1, 1, 2]),
            (&[(1, 1_000, 5)], [1_000, 1, 1_001]),
            (&[(333, 7, 725)], [2_331, 169, 2_500]),
            (
                &[(1_999, 3, 1_900), (5, 1, 1_000), (250, 4, 700), (100, 1, 0)],
                [7_102, 1_210, 8_312],
            ),
        ];
        for (lines, expected) in cases {
            let lines_of = lines.iter().map(|(price, n, tax)| line(*price, *n, *tax));
            let order = order(lines_of.collect());
            let found = [order.subtotal(), order.tax_total(), order.total()];
            assert_eq!(found.map(Money::minor), expected, "for {lines:?}");
        }
    }

    fn any_line(random: &mut Rng) -> OrderLine {
        // As many small numbers as large ones.
        let most_price = 10_i64.pow(random.u32(1..=11)) - 1;
        let most_quantity = 10_i64.pow(random.u32(0..=3));
        let common_tax = random.choice([0, 700, 725, 1_000, 1_900, 5_000, 10_000]);
        let tax = match random.bool() {
            true => common_tax.unwrap(),
            false => random.u16(0..=10_000),
        };
        let price = random.i64(1..=most_price);
        line(price, random.i64(1..=most_quantity), tax)
    }

    fn any_order(random: &mut Rng) -> Order {
        let count = random.usize(1..=MOST_LINES);
        order((0..count).map(|_| any_line(random)).collect())
    }

    /// What a line costs exactly, in ten-thousandths of a minor unit.
    fn exact(line: &OrderLine) -> i128 {
        let net = i128::from(line.unit_price.minor()) * i128::from(line.quantity);
        net * i128::from(10_000 + u32::from(line.tax.hundredths()))
    }

    /// How much an amount is above what is exact.
    fn excess(amount: Money, exact: i128) -> i128 {
        i128::from(amount.minor()) * 10_000 - exact
    }

    /// An amount as a client reads it, to two decimal places.
    fn from_the_wire(amount: Money) -> i64 {
        let json = serde_json::to_string(&amount).unwrap();
        let number: f64 = serde_json::from_str(&json).unwrap();
        format!("{number:.2}").replace('.', "").parse().unwrap()
    }

    #[test]
    fn totals_are_exact_to_half_a_minor_unit_for_each_line() {
        let mut random = Rng::with_seed(2);
        for _ in 0..5_000 {
            let order = any_order(&mut random);
            for line in &order.lines {
                let excess = excess(line.total(), exact(line));
                assert!((-4_999..=5_000).contains(&excess), "{line:?}");
            }
            let (subtotal, tax, total) = (order.subtotal(), order.tax_total(), order.total());
            assert_eq!(total.minor(), subtotal.minor() + tax.minor(), "{order:?}");
            assert!((0..=subtotal.minor()).contains(&tax.minor()), "{order:?}");
            let most = 5_000 * order.lines.len() as i128;
            let excess = excess(total, order.lines.iter().map(exact).sum());
            assert!((-most..=most).contains(&excess), "{order:?}");
            for amount in [subtotal, tax, total] {
                assert_eq!(from_the_wire(amount), amount.minor(), "{order:?}");
            }
        }
    }

    #[test]
    fn splitting_a_line_costs_at_most_half_a_minor_unit_for_each_part() {
        let mut random = Rng::with_seed(3);
        for _ in 0..5_000 {
            let whole = any_line(&mut random);
            let (mut parts, mut left) = (Vec::new(), whole.quantity);
            while left > 0 {
                let is_last = parts.len() == MOST_LINES - 1;
                let quantity = if is_last { left } else { random.i64(1..=left) };
                let (price, tax) = (whole.unit_price, whole.tax);
                parts.push(OrderLine::new(whole.item_id, title(), quantity, price, tax));
                left -= quantity;
            }
            let most = 5_000 * parts.len() as i128;
            let split = order(parts);
            assert_eq!(split.subtotal(), whole.subtotal(), "{split:?}");
            let excess = excess(split.total(), exact(&whole));
            assert!((-most..=most).contains(&excess), "{split:?}");
        }
    }

    #[test]
    fn the_largest_order_is_exact() {
        let largest = line(99_999_999_999, MOST_QUANTITY, 10_000);
        assert_eq!(largest.total().minor(), 199_999_999_998_000);
        let order = order(vec![largest; MOST_LINES]);
        let (net, total) = (3_999_999_999_960_000, 7_999_999_999_920_000);
        for (amount, minor, json) in [
            (order.subtotal(), net, "39999999999600"),
            (order.tax_total(), net, "39999999999600"),
            (order.total(), total, "79999999999200"),
        ] {
            assert_eq!(amount.minor(), minor);
            assert_eq!(serde_json::to_string(&amount).unwrap(), json);
            assert_eq!(from_the_wire(amount), minor);
        }
    }

    /// Above 2^46, which is 70 million millions, floats are further apart than minor units are.
    #[test]
    fn every_amount_below_2_to_the_46th_comes_back_from_the_wire() {
        let most = (1_i64 << 46) * 100;
        let mut random = Rng::with_seed(4);
        for _ in 0..20_000 {
            let far = 10_i64.pow(random.u32(1..=15));
            for minor in [random.i64(0..far), most - random.i64(0..far)] {
                let found = from_the_wire(Money::from_minor(minor));
                assert_eq!(found, minor, "for {minor}");
            }
        }
    }

    #[test]
    fn notes_may_have_lines() {
        let (longest, long) = ("ä".repeat(1_000), "ä".repeat(1_001));
        check(
            Note::parse,
            &[
                (
                    " Ring twice.\r\n\tThen wait.\n",
                    Ok("Ring twice.\r\n\tThen wait."),
                ),
                ("Cafe\u{301}", Ok("Café")),
                (&longest, Ok(longest.as_str())),
                (&long, Err("too_long")),
                (" \n ", Err("too_short")),
                ("a\u{7}b", Err("invalid_character")),
            ],
        );
    }

    #[test]
    fn quantities() {
        for (json, expected) in [
            ("1", Ok(1)),
            ("1000", Ok(MOST_QUANTITY)),
            ("0", Err("[out_of_range]")),
            ("1001", Err("[out_of_range]")),
            ("-1", Err("[out_of_range]")),
            ("9223372036854775807", Err("[out_of_range]")),
            ("1.5", Err("invalid type: floating point")),
            ("\"1\"", Err("invalid type: string")),
            ("null", Err("invalid type: null")),
        ] {
            match (serde_json::from_str::<OrderQuantity>(json), expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(found.get(), expected, "for {json}");
                    assert_eq!(json!(found), json!(expected), "for {json}");
                }
                (Err(error), Err(expected)) => {
                    let error = error.to_string();
                    assert!(error.starts_with(expected), "for {json}: {error}");
                }
                (found, _) => panic!("for {json}: {found:?}"),
            }
        }
    }

    fn quantity(number: i64) -> OrderQuantity {
        OrderQuantity::parse(number).unwrap()
    }

    /// An item, its quantity, and its place.
    type Merged = (u128, i64, usize);

    /// Each wish is an item and a quantity.
    fn check_merged(wishes: &[(u128, i64)], expected: Result<&[Merged], (usize, &str)>) {
        let wished = |(id, number): &(u128, i64)| (Uuid::from_u128(*id), quantity(*number));
        let told = |wish: &Wish| (wish.item_id.as_u128(), wish.quantity, wish.place);
        let found = match merge(wishes.iter().map(wished)) {
            Ok(merged) => Ok(merged.iter().map(told).collect::<Vec<_>>()),
            Err((place, wrong)) => Err((place, wrong.code)),
        };
        assert_eq!(found, expected.map(<[_]>::to_vec), "for {wishes:?}");
    }

    #[test]
    fn wishes_for_the_same_item_are_one() {
        check_merged(&[(7, 3)], Ok(&[(7, 3, 0)]));
        check_merged(
            &[(7, 1), (9, 2), (7, 3), (8, 4), (9, 5)],
            Ok(&[(7, 4, 0), (9, 7, 1), (8, 4, 3)]),
        );
        check_merged(
            &[(9, 1), (7, 600), (7, 400)],
            Ok(&[(9, 1, 0), (7, 1_000, 1)]),
        );
        check_merged(&[(9, 1), (7, 600), (7, 401)], Err((1, "out_of_range")));
        check_merged(&[(7, 1_000), (9, 1), (7, 1_000)], Err((0, "out_of_range")));
        check_merged(&[], Err((usize::MAX, "too_short")));

        let different = |count: u128| (0..count).map(|id| (id, 1)).collect::<Vec<(u128, i64)>>();
        let merged = |each: i64| -> Vec<Merged> {
            let places = 0..MOST_LINES;
            places.map(|id| (id as u128, each, id)).collect()
        };
        let most = different(MOST_LINES as u128);
        check_merged(&most, Ok(&merged(1)));
        check_merged(&[most.clone(), most].concat(), Ok(&merged(2)));
        let too_many = different(MOST_LINES as u128 + 1);
        check_merged(&too_many, Err((usize::MAX, "too_many")));
    }

    #[test]
    fn merging_keeps_the_sums_and_the_order_of_first_places() {
        let mut random = Rng::with_seed(5);
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..5_000 {
            let items = random.u128(1..=50);
            let most = 10_i64.pow(random.u32(0..=3));
            let count = random.usize(1..=80);
            let wishes: Vec<(Uuid, i64)> = (0..count)
                .map(|_| (Uuid::from_u128(random.u128(..items)), random.i64(1..=most)))
                .collect();
            // The sum of each item, and its first place.
            let mut expected: BTreeMap<Uuid, (i64, usize)> = BTreeMap::new();
            for (place, (id, number)) in wishes.iter().enumerate() {
                let (sum, _) = expected.entry(*id).or_insert((0, place));
                *sum += number;
            }
            let found = merge(wishes.iter().map(|(id, number)| (*id, quantity(*number))));
            match found {
                Ok(merged) => {
                    accepted += 1;
                    assert!(merged.is_sorted_by_key(|wish| wish.place), "{wishes:?}");
                    let merged = merged.iter().map(|w| (w.item_id, (w.quantity, w.place)));
                    let merged: Vec<_> = merged.collect();
                    assert_eq!(merged.len(), expected.len(), "{wishes:?}");
                    assert_eq!(BTreeMap::from_iter(merged), expected, "{wishes:?}");
                    let is_small = expected.values().all(|(sum, _)| *sum <= MOST_QUANTITY);
                    assert!(is_small && expected.len() <= MOST_LINES, "{wishes:?}");
                }
                Err((usize::MAX, wrong)) => {
                    refused += 1;
                    assert_eq!(wrong.code, "too_many");
                    assert!(expected.len() > MOST_LINES, "{wishes:?}");
                }
                Err((place, wrong)) => {
                    refused += 1;
                    assert_eq!(wrong.code, "out_of_range");
                    let (sum, first) = expected[&wishes[place].0];
                    assert!(sum > MOST_QUANTITY && first == place, "{wishes:?}");
                }
            }
        }
        assert!(accepted > 500 && refused > 500, "{accepted} and {refused}");
    }

    #[test]
    fn what_is_stored_is_in_minor_units_and_comes_back() {
        let mut order = order(vec![line(1_999, 3, 725), line(5, MOST_QUANTITY, 0)]);
        let check = |order: &Order| {
            let json = serde_json::to_value(order).unwrap();
            let again: Order = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(again, *order);
            let item: serde_dynamo::Item = serde_dynamo::to_item(order).unwrap();
            let again: Order = serde_dynamo::from_item(item).unwrap();
            assert_eq!(again, *order);
            json
        };
        let stored = check(&order);
        assert_eq!(stored.get("note"), None);
        assert_eq!(
            stored["payment"],
            json!({"provider": "manual", "status": "pending"})
        );
        for (name, expected) in [
            ("unit_price", 1_999),
            ("quantity", 3),
            ("tax", 725),
            ("total", 6_432),
        ] {
            assert_eq!(stored["lines"][0][name], expected, "{name}");
        }

        order.note = Some(Note::parse("Ring twice.\nThen wait.").unwrap());
        order.payment.provider = Provider::Stripe;
        let noted = order.with_intent("pi_1", LATER).unwrap();
        for order in in_all_states(&noted) {
            let stored = check(&order);
            assert_eq!(stored["payment"]["intent_id"], "pi_1");
        }
    }
}
