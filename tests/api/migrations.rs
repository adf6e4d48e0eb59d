//! What was written by the build before is served, migrated and migrated back, while people use it and processes die.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::pending;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use futures_util::future::{join, join_all};
use local::migrate::{self, Direction, LEASE, Options, PAGE, Run};
use serde_json::{Value, json};
use shared::App;
use shared::clock::Clock;
use shared::store::keys::{self, Key};
use shared::store::schema::SCHEMA_VERSION;
use tests::faults::{Fault, Faults, Gate, Schedule};
use tests::{Actor, PASSWORD, Stage};
use uuid::Uuid;

use crate::books::check_books;
use crate::items::sell;
use crate::orders::{ORDERS, order_path, place};
use crate::people::{ME, work};

type Item = HashMap<String, AttributeValue>;

/// A bundle with orders that the build before has written, and who is interested in them.
struct Shop<'a> {
    stage: &'a Stage,
    admin: Actor<'a>,
    buyer: Actor<'a>,
    /// The items that are sold, and how many there were of each.
    items: BTreeMap<String, i64>,
    orders: Vec<String>,
    /// The orders as they were stored.
    old: Vec<Item>,
}

const STOCK: i64 = 1_000;

impl<'a> Shop<'a> {
    /// So many orders. Every second one is paid, and has a note.
    async fn with(stage: &'a Stage, orders: usize) -> Self {
        let admin = stage.admin().await;
        let (seller, buyer) = (stage.user().await, stage.user().await);
        let fields = json!({"price": 19.99, "tax": 7.25, "stock": STOCK, "tags": ["wool"]});
        let blanket = sell(&seller, "Blanket", fields).await;
        let fields = json!({"price": 0.01, "tax": 50, "stock": STOCK});
        let pin = sell(&seller, "Pin", fields).await;
        let mut shop = Self {
            stage,
            admin,
            buyer,
            items: BTreeMap::from([(blanket.clone(), STOCK), (pin.clone(), STOCK)]),
            orders: Vec::new(),
            old: Vec::new(),
        };
        for number in 0..orders {
            let lines = [(blanket.as_str(), 3), (pin.as_str(), 1)];
            let id = place(&shop.buyer, &lines[..=number % 2]).await;
            if number % 2 == 1 {
                let path = format!("{}/pay", order_path(&id));
                shop.admin.post(&path, json!({})).await.expect(200);
            }
            shop.orders.push(id);
        }
        work(stage).await;
        for number in 0..orders {
            let id = &shop.orders[number];
            let shown = shop.buyer.get(&order_path(id)).await.expect(200).json();
            shop.old.push(order_of_version_1(&shown));
        }
        shop.restore().await;
        shop
    }

    /// Writes everything as the build before has left it: what it had no other form for, and the orders.
    async fn restore(&self) {
        forget_schema(self.stage).await;
        let mut items = Vec::new();
        for mut item in self.stage.stored().await {
            let pk = item["pk"].as_s().unwrap().clone();
            // It gave these none.
            let is_counter = ["COUNT#", "RATE#"]
                .iter()
                .any(|start| pk.starts_with(start));
            match is_counter {
                true => item.remove("v"),
                false => item.insert("v".to_owned(), number(1)),
            };
            items.push(item);
        }
        put(self.stage, items).await;
        put(self.stage, self.old.clone()).await;
    }

    /// All that can be seen of the orders.
    async fn wire(&self) -> Vec<Value> {
        let mut seen = Vec::new();
        for id in &self.orders {
            let mine = self.buyer.get(&order_path(id)).await.expect(200);
            seen.push(mine.json());
        }
        for (who, list) in [
            (&self.buyer, "limit=100"),
            (&self.admin, "status=pending"),
            (&self.admin, "status=paid"),
        ] {
            let list = who.get(&format!("{ORDERS}?{list}")).await.expect(200);
            seen.push(list.json());
        }
        seen
    }

    /// Orders as they are stored now, in the order in which they were placed.
    async fn stored(&self) -> Vec<Item> {
        let mut orders = Vec::new();
        let stored = self.stage.stored().await;
        for old in &self.old {
            let order = stored.iter().find(|item| key_of(item) == key_of(old));
            orders.push(order.unwrap().clone());
        }
        orders
    }

    async fn versions(&self) -> BTreeSet<String> {
        let stored = self.stored().await.into_iter();
        stored
            .map(|order| order["v"].as_n().unwrap().clone())
            .collect()
    }

    /// What the orders are to be: what they were, with the totals that the build before has shown.
    fn migrated(&self) -> Vec<Item> {
        let orders = self.old.iter().map(|old| {
            let mut new = old.clone();
            new.insert("v".to_owned(), number(2));
            let Some(AttributeValue::L(lines)) = new.get_mut("lines") else {
                panic!("an order has lines")
            };
            // 3 at 19.99 with 7.25 percent; 1 at 0.01 with 50, half up.
            for (line, total) in lines.iter_mut().zip([6_432, 2]) {
                let AttributeValue::M(line) = line else {
                    panic!("a line is a map")
                };
                line.insert("total".to_owned(), number(total));
            }
            new
        });
        orders.collect()
    }
}

/// An order with all that the build before wrote of it.
fn order_of_version_1(shown: &Value) -> Item {
    let id = |value: &Value| value.as_str().unwrap().parse::<Uuid>().unwrap();
    let cents = |value: &Value| number((value.as_f64().unwrap() * 100.0).round() as i64);
    let lines = shown["items"].as_array().unwrap().iter().map(|line| {
        AttributeValue::M(Item::from([
            ("item_id".to_owned(), text(&line["item_id"])),
            ("title".to_owned(), text(&line["title"])),
            (
                "quantity".to_owned(),
                number(line["quantity"].as_i64().unwrap()),
            ),
            ("unit_price".to_owned(), cents(&line["unit_price"])),
            ("tax".to_owned(), cents(&line["tax"])),
        ]))
    });
    let status = shown["status"].as_str().unwrap();
    let payment = Item::from([
        ("provider".to_owned(), text(&json!("manual"))),
        ("status".to_owned(), text(&shown["payment"]["status"])),
    ]);
    let key = keys::order(id(&shown["user_id"]), id(&shown["id"]));
    Item::from([
        ("pk".to_owned(), AttributeValue::S(key.pk)),
        ("sk".to_owned(), AttributeValue::S(key.sk)),
        ("v".to_owned(), number(1)),
        ("id".to_owned(), text(&shown["id"])),
        ("user_id".to_owned(), text(&shown["user_id"])),
        ("status".to_owned(), text(&shown["status"])),
        ("lines".to_owned(), AttributeValue::L(lines.collect())),
        ("currency".to_owned(), text(&json!("EUR"))),
        ("payment".to_owned(), AttributeValue::M(payment)),
        ("due_at".to_owned(), text(&shown["due_at"])),
        ("created_at".to_owned(), text(&shown["created_at"])),
        ("updated_at".to_owned(), text(&shown["updated_at"])),
        (
            "version".to_owned(),
            number(if status == "paid" { 2 } else { 1 }),
        ),
        ("owned_by".to_owned(), text(&json!("ORDERS"))),
        (
            "listed_by".to_owned(),
            text(&json!(format!("ORDERS#{status}"))),
        ),
    ])
}

fn text(value: &Value) -> AttributeValue {
    AttributeValue::S(value.as_str().unwrap().to_owned())
}

fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn key_of(item: &Item) -> Key {
    Key::of(item).unwrap()
}

fn dynamodb(stage: &Stage) -> aws_sdk_dynamodb::Client {
    let endpoint = stage.app.config.aws.dynamodb_endpoint.clone();
    local::aws::dynamodb_client(&endpoint.unwrap())
}

async fn put(stage: &Stage, items: Vec<Item>) {
    let dynamodb = dynamodb(stage);
    for items in items.chunks(25) {
        let puts = items.iter().map(|item| {
            let put = PutRequest::builder().set_item(Some(item.clone()));
            WriteRequest::builder()
                .put_request(put.build().unwrap())
                .build()
        });
        let write = dynamodb.batch_write_item();
        let write = write.request_items(&stage.app.config.app_table, puts.collect());
        write.send().await.unwrap();
    }
}

async fn delete(stage: &Stage, item: &Item) {
    let delete = dynamodb(stage).delete_item();
    let delete = delete.table_name(&stage.app.config.app_table);
    let delete = delete.set_key(Some(key_of(item).attributes()));
    delete.send().await.unwrap();
}

/// As if nobody had ever migrated.
async fn forget_schema(stage: &Stage) {
    for item in stage.stored().await {
        if item["pk"].as_s().unwrap() == &keys::schema_version().pk {
            delete(stage, &item).await;
        }
    }
}

/// The process that migrates, with a clock of its own: tokens are not to expire while its lock does.
fn tool(stage: &Stage) -> App {
    let app = &stage.app;
    App::with_sdk(app.config.clone(), app.sdk.clone(), Clock::default())
}

async fn run(app: &App, options: &Options) -> anyhow::Result<Vec<Run>> {
    migrate::migrate(app, options, |_| {}, pending()).await
}

fn up() -> Options {
    Options::new(Direction::Up, "ada")
}

fn down() -> Options {
    Options::new(Direction::Down, "ada")
}

/// What the table holds, but for what is known of the schema, and for what each request counts.
async fn all_but_the_schema(stage: &Stage) -> Vec<BTreeMap<String, String>> {
    let items = stage.stored().await.into_iter();
    let items = items.filter(|item| {
        let pk = item["pk"].as_s().unwrap();
        *pk != keys::schema_version().pk && !pk.starts_with("RATE#")
    });
    let sorted = |value: &AttributeValue| match value {
        AttributeValue::M(map) => {
            let map: BTreeMap<_, _> = map.iter().collect();
            format!("{map:?}")
        }
        AttributeValue::L(list) => {
            let list = list.iter().map(|value| match value {
                AttributeValue::M(map) => format!("{:?}", BTreeMap::from_iter(map)),
                other => format!("{other:?}"),
            });
            format!("{:?}", list.collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    };
    let items = items.map(|item| {
        let attributes = item.iter();
        attributes
            .map(|(name, value)| (name.clone(), sorted(value)))
            .collect()
    });
    let mut items: Vec<_> = items.collect();
    items.sort();
    items
}

#[tokio::test]
async fn old_orders_are_migrated_once_and_back() {
    let stage = Stage::new().await;
    let shop = Shop::with(&stage, 3).await;
    let (tool, before) = (tool(&stage), shop.wire().await);
    let old = all_but_the_schema(&stage).await;
    assert_eq!(migrate::status(&tool).await.unwrap().version, 1);
    assert_eq!(before[0]["items"][0]["line_total"], 64.32);

    // Looking changes nothing.
    let all = stage.all_items().await.len();
    let trials = migrate::dry_run(&tool, &up(), |_| {}).await.unwrap();
    let counts: Vec<_> = trials
        .iter()
        .map(|t| (t.migration.number, t.seen, t.changed))
        .collect();
    assert_eq!(counts, [(2, stage.stored().await.len() as u64, 3)]);
    let example = trials[0].example.as_ref().unwrap();
    assert!(!example.before.contains("total") && example.after.contains("\"total\":6432"));
    assert!(
        !example.after.contains(&shop.buyer.id),
        "more than what changes: {example:?}"
    );
    assert_eq!(stage.all_items().await.len(), all);
    assert_eq!(all_but_the_schema(&stage).await, old);

    // Half of them are served as well.
    put(&stage, vec![shop.migrated()[1].clone()]).await;
    assert_eq!(shop.versions().await.len(), 2);
    assert_eq!(shop.wire().await, before);
    shop.restore().await;

    let runs = run(&tool, &up()).await.unwrap();
    let [done] = &runs[..] else {
        panic!("{runs:?}")
    };
    assert_eq!((done.migration, done.changed()), (2, 3));
    assert_eq!(shop.stored().await, shop.migrated());
    assert_eq!(shop.wire().await, before);

    // Once more there is nothing to do, however it is asked for.
    let new = all_but_the_schema(&stage).await;
    assert_eq!(run(&tool, &up()).await.unwrap(), []);
    let again = Options {
        again: true,
        ..up()
    };
    assert_eq!(run(&tool, &again).await.unwrap()[0].changed(), 0);
    let trials = migrate::dry_run(&tool, &up(), |_| {}).await.unwrap();
    assert_eq!((trials[0].changed, &trials[0].example), (0, &None));
    assert_eq!(all_but_the_schema(&stage).await, new);

    let runs = run(&tool, &down()).await.unwrap();
    assert_eq!(runs[0].changed(), 3);
    assert_eq!(all_but_the_schema(&stage).await, old);
    assert_eq!(shop.wire().await, before);
    let status = migrate::status(&tool).await.unwrap();
    assert_eq!((status.version, status.missing.len()), (1, 1));
    assert!(status.open.is_none() && status.held.is_none());
    assert_eq!(run(&tool, &down()).await.unwrap(), []);

    // What is written meanwhile by a build that knows more is found by another look.
    let lines: Vec<_> = shop.items.keys().map(|id| (id.as_str(), 1)).collect();
    let id = place(&shop.buyer, &lines).await;
    let shown = shop.buyer.get(&order_path(&id)).await.expect(200).json();
    let again = Options {
        again: true,
        ..down()
    };
    assert_eq!(run(&tool, &again).await.unwrap()[0].changed(), 1);
    assert_eq!(
        shop.buyer.get(&order_path(&id)).await.expect(200).json(),
        shown
    );

    let history = migrate::history(&tool).await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|run| {
            (
                run.direction.as_str(),
                run.migration,
                run.changed(),
                run.by.as_str(),
            )
        })
        .collect();
    let expected = [
        ("up", 2, 3, "ada"),
        ("up", 2, 0, "ada"),
        ("down", 2, 3, "ada"),
        ("down", 2, 1, "ada"),
    ];
    assert_eq!(told, expected);
    let is_ended = |run: &Run| run.finished_at.is_some_and(|at| at >= run.started_at);
    assert!(history.iter().all(is_ended));
}

#[tokio::test]
async fn what_cannot_be_reached_is_refused() {
    let stage = Stage::new().await;
    let tool = tool(&stage);
    for (direction, to) in [(Direction::Up, 0), (Direction::Up, SCHEMA_VERSION + 1)] {
        let options = Options {
            to: Some(to),
            ..Options::new(direction, "ada")
        };
        let refused = run(&tool, &options).await.unwrap_err().to_string();
        assert!(refused.contains("there is no version"), "{refused}");
    }
    // Tables of a newer build.
    let key = keys::schema_version();
    let mut version = key.attributes();
    version.insert("version".to_owned(), number(i64::from(SCHEMA_VERSION) + 1));
    put(&stage, vec![version]).await;
    for options in [up(), down()] {
        let refused = run(&tool, &options).await.unwrap_err().to_string();
        assert!(
            refused.contains("use the code of that version"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn what_a_newer_build_has_written_is_read_and_left_alone() {
    let stage = Stage::new().await;
    let mut shop = Shop::with(&stage, 2).await;
    let before = shop.wire().await;
    let mut newer = shop.migrated();
    newer[0].insert("v".to_owned(), number(3));
    newer[0].insert("delivery".to_owned(), text(&json!("by bicycle")));
    put(&stage, vec![newer[0].clone()]).await;
    assert_eq!(shop.wire().await, before);
    for options in [up(), down()] {
        assert_eq!(run(&tool(&stage), &options).await.unwrap()[0].changed(), 1);
        assert_eq!(shop.stored().await[0], newer[0]);
    }
    assert_eq!(shop.wire().await, before);
    // A change of it leaves what this build does not know.
    let path = format!("{}/cancel", order_path(&shop.orders[0]));
    shop.buyer.post(&path, json!({})).await.expect(200);
    shop.old.truncate(1);
    let now = shop.stored().await.remove(0);
    assert_eq!(
        (&now["v"], &now["delivery"]),
        (&newer[0]["v"], &newer[0]["delivery"])
    );
    assert_eq!(now["lines"], newer[0]["lines"]);
}

/// The calls that may have a fault in turn.
const EACH: [Fault; 4] = [
    Fault::DiesBefore,
    Fault::DiesAfter,
    Fault::AnswerLost,
    Fault::Unreachable,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_may_die_at_any_of_its_calls() {
    let stage = Stage::new().await;
    let shop = Shop::with(&stage, 3).await;
    let before = shop.wire().await;
    let old = all_but_the_schema(&stage).await;
    let expected = shop.migrated();
    let mut refused = 0;
    for fault in EACH {
        // What only costs another try is tried less often.
        let step = match fault {
            Fault::DiesBefore | Fault::DiesAfter => 1,
            _ => 3,
        };
        for call in (0..).step_by(step) {
            // All else is as it was.
            forget_schema(&stage).await;
            let story = format!("{fault:?} at call {call}");
            let tool = tool(&stage);
            let faults = Faults::new(Schedule::Call(call, fault));
            let first = faults.survive(run(&faults.instance(&tool), &up())).await;
            assert_eq!(shop.wire().await, before, "{story}");
            let is_over = faults.take_calls().len() <= call;
            if let Some(runs) = first.as_ref() {
                let runs = runs.as_ref().unwrap();
                assert_eq!(runs[0].changed(), 3, "{story}");
            }

            // Whoever lives has given the lock back; of whoever died, it ends with time.
            let status = migrate::status(&tool).await.unwrap();
            if let Some((by, _)) = status.held {
                assert!(first.is_none() && by == "ada", "{story}");
                if status.version == 1 {
                    let error = run(&tool, &up()).await.unwrap_err().to_string();
                    assert!(error.contains("ada is migrating these tables"), "{error}");
                    refused += 1;
                }
                tool.clock.advance(LEASE + 1);
            }
            run(&tool, &up()).await.unwrap();
            let runs = migrate::history(&tool).await.unwrap();
            let [only] = &runs[..] else {
                panic!("{story}: {runs:?}")
            };
            assert!(only.finished_at.is_some(), "{story}");
            assert_eq!(shop.stored().await, expected, "{story}");
            let status = migrate::status(&tool).await.unwrap();
            assert_eq!((status.version, status.open), (2, None), "{story}");
            run(&tool, &down()).await.unwrap();
            assert_eq!(all_but_the_schema(&stage).await, old, "{story}");
            if is_over {
                let calls = "a lock, a run, four segments with four notes, three orders, an end";
                assert!(call > 2 + 1 + 8 + 3, "{calls}: {call}");
                break;
            }
        }
    }
    assert!(refused > 10, "{refused} refused");
}

#[tokio::test]
async fn a_run_goes_on_where_it_was() {
    let stage = Stage::new().await;
    let shop = Shop::with(&stage, 2).await;
    // Enough for several pages of each segment.
    let rows = (0..9 * PAGE).map(|row| {
        let key = keys::search_row(
            "NOTHING",
            &format!("{row:05}"),
            Uuid::from_u128(row as u128),
        );
        let mut item = key.attributes();
        // In as many partitions as there are rows.
        item.insert(
            "pk".to_owned(),
            AttributeValue::S(format!("SUFFIX#NOTHING#{row}")),
        );
        item.insert("v".to_owned(), number(1));
        item
    });
    put(&stage, rows.collect()).await;
    let (tool, all) = (tool(&stage), stage.stored().await.len() as u64);
    // It dies at its sixth note, or wherever that call is.
    let faults = Faults::new(Schedule::Call(18, Fault::DiesBefore));
    let died = faults.survive(run(&faults.instance(&tool), &up())).await;
    assert!(died.is_none());
    let status = migrate::status(&tool).await.unwrap();
    let noted = status.open.unwrap().seen();
    assert!((1..all).contains(&noted), "{noted} of {all}");

    tool.clock.advance(LEASE + 1);
    let faults = Faults::new(Schedule::NONE);
    let runs = run(&faults.instance(&tool), &up()).await.unwrap();
    assert_eq!(runs[0].resumed, 1);
    // Each of them once, and perhaps those of the schema that are new.
    let seen = runs[0].seen();
    assert!((all..=all + 3).contains(&seen), "{seen} of {all}");
    assert_eq!(shop.stored().await, shop.migrated());
    let scans = faults.take_calls();
    let scans = scans
        .iter()
        .filter(|(name, _)| name.ends_with("Scan"))
        .count();
    let pages = (all - noted) as usize / PAGE as usize;
    assert!(
        (pages..=pages + 5).contains(&scans),
        "{scans} scans for {pages} pages"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_changes_orders_meanwhile_loses_nothing() {
    let stage = Stage::new().await;
    let shop = Shop::with(&stage, 16).await;
    let act = async |number: usize, id: &String| {
        let path = |action: &str| format!("{}/{action}", order_path(id));
        let (who, action) = match number % 2 {
            0 => (&shop.buyer, "cancel"),
            _ => (&shop.admin, "refund"),
        };
        let done = who.post(&path(action), json!({})).await.expect(200);
        done.json()
    };
    let name = |number: usize| json!({"first_name": format!("Ada {number}")});
    let acts = shop.orders.iter().enumerate();
    let writers = join(join_all(acts.map(|(n, id)| act(n, id))), async {
        for number in 0..10 {
            shop.buyer.patch(ME, name(number)).await.expect(200);
        }
    });
    let again = Options {
        again: true,
        ..up()
    };
    let migrator = async {
        for options in [up(), down(), up(), again] {
            run(&tool(&stage), &options).await.unwrap();
        }
    };
    let ((answered, ()), ()) = join(writers, migrator).await;
    for (id, answered) in shop.orders.iter().zip(answered) {
        let now = shop.buyer.get(&order_path(id)).await.expect(200).json();
        assert_eq!(now, answered);
    }
    let me = shop.buyer.get(ME).await.expect(200);
    assert_eq!(me.text("first_name"), "Ada 9");
    assert_eq!(shop.versions().await, BTreeSet::from(["2".to_owned()]));
    let lines = |orders: Vec<Item>| orders.into_iter().map(|mut order| order.remove("lines"));
    assert!(lines(shop.stored().await).eq(lines(shop.migrated())));
    check_books(&stage, &shop.items, "migrated meanwhile").await;
}

/// A run that is held up between reading an order and rewriting it.
async fn held_up(
    tool: &App,
    options: Options,
    meanwhile: impl AsyncFnOnce(),
) -> anyhow::Result<Vec<Run>> {
    let gate = Gate::new("UpdateItem", "ORDER#");
    let faults = Faults::new(Schedule::Gate(gate.clone()));
    let instance = faults.instance(tool);
    let others = async {
        gate.reached().await;
        meanwhile().await;
        gate.open();
    };
    join(run(&instance, &options), others).await.0
}

#[tokio::test]
async fn an_order_that_was_changed_since_it_was_read_is_done_anew() {
    let stage = Stage::new().await;
    let shop = Shop::with(&stage, 1).await;
    let tool = tool(&stage);
    // By the API; then, as nobody does, its lines; then it is deleted.
    let path = format!("{}/cancel", order_path(&shop.orders[0]));
    let cancel = async || {
        shop.buyer.post(&path, json!({})).await.expect(200);
    };
    let runs = held_up(&tool, up(), cancel).await.unwrap();
    assert_eq!(runs[0].changed(), 1);
    let now = shop.stored().await.remove(0);
    assert_eq!(
        (&now["status"], &now["v"]),
        (&text(&json!("cancelled")), &number(2))
    );
    assert_eq!(now["lines"], shop.migrated()[0]["lines"]);

    shop.restore().await;
    let mut twice = shop.old[0].clone();
    let AttributeValue::L(lines) = &shop.old[0]["lines"] else {
        panic!("an order has lines")
    };
    let lines = AttributeValue::L([lines.as_slice(), lines].concat());
    twice.insert("lines".to_owned(), lines);
    twice.insert("version".to_owned(), number(7));
    held_up(&tool, up(), async || put(&stage, vec![twice]).await)
        .await
        .unwrap();
    let now = shop.stored().await.remove(0);
    let Some(AttributeValue::L(lines)) = now.get("lines") else {
        panic!("an order has lines")
    };
    assert_eq!((lines.len(), &now["version"]), (2, &number(7)));
    let totals = lines
        .iter()
        .map(|line| line.as_m().unwrap()["total"].clone());
    assert_eq!(Vec::from_iter(totals), [number(6_432), number(6_432)]);

    shop.restore().await;
    let gone = held_up(&tool, up(), async || delete(&stage, &shop.old[0]).await)
        .await
        .unwrap();
    assert_eq!(gone[0].changed(), 0);
    let stored = stage.stored().await;
    assert!(
        stored
            .iter()
            .all(|item| key_of(item) != key_of(&shop.old[0]))
    );
}

#[tokio::test]
async fn one_process_migrates_at_a_time() {
    let stage = Stage::new().await;
    let shop = Shop::with(&stage, 2).await;
    let tool = tool(&stage);
    let eve = Options::new(Direction::Up, "eve");
    let second = async || {
        for options in [eve.clone(), Options::new(Direction::Down, "eve")] {
            let refused = run(&tool, &options).await.unwrap_err().to_string();
            assert!(
                refused.starts_with("ada is migrating these tables"),
                "{refused}"
            );
        }
        let status = migrate::status(&tool).await.unwrap();
        assert_eq!(status.held.unwrap().0, "ada");
        assert_eq!(status.open.unwrap().by, "ada");
        // Who only looks is let.
        migrate::dry_run(&tool, &eve, |_| {}).await.unwrap();
    };
    held_up(&tool, up(), second).await.unwrap();
    assert_eq!(shop.stored().await, shop.migrated());
    assert!(migrate::status(&tool).await.unwrap().held.is_none());

    // One that was held up for longer than its lock has lasted finds another at it, and goes no further.
    shop.restore().await;
    let second = async || {
        tool.clock.advance(LEASE + 1);
        let runs = run(&tool, &eve).await.unwrap();
        assert_eq!((runs[0].resumed, runs[0].by.as_str()), (1, "ada"));
        run(&tool, &down()).await.unwrap();
    };
    let late = held_up(&tool, up(), second).await;
    assert!(late.is_err(), "{late:?}");
    let status = migrate::status(&tool).await.unwrap();
    assert_eq!((status.version, status.open), (1, None));
    assert_eq!(migrate::history(&tool).await.unwrap().len(), 2);

    // Who knows that the other is dead need not wait.
    shop.restore().await;
    let faults = Faults::new(Schedule::Call(12, Fault::DiesBefore));
    let died = faults.survive(run(&faults.instance(&tool), &up())).await;
    assert!(died.is_none() && run(&tool, &eve).await.is_err());
    let alone = Options { alone: true, ..eve };
    run(&tool, &alone).await.unwrap();
    assert_eq!(shop.stored().await, shop.migrated());
}

#[tokio::test]
async fn what_was_begun_can_be_taken_back() {
    let stage = Stage::new().await;
    let shop = Shop::with(&stage, 4).await;
    let (tool, old) = (tool(&stage), all_but_the_schema(&stage).await);
    for call in 8..20 {
        let faults = Faults::new(Schedule::Call(call, Fault::DiesAfter));
        let _ = faults.survive(run(&faults.instance(&tool), &up())).await;
        tool.clock.advance(LEASE + 1);
        run(&tool, &down()).await.unwrap();
        assert_eq!(all_but_the_schema(&stage).await, old, "call {call}");
        let status = migrate::status(&tool).await.unwrap();
        assert_eq!((status.version, status.open), (1, None));
    }
    assert_eq!(shop.versions().await, BTreeSet::from(["1".to_owned()]));
}

#[tokio::test]
async fn a_rate_is_kept() {
    let stage = Stage::new().await;
    let _shop = Shop::with(&stage, 12).await;
    let begun = Instant::now();
    let slowly = Options {
        rate: Some(20),
        ..up()
    };
    run(&tool(&stage), &slowly).await.unwrap();
    // An order costs one unit at least, and its place in two indexes does not change.
    assert!(
        begun.elapsed() > Duration::from_millis(500),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn everything_that_is_written_has_a_version() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let seller = stage.user().await;
    let category = json!({"name": "Wool"});
    let category = admin.post("/api/v1/categories", category).await.expect(201);
    let fields = json!({"tags": ["wool"], "stock": 5, "category_id": category.text("id")});
    let item = sell(&seller, "Blanket", fields).await;
    place(&seller, &[(&item, 1)]).await;
    let preferences = json!({"theme": "dark"});
    let path = format!("{ME}/preferences");
    seller.put(&path, preferences).await.expect(200);
    let client = json!({"name": "billing", "scopes": ["orders:read"]});
    admin.post("/api/v1/auth/clients", client).await.expect(201);
    let wrong = json!({"email": seller.email, "password": format!("{PASSWORD}!")});
    stage
        .anon()
        .post("/api/v1/auth/login", wrong)
        .await
        .expect(401);
    work(&stage).await;
    run(&tool(&stage), &up()).await.unwrap();
    let items = stage.all_items().await;
    assert!(items.len() > 50);
    for item in items {
        let version = format!("\"v\": N(\"{SCHEMA_VERSION}\")");
        assert!(item.contains(&version), "{item}");
    }
}
