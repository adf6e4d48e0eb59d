//! Orders, stock, payments and tasks always agree: one function checks it, and many plays of processes that die and answers
//! that get lost ask it.
//!
//! What is promised: what items hold is what their orders hold; a key is one order; money that is with the provider belongs
//! to an order that is paid, and is given back once where it does not; two lease times after the last fault nothing is open.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::models::Order;
use shared::models::order::{OrderStatus, PaymentStatus, Provider};
use shared::models::page::{From, Slice};
use shared::store::orders::OrderFilter;
use shared::tasks::Status;
use shared::{ids, models};
use tests::faults::{Fault, Faults, Schedule};
use tests::{Actor, Answer, Stage, StripeServer};
use uuid::Uuid;

use crate::faults::seeds;
use crate::items::sell;

type Attributes = HashMap<String, AttributeValue>;

fn integer(item: &Attributes, name: &str) -> i64 {
    let number = item.get(name).and_then(|number| number.as_n().ok());
    number.map_or(0, |number| number.parse().unwrap())
}

fn string<'a>(item: &'a Attributes, name: &str) -> &'a str {
    let text = item.get(name).and_then(|text| text.as_s().ok());
    text.map_or("", String::as_str)
}

/// All orders of all users.
pub(crate) async fn all_orders(stage: &Stage) -> Vec<Order> {
    let (mut orders, mut from) = (Vec::new(), From::Skip(0));
    loop {
        let slice = Slice { from, limit: 100 };
        let page = stage.app.store.orders(OrderFilter::default(), &slice).await;
        let page = page.unwrap();
        orders.extend(page.items);
        match page.next {
            Some(next) => from = From::Cursor(next),
            None => return orders,
        }
    }
}

/// Asserts that what is stored of orders, items and users agrees, at whatever moment. `start` is how many of each item there
/// were before the first order.
pub(crate) async fn check_books(stage: &Stage, start: &BTreeMap<String, i64>, story: &str) {
    let orders = all_orders(stage).await;
    let stored = stage.stored().await;
    let is = |item: &&Attributes, sk: &str| string(item, "sk") == sk;
    for item in stored.iter().filter(|item| is(item, "ITEM")) {
        let id: Uuid = string(item, "id").parse().unwrap();
        let of_item = |wanted: &dyn Fn(&Order) -> bool| -> i64 {
            let orders = orders.iter().filter(|order| wanted(order));
            let lines = orders.flat_map(|order| &order.lines);
            let lines = lines.filter(|line| line.item_id == id);
            lines.map(|line| line.quantity).sum()
        };
        let (stock, reserved) = (integer(item, "stock"), integer(item, "reserved"));
        assert_eq!(
            reserved,
            of_item(&Order::is_held),
            "reserved of {id}: {story}"
        );
        if let Some(start) = start.get(&id.to_string()) {
            let shipped = of_item(&|order| order.status == OrderStatus::Shipped);
            assert_eq!(stock, start - shipped, "stock of {id}: {story}");
        }
        let available = integer(item, "available");
        assert_eq!(available, stock - reserved, "available of {id}: {story}");
        assert!(available >= 0, "{id} was sold too often: {story}");
    }
    for profile in stored.iter().filter(|item| is(item, "PROFILE")) {
        let user: Uuid = string(profile, "id").parse().unwrap();
        let unpaid = orders.iter().filter(|o| o.user_id == user);
        let unpaid = unpaid.filter(|order| order.status == OrderStatus::Pending);
        let counted = integer(profile, "unpaid_orders");
        assert_eq!(counted, unpaid.count() as i64, "unpaid orders: {story}");
    }
    for order in &orders {
        let expected: &[PaymentStatus] = match order.status {
            OrderStatus::Pending => &[PaymentStatus::Pending],
            OrderStatus::Paid | OrderStatus::Processed => &[PaymentStatus::Paid],
            OrderStatus::Shipped => &[PaymentStatus::Paid, PaymentStatus::Refunded],
            OrderStatus::Cancelled => &[
                PaymentStatus::Cancelled,
                PaymentStatus::Refunding,
                PaymentStatus::Refunded,
            ],
            OrderStatus::Refunded => &[PaymentStatus::Refunding, PaymentStatus::Refunded],
        };
        assert!(
            expected.contains(&order.payment.status),
            "{order:?}: {story}"
        );
    }
    // Each answer that is remembered is that of an order that exists, and of no other answer.
    let answers = stored
        .iter()
        .filter(|item| string(item, "sk").starts_with("IDEMPOTENCY#"));
    let mut answered = BTreeSet::new();
    for answer in answers {
        let location = string(answer, "location");
        assert!(answered.insert(location), "two keys of one order: {story}");
        let is_there = orders.iter().any(|o| location.ends_with(&o.id.to_string()));
        assert!(is_there, "an answer without an order: {story}");
    }
    // Who is told, is told once.
    let processed = stored
        .iter()
        .filter(|i| string(i, "action") == "order.processed");
    let mails = stored
        .iter()
        .filter(|i| string(i, "kind") == "order_confirmation_mail");
    assert_eq!(processed.count(), mails.count(), "mails: {story}");
    let placed = stored
        .iter()
        .filter(|i| string(i, "action") == "order.placed");
    assert_eq!(placed.count(), orders.len(), "audit: {story}");
}

/// Asserts that the provider has the money that our orders say it has.
fn check_provider(orders: &[Order], stripe: &StripeServer, story: &str) {
    for intent in stripe.intents() {
        let order = orders
            .iter()
            .find(|order| order.payment.intent_id.as_deref() == Some(intent.id.as_str()));
        let Some(order) = order else {
            // It was made by a process that died before it could say so. Nobody has its secret.
            assert_ne!(
                intent.status, "succeeded",
                "{intent:?} is nobody's: {story}"
            );
            continue;
        };
        let expected = match intent.status.as_str() {
            "succeeded" if intent.refunded == 0 => PaymentStatus::Paid,
            "succeeded" => PaymentStatus::Refunded,
            "canceled" => PaymentStatus::Cancelled,
            other => panic!("{other}: {order:?}: {story}"),
        };
        assert_eq!(
            order.payment.status, expected,
            "{order:?} {intent:?}: {story}"
        );
        if intent.refunded > 0 {
            assert_eq!(intent.refunded, intent.amount, "{story}");
            assert_eq!(intent.refunds, 1, "{story}");
        }
    }
}

/// A request for an order, with its key, and what has come back.
struct Wish {
    buyer: usize,
    key: String,
    body: Value,
    answers: Vec<Vec<u8>>,
    order: Option<String>,
}

/// A process that lives until a fault ends it.
struct Instance {
    stage: Stage,
    faults: Faults,
}

/// A shop whose instances have faults.
struct Shop<'a> {
    stage: &'a Stage,
    /// Makes the faults of the next instance.
    next: Box<dyn FnMut() -> Faults + Send + Sync + 'a>,
    api: Option<Instance>,
    worker: Option<Instance>,
    stripe: Option<&'a StripeServer>,
    admin: Actor<'a>,
    buyers: Vec<Actor<'a>>,
    items: Vec<String>,
    wishes: Vec<Wish>,
    /// Each call of each instance, with what happened to it.
    calls: Vec<(String, Fault)>,
}

impl Shop<'_> {
    /// Another instance, unless the one before lives.
    fn alive(&mut self, before: Option<Instance>) -> Instance {
        before.unwrap_or_else(|| {
            let faults = (self.next)();
            let stage = self.stage.beside(faults.instance(&self.stage.app));
            Instance { stage, faults }
        })
    }

    /// What an instance does, and the instance if it lives.
    async fn survive<F: Future>(&mut self, faults: &Faults, work: F) -> Option<F::Output> {
        if let Some(stripe) = self.stripe {
            stripe.set_faults(Some(faults.clone()));
        }
        let done = faults.survive(work).await;
        if let Some(stripe) = self.stripe {
            stripe.set_faults(None);
        }
        self.calls.extend(faults.take_calls());
        done
    }

    /// A request to the instance of the API; `None` if it has died.
    async fn send(&mut self, actor: Actor<'_>, request: Request) -> Option<Answer> {
        let before = self.api.take();
        let api = self.alive(before);
        let Request { path, body, header } = request;
        let actor = actor.at(&api.stage);
        let actor = match header {
            Some((name, value)) => actor.with_header(name, &value),
            None => actor,
        };
        let sent = actor.send("POST", &path, Some("application/json"), &body);
        let answer = self.survive(&api.faults, sent).await;
        self.api = answer.is_some().then_some(api);
        answer
    }

    /// Gives what waits to the worker.
    async fn work(&mut self) {
        let before = self.worker.take();
        let worker = self.alive(before);
        let done = self.survive(&worker.faults, worker.stage.work()).await;
        // Messages that it has hidden are seen again with it only.
        self.worker = done.is_some().then_some(worker);
    }

    /// Asks for an order, again with the same key if nothing or nothing of use came back.
    async fn order(&mut self, random: &mut fastrand::Rng) {
        let buyer = random.usize(0..self.buyers.len());
        let mut items = self.items.clone();
        random.shuffle(&mut items);
        items.truncate(random.usize(1..=items.len()));
        let lines = items
            .iter()
            .map(|id| json!({"id": id, "quantity": random.i64(1..=3)}));
        let body = json!({"items": lines.collect::<Vec<_>>(), "note": "soon"});
        self.wishes.push(Wish {
            buyer,
            key: format!("key-{}", self.wishes.len()),
            body,
            answers: Vec::new(),
            order: None,
        });
        self.repeat(self.wishes.len() - 1, random).await;
    }

    async fn repeat(&mut self, wish: usize, random: &mut fastrand::Rng) {
        for _ in 0..random.usize(1..=3) {
            let Wish {
                buyer, key, body, ..
            } = &self.wishes[wish];
            let request = Request {
                path: "/api/v1/orders".to_owned(),
                body: body.to_string().into_bytes(),
                header: Some(("idempotency-key", key.clone())),
            };
            let buyer = self.buyers[*buyer].clone();
            let answer = self.send(buyer, request).await;
            if let Some(answer) = answer.filter(|answer| answer.status == 201) {
                let wish = &mut self.wishes[wish];
                wish.order = Some(answer.text("id"));
                wish.answers.push(answer.body);
                return;
            }
        }
    }

    /// An order that some buyer knows of.
    fn any_order(&self, random: &mut fastrand::Rng) -> Option<(Actor<'_>, String)> {
        let known = self.wishes.iter().filter_map(|wish| {
            let order = wish.order.clone()?;
            Some((self.buyers[wish.buyer].clone(), order))
        });
        random.choice(known.collect::<Vec<_>>())
    }

    /// The customer pays, if they get as far as that, and the provider may tell us, even twice.
    async fn pay(&mut self, random: &mut fastrand::Rng) {
        let Some((buyer, order)) = self.any_order(random) else {
            return;
        };
        let (buyer, path) = (buyer.at(self.stage), format!("/api/v1/orders/{order}"));
        let Some(stripe) = self.stripe else {
            let request = Request::to(format!("{path}/pay"));
            let admin = self.admin.clone();
            self.send(admin, request).await;
            return;
        };
        let request = Request::to(format!("{path}/payment"));
        let answer = self.send(buyer, request).await;
        let Some(answer) = answer.filter(|answer| answer.status == 200) else {
            return;
        };
        if random.u8(0..100) < 80 {
            stripe.pay(&answer.text("client_secret"));
        }
    }

    /// The provider tells what it has to tell, or some of it, and some of it twice.
    async fn hear(&mut self, random: &mut fastrand::Rng) {
        let Some(stripe) = self.stripe else {
            return;
        };
        let Some(intent) = random.choice(stripe.intents()) else {
            return;
        };
        let kind = match intent.status.as_str() {
            "succeeded" if intent.refunded > 0 && random.bool() => "charge.refunded",
            "succeeded" => "payment_intent.succeeded",
            "canceled" => "payment_intent.canceled",
            _ => return,
        };
        let body = stripe.event(kind, &intent.id);
        let now = self.stage.app.clock.seconds();
        for _ in 0..random.usize(1..=2) {
            let request = Request {
                path: "/api/v1/payments/webhook".to_owned(),
                body: body.clone(),
                header: Some(("stripe-signature", stripe.signature(&body, now))),
            };
            let anybody = self.stage.anon();
            self.send(anybody, request).await;
        }
    }

    async fn move_order(&mut self, action: &str, random: &mut fastrand::Rng) {
        let Some((buyer, order)) = self.any_order(random) else {
            return;
        };
        let actor = match action {
            "cancel" => buyer.at(self.stage),
            _ => self.admin.clone(),
        };
        let request = Request::to(format!("/api/v1/orders/{order}/{action}"));
        self.send(actor, request).await;
        if random.bool() {
            self.work().await;
        }
    }

    /// No more faults: what is due is done, and an administrator has another try with what was given up.
    async fn settle(&self) {
        for _ in 0..3 {
            self.stage.later(310).await;
            self.stage.sweep().await;
            for task in self.failed_tasks().await {
                let (store, audit) = (
                    &self.stage.app.store,
                    models::audit::AuditEntry::new("task.retried", None, ""),
                );
                store.retry_task(&task, &audit).await.unwrap();
            }
            self.stage.work().await;
        }
    }

    async fn failed_tasks(&self) -> Vec<shared::store::tasks::StoredTask> {
        let slice = Slice {
            from: From::Skip(0),
            limit: 100,
        };
        let failed = self.stage.app.store.failed_tasks(&slice).await;
        failed.unwrap().items
    }

    /// Asserts what must hold once everything has settled.
    async fn check(&self, story: &str) {
        let orders = all_orders(self.stage).await;
        for order in &orders {
            let is_open = matches!(order.status, OrderStatus::Pending | OrderStatus::Paid);
            assert!(!is_open, "{order:?} is open: {story}");
            assert_ne!(order.payment.status, PaymentStatus::Refunding, "{story}");
            let provider = self.stripe.map_or(Provider::Manual, |_| Provider::Stripe);
            assert_eq!(order.payment.provider, provider);
        }
        for wish in &self.wishes {
            let same = wish.answers.windows(2).all(|two| two[0] == two[1]);
            assert!(same, "two answers for one key: {story}");
            if let Some(id) = &wish.order {
                let count = orders.iter().filter(|o| o.id.to_string() == *id).count();
                assert_eq!(count, 1, "an order that was promised is lost: {story}");
            }
        }
        assert!(
            orders.len() <= self.wishes.len(),
            "orders nobody asked for: {story}"
        );
        if let Some(stripe) = self.stripe {
            check_provider(&orders, stripe, story);
        }
        let tasks = self.stage.task_ids().await;
        let tasks = join_all(tasks.iter().map(|id| self.stage.app.store.task(*id))).await;
        for task in tasks.into_iter().map(|task| task.unwrap().unwrap()) {
            assert_eq!(task.status, Status::Succeeded, "{task:?}: {story}");
        }
    }
}

struct Request {
    path: String,
    body: Vec<u8>,
    header: Option<(&'static str, String)>,
}

impl Request {
    fn to(path: String) -> Self {
        let (body, header) = (Vec::new(), None);
        Self { path, body, header }
    }
}

/// How many of each item there are.
const STOCK: i64 = 12;

/// A day in a shop, told by its seed.
async fn play(seed: u64) -> Vec<(String, Fault)> {
    let story = format!("SEEDS={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let stripe = match random.bool() {
        true => Some(StripeServer::start().await),
        false => None,
    };
    let variables = stripe.as_ref().map(StripeServer::variables);
    let variables = variables.unwrap_or_default();
    let variables: Vec<_> = variables.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let stage = Stage::with(&variables).await;
    let admin = stage.admin().await;
    let mut items = Vec::new();
    for title in ["Lamp", "Rope", "Stove"] {
        items.push(sell(&admin, title, json!({"stock": STOCK, "tax": 19})).await);
    }
    let start: BTreeMap<_, _> = items.iter().map(|id| (id.clone(), STOCK)).collect();
    let percent = random.u8(2..=15);
    let mut instances = 0;
    let next = move || {
        instances += 1;
        let seed = seed.wrapping_mul(1_000).wrapping_add(instances);
        Faults::new(Schedule::Random { seed, percent })
    };
    let mut shop = Shop {
        stage: &stage,
        next: Box::new(next),
        api: None,
        worker: None,
        stripe: stripe.as_ref(),
        admin,
        buyers: vec![stage.user().await, stage.user().await],
        items,
        wishes: Vec::new(),
        calls: Vec::new(),
    };
    stage.work().await;
    for step in 0..random.usize(14..=24) {
        match random.u8(0..100) {
            _ if step < 3 => shop.order(&mut random).await,
            0..22 => shop.order(&mut random).await,
            22..26 if !shop.wishes.is_empty() => {
                let wish = random.usize(0..shop.wishes.len());
                shop.repeat(wish, &mut random).await;
            }
            26..46 => shop.pay(&mut random).await,
            46..56 => shop.hear(&mut random).await,
            56..63 => shop.move_order("cancel", &mut random).await,
            63..69 => shop.move_order("refund", &mut random).await,
            69..75 => shop.move_order("ship", &mut random).await,
            75..90 => shop.work().await,
            _ => {
                stage.later(random.i64(60..=350)).await;
                stage.post_message("{\"schedule\":\"sweep\"}").await;
                shop.work().await;
            }
        }
        if step % 4 == 0 {
            check_books(&stage, &start, &story).await;
        }
    }
    shop.settle().await;
    check_books(&stage, &start, &story).await;
    shop.check(&story).await;
    std::mem::take(&mut shop.calls)
}

/// A play has a stack that is deep where nothing is optimised: instances, handlers and the SDK are all one future.
const STACK: usize = 16 << 20;

#[test]
fn whatever_dies_and_whatever_is_lost_the_books_agree() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).thread_stack_size(STACK);
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(plays());
}

#[expect(clippy::print_stdout, reason = "who plays it by hand wants to see it")]
async fn plays() {
    let seeds = seeds(0..15);
    let plays = seeds
        .clone()
        .map(|seed| tokio::spawn(ids::seeded(seed, play(seed))));
    let mut calls = Vec::new();
    let mut plays = futures_util::stream::iter(plays).buffer_unordered(6);
    while let Some(played) = plays.next().await {
        calls.extend(played.unwrap());
    }
    if seeds.end - seeds.start == 1 {
        println!("{calls:#?}");
        return;
    }
    let mut counts = BTreeMap::new();
    for call in &calls {
        *counts.entry(format!("{call:?}")).or_insert(0) += 1;
    }
    println!("{counts:#?}");
    // A schedule that never strikes would prove nothing.
    let deaths = |(_, fault): &&(_, Fault)| matches!(fault, Fault::DiesBefore | Fault::DiesAfter);
    let deaths = calls.iter().filter(deaths).count();
    assert!(deaths > seeds.count(), "{deaths} deaths");
}
