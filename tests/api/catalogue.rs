//! What people see of the catalogue: lists in every order and with every filter, searches, what is popular or featured.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::{join, join_all};
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::models::item::{Item, ItemStatus, Tag, Title};
use shared::models::money::{Percent, Price};
use shared::store::tasks::NewTask;
use shared::tasks::{Searched, Task};
use tests::faults::{Fault, Faults, Schedule};
use tests::{Actor, Stage};
use tokio::sync::watch;
use url::form_urlencoded;
use uuid::Uuid;

use crate::categories::{self, CATEGORIES};
use crate::items::{BULK, ITEMS, MINE, cents, fields_of, item_path, money, offer, sell};
use crate::people::{all_of, delete, texts, work};

const POPULAR: &str = "/api/v1/items/popular";
const FEATURED: &str = "/api/v1/items/featured";
const SORTS: [&str; 4] = ["-created_at", "created_at", "price", "-price"];

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The titles of all items of a list, in its order.
async fn titles(reader: &Actor<'_>, path: &str) -> Vec<String> {
    let joint = if path.contains('?') { '&' } else { '?' };
    let items = all_of(reader, &format!("{path}{joint}limit=100")).await;
    texts(&items, "title")
}

/// The path of a search, which more parameters may follow.
fn search(q: &str) -> String {
    format!("{ITEMS}/search?q={}", encoded(q))
}

/// The titles of all that a search finds, sorted; each is found once.
async fn found(reader: &Actor<'_>, path: &str) -> Vec<String> {
    let mut found = titles(reader, path).await;
    found.sort();
    found
}

/// The items of a list that has one page.
async fn page_of(reader: &Actor<'_>, path: &str) -> Vec<Value> {
    let page = reader.get(path).await.expect(200).json();
    page["items"].as_array().unwrap().clone()
}

fn price(cents: i64) -> Price {
    Price::parse_major(cents as f64 / 100.0).unwrap()
}

/// An item that nobody has made by the API.
fn made_up(owner: &Actor<'_>, title: &str) -> Item {
    let title = Title::parse(title).unwrap();
    Item::new(owner.id.parse().unwrap(), title, price(1_000))
}

#[expect(clippy::disallowed_methods, reason = "a test may be told what to do")]
fn number(variable: &str, default: usize) -> usize {
    let told = std::env::var(variable);
    told.map_or(default, |number| number.parse().unwrap())
}

/// What lists are filtered and sorted by.
#[derive(Clone, Debug, PartialEq)]
struct Ware {
    id: String,
    owner: String,
    title: String,
    cents: i64,
    tags: Vec<String>,
    category: Option<String>,
    status: String,
}

impl Ware {
    /// As it was made up.
    fn made(item: &Item) -> Self {
        let tags = item.tags.iter().map(ToString::to_string);
        Self {
            id: item.id.to_string(),
            owner: item.owner_id.to_string(),
            title: item.title.to_string(),
            cents: item.current_price().minor(),
            tags: tags.collect(),
            category: item.category_id.map(|id| id.to_string()),
            status: item.status.as_str().to_owned(),
        }
    }

    /// As a list shows it.
    fn seen(item: &Value) -> Self {
        let text = |field: &str| item[field].as_str().map(str::to_owned);
        let tags = item["tags"].as_array().unwrap().iter();
        let current = match &item["discount_price"] {
            Value::Null => &item["price"],
            discount => discount,
        };
        Self {
            id: text("id").unwrap(),
            owner: text("owner_id").unwrap(),
            title: text("title").unwrap(),
            cents: cents(current),
            tags: tags.map(|tag| tag.as_str().unwrap().to_owned()).collect(),
            category: text("category_id"),
            status: text("status").unwrap(),
        }
    }
}

/// Whether a list is in the order that was asked for; then nothing is in it twice either.
fn is_sorted(wares: &[Ware], sort: &str) -> bool {
    let price = |ware: &Ware| (ware.cents, ware.id.clone());
    match sort {
        "created_at" => wares.is_sorted_by(|a, b| a.id < b.id),
        "-created_at" => wares.is_sorted_by(|a, b| a.id > b.id),
        "price" => wares.is_sorted_by(|a, b| price(a) < price(b)),
        _ => wares.is_sorted_by(|a, b| price(a) > price(b)),
    }
}

fn sorted(mut wares: Vec<Ware>, sort: &str) -> Vec<Ware> {
    match sort {
        "created_at" | "-created_at" => wares.sort_by_cached_key(|ware| ware.id.clone()),
        _ => wares.sort_by_cached_key(|ware| (ware.cents, ware.id.clone())),
    }
    if sort.starts_with('-') {
        wares.reverse();
    }
    wares
}

/// Asserts it of long lists, and tells the first difference only.
#[track_caller]
fn are_the_same(found: &[Ware], expected: &[Ware], path: &str) {
    let pairs = found.iter().zip(expected);
    let differs = pairs.enumerate().find(|(_, (a, b))| a != b);
    assert_eq!(differs, None, "found and expected: {path}");
    assert_eq!(found.len(), expected.len(), "{path}");
}

/// Who asks, and for what.
struct Wish<'a> {
    reader: &'a Actor<'a>,
    /// With the beginning of a query.
    path: String,
    statuses: &'static [&'static str],
    owner: Option<&'a str>,
    tag: Option<&'static str>,
    categories: Option<Vec<&'a str>>,
    cents: [i64; 2],
}

const ALL_PRICES: [i64; 2] = [0, i64::MAX];

impl<'a> Wish<'a> {
    /// All that is offered.
    fn of(reader: &'a Actor<'a>, path: String) -> Self {
        Self {
            reader,
            path,
            statuses: &["active"],
            owner: None,
            tag: None,
            categories: None,
            cents: ALL_PRICES,
        }
    }

    fn passes(&self, ware: &Ware) -> bool {
        let category = ware.category.as_deref();
        let is_in = |wanted: &Vec<&str>| category.is_some_and(|own| wanted.contains(&own));
        let [min, max] = self.cents;
        self.statuses.contains(&ware.status.as_str())
            && self.owner.is_none_or(|owner| ware.owner == owner)
            && self
                .tag
                .is_none_or(|tag| ware.tags.iter().any(|own| own == tag))
            && self.categories.as_ref().is_none_or(is_in)
            && (min..=max).contains(&ware.cents)
    }

    /// What it asks for of what was made up, in the order of the list.
    fn expected(&self, made: &[Ware], sort: &str) -> Vec<Ware> {
        let wanted = made.iter().filter(|ware| self.passes(ware));
        sorted(wanted.cloned().collect(), sort)
    }

    /// Asserts that the list is complete and in order, and that nothing else is in it but what others have added since
    /// the rest was `made`.
    async fn is_granted(&self, made: &[Ware], sort: &str, limit: usize) {
        let path = format!("{}&sort={sort}&limit={limit}", self.path);
        let listed = all_of(self.reader, &path).await;
        let listed: Vec<Ware> = listed.iter().map(Ware::seen).collect();
        let ids: BTreeSet<&str> = listed.iter().map(|ware| ware.id.as_str()).collect();
        assert_eq!(ids.len(), listed.len(), "something twice: {path}");
        assert!(is_sorted(&listed, sort), "{path}");
        for ware in &listed {
            assert!(self.passes(ware), "{path}: {ware:?}");
        }
        let known: BTreeSet<&str> = made.iter().map(|ware| ware.id.as_str()).collect();
        let is_known = |ware: &&Ware| known.contains(ware.id.as_str());
        let listed: Vec<Ware> = listed.iter().filter(is_known).cloned().collect();
        are_the_same(&listed, &self.expected(made, sort), &path);
    }

    /// Asserts that the number that is told is right, or at least not too large.
    async fn is_counted(&self, made: &[Ware]) {
        let expected = self.expected(made, "created_at").len() as u64;
        for limit in [1, 100] {
            let path = format!("{}&limit={limit}", self.path);
            let page = self.reader.get(&path).await.expect(200).json();
            let shown = page["items"].as_array().unwrap().len() as u64;
            let told = page["total"].as_u64().unwrap();
            match page["total_relation"].as_str() {
                Some("eq") => assert_eq!(told, expected, "{path}"),
                _ => assert!((shown..=expected).contains(&told), "{path}: {told}"),
            }
            let is_end = page["next_cursor"].is_null();
            assert!(!is_end || shown == expected, "{path}");
        }
    }

    /// Asserts that who skips comes to where turning pages leads, unless that is refused because it would cost too much.
    async fn is_skipped(&self, made: &[Ware]) {
        let path = format!("{}&skip=5&limit=10", self.path);
        let page = self.reader.get(&path).await;
        if page.status == 400 {
            page.expect_problem(400, "skip_too_deep");
            return;
        }
        let page = page.expect(200).json();
        let shown = page["items"].as_array().unwrap().iter();
        let shown: Vec<Ware> = shown.map(Ware::seen).collect();
        let expected = self.expected(made, "-created_at").into_iter();
        let expected: Vec<Ware> = expected.skip(5).take(10).collect();
        are_the_same(&shown, &expected, &path);
    }
}

/// Prices that many have.
const PRICES: [i64; 6] = [500, 999, 1_000, 1_001, 2_000, 10_000];

/// Sorted, as an item has them.
const TAGS: [&str; 4] = ["blue", "größe", "red", "summer sale"];

const WORDS: [&str; 8] = [
    "Tent", "Stove", "Lantern", "Blanket", "Kettle", "Rope", "Sledge", "Compass",
];

fn amount(random: &mut Rng) -> i64 {
    match random.u8(..3) {
        0 => random.i64(1..20_000),
        _ => PRICES[random.usize(..PRICES.len())],
    }
}

fn some_tags(random: &mut Rng) -> Vec<&'static str> {
    TAGS.into_iter().filter(|_| random.u8(..3) == 0).collect()
}

fn title(random: &mut Rng) -> String {
    let mut word = || WORDS[random.usize(..WORDS.len())];
    format!("{} and {}", word(), word())
}

/// Ids sort as they were made, each a second after the one before.
fn some_item(random: &mut Rng, second: i64, owners: &[Uuid], categories: &[Uuid]) -> Item {
    let at = Timestamp::from_second(second).unwrap();
    let millisecond = at.as_millisecond().try_into().unwrap();
    let mut tail = [0; 10];
    random.fill(&mut tail);
    let id = uuid::Builder::from_unix_timestamp_millis(millisecond, &tail).into_uuid();
    let cents = amount(random);
    let discount = (random.u8(..4) == 0 && cents > 1).then(|| random.i64(1..cents));
    let status = match random.u8(..10) {
        0 => ItemStatus::Draft,
        1 => ItemStatus::Inactive,
        _ => ItemStatus::Active,
    };
    let tags = some_tags(random).into_iter();
    let owner = owners[random.usize(..owners.len())];
    let title = Title::parse(&title(random)).unwrap();
    Item {
        id,
        discount_price: discount.map(price),
        tax: Percent::parse(19.0).unwrap(),
        status,
        category_id: categories.get(random.usize(..=categories.len())).copied(),
        tags: tags.map(|tag| Tag::parse(tag).unwrap()).collect(),
        stock: random.i64(..100),
        created_at: at,
        updated_at: at,
        ..Item::new(owner, title, price(cents))
    }
}

/// How many write at once while lists are read, how many items each of them at most, and how long each waits after one.
const WRITERS: usize = 20;
const MOST_WRITTEN: usize = 25;
const PAUSE: Duration = Duration::from_millis(50);

/// Every list is what filtering and sorting in memory makes of the same items, while others are added.
/// `LIST_ITEMS=10000` tries more.
#[tokio::test]
async fn every_list_is_complete_and_in_order_while_others_write() {
    let number = number("LIST_ITEMS", 600);
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let sellers = [stage.user().await, stage.user().await, stage.user().await];
    let outdoor = categories::make(&admin, "Outdoor", json!({})).await;
    let below = |parent: &str| json!({"parent_id": parent});
    let tents = categories::make(&admin, "Tents", below(&outdoor)).await;
    let family = categories::make(&admin, "Family tents", below(&tents)).await;
    let stoves = categories::make(&admin, "Stoves", below(&outdoor)).await;
    let books = categories::make(&admin, "Books", json!({})).await;
    let all_categories: [Uuid; 5] =
        [&outdoor, &tents, &family, &stoves, &books].map(|id| id.parse().unwrap());

    let mut random = Rng::with_seed(5);
    let owners: [Uuid; 3] = sellers.each_ref().map(|seller| seller.id.parse().unwrap());
    let begun = Timestamp::now().as_second() - number as i64 - 3_600;
    let items: Vec<Item> = (begun..)
        .take(number)
        .map(|second| some_item(&mut random, second, &owners, &all_categories))
        .collect();
    stage.app.store.load_items(&items).await.unwrap();
    let made: Vec<Ware> = items.iter().map(Ware::made).collect();

    let anon = &stage.anon();
    let list = |query: &str| format!("{ITEMS}?{query}");
    let [ada, bob, eve] = sellers.each_ref().map(|seller| seller.id.as_str());
    let of_outdoor = || Some(vec![outdoor.as_str(), &tents, &family, &stoves]);
    let of_tents = || Some(vec![tents.as_str(), &family]);
    let anybody = |query: &str| Wish::of(anon, list(query));
    let wishes = [
        anybody(""),
        anybody("status=active"),
        Wish {
            categories: Some(vec![books.as_str()]),
            ..anybody("category=books")
        },
        Wish {
            categories: of_outdoor(),
            ..anybody("category=outdoor")
        },
        Wish {
            categories: of_tents(),
            ..anybody(&format!("category={tents}"))
        },
        Wish {
            categories: of_tents(),
            cents: [0, 2_000],
            ..Wish::of(anon, format!("{CATEGORIES}/tents/items?max_price=20"))
        },
        Wish {
            tag: Some("red"),
            ..anybody("tag=red")
        },
        Wish {
            tag: Some("summer sale"),
            cents: [1_000, i64::MAX],
            ..anybody("tag=Summer+Sale&min_price=10")
        },
        Wish {
            tag: Some("größe"),
            ..Wish::of(anon, "/api/v1/tags/gr%C3%B6%C3%9Fe/items?".to_owned())
        },
        Wish {
            owner: Some(ada),
            ..anybody(&format!("owner={ada}"))
        },
        Wish {
            cents: [999, 1_001],
            ..anybody("min_price=9.99&max_price=10.01")
        },
        Wish {
            cents: [10_000, 10_000],
            ..anybody("min_price=100&max_price=100.00")
        },
        Wish {
            tag: Some("red"),
            categories: of_outdoor(),
            ..anybody("category=outdoor&tag=red")
        },
        Wish {
            owner: Some(bob),
            categories: of_outdoor(),
            cents: [500, 10_000],
            ..anybody(&format!(
                "owner={bob}&category=outdoor&min_price=5&max_price=100"
            ))
        },
        Wish {
            owner: Some(eve),
            tag: Some("blue"),
            categories: of_tents(),
            cents: [999, i64::MAX],
            ..anybody(&format!(
                "owner={eve}&tag=blue&category=tents&min_price=9.99"
            ))
        },
        Wish {
            tag: Some("nobody has it"),
            ..anybody("tag=nobody+has+it")
        },
        Wish {
            statuses: &["draft"],
            owner: Some(ada),
            ..Wish::of(&sellers[0], list("status=draft"))
        },
        Wish {
            statuses: &["inactive"],
            owner: Some(bob),
            tag: Some("red"),
            ..Wish::of(&sellers[1], list("status=inactive&tag=red"))
        },
        Wish {
            statuses: &["draft"],
            ..Wish::of(&admin, list("status=draft"))
        },
        Wish {
            statuses: &["inactive"],
            owner: Some(eve),
            categories: of_outdoor(),
            ..Wish::of(
                &admin,
                list(&format!("status=inactive&owner={eve}&category=outdoor")),
            )
        },
        Wish {
            statuses: &["active", "draft", "inactive"],
            owner: Some(eve),
            ..Wish::of(&sellers[2], format!("{MINE}?"))
        },
    ];
    for wish in &wishes {
        wish.is_counted(&made).await;
        wish.is_skipped(&made).await;
    }

    let is_done = Cell::new(false);
    let write = async |writer: usize| {
        let mut random = Rng::with_seed(writer as u64);
        let mut written = 0;
        while !is_done.get() && written < MOST_WRITTEN {
            let category = all_categories.get(random.usize(..=all_categories.len()));
            let status = ["active", "draft"][random.usize(..2)];
            let late = json!({
                "price": money(amount(&mut random)), "tags": some_tags(&mut random),
                "category_id": category, "status": status,
            });
            let seller = &sellers[random.usize(..sellers.len())];
            sell(seller, "Latecomer", late).await;
            written += 1;
            tokio::time::sleep(PAUSE).await;
        }
        written
    };
    let read = async {
        for wish in &wishes {
            for sort in SORTS {
                let limit = [23, 50, 100][random.usize(..3)];
                wish.is_granted(&made, sort, limit).await;
            }
        }
        is_done.set(true);
    };
    let (written, ()) = join(join_all((0..WRITERS).map(&write)), read).await;
    assert!(written.iter().all(|written| *written > 0), "{written:?}");

    // With those it is as right, and all are there.
    let written: usize = written.iter().sum();
    let path = format!("{ITEMS}?status=active&limit=100");
    let active = all_of(&admin, &path).await;
    let drafts = all_of(&admin, &format!("{ITEMS}?status=draft&limit=100")).await;
    let late = active.iter().chain(&drafts);
    let late = late.filter(|item| item["title"] == "Latecomer");
    assert_eq!(late.count(), written);
    let page = anon.get(ITEMS).await.expect(200).json();
    assert_eq!(page["total"], active.len());
    assert_eq!(page["total_relation"], "eq");
    let mut all: Vec<Ware> = active.iter().chain(&drafts).map(Ware::seen).collect();
    let inactive = made.iter().filter(|ware| ware.status == "inactive");
    all.extend(inactive.cloned());
    for wish in &wishes[..8] {
        wish.is_granted(&all, "price", 100).await;
        wish.is_counted(&all).await;
    }

    // A search finds what looking through all titles finds. Who came late has to wait for a task.
    for q in ["tent", "AND BLANKET", "ettle and", "op"] {
        for (query, categories, cents) in [
            ("", None, ALL_PRICES),
            ("&category=outdoor", of_outdoor(), ALL_PRICES),
            ("&min_price=9.99&max_price=20", None, [999, 2_000]),
            ("&category=tents&max_price=10", of_tents(), [0, 1_000]),
        ] {
            let wish = Wish {
                categories,
                cents,
                ..Wish::of(anon, search(q) + query)
            };
            let found = all_of(anon, &format!("{}&limit=50", wish.path)).await;
            let found: Vec<Ware> = found.iter().map(Ware::seen).collect();
            let q = q.to_lowercase();
            let mut expected = wish.expected(&made, "created_at");
            expected.retain(|ware| ware.title.to_lowercase().contains(&q));
            assert!(!expected.is_empty());
            are_the_same(&sorted(found, "created_at"), &expected, &wish.path);
        }
    }
}

#[tokio::test]
async fn a_list_shows_what_the_caller_may_see() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (ada, bob, anon) = (stage.user().await, stage.user().await, stage.anon());
    for seller in [&ada, &bob] {
        for status in ["draft", "inactive", "active"] {
            let fields = json!({"status": status, "stock": 3, "tags": ["red"]});
            sell(seller, status, fields).await;
        }
    }
    for reader in [&anon, &ada, &admin] {
        for query in ["", "?status=active", "?tag=red"] {
            let listed = page_of(reader, &format!("{ITEMS}{query}")).await;
            assert_eq!(texts(&listed, "title"), ["active", "active"]);
            assert_eq!(texts(&listed, "owner_id"), [bob.id.as_str(), &ada.id]);
            for item in &listed {
                let knows = reader.id == admin.id || item["owner_id"] == reader.id;
                let stock = if knows { json!(3) } else { Value::Null };
                assert_eq!((&item["stock"], &item["available"]), (&stock, &json!(3)));
            }
        }
    }
    for status in ["draft", "inactive"] {
        let path = format!("{ITEMS}?status={status}");
        anon.get(&path).await.expect_problem(401, "token_missing");
        let listed = page_of(&ada, &path).await;
        assert_eq!(texts(&listed, "owner_id"), [ada.id.as_str()]);
        let own = format!("{path}&owner={}&tag=red", ada.id);
        assert_eq!(page_of(&ada, &own).await, listed);
        let others = format!("{path}&owner={}", bob.id);
        let refused = ada.get(&others).await;
        let refused = refused.expect_problem(403, "insufficient_scope");
        let challenge = refused.header("www-authenticate");
        assert!(challenge.contains("scope=\"admin:all\""), "{challenge}");
        assert_eq!(titles(&admin, &path).await, [status, status]);
        assert_eq!(titles(&admin, &others).await, [status]);
        let own = format!("{MINE}?status={status}");
        assert_eq!(titles(&bob, &own).await, [status]);
        assert_eq!(page_of(&admin, &own).await, [] as [Value; 0]);
    }
    assert_eq!(titles(&ada, MINE).await, ["active", "inactive", "draft"]);
    for item in page_of(&ada, MINE).await {
        assert_eq!(
            (&item["owner_id"], &item["stock"]),
            (&json!(ada.id), &json!(3))
        );
    }
    anon.get(MINE).await.expect_problem(401, "token_missing");

    // A cursor shows nothing that the request does not.
    let page = ada.get(&format!("{MINE}?limit=1")).await.expect(200);
    let cursor = page.text("next_cursor");
    for (reader, path) in [
        (&anon, format!("{ITEMS}?cursor={cursor}")),
        (&bob, format!("{MINE}?cursor={cursor}")),
        (&bob, format!("{ITEMS}?status=draft&cursor={cursor}")),
    ] {
        for item in page_of(reader, &path).await {
            let is_own = item["owner_id"] == reader.id;
            assert!(is_own || item["status"] == "active", "{path}: {item}");
        }
    }
}

#[tokio::test]
async fn a_change_moves_an_item_in_its_lists_at_once() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (seller, anon) = (stage.user().await, stage.anon());
    let tents = categories::make(&admin, "Tents", json!({})).await;
    let books = categories::make(&admin, "Books", json!({})).await;
    for (title, price) in [("one", 10), ("two", 20), ("three", 30)] {
        let fields = json!({"price": price, "category_id": tents, "tags": ["red"]});
        sell(&seller, title, fields).await;
    }
    let by_price = format!("{ITEMS}?sort=price");
    let cheap = format!("{ITEMS}?max_price=15");
    let dear = format!("{ITEMS}?sort=-price&min_price=15&tag=red");
    assert_eq!(titles(&anon, &by_price).await, ["one", "two", "three"]);
    assert_eq!(titles(&anon, &cheap).await, ["one"]);
    assert_eq!(titles(&anon, &dear).await, ["three", "two"]);

    // What it costs now counts.
    let id = sell(&seller, "four", json!({"price": 40, "tags": ["red"]})).await;
    let path = item_path(&id);
    let change = async |change: Value| drop(seller.patch(&path, change).await.expect(200));
    assert_eq!(titles(&anon, &dear).await, ["four", "three", "two"]);
    change(json!({"discount_price": 5})).await;
    assert_eq!(
        titles(&anon, &by_price).await,
        ["four", "one", "two", "three"]
    );
    assert_eq!(titles(&anon, &cheap).await, ["four", "one"]);
    assert_eq!(titles(&anon, &dear).await, ["three", "two"]);
    change(json!({"discount_price": null, "price": 25})).await;
    assert_eq!(
        titles(&anon, &by_price).await,
        ["one", "two", "four", "three"]
    );
    assert_eq!(titles(&anon, &cheap).await, ["one"]);
    assert_eq!(titles(&anon, &dear).await, ["three", "four", "two"]);

    let lists = async || {
        let lists = [
            "tag=red",
            "tag=blue",
            "category=tents",
            "category=books",
            "",
        ];
        let mut found = Vec::new();
        for query in lists {
            for sort in SORTS {
                let path = format!("{ITEMS}?{query}&sort={sort}");
                let titles = titles(&anon, &path).await;
                found.push(titles.iter().any(|title| title == "four"));
            }
        }
        let of_list = found.chunks(SORTS.len());
        of_list
            .map(|found| {
                assert!(found.iter().all(|it| *it == found[0]), "{found:?}");
                u8::from(found[0])
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(lists().await, [1, 0, 0, 0, 1]);
    change(json!({"category_id": books, "tags": ["blue"]})).await;
    assert_eq!(lists().await, [0, 1, 0, 1, 1]);
    change(json!({"status": "inactive"})).await;
    assert_eq!(lists().await, [0, 0, 0, 0, 0]);
    let own = format!("{ITEMS}?status=inactive&category=books&tag=blue&sort=price");
    assert_eq!(titles(&seller, &own).await, ["four"]);
    change(json!({"category_id": tents, "tags": ["red", "blue"]})).await;
    assert_eq!(lists().await, [0, 0, 0, 0, 0]);
    change(json!({"status": "active"})).await;
    assert_eq!(lists().await, [1, 1, 1, 0, 1]);
    delete(&seller, &path).await.expect(204);
    assert_eq!(lists().await, [0, 0, 0, 0, 0]);
    let page = anon.get(ITEMS).await.expect(200).json();
    assert_eq!(page["total"], 3);
}

#[tokio::test]
async fn a_list_refuses_what_it_does_not_know() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    categories::make(&admin, "Tents", json!({})).await;
    for n in 0..12 {
        sell(&admin, &format!("item {n}"), json!({"tags": ["red"]})).await;
    }
    let anon = stage.anon();
    let lists = [
        format!("{ITEMS}?"),
        format!("{CATEGORIES}/tents/items?"),
        "/api/v1/tags/red/items?".to_owned(),
        search("item") + "&",
    ];
    for (query, field) in [
        ("min_price=cheap", "min_price"),
        ("min_price=-1", "min_price"),
        ("min_price=NaN", "min_price"),
        ("min_price=inf", "min_price"),
        ("min_price=1e309", "min_price"),
        ("max_price=1.999", "max_price"),
        ("max_price=", "max_price"),
        ("max_price=10000000000", "max_price"),
        ("min_price=10&max_price=9.99", "max_price"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("skip=-1", "skip"),
    ] {
        for list in &lists {
            let wrong = anon.get(&format!("{list}{query}")).await;
            assert_eq!(fields_of(wrong), [field.to_owned()].into(), "{list}{query}");
        }
    }
    for (query, field) in [
        ("sort=name", "sort"),
        ("sort=-views", "sort"),
        ("sort=price,created_at", "sort"),
        ("sort=", "sort"),
    ] {
        for list in &lists[..3] {
            let wrong = anon.get(&format!("{list}{query}")).await;
            assert_eq!(fields_of(wrong), [field.to_owned()].into(), "{list}{query}");
        }
    }
    for (query, field) in [
        ("status=gone", "status"),
        ("status=Active", "status"),
        ("owner=me", "owner"),
        ("tag=a%23b", "tag"),
        ("tag=", "tag"),
    ] {
        let wrong = anon.get(&format!("{ITEMS}?{query}")).await;
        assert_eq!(fields_of(wrong), [field.to_owned()].into(), "{query}");
    }
    for list in [&lists[0], &lists[3]] {
        for category in ["cars", "Tents", &Uuid::now_v7().to_string(), "%00", ""] {
            let wrong = anon.get(&format!("{list}category={category}")).await;
            let wrong = wrong.expect_problem(422, "validation_failed");
            let expected = ("category".to_owned(), "unknown_category".to_owned());
            assert_eq!(wrong.wrong_fields(), [expected], "{category}");
        }
    }
    let all = "sort=x&status=x&owner=x&min_price=x&max_price=x&limit=x";
    let wrong = fields_of(anon.get(&format!("{ITEMS}?{all}")).await);
    let expected = ["sort", "status", "owner", "min_price", "max_price", "limit"];
    assert_eq!(wrong, expected.map(str::to_owned).into());

    for cursor in ["nonsense", "W10", "WyIiLCIiLCIiXQ", "%00"] {
        for sort in SORTS {
            for list in &lists[..3] {
                let path = format!("{list}cursor={cursor}&sort={sort}");
                anon.get(&path).await.expect_problem(400, "invalid_cursor");
            }
        }
        let path = format!("{}cursor={cursor}", lists[3]);
        anon.get(&path).await.expect_problem(400, "invalid_cursor");
    }
    let whole = titles(&anon, ITEMS).await;
    assert_eq!(whole.len(), 12);
    for list in &lists[..3] {
        let deep = anon.get(&format!("{list}skip=10001")).await;
        deep.expect_problem(400, "skip_too_deep");
    }
    for list in [&lists[0], &lists[2]] {
        let skipped = anon.get(&format!("{list}skip=5&limit=5")).await;
        let skipped = skipped.expect(200).json();
        assert_eq!(skipped["page"], 2);
        let skipped = texts(skipped["items"].as_array().unwrap(), "title");
        assert_eq!(skipped, whole[5..10]);
        let beyond = anon.get(&format!("{list}skip=12")).await.expect(200);
        assert_eq!(beyond.json()["items"], json!([]));
    }
}

#[tokio::test]
async fn what_lists_cost() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let seller = stage.user().await;
    let tents = categories::make(&admin, "Tents", json!({})).await;
    let mut cost = Vec::new();
    for round in 0..2 {
        let items = (0..40).map(|n| Item {
            category_id: tents.parse().ok(),
            tags: vec![Tag::parse("red").unwrap()],
            ..made_up(&seller, &format!("Tent {round} {n}"))
        });
        let items: Vec<Item> = items.collect();
        stage.app.store.load_items(&items).await.unwrap();
        let anon = stage.anon();
        let owner = format!("{ITEMS}?owner={}", seller.id);
        let lists = [
            ITEMS.to_owned(),
            format!("{ITEMS}?sort=price"),
            format!("{ITEMS}?sort=-price&min_price=5&max_price=15"),
            format!("{ITEMS}?category=tents&sort=price"),
            format!("{CATEGORIES}/tents/items"),
            format!("{ITEMS}?tag=red"),
            "/api/v1/tags/red/items".to_owned(),
            owner,
            search("tent"),
            search("tent") + "&category=tents&max_price=15",
        ];
        // The categories, and what the address may ask, are read once.
        anon.get(&lists[3]).await.expect(200);
        for path in &lists {
            // The list, and the items.
            let page = anon.get(path).await.expect(200).expect_round_trips(2);
            assert_eq!(page.json()["items"].as_array().unwrap().len(), 20, "{path}");
            cost.push((path.clone(), page.usage.read_units()));
            assert_eq!(page.usage.write_units(), 0.0, "{path}");
            let joint = if path.contains('?') { '&' } else { '?' };
            let cursor = page.text("next_cursor");
            let next = anon.get(&format!("{path}{joint}cursor={cursor}")).await;
            next.expect(200).expect_round_trips(2);
            // With the caller.
            seller.get(path).await.expect(200).expect_round_trips(3);
        }
        let first = stage.anon().get(ITEMS).await.expect(200);
        first.expect_round_trips(3);
        let few = anon.get(&format!("{ITEMS}?tag=blue")).await.expect(200);
        assert!(few.usage.round_trips() <= 2);
    }
    let (few, many) = cost.split_at(cost.len() / 2);
    assert_eq!(few, many, "twice as many cost more");
}

#[tokio::test]
async fn items_are_found_by_any_part_of_what_they_are_called() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (seller, anon) = (stage.user().await, stage.anon());
    let outdoor = categories::make(&admin, "Outdoor", json!({})).await;
    let below = json!({"parent_id": outdoor});
    let tents = categories::make(&admin, "Tents", below.clone()).await;
    let stoves = categories::make(&admin, "Stoves", below).await;
    let items = json!({"items": [
        offer("Dome Tent", json!({
            "description": "For two persons, waterproof", "category_id": tents, "price": 199.9,
            "tags": ["quokka"],
        })),
        offer("Tent pegs", json!({"category_id": tents, "price": 20, "discount_price": 9.5})),
        offer("Gas stove", json!({
            "description": "Boils water in front of a tent.", "category_id": stoves, "price": 49,
        })),
        offer("Book of knots", json!({"price": 20, "description": "Für Zelte\nund Boote"})),
        offer("Secret tent", json!({"status": "draft"})),
        offer("Old tent", json!({"status": "inactive"})),
    ]});
    let made = seller.post(BULK, items).await.expect(207).json();
    let path = |at: usize| item_path(made["results"][at]["item"]["id"].as_str().unwrap());
    assert!(found(&anon, &search("tent")).await.is_empty());
    work(&stage).await;
    let cases: &[(&str, &str, &[&str])] = &[
        ("tent", "", &["Dome Tent", "Gas stove", "Tent pegs"]),
        ("TENT", "", &["Dome Tent", "Gas stove", "Tent pegs"]),
        ("en", "", &["Dome Tent", "Gas stove", "Tent pegs"]),
        ("tent peg", "", &["Tent pegs"]),
        ("me ten", "", &["Dome Tent"]),
        ("two persons, w", "", &["Dome Tent"]),
        ("WATER", "", &["Dome Tent", "Gas stove"]),
        ("fu\u{308}r zelte und", "", &["Book of knots"]),
        ("tent dome", "", &[]),
        ("quokka", "", &[]),
        ("tents", "", &[]),
        ("tent", "&max_price=50", &["Gas stove", "Tent pegs"]),
        ("tent", "&max_price=10", &["Tent pegs"]),
        ("tent", "&min_price=10", &["Dome Tent", "Gas stove"]),
        (
            "tent",
            "&min_price=9.5&max_price=49",
            &["Gas stove", "Tent pegs"],
        ),
        ("tent", "&category=tents", &["Dome Tent", "Tent pegs"]),
        (
            "tent",
            "&category=outdoor",
            &["Dome Tent", "Gas stove", "Tent pegs"],
        ),
        ("tent", "&category=stoves&min_price=50", &[]),
        ("knots", "&category=outdoor", &[]),
        ("water", "&category=tents&max_price=200", &["Dome Tent"]),
    ];
    for (q, query, expected) in cases {
        let path = search(q) + *query;
        assert_eq!(found(&anon, &path).await, *expected, "{path}");
        let by_ones = texts(&all_of(&anon, &format!("{path}&limit=1")).await, "title");
        assert_eq!(
            BTreeSet::from_iter(&by_ones).len(),
            expected.len(),
            "{path}"
        );
        assert_eq!(by_ones.len(), expected.len(), "{path}");
    }
    let by_id = format!("{}&category={stoves}", search("tent"));
    assert_eq!(found(&anon, &by_id).await, ["Gas stove"]);
    // What is not offered is found by nobody; what is shown is what its list shows.
    for reader in [&seller, &admin] {
        for q in ["secret", "old tent"] {
            assert!(found(reader, &search(q)).await.is_empty(), "{q}");
        }
        let item = reader.get(&path(0)).await.expect(200).json();
        assert_eq!(page_of(reader, &search("dome")).await, [item]);
    }

    // What has changed is not found at once by what it was, and soon by what it is.
    seller
        .patch(&path(0), json!({"title": "Igloo"}))
        .await
        .expect(200);
    seller
        .patch(&path(1), json!({"status": "inactive"}))
        .await
        .expect(200);
    seller
        .patch(&path(4), json!({"status": "active"}))
        .await
        .expect(200);
    seller
        .patch(&path(2), json!({"description": null}))
        .await
        .expect(200);
    assert!(found(&anon, &search("tent")).await.is_empty());
    work(&stage).await;
    assert_eq!(found(&anon, &search("tent")).await, ["Secret tent"]);
    assert_eq!(found(&anon, &search("igloo")).await, ["Igloo"]);
    assert_eq!(found(&anon, &search("waterproof")).await, ["Igloo"]);

    for (q, code) in [("", "too_short"), ("a", "too_short"), ("a b", "too_short")] {
        let wrong = anon.get(&search(q)).await;
        let wrong = wrong.expect_problem(422, "validation_failed");
        assert_eq!(wrong.wrong_fields(), [("q".to_owned(), code.to_owned())]);
    }
    let missing = anon.get(&format!("{ITEMS}/search")).await;
    assert_eq!(fields_of(missing), ["q".to_owned()].into());
    let skipping = anon.get(&(search("tent") + "&skip=1")).await;
    skipping.expect_problem(400, "skip_too_deep");
}

#[tokio::test]
async fn the_ten_that_are_looked_at_most_are_popular() {
    let stage = Stage::new().await;
    let (seller, anon) = (stage.user().await, stage.anon());
    let items: Vec<Item> = (1..=15)
        .map(|n| Item {
            views: 10 * n,
            // Nor are those popular that nobody sees.
            status: match n {
                15 => ItemStatus::Draft,
                14 => ItemStatus::Inactive,
                _ => ItemStatus::Active,
            },
            ..made_up(&seller, &format!("item {n}"))
        })
        .collect();
    stage.app.store.load_items(&items).await.unwrap();
    sell(&seller, "never seen", json!({})).await;
    let named = |numbers: &[u64]| {
        let names = numbers.iter().map(|n| format!("item {n}"));
        names.collect::<Vec<_>>()
    };
    let popular = async |reader: &Actor<'_>| texts(&page_of(reader, POPULAR).await, "title");
    let expected = named(&[13, 12, 11, 10, 9, 8, 7, 6, 5, 4]);
    assert_eq!(popular(&anon).await, expected);
    let first = anon.get(POPULAR).await.expect(200).expect_round_trips(0);
    assert_eq!(first.header("cache-control"), "public, max-age=60");
    assert_eq!(first.json()["items"][0]["views"], 130);
    assert_eq!(first.json()["items"][0]["stock"], Value::Null);
    let tag = first.header("etag").to_owned();
    let reading = anon.clone().with_header("if-none-match", &tag);
    let same = reading.get(POPULAR).await.expect(304);
    assert_eq!(
        (same.body.as_slice(), same.header("etag")),
        (&b""[..], tag.as_str())
    );
    // Whoever asks, it is the same: anybody may keep it.
    assert_eq!(seller.get(POPULAR).await.expect(200).body, first.body);

    // It is kept for a minute, and then it is new.
    let path = |n: usize| item_path(&items[n - 1].id.to_string());
    seller
        .patch(&path(13), json!({"status": "inactive"}))
        .await
        .expect(200);
    seller
        .patch(&path(14), json!({"status": "active"}))
        .await
        .expect(200);
    delete(&seller, &path(11)).await.expect(204);
    stage.later(61).await;
    let expected = named(&[14, 12, 10, 9, 8, 7, 6, 5, 4, 3]);
    assert_eq!(popular(&anon).await, expected);
    reading.get(POPULAR).await.expect(200);
}

#[tokio::test]
async fn what_was_chosen_is_featured() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (seller, anon) = (stage.user().await, stage.anon());
    assert_eq!(page_of(&anon, FEATURED).await, [] as [Value; 0]);
    let mut paths = Vec::new();
    for n in 0..5 {
        let status = if n == 4 { "draft" } else { "active" };
        let title = format!("item {n}");
        let path = item_path(&sell(&seller, &title, json!({"status": status})).await);
        paths.push(path);
    }
    let feature = async |n: usize, is_featured: bool| {
        let change = json!({"is_featured": is_featured});
        admin.patch(&paths[n], change).await.expect(200);
    };
    for n in [0, 2, 3, 4] {
        feature(n, true).await;
    }
    // What everybody sees may be a minute old.
    let featured = async || {
        stage.later(61).await;
        let mut titles = texts(&page_of(&anon, FEATURED).await, "title");
        titles.sort();
        titles
    };
    assert_eq!(featured().await, ["item 0", "item 2", "item 3"]);
    let page = anon.get(FEATURED).await.expect(200).expect_round_trips(0);
    assert_eq!(page.header("cache-control"), "public, max-age=60");
    assert_eq!(page.json()["items"][0]["stock"], Value::Null);
    let reading = anon
        .clone()
        .with_header("if-none-match", page.header("etag"));
    assert_eq!(reading.get(FEATURED).await.expect(304).body, b"");
    feature(2, false).await;
    seller
        .patch(&paths[3], json!({"status": "inactive"}))
        .await
        .expect(200);
    seller
        .patch(&paths[4], json!({"status": "active"}))
        .await
        .expect(200);
    assert_eq!(featured().await, ["item 0", "item 4"]);
    reading.get(FEATURED).await.expect(200);
    delete(&seller, &paths[0]).await.expect(204);
    assert_eq!(featured().await, ["item 4"]);
}

async fn views(reader: &Actor<'_>, id: &str) -> u64 {
    let item = reader.get(&item_path(id)).await.expect(200).json();
    item["views"].as_u64().unwrap()
}

#[tokio::test]
async fn views_are_counted_now_and_then() {
    let stage = Stage::new().await;
    let (seller, anon) = (stage.user().await, stage.anon());
    let id = sell(&seller, "Tent", json!({})).await;
    let other = sell(&seller, "Stove", json!({})).await;
    for _ in 0..6 {
        assert_eq!(views(&anon, &id).await, 0);
    }
    // The look that tells the others may tell itself or wait.
    stage.later(11).await;
    views(&anon, &id).await;
    let counted = views(&anon, &id).await;
    assert!((6..=7).contains(&counted), "{counted}");
    assert_eq!(views(&anon, &other).await, 0);

    // It is no change of the item: a tag stays good, and so does what somebody is about to write.
    let before = seller.get(&item_path(&id)).await.expect(200);
    for _ in 0..3 {
        views(&anon, &id).await;
    }
    stage.later(11).await;
    views(&anon, &id).await;
    assert!(views(&anon, &id).await >= counted + 3);
    let tag = before.header("etag");
    let reading = seller.clone().with_header("if-none-match", tag);
    reading.get(&item_path(&id)).await.expect(304);
    let careful = seller.clone().with_header("if-match", tag);
    let change = json!({"title": "Dome tent"});
    let changed = careful.patch(&item_path(&id), change).await.expect(200);
    assert_ne!(changed.header("etag"), tag);
    assert!(
        views(&anon, &id).await >= counted + 3,
        "a change has lost views"
    );
    let popular = page_of(&anon, POPULAR).await;
    assert_eq!(popular[0]["id"], json!(id));

    // Nobody looks at what is not offered.
    let draft = sell(&seller, "Sketch", json!({"status": "draft"})).await;
    for _ in 0..3 {
        anon.get(&item_path(&draft)).await.expect(404);
    }
    stage.later(11).await;
    anon.get(&item_path(&id)).await.expect(200);
    assert_eq!(views(&seller, &draft).await, 0);
}

#[tokio::test]
async fn every_instance_counts_views_and_none_is_lost_by_a_fault() {
    let stage = Stage::new().await;
    let (seller, anon) = (stage.user().await, stage.anon());
    let id = sell(&seller, "Tent", json!({})).await;
    let item: Uuid = id.parse().unwrap();
    let (switch, on) = watch::channel(false);
    let faults = Faults::new(Schedule::Service("DynamoDB", Fault::Unreachable, on));
    let instances = [
        stage.instance(),
        stage.instance(),
        faults.instance(&stage.app),
    ];
    for (app, looks) in instances.iter().zip([3, 4, 5]) {
        // The first look begins the ten seconds.
        for _ in 0..looks {
            app.views.count(item);
            app.flush_views().await;
        }
    }
    assert_eq!(views(&anon, &id).await, 0);
    stage.later(11).await;
    switch.send(true).unwrap();
    join_all(instances.iter().map(|app| app.flush_views())).await;
    switch.send(false).unwrap();
    assert_eq!(views(&anon, &id).await, 7);
    // What could not be told waits for the next time.
    instances[2].views.count(item);
    stage.later(11).await;
    for app in &instances {
        app.flush_views().await;
        app.flush_views().await;
    }
    // With the looks at it here.
    let counted = views(&anon, &id).await;
    assert!((13..=16).contains(&counted), "{counted}");
}

#[tokio::test]
async fn the_demo_is_made_once_and_found() {
    let stage = Stage::new().await;
    let owner = local::demo::owner(&stage.app).await.unwrap();
    assert!(owner.password.is_some());
    let first = local::demo::stock(&stage.app, owner.id).await.unwrap();
    assert_eq!(first.new_items, first.items);
    work(&stage).await;
    let again = local::demo::owner(&stage.app).await.unwrap();
    assert_eq!(again.password, None);
    let again = local::demo::stock(&stage.app, again.id).await.unwrap();
    assert_eq!(
        again,
        local::demo::Stocked {
            new_items: 0,
            ..first
        }
    );

    let anon = stage.anon();
    let listed = all_of(&anon, &format!("{ITEMS}?limit=10")).await;
    // One is a draft, and one is not offered any more.
    assert_eq!(listed.len(), first.items - 2);
    let found = all_of(&anon, &format!("{ITEMS}/search?q=KETTLE")).await;
    assert!(!found.is_empty());
}

#[tokio::test]
async fn rows_of_items_that_were_lost_are_made_again_by_a_reindexing() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    for n in 0..55 {
        sell(&ada, &format!("Lantern {n}"), json!({})).await;
    }
    sell(&ada, "Lantern, not yet", json!({"status": "draft"})).await;
    stage.lose_messages().await;
    let path = format!("{ITEMS}/search?q=antern&limit=100");
    assert!(all_of(&ada, &path).await.is_empty());
    let what = Searched::Items;
    let task = NewTask::new(Task::Reindex { what, after: None });
    stage.app.store.add_task(&task).await.unwrap();
    work(&stage).await;
    assert_eq!(all_of(&ada, &path).await.len(), 55);
}
