//! What people do with orders: placing them once, however often they are sent, paying, shipping and ending them, and
//! what becomes of the stock meanwhile. The house takes the money by hand here; `payments.rs` has a provider.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{join, join_all};
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::Error;
use shared::models::Order;
use shared::models::audit::AuditEntry;
use shared::models::order::{OrderLine, Provider};
use shared::store::orders::Placing;
use shared::store::tasks::{GRACE, NewTask};
use shared::tasks::Task;
use tests::{Actor, Answer, PASSWORD, Stage};
use uuid::Uuid;

use crate::books::check_books;
use crate::items::{BULK, MINE, cents, fields_of, item_path, money, offer, sell};
use crate::people::{ME, Post, all_of, delete, members, path_of, settle, staff, texts, work};

pub(crate) const ORDERS: &str = "/api/v1/orders";
const ACTIVITY: &str = "/api/v1/users/me/activity?limit=100";
const JSON: Option<&str> = Some("application/json");

/// The subject of the mail that says what was ordered.
pub(crate) const CONFIRMATION: &str = "We have your order";

/// How long an order may stay unpaid, in seconds, unless it is set.
pub(crate) const DUE: i64 = 300;

const MEMBERS: [&str; 13] = [
    "created_at",
    "currency",
    "due_at",
    "id",
    "items",
    "note",
    "payment",
    "status",
    "subtotal",
    "tax_total",
    "total",
    "updated_at",
    "user_id",
];

const LINE: [&str; 6] = [
    "item_id",
    "line_total",
    "quantity",
    "tax",
    "title",
    "unit_price",
];

/// What can be done to an order that was placed, whoever may do it.
const ACTIONS: [&str; 4] = ["cancel", "pay", "ship", "refund"];

pub(crate) fn order_path(id: &str) -> String {
    format!("{ORDERS}/{id}")
}

/// The body that asks for so many of each of these items.
pub(crate) fn wish(lines: &[(&str, i64)]) -> Value {
    let line = |(id, quantity): &(&str, i64)| json!({"id": id, "quantity": quantity});
    let items: Vec<Value> = lines.iter().map(line).collect();
    json!({"items": items})
}

pub(crate) async fn order(buyer: &Actor<'_>, lines: &[(&str, i64)]) -> Answer {
    buyer.post(ORDERS, wish(lines)).await
}

/// Places an order. Answers its id.
pub(crate) async fn place(buyer: &Actor<'_>, lines: &[(&str, i64)]) -> String {
    order(buyer, lines).await.expect(201).text("id")
}

/// Does something to an order, by the route of this name.
pub(crate) async fn act(actor: &Actor<'_>, order: &str, what: &str) -> Answer {
    let path = format!("{}/{what}", order_path(order));
    actor.send("POST", &path, None, b"").await
}

pub(crate) async fn read(actor: &Actor<'_>, order: &str) -> Value {
    actor.get(&order_path(order)).await.expect(200).json()
}

/// The status of an order, and of its payment.
pub(crate) async fn state(actor: &Actor<'_>, order: &str) -> [String; 2] {
    let order = read(actor, order).await;
    let statuses = [&order["status"], &order["payment"]["status"]];
    statuses.map(|status| status.as_str().unwrap().to_owned())
}

/// What is on hand of an item, what orders hold of it, and what is left, as its owner sees it.
pub(crate) async fn on_hand(seller: &Actor<'_>, item: &str) -> [i64; 3] {
    let item = seller.get(&item_path(item)).await.expect(200).json();
    ["stock", "reserved", "available"].map(|field| item[field].as_i64().unwrap())
}

/// Lets the time of all orders come that were placed until now. The queue holds their messages back for minutes that
/// nobody sets ahead, so it is the sweep that sends them.
pub(crate) async fn when_due(stage: &Stage) {
    stage.later(DUE + 1 + GRACE).await;
    assert_eq!(stage.sweep().await.1, 0, "a task has failed");
}

/// The same person, with a token that is new.
pub(crate) async fn again<'a>(stage: &'a Stage, actor: &Actor<'_>) -> Actor<'a> {
    stage.anon().log_in(&actor.email, PASSWORD).await
}

/// All that is stored but the counts of requests, to be compared: an item's attributes come in any order.
pub(crate) async fn stored(stage: &Stage) -> Vec<String> {
    let items = stage.all_items().await.into_iter();
    let items = items.filter(|item| !item.contains("\"RATE#"));
    let letters = items.map(|item| {
        let mut letters: Vec<char> = item.chars().collect();
        letters.sort_unstable();
        String::from_iter(letters)
    });
    let mut items: Vec<String> = letters.collect();
    items.sort();
    items
}

fn with_key<'a>(buyer: &Actor<'a>, key: &str) -> Actor<'a> {
    buyer.clone().with_header("idempotency-key", key)
}

fn is_replay(answer: &Answer) -> bool {
    match answer.header("idempotent-replay") {
        "" => false,
        "true" => true,
        other => panic!("{other}"),
    }
}

fn time(order: &Value, field: &str) -> Timestamp {
    order[field].as_str().unwrap().parse().unwrap()
}

/// The subtotal, the tax and the total of an order.
fn amounts(order: &Value) -> [i64; 3] {
    ["subtotal", "tax_total", "total"].map(|field| cents(&order[field]))
}

/// The ids of all orders of a list, page after page.
async fn listed(actor: &Actor<'_>, query: &str) -> Vec<String> {
    let orders = all_of(actor, &format!("{ORDERS}?limit=4{query}")).await;
    texts(&orders, "id")
}

/// What somebody's trail tells of an order, the last first.
async fn actions(actor: &Actor<'_>, order: &str) -> Vec<String> {
    let mut entries = all_of(actor, ACTIVITY).await;
    entries.retain(|entry| entry["about_id"] == order);
    texts(&entries, "action")
}

/// The task that looks at an order when it is due, while it waits.
async fn task_of(stage: &Stage, order: &str) -> Task {
    for id in stage.task_ids().await {
        let task = stage.app.store.task(id).await.unwrap().unwrap();
        if task.kind == "process_order" && task.payload.to_string().contains(order) {
            return task.task().unwrap();
        }
    }
    panic!("nobody will look at {order}")
}

#[tokio::test]
async fn an_order_is_what_was_asked_for_at_the_prices_of_that_moment() {
    let stage = Stage::new().await;
    let (seller, buyer) = (stage.user().await, stage.user().await);
    let fields = json!({"price": 199.9, "discount_price": 149.95, "tax": 19, "stock": 12});
    let tent = sell(&seller, "Dome tent", fields).await;
    let peg = sell(&seller, "Peg", json!({"price": 0.5, "stock": 100})).await;
    let fields = json!({"price": 10.1, "tax": 7.5, "stock": 5});
    let lamp = sell(&seller, "Lamp", fields).await;
    let before = stage.app.clock.now();

    // The same item twice is one line, where it was first.
    let mut new = wish(&[(&lamp, 2), (&peg, 20), (&tent, 1), (&lamp, 1)]);
    new["note"] = json!("  Ring twice,\nplease. ");
    let placed = buyer.post(ORDERS, new).await.expect(201);
    assert!(!is_replay(&placed));
    let order = placed.json();
    let id = placed.text("id");
    assert_eq!(placed.header("location"), order_path(&id));
    assert_eq!(members(&order), MEMBERS);
    let payment = json!({"status": "pending", "provider": "manual"});
    for (field, value) in [
        ("user_id", json!(buyer.id)),
        ("status", json!("pending")),
        ("currency", json!("EUR")),
        ("note", json!("Ring twice,\nplease.")),
        ("payment", payment),
        ("updated_at", order["created_at"].clone()),
    ] {
        assert_eq!(order[field], value, "{field}");
    }
    let (created, due) = (time(&order, "created_at"), time(&order, "due_at"));
    assert!(created >= before, "{created} and {before}");
    assert_eq!(due.as_second() - created.as_second(), DUE);

    let lines = order["items"].as_array().unwrap();
    let expected = [
        (&lamp, "Lamp", 3, [1_010, 750, 3_257]),
        (&peg, "Peg", 20, [50, 0, 1_000]),
        (&tent, "Dome tent", 1, [14_995, 1_900, 17_844]),
    ];
    assert_eq!(lines.len(), expected.len());
    for (line, (item, title, quantity, amounts)) in lines.iter().zip(expected) {
        assert_eq!(members(line), LINE);
        assert_eq!(line["item_id"], *item);
        assert_eq!(line["title"], title);
        assert_eq!(line["quantity"], quantity, "{title}");
        let found = ["unit_price", "tax", "line_total"].map(|field| cents(&line[field]));
        assert_eq!(found, amounts, "{title}");
    }
    assert_eq!(amounts(&order), [19_025, 3_076, 22_101]);
    assert_eq!(read(&buyer, &id).await, order);
    assert_eq!(on_hand(&seller, &lamp).await, [5, 3, 2]);
    assert_eq!(on_hand(&seller, &peg).await, [100, 20, 80]);
    assert_eq!(on_hand(&seller, &tent).await, [12, 1, 11]);

    // Little is enough.
    let little = read(&buyer, &place(&buyer, &[(&peg, 1)]).await).await;
    assert_eq!(members(&little), MEMBERS);
    assert_eq!(little["note"], Value::Null);
    assert_eq!(amounts(&little), [50, 0, 50]);
}

#[tokio::test]
async fn the_tax_of_a_line_is_rounded_half_up_once() {
    let stage = Stage::new().await;
    let (seller, buyer) = (stage.user().await, stage.user().await);
    // Price, discount price, tax, how many, and the total of the line, in hundredths. Some would be other totals if
    // each piece were rounded.
    for (price, discount, tax, quantity, total) in [
        (1_010, None, 750, 3, 3_257),
        (5, None, 1_000, 3, 17),
        (5, None, 1_000, 1, 6),
        (4, None, 1_000, 1, 4),
        (4, None, 1_000, 10, 44),
        (1_999, Some(999), 1_900, 2, 2_378),
        (1_233, None, 777, 10, 13_288),
        (1, None, 5_000, 1, 2),
        (1, None, 4_999, 1, 1),
        (1, None, 4_999, 1_000, 1_500),
        (5_000, None, 1, 1, 5_001),
        (33, None, 0, 7, 231),
        (99_999_999_999, None, 10_000, 1_000, 199_999_999_998_000),
    ] {
        let mut fields = json!({"price": money(price), "tax": money(tax), "stock": 1_000});
        if let Some(discount) = discount {
            fields["discount_price"] = money(discount);
        }
        let item = sell(&seller, "Peg", fields).await;
        let placed = order(&buyer, &[(&item, quantity)]).await.expect(201).json();
        let case = format!("{quantity} for {price}, {discount:?}, {tax}");
        assert_eq!(cents(&placed["items"][0]["line_total"]), total, "{case}");
        let net = discount.unwrap_or(price) * quantity;
        assert_eq!(amounts(&placed), [net, total - net, total], "{case}");
    }
    // Each line, and not the sum of them: that would be 11.
    let fields = json!({"price": 0.05, "tax": 10, "stock": 10});
    let one = sell(&seller, "Peg", fields.clone()).await;
    let other = sell(&seller, "Peg", fields).await;
    let placed = order(&buyer, &[(&one, 1), (&other, 1)]).await.expect(201);
    assert_eq!(amounts(&placed.json()), [10, 2, 12]);
}

#[tokio::test]
async fn the_house_sets_the_currency_and_how_long_an_order_waits() {
    let variables = [("CURRENCY", "CHF"), ("ORDER_DUE_SECONDS", "60")];
    let stage = Stage::with(&variables).await;
    let (seller, buyer) = (stage.user().await, stage.user().await);
    let item = sell(&seller, "Peg", json!({"stock": 5})).await;
    let placed = order(&buyer, &[(&item, 2)]).await.expect(201).json();
    assert_eq!(placed["currency"], "CHF");
    let (created, due) = (time(&placed, "created_at"), time(&placed, "due_at"));
    assert_eq!(due.as_second() - created.as_second(), 60);
    stage.later(61 + GRACE).await;
    assert_eq!(stage.sweep().await.1, 0);
    let id = placed["id"].as_str().unwrap();
    assert_eq!(state(&buyer, id).await, ["cancelled", "cancelled"]);
    assert_eq!(on_hand(&seller, &item).await, [5, 0, 5]);
}

#[tokio::test]
async fn what_was_ordered_stays_whatever_becomes_of_the_item() {
    let stage = Stage::new().await;
    let (seller, buyer) = (stage.user().await, stage.user().await);
    let fields = json!({"price": 20, "tax": 19, "stock": 10});
    let item = sell(&seller, "Lamp", fields).await;
    let id = place(&buyer, &[(&item, 2)]).await;
    let before = read(&buyer, &id).await;
    let change = json!({"title": "Lantern", "price": 30, "discount_price": 25, "tax": 7});
    let path = item_path(&item);
    seller.patch(&path, change).await.expect(200);
    assert_eq!(read(&buyer, &id).await, before);

    let later = order(&buyer, &[(&item, 2)]).await.expect(201).json();
    assert_eq!(later["items"][0]["title"], "Lantern");
    assert_eq!(amounts(&later), [5_000, 350, 5_350]);
    // What is not offered any more is held all the same, and comes back.
    let change = json!({"status": "inactive"});
    seller.patch(&path, change).await.expect(200);
    assert_eq!(on_hand(&seller, &item).await, [10, 4, 6]);
    act(&buyer, &id, "cancel").await.expect(200);
    assert_eq!(on_hand(&seller, &item).await, [10, 2, 8]);
    assert_eq!(read(&buyer, &id).await["items"], before["items"]);
}

/// Whoever was read before a price changed pays neither price: all of it is read again.
#[tokio::test]
async fn an_order_at_a_price_that_has_changed_meanwhile_is_not_placed() {
    let stage = Stage::new().await;
    let (seller, buyer) = (stage.user().await, stage.user().await);
    let id = sell(&seller, "Lamp", json!({"stock": 5})).await;
    let read = stage.app.store.item(id.parse().unwrap()).await.unwrap();
    let items = [read.unwrap()];
    let now = stage.app.clock.now();
    let user = buyer.id.parse().unwrap();
    let placing = async |change: Value| {
        seller.patch(&item_path(&id), change).await.expect(200);
        let lines = vec![OrderLine::of(&items[0], 2)];
        let order = Order::new(user, lines, "EUR", Provider::Manual, now, now);
        let audit = AuditEntry::new("order.placed", Some(user), "");
        let placing = Placing {
            order: &order,
            items: &items,
            answer: None,
            most_unpaid: 20,
            audit: &audit,
        };
        stage.app.store.place_order(&placing).await
    };
    for change in [json!({"price": 12}), json!({"status": "inactive"})] {
        let placed = placing(change).await;
        assert!(matches!(placed, Err(Error::Stale)), "{placed:?}");
    }
    assert_eq!(on_hand(&seller, &id).await, [5, 0, 5]);
    assert_eq!(listed(&buyer, "").await, Vec::<String>::new());
}

#[tokio::test]
async fn title_and_price_of_a_line_are_of_one_moment() {
    let stage = Stage::with(&[("MAX_UNPAID_ORDERS", "1000")]).await;
    let (seller, buyer) = (stage.user().await, stage.user().await);
    let item = sell(&seller, "10", json!({"price": 10, "stock": 1_000})).await;
    let path = item_path(&item);
    let changing = async {
        for price in [20, 30, 10].iter().cycle().take(30) {
            let change = json!({"title": price.to_string(), "price": price});
            seller.patch(&path, change).await.expect(200);
        }
    };
    let ordering = async {
        let lines = [(item.as_str(), 1)];
        let mut placed = Vec::new();
        for _ in 0..10 {
            placed.extend(join_all((0..3).map(|_| order(&buyer, &lines))).await);
        }
        placed
    };
    let (_, answers) = join(changing, ordering).await;
    let mut number = 0;
    for answer in answers {
        if answer.status == 409 {
            answer.expect_problem(409, "busy");
            continue;
        }
        let placed = answer.expect(201).json();
        let line = &placed["items"][0];
        let price = format!("{}00", line["title"].as_str().unwrap());
        assert_eq!(cents(&line["unit_price"]).to_string(), price);
        number += 1;
    }
    assert!(number > 0, "nothing was placed");
    assert_eq!(on_hand(&seller, &item).await[1], number);
}

#[tokio::test]
async fn stock_is_held_given_back_and_shipped() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (seller, buyer) = (stage.user().await, stage.user().await);
    let item = sell(&seller, "Lamp", json!({"stock": 10})).await;
    let seen = async || on_hand(&seller, &item).await;
    assert_eq!(seen().await, [10, 0, 10]);
    let first = place(&buyer, &[(&item, 3)]).await;
    assert_eq!(seen().await, [10, 3, 7]);
    let second = place(&buyer, &[(&item, 1), (&item, 1)]).await;
    assert_eq!(seen().await, [10, 5, 5]);
    // Its owner takes nothing away that is held.
    let path = format!("{}/stock", item_path(&item));
    let refused = seller.post(&path, json!({"set": 4})).await;
    refused.expect_problem(409, "stock_reserved");
    // Others see what is left.
    let public = stage.anon().get(&item_path(&item)).await.expect(200).json();
    assert_eq!(
        (&public["reserved"], &public["available"]),
        (&Value::Null, &json!(5))
    );

    let cancelled = act(&buyer, &second, "cancel").await.expect(200).json();
    assert_eq!(members(&cancelled), MEMBERS);
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["payment"]["status"], "cancelled");
    assert!(time(&cancelled, "updated_at") >= time(&cancelled, "created_at"));
    assert_eq!(read(&buyer, &second).await, cancelled);
    assert_eq!(seen().await, [10, 3, 7]);

    let paid = act(&admin, &first, "pay").await.expect(200).json();
    assert_eq!(members(&paid), MEMBERS);
    assert_eq!(state(&buyer, &first).await, ["paid", "paid"]);
    assert_eq!(seen().await, [10, 3, 7]);
    when_due(&stage).await;
    assert_eq!(state(&buyer, &first).await, ["processed", "paid"]);
    assert_eq!(seen().await, [10, 3, 7]);
    let shipped = act(&admin, &first, "ship").await.expect(200).json();
    assert_eq!(shipped["status"], "shipped");
    assert_eq!(state(&buyer, &first).await, ["shipped", "paid"]);
    assert_eq!(seen().await, [7, 0, 7]);

    // All that is left, and its money back: before it is processed, and after.
    for is_processed in [false, true] {
        let all = place(&buyer, &[(&item, 7)]).await;
        assert_eq!(seen().await, [7, 7, 0]);
        let none = order(&buyer, &[(&item, 1)]).await;
        none.expect_problem(409, "insufficient_inventory");
        act(&admin, &all, "pay").await.expect(200);
        if is_processed {
            when_due(&stage).await;
            assert_eq!(state(&buyer, &all).await, ["processed", "paid"]);
        }
        let refunded = act(&admin, &all, "refund").await.expect(200).json();
        assert_eq!(refunded["status"], "refunded");
        assert_eq!(state(&buyer, &all).await, ["refunded", "refunded"]);
        assert_eq!(seen().await, [7, 0, 7]);
    }
}

#[tokio::test]
async fn every_mistake_in_an_order_is_named() {
    let stage = Stage::new().await;
    let (seller, buyer) = (stage.user().await, stage.user().await);
    let item = sell(&seller, "Peg", json!({"stock": 5_000})).await;
    let before = stored(&stage).await;
    let of = |quantity: Value| json!({"items": [{"id": item, "quantity": quantity}]});
    let with = |field: &str, value: Value| {
        let mut new = of(json!(1));
        new[field] = value;
        new
    };
    let many: Vec<String> = (0..41).map(|_| Uuid::now_v7().to_string()).collect();
    let many: Vec<_> = many.iter().map(|id| (id.as_str(), 1)).collect();
    for (new, field, code) in [
        (json!({}), "items", "required"),
        (json!({"items": []}), "items", "too_short"),
        (json!({"items": "many"}), "items", "invalid_type"),
        (json!({"items": null}), "items", "invalid_type"),
        (wish(&many), "items", "too_many"),
        (of(json!(0)), "items[0].quantity", "out_of_range"),
        (of(json!(-1)), "items[0].quantity", "out_of_range"),
        (of(json!(1_001)), "items[0].quantity", "out_of_range"),
        (of(json!(i64::MAX)), "items[0].quantity", "out_of_range"),
        (of(json!(1.5)), "items[0].quantity", "invalid_type"),
        (of(json!("1")), "items[0].quantity", "invalid_type"),
        (of(json!(null)), "items[0].quantity", "invalid_type"),
        (
            json!({"items": [{"id": item}]}),
            "items[0].quantity",
            "required",
        ),
        (
            json!({"items": [{"quantity": 1}]}),
            "items[0].id",
            "required",
        ),
        (
            json!({"items": [{"id": item, "quantity": 1, "price": 1}]}),
            "items[0].price",
            "unknown_field",
        ),
        (with("total", json!(1)), "total", "unknown_field"),
        (with("status", json!("paid")), "status", "unknown_field"),
        (
            with("user_id", json!(seller.id)),
            "user_id",
            "unknown_field",
        ),
        (with("note", json!("x".repeat(1_001))), "note", "too_long"),
        (with("note", json!("a\u{7}b")), "note", "invalid_character"),
        (with("note", json!(7)), "note", "invalid_type"),
    ] {
        let wrong = buyer.post(ORDERS, new.clone()).await;
        let wrong = wrong.expect_problem(422, "validation_failed");
        let told = (field.to_owned(), code.to_owned());
        assert_eq!(wrong.wrong_fields(), [told], "{new}");
    }
    let wrong = json!({"items": [{"id": "peg", "quantity": 1}], "note": 7});
    let wrong = buyer.post(ORDERS, wrong).await;
    let expected = ["items[0].id", "note"].map(str::to_owned);
    assert_eq!(fields_of(wrong), expected.into());
    // As much as two lines have together.
    let merged = order(&buyer, &[(&item, 600), (&item, 401)]).await;
    let merged = fields_of(merged);
    let lines = [0, 1].map(|line| format!("items[{line}].quantity"));
    assert!(
        merged.len() == 1 && lines.iter().any(|line| merged.contains(line)),
        "{merged:?}"
    );

    for body in ["[]", "7", "null", "\"peg\""] {
        let wrong = buyer.send("POST", ORDERS, JSON, body.as_bytes()).await;
        wrong.expect_problem(422, "validation_failed");
    }
    let twice = format!("{{\"items\":[{{\"id\":\"{item}\",\"quantity\":1,\"quantity\":2}}]}}");
    for body in ["", "{", "{\"items\": [}", twice.as_str()] {
        let malformed = buyer.send("POST", ORDERS, JSON, body.as_bytes()).await;
        malformed.expect_problem(400, "malformed_body");
    }
    let body = of(json!(1)).to_string();
    let form = Some("application/x-www-form-urlencoded");
    let other = buyer.send("POST", ORDERS, form, body.as_bytes()).await;
    other.expect_problem(415, "unsupported_media_type");
    assert_eq!(
        stored(&stage).await,
        before,
        "a refused order left something"
    );

    // What just keeps the rules is taken.
    let most = order(&buyer, &[(&item, 600), (&item, 400)]).await;
    assert_eq!(most.expect(201).json()["items"][0]["quantity"], 1_000);
    let noted = with("note", json!("ä".repeat(1_000)));
    buyer.post(ORDERS, noted).await.expect(201);
}

#[tokio::test]
async fn up_to_forty_items_are_ordered_together() {
    let stage = Stage::new().await;
    let (seller, buyer) = (stage.user().await, stage.user().await);
    let offers = (0..41).map(|n| offer(&format!("Peg {n}"), json!({"stock": 3})));
    let offers: Vec<Value> = offers.collect();
    let made = seller.post(BULK, json!({"items": offers})).await;
    let made = made.expect(207).json();
    let made = made["results"].as_array().unwrap().iter();
    let ids: Vec<&str> = made.map(|it| it["item"]["id"].as_str().unwrap()).collect();
    let lines: Vec<(&str, i64)> = ids.iter().map(|id| (*id, 1)).collect();
    let wrong = fields_of(order(&buyer, &lines).await);
    assert_eq!(wrong, ["items".to_owned()].into());

    // Forty, and one of them again.
    let lines = [&lines[..40], &lines[7..8]].concat();
    let id = place(&buyer, &lines).await;
    let placed = read(&buyer, &id).await;
    let items = placed["items"].as_array().unwrap();
    assert_eq!(texts(items, "item_id"), ids[..40]);
    assert_eq!(items[7]["quantity"], 2);
    assert_eq!(amounts(&placed), [41_000, 0, 41_000]);
    assert_eq!(on_hand(&seller, ids[7]).await, [3, 2, 1]);
    assert_eq!(on_hand(&seller, ids[39]).await, [3, 1, 2]);
    assert_eq!(on_hand(&seller, ids[40]).await, [3, 0, 3]);
    act(&buyer, &id, "cancel").await.expect(200);
    for id in ids {
        assert_eq!(on_hand(&seller, id).await, [3, 0, 3]);
    }
}

#[tokio::test]
async fn only_what_is_offered_can_be_ordered() {
    let stage = Stage::new().await;
    let (seller, buyer) = (stage.user().await, stage.user().await);
    let good = sell(&seller, "Peg", json!({"stock": 5})).await;
    let draft = sell(&seller, "Peg", json!({"stock": 5, "status": "draft"})).await;
    let fields = json!({"stock": 5, "status": "inactive"});
    let inactive = sell(&seller, "Peg", fields).await;
    let gone = sell(&seller, "Peg", json!({"stock": 5})).await;
    delete(&seller, &item_path(&gone)).await.expect(204);
    let nobodys = Uuid::now_v7().to_string();
    let before = stored(&stage).await;
    let unknown = |lines: &[usize]| -> Vec<(String, String)> {
        let fields = lines.iter().map(|line| format!("items[{line}].id"));
        fields.map(|f| (f, "unknown_item".to_owned())).collect()
    };
    for actor in [&buyer, &seller] {
        for id in [&draft, &inactive, &gone, &nobodys] {
            let wrong = order(actor, &[(&good, 1), (id, 1)]).await;
            let wrong = wrong.expect_problem(422, "validation_failed");
            assert_eq!(wrong.wrong_fields(), unknown(&[1]));
        }
        // All at once, each where it was first.
        let lines = [
            (&draft, 1),
            (&good, 1),
            (&gone, 1),
            (&draft, 2),
            (&nobodys, 1),
        ];
        let lines = lines.map(|(id, quantity)| (id.as_str(), quantity));
        let wrong = order(actor, &lines).await;
        let wrong = wrong.expect_problem(422, "validation_failed");
        assert_eq!(wrong.wrong_fields(), unknown(&[0, 2, 4]));
    }
    assert_eq!(
        stored(&stage).await,
        before,
        "a refused order left something"
    );
}

#[tokio::test]
async fn every_line_that_is_short_is_named_and_nothing_is_held() {
    let stage = Stage::new().await;
    let (seller, buyer) = (stage.user().await, stage.user().await);
    let mut items = Vec::new();
    for stock in [5, 2, 10, 0] {
        items.push(sell(&seller, "Peg", json!({"stock": stock})).await);
    }
    let before = stored(&stage).await;
    let lines = [(0, 6), (1, 1), (2, 5), (1, 2), (2, 5), (3, 1)];
    let lines = lines.map(|(at, quantity): (usize, i64)| (items[at].as_str(), quantity));
    for buyer in [&buyer, &with_key(&buyer, "short")] {
        let short = order(buyer, &lines).await;
        let short = short.expect_problem(409, "insufficient_inventory");
        let expected = [0, 1, 5].map(|line| {
            let field = format!("items[{line}].quantity");
            (field, "insufficient_inventory".to_owned())
        });
        assert_eq!(short.wrong_fields(), expected);
        for error in short.json()["errors"].as_array().unwrap() {
            assert!(error["message"].is_string(), "{error}");
        }
    }
    assert_eq!(
        stored(&stage).await,
        before,
        "a refused order left something"
    );
    assert_eq!(listed(&buyer, "").await, [""; 0]);
    // As many as there are can be had.
    place(&buyer, &[(&items[0], 5), (&items[1], 2), (&items[2], 10)]).await;
    assert_eq!(on_hand(&seller, &items[2]).await, [10, 10, 0]);
}

#[tokio::test]
async fn an_order_that_is_sent_again_with_its_key_is_placed_once() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    let item = sell(&admin, "Lamp", json!({"stock": 100})).await;
    let keyed = with_key(&ada, "5f1c2a7e-order-1");
    let mut new = wish(&[(&item, 2)]);
    new["note"] = json!("Ring twice");
    let first = keyed.post(ORDERS, new.clone()).await.expect(201);
    assert!(!is_replay(&first));
    let id = first.text("id");
    let is_same = |answer: Answer| {
        let answer = answer.expect(201);
        assert!(is_replay(&answer), "{answer:?}");
        assert_eq!(answer.body, first.body);
        for header in ["location", "content-type"] {
            assert_eq!(answer.header(header), first.header(header));
        }
    };
    for _ in 0..3 {
        is_same(keyed.post(ORDERS, new.clone()).await);
    }
    // It is the request that counts, and not how it is written; nor is the key another one in quotes.
    let written = format!(
        " {{ \"note\" : \"Ring twice\",\n\"items\":[{{\"quantity\": 2, \"id\": \"{item}\"}}]}} "
    );
    let quoted = with_key(&ada, "\"5f1c2a7e-order-1\"");
    for actor in [&keyed, &quoted] {
        is_same(actor.send("POST", ORDERS, JSON, written.as_bytes()).await);
    }
    assert_eq!(on_hand(&admin, &item).await, [100, 2, 98]);
    // The answer stays, though the order goes on.
    act(&admin, &id, "pay").await.expect(200);
    is_same(keyed.post(ORDERS, new.clone()).await);
    act(&admin, &id, "refund").await.expect(200);
    is_same(keyed.post(ORDERS, new.clone()).await);
    // And though the item is none to be ordered any more.
    let change = json!({"status": "inactive"});
    let path = item_path(&item);
    admin.patch(&path, change).await.expect(200);
    is_same(keyed.post(ORDERS, new.clone()).await);
    let change = json!({"status": "active"});
    admin.patch(&path, change).await.expect(200);
    assert_eq!(listed(&ada, "").await, [id.as_str()]);
    assert_eq!(on_hand(&admin, &item).await, [100, 0, 100]);

    // Another order needs another key.
    for other in [wish(&[(&item, 3)]), wish(&[(&item, 2)])] {
        let reused = keyed.post(ORDERS, other).await;
        reused.expect_problem(422, "idempotency_key_reused");
    }
    is_same(keyed.post(ORDERS, new.clone()).await);
    // Nor does a key of hers tell anything to others.
    let his = with_key(&bob, "5f1c2a7e-order-1");
    let his = his.post(ORDERS, new.clone()).await.expect(201);
    assert!(!is_replay(&his));
    assert_eq!(his.json()["user_id"], bob.id);
    assert_ne!(his.text("id"), id);
    // Without a key, each is an order.
    for _ in 0..2 {
        let another = ada.post(ORDERS, new.clone()).await.expect(201);
        assert!(!is_replay(&another));
    }
    assert_eq!(listed(&ada, "").await.len(), 3);
    assert_eq!(on_hand(&admin, &item).await, [100, 6, 94]);
}

#[tokio::test]
async fn a_key_is_remembered_for_a_day() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let buyer = stage.user().await;
    let item = sell(&admin, "Lamp", json!({"stock": 100})).await;
    let lines = [(item.as_str(), 2)];
    let first = order(&with_key(&buyer, "daily"), &lines).await.expect(201);
    stage.later(86_400 - 3_600).await;
    let buyer = again(&stage, &buyer).await;
    let replayed = order(&with_key(&buyer, "daily"), &lines).await.expect(201);
    assert!(is_replay(&replayed));
    assert_eq!(replayed.body, first.body);

    stage.later(3_600 + 1).await;
    let buyer = with_key(&again(&stage, &buyer).await, "daily");
    let second = order(&buyer, &lines).await.expect(201);
    assert!(!is_replay(&second));
    assert_ne!(second.text("id"), first.text("id"));
    // From now on it is this one.
    let replayed = order(&buyer, &lines).await.expect(201);
    assert!(is_replay(&replayed));
    assert_eq!(replayed.body, second.body);
}

#[tokio::test]
async fn a_key_is_short_and_can_be_seen() {
    let stage = Stage::new().await;
    let buyer = stage.user().await;
    let item = sell(&buyer, "Lamp", json!({"stock": 100})).await;
    let before = stored(&stage).await;
    let long = "k".repeat(256);
    for key in ["", "\"\"", "two words", "\"two words\"", "schlüssel", &long] {
        let refused = order(&with_key(&buyer, key), &[(&item, 1)]).await;
        refused.expect_problem(400, "bad_request");
    }
    assert_eq!(
        stored(&stage).await,
        before,
        "a refused order left something"
    );
    for key in [&long[..255], "k", "~!#%&/:;<>?@[]{}|"] {
        let buyer = with_key(&buyer, key);
        let first = order(&buyer, &[(&item, 1)]).await.expect(201);
        let second = order(&buyer, &[(&item, 1)]).await.expect(201);
        assert_eq!((is_replay(&first), is_replay(&second)), (false, true));
    }
    assert_eq!(on_hand(&buyer, &item).await, [100, 3, 97]);
}

#[tokio::test]
async fn a_house_may_want_a_key_for_each_order() {
    let stage = Stage::with(&[("REQUIRE_IDEMPOTENCY_KEY", "true")]).await;
    let buyer = stage.user().await;
    let item = sell(&buyer, "Lamp", json!({"stock": 10})).await;
    let refused = order(&buyer, &[(&item, 1)]).await;
    refused.expect_problem(400, "bad_request");
    place(&with_key(&buyer, "first"), &[(&item, 1)]).await;
    assert_eq!(on_hand(&buyer, &item).await, [10, 1, 9]);
}

#[tokio::test]
async fn a_refused_order_uses_no_key() {
    let stage = Stage::new().await;
    let seller = stage.user().await;
    let buyer = with_key(&stage.user().await, "try");
    let fields = json!({"stock": 1, "status": "draft"});
    let item = sell(&seller, "Lamp", fields).await;
    let lines = [(item.as_str(), 3)];
    let unknown = order(&buyer, &lines).await;
    unknown.expect_problem(422, "validation_failed");
    let change = json!({"status": "active"});
    seller.patch(&item_path(&item), change).await.expect(200);
    let short = order(&buyer, &lines).await;
    short.expect_problem(409, "insufficient_inventory");

    let stock = format!("{}/stock", item_path(&item));
    seller.post(&stock, json!({"set": 5})).await.expect(200);
    let placed = order(&buyer, &lines).await.expect(201);
    assert!(!is_replay(&placed));
    let replayed = order(&buyer, &lines).await.expect(201);
    assert!(is_replay(&replayed));
    assert_eq!(replayed.body, placed.body);
    assert_eq!(on_hand(&seller, &item).await, [5, 3, 2]);
}

#[tokio::test]
async fn of_a_hundred_requests_with_one_key_one_is_placed() {
    let stage = Stage::new().await;
    let seller = stage.user().await;
    let buyer = with_key(&stage.user().await, "once");
    let item = sell(&seller, "Lamp", json!({"stock": 100})).await;
    let lines = [(item.as_str(), 2)];
    let answers = join_all((0..100).map(|_| order(&buyer, &lines))).await;
    let mut bodies = BTreeSet::new();
    let mut placed = 0;
    for answer in answers {
        if answer.status == 409 {
            let code = answer.text("code");
            assert!(matches!(code.as_str(), "busy" | "in_progress"), "{code}");
            continue;
        }
        let answer = answer.expect(201);
        placed += usize::from(!is_replay(&answer));
        bodies.insert(answer.body);
    }
    assert_eq!((placed, bodies.len()), (1, 1));
    // Who was told to try again gets the same.
    let late = order(&buyer, &lines).await.expect(201);
    assert!(is_replay(&late));
    assert_eq!(Some(&late.body), bodies.first());
    assert_eq!(listed(&buyer, "").await, [late.text("id")]);
    assert_eq!(on_hand(&seller, &item).await, [100, 2, 98]);
    check_books(&stage, &BTreeMap::new(), "one key").await;
}

/// Each way to name three items: who takes them in the order of the lines would wait for others for ever.
const WAYS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

#[tokio::test]
async fn of_two_hundred_buyers_of_the_last_ten_ten_get_them() {
    let stage = Stage::with(&[("MAX_UNPAID_ORDERS", "1000")]).await;
    let admin = stage.admin().await;
    let mut items = Vec::new();
    for n in 0..3 {
        items.push(sell(&admin, &format!("Lamp {n}"), json!({"stock": 10})).await);
    }
    let mut buyers = Vec::new();
    for _ in 0..20 {
        buyers.push(stage.user().await);
    }
    let requests = (0..200).map(|n| {
        let (items, buyer) = (&items, &buyers[n % 20]);
        async move {
            let lines = WAYS[n % 6].map(|at| (items[at].as_str(), 1));
            // On a machine that is busy otherwise the table may answer too late. Whoever is told to try again does, with
            // the same key.
            let buyer = buyer.clone().with_header("idempotency-key", &n.to_string());
            for _ in 0..20 {
                let answer = order(&buyer, &lines).await;
                if answer.status != 503 {
                    return answer;
                }
            }
            order(&buyer, &lines).await
        }
    });
    let answers = join_all(requests).await;
    let (done, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((done.len(), refused.len()), (10, 190));
    for answer in refused {
        let answer = answer.expect_problem(409, "insufficient_inventory");
        assert!(!answer.wrong_fields().is_empty(), "{answer:?}");
    }
    let placed = all_of(&admin, &format!("{ORDERS}?limit=100")).await;
    assert_eq!(placed.len(), 10);
    for item in &items {
        let lines = placed
            .iter()
            .flat_map(|order| order["items"].as_array().unwrap());
        let of_item = lines.filter(|line| line["item_id"] == *item);
        let sold: i64 = of_item.map(|line| line["quantity"].as_i64().unwrap()).sum();
        let [stock, reserved, available] = on_hand(&admin, item).await;
        assert_eq!((stock, reserved, available), (10, sold, 0));
        assert_eq!(sold + available, 10);
    }
    let start = items.iter().map(|id| (id.clone(), 10)).collect();
    check_books(&stage, &start, "the last ten").await;
}

#[tokio::test]
async fn an_order_goes_its_way_and_no_other() {
    let stage = Stage::new().await;
    let (admin, buyer) = (stage.admin().await, stage.user().await);
    let item = sell(&admin, "Lamp", json!({"stock": 100})).await;
    let lines = [(item.as_str(), 2)];
    let [processed, shipped, sent_back] = [
        place(&buyer, &lines).await,
        place(&buyer, &lines).await,
        place(&buyer, &lines).await,
    ];
    for id in [&processed, &shipped, &sent_back] {
        act(&admin, id, "pay").await.expect(200);
    }
    when_due(&stage).await;
    act(&admin, &shipped, "ship").await.expect(200);
    act(&admin, &sent_back, "refund").await.expect(200);
    let [pending, paid, cancelled, refunded] = [
        place(&buyer, &lines).await,
        place(&buyer, &lines).await,
        place(&buyer, &lines).await,
        place(&buyer, &lines).await,
    ];
    act(&admin, &paid, "pay").await.expect(200);
    act(&buyer, &cancelled, "cancel").await.expect(200);
    act(&admin, &refunded, "pay").await.expect(200);
    act(&admin, &refunded, "refund").await.expect(200);

    let held = on_hand(&admin, &item).await;
    assert_eq!(held, [98, 6, 92]);
    let table: [(&str, [&str; 2], &[&str]); 7] = [
        (&pending, ["pending", "pending"], &["cancel", "pay"]),
        (&paid, ["paid", "paid"], &["refund"]),
        (&processed, ["processed", "paid"], &["ship", "refund"]),
        (&shipped, ["shipped", "paid"], &[]),
        (&cancelled, ["cancelled", "cancelled"], &[]),
        (&refunded, ["refunded", "refunded"], &[]),
        (&sent_back, ["refunded", "refunded"], &[]),
    ];
    for (id, status, legal) in table {
        assert_eq!(state(&buyer, id).await, status);
        let before = admin.get(&order_path(id)).await.expect(200);
        let illegal = ACTIONS.into_iter().filter(|action| !legal.contains(action));
        for action in illegal {
            let refused = act(&admin, id, action).await;
            refused.expect_problem(409, "illegal_transition");
            if action == "cancel" {
                let refused = act(&buyer, id, action).await;
                refused.expect_problem(409, "illegal_transition");
            }
            let after = admin.get(&order_path(id)).await.expect(200);
            assert_eq!(after.body, before.body, "{action} of {status:?}");
            assert_eq!(after.header("etag"), before.header("etag"));
        }
    }
    assert_eq!(on_hand(&admin, &item).await, held);
}

#[tokio::test]
async fn of_many_who_cancel_at_once_one_does() {
    let stage = Stage::new().await;
    let (admin, buyer) = (stage.admin().await, stage.user().await);
    let item = sell(&admin, "Lamp", json!({"stock": 10})).await;
    let id = place(&buyer, &[(&item, 3)]).await;
    place(&buyer, &[(&item, 4)]).await;
    let answers = join_all((0..20).map(|n| {
        let actor = if n % 4 == 0 { &admin } else { &buyer };
        act(actor, &id, "cancel")
    }));
    let (done, refused): (Vec<_>, Vec<_>) = answers
        .await
        .into_iter()
        .partition(|answer| answer.status == 200);
    assert_eq!((done.len(), refused.len()), (1, 19));
    for answer in refused {
        answer.expect(409);
    }
    assert_eq!(state(&buyer, &id).await, ["cancelled", "cancelled"]);
    assert_eq!(on_hand(&admin, &item).await, [10, 4, 6]);
    check_books(&stage, &BTreeMap::new(), "twenty cancel").await;
}

#[tokio::test]
async fn an_order_is_either_cancelled_or_paid() {
    let stage = Stage::new().await;
    let (admin, buyer) = (stage.admin().await, stage.user().await);
    let item = sell(&admin, "Lamp", json!({"stock": 100})).await;
    let mut held = 0;
    for round in 0..8 {
        let id = place(&buyer, &[(&item, 3)]).await;
        let (cancelled, paid) = match round % 2 {
            0 => join(act(&buyer, &id, "cancel"), act(&admin, &id, "pay")).await,
            _ => {
                let both = join(act(&admin, &id, "pay"), act(&buyer, &id, "cancel")).await;
                (both.1, both.0)
            }
        };
        let statuses = [cancelled.status.as_u16(), paid.status.as_u16()];
        let expected = match statuses {
            [200, 409] => ["cancelled", "cancelled"],
            [409, 200] => {
                held += 3;
                ["paid", "paid"]
            }
            _ => panic!("{cancelled:?} and {paid:?}"),
        };
        assert_eq!(state(&buyer, &id).await, expected);
        assert_eq!(on_hand(&admin, &item).await, [100, held, 100 - held]);
    }
    check_books(&stage, &BTreeMap::new(), "cancelled or paid").await;
}

#[tokio::test]
async fn whoever_acts_when_the_time_is_over_is_in_time_or_late() {
    let stage = Stage::new().await;
    let (mut admin, mut buyer) = (stage.admin().await, stage.user().await);
    let item = sell(&admin, "Lamp", json!({"stock": 100})).await;
    let mut held = 0;
    for action in ["cancel", "pay", "cancel", "pay"] {
        let id = place(&buyer, &[(&item, 3)]).await;
        stage.later(DUE + 1 + GRACE).await;
        (admin, buyer) = (again(&stage, &admin).await, again(&stage, &buyer).await);
        let (done, _) = join(act(&admin, &id, action), stage.sweep()).await;
        if done.status != 200 {
            done.expect(409);
        }
        // The task may have lost, and tries again.
        settle(&stage).await;
        let state = state(&buyer, &id).await;
        let is_paid = action == "pay" && state == ["processed", "paid"];
        assert!(is_paid || state == ["cancelled", "cancelled"], "{state:?}");
        held += if is_paid { 3 } else { 0 };
        assert_eq!(on_hand(&admin, &item).await, [100, held, 100 - held]);
    }
    check_books(&stage, &BTreeMap::new(), "at the last moment").await;
}

#[tokio::test]
async fn what_is_not_paid_in_time_is_given_back() {
    let stage = Stage::new().await;
    let (admin, buyer) = (stage.admin().await, stage.user().await);
    let item = sell(&admin, "Lamp", json!({"stock": 10})).await;
    let id = place(&buyer, &[(&item, 3)]).await;
    work(&stage).await;
    // Not a moment too soon.
    stage.later(DUE - 10).await;
    assert_eq!(stage.sweep().await.1, 0);
    assert_eq!(state(&buyer, &id).await, ["pending", "pending"]);
    assert_eq!(on_hand(&admin, &item).await, [10, 3, 7]);
    stage.later(11 + GRACE).await;
    assert_eq!(stage.sweep().await.1, 0);
    assert_eq!(state(&buyer, &id).await, ["cancelled", "cancelled"]);
    assert_eq!(on_hand(&admin, &item).await, [10, 0, 10]);
    let late = act(&admin, &id, "pay").await;
    late.expect_problem(409, "illegal_transition");
}

#[tokio::test]
async fn what_is_paid_in_time_is_processed_and_confirmed_once() {
    let post = Post::new().await;
    let stage = &post.stage;
    let (admin, buyer) = (stage.admin().await, stage.user().await);
    let fields = json!({"price": 19.99, "tax": 19, "stock": 5});
    let tent = sell(&admin, "Dome tent", fields).await;
    let fields = json!({"price": 10.1, "tax": 7.5, "stock": 50});
    let lamp = sell(&admin, "Lamp <i>new</i>", fields).await;
    let paid = place(&buyer, &[(&tent, 1), (&lamp, 3)]).await;
    let unpaid = place(&buyer, &[(&lamp, 2)]).await;
    let given_back = place(&buyer, &[(&lamp, 4)]).await;
    for id in [&paid, &given_back] {
        act(&admin, id, "pay").await.expect(200);
    }
    act(&admin, &given_back, "refund").await.expect(200);
    let mails = post.new_mails().await;
    assert!(mails.iter().all(|mail| mail.subject != CONFIRMATION));

    when_due(stage).await;
    assert_eq!(state(&buyer, &paid).await, ["processed", "paid"]);
    assert_eq!(state(&buyer, &unpaid).await, ["cancelled", "cancelled"]);
    assert_eq!(state(&buyer, &given_back).await, ["refunded", "refunded"]);
    assert_eq!(on_hand(&admin, &lamp).await, [50, 3, 47]);
    let mails = post.new_mails().await;
    let [mail] = &mails[..] else {
        panic!("{mails:#?}")
    };
    assert_eq!(
        (mail.to.as_str(), mail.subject.as_str()),
        (buyer.email.as_str(), CONFIRMATION)
    );
    for told in [
        "Dome tent",
        "Lamp <i>new</i>",
        "23.79",
        "32.57",
        "56.36",
        &paid,
    ] {
        assert!(mail.text.contains(told), "no {told} in {}", mail.text);
    }
    for told in ["Dome tent", "23.79", "32.57", "56.36"] {
        assert!(mail.html.contains(told), "no {told} in {}", mail.html);
    }
    assert!(!mail.html.contains("<i>new"), "{}", mail.html);
    settle(stage).await;
    assert_eq!(post.new_mails().await.len(), 0);
}

#[tokio::test]
async fn however_often_an_order_is_looked_at_it_goes_on_once() {
    let post = Post::new().await;
    let stage = &post.stage;
    let (admin, buyer) = (stage.admin().await, stage.user().await);
    let item = sell(&admin, "Lamp", json!({"stock": 10})).await;
    let [paid, unpaid, shipped] = [
        place(&buyer, &[(&item, 3)]).await,
        place(&buyer, &[(&item, 2)]).await,
        place(&buyer, &[(&item, 1)]).await,
    ];
    let mut tasks = Vec::new();
    for id in [&paid, &unpaid, &shipped] {
        tasks.push(task_of(stage, id).await);
    }
    // Each twice more.
    let look_again = async || {
        for task in tasks.iter().chain(&tasks) {
            let task = NewTask::new(task.clone());
            stage.app.store.add_task(&task).await.unwrap();
        }
    };
    for id in [&paid, &shipped] {
        act(&admin, id, "pay").await.expect(200);
    }
    post.new_mails().await;
    // All at the same time, when there is something to do.
    stage.later(DUE + 1 + GRACE).await;
    look_again().await;
    stage.sweep().await;
    settle(stage).await;
    assert_eq!(state(&buyer, &unpaid).await, ["cancelled", "cancelled"]);
    for id in [&paid, &shipped] {
        assert_eq!(state(&buyer, id).await, ["processed", "paid"]);
    }
    assert_eq!(on_hand(&admin, &item).await, [10, 4, 6]);
    let mails = post.new_mails().await;
    assert!(mails.iter().all(|mail| mail.subject == CONFIRMATION));
    for id in [&paid, &shipped] {
        let of_order = mails.iter().filter(|mail| mail.text.contains(id.as_str()));
        assert_eq!(of_order.count(), 1, "{mails:#?}");
    }

    // And when there is not.
    act(&admin, &shipped, "ship").await.expect(200);
    let seen = async || {
        let mut orders = Vec::new();
        for id in [&paid, &unpaid, &shipped] {
            orders.push(read(&buyer, id).await);
        }
        (orders, on_hand(&admin, &item).await)
    };
    let before = seen().await;
    assert_eq!(before.1, [9, 3, 6]);
    look_again().await;
    work(stage).await;
    assert_eq!(seen().await, before);
    assert_eq!(post.new_mails().await.len(), 0);
}

#[tokio::test]
async fn nobody_has_too_many_unpaid_orders() {
    let stage = Stage::with(&[("MAX_UNPAID_ORDERS", "2")]).await;
    let admin = stage.admin().await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    let item = sell(&admin, "Lamp", json!({"stock": 100})).await;
    let lines = [(item.as_str(), 1)];
    let keyed = with_key(&ada, "first");
    let first = place(&keyed, &lines).await;
    let second = place(&ada, &lines).await;
    let before = stored(&stage).await;
    for buyer in [&ada, &with_key(&ada, "third")] {
        let third = order(buyer, &lines).await;
        third.expect_problem(409, "limit_reached");
    }
    assert_eq!(
        stored(&stage).await,
        before,
        "a refused order left something"
    );
    // What was placed is answered all the same, and others are not concerned.
    let replayed = order(&keyed, &lines).await.expect(201);
    assert_eq!(
        (is_replay(&replayed), replayed.text("id")),
        (true, first.clone())
    );
    place(&bob, &lines).await;

    // One that is cancelled or paid makes room, once.
    act(&ada, &first, "cancel").await.expect(200);
    act(&ada, &first, "cancel").await.expect(409);
    place(&with_key(&ada, "third"), &lines).await;
    order(&ada, &lines)
        .await
        .expect_problem(409, "limit_reached");
    act(&admin, &second, "pay").await.expect(200);
    place(&ada, &lines).await;
    order(&ada, &lines)
        .await
        .expect_problem(409, "limit_reached");
    act(&admin, &second, "refund").await.expect(200);
    order(&ada, &lines)
        .await
        .expect_problem(409, "limit_reached");
    // So does one whose time is over.
    when_due(&stage).await;
    place(&ada, &lines).await;
    place(&ada, &lines).await;
    order(&ada, &lines)
        .await
        .expect_problem(409, "limit_reached");
}

#[tokio::test]
async fn of_ten_orders_at_once_as_many_are_placed_as_may_be_unpaid() {
    let stage = Stage::with(&[("MAX_UNPAID_ORDERS", "2")]).await;
    let buyer = stage.user().await;
    let item = sell(&buyer, "Lamp", json!({"stock": 100})).await;
    let lines = [(item.as_str(), 1)];
    let answers = join_all((0..10).map(|_| order(&buyer, &lines))).await;
    let (done, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((done.len(), refused.len()), (2, 8));
    for answer in refused {
        answer.expect_problem(409, "limit_reached");
    }
    assert_eq!(on_hand(&buyer, &item).await, [100, 2, 98]);
}

#[tokio::test]
async fn an_order_is_its_owners_and_the_staffs() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let moderator = staff(&stage, &admin, "moderator").await;
    let manager = staff(&stage, &admin, "manager").await;
    let (buyer, stranger) = (stage.user().await, stage.user().await);
    // Who sells something does not see who buys it.
    let item = sell(&stranger, "Lamp", json!({"stock": 100})).await;
    let lines = [(item.as_str(), 2)];
    let id = place(&buyer, &lines).await;
    let before = read(&buyer, &id).await;
    let nobodys = Uuid::now_v7().to_string();
    let everything = ACTIONS.into_iter().chain(["payment"]);
    for actor in [&stranger, &moderator] {
        let hidden = actor.get(&order_path(&id)).await;
        let missing = actor.get(&order_path(&nobodys)).await;
        let hidden = hidden.expect_problem(404, "not_found").text("detail");
        assert_eq!(
            hidden,
            missing.expect_problem(404, "not_found").text("detail")
        );
        for what in everything.clone() {
            let hidden = act(actor, &id, what).await;
            hidden.expect_problem(404, "not_found");
        }
        assert_eq!(listed(actor, "").await, [""; 0]);
    }
    for actor in [&buyer, &manager, &admin] {
        for nothing in [nobodys.as_str(), "no-uuid"] {
            let missing = actor.get(&order_path(nothing)).await;
            missing.expect_problem(404, "not_found");
            for what in ACTIONS {
                let missing = act(actor, nothing, what).await;
                missing.expect_problem(404, "not_found");
            }
        }
    }
    let anon = stage.anon();
    for path in [ORDERS.to_owned(), order_path(&id)] {
        anon.get(&path).await.expect_problem(401, "token_missing");
    }
    order(&anon, &lines)
        .await
        .expect_problem(401, "token_missing");
    for what in everything {
        let refused = act(&anon, &id, what).await;
        refused.expect_problem(401, "token_missing");
    }
    // Money and parcels are not the buyer's.
    for what in ["pay", "ship", "refund"] {
        let refused = act(&buyer, &id, what).await;
        let refused = refused.expect_problem(403, "insufficient_scope");
        let challenge = refused.header("www-authenticate");
        assert!(challenge.contains("scope=\"orders:manage\""), "{challenge}");
    }
    assert_eq!(read(&buyer, &id).await, before);

    for actor in [&manager, &admin] {
        assert_eq!(read(actor, &id).await, before);
        // Nobody pays for others.
        let hidden = act(actor, &id, "payment").await;
        hidden.expect_problem(404, "not_found");
    }
    for actor in [&manager, &admin] {
        let cancelled = place(&buyer, &lines).await;
        act(actor, &cancelled, "cancel").await.expect(200);
        let refunded = place(&buyer, &lines).await;
        act(actor, &refunded, "pay").await.expect(200);
        act(actor, &refunded, "refund").await.expect(200);
        let shipped = place(&buyer, &lines).await;
        act(actor, &shipped, "pay").await.expect(200);
        when_due(&stage).await;
        act(actor, &shipped, "ship").await.expect(200);
    }
    assert_eq!(on_hand(&stranger, &item).await, [96, 0, 96]);
}

#[tokio::test]
async fn who_must_verify_the_address_first_orders_nothing() {
    let post = Post::with(&[("REQUIRE_VERIFIED_EMAIL", "true")]).await;
    let admin = post.stage.admin().await;
    post.new_mails().await;
    let item = sell(&admin, "Lamp", json!({"stock": 5})).await;
    let ada = post.stage.user().await;
    let refused = order(&ada, &[(&item, 1)]).await;
    refused.expect_problem(403, "email_not_verified");
    ada.get(ORDERS).await.expect(200);
    post.verify().await.expect(204);
    place(&ada, &[(&item, 1)]).await;
}

#[tokio::test]
async fn orders_are_listed_to_whom_they_concern_the_newest_first() {
    let stage = Stage::with(&[("MAX_UNPAID_ORDERS", "100")]).await;
    let admin = stage.admin().await;
    let moderator = staff(&stage, &admin, "moderator").await;
    let manager = staff(&stage, &admin, "manager").await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    let item = sell(&admin, "Lamp", json!({"stock": 1_000})).await;
    let lines = [(item.as_str(), 1)];
    let (mut hers, mut his) = (Vec::new(), Vec::new());
    for n in 0..12 {
        hers.push(place(&ada, &lines).await);
        if n % 4 == 0 {
            his.push(place(&bob, &lines).await);
        }
    }
    for at in [2, 5] {
        act(&ada, &hers[at], "cancel").await.expect(200);
    }
    act(&admin, &hers[7], "pay").await.expect(200);
    act(&bob, &his[1], "cancel").await.expect(200);
    let newest_first = |ids: &[&String]| {
        let mut ids: Vec<String> = ids.iter().map(|id| (*id).clone()).collect();
        ids.sort();
        ids.reverse();
        ids
    };
    let all_hers = newest_first(&Vec::from_iter(&hers));
    let all_his = newest_first(&Vec::from_iter(&his));
    let cancelled = newest_first(&[&hers[2], &hers[5]]);
    let not_pending = [&hers[2], &hers[5], &hers[7]];
    let pending = hers.iter().filter(|id| !not_pending.contains(id));
    let pending = newest_first(&pending.collect::<Vec<_>>());
    for (query, expected) in [
        (String::new(), &all_hers),
        ("&status=cancelled".to_owned(), &cancelled),
        ("&status=paid".to_owned(), &vec![hers[7].clone()]),
        ("&status=pending".to_owned(), &pending),
        ("&status=shipped".to_owned(), &Vec::new()),
        (format!("&user={}", ada.id), &all_hers),
        (format!("&user={}&status=cancelled", ada.id), &cancelled),
    ] {
        assert_eq!(&listed(&ada, &query).await, expected, "{query}");
    }
    let everything = newest_first(&hers.iter().chain(&his).collect::<Vec<_>>());
    let all_cancelled = newest_first(&[&hers[2], &hers[5], &his[1]]);
    let open = everything
        .iter()
        .filter(|id| **id != hers[7] && !all_cancelled.contains(id));
    let open: Vec<String> = open.cloned().collect();
    for reader in [&manager, &admin] {
        for (query, expected) in [
            (String::new(), &everything),
            ("&status=cancelled".to_owned(), &all_cancelled),
            ("&status=pending".to_owned(), &open),
            ("&status=refunded".to_owned(), &Vec::new()),
            (format!("&user={}", bob.id), &all_his),
            (format!("&user={}&status=cancelled", ada.id), &cancelled),
            (format!("&user={}", reader.id), &Vec::new()),
            (format!("&user={}", Uuid::now_v7()), &Vec::new()),
        ] {
            assert_eq!(&listed(reader, &query).await, expected, "{query}");
        }
    }
    // Others are asked for by the staff only.
    for (reader, user) in [(&bob, &ada), (&ada, &admin), (&moderator, &ada)] {
        let refused = reader.get(&format!("{ORDERS}?user={}", user.id)).await;
        let refused = refused.expect_problem(403, "insufficient_scope");
        let challenge = refused.header("www-authenticate");
        assert!(challenge.contains("scope=\"orders:read\""), "{challenge}");
    }
    assert_eq!(listed(&moderator, "").await, [""; 0]);

    // What is listed is what is read.
    let page = ada.get(&format!("{ORDERS}?limit=100")).await.expect(200);
    let page = page.json();
    assert_eq!(
        (&page["total"], &page["total_relation"]),
        (&json!(12), &json!("eq"))
    );
    for order in page["items"].as_array().unwrap() {
        let id = order["id"].as_str().unwrap();
        assert_eq!(read(&ada, id).await, *order);
    }
    for (reader, all) in [(&ada, &all_hers), (&admin, &everything)] {
        let page = reader.get(&format!("{ORDERS}?skip=10&limit=5")).await;
        let page = page.expect(200).json();
        assert_eq!((&page["page"], &page["size"]), (&json!(3), &json!(5)));
        let end = all.len().min(15);
        let items = page["items"].as_array().unwrap();
        assert_eq!(texts(items, "id"), all[10..end]);
    }
}

#[tokio::test]
async fn a_list_of_orders_refuses_what_it_does_not_know() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    let item = sell(&admin, "Lamp", json!({"stock": 100})).await;
    for buyer in [&ada, &bob, &ada, &bob, &ada] {
        place(buyer, &[(&item, 1)]).await;
    }
    for reader in [&ada, &admin] {
        for (query, field) in [
            ("status=lost", "status"),
            ("status=Paid", "status"),
            ("user=nobody", "user"),
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("skip=-1", "skip"),
        ] {
            let wrong = reader.get(&format!("{ORDERS}?{query}")).await;
            assert_eq!(fields_of(wrong), [field.to_owned()].into(), "{query}");
        }
        let deep = reader.get(&format!("{ORDERS}?skip=10001")).await;
        deep.expect_problem(400, "skip_too_deep");
        for cursor in ["nonsense", "W10", "WyIiLCIiLCIiXQ", "%00"] {
            for filter in ["", "&status=pending"] {
                let path = format!("{ORDERS}?cursor={cursor}{filter}");
                let wrong = reader.get(&path).await;
                wrong.expect_problem(400, "invalid_cursor");
            }
        }
    }
    // A cursor of hers shows somebody else their own orders only.
    let page = ada.get(&format!("{ORDERS}?limit=1")).await.expect(200);
    let cursor = page.text("next_cursor");
    let seen = bob.get(&format!("{ORDERS}?cursor={cursor}")).await;
    if seen.status != 200 {
        seen.expect_problem(400, "invalid_cursor");
        return;
    }
    for order in seen.json()["items"].as_array().unwrap() {
        assert_eq!(order["user_id"], bob.id);
    }
}

#[tokio::test]
async fn who_knows_an_order_is_told_in_a_few_bytes_that_it_is_the_same() {
    let stage = Stage::new().await;
    let (admin, buyer) = (stage.admin().await, stage.user().await);
    let item = sell(&admin, "Lamp", json!({"stock": 10})).await;
    let id = place(&buyer, &[(&item, 1)]).await;
    let path = order_path(&id);
    let tag = buyer.get(&path).await.expect(200).header("etag").to_owned();
    assert!(!tag.is_empty());
    for actor in [&buyer, &admin] {
        let polling = actor.clone().with_header("if-none-match", &tag);
        let same = polling.get(&path).await.expect(304);
        assert_eq!(
            (same.body.as_slice(), same.header("etag")),
            (&b""[..], tag.as_str())
        );
    }
    act(&admin, &id, "pay").await.expect(200);
    let polling = buyer.with_header("if-none-match", &tag);
    let now = polling.get(&path).await.expect(200);
    assert_eq!(now.json()["status"], "paid");
    assert_ne!(now.header("etag"), tag);
}

#[tokio::test]
async fn who_is_not_active_any_more_orders_and_sees_nothing() {
    let stage = Stage::new().await;
    let (admin, buyer) = (stage.admin().await, stage.user().await);
    let item = sell(&admin, "Lamp", json!({"stock": 10})).await;
    let lines = [(item.as_str(), 3)];
    let keyed = with_key(&buyer, "before");
    let id = place(&keyed, &lines).await;
    let path = format!("{}/deactivate", path_of(&buyer.id));
    admin.send("POST", &path, None, b"").await.expect(200);
    for answer in [
        order(&buyer, &lines).await,
        order(&keyed, &lines).await,
        buyer.get(ORDERS).await,
        buyer.get(&order_path(&id)).await,
        act(&buyer, &id, "cancel").await,
        act(&buyer, &id, "payment").await,
    ] {
        answer.expect_problem(401, "invalid_token");
    }
    // What they hold comes back in its time.
    assert_eq!(on_hand(&admin, &item).await, [10, 3, 7]);
    when_due(&stage).await;
    assert_eq!(state(&admin, &id).await, ["cancelled", "cancelled"]);
    assert_eq!(on_hand(&admin, &item).await, [10, 0, 10]);
}

#[tokio::test]
async fn an_order_goes_on_though_its_item_is_deleted() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (seller, buyer) = (stage.user().await, stage.user().await);
    let gone = sell(&seller, "Lamp", json!({"stock": 20})).await;
    let kept = sell(&seller, "Peg", json!({"stock": 20})).await;
    let lines = [(gone.as_str(), 2), (kept.as_str(), 1)];
    let [cancelled, expired, shipped, refunded] = [
        place(&buyer, &lines).await,
        place(&buyer, &lines).await,
        place(&buyer, &lines).await,
        place(&buyer, &lines).await,
    ];
    act(&admin, &shipped, "pay").await.expect(200);
    act(&admin, &refunded, "pay").await.expect(200);
    let before = read(&buyer, &shipped).await;
    let path = item_path(&gone);
    delete(&seller, &path).await.expect(204);
    work(&stage).await;
    assert_eq!(read(&buyer, &shipped).await, before);

    act(&buyer, &cancelled, "cancel").await.expect(200);
    act(&admin, &refunded, "refund").await.expect(200);
    assert_eq!(on_hand(&seller, &kept).await, [20, 2, 18]);
    when_due(&stage).await;
    act(&admin, &shipped, "ship").await.expect(200);
    for (id, status) in [
        (&cancelled, ["cancelled", "cancelled"]),
        (&expired, ["cancelled", "cancelled"]),
        (&shipped, ["shipped", "paid"]),
        (&refunded, ["refunded", "refunded"]),
    ] {
        assert_eq!(state(&buyer, id).await, status);
    }
    assert_eq!(on_hand(&seller, &kept).await, [19, 0, 19]);
    // None of this has brought back a part of what is gone.
    let pk = format!("\"ITEM#{gone}\"");
    let items = stage.all_items().await;
    assert!(!items.iter().any(|item| item.contains(&pk)), "it is back");
    seller.get(&path).await.expect_problem(404, "not_found");
    let mine = all_of(&seller, &format!("{MINE}?limit=10")).await;
    assert_eq!(texts(&mine, "id"), [kept]);
}

#[tokio::test]
async fn the_orders_of_somebody_who_is_gone_tell_nothing_of_them() {
    let post = Post::new().await;
    let stage = &post.stage;
    let (admin, buyer) = (stage.admin().await, stage.user().await);
    let item = sell(&admin, "Lamp", json!({"stock": 10})).await;
    let mut ids = Vec::new();
    for quantity in [2, 3] {
        let mut new = wish(&[(&item, quantity)]);
        new["note"] = json!("The quokka opens the door.");
        let keyed = with_key(&buyer, &format!("wombat-{quantity}"));
        ids.push(keyed.post(ORDERS, new).await.expect(201).text("id"));
    }
    let (open, paid) = (&ids[0], &ids[1]);
    act(&admin, paid, "pay").await.expect(200);
    post.new_mails().await;
    let personal = ["quokka", "wombat", buyer.email.as_str()];
    let items = stage.all_items().await.join("\n");
    for text in personal {
        assert!(items.contains(text), "{text} was never there");
    }

    delete(&buyer, ME).await.expect(204);
    work(stage).await;
    for item in stage.all_items().await {
        for text in personal {
            assert!(!item.contains(text), "{text} is left: {item}");
        }
    }
    for (id, status) in [(open, "pending"), (paid, "paid")] {
        let order = read(&admin, id).await;
        assert_eq!(order["status"], status);
        assert_eq!(order["note"], Value::Null);
    }
    // What nobody pays any more comes back, and nobody gets a mail.
    when_due(stage).await;
    assert_eq!(state(&admin, open).await, ["cancelled", "cancelled"]);
    assert_eq!(state(&admin, paid).await, ["processed", "paid"]);
    assert_eq!(on_hand(&admin, &item).await, [10, 3, 7]);
    assert_eq!(post.new_mails().await.len(), 0);
    act(&admin, paid, "ship").await.expect(200);
    assert_eq!(on_hand(&admin, &item).await, [7, 0, 7]);

    // The orders stay, and the trail without addresses; nothing else comes again.
    for item in stage.all_items().await {
        for text in personal {
            assert!(!item.contains(text), "{text} is back: {item}");
        }
        if item.contains(&format!("\"USER#{}\"", buyer.id)) {
            let is_past = item.contains("\"PAST#");
            assert!(is_past || item.contains("\"ORDER#"), "{item}");
            assert!(!is_past || item.contains("\"ip\": S(\"\")"), "{item}");
        } else if item.contains(&buyer.id) {
            // Limits are counted by the id; tasks that are done and links that were sent end by themselves.
            let known = ["\"RATE#", "\"TASK#", "\"TOKEN#"];
            assert!(known.iter().any(|start| item.contains(start)), "{item}");
        }
    }
    let listed = listed(&admin, &format!("&user={}", buyer.id)).await;
    assert_eq!(listed, [paid.clone(), open.clone()]);
}

#[tokio::test]
async fn what_is_done_to_orders_is_noted() {
    let stage = Stage::new().await;
    let (admin, buyer) = (stage.admin().await, stage.user().await);
    let item = sell(&admin, "Lamp", json!({"stock": 10})).await;
    let lines = [(item.as_str(), 1)];
    let keyed = with_key(&buyer, "once");
    let cancelled = place(&keyed, &lines).await;
    place(&keyed, &lines).await;
    act(&buyer, &cancelled, "cancel").await.expect(200);
    act(&buyer, &cancelled, "cancel").await.expect(409);
    let noted = actions(&buyer, &cancelled).await;
    assert_eq!(noted, ["order.cancelled", "order.placed"]);

    // What others have done stands in their trail, and what nobody has done in the buyer's.
    let refunded = place(&buyer, &lines).await;
    act(&admin, &refunded, "pay").await.expect(200);
    act(&admin, &refunded, "refund").await.expect(200);
    assert_eq!(actions(&buyer, &refunded).await, ["order.placed"]);
    let noted = actions(&admin, &refunded).await;
    assert_eq!(noted, ["order.refunded", "order.paid"]);
    let expired = place(&buyer, &lines).await;
    when_due(&stage).await;
    let noted = actions(&buyer, &expired).await;
    assert_eq!(noted, ["order.expired", "order.placed"]);
    let entries = all_of(&buyer, ACTIVITY).await;
    let mut entries = entries.iter().filter(|entry| entry["about_id"] == expired);
    assert_eq!(entries.next().unwrap()["actor_id"], Value::Null);
    assert_eq!(entries.next().unwrap()["actor_id"], buyer.id);
}

#[tokio::test]
async fn what_orders_cost() {
    let stage = Stage::new().await;
    let (admin, buyer) = (stage.admin().await, stage.user().await);
    let lamp = sell(&admin, "Lamp", json!({"stock": 100})).await;
    let peg = sell(&admin, "Peg", json!({"stock": 100})).await;
    let lines = [(lamp.as_str(), 1), (peg.as_str(), 2)];
    // The caller with the items and the key, and the transaction.
    let placed = order(&buyer, &lines).await.expect(201);
    let id = placed.expect_round_trips(2).text("id");
    let keyed = with_key(&buyer, "once");
    order(&keyed, &lines)
        .await
        .expect(201)
        .expect_round_trips(2);
    order(&keyed, &lines)
        .await
        .expect(201)
        .expect_round_trips(1);
    // Of an order that is refused by what was read nothing has to be written.
    let short = order(&buyer, &[(&lamp, 1_000)]).await;
    short.expect(409).expect_round_trips(1);
    let wrong = order(&buyer, &[(&lamp, 0)]).await.expect(422);
    wrong.expect_round_trips(0);

    // The order with the caller.
    let path = order_path(&id);
    let read = buyer.get(&path).await.expect(200).expect_round_trips(1);
    let polling = buyer
        .clone()
        .with_header("if-none-match", read.header("etag"));
    polling.get(&path).await.expect(304).expect_round_trips(1);
    let missing = order_path(&Uuid::now_v7().to_string());
    buyer.get(&missing).await.expect(404).expect_round_trips(1);
    // Somebody else's is looked for in the index, and then read.
    let read = admin.get(&path).await.expect(200);
    read.expect_round_trips(3);
    // The caller, and a query; for the staff the index, and the orders.
    let own = buyer.get(ORDERS).await.expect(200);
    own.expect_round_trips(2);
    let all = admin.get(ORDERS).await.expect(200);
    all.expect_round_trips(3);
    // The order with the caller, and a transaction.
    let cancelled = act(&buyer, &id, "cancel").await.expect(200);
    cancelled.expect_round_trips(2);
}
