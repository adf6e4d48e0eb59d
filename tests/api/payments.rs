//! How orders are paid with a provider: what the buyer needs for it, what the provider tells, late, twice and in any
//! order, what it is asked when nobody tells anything, and how the money goes back.

use std::collections::BTreeMap;

use futures_util::future::{join, join_all};
use ring::hmac;
use serde_json::{Value, json};
use shared::store::tasks::GRACE;
use tests::faults::{Fault, Faults, Schedule};
use tests::{Actor, Answer, Stage, StripeServer};
use tokio::sync::watch;
use uuid::Uuid;

use crate::books::check_books;
use crate::items::sell;
use crate::orders::{
    CONFIRMATION, DUE, ORDERS, act, again, on_hand, order_path, place, read, state, stored,
    when_due, wish,
};
use crate::people::{ME, Post, all_of, delete, members, settle, work};

const WEBHOOK: &str = "/api/v1/payments/webhook";
const JSON: Option<&str> = Some("application/json");

const SUCCEEDED: &str = "payment_intent.succeeded";
const REFUNDED: &str = "charge.refunded";

/// What the order of each story costs, in minor units: 2 for 19.99 and 19 percent.
const TOTAL: i64 = 4_758;

/// A bundle whose orders are paid with a provider of its own.
struct Shop {
    post: Post,
    stripe: StripeServer,
}

/// Somebody has ordered two of ten.
struct Sale<'a> {
    /// Who sells it too.
    admin: Actor<'a>,
    buyer: Actor<'a>,
    item: String,
    order: String,
}

impl Shop {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(variables: &[(&str, &str)]) -> Self {
        let stripe = StripeServer::start().await;
        let own = stripe.variables();
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        let variables: Vec<(&str, &str)> = own.chain(variables.iter().copied()).collect();
        let post = Post::with(&variables).await;
        Self { post, stripe }
    }

    fn stage(&self) -> &Stage {
        &self.post.stage
    }

    async fn sale(&self) -> Sale<'_> {
        let (admin, buyer) = (self.stage().admin().await, self.stage().user().await);
        let fields = json!({"price": 19.99, "tax": 19, "stock": 10});
        let item = sell(&admin, "Lamp", fields).await;
        let order = place(&buyer, &[(&item, 2)]).await;
        // The mails of those who have registered.
        self.post.new_mails().await;
        Sale {
            admin,
            buyer,
            item,
            order,
        }
    }

    /// Opens the payment. Answers its intent, and the secret with which it is paid.
    async fn open(&self, sale: &Sale<'_>) -> (String, String) {
        let opened = act(&sale.buyer, &sale.order, "payment").await.expect(200);
        let secret = opened.text("client_secret");
        let mut intents = self.stripe.intents().into_iter();
        let intent = intents.find(|intent| intent.client_secret == secret);
        (intent.unwrap().id, secret)
    }

    /// The same, and the buyer pays, which nobody has told us yet.
    async fn pay(&self, sale: &Sale<'_>) -> String {
        let (intent, secret) = self.open(sale).await;
        assert!(self.stripe.pay(&secret));
        intent
    }

    /// The same, and we are told.
    async fn pay_and_tell(&self, sale: &Sale<'_>) -> String {
        let intent = self.pay(sale).await;
        self.tell(SUCCEEDED, &intent).await.expect(200);
        sale.is(["paid", "paid"], [10, 2, 8]).await;
        intent
    }

    /// The provider tells something of an intent.
    async fn tell(&self, kind: &str, intent: &str) -> Answer {
        self.send(&self.stripe.event(kind, intent)).await
    }

    /// The provider sends an event.
    async fn send(&self, event: &[u8]) -> Answer {
        let now = self.stage().app.clock.seconds();
        let signature = self.stripe.signature(event, now);
        deliver(self.stage(), event, Some(&signature)).await
    }

    /// How much of an intent has gone back, and in how many parts.
    fn refunds(&self, intent: &str) -> (i64, usize) {
        let intent = self.stripe.intent(intent);
        (intent.refunded, intent.refunds)
    }

    /// Takes the provider away, as long as the switch is on.
    fn away(&self) -> watch::Sender<bool> {
        let (switch, on) = watch::channel(true);
        let schedule = Schedule::Service("Stripe", Fault::Unreachable, on);
        self.stripe.set_faults(Some(Faults::new(schedule)));
        switch
    }

    /// How many mails have come that say what was ordered.
    async fn confirmations(&self) -> usize {
        let mails = self.post.new_mails().await;
        let of_orders = mails.iter().filter(|mail| mail.subject == CONFIRMATION);
        of_orders.count()
    }
}

impl Sale<'_> {
    /// Asserts the status of the order and of its payment, and what there is of the item.
    async fn is(&self, status: [&str; 2], stock: [i64; 3]) {
        assert_eq!(state(&self.admin, &self.order).await, status);
        assert_eq!(on_hand(&self.admin, &self.item).await, stock);
    }

    async fn cancel(&self) -> Answer {
        act(&self.buyer, &self.order, "cancel").await
    }
}

/// An event as it comes, with this signature.
async fn deliver(stage: &Stage, event: &[u8], signature: Option<&str>) -> Answer {
    let provider = match signature {
        Some(signature) => stage.anon().with_header("stripe-signature", signature),
        None => stage.anon(),
    };
    provider.send("POST", WEBHOOK, JSON, event).await
}

/// What signs a body, as the provider's documentation has it.
fn v1(secret: &str, event: &[u8], at: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = [format!("{at}.").as_bytes(), event].concat();
    let tag = hmac::sign(&key, &signed);
    let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// An event with something else in what it is about.
fn edited(event: &[u8], edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut event: Value = serde_json::from_slice(event).unwrap();
    edit(&mut event["data"]["object"]);
    event.to_string().into_bytes()
}

#[tokio::test]
async fn an_order_is_paid_through_the_provider() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    // Who only orders is not known to the provider.
    assert_eq!(shop.stripe.requests(), 0);
    let placed = read(&sale.buyer, &sale.order).await;
    let payment = json!({"status": "pending", "provider": "stripe"});
    assert_eq!(placed["payment"], payment);

    let opened = act(&sale.buyer, &sale.order, "payment").await.expect(200);
    let payment = opened.json();
    assert_eq!(members(&payment), ["client_secret", "provider", "status"]);
    assert_eq!(payment["status"], "pending");
    assert_eq!(payment["provider"], "stripe");
    let secret = opened.text("client_secret");
    // The same again, also to many who ask at once.
    let asked = (0..5).map(|_| act(&sale.buyer, &sale.order, "payment"));
    let mut answers = join_all(asked).await;
    answers.push(act(&sale.buyer, &sale.order, "payment").await);
    for again in answers {
        assert_eq!(again.expect(200).text("client_secret"), secret);
    }
    let intents = shop.stripe.intents();
    let [intent] = &intents[..] else {
        panic!("{} intents", intents.len())
    };
    assert_eq!(intent.client_secret, secret);
    assert_eq!((intent.amount, intent.currency.as_str()), (TOTAL, "eur"));
    assert_eq!(intent.order_id, Some(sale.order.parse().unwrap()));
    sale.is(["pending", "pending"], [10, 2, 8]).await;

    // It is paid when we are told so.
    assert!(shop.stripe.pay(&secret));
    sale.is(["pending", "pending"], [10, 2, 8]).await;
    let told = shop.tell(SUCCEEDED, &intent.id).await.expect(200);
    assert_eq!(told.json(), json!({"received": true}));
    sale.is(["paid", "paid"], [10, 2, 8]).await;
    let late = act(&sale.buyer, &sale.order, "payment").await;
    late.expect_problem(409, "illegal_transition");
    when_due(shop.stage()).await;
    sale.is(["processed", "paid"], [10, 2, 8]).await;
    assert_eq!(shop.confirmations().await, 1);
    act(&sale.admin, &sale.order, "ship").await.expect(200);
    sale.is(["shipped", "paid"], [8, 0, 8]).await;
    assert_eq!(shop.refunds(&intent.id), (0, 0));
}

#[tokio::test]
async fn many_who_open_a_payment_at_once_get_the_same_one() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let asked = (0..10).map(|_| act(&sale.buyer, &sale.order, "payment"));
    let answers = join_all(asked).await.into_iter();
    let secrets: Vec<_> = answers
        .map(|answer| answer.expect(200).text("client_secret"))
        .collect();
    assert_eq!(secrets.len(), 10);
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    assert_eq!(shop.stripe.intents().len(), 1);
    shop.pay_and_tell(&sale).await;
}

#[tokio::test]
async fn a_payment_is_the_buyers_while_the_order_waits_for_it() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let stranger = shop.stage().user().await;
    let nobodys = Uuid::now_v7().to_string();
    for (actor, id) in [
        (&stranger, &sale.order),
        (&sale.admin, &sale.order),
        (&sale.buyer, &nobodys),
    ] {
        let hidden = act(actor, id, "payment").await;
        hidden.expect_problem(404, "not_found");
    }
    let anon = act(&shop.stage().anon(), &sale.order, "payment").await;
    anon.expect_problem(401, "token_missing");
    assert_eq!(shop.stripe.requests(), 0);
    sale.cancel().await.expect(200);
    let late = act(&sale.buyer, &sale.order, "payment").await;
    late.expect_problem(409, "illegal_transition");
    // Nobody says by hand what the provider is to tell.
    let other = place(&sale.buyer, &[(&sale.item, 1)]).await;
    let by_hand = act(&sale.admin, &other, "pay").await;
    by_hand.expect_problem(409, "illegal_transition");
    assert_eq!(state(&sale.buyer, &other).await, ["pending", "pending"]);
    work(shop.stage()).await;
    assert_eq!(shop.stripe.requests(), 0);
}

#[tokio::test]
async fn an_event_that_is_not_signed_is_not_heard() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let intent = shop.pay(&sale).await;
    let event = shop.stripe.event(SUCCEEDED, &intent);
    let (secret, now) = (
        StripeServer::WEBHOOK_SECRET,
        shop.stage().app.clock.seconds(),
    );
    let good = v1(secret, &event, now);
    let other_body = edited(&event, |intent| intent["amount"] = json!(1));
    let before = stored(shop.stage()).await;
    let header = |at: i64, v1: &str| Some(format!("t={at},v1={v1}"));
    for signature in [
        None,
        Some(String::new()),
        Some("nonsense".to_owned()),
        Some(format!("t={now}")),
        Some(format!("v1={good}")),
        Some(format!("t={now},v0={good}")),
        Some(format!("t=now,v1={good}")),
        Some(format!("t=99999999999999999999,v1={good}")),
        header(now, ""),
        header(now, &good[..62]),
        header(now, &"0".repeat(64)),
        header(now, &good.replace(|digit: char| digit != '0', "g")),
        // Of another time, of another body, with another secret, and of nobody's body.
        header(now + 1, &good),
        header(now, &v1(secret, &other_body, now)),
        header(now, &v1("whsec_of_another_house", &event, now)),
        header(now, &v1("", &event, now)),
        header(now, &v1(secret, b"", now)),
        // Too old, and too new.
        header(now - 400, &v1(secret, &event, now - 400)),
        header(now + 400, &v1(secret, &event, now + 400)),
        header(0, &v1(secret, &event, 0)),
        header(-now, &v1(secret, &event, -now)),
    ] {
        let refused = deliver(shop.stage(), &event, signature.as_deref()).await;
        let told = format!("{signature:?}");
        assert_eq!(refused.status, 400, "{told}");
        refused.expect_problem(400, "invalid_signature");
    }
    // What is signed is the body as it is.
    let spaced = [event.as_slice(), b" ".as_slice()].concat();
    for body in [&other_body, &spaced, &Vec::new()] {
        let refused = deliver(shop.stage(), body, header(now, &good).as_deref()).await;
        refused.expect_problem(400, "invalid_signature");
    }
    assert_eq!(stored(shop.stage()).await, before, "somebody was heard");
    // And what is signed is an event.
    let malformed: [&[u8]; 4] = [b"nonsense", b"[]", b"{}", b"{\"type\": 7}"];
    for body in malformed {
        let malformed = shop.send(body).await;
        malformed.expect_problem(400, "malformed_body");
    }

    // One of several is enough, as while a secret is being replaced; and a little late is in time.
    let several = format!("t={now},v1={},v0=x,v1={good},v1=", "0".repeat(64));
    deliver(shop.stage(), &event, Some(&several))
        .await
        .expect(200);
    sale.is(["paid", "paid"], [10, 2, 8]).await;
    let now = shop.stage().app.clock.seconds();
    for at in [now - 290, now + 290] {
        let header = header(at, &v1(secret, &event, at));
        let heard = deliver(shop.stage(), &event, header.as_deref()).await;
        heard.expect(200);
    }
}

#[tokio::test]
async fn an_event_that_comes_again_changes_nothing() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let intent = shop.pay(&sale).await;
    let event = shop.stripe.event(SUCCEEDED, &intent);
    // Twice at the same time, too.
    let both = join(shop.send(&event), shop.send(&event)).await;
    both.0.expect(200);
    both.1.expect(200);
    sale.is(["paid", "paid"], [10, 2, 8]).await;
    let before = stored(shop.stage()).await;
    for _ in 0..5 {
        shop.send(&event).await.expect(200);
    }
    assert_eq!(stored(shop.stage()).await, before);
    // Nor does it when the order has gone on.
    when_due(shop.stage()).await;
    act(&sale.admin, &sale.order, "ship").await.expect(200);
    let before = stored(shop.stage()).await;
    for answer in join_all((0..5).map(|_| shop.send(&event))).await {
        answer.expect(200);
    }
    assert_eq!(stored(shop.stage()).await, before);
}

#[tokio::test]
async fn what_was_paid_is_what_the_order_costs() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let intent = shop.pay(&sale).await;
    let event = shop.stripe.event(SUCCEEDED, &intent);
    let before = stored(shop.stage()).await;
    for amount in [TOTAL - 1, TOTAL + 1, 1, TOTAL * 100] {
        let wrong = edited(&event, |intent| {
            intent["amount"] = json!(amount);
            intent["amount_received"] = json!(amount);
        });
        let refused = shop.send(&wrong).await;
        refused.expect_problem(400, "amount_mismatch");
    }
    // A part of it is not enough, whatever was asked for.
    let part = edited(&event, |intent| {
        intent["amount_received"] = json!(TOTAL - 1)
    });
    let refused = shop.send(&part).await;
    refused.expect_problem(400, "amount_mismatch");
    let wrong = edited(&event, |intent| intent["currency"] = json!("usd"));
    let refused = shop.send(&wrong).await;
    refused.expect_problem(400, "amount_mismatch");
    assert_eq!(stored(shop.stage()).await, before);
    sale.is(["pending", "pending"], [10, 2, 8]).await;
    shop.send(&event).await.expect(200);
    sale.is(["paid", "paid"], [10, 2, 8]).await;
}

#[tokio::test]
async fn what_is_about_none_of_our_orders_is_left_alone() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let intent = shop.pay(&sale).await;
    // Another order, whose payment is open, and one of which nobody has opened it.
    let lines = [(sale.item.as_str(), 2)];
    let other = place(&sale.buyer, &lines).await;
    act(&sale.buyer, &other, "payment").await.expect(200);
    let unopened = place(&sale.buyer, &lines).await;
    work(shop.stage()).await;
    let before = stored(shop.stage()).await;

    let is_ignored = async |event: Vec<u8>| {
        let told = shop.send(&event).await;
        assert_eq!(told.expect(200).json(), json!({"received": true}));
        let after = stored(shop.stage()).await;
        assert_eq!(after, before, "{}", String::from_utf8_lossy(&event));
    };
    for kind in ["customer.created", "payment_intent.created", "nonsense"] {
        let object = json!({"id": "cus_1", "object": "customer"});
        let event =
            json!({"id": "evt_1", "object": "event", "type": kind, "data": {"object": object}});
        is_ignored(event.to_string().into_bytes()).await;
    }
    for kind in ["payment_intent.canceled", "payment_intent.payment_failed"] {
        is_ignored(shop.stripe.event(kind, &intent)).await;
    }
    for kind in [SUCCEEDED, REFUNDED] {
        let event = edited(&shop.stripe.event(kind, &intent), |it| {
            if kind == REFUNDED {
                it["refunded"] = json!(true);
                it["amount_refunded"] = json!(TOTAL);
            }
        });
        let with_metadata = |metadata: Value| edited(&event, |it| it["metadata"] = metadata);
        let nobody = Uuid::now_v7();
        for metadata in [
            json!({}),
            json!(null),
            json!({"order_id": sale.order}),
            json!({"order_id": "1047", "user_id": sale.buyer.id}),
            json!({"order_id": nobody, "user_id": sale.buyer.id}),
            json!({"order_id": sale.order, "user_id": nobody}),
            json!({"order_id": sale.order, "user_id": sale.admin.id}),
            // It is paid by another one.
            json!({"order_id": other, "user_id": sale.buyer.id}),
            json!({"order_id": unopened, "user_id": sale.buyer.id}),
        ] {
            is_ignored(with_metadata(metadata)).await;
        }
        // Another intent says that it is for this order.
        let field = if kind == REFUNDED {
            "payment_intent"
        } else {
            "id"
        };
        is_ignored(edited(&event, |it| {
            it[field] = json!("pi_of_another_house")
        }))
        .await;
    }
    // A part of the money has gone back.
    let part = edited(&shop.stripe.event(REFUNDED, &intent), |charge| {
        charge["refunded"] = json!(false);
        charge["amount_refunded"] = json!(TOTAL - 1);
    });
    is_ignored(part).await;
    shop.tell(SUCCEEDED, &intent).await.expect(200);
    assert_eq!(state(&sale.buyer, &sale.order).await, ["paid", "paid"]);
    assert_eq!(state(&sale.buyer, &other).await, ["pending", "pending"]);
}

#[tokio::test]
async fn events_are_not_limited() {
    let shop = Shop::with(&[("RATE_LIMIT_PER_MINUTE", "5")]).await;
    let object = json!({"id": "cus_1", "object": "customer"});
    let event = json!({"id": "evt_1", "type": "customer.created", "data": {"object": object}});
    let event = event.to_string();
    let now = shop.stage().app.clock.seconds();
    let signature = shop.stripe.signature(event.as_bytes(), now);
    let provider = shop
        .stage()
        .anon()
        .with_header("stripe-signature", &signature);
    for _ in 0..20 {
        let heard = provider.send("POST", WEBHOOK, JSON, event.as_bytes()).await;
        heard.expect(200).expect_round_trips(0);
    }
}

#[tokio::test]
async fn that_the_money_went_back_may_be_told_before_that_it_came() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let intent = shop.pay(&sale).await;
    let paid = shop.stripe.event(SUCCEEDED, &intent);
    shop.stripe.refund_by_hand(&intent);
    shop.tell(REFUNDED, &intent).await.expect(200);
    sale.is(["cancelled", "refunded"], [10, 0, 10]).await;
    for _ in 0..2 {
        shop.send(&paid).await.expect(200);
        shop.tell(REFUNDED, &intent).await.expect(200);
        work(shop.stage()).await;
        sale.is(["cancelled", "refunded"], [10, 0, 10]).await;
    }
    when_due(shop.stage()).await;
    sale.is(["cancelled", "refunded"], [10, 0, 10]).await;
    assert_eq!(shop.refunds(&intent), (TOTAL, 1));
}

#[tokio::test]
async fn who_cancels_cannot_pay_any_more() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let (intent, secret) = shop.open(&sale).await;
    sale.cancel().await.expect(200);
    sale.is(["cancelled", "cancelled"], [10, 0, 10]).await;
    work(shop.stage()).await;
    assert_eq!(shop.stripe.intent(&intent).status, "canceled");
    assert!(!shop.stripe.pay(&secret));
    sale.is(["cancelled", "cancelled"], [10, 0, 10]).await;
    // That it was cancelled tells us nothing.
    shop.tell("payment_intent.canceled", &intent)
        .await
        .expect(200);
    sale.is(["cancelled", "cancelled"], [10, 0, 10]).await;
    assert_eq!(shop.refunds(&intent), (0, 0));
}

#[tokio::test]
async fn what_is_paid_for_a_cancelled_order_goes_back() {
    // Whether the provider tells it first, or is asked.
    for is_told in [true, false] {
        let shop = Shop::new().await;
        let sale = shop.sale().await;
        let intent = shop.pay(&sale).await;
        let paid = shop.stripe.event(SUCCEEDED, &intent);
        sale.cancel().await.expect(200);
        sale.is(["cancelled", "cancelled"], [10, 0, 10]).await;
        if is_told {
            shop.send(&paid).await.expect(200);
            sale.is(["cancelled", "refunding"], [10, 0, 10]).await;
        }
        work(shop.stage()).await;
        sale.is(["cancelled", "refunded"], [10, 0, 10]).await;
        assert_eq!(shop.refunds(&intent), (TOTAL, 1));
        for _ in 0..2 {
            shop.send(&paid).await.expect(200);
            shop.tell(REFUNDED, &intent).await.expect(200);
            work(shop.stage()).await;
        }
        when_due(shop.stage()).await;
        sale.is(["cancelled", "refunded"], [10, 0, 10]).await;
        assert_eq!(shop.refunds(&intent), (TOTAL, 1));
    }
}

#[tokio::test]
async fn whoever_cancels_while_the_money_comes_has_one_or_the_other() {
    let shop = Shop::new().await;
    let mut sale = shop.sale().await;
    let mut held = 2;
    for round in 0..6 {
        let intent = shop.pay(&sale).await;
        let event = shop.stripe.event(SUCCEEDED, &intent);
        let (cancelled, told) = match round % 2 {
            0 => join(sale.cancel(), shop.send(&event)).await,
            _ => {
                let both = join(shop.send(&event), sale.cancel()).await;
                (both.1, both.0)
            }
        };
        told.expect(200);
        let is_cancelled = cancelled.status == 200;
        if !is_cancelled {
            cancelled.expect_problem(409, "illegal_transition");
        }
        work(shop.stage()).await;
        let (expected, refunds) = match is_cancelled {
            true => {
                held -= 2;
                (["cancelled", "refunded"], (TOTAL, 1))
            }
            false => (["paid", "paid"], (0, 0)),
        };
        sale.is(expected, [10, held, 10 - held]).await;
        assert_eq!(shop.refunds(&intent), refunds);
        // Make room for the next one.
        if !is_cancelled {
            act(&sale.admin, &sale.order, "refund").await.expect(200);
            work(shop.stage()).await;
        }
        sale.order = place(&sale.buyer, &[(&sale.item, 2)]).await;
        held = 2;
        check_books(shop.stage(), &BTreeMap::new(), "cancelled or paid").await;
    }
}

#[tokio::test]
async fn what_is_not_paid_in_time_cannot_be_paid_any_more() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let (intent, secret) = shop.open(&sale).await;
    // One of which nobody has opened the payment.
    let unopened = place(&sale.buyer, &[(&sale.item, 3)]).await;
    sale.is(["pending", "pending"], [10, 5, 5]).await;
    when_due(shop.stage()).await;
    sale.is(["cancelled", "cancelled"], [10, 0, 10]).await;
    assert_eq!(
        state(&sale.buyer, &unopened).await,
        ["cancelled", "cancelled"]
    );
    assert_eq!(shop.stripe.intent(&intent).status, "canceled");
    assert!(!shop.stripe.pay(&secret));
    assert_eq!(shop.stripe.intents().len(), 1);
    assert_eq!(shop.confirmations().await, 0);
}

#[tokio::test]
async fn nothing_is_given_back_before_the_provider_knows() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let (intent, _) = shop.open(&sale).await;
    work(shop.stage()).await;
    let switch = shop.away();
    shop.stage().later(DUE + 1 + GRACE).await;
    assert_eq!(shop.stage().sweep().await.1, 0, "it is not given up");
    sale.is(["pending", "pending"], [10, 2, 8]).await;

    switch.send(false).unwrap();
    settle(shop.stage()).await;
    sale.is(["cancelled", "cancelled"], [10, 0, 10]).await;
    assert_eq!(shop.stripe.intent(&intent).status, "canceled");
}

#[tokio::test]
async fn what_is_paid_is_processed_though_nobody_has_told_us() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let intent = shop.pay(&sale).await;
    sale.is(["pending", "pending"], [10, 2, 8]).await;
    when_due(shop.stage()).await;
    sale.is(["processed", "paid"], [10, 2, 8]).await;
    assert_eq!(shop.confirmations().await, 1);
    // Told late, it is nothing new.
    let before = stored(shop.stage()).await;
    shop.tell(SUCCEEDED, &intent).await.expect(200);
    assert_eq!(stored(shop.stage()).await, before);
    settle(shop.stage()).await;
    sale.is(["processed", "paid"], [10, 2, 8]).await;
    assert_eq!(shop.confirmations().await, 0);
    assert_eq!(shop.refunds(&intent), (0, 0));
}

#[tokio::test]
async fn it_does_not_matter_who_tells_first_what_was_paid_in_the_last_moment() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let intent = shop.pay(&sale).await;
    shop.stage().later(DUE + 1 + GRACE).await;
    let (told, _) = join(shop.tell(SUCCEEDED, &intent), shop.stage().sweep()).await;
    told.expect(200);
    settle(shop.stage()).await;
    sale.is(["processed", "paid"], [10, 2, 8]).await;
    assert_eq!(shop.confirmations().await, 1);
    assert_eq!(shop.refunds(&intent), (0, 0));
}

#[tokio::test]
async fn an_order_waits_while_a_bank_takes_its_time() {
    for is_paid in [true, false] {
        let shop = Shop::new().await;
        let mut sale = shop.sale().await;
        let (intent, secret) = shop.open(&sale).await;
        shop.stripe.set_processing(&intent, true);
        let mut asked = shop.stripe.requests();
        // It is looked at again and again.
        for _ in 0..3 {
            when_due(shop.stage()).await;
            sale.admin = again(shop.stage(), &sale.admin).await;
            sale.is(["pending", "pending"], [10, 2, 8]).await;
            assert!(shop.stripe.requests() > asked, "nobody has asked");
            asked = shop.stripe.requests();
        }
        assert_eq!(shop.confirmations().await, 0);
        shop.stripe.set_processing(&intent, false);
        if is_paid {
            shop.stripe.pay(&secret);
            assert_eq!(shop.stripe.intent(&intent).status, "succeeded");
        }
        when_due(shop.stage()).await;
        match is_paid {
            true => sale.is(["processed", "paid"], [10, 2, 8]).await,
            false => {
                sale.is(["cancelled", "cancelled"], [10, 0, 10]).await;
                assert_eq!(shop.stripe.intent(&intent).status, "canceled");
            }
        }
        assert_eq!(shop.confirmations().await, usize::from(is_paid));
        // That is the end of it.
        let asked = shop.stripe.requests();
        when_due(shop.stage()).await;
        assert_eq!(shop.stripe.requests(), asked);
    }
}

#[tokio::test]
async fn a_refund_gives_the_whole_back_once() {
    for is_processed in [false, true] {
        let shop = Shop::new().await;
        let sale = shop.sale().await;
        let intent = shop.pay_and_tell(&sale).await;
        if is_processed {
            when_due(shop.stage()).await;
        }
        let refunds = (0..5).map(|_| act(&sale.admin, &sale.order, "refund"));
        let (done, refused): (Vec<_>, Vec<_>) = join_all(refunds)
            .await
            .into_iter()
            .partition(|answer| answer.status == 200);
        assert_eq!((done.len(), refused.len()), (1, 4));
        for answer in refused {
            answer.expect(409);
        }
        assert_eq!(done[0].json()["payment"]["status"], "refunding");
        sale.is(["refunded", "refunding"], [10, 0, 10]).await;
        assert_eq!(shop.refunds(&intent), (0, 0));
        work(shop.stage()).await;
        sale.is(["refunded", "refunded"], [10, 0, 10]).await;
        assert_eq!(shop.refunds(&intent), (TOTAL, 1));
        // The provider tells of it, too.
        let before = stored(shop.stage()).await;
        for kind in [REFUNDED, SUCCEEDED, REFUNDED] {
            shop.tell(kind, &intent).await.expect(200);
        }
        assert_eq!(stored(shop.stage()).await, before);
        let again = act(&sale.admin, &sale.order, "refund").await;
        again.expect_problem(409, "illegal_transition");
        settle(shop.stage()).await;
        assert_eq!(shop.refunds(&intent), (TOTAL, 1));
    }
}

#[tokio::test]
async fn the_provider_may_tell_of_a_refund_before_our_task_knows() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let intent = shop.pay_and_tell(&sale).await;
    act(&sale.admin, &sale.order, "refund").await.expect(200);
    // Somebody was faster in the dashboard.
    shop.stripe.refund_by_hand(&intent);
    shop.tell(REFUNDED, &intent).await.expect(200);
    sale.is(["refunded", "refunded"], [10, 0, 10]).await;
    work(shop.stage()).await;
    sale.is(["refunded", "refunded"], [10, 0, 10]).await;
    assert_eq!(shop.refunds(&intent), (TOTAL, 1));
}

#[tokio::test]
async fn a_refund_that_was_given_already_is_none_to_fail_of() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let intent = shop.pay_and_tell(&sale).await;
    shop.stripe.refund_by_hand(&intent);
    act(&sale.admin, &sale.order, "refund").await.expect(200);
    work(shop.stage()).await;
    sale.is(["refunded", "refunded"], [10, 0, 10]).await;
    assert_eq!(shop.refunds(&intent), (TOTAL, 1));
}

#[tokio::test]
async fn what_is_refunded_in_the_dashboard_is_refunded_here() {
    // Paid, processed, and shipped.
    for stage_of_order in 0..3 {
        let shop = Shop::new().await;
        let sale = shop.sale().await;
        let intent = shop.pay_and_tell(&sale).await;
        if stage_of_order > 0 {
            when_due(shop.stage()).await;
        }
        if stage_of_order > 1 {
            act(&sale.admin, &sale.order, "ship").await.expect(200);
        }
        shop.stripe.refund_by_hand(&intent);
        let (status, stock) = match stage_of_order {
            2 => (["shipped", "refunded"], [8, 0, 8]),
            _ => (["refunded", "refunded"], [10, 0, 10]),
        };
        for _ in 0..2 {
            shop.tell(REFUNDED, &intent).await.expect(200);
            sale.is(status, stock).await;
        }
        when_due(shop.stage()).await;
        sale.is(status, stock).await;
        assert_eq!(shop.refunds(&intent), (TOTAL, 1));
        for action in ["ship", "refund", "cancel"] {
            let late = act(&sale.admin, &sale.order, action).await;
            late.expect_problem(409, "illegal_transition");
        }
    }
}

#[tokio::test]
async fn while_the_provider_is_away_everything_else_goes_on() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let switch = shop.away();
    let away = act(&sale.buyer, &sale.order, "payment").await;
    away.expect_problem(503, "unavailable");
    sale.is(["pending", "pending"], [10, 2, 8]).await;
    switch.send(false).unwrap();
    let intent = shop.pay_and_tell(&sale).await;
    assert_eq!(shop.stripe.intents().len(), 1);

    // Whoever refunds need not wait, and the money follows.
    switch.send(true).unwrap();
    act(&sale.admin, &sale.order, "refund").await.expect(200);
    work(shop.stage()).await;
    sale.is(["refunded", "refunding"], [10, 0, 10]).await;
    // Nor must whoever cancels.
    let other = place(&sale.buyer, &[(&sale.item, 1)]).await;
    switch.send(false).unwrap();
    act(&sale.buyer, &other, "payment").await.expect(200);
    switch.send(true).unwrap();
    act(&sale.buyer, &other, "cancel").await.expect(200);
    work(shop.stage()).await;
    let open = shop.stripe.intents().pop().unwrap();
    assert_ne!(open.status, "canceled");

    switch.send(false).unwrap();
    settle(shop.stage()).await;
    sale.is(["refunded", "refunded"], [10, 0, 10]).await;
    assert_eq!(shop.refunds(&intent), (TOTAL, 1));
    assert_eq!(shop.stripe.intent(&open.id).status, "canceled");
}

#[tokio::test]
async fn the_money_of_somebody_who_is_gone_finds_its_way() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let intent = shop.pay_and_tell(&sale).await;
    let unpaid = place(&sale.buyer, &[(&sale.item, 1)]).await;
    act(&sale.buyer, &unpaid, "payment").await.expect(200);
    let open = shop.stripe.intents().pop().unwrap();
    act(&sale.admin, &sale.order, "refund").await.expect(200);
    delete(&sale.buyer, ME).await.expect(204);
    work(shop.stage()).await;
    assert_eq!(
        state(&sale.admin, &sale.order).await,
        ["refunded", "refunded"]
    );
    assert_eq!(shop.refunds(&intent), (TOTAL, 1));
    when_due(shop.stage()).await;
    assert_eq!(
        state(&sale.admin, &unpaid).await,
        ["cancelled", "cancelled"]
    );
    assert_eq!(shop.stripe.intent(&open.id).status, "canceled");
    assert_eq!(on_hand(&sale.admin, &sale.item).await, [10, 0, 10]);
}

#[tokio::test]
async fn no_secret_is_kept_or_told_but_to_who_pays() {
    let shop = Shop::new().await;
    let sale = shop.sale().await;
    let (intent, secret) = shop.open(&sale).await;
    let keyed = sale.buyer.clone().with_header("idempotency-key", "once");
    let lines = wish(&[(&sale.item, 1)]);
    let mut told = vec![keyed.post(ORDERS, lines.clone()).await.expect(201)];
    let other = told[0].text("id");
    let opened = act(&sale.buyer, &other, "payment").await.expect(200);
    assert_eq!(opened.header("cache-control"), "no-store");
    told.push(keyed.post(ORDERS, lines).await.expect(201));
    assert!(shop.stripe.pay(&secret));
    told.push(shop.tell(SUCCEEDED, &intent).await.expect(200));
    told.push(act(&sale.buyer, &other, "cancel").await.expect(200));
    work(shop.stage()).await;
    told.push(act(&sale.admin, &sale.order, "refund").await.expect(200));
    work(shop.stage()).await;
    for actor in [&sale.buyer, &sale.admin] {
        for path in [
            ORDERS.to_owned(),
            order_path(&sale.order),
            order_path(&other),
        ] {
            told.push(actor.get(&path).await.expect(200));
        }
        let trail = "/api/v1/users/me/activity?limit=100";
        told.push(actor.get(trail).await.expect(200));
    }
    let intents = shop.stripe.intents();
    assert_eq!(intents.len(), 2);
    let hidden = intents.iter().flat_map(|it| [&it.id, &it.client_secret]);
    let hidden = hidden.map(String::as_str).chain([
        "client_secret",
        "intent",
        StripeServer::SECRET_KEY,
        StripeServer::WEBHOOK_SECRET,
    ]);
    let hidden: Vec<&str> = hidden.collect();
    for answer in &told {
        let told = format!("{answer:?}");
        for secret in &hidden {
            assert!(!told.contains(secret), "{secret} is told: {told}");
        }
    }

    // The order knows what the provider calls its payment, and nothing else knows more.
    let items = shop.stage().all_items().await;
    for item in &items {
        let of_order = intents.iter().filter(|intent| {
            let order = intent.order_id.unwrap();
            item.contains(&format!("\"ORDER#{order}\"")) && item.contains(&intent.id)
        });
        let known: Vec<&str> = of_order.map(|intent| intent.id.as_str()).collect();
        for secret in hidden.iter().filter(|it| **it != "intent") {
            let is_known = known.contains(secret);
            assert!(is_known || !item.contains(secret), "{secret}: {item}");
        }
    }
    for intent in &intents {
        let known = items.iter().filter(|item| item.contains(&intent.id));
        assert_eq!(known.count(), 1, "{}", intent.id);
    }
    // Of the orders that the staff sees, none tells more.
    let all = all_of(&sale.admin, &format!("{ORDERS}?limit=100")).await;
    assert_eq!(all.len(), 2);
    for order in all {
        assert_eq!(members(&order["payment"]), ["provider", "status"]);
    }
}

#[tokio::test]
async fn a_house_without_a_provider_takes_the_money_by_hand() {
    let stage = Stage::new().await;
    let (admin, buyer) = (stage.admin().await, stage.user().await);
    let item = sell(&admin, "Lamp", json!({"stock": 10})).await;
    let order = place(&buyer, &[(&item, 2)]).await;
    let opened = act(&buyer, &order, "payment").await.expect(200).json();
    let expected = json!({"status": "pending", "provider": "manual", "client_secret": null});
    assert_eq!(opened, expected);
    // Nobody can have signed anything.
    let object = json!({
        "id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount": 2_000,
        "amount_received": 2_000, "currency": "eur",
        "metadata": {"order_id": order, "user_id": buyer.id},
    });
    let event = json!({"id": "evt_1", "type": SUCCEEDED, "data": {"object": object}});
    let event = event.to_string().into_bytes();
    let now = stage.app.clock.seconds();
    for secret in ["", StripeServer::WEBHOOK_SECRET] {
        let signature = format!("t={now},v1={}", v1(secret, &event, now));
        for signature in [None, Some(signature.as_str())] {
            let refused = deliver(&stage, &event, signature).await;
            refused.expect_problem(400, "invalid_signature");
        }
    }
    assert_eq!(state(&buyer, &order).await, ["pending", "pending"]);
    let paid = act(&admin, &order, "pay").await.expect(200).json();
    assert_eq!(
        paid["payment"],
        json!({"status": "paid", "provider": "manual"})
    );
    let late = act(&buyer, &order, "payment").await;
    late.expect_problem(409, "illegal_transition");
    // The money goes back by hand, too.
    let refunded = act(&admin, &order, "refund").await.expect(200).json();
    assert_eq!(refunded["payment"]["status"], "refunded");
    assert_eq!(stage.work().await.1, 0);
    assert_eq!(on_hand(&admin, &item).await, [10, 0, 10]);
}
