//! What moderators do with categories, and what becomes of the items in them; and the tags that items have.

use std::collections::BTreeSet;

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use shared::models::audit::AuditEntry;
use tests::{Actor, Answer, Stage};
use uuid::Uuid;

use crate::items::{BULK, ITEMS, MINE, fields_of, item_path, offer, sell};
use crate::people::{ME, all_of, delete, members, staff, texts, work};

pub(crate) const CATEGORIES: &str = "/api/v1/categories";
const TAGS: &str = "/api/v1/tags";

fn category_path(id: &str) -> String {
    format!("{CATEGORIES}/{id}")
}

/// Makes a category, with these fields beside its name. Answers its id.
pub(crate) async fn make(moderator: &Actor<'_>, name: &str, fields: Value) -> String {
    create(moderator, name, fields).await.expect(201).text("id")
}

async fn create(moderator: &Actor<'_>, name: &str, mut fields: Value) -> Answer {
    fields["name"] = json!(name);
    moderator.post(CATEGORIES, fields).await
}

async fn put_below(moderator: &Actor<'_>, id: &str, parent: impl Into<Value>) -> Answer {
    let parent: Value = parent.into();
    let change = json!({"parent_id": parent});
    moderator.patch(&category_path(id), change).await
}

/// The names of all tags that are shown, in their order.
pub(crate) async fn tag_names(reader: &Actor<'_>) -> Vec<String> {
    let tags = all_of(reader, &format!("{TAGS}?limit=100")).await;
    texts(&tags, "name")
}

/// All categories that a reader is shown. Asserts that they are a tree, in the order of their paths, and that no two
/// have a name or a slug in common.
async fn tree(reader: &Actor<'_>) -> Vec<Value> {
    let page = reader.get(CATEGORIES).await.expect(200).json();
    let all = page["items"].as_array().unwrap().clone();
    assert_eq!(
        (&page["total"], &page["total_relation"]),
        (&json!(all.len()), &json!("eq"))
    );
    assert_eq!(page["next_cursor"], Value::Null);
    let paths = texts(&all, "path");
    let parts = |path: &String| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    assert!(paths.is_sorted_by_key(parts), "{paths:?}");
    for category in &all {
        let slug = category["slug"].as_str().unwrap();
        let parent = all
            .iter()
            .find(|other| other["id"] == category["parent_id"]);
        let expected = match parent {
            Some(parent) => format!("{}/{slug}", parent["path"].as_str().unwrap()),
            None => slug.to_owned(),
        };
        assert_eq!(category["path"], expected);
        // A circle has no beginning.
        assert!(
            parent.is_some() || category["parent_id"].is_null(),
            "{category}"
        );
    }
    for field in ["id", "slug", "name"] {
        let values = texts(&all, field)
            .into_iter()
            .map(|text| text.to_lowercase());
        assert_eq!(
            BTreeSet::from_iter(values).len(),
            all.len(),
            "{field}: {all:?}"
        );
    }
    all
}

async fn paths(reader: &Actor<'_>) -> Vec<String> {
    texts(&tree(reader).await, "path")
}

#[tokio::test]
async fn categories_are_a_tree() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let moderator = staff(&stage, &admin, "moderator").await;
    let anon = stage.anon();
    assert_eq!(tree(&anon).await, [] as [Value; 0]);
    let new = json!({"name": " Café & Bar ", "description": "Cups"});
    let made = moderator.post(CATEGORIES, new).await.expect(201);
    let cafe = made.json();
    assert_eq!(
        made.header("location"),
        category_path(cafe["id"].as_str().unwrap())
    );
    for (field, value) in [
        ("name", json!("Café & Bar")),
        ("slug", json!("cafe-bar")),
        ("path", json!("cafe-bar")),
        ("description", json!("Cups")),
        ("parent_id", Value::Null),
        ("is_active", json!(true)),
    ] {
        assert_eq!(cafe[field], value, "{field}");
    }
    let outdoor = make(&moderator, "Outdoor", json!({})).await;
    let below = json!({"parent_id": outdoor, "slug": "zelte"});
    let tents = make(&moderator, "Tents", below).await;
    let below = json!({"parent_id": tents});
    let family = make(&moderator, "Family tents", below.clone()).await;
    make(&moderator, "Domes", below).await;
    make(&moderator, "Outdoor books", json!({})).await;
    let expected = [
        "cafe-bar",
        "outdoor",
        "outdoor/zelte",
        "outdoor/zelte/domes",
        "outdoor/zelte/family-tents",
        "outdoor-books",
    ];
    assert_eq!(paths(&anon).await, expected);
    let all = tree(&anon).await;
    assert_eq!(all[0], cafe);

    // One of them, by id and by slug.
    for name in [family.as_str(), "family-tents"] {
        let one = anon.get(&category_path(name)).await.expect(200);
        assert_eq!(one.json(), all[4]);
        let reading = anon
            .clone()
            .with_header("if-none-match", one.header("etag"));
        let same = reading.get(&category_path(name)).await;
        assert_eq!(same.expect(304).body, b"");
    }
    let nothing = Uuid::now_v7().to_string();
    for nothing in ["cars", "outdoor-zelte", nothing.as_str()] {
        let missing = anon.get(&category_path(nothing)).await;
        missing.expect_problem(404, "not_found");
    }

    // What is below moves with it, and is not what it was.
    let family = anon.get(&category_path(&family)).await.expect(200);
    let change = json!({"parent_id": null, "slug": "tents", "description": "All of them"});
    let changed = moderator.patch(&category_path(&tents), change).await;
    let changed = changed.expect(200).json();
    assert_eq!(changed["path"], "tents");
    assert_eq!(changed["description"], "All of them");
    let reading = anon
        .clone()
        .with_header("if-none-match", family.header("etag"));
    let moved = reading.get(&category_path("family-tents")).await;
    assert_eq!(moved.expect(200).text("path"), "tents/family-tents");
    put_below(&moderator, &outdoor, tents.as_str())
        .await
        .expect(200);
    let expected = [
        "cafe-bar",
        "outdoor-books",
        "tents",
        "tents/domes",
        "tents/family-tents",
        "tents/outdoor",
    ];
    assert_eq!(paths(&anon).await, expected);
    let change = json!({"description": null});
    let path = category_path(&tents);
    let changed = moderator.put(&path, change).await.expect(200).json();
    assert_eq!(changed["description"], Value::Null);
    assert_eq!(changed["name"], "Tents");
}

#[tokio::test]
async fn no_two_categories_have_a_name_or_a_slug_in_common() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let id = make(&admin, "Café Möbel", json!({})).await;
    for name in ["Café Möbel", "CAFÉ MÖBEL", " cafe\u{301}  mo\u{308}bel "] {
        for slug in [json!("another"), json!("cafe-mobel")] {
            let taken = create(&admin, name, json!({"slug": slug})).await;
            taken.expect_problem(409, "name_taken");
        }
        let taken = create(&admin, name, json!({})).await;
        taken.expect_problem(409, "name_taken");
    }
    for (name, slug) in [
        ("Cafe Mobel", Value::Null),
        ("Another", json!("cafe-mobel")),
    ] {
        let mut fields = json!({});
        if !slug.is_null() {
            fields["slug"] = slug;
        }
        let taken = create(&admin, name, fields).await;
        taken.expect_problem(409, "slug_taken");
    }
    // Nor below another one, nor by a change.
    let below = json!({"parent_id": id});
    let taken = create(&admin, "café möbel", below.clone()).await;
    taken.expect_problem(409, "name_taken");
    let other = make(&admin, "Chairs", below).await;
    let path = category_path(&other);
    let taken = admin.patch(&path, json!({"name": "CAFÉ möbel"})).await;
    taken.expect_problem(409, "name_taken");
    let taken = admin.patch(&path, json!({"slug": "cafe-mobel"})).await;
    taken.expect_problem(409, "slug_taken");
    // The own name may be written differently, and keeps its slug.
    let change = json!({"name": "CAFÉ MÖBEL"});
    let changed = admin.patch(&category_path(&id), change).await;
    let changed = changed.expect(200).json();
    assert_eq!(
        (&changed["name"], &changed["slug"]),
        (&json!("CAFÉ MÖBEL"), &json!("cafe-mobel"))
    );

    // What was changed or deleted is free again.
    let change = json!({"name": "Stools", "slug": "stools"});
    admin.patch(&path, change).await.expect(200);
    let again = make(&admin, "Chairs", json!({})).await;
    delete(&admin, &category_path(&again)).await.expect(204);
    make(&admin, "chairs", json!({})).await;
    assert_eq!(
        paths(&admin).await,
        ["cafe-mobel", "cafe-mobel/stools", "chairs"]
    );

    // What has no letter that a slug could have brings its own.
    let nameless = create(&admin, "毛布", json!({})).await;
    assert_eq!(fields_of(nameless), ["slug".to_owned()].into());
    make(&admin, "毛布", json!({"slug": "blankets"})).await;
    let nothing = create(&admin, "毛布", json!({"slug": "others"})).await;
    nothing.expect_problem(409, "name_taken");
}

#[tokio::test]
async fn every_field_of_a_category_keeps_its_rule() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let id = make(&admin, "Tents", json!({})).await;
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("  ")),
        ("name", json!("x".repeat(101))),
        ("name", json!("a\u{0}b")),
        ("name", json!(7)),
        ("name", Value::Null),
        ("slug", json!("")),
        ("slug", json!("Tents")),
        ("slug", json!("-tents")),
        ("slug", json!("tents-")),
        ("slug", json!("a/b")),
        ("slug", json!("a b")),
        ("slug", json!("zelte-ü")),
        ("slug", json!("x".repeat(101))),
        ("description", json!("x".repeat(1_001))),
        ("parent_id", json!("no-uuid")),
        ("parent_id", json!(Uuid::now_v7())),
        ("is_active", json!("yes")),
        ("path", json!("a/b")),
        ("id", json!(Uuid::now_v7())),
        ("nonsense", json!(1)),
    ] {
        let mut new = json!({"name": "Stoves"});
        new[field] = value.clone();
        let wrong = admin.post(CATEGORIES, new).await;
        assert_eq!(fields_of(wrong), [field.to_owned()].into(), "{value}");
        let mut change = json!({});
        change[field] = value.clone();
        let wrong = admin.patch(&category_path(&id), change).await;
        assert_eq!(fields_of(wrong), [field.to_owned()].into(), "{value}");
    }
    let all = json!({"slug": "A", "parent_id": 7, "is_active": 1, "path": ""});
    let wrong = fields_of(admin.post(CATEGORIES, all).await);
    let expected = ["name", "slug", "parent_id", "is_active", "path"];
    assert_eq!(wrong, expected.map(str::to_owned).into());
    assert_eq!(paths(&admin).await, ["tents"]);
    for nothing in [Uuid::now_v7().to_string(), "no-uuid".to_owned()] {
        let path = category_path(&nothing);
        for answer in [
            admin.patch(&path, json!({"name": "Stoves"})).await,
            admin.put(&path, json!({"name": "Stoves"})).await,
            delete(&admin, &path).await,
        ] {
            answer.expect_problem(404, "not_found");
        }
    }
}

#[tokio::test]
async fn categories_are_changed_by_those_who_manage_them() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let user = stage.user().await;
    let id = make(&admin, "Tents", json!({})).await;
    let path = category_path(&id);
    let requests = async |actor: &Actor<'_>| {
        [
            create(actor, "Stoves", json!({})).await,
            actor.patch(&path, json!({"name": "Domes"})).await,
            actor.put(&path, json!({"is_active": true})).await,
            delete(actor, &path).await,
        ]
    };
    for answer in requests(&stage.anon()).await {
        answer.expect_problem(401, "token_missing");
    }
    for answer in requests(&user).await {
        let answer = answer.expect_problem(403, "insufficient_scope");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.contains("scope=\"items:manage\""), "{challenge}");
    }
    assert_eq!(paths(&user).await, ["tents"]);
    let moderator = staff(&stage, &admin, "moderator").await;
    for answer in requests(&moderator).await {
        assert!(answer.status.is_success(), "{answer:?}");
    }
    let trail = all_of(&moderator, "/api/v1/users/me/activity?limit=100").await;
    let actions = texts(&trail, "action");
    let of_categories = actions
        .iter()
        .filter(|action| action.starts_with("category."));
    // That which changed nothing is not noted.
    assert_eq!(of_categories.count(), 3, "{actions:?}");
}

#[tokio::test]
async fn an_inactive_category_is_seen_by_those_who_manage_it() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let moderator = staff(&stage, &admin, "moderator").await;
    let (user, anon) = (stage.user().await, stage.anon());
    make(&moderator, "Tents", json!({})).await;
    let id = make(&moderator, "Stoves", json!({"is_active": false})).await;
    for reader in [&anon, &user] {
        assert_eq!(paths(reader).await, ["tents"]);
        for name in [id.as_str(), "stoves"] {
            let hidden = reader.get(&category_path(name)).await;
            hidden.expect_problem(404, "not_found");
        }
    }
    assert_eq!(paths(&moderator).await, ["stoves", "tents"]);
    let seen = moderator.get(&category_path("stoves")).await.expect(200);
    assert_eq!(seen.json()["is_active"], false);
    let change = json!({"is_active": true});
    moderator
        .patch(&category_path(&id), change)
        .await
        .expect(200);
    assert_eq!(paths(&anon).await, ["stoves", "tents"]);
    anon.get(&category_path("stoves")).await.expect(200);
}

#[tokio::test]
async fn categories_have_etags() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let id = make(&admin, "Tents", json!({})).await;
    let path = category_path(&id);
    let tag = admin.get(&path).await.expect(200).header("etag").to_owned();
    let careful = admin.clone().with_header("if-match", &tag);
    // What changes nothing keeps it.
    let same = careful.patch(&path, json!({"name": "Tents", "slug": "tents"}));
    assert_eq!(same.await.expect(200).header("etag"), tag);
    let changes = (0..5).map(|n| careful.patch(&path, json!({"name": format!("Tents {n}")})));
    let answers = join_all(changes).await;
    let done = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(done, 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        answer.expect_problem(412, "precondition_failed");
    }
    for answer in [
        careful.put(&path, json!({"name": "Domes"})).await,
        delete(&careful, &path).await,
    ] {
        answer.expect_problem(412, "precondition_failed");
    }
    let now = admin.get(&path).await.expect(200).header("etag").to_owned();
    let careful = admin.clone().with_header("if-match", &now);
    delete(&careful, &path).await.expect(204);
}

#[tokio::test]
async fn nothing_is_below_itself_and_nothing_is_too_deep() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let mut chain: Vec<String> = Vec::new();
    for level in 1..=8 {
        let fields = match chain.last() {
            Some(parent) => json!({"parent_id": parent}),
            None => json!({}),
        };
        chain.push(make(&admin, &format!("Level {level}"), fields).await);
    }
    let before = paths(&admin).await;
    let longest = (1..=8).map(|level| format!("level-{level}"));
    assert_eq!(before[7], longest.collect::<Vec<_>>().join("/"));
    for (at, below) in [(0, 0), (0, 1), (0, 7), (3, 4), (6, 7), (7, 7)] {
        let circle = put_below(&admin, &chain[at], chain[below].as_str()).await;
        circle.expect_problem(409, "category_cycle");
    }
    // Eight levels are the most, whether something is made there or brings what is below it.
    let deep = create(&admin, "Level 9", json!({"parent_id": chain[7]})).await;
    assert_eq!(fields_of(deep), ["parent_id".to_owned()].into());
    let other = make(&admin, "Other", json!({})).await;
    let deep = put_below(&admin, &chain[0], other.as_str()).await;
    assert_eq!(fields_of(deep), ["parent_id".to_owned()].into());
    let deep = put_below(&admin, &other, chain[7].as_str()).await;
    assert_eq!(fields_of(deep), ["parent_id".to_owned()].into());
    assert_eq!(
        paths(&admin).await,
        [before, vec!["other".to_owned()]].concat()
    );
    // What is below may go up, and then what was above may go below it.
    put_below(&admin, &chain[4], Value::Null).await.expect(200);
    put_below(&admin, &chain[0], chain[7].as_str())
        .await
        .expect(200);
    let expected = "level-5/level-6/level-7/level-8/level-1/level-2/level-3/level-4";
    assert_eq!(paths(&admin).await[7], expected);
}

#[tokio::test]
async fn of_two_that_are_put_below_each_other_one_is() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let moderator = staff(&stage, &admin, "moderator").await;
    let one = make(&admin, "One", json!({})).await;
    let other = make(&admin, "Other", json!({})).await;
    let mut moved = 0;
    for round in 0..20 {
        let (first, second) = join(
            put_below(&admin, &one, other.as_str()),
            put_below(&moderator, &other, one.as_str()),
        )
        .await;
        let mut done = 0;
        for answer in [first, second] {
            match answer.status.as_u16() {
                200 => done += 1,
                409 if answer.text("code") == "stale" => {}
                _ => drop(answer.expect_problem(409, "category_cycle")),
            }
        }
        assert!(done <= 1, "a circle in round {round}");
        moved += done;
        let all = tree(&admin).await;
        let below = all
            .iter()
            .filter(|category| !category["parent_id"].is_null());
        assert_eq!(below.count(), done);
        for id in [&one, &other] {
            put_below(&admin, id, Value::Null).await.expect(200);
        }
    }
    // If both were refused each time, nothing was tried.
    assert!(moved >= 10, "{moved} of 20");
}

#[tokio::test]
async fn the_tree_stays_one_whatever_happens_at_the_same_time() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let moderator = staff(&stage, &admin, "moderator").await;
    // Of many who make the same, one does.
    let names = ["Tents", "TENTS", "tents", "Tènts", "tents "];
    let made = join_all(names.map(|name| create(&moderator, name, json!({})))).await;
    let done = made.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(done, 1);
    for answer in made.into_iter().filter(|answer| answer.status != 201) {
        match answer.text("code").as_str() {
            "slug_taken" => answer.expect_problem(409, "slug_taken"),
            _ => answer.expect_problem(409, "name_taken"),
        };
    }
    // Those who make different ones all do, or are told to do it again.
    let names: Vec<String> = (0..8).map(|n| format!("Category {n}")).collect();
    let made = join_all(names.iter().map(|name| create(&admin, name, json!({})))).await;
    let mut ids = Vec::new();
    for (answer, name) in made.into_iter().zip(&names) {
        if answer.status == 409 {
            answer.expect_problem(409, "stale");
            ids.push(make(&admin, name, json!({})).await);
        } else {
            ids.push(answer.expect(201).text("id"));
        }
    }
    assert_eq!(tree(&admin).await.len(), 9);

    // Each below the next one, all at once, and two of them deleted meanwhile.
    for round in 0..5 {
        let last = ids.len() - 1;
        let moves = (0..=last).map(|at| {
            let next = ids[(at + 1 + round) % ids.len()].as_str();
            put_below(&admin, &ids[at], next)
        });
        let gone = [category_path(&ids[0]), category_path(&ids[last])];
        let deletions = gone.iter().map(|path| delete(&moderator, path));
        let (moved, deleted) = join(join_all(moves), join_all(deletions)).await;
        for answer in moved {
            match answer.status.as_u16() {
                200 => {}
                404 => drop(answer.expect_problem(404, "not_found")),
                422 => assert_eq!(fields_of(answer), ["parent_id".to_owned()].into()),
                409 if answer.text("code") == "stale" => {}
                _ => drop(answer.expect_problem(409, "category_cycle")),
            }
        }
        let mut left = ids.clone();
        for (answer, id) in deleted.into_iter().zip([&ids[0], &ids[last]]) {
            match answer.status.as_u16() {
                204 => left.retain(|left| left != id),
                409 if answer.text("code") == "stale" => {}
                _ => drop(answer.expect_problem(409, "category_in_use")),
            }
        }
        // A tree, with those who were not deleted.
        let all = BTreeSet::from_iter(texts(&tree(&admin).await, "id"));
        assert_eq!(all.len(), left.len() + 1);
        for id in &left {
            assert!(all.contains(id), "{id} is missing");
            put_below(&admin, id, Value::Null).await.expect(200);
        }
        while left.len() < ids.len() {
            let name = format!("Category {}", Uuid::now_v7());
            left.push(make(&admin, &name, json!({})).await);
        }
        ids = left;
    }
}

#[tokio::test]
async fn a_category_that_is_in_use_stays() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (seller, anon) = (stage.user().await, stage.anon());
    let outdoor = make(&admin, "Outdoor", json!({})).await;
    let tents = make(&admin, "Tents", json!({"parent_id": outdoor})).await;
    let in_use = delete(&admin, &category_path(&outdoor)).await;
    in_use.expect_problem(409, "category_in_use");
    let path = category_path(&tents);
    // By an item of any status, whoever sees it.
    for status in ["draft", "inactive", "active"] {
        let fields = json!({"status": status, "category_id": tents});
        let item = item_path(&sell(&seller, "Dome", fields).await);
        for _ in 0..2 {
            let in_use = delete(&admin, &path).await;
            in_use.expect_problem(409, "category_in_use");
        }
        // It is as before: others can come into it.
        let other = sell(&seller, "Igloo", json!({"category_id": tents})).await;
        delete(&seller, &item_path(&other)).await.expect(204);
        match status {
            "draft" => delete(&seller, &item).await.expect(204),
            "inactive" => seller
                .patch(&item, json!({"category_id": null}))
                .await
                .expect(200),
            _ => seller
                .patch(&item, json!({"category_id": outdoor}))
                .await
                .expect(200),
        };
    }
    delete(&admin, &path).await.expect(204);
    for name in [tents.as_str(), "tents"] {
        let gone = anon.get(&category_path(name)).await;
        gone.expect_problem(404, "not_found");
        let gone = anon.get(&format!("{ITEMS}?category={name}")).await;
        let expected = ("category".to_owned(), "unknown_category".to_owned());
        assert_eq!(gone.expect(422).wrong_fields(), [expected]);
        let gone = anon.get(&format!("{}/items", category_path(name))).await;
        gone.expect_problem(404, "not_found");
    }
    delete(&admin, &path).await.expect_problem(404, "not_found");
    let fields = json!({"category_id": tents});
    let gone = seller.post(ITEMS, offer("Dome", fields)).await;
    assert_eq!(fields_of(gone), ["category_id".to_owned()].into());
    let in_use = delete(&admin, &category_path(&outdoor)).await;
    in_use.expect_problem(409, "category_in_use");
    assert_eq!(paths(&anon).await, ["outdoor"]);

    // Of many who delete it, one does.
    let books = category_path(&make(&admin, "Books", json!({})).await);
    let answers = join_all((0..5).map(|_| delete(&admin, &books))).await;
    let done = answers.iter().filter(|answer| answer.status == 204).count();
    assert_eq!(done, 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 204) {
        match answer.status.as_u16() {
            409 => answer.expect_problem(409, "stale"),
            _ => answer.expect_problem(404, "not_found"),
        };
    }
}

/// The ways in which an item comes into a category.
#[derive(Clone, Copy, Debug)]
enum Way {
    New,
    Moved,
    Bulk,
}

#[tokio::test]
async fn no_item_comes_into_a_category_that_is_being_deleted() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let seller = stage.user().await;
    let old = item_path(&sell(&seller, "Old", json!({})).await);
    let (mut gone, mut kept) = (0, 0);
    for round in 0..21 {
        let way = [Way::New, Way::Moved, Way::Bulk][round % 3];
        let name = format!("Brief {round}");
        let category = make(&admin, &name, json!({})).await;
        let path = category_path(&category);
        // At first the deletion comes later, and at last the item: after so many other requests.
        let wait = async |requests: usize| {
            for _ in 0..requests {
                seller.get(ME).await.expect(200);
            }
        };
        let go = async {
            wait(3_usize.saturating_sub(round / 3)).await;
            delete(&admin, &path).await
        };
        let come = async {
            wait((round / 3).saturating_sub(3)).await;
            let fields = json!({"category_id": category});
            let answer = match way {
                Way::New => seller.post(ITEMS, offer("New", fields)).await,
                Way::Moved => seller.patch(&old, fields).await,
                Way::Bulk => {
                    let items = [offer("First", fields.clone()), offer("Second", fields)];
                    seller.post(BULK, json!({"items": items})).await
                }
            };
            if let Way::Bulk = way {
                let answer = answer.expect(207).json();
                let results = answer["results"].as_array().unwrap();
                return results.iter().any(|result| {
                    let status = &result["status"];
                    assert!(*status == 201 || *status == 422, "{result}");
                    *status == 201
                });
            }
            let has_come = answer.status.is_success();
            if !has_come {
                let expected = ("category_id".to_owned(), "unknown_category".to_owned());
                assert_eq!(answer.expect(422).wrong_fields(), [expected]);
            }
            has_come
        };
        let (deleted, has_come) = join(go, come).await;
        let is_gone = deleted.status == 204;
        if !is_gone {
            deleted.expect_problem(409, "category_in_use");
        }
        assert!(!is_gone || !has_come, "round {round}, {way:?}");
        gone += usize::from(is_gone);
        kept += usize::from(!is_gone);
        let listed = all_of(&seller, &format!("{MINE}?limit=100")).await;
        let there = BTreeSet::from_iter(texts(&tree(&admin).await, "id"));
        for item in &listed {
            let category = item["category_id"].as_str();
            let is_there = category.is_none_or(|category| there.contains(category));
            assert!(is_there, "round {round}, {way:?}: {item}");
        }
        assert_eq!(there.contains(&category), !is_gone);
        // An attempt in vain leaves it open.
        if !is_gone {
            sell(&seller, "Late", json!({"category_id": category})).await;
        }
    }
    // If it ended the same each time, nothing was tried.
    assert!(gone > 0 && kept > 0, "{gone} gone, {kept} kept");
}

#[tokio::test]
async fn what_an_instance_remembers_lets_no_item_into_a_category_that_is_gone() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let seller = stage.user().await;
    let id = make(&admin, "Tents", json!({})).await;
    let item = item_path(&sell(&seller, "Dome", json!({})).await);
    let by_slug = format!("{ITEMS}?category=tents");
    stage.anon().get(&by_slug).await.expect(200);
    // Another instance deletes it.
    let (tree, version) = stage.app.store.categories().await.unwrap();
    let category = tree.find("tents").unwrap();
    let audit = AuditEntry::new("category.deleted", admin.id.parse().ok(), "127.0.0.1");
    let deleted = stage.app.store.delete_category(version, category, &audit);
    deleted.await.unwrap();
    let expected = || [("category_id".to_owned(), "unknown_category".to_owned())];
    let fields = json!({"category_id": id});
    for refused in [
        seller.post(ITEMS, offer("Dome", fields.clone())).await,
        seller.patch(&item, fields).await,
    ] {
        let refused = refused.expect_problem(422, "validation_failed");
        assert_eq!(refused.wrong_fields(), expected());
    }
    // Who changes the tree looks at it anew; others are shown it for a minute.
    let anon = stage.anon();
    anon.get(&category_path("tents")).await.expect(200);
    stage.later(61).await;
    let gone = anon.get(&category_path("tents")).await;
    gone.expect_problem(404, "not_found");
    let below = create(&admin, "Domes", json!({"parent_id": id})).await;
    assert_eq!(fields_of(below), ["parent_id".to_owned()].into());
    make(&admin, "Tents", json!({})).await;
    assert_eq!(paths(&anon).await, ["tents"]);
}

#[tokio::test]
async fn what_categories_cost() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    // The caller, the tree, the transaction.
    let made = create(&admin, "Tents", json!({})).await.expect(201);
    let path = category_path(&made.expect_round_trips(3).text("id"));
    let change = json!({"name": "Domes"});
    let changed = admin.patch(&path, change.clone()).await.expect(200);
    changed.expect_round_trips(3);
    let same = admin.patch(&path, change).await.expect(200);
    same.expect_round_trips(2);
    let anon = stage.anon();
    anon.get(CATEGORIES).await.expect(200);
    for path in [CATEGORIES, path.as_str(), "/api/v1/categories/tents"] {
        let read = anon.get(path).await.expect(200);
        assert!(read.usage.round_trips() <= 1, "{path}");
    }
}

#[tokio::test]
async fn tags_are_those_of_what_is_offered() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (seller, anon) = (stage.user().await, stage.anon());
    assert!(tag_names(&anon).await.is_empty());
    let tags = json!({"tags": ["Winter", "summer sale", "Größe 42"]});
    let one = item_path(&sell(&seller, "one", tags).await);
    let tags = json!({"tags": ["WINTER", "été"]});
    let two = item_path(&sell(&admin, "two", tags).await);
    let tags = json!({"status": "draft", "tags": ["secret", "winter"]});
    let three = item_path(&sell(&seller, "three", tags).await);
    work(&stage).await;
    assert_eq!(
        tag_names(&anon).await,
        ["größe 42", "summer sale", "winter", "été"]
    );
    for limit in [1, 2, 3] {
        let paged = all_of(&anon, &format!("{TAGS}?limit={limit}")).await;
        assert_eq!(texts(&paged, "name").len(), 4, "{limit} a page");
    }
    let skipped = anon.get(&format!("{TAGS}?skip=3")).await.expect(200);
    let skipped = skipped.json();
    assert_eq!(texts(skipped["items"].as_array().unwrap(), "name"), ["été"]);
    assert_eq!(members(&skipped["items"][0]), ["name"]);
    anon.get(TAGS).await.expect(200).expect_round_trips(1);
    let wrong = anon.get(&format!("{TAGS}?cursor=%00")).await;
    wrong.expect_problem(400, "invalid_cursor");

    // What has a tag, however it is written.
    let cases: &[(&str, &[&str])] = &[
        ("winter", &["two", "one"]),
        ("WINTER", &["two", "one"]),
        ("summer%20sale", &["one"]),
        ("GR%C3%B6%C3%9Fe%2042", &["one"]),
        ("e%CC%81te%CC%81", &["two"]),
        ("secret", &[]),
        ("nobody%20has%20it", &[]),
    ];
    for (name, expected) in cases {
        let items = all_of(&anon, &format!("{TAGS}/{name}/items?limit=100")).await;
        assert_eq!(texts(&items, "title"), *expected, "{name}");
    }
    for name in ["a%23b", "%20", "a%2Fb"] {
        let wrong = anon.get(&format!("{TAGS}/{name}/items")).await;
        assert!(matches!(wrong.status.as_u16(), 404 | 422), "{wrong:?}");
    }

    // They come and go with what has them.
    let change = json!({"tags": ["winter", "autumn"]});
    seller.patch(&one, change).await.expect(200);
    seller
        .patch(&three, json!({"status": "active"}))
        .await
        .expect(200);
    admin
        .patch(&two, json!({"status": "inactive"}))
        .await
        .expect(200);
    work(&stage).await;
    assert_eq!(tag_names(&anon).await, ["autumn", "secret", "winter"]);
    delete(&seller, &one).await.expect(204);
    work(&stage).await;
    assert_eq!(tag_names(&anon).await, ["secret", "winter"]);
    delete(&seller, &three).await.expect(204);
    admin
        .patch(&two, json!({"status": "active"}))
        .await
        .expect(200);
    work(&stage).await;
    assert_eq!(tag_names(&anon).await, ["winter", "été"]);
}

#[tokio::test]
async fn a_tag_that_goes_from_one_item_to_another_stays() {
    let stage = Stage::new().await;
    let seller = stage.user().await;
    let mut paths = Vec::new();
    for n in 0..4 {
        let tags = if n == 0 { json!(["red"]) } else { json!([]) };
        let id = sell(&seller, &format!("item {n}"), json!({"tags": tags})).await;
        paths.push(item_path(&id));
    }
    work(&stage).await;
    for round in 0..8 {
        let (from, to) = (&paths[round % 4], &paths[(round + 1) % 4]);
        let (lost, got) = join(
            seller.patch(from, json!({"tags": []})),
            seller.patch(to, json!({"tags": ["red"]})),
        )
        .await;
        lost.expect(200);
        got.expect(200);
        work(&stage).await;
        assert_eq!(tag_names(&seller).await, ["red"], "round {round}");
    }
    let last = &paths[8 % 4];
    seller.patch(last, json!({"tags": []})).await.expect(200);
    work(&stage).await;
    assert!(tag_names(&seller).await.is_empty());
}

#[tokio::test]
async fn a_category_with_very_many_below_it_lists_their_items_too() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let root = make(&admin, "Everything", json!({})).await;
    let other = make(&admin, "Something else", json!({})).await;
    let mut expected = BTreeSet::new();
    for n in 0..30 {
        let below = json!({"parent_id": root});
        let below = make(&admin, &format!("Part {n}"), below).await;
        let fields = json!({"category_id": below, "price": n + 1});
        expected.insert(sell(&admin, &format!("Item {n}"), fields).await);
        sell(&admin, "Elsewhere", json!({"category_id": other})).await;
    }
    for sort in ["price", "-created_at"] {
        let path = format!("{ITEMS}?category=everything&sort={sort}&limit=7");
        let listed = texts(&all_of(&admin, &path).await, "id");
        assert_eq!(listed.len(), 30);
        assert_eq!(BTreeSet::from_iter(listed), expected);
    }
    let skipped = format!("{ITEMS}?category=everything&skip=1");
    let skipped = admin.get(&skipped).await;
    skipped.expect_problem(400, "skip_too_deep");
}
