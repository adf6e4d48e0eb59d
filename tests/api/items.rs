//! What people do with items: making, reading, changing and deleting them, many at once, and what is on hand of them.

use std::collections::BTreeSet;

use futures_util::future::{join, join_all};
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::models::audit::AuditEntry;
use shared::models::item::{Item, Title};
use shared::models::money::Price;
use tests::{Actor, Answer, Stage};
use uuid::Uuid;

use crate::categories;
use crate::people::{ME, Post, all_of, delete, members, staff, texts, work};

pub(crate) const ITEMS: &str = "/api/v1/items";
pub(crate) const MINE: &str = "/api/v1/items/mine";
pub(crate) const BULK: &str = "/api/v1/items/bulk";
const ACTIVITY: &str = "/api/v1/users/me/activity?limit=100";
const JSON: Option<&str> = Some("application/json");

/// What everybody sees of an item, and what its owner sees too, which is null for others.
const MEMBERS: [&str; 20] = [
    "available",
    "category_id",
    "created_at",
    "currency",
    "description",
    "discount_price",
    "id",
    "images",
    "is_featured",
    "owner_id",
    "price",
    "reserved",
    "status",
    "stock",
    "tags",
    "tax",
    "title",
    "total_price",
    "updated_at",
    "views",
];

pub(crate) fn item_path(id: &str) -> String {
    format!("{ITEMS}/{id}")
}

/// An active item for ten, with these fields beside or instead.
pub(crate) fn offer(title: &str, fields: Value) -> Value {
    let mut offer = json!({"title": title, "price": 10, "status": "active"});
    let fields = fields.as_object().unwrap().clone();
    offer.as_object_mut().unwrap().extend(fields);
    offer
}

/// Makes an item. Answers its id.
pub(crate) async fn sell(seller: &Actor<'_>, title: &str, fields: Value) -> String {
    let made = seller.post(ITEMS, offer(title, fields)).await;
    made.expect(201).text("id")
}

/// An amount in hundredths, however it is written.
#[track_caller]
pub(crate) fn cents(amount: &Value) -> i64 {
    let amount = amount.as_f64().unwrap_or_else(|| panic!("{amount}"));
    let hundredths = (amount * 100.0).round();
    assert_eq!(hundredths / 100.0, amount, "more than two places");
    hundredths as i64
}

/// An amount as a body has it.
pub(crate) fn money(cents: i64) -> Value {
    json!(cents as f64 / 100.0)
}

async fn change_stock(actor: &Actor<'_>, id: &str, change: Value) -> Answer {
    actor
        .post(&format!("{}/stock", item_path(id)), change)
        .await
}

/// The names of the fields that a 422 tells.
#[track_caller]
pub(crate) fn fields_of(wrong: Answer) -> BTreeSet<String> {
    let wrong = wrong.expect_problem(422, "validation_failed");
    let fields = wrong.wrong_fields().into_iter();
    fields.map(|(field, _)| field).collect()
}

/// An item in the table that nobody has made, as it is once orders have reserved some of what is on hand.
async fn reserved_item(stage: &Stage, owner: &Actor<'_>, stock: i64, reserved: i64) -> String {
    let title = Title::parse("Lantern").unwrap();
    let price = Price::parse_major(10.0).unwrap();
    let item = Item {
        stock,
        reserved,
        ..Item::new(owner.id.parse().unwrap(), title, price)
    };
    let id = item.id.to_string();
    stage.app.store.load_items(&[item]).await.unwrap();
    id
}

#[tokio::test]
async fn an_item_is_made_as_it_is_described() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let seller = stage.user().await;
    let tents = categories::make(&admin, "Tents", json!({})).await;
    let new = json!({
        "title": "  Dome tent ", "description": "Two persons, a porch, and 3.2 kg.",
        "price": 199.9, "discount_price": 149.95, "tax": 19, "status": "active",
        "category_id": tents, "tags": ["Camping", " summer sale ", "camping"], "stock": 12,
    });
    let made = seller.post(ITEMS, new).await.expect(201);
    let item = made.json();
    let path = item_path(item["id"].as_str().unwrap());
    assert_eq!(made.header("location"), path);
    assert_eq!(members(&item), MEMBERS);
    for (field, value) in [
        ("owner_id", json!(seller.id)),
        ("title", json!("Dome tent")),
        ("description", json!("Two persons, a porch, and 3.2 kg.")),
        ("currency", json!("EUR")),
        ("status", json!("active")),
        ("category_id", json!(tents)),
        ("tags", json!(["camping", "summer sale"])),
        ("stock", json!(12)),
        ("reserved", json!(0)),
        ("available", json!(12)),
        ("views", json!(0)),
        ("images", json!([])),
        ("is_featured", json!(false)),
        ("updated_at", item["created_at"].clone()),
    ] {
        assert_eq!(item[field], value, "{field}");
    }
    for (field, amount) in [
        ("price", 19_990),
        ("discount_price", 14_995),
        ("tax", 1_900),
        ("total_price", 17_844),
    ] {
        assert_eq!(cents(&item[field]), amount, "{field}");
    }
    let read = seller.get(&path).await.expect(200);
    assert_eq!(read.json(), item);
    assert_eq!(read.header("etag"), made.header("etag"));

    // Little is enough.
    let little = json!({"title": "Peg", "price": 0.5});
    let item = seller.post(ITEMS, little).await.expect(201).json();
    for field in ["description", "discount_price", "category_id"] {
        assert_eq!(item[field], Value::Null, "{field}");
    }
    assert_eq!(item["tags"], json!([]));
    assert_eq!((cents(&item["tax"]), cents(&item["total_price"])), (0, 50));
    assert_eq!((&item["stock"], &item["available"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn what_an_item_costs_in_all_is_rounded_half_up() {
    let stage = Stage::new().await;
    let seller = stage.user().await;
    // Price, discount price, tax, and the total, in hundredths.
    for (price, discount, tax, total) in [
        (1_999, None, 1_900, 2_379),
        (1_999, Some(999), 1_900, 1_189),
        (5, None, 1_000, 6),
        (4, None, 1_000, 4),
        (1_010, None, 750, 1_086),
        (1, None, 10_000, 2),
        (1, None, 5_000, 2),
        (1, None, 4_999, 1),
        (100, None, 1, 100),
        (5_000, None, 1, 5_001),
        (99_999_999_999, None, 0, 99_999_999_999),
        (1_234, Some(1_233), 777, 1_329),
    ] {
        let mut fields = json!({"price": money(price), "tax": money(tax)});
        if let Some(discount) = discount {
            fields["discount_price"] = money(discount);
        }
        let made = seller.post(ITEMS, offer("Peg", fields)).await;
        let item = made.expect(201).json();
        let case = format!("{price}, {discount:?}, {tax}");
        assert_eq!(cents(&item["price"]), price, "{case}");
        assert_eq!(cents(&item["tax"]), tax, "{case}");
        assert_eq!(cents(&item["total_price"]), total, "{case}");
    }
    // The largest of all can be told.
    let most = json!({"price": 999_999_999.99, "tax": 100});
    let item = seller.post(ITEMS, offer("Peg", most)).await.expect(201);
    assert_eq!(cents(&item.json()["total_price"]), 199_999_999_998);
}

#[tokio::test]
async fn the_currency_is_that_of_the_house() {
    let stage = Stage::with(&[("CURRENCY", "CHF")]).await;
    let seller = stage.user().await;
    let id = sell(&seller, "Peg", json!({})).await;
    let item = stage.anon().get(&item_path(&id)).await.expect(200);
    assert_eq!(item.text("currency"), "CHF");
}

/// What is no price, as it stands in a body.
const NO_PRICES: [&str; 31] = [
    "-1",
    "-0.01",
    "-19.99",
    "0",
    "0.00",
    "-0",
    "-0.0",
    "0.001",
    "0.004",
    "19.999",
    "0.30000000000000004",
    "1e-7",
    "5e-324",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e309",
    "-1e309",
    "1E+400",
    "1000000000",
    "999999999.999",
    "1e15",
    "9007199254740993",
    "99999999999999999999999",
    "\"19.99\"",
    "\"\"",
    "null",
    "true",
    "[]",
    "[20]",
    "{}",
];

#[tokio::test]
async fn what_is_no_price_is_refused_by_its_name() {
    let stage = Stage::new().await;
    let seller = stage.user().await;
    let id = sell(&seller, "Tent", json!({})).await;
    let path = item_path(&id);
    let before = seller.get(&path).await.expect(200).json();
    for price in NO_PRICES {
        for (method, path, body) in [
            (
                "POST",
                ITEMS,
                format!("{{\"title\":\"Tent\",\"price\":{price}}}"),
            ),
            ("PATCH", path.as_str(), format!("{{\"price\":{price}}}")),
        ] {
            let wrong = seller.send(method, path, JSON, body.as_bytes()).await;
            let fields = fields_of(wrong);
            assert_eq!(fields, ["price".to_owned()].into(), "{method} {body}");
        }
    }
    let own = all_of(&seller, &format!("{MINE}?limit=100")).await;
    assert_eq!(own, [before]);

    // Other numbers are named as well, and all of them at once.
    let body = r#"{"title":"Tent","price":NaN,"discount_price":1e309,"tax":-Infinity,"stock":NaN,"tags":7}"#;
    let wrong = seller.send("POST", ITEMS, JSON, body.as_bytes()).await;
    let expected = ["discount_price", "price", "stock", "tags", "tax"];
    assert_eq!(fields_of(wrong), expected.map(str::to_owned).into());
    let body = r#"{"items":[{"title":"Tent","price":1},{"title":"Tent","price":NaN}]}"#;
    let wrong = seller.send("POST", BULK, JSON, body.as_bytes()).await;
    assert_eq!(fields_of(wrong), ["items[1].price".to_owned()].into());
    // What is no JSON for another reason is still none, and in a text they are words.
    for body in [
        r#"{"title":"Tent","price":NaN"#,
        r#"{"title":NaNo,"price":1}"#,
        r#"{"title":"Tent","price":1e309,}"#,
    ] {
        let wrong = seller.send("POST", ITEMS, JSON, body.as_bytes()).await;
        wrong.expect_problem(400, "malformed_body");
    }
    let named = offer("NaN \"1e309\" Infinity", json!({}));
    seller.post(ITEMS, named).await.expect(201);
}

#[tokio::test]
async fn every_field_of_an_item_keeps_its_rule() {
    let stage = Stage::new().await;
    let seller = stage.user().await;
    let id = sell(&seller, "Tent", json!({})).await;
    let of_letters = |letters: usize| json!("ä".repeat(letters));
    let tags = |number: usize| {
        let tags = (0..number).map(|n| format!("tag{n}"));
        json!(tags.collect::<Vec<_>>())
    };
    let rules = [
        ("title", json!("")),
        ("title", json!("   ")),
        ("title", of_letters(201)),
        ("title", json!("a\u{0}b")),
        ("title", json!(7)),
        ("title", Value::Null),
        ("description", of_letters(1_001)),
        ("description", json!(["text"])),
        ("discount_price", json!(10)),
        ("discount_price", json!(10.01)),
        ("discount_price", json!(0)),
        ("discount_price", json!(-1)),
        ("discount_price", json!(1.005)),
        ("discount_price", json!("5")),
        ("tax", json!(-1)),
        ("tax", json!(100.01)),
        ("tax", json!(7.125)),
        ("tax", json!("19")),
        ("status", json!("deleted")),
        ("status", json!("Active")),
        ("category_id", json!("no-uuid")),
        ("category_id", json!(Uuid::now_v7())),
        ("tags", tags(21)),
        ("tags", json!("red")),
        ("tags", json!(["red", "x".repeat(51)])),
        ("tags", json!(["red", ""])),
        ("tags", json!(["red", "a#b"])),
        ("tags", json!(["red", "a/b"])),
        ("tags", json!(["red", "a?b"])),
        ("tags", json!(["red", 7])),
    ];
    let whole = [
        ("stock", json!(-1)),
        ("stock", json!(1.5)),
        ("stock", json!("5")),
        ("stock", json!(1_000_000_001)),
        ("id", json!(Uuid::now_v7())),
        ("owner_id", json!(Uuid::now_v7())),
        ("currency", json!("USD")),
        ("total_price", json!(1)),
        ("reserved", json!(1)),
        ("available", json!(1)),
        ("views", json!(1)),
        ("images", json!([])),
        ("created_at", json!("2020-01-01T00:00:00Z")),
        ("version", json!(1)),
        ("nonsense", json!(1)),
    ];
    // A part of a list is named by its number.
    let named = |wrong: Answer| -> BTreeSet<String> {
        let fields = fields_of(wrong).into_iter();
        fields
            .map(|field| field.split('[').next().unwrap().to_owned())
            .collect()
    };
    for (field, value) in rules.iter().chain(&whole) {
        let mut new = offer("Tent", json!({}));
        new[*field] = value.clone();
        let wrong = seller.post(ITEMS, new).await;
        assert_eq!(named(wrong), [(*field).to_owned()].into(), "{value}");
    }
    for (field, value) in &rules {
        let mut change = json!({});
        change[*field] = value.clone();
        let wrong = seller.patch(&item_path(&id), change).await;
        assert_eq!(named(wrong), [(*field).to_owned()].into(), "{value}");
    }
    let unknown = json!({"category_id": Uuid::now_v7()});
    let wrong = seller.post(ITEMS, offer("Tent", unknown)).await;
    let expected = ("category_id".to_owned(), "unknown_category".to_owned());
    assert_eq!(wrong.expect(422).wrong_fields(), [expected]);
    for required in ["title", "price"] {
        let mut new = offer("Tent", json!({}));
        new.as_object_mut().unwrap().remove(required);
        let wrong = seller.post(ITEMS, new).await.expect(422).wrong_fields();
        assert_eq!(wrong, [(required.to_owned(), "required".to_owned())]);
    }
    let all = json!({
        "title": "", "price": -1, "tax": 101, "status": "gone", "stock": -1, "category_id": 7,
        "tags": [""], "views": 7,
    });
    let wrong = named(seller.post(ITEMS, all).await);
    let expected = [
        "title",
        "price",
        "tax",
        "status",
        "stock",
        "category_id",
        "tags",
        "views",
    ];
    assert_eq!(wrong, expected.map(str::to_owned).into());

    // What just keeps the rules is taken.
    let largest = json!({
        "description": of_letters(1_000), "tags": tags(20), "tax": 100, "stock": 1_000_000_000,
        "discount_price": 9.99,
    });
    let mut largest = offer("Tent", largest);
    largest["title"] = of_letters(200);
    let made = seller.post(ITEMS, largest).await.expect(201).json();
    assert_eq!(made["title"], of_letters(200));
    assert_eq!(made["stock"], 1_000_000_000);
}

#[tokio::test]
async fn tags_are_the_same_however_they_are_written() {
    let stage = Stage::new().await;
    let seller = stage.user().await;
    let tags = json!([
        "ZELT",
        "größe",
        "GRÖSSE",
        "GRO\u{308}ẞE",
        " zelt ",
        "Zelt",
        "été"
    ]);
    let id = sell(&seller, "Tent", json!({"tags": tags})).await;
    let path = item_path(&id);
    let item = seller.get(&path).await.expect(200).json();
    let found = item["tags"].as_array().unwrap();
    let found = BTreeSet::from_iter(found.iter().filter_map(Value::as_str));
    assert_eq!(found, ["zelt", "größe", "grösse", "été"].into());
    assert_eq!(item["tags"].as_array().unwrap().len(), 4);

    // The same ones in another order are no change.
    let again = json!({"tags": ["été", "Zelt", "grösse", "größe"]});
    let same = seller.patch(&path, again).await.expect(200).json();
    assert_eq!(same, item);
    let none = seller.patch(&path, json!({"tags": []})).await.expect(200);
    assert_eq!(none.json()["tags"], json!([]));
}

#[tokio::test]
async fn an_item_is_seen_by_whom_it_is_for() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let moderator = staff(&stage, &admin, "moderator").await;
    let (seller, other, anon) = (stage.user().await, stage.user().await, stage.anon());
    for (status, is_public) in [("active", true), ("draft", false), ("inactive", false)] {
        let fields = json!({"status": status, "stock": 7});
        let path = item_path(&sell(&seller, "Tent", fields).await);
        let whole = seller.get(&path).await.expect(200).json();
        assert_eq!(whole["status"], status);
        assert_eq!(whole["stock"], 7);
        let seen = admin.get(&path).await.expect(200).json();
        assert_eq!((&seen["stock"], &seen["reserved"]), (&json!(7), &json!(0)));
        for reader in [&other, &moderator, &anon] {
            let seen = reader.get(&path).await;
            if !is_public {
                seen.expect_problem(404, "not_found");
                continue;
            }
            let seen = seen.expect(200).json();
            assert_eq!(members(&seen), MEMBERS);
            assert_eq!(seen["stock"], Value::Null);
            assert_eq!(seen["reserved"], Value::Null);
            assert_eq!(seen["available"], 7);
            assert_eq!(seen["title"], whole["title"]);
        }
    }
    for nothing in [Uuid::now_v7().to_string(), "no-uuid".to_owned()] {
        for reader in [&anon, &seller, &admin] {
            let nothing = reader.get(&item_path(&nothing)).await;
            nothing.expect_problem(404, "not_found");
        }
    }
    // Nobody need sign in, but a token that is sent must be good.
    let path = item_path(&sell(&seller, "Tent", json!({})).await);
    let forged = anon.clone().with_header("authorization", "Bearer a.b.c");
    for path in [path.as_str(), ITEMS] {
        forged.get(path).await.expect_problem(401, "invalid_token");
    }
}

#[tokio::test]
async fn items_are_changed_by_their_owners_and_administrators() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let moderator = staff(&stage, &admin, "moderator").await;
    let (seller, other, anon) = (stage.user().await, stage.user().await, stage.anon());
    let requests = async |actor: &Actor<'_>, id: &str| {
        let path = item_path(id);
        [
            actor.patch(&path, json!({"title": "Mine"})).await,
            actor.put(&path, json!({"title": "Mine"})).await,
            change_stock(actor, id, json!({"delta": 1})).await,
            delete(actor, &path).await,
        ]
    };
    for status in ["active", "draft", "inactive"] {
        let id = sell(&seller, "Tent", json!({"status": status})).await;
        let before = seller.get(&item_path(&id)).await.expect(200).json();
        for answer in requests(&anon, &id).await {
            answer.expect_problem(401, "token_missing");
        }
        for actor in [&other, &moderator] {
            for answer in requests(actor, &id).await {
                if status != "active" {
                    answer.expect_problem(404, "not_found");
                    continue;
                }
                let answer = answer.expect_problem(403, "insufficient_scope");
                let challenge = answer.header("www-authenticate");
                assert!(challenge.contains("scope=\"admin:all\""), "{challenge}");
            }
        }
        let after = seller.get(&item_path(&id)).await.expect(200).json();
        assert_eq!(after, before);
        for answer in requests(&admin, &id).await {
            assert!(answer.status.is_success(), "{answer:?}");
        }
    }
    let id = sell(&seller, "Tent", json!({})).await;
    for answer in requests(&seller, &id).await {
        assert!(answer.status.is_success(), "{answer:?}");
    }
    for id in [id, Uuid::now_v7().to_string(), "no-uuid".to_owned()] {
        for answer in requests(&seller, &id).await {
            answer.expect_problem(404, "not_found");
        }
    }
    let anonymous = anon.post(ITEMS, offer("Tent", json!({}))).await;
    anonymous.expect_problem(401, "token_missing");
}

#[tokio::test]
async fn an_item_is_changed_in_part() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let seller = stage.user().await;
    let tents = categories::make(&admin, "Tents", json!({})).await;
    let fields = json!({
        "description": "Two persons", "price": 20, "discount_price": 15, "tax": 7,
        "category_id": tents, "tags": ["camping"], "status": "draft", "stock": 3,
    });
    let path = item_path(&sell(&seller, "Tent", fields).await);
    let before = seller.get(&path).await.expect(200).json();

    // Absent stays, null goes, and PUT is the same partial update.
    let change = json!({"title": " Dome tent ", "status": "active"});
    let changed = seller.patch(&path, change).await.expect(200);
    let mut expected = before.clone();
    expected["title"] = json!("Dome tent");
    expected["status"] = json!("active");
    expected["updated_at"] = changed.json()["updated_at"].clone();
    assert_eq!(changed.json(), expected);
    let at = |item: &Value| -> Timestamp { item["updated_at"].as_str().unwrap().parse().unwrap() };
    assert!(at(&changed.json()) >= at(&before));
    assert_eq!(seller.get(&path).await.expect(200).json(), expected);
    stage.anon().get(&path).await.expect(200);
    let cleared = json!({"description": null, "discount_price": null, "category_id": null});
    let cleared = seller.put(&path, cleared).await.expect(200).json();
    for field in ["description", "discount_price", "category_id"] {
        assert_eq!(cleared[field], Value::Null, "{field}");
    }
    assert_eq!(cents(&cleared["total_price"]), 2_140);
    for field in ["title", "price", "tax", "status", "tags"] {
        let wrong = seller.patch(&path, json!({field: null})).await;
        assert_eq!(fields_of(wrong), [field.to_owned()].into());
    }

    // A discount stays one, whichever of the two prices is changed.
    let discount = json!({"discount_price": 19.99});
    let discounted = seller.patch(&path, discount).await.expect(200).json();
    assert_eq!(cents(&discounted["total_price"]), 2_139);
    for change in [
        json!({"price": 19.99}),
        json!({"price": 5}),
        json!({"discount_price": 20}),
        json!({"price": 30, "discount_price": 30}),
    ] {
        let wrong = seller.patch(&path, change.clone()).await;
        let expected = ["discount_price".to_owned()].into();
        assert_eq!(fields_of(wrong), expected, "{change}");
    }
    assert_eq!(seller.get(&path).await.expect(200).json(), discounted);
    for change in [
        json!({"price": 5, "discount_price": 4}),
        json!({"price": 4, "discount_price": null}),
    ] {
        seller.patch(&path, change).await.expect(200);
    }
    let wrong = json!({"title": "", "price": 0, "tags": [""], "owner_id": admin.id, "views": 1});
    let wrong = fields_of(seller.patch(&path, wrong).await);
    let expected = ["title", "price", "tags[0]", "owner_id", "views"];
    assert_eq!(wrong, expected.map(str::to_owned).into());
}

#[tokio::test]
async fn items_have_etags() {
    let stage = Stage::new().await;
    let (seller, anon) = (stage.user().await, stage.anon());
    let id = sell(&seller, "Tent", json!({"stock": 5})).await;
    let path = item_path(&id);
    let first = seller.get(&path).await.expect(200);
    let tag = first.header("etag").to_owned();
    assert!(!tag.is_empty());
    for reader in [&seller, &anon] {
        let tag = reader
            .get(&path)
            .await
            .expect(200)
            .header("etag")
            .to_owned();
        let reading = reader.clone().with_header("if-none-match", &tag);
        let same = reading.get(&path).await.expect(304);
        assert_eq!(
            (same.body.as_slice(), same.header("etag")),
            (&b""[..], tag.as_str())
        );
    }

    // Whoever sees more must not be told that it is what they have seen before.
    let public = anon.get(&path).await.expect(200);
    let reading = seller
        .clone()
        .with_header("if-none-match", public.header("etag"));
    assert_eq!(reading.get(&path).await.expect(200).json()["stock"], 5);

    // What changes nothing keeps it.
    let careful = seller.clone().with_header("if-match", &tag);
    for same in [
        json!({}),
        json!({"title": " Tent", "price": 10.0, "tags": []}),
    ] {
        let same = careful.patch(&path, same).await.expect(200);
        assert_eq!(same.header("etag"), tag);
        assert_eq!(same.json(), first.json());
    }
    let changed = careful.patch(&path, json!({"price": 11})).await.expect(200);
    assert_ne!(changed.header("etag"), tag);
    // So does what is on hand, which others look at.
    let stocked = change_stock(&seller, &id, json!({"delta": 1})).await;
    stocked.expect(200);
    let now = seller.get(&path).await.expect(200);
    assert_ne!(now.header("etag"), changed.header("etag"));
    for stale in [tag.as_str(), changed.header("etag"), "\"nonsense\""] {
        let late = seller.clone().with_header("if-match", stale);
        for answer in [
            late.patch(&path, json!({"price": 12})).await,
            late.put(&path, json!({"price": 12})).await,
            delete(&late, &path).await,
        ] {
            answer.expect_problem(412, "precondition_failed");
        }
        let reading = seller.clone().with_header("if-none-match", stale);
        reading.get(&path).await.expect(200);
    }
    assert_eq!(seller.get(&path).await.expect(200).json(), now.json());
    let careful = seller.clone().with_header("if-match", now.header("etag"));
    delete(&careful, &path).await.expect(204);
}

#[tokio::test]
async fn of_changes_at_the_same_time_none_is_lost_unseen() {
    let stage = Stage::new().await;
    let seller = stage.user().await;
    let path = item_path(&sell(&seller, "Tent", json!({})).await);
    for round in 0..5 {
        let now = seller.get(&path).await.expect(200);
        let careful = seller.clone().with_header("if-match", now.header("etag"));
        let changes = (0..10).map(|n| {
            let title = format!("Tent {round} {n}");
            careful.patch(&path, json!({"title": title}))
        });
        let answers = join_all(changes).await;
        let (done, refused): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!(done.len(), 1);
        for answer in refused {
            answer.expect_problem(412, "precondition_failed");
        }
        let after = seller.get(&path).await.expect(200);
        assert_eq!(after.json(), done[0].json());
        assert_eq!(after.header("etag"), done[0].header("etag"));
    }
    // Who names nothing loses nothing either, as long as they do not change the same.
    for round in 0..10 {
        let (text, price) = (format!("Round {round}"), money(1_000 + round));
        let (described, priced) = join(
            seller.patch(&path, json!({"description": text})),
            seller.patch(&path, json!({"price": price})),
        )
        .await;
        described.expect(200);
        priced.expect(200);
        let item = seller.get(&path).await.expect(200).json();
        assert_eq!(item["description"], json!(text));
        assert_eq!(cents(&item["price"]), 1_000 + round);
    }
    let changes = (0..20).map(|n| seller.patch(&path, json!({"title": format!("Tent {n}")})));
    let (done, refused): (Vec<_>, Vec<_>) = join_all(changes)
        .await
        .into_iter()
        .partition(|answer| answer.status == 200);
    for answer in refused {
        answer.expect_problem(409, "stale");
    }
    let now = seller.get(&path).await.expect(200);
    let last = done
        .iter()
        .find(|answer| answer.header("etag") == now.header("etag"));
    assert_eq!(last.map(Answer::json), Some(now.json()));
    let tags = BTreeSet::from_iter(done.iter().map(|answer| answer.header("etag")));
    assert_eq!(tags.len(), done.len(), "two changes made the same version");
}

#[tokio::test]
async fn an_administrator_chooses_what_is_featured() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let moderator = staff(&stage, &admin, "moderator").await;
    let seller = stage.user().await;
    let path = item_path(&sell(&seller, "Tent", json!({})).await);
    let featured = json!({"is_featured": true});
    let mut refused = vec![seller.post(ITEMS, offer("Peg", featured.clone())).await];
    refused.push(seller.patch(&path, featured.clone()).await);
    refused.push(seller.put(&path, featured.clone()).await);
    let other = offer("Lantern", featured.clone());
    refused.push(moderator.post(ITEMS, other.clone()).await);
    for answer in refused {
        let answer = answer.expect_problem(403, "insufficient_scope");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.contains("scope=\"admin:all\""), "{challenge}");
    }
    let item = admin.patch(&path, featured).await.expect(200).json();
    assert_eq!(item["is_featured"], true);
    assert_eq!(item["owner_id"], seller.id);
    let item = admin.post(ITEMS, other).await.expect(201).json();
    assert_eq!(
        (&item["is_featured"], &item["owner_id"]),
        (&json!(true), &json!(admin.id))
    );
    // Her other changes leave it as it is.
    let item = seller.patch(&path, json!({"price": 12})).await.expect(200);
    assert_eq!(item.json()["is_featured"], true);
}

#[tokio::test]
async fn a_deleted_item_is_gone() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (seller, anon) = (stage.user().await, stage.anon());
    let tents = categories::make(&admin, "Tents", json!({})).await;
    let fields = json!({"category_id": tents, "tags": ["camping"], "is_featured": true});
    let path = item_path(&sell(&admin, "Marquee", fields).await);
    work(&stage).await;
    let lists = [
        ITEMS.to_owned(),
        format!("{ITEMS}?sort=price"),
        format!("{ITEMS}?category=tents"),
        format!("{ITEMS}?tag=camping"),
        format!("{ITEMS}?owner={}", admin.id),
        format!("{ITEMS}/search?q=marquee"),
        "/api/v1/tags/camping/items".to_owned(),
        "/api/v1/categories/tents/items".to_owned(),
    ];
    for list in &lists {
        let page = anon.get(list).await.expect(200).json();
        assert_eq!(page["items"].as_array().unwrap().len(), 1, "{list}");
    }
    delete(&admin, &path).await.expect(204);
    // Whether or not the task has come.
    for _ in 0..2 {
        for list in &lists {
            let page = anon.get(list).await.expect(200).json();
            assert_eq!(page["items"], json!([]), "{list}");
            assert_eq!(page["next_cursor"], Value::Null, "{list}");
        }
        for answer in [
            anon.get(&path).await,
            admin.get(&path).await,
            admin.patch(&path, json!({"title": "Tent"})).await,
            delete(&admin, &path).await,
        ] {
            answer.expect_problem(404, "not_found");
        }
        work(&stage).await;
    }
    let items = stage.all_items().await;
    let rows = items.iter().filter(|item| item.contains("marquee"));
    let rows = rows.filter(|item| item.contains("\"SUFFIX#"));
    assert_eq!(rows.count(), 0, "rows of the search are left");

    // Of many who delete it, and change it meanwhile, one deletes it.
    for _ in 0..5 {
        let path = item_path(&sell(&seller, "Tent", json!({"tags": ["camping"]})).await);
        let deletions = join_all((0..4).map(|_| delete(&seller, &path)));
        let change = seller.patch(&path, json!({"tags": ["hiking"], "price": 12}));
        let (deletions, change) = join(deletions, change).await;
        let mut deleted = 0;
        for answer in deletions {
            match answer.status.as_u16() {
                204 => deleted += 1,
                409 => drop(answer.expect_problem(409, "stale")),
                _ => drop(answer.expect_problem(404, "not_found")),
            }
        }
        assert!(
            matches!(change.status.as_u16(), 200 | 404 | 409),
            "{change:?}"
        );
        match deleted {
            // The change was first each time.
            0 => drop(delete(&seller, &path).await.expect(204)),
            _ => assert_eq!(deleted, 1),
        }
        for list in [
            MINE,
            "/api/v1/tags/camping/items",
            "/api/v1/tags/hiking/items",
        ] {
            let page = seller.get(list).await.expect(200).json();
            assert_eq!(page["items"], json!([]), "{list}");
        }
    }
}

#[tokio::test]
async fn many_items_are_made_at_once_and_each_answered_for_itself() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let seller = stage.user().await;
    let tents = categories::make(&admin, "Tents", json!({})).await;
    let items = json!([
        offer("Dome tent", json!({"category_id": tents, "tags": ["Camping"], "stock": 3})),
        offer("Priceless", json!({"price": -1, "tax": 101})),
        offer("Nowhere", json!({"category_id": Uuid::now_v7()})),
        7,
        offer("Featured", json!({"is_featured": true})),
        offer("Dear", json!({"discount_price": 11})),
        offer("Owned", json!({"owner_id": admin.id})),
        {"price": 1},
        offer("Sketch", json!({"status": "draft"})),
    ]);
    let body = json!({"items": items});
    let answer = seller.post(BULK, body.clone()).await.expect(207).json();
    assert_eq!(members(&answer), ["results"]);
    let results = answer["results"].as_array().unwrap();
    let expected = [201, 422, 422, 422, 403, 422, 422, 422, 201];
    assert_eq!(results.len(), expected.len());
    for (at, (result, status)) in results.iter().zip(expected).enumerate() {
        assert_eq!(result["index"], at);
        assert_eq!(result["status"], status, "{result}");
        let what = if status == 201 { "item" } else { "problem" };
        assert!(result[what].is_object(), "{result}");
        let other = if status == 201 { "problem" } else { "item" };
        assert_eq!(result[other], Value::Null, "{result}");
        if status != 201 {
            assert_eq!(result["problem"]["status"], status, "{result}");
        }
    }
    let fields = |at: usize| -> Vec<String> {
        let errors = results[at]["problem"]["errors"].as_array().unwrap();
        let fields = texts(errors, "field").into_iter();
        let fields = fields.map(|field| field.rsplit('.').next().unwrap().to_owned());
        BTreeSet::from_iter(fields).into_iter().collect()
    };
    assert_eq!(fields(1), ["price", "tax"]);
    assert_eq!(fields(2), ["category_id"]);
    assert_eq!(fields(5), ["discount_price"]);
    assert_eq!(fields(6), ["owner_id"]);
    assert_eq!(fields(7), ["title"]);
    assert_eq!(results[4]["problem"]["code"], "insufficient_scope");

    let made = [&results[0]["item"], &results[8]["item"]];
    assert_eq!(made[0]["tags"], json!(["camping"]));
    for item in made {
        let read = seller.get(&item_path(item["id"].as_str().unwrap())).await;
        assert_eq!(read.expect(200).json(), *item);
    }
    let own = all_of(&seller, &format!("{MINE}?limit=100")).await;
    assert_eq!(texts(&own, "title"), ["Sketch", "Dome tent"]);

    stage
        .anon()
        .post(BULK, body)
        .await
        .expect_problem(401, "token_missing");
    let many = |number: usize| {
        let items = (0..number).map(|n| offer(&format!("Peg {n}"), json!({})));
        json!({"items": items.collect::<Vec<_>>()})
    };
    for wrong in [
        many(0),
        many(101),
        json!({"items": {}}),
        json!({"items": null}),
        json!({}),
    ] {
        let wrong = seller.post(BULK, wrong).await;
        assert_eq!(fields_of(wrong), ["items".to_owned()].into());
    }
    let answer = seller.post(BULK, many(100)).await.expect(207).json();
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 100);
    for (at, result) in results.iter().enumerate() {
        assert_eq!(result["status"], 201, "{result}");
        assert_eq!(result["item"]["title"], format!("Peg {at}"));
    }
}

#[tokio::test]
async fn two_may_make_many_at_once() {
    let stage = Stage::new().await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    let items = |whose: &str| {
        let items = (0..40).map(|n| {
            let tags = json!({"tags": [whose, "shared", format!("tag{}", n % 3)]});
            offer(&format!("{whose} {n}"), tags)
        });
        json!({"items": items.collect::<Vec<_>>()})
    };
    // One of them twice, as somebody does who has no patience: nothing says that it is the same.
    let (first, second) = (ada.post(BULK, items("ada")), ada.post(BULK, items("ada")));
    let ((first, second), third) = join(join(first, second), bob.post(BULK, items("bob"))).await;
    let mut ids = BTreeSet::new();
    for answer in [first, second, third] {
        let answer = answer.expect(207).json();
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.len(), 40);
        for (at, result) in results.iter().enumerate() {
            assert_eq!(
                (&result["index"], &result["status"]),
                (&json!(at), &json!(201))
            );
            ids.insert(result["item"]["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(ids.len(), 120);
    for (path, number) in [
        (format!("{ITEMS}?limit=50"), 120),
        (format!("{ITEMS}?limit=50&tag=shared&sort=price"), 120),
        (format!("{ITEMS}?limit=50&tag=ada"), 80),
        (format!("{ITEMS}?limit=50&owner={}", bob.id), 40),
    ] {
        let listed = texts(&all_of(&stage.anon(), &path).await, "id");
        assert_eq!(listed.len(), number, "{path}");
        let all = BTreeSet::from_iter(listed);
        assert_eq!(all.len(), number, "{path}");
        assert!(all.is_subset(&ids), "{path}");
    }
    let page = stage.anon().get(ITEMS).await.expect(200).json();
    assert_eq!(
        (&page["total"], &page["total_relation"]),
        (&json!(120), &json!("eq"))
    );
}

#[tokio::test]
async fn what_is_on_hand_is_counted_or_set() {
    let stage = Stage::new().await;
    let seller = stage.user().await;
    let id = sell(&seller, "Peg", json!({"stock": 5})).await;
    for (change, stock) in [
        (json!({"delta": 15}), 20),
        (json!({"delta": -5}), 15),
        (json!({"delta": -15}), 0),
        (json!({"set": 7}), 7),
        (json!({"set": 0}), 0),
        (json!({"set": 1_000_000_000}), 1_000_000_000),
        (json!({"set": 10}), 10),
    ] {
        let item = change_stock(&seller, &id, change.clone()).await;
        let item = item.expect(200).json();
        assert_eq!(members(&item), MEMBERS);
        assert_eq!(
            (&item["stock"], &item["available"]),
            (&json!(stock), &json!(stock)),
            "{change}"
        );
        let read = seller.get(&item_path(&id)).await.expect(200).json();
        assert_eq!(read["stock"], stock, "{change}");
    }
    for delta in [-11, -1_000_000_000] {
        let refused = change_stock(&seller, &id, json!({"delta": delta})).await;
        refused.expect_problem(409, "stock_reserved");
    }
    for (change, field) in [
        (json!({"delta": 1_000_000_000}), "delta"),
        (json!({"delta": i64::MAX}), "delta"),
        (json!({"delta": 1.5}), "delta"),
        (json!({"delta": "1"}), "delta"),
        (json!({"set": -1}), "set"),
        (json!({"set": 1_000_000_001}), "set"),
        (json!({"set": 0.5}), "set"),
        (json!({"set": "1"}), "set"),
        (json!({"delta": 1, "stock": 2}), "stock"),
    ] {
        let wrong = change_stock(&seller, &id, change.clone()).await;
        assert_eq!(fields_of(wrong), [field.to_owned()].into(), "{change}");
    }
    for change in [
        json!({}),
        json!({"delta": null}),
        json!({"delta": 1, "set": 1}),
        json!({"delta": u64::MAX}),
        json!({"delta": 1e300}),
        json!([1]),
    ] {
        let wrong = change_stock(&seller, &id, change).await;
        wrong.expect_problem(422, "validation_failed");
    }
    let least = change_stock(&seller, &id, json!({"delta": i64::MIN})).await;
    assert!(matches!(least.status.as_u16(), 409 | 422), "{least:?}");
    let item = seller.get(&item_path(&id)).await.expect(200).json();
    assert_eq!(
        (&item["stock"], &item["available"]),
        (&json!(10), &json!(10))
    );
}

#[tokio::test]
async fn what_is_reserved_stays() {
    let stage = Stage::new().await;
    let seller = stage.user().await;
    let id = reserved_item(&stage, &seller, 20, 5).await;
    let seen = async || {
        let item = seller.get(&item_path(&id)).await.expect(200).json();
        ["stock", "reserved", "available"].map(|field| item[field].as_i64().unwrap())
    };
    assert_eq!(seen().await, [20, 5, 15]);
    for change in [json!({"delta": -16}), json!({"set": 4}), json!({"set": 0})] {
        let refused = change_stock(&seller, &id, change).await;
        refused.expect_problem(409, "stock_reserved");
    }
    assert_eq!(seen().await, [20, 5, 15]);
    for (change, expected) in [
        (json!({"delta": -15}), [5, 5, 0]),
        (json!({"delta": 2}), [7, 5, 2]),
        (json!({"set": 5}), [5, 5, 0]),
        (json!({"set": 9}), [9, 5, 4]),
    ] {
        change_stock(&seller, &id, change).await.expect(200);
        assert_eq!(seen().await, expected);
    }
    // No other change touches it.
    let change = json!({"title": "Lantern II", "price": 12});
    seller.patch(&item_path(&id), change).await.expect(200);
    assert_eq!(seen().await, [9, 5, 4]);
    let item = stage.anon().get(&item_path(&id)).await.expect(200).json();
    assert_eq!(
        (&item["stock"], &item["available"]),
        (&Value::Null, &json!(4))
    );
}

#[tokio::test]
async fn of_more_takers_than_there_are_as_many_get_one_as_there_are() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let seller = stage.user().await;
    let id = sell(&seller, "Peg", json!({"stock": 20})).await;
    let takers = (0..50).map(|n| {
        let taker = if n % 5 == 0 { &admin } else { &seller };
        change_stock(taker, &id, json!({"delta": -1}))
    });
    let (done, refused): (Vec<_>, Vec<_>) = join_all(takers)
        .await
        .into_iter()
        .partition(|answer| answer.status == 200);
    assert_eq!((done.len(), refused.len()), (20, 30));
    for answer in refused {
        answer.expect_problem(409, "stock_reserved");
    }
    let item = seller.get(&item_path(&id)).await.expect(200).json();
    assert_eq!((&item["stock"], &item["available"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn what_is_on_hand_is_not_lost_by_changes_at_the_same_time() {
    let stage = Stage::new().await;
    let seller = stage.user().await;
    let id = sell(&seller, "Peg", json!({"stock": 100})).await;
    let path = item_path(&id);
    let deltas = [3, -7, 11, -2, 5, -20, 8, 1, -4, 6];
    let counted = join_all(deltas.map(|delta| change_stock(&seller, &id, json!({"delta": delta}))));
    let changed =
        join_all((0..5).map(|n| seller.patch(&path, json!({"title": format!("Peg {n}")}))));
    let (counted, changed) = join(counted, changed).await;
    for answer in counted {
        answer.expect(200);
    }
    for answer in changed {
        if answer.status != 200 {
            answer.expect_problem(409, "stale");
        }
    }
    let item = seller.get(&path).await.expect(200).json();
    assert_eq!(item["stock"], 100 + deltas.iter().sum::<i64>());
    assert_eq!(item["available"], item["stock"]);
}

#[tokio::test]
async fn what_is_done_to_items_is_noted_with_who_did_it() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let seller = stage.user().await;
    let about = async |actor: &Actor<'_>, id: &str| -> Vec<Value> {
        let entries = all_of(actor, ACTIVITY).await.into_iter();
        entries.filter(|entry| entry["about_id"] == id).collect()
    };
    let id = sell(&seller, "Tent", json!({})).await;
    let path = item_path(&id);
    let change = json!({"title": "Dome tent"});
    seller.patch(&path, change.clone()).await.expect(200);
    seller.patch(&path, change).await.expect(200);
    admin
        .patch(&path, json!({"tags": ["odd"]}))
        .await
        .expect(200);
    change_stock(&seller, &id, json!({"set": 3}))
        .await
        .expect(200);
    let refused = change_stock(&seller, &id, json!({"delta": -4})).await;
    refused.expect(409);
    delete(&seller, &path).await.expect(204);

    let own = about(&seller, &id).await;
    let actions = texts(&own, "action");
    assert_eq!(actions.len(), 4, "{actions:?}");
    assert_eq!(actions[0], "item.deleted");
    assert_eq!(actions[2..], ["item.updated", "item.created"]);
    assert!(actions[1].starts_with("item."), "{actions:?}");
    let title = json!({"field": "title", "old": "Tent", "new": "Dome tent"});
    assert_eq!(own[2]["changes"], json!([title]));
    let of_admin = about(&admin, &id).await;
    assert_eq!(texts(&of_admin, "action"), ["item.updated"]);
    assert_eq!(of_admin[0]["actor_id"], admin.id);
}

#[tokio::test]
async fn whoever_deletes_their_account_leaves_no_items() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (seller, other, anon) = (stage.user().await, stage.user().await, stage.anon());
    let kept = sell(&other, "Quokka tent", json!({"tags": ["camping"]})).await;
    for status in ["active", "draft", "inactive"] {
        let fields = json!({"status": status, "tags": ["camping", "quokka"]});
        sell(&seller, "Quokka tent", fields).await;
    }
    work(&stage).await;
    delete(&seller, ME).await.expect(204);
    work(&stage).await;
    for path in [
        format!("{ITEMS}?limit=10"),
        format!("{ITEMS}?tag=camping"),
        format!("{ITEMS}/search?q=quokka"),
    ] {
        assert_eq!(
            texts(&all_of(&anon, &path).await, "id"),
            [kept.as_str()],
            "{path}"
        );
    }
    for (status, number) in [("active", 1), ("draft", 0), ("inactive", 0)] {
        let page = admin.get(&format!("{ITEMS}?status={status}")).await;
        let page = page.expect(200).json();
        assert_eq!(page["items"].as_array().unwrap().len(), number, "{status}");
        assert_eq!(page["total"], number, "{status}");
    }
    let tags = categories::tag_names(&anon).await;
    assert_eq!(tags, ["camping"]);
}

#[tokio::test]
async fn what_items_cost() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let seller = stage.user().await;
    let tents = categories::make(&admin, "Tents", json!({})).await;
    // The caller, and the transaction.
    let fields = json!({"tags": ["camping", "sale"], "stock": 5, "description": "Two persons"});
    let made = seller.post(ITEMS, offer("Tent", fields)).await;
    let made = made.expect(201).expect_round_trips(2);
    let path = item_path(&made.text("id"));
    // With the categories once, which are kept then.
    let fields = json!({"category_id": tents});
    let first = seller.post(ITEMS, offer("Tent", fields.clone())).await;
    let first = first.expect(201).usage.round_trips();
    assert!((2..=3).contains(&first), "{first}");
    let second = seller.post(ITEMS, offer("Tent", fields)).await;
    second.expect(201).expect_round_trips(2);

    // The item; and for an address the first time in a minute, what it may still ask.
    for _ in 0..3 {
        let anon = stage.anon();
        anon.get(&path).await.expect(200).expect_round_trips(2);
        for _ in 0..3 {
            anon.get(&path).await.expect(200).expect_round_trips(1);
        }
        let tag = anon.get(&path).await.header("etag").to_owned();
        let reading = anon.with_header("if-none-match", &tag);
        reading.get(&path).await.expect(304).expect_round_trips(1);
    }
    // With the caller.
    seller.get(&path).await.expect(200).expect_round_trips(2);
    let change = json!({"price": 12, "tags": ["camping", "winter"]});
    let changed = seller.patch(&path, change.clone()).await.expect(200);
    changed.expect_round_trips(3);
    // What changes nothing writes nothing.
    let same = seller.patch(&path, change).await.expect(200);
    same.expect_round_trips(2);
    let refused = stage.user().await.patch(&path, json!({"price": 13})).await;
    refused.expect(403).expect_round_trips(2);
    let wrong = seller.post(ITEMS, offer("", json!({}))).await;
    assert!(wrong.expect(422).usage.round_trips() <= 1);
    delete(&seller, &path)
        .await
        .expect(204)
        .expect_round_trips(3);
}

#[tokio::test]
async fn with_verified_addresses_only_nobody_else_offers_anything() {
    let post = Post::with(&[("REQUIRE_VERIFIED_EMAIL", "true")]).await;
    let ada = post.stage.user().await;
    let refused = ada.post(ITEMS, offer("Kettle", json!({}))).await;
    refused.expect_problem(403, "email_not_verified");
    ada.get(MINE).await.expect(200);
    post.verify().await.expect(204);
    sell(&ada, "Kettle", json!({})).await;
}

#[tokio::test]
async fn what_moves_between_lists_is_shown_once() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(sell(&ada, &format!("Kettle {n}"), json!({})).await);
    }
    let moving = async {
        for status in ["draft", "inactive", "active"].iter().cycle().take(24) {
            let moves = ids.iter().map(|id| {
                let path = item_path(id);
                let ada = &ada;
                async move { ada.patch(&path, json!({"status": status})).await }
            });
            for moved in join_all(moves).await {
                moved.expect(200);
            }
        }
    };
    let listing = async {
        for _ in 0..60 {
            let page = ada.get(&format!("{MINE}?sort=price")).await.expect(200);
            let listed = texts(page.json()["items"].as_array().unwrap(), "id");
            assert_eq!(BTreeSet::from_iter(&listed).len(), listed.len());
            let page = ada.get(MINE).await.expect(200).json();
            let listed = texts(page["items"].as_array().unwrap(), "id");
            assert_eq!(BTreeSet::from_iter(&listed).len(), listed.len());
        }
    };
    join(moving, listing).await;
}

#[tokio::test]
async fn an_item_that_is_on_its_way_when_its_owner_goes_is_not_made() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let owner = ada.id.parse().unwrap();
    delete(&ada, ME).await.expect(204);
    for _ in 0..2 {
        let title = Title::parse("Kettle").unwrap();
        let item = Item::new(owner, title, Price::parse_major(10.0).unwrap());
        let audit = AuditEntry::new("item.created", Some(owner), "");
        let late = stage.app.store.create_item(&item, &audit).await;
        assert!(matches!(late, Err(shared::Error::AccountInactive)));
        // And again when everything is erased.
        work(&stage).await;
    }
}
