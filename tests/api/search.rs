//! Searching for people: what is found, by whom, at which cost, and what is not shown any more.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use fastrand::Rng;
use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use lambda_http::aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use serde_json::{Value, json};
use shared::models::User;
use shared::models::search::{Query, fold};
use shared::models::text::{Email, Name, Username};
use shared::store::tasks::NewTask;
use shared::tasks::{Searched, Task};
use tests::faults::{Fault, Faults, Schedule};
use tests::{Actor, Stage};
use url::form_urlencoded;
use uuid::Uuid;
use worker::Worker;

use crate::people::{ME, USERS, all_of, delete, path_of, settle, staff, texts, work};

/// The path of a search, which more parameters may follow.
fn search(q: &str) -> String {
    let q: String = form_urlencoded::byte_serialize(q.as_bytes()).collect();
    format!("{USERS}/search?q={q}")
}

/// The e-mail addresses of all who are found, without their domain and sorted. Each is found once.
async fn found(reader: &Actor<'_>, q: &str) -> Vec<String> {
    let items = all_of(reader, &format!("{}&limit=100", search(q))).await;
    let emails = texts(&items, "email").into_iter();
    let mut names: Vec<_> = emails
        .map(|email| email.split('@').next().unwrap().to_owned())
        .collect();
    names.sort();
    let all: BTreeSet<_> = names.iter().collect();
    assert_eq!(all.len(), names.len(), "somebody twice for {q:?}");
    names
}

/// Makes somebody of this name at example.com, who can be found once the worker has worked. Answers the id.
async fn invite(admin: &Actor<'_>, name: &str, mut account: Value) -> String {
    account["email"] = json!(format!("{name}@example.com"));
    admin.post(USERS, account).await.expect(201).text("id")
}

async fn rename(admin: &Actor<'_>, id: &str, full_name: &str) {
    let change = json!({"full_name": full_name});
    admin.patch(&path_of(id), change).await.expect(200);
}

/// How many rows of the search hold this text.
async fn rows_with(stage: &Stage, text: &str) -> usize {
    let items = stage.all_items().await.into_iter();
    let rows = items.filter(|item| item.contains("\"SUFFIX#"));
    rows.filter(|row| row.contains(text)).count()
}

fn batch_of(messages: impl IntoIterator<Item = SqsMessage>) -> SqsEvent {
    let mut batch = SqsEvent::default();
    batch.records = messages.into_iter().collect();
    batch
}

#[tokio::test]
async fn people_are_found_by_any_part_of_what_they_are_called() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let reader = staff(&stage, &admin, "moderator").await;
    let names = json!({
        "username": "The_Countess", "first_name": "Augusta", "last_name": "Byron",
        "full_name": "Ada King-Noel", "phone": "+49301234567", "website": "babbage.example",
    });
    let id = invite(&admin, "lovelace.ada", names).await;
    invite(&admin, "grace.hopper", json!({"full_name": "Grace Hopper"})).await;
    // Until the task is done nobody is found by it.
    assert!(found(&reader, "lovelace").await.is_empty());
    work(&stage).await;
    for q in [
        "lovelace.ada@example.com",
        "LOVELACE.ADA@EXAMPLE.COM",
        "velace.a",
        "ada@ex",
        "the_countess",
        "_COUNT",
        "ss",
        "ada king-noel",
        "g-no",
        "  Ada\t KING ",
    ] {
        assert_eq!(found(&reader, q).await, ["lovelace.ada"], "{q:?}");
    }
    // Not by what is not searched, nor by what only looks like it.
    for q in [
        "augusta",
        "byron",
        "9301234",
        "babbage",
        "adaking",
        "king ada",
        "lovelaceada",
        "l%a",
        "_o",
        "ada_king",
        "ki*",
    ] {
        assert!(found(&reader, q).await.is_empty(), "{q:?}");
    }
    assert_eq!(
        found(&reader, "race").await,
        ["grace.hopper"],
        "in the middle of a word"
    );
    // Whole, as a list shows them, and whether or not they are active.
    let path = format!("{}/deactivate", path_of(&id));
    admin.send("POST", &path, None, b"").await.expect(200);
    let page = reader.get(&search("lovelace")).await.expect(200).json();
    let whole = admin.get(&path_of(&id)).await.expect(200).json();
    assert_eq!(page["items"], json!([whole]));
    assert_eq!(page["total"], 1);
    assert_eq!(page["total_relation"], "eq");
    assert_eq!(page["next_cursor"], Value::Null);
}

#[tokio::test]
async fn every_script_is_searched_alike() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    for (email, full_name) in [
        ("composed", "José Müller-Ångström"),
        ("decomposed", "Rene\u{301} Mu\u{308}ller"),
        ("vietnamese", "Nguyễn Thị Minh"),
        ("german", "Weißenborn Süß"),
        ("turkish", "İlker Işık"),
        ("greek", "Οδυσσέας Παπαδόπουλος"),
        ("cyrillic", "Фёдор Достоевский"),
        ("japanese", "山田太郎"),
        ("beyond", "𠮷野家子"),
        ("korean", "김철수"),
        ("arabic", "محمد الأحمد"),
        ("emoji", "Ferris 🦀🎉 Crab"),
        ("signs", "Miles \"#1\" O'Brien \\ {a&b}"),
    ] {
        invite(&admin, email, json!({"full_name": full_name})).await;
    }
    work(&stage).await;
    let cases: &[(&str, &[&str])] = &[
        ("josé", &["composed"]),
        ("jose\u{301}", &["composed"]),
        ("JOSE\u{301}", &["composed"]),
        ("MÜLL", &["composed", "decomposed"]),
        ("u\u{308}lle", &["composed", "decomposed"]),
        ("\u{212b}ng", &["composed"]),
        ("RENÉ m", &["decomposed"]),
        ("uyễn", &["vietnamese"]),
        ("UYE\u{302}\u{303}N TH", &["vietnamese"]),
        ("WEIẞEN", &["german"]),
        ("ss", &[]),
        ("İLK", &["turkish"]),
        ("işık", &["turkish"]),
        ("ışık", &[]),
        ("Işık", &["turkish"]),
        ("ΟΥΛΟΣ", &["greek"]),
        ("ουλος", &["greek"]),
        ("ουλοσ", &["greek"]),
        ("έας ΠΑΠ", &["greek"]),
        ("ΔΌΠΟΥΛΟΣ", &["greek"]),
        ("СТОЕВ", &["cyrillic"]),
        ("фе\u{308}дор", &["cyrillic"]),
        ("ор дос", &["cyrillic"]),
        ("田太", &["japanese"]),
        ("山田太郎", &["japanese"]),
        ("太田", &[]),
        ("𠮷野", &["beyond"]),
        ("野家", &["beyond"]),
        ("철수", &["korean"]),
        (
            "\u{1100}\u{1175}\u{11b7}\u{110e}\u{1165}\u{11af}",
            &["korean"],
        ),
        ("أحمد", &["arabic"]),
        ("🦀🎉", &["emoji"]),
        ("ris 🦀🎉 cr", &["emoji"]),
        ("🎉🦀", &[]),
        ("\"#1\" o'", &["signs"]),
        ("{a&b}", &["signs"]),
    ];
    for (q, expected) in cases {
        assert_eq!(found(&admin, q).await, *expected, "{q:?}");
    }
}

#[tokio::test]
async fn a_phrase_ends_one_word_and_begins_another() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    for (email, full_name) in [
        ("one", "Maria van der Berg"),
        ("two", "Maria Vander Bergmann"),
        ("three", "Anna Maria de Berg"),
        ("four", "Mari Avan Derber"),
    ] {
        invite(&admin, email, json!({"full_name": full_name})).await;
    }
    work(&stage).await;
    let cases: &[(&str, &[&str])] = &[
        ("ia van", &["one", "two"]),
        ("ia van ", &["one", "two"]),
        ("ia van d", &["one"]),
        ("an der berg", &["one"]),
        ("der berg", &["one", "two"]),
        ("der bergm", &["two"]),
        ("na maria de", &["three"]),
        ("maria berg", &[]),
        ("mari avan derb", &["four"]),
        ("maria  \u{a0} van", &["one", "two"]),
    ];
    for (q, expected) in cases {
        assert_eq!(found(&admin, q).await, *expected, "{q:?}");
    }
}

#[tokio::test]
async fn a_word_may_be_longer_than_what_the_index_keeps_of_it() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let name = "the-quick-brown-fox-jumps-over-the-lazy-dog-123456";
    let other = "the-quick-brown-fox-jumps-over-the-lazy-dog-987654";
    assert_eq!(name.len(), 50);
    invite(&admin, "one", json!({"username": name})).await;
    invite(&admin, "two", json!({"username": other})).await;
    let long = "x".repeat(60) + &"y".repeat(40);
    invite(&admin, "three", json!({"full_name": long})).await;
    work(&stage).await;
    let cases: &[(&str, &[&str])] = &[
        (name, &["one"]),
        (&name[..44], &["one", "two"]),
        (&name[..47], &["one"]),
        (&name[2..46], &["one"]),
        (&name[40..], &["one"]),
        ("dog-98", &["two"]),
        (long.as_str(), &["three"]),
        (&long[19..], &["three"]),
        (&long[59..], &["three"]),
    ];
    for (q, expected) in cases {
        assert_eq!(found(&admin, q).await, *expected, "{q:?}");
    }
    let wrong = format!("{}x", &name[..44]);
    let too_many = "x".repeat(61);
    for q in [&wrong, &too_many] {
        assert!(found(&admin, q).await.is_empty(), "{q:?}");
    }
}

#[tokio::test]
async fn whoever_is_found_in_many_ways_is_shown_once() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let banana = json!({"username": "ananas-banana", "full_name": "Banana Anna Bananaan"});
    invite(&admin, "banana.ana", banana).await;
    invite(&admin, "anna", json!({"full_name": "Anna Hannah"})).await;
    work(&stage).await;
    for limit in [1, 2, 100] {
        let path = format!("{}&limit={limit}", search("an"));
        let mut emails = texts(&all_of(&admin, &path).await, "email");
        emails.sort();
        let expected = ["anna@example.com", "banana.ana@example.com"];
        assert_eq!(emails, expected, "{limit} a page");
    }
    assert_eq!(found(&admin, "na").await, ["anna", "banana.ana"]);
    assert_eq!(found(&admin, "anana").await, ["banana.ana"]);
}

#[tokio::test]
async fn nobody_is_found_by_a_name_they_had() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let ada = stage.user().await;
    let change = json!({"full_name": "Ada Lovelace", "username": "lovelace"});
    ada.patch(ME, change).await.expect(200);
    work(&stage).await;
    let name = ada.email.split('@').next().unwrap();
    assert_eq!(found(&admin, "lovelace").await, [name]);

    // As soon as it is another, before the rows have changed.
    let change = json!({"full_name": "Ada King", "username": null});
    ada.patch(ME, change).await.expect(200);
    assert!(rows_with(&stage, "lovelace").await > 0);
    assert!(found(&admin, "lovelace").await.is_empty());
    assert!(found(&admin, "da love").await.is_empty());
    // What has stayed is found all the time.
    assert_eq!(found(&admin, name).await, [name]);
    work(&stage).await;
    assert_eq!(rows_with(&stage, "lovelace").await, 0);
    assert_eq!(rows_with(&stage, "velace").await, 0);
    assert!(found(&admin, "lovelace").await.is_empty());
    assert_eq!(found(&admin, "da king").await, [name]);

    delete(&ada, ME).await.expect(204);
    assert!(found(&admin, "da king").await.is_empty());
    work(&stage).await;
    assert_eq!(rows_with(&stage, &ada.id).await, 0);
}

#[tokio::test]
async fn of_names_that_change_quickly_the_last_one_is_found() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    for order in ["as they came", "the last one first", "at the same time"] {
        let id = invite(&admin, "person", json!({})).await;
        work(&stage).await;
        for name in ["Applebaum", "Birnbaum", "Citronen"] {
            rename(&admin, &id, name).await;
        }
        let mut messages = stage.receive().await;
        messages.sort_by(|a, b| a.body.cmp(&b.body));
        assert_eq!(messages.len(), 3);
        match order {
            "at the same time" => {
                let handled = messages.iter().map(|message| {
                    let worker = Worker::new(stage.instance()).unwrap();
                    worker::handle(worker, batch_of([message.clone()]))
                });
                join_all(handled).await;
            }
            _ => {
                if order == "the last one first" {
                    messages.reverse();
                }
                for message in messages {
                    let handled = stage.handle(batch_of([message])).await;
                    assert_eq!(handled.batch_item_failures, [], "{order}");
                }
            }
        }
        // What came too early comes again.
        settle(&stage).await;
        for old in ["applebaum", "birnbaum"] {
            assert!(found(&admin, old).await.is_empty(), "{old}: {order}");
            assert_eq!(rows_with(&stage, &old[3..]).await, 0, "{old}: {order}");
        }
        assert_eq!(found(&admin, "citronen").await, ["person"], "{order}");
        delete(&admin, &path_of(&id)).await.expect(204);
        work(&stage).await;
        assert_eq!(rows_with(&stage, &id).await, 0, "{order}");
    }
}

#[tokio::test]
async fn a_worker_may_die_at_any_of_its_calls_while_it_indexes() {
    let stage = Stage::new().await;
    for number in 0.. {
        // Time passes in each round, and tokens end.
        let admin = stage.admin().await;
        let email = format!("person{number:02}");
        let id = invite(&admin, &email, json!({})).await;
        work(&stage).await;
        let [first, second] = ["apfelbaum", "zitronen"].map(|name| format!("{name}{number:02}"));
        rename(&admin, &id, &first).await;
        let faults = Faults::new(Schedule::Call(number, Fault::DiesAfter));
        let worker = Worker::new(faults.instance(&stage.app)).unwrap();
        let messages = stage.receive().await;
        assert_eq!(messages.len(), 1);
        faults
            .survive(worker::handle(worker, batch_of(messages)))
            .await;

        // The next change finds what it has left.
        rename(&admin, &id, &second).await;
        assert!(found(&admin, &first).await.is_empty());
        stage.work().await;
        assert!(found(&admin, &first).await.is_empty());
        settle(&stage).await;
        assert!(found(&admin, &first).await.is_empty());
        assert_eq!(found(&admin, &second).await, [email], "call {number}");
        assert_eq!(rows_with(&stage, &first[3..]).await, 0, "call {number}");
        let items = stage.all_items().await;
        let open = items.iter().filter(|item| item.contains("\"held_until\""));
        assert_eq!(open.count(), 0, "a record is held for ever");
        delete(&admin, &path_of(&id)).await.expect(204);
        work(&stage).await;
        assert_eq!(rows_with(&stage, &id).await, 0, "call {number}");

        let calls = faults.take_calls();
        if calls.iter().all(|(_, fault)| *fault == Fault::None) {
            assert!(number >= 6, "{calls:?}");
            break;
        }
    }
}

#[tokio::test]
async fn rows_that_were_lost_are_made_again_by_a_reindexing() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let mut names = Vec::new();
    for n in 0..60 {
        let name = format!("person{n:02}");
        invite(&admin, &name, json!({"full_name": "Meadows"})).await;
        names.push(name);
    }
    // As if nobody had ever written a row: the messages are lost, and no sweep comes.
    stage.lose_messages().await;
    assert!(found(&admin, "meadows").await.is_empty());
    // More than a page of them, twice.
    for _ in 0..2 {
        let what = Searched::Users;
        let task = NewTask::new(Task::Reindex { what, after: None });
        stage.app.store.add_task(&task).await.unwrap();
        work(&stage).await;
        assert_eq!(found(&admin, "meadows").await, names);
    }
    assert_eq!(found(&admin, "admin@").await, ["admin"]);
}

#[tokio::test]
async fn a_search_has_pages() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let mut names = Vec::new();
    for n in 0..25 {
        let name = format!("person{n:02}");
        // Rows of different words, some of them in two ways.
        let full_name = ["Meadows", "Highmeadows", "Meadows Meadowson"][n % 3];
        invite(&admin, &name, json!({"full_name": full_name})).await;
        names.push(name);
    }
    work(&stage).await;
    assert_eq!(found(&admin, "meadow").await, names);
    let path = |limit: u32| format!("{}&limit={limit}", search("meadow"));
    for limit in [1, 2, 7, 25] {
        let paged = texts(&all_of(&admin, &path(limit)).await, "id");
        let all = BTreeSet::from_iter(&paged);
        assert_eq!((paged.len(), all.len()), (25, 25), "{limit} a page");
    }
    let whole = admin.get(&path(25)).await.expect(200).json();
    assert_eq!(whole["total"], 25);
    assert_eq!(whole["total_relation"], "eq");
    assert_eq!(whole["next_cursor"], Value::Null);
    let first = admin.get(&path(2)).await.expect(200).json();
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    assert_eq!(first["total_relation"], "gte");
    assert!(first["total"].as_u64().unwrap() >= 3);
    assert_eq!((&first["page"], &first["size"]), (&json!(1), &json!(2)));

    // Others come and go meanwhile: nobody who stays is missed or shown twice.
    let mut seen = Vec::new();
    let mut cursor = String::new();
    for n in 0.. {
        let page = admin.get(&format!("{}{cursor}", path(2))).await;
        let page = page.expect(200).json();
        seen.extend(texts(page["items"].as_array().unwrap(), "id"));
        let name = json!({"full_name": "Meadowbrook"});
        let new = invite(&admin, &format!("new{n}"), name).await;
        work(&stage).await;
        if n % 2 == 0 {
            delete(&admin, &path_of(&new)).await.expect(204);
            work(&stage).await;
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(BTreeSet::from_iter(&seen).len(), seen.len());
    for id in texts(whole["items"].as_array().unwrap(), "id") {
        assert!(seen.contains(&id), "{id} is missing");
    }
}

#[tokio::test]
async fn a_page_of_a_search_costs_two_round_trips_beside_the_caller() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let mut cost = Vec::new();
    for round in 0..2 {
        for n in 0..25 {
            let name = json!({"full_name": "Meadows"});
            invite(&admin, &format!("person{round}{n:02}"), name).await;
        }
        work(&stage).await;
        let path = format!("{}&limit=20", search("meadows"));
        let first = admin.get(&path).await.expect(200).expect_round_trips(3);
        let next = format!("{path}&cursor={}", first.text("next_cursor"));
        let next = admin.get(&next).await.expect(200);
        next.expect_round_trips(3);
        cost.push((first.usage.read_units(), first.usage.write_units()));
        let email = format!("person{round}07@example.com");
        let one = admin.get(&search(&email)).await.expect(200);
        assert_eq!(one.expect_round_trips(3).json()["total"], 1);
        let none = admin.get(&search("nobody at all")).await.expect(200);
        assert!(none.usage.round_trips() <= 3);
    }
    assert_eq!(cost[0], cost[1], "twice as many cost more");
    assert_eq!(cost[0].1, 0.0);
}

#[tokio::test]
async fn a_search_refuses_what_it_does_not_know() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    for n in 0..5 {
        let name = json!({"full_name": "Meadows Brook"});
        invite(&admin, &format!("person{n}"), name).await;
    }
    work(&stage).await;
    let long = "x".repeat(101);
    for (q, code) in [
        ("", "too_short"),
        ("a", "too_short"),
        ("山", "too_short"),
        (" a ", "too_short"),
        ("e\u{301}", "too_short"),
        ("a b", "too_short"),
        (long.as_str(), "too_long"),
    ] {
        let wrong = admin.get(&search(q)).await;
        let wrong = wrong.expect_problem(422, "validation_failed");
        let expected = [("q".to_owned(), code.to_owned())];
        assert_eq!(wrong.wrong_fields(), expected, "{q:?}");
    }
    let missing = admin.get(&format!("{USERS}/search?limit=5")).await;
    let missing = missing.expect_problem(422, "validation_failed");
    assert_eq!(missing.wrong_fields()[0].0, "q");
    let path = search("meadows");
    let wrong = admin.get(&format!("{path}&limit=101")).await;
    let wrong = wrong.expect_problem(422, "validation_failed");
    assert_eq!(wrong.wrong_fields()[0].0, "limit");

    for skip in [1, 20, 10_000, 10_001] {
        let skipping = admin.get(&format!("{path}&skip={skip}")).await;
        skipping.expect_problem(400, "skip_too_deep");
    }
    admin.get(&format!("{path}&skip=0")).await.expect(200);
    for cursor in ["", "nonsense", "W10", "%00", "bWVhZA"] {
        let wrong = admin.get(&format!("{path}&cursor={cursor}")).await;
        wrong.expect_problem(400, "invalid_cursor");
    }
    // Nor is a cursor good for another search, or for a list.
    let page = admin.get(&format!("{path}&limit=2")).await.expect(200);
    let cursor = page.text("next_cursor");
    for path in [search("brook"), format!("{USERS}?limit=5")] {
        let elsewhere = admin.get(&format!("{path}&cursor={cursor}")).await;
        elsewhere.expect_problem(400, "invalid_cursor");
    }
}

/// The most that one of the random queries may find, so that the test does not only turn pages.
const MOST_FOUND: usize = 300;

/// Alphabets with letters of more than one form, more than two bytes, or no small form, and a mark that joins others.
const ALPHABETS: [&str; 8] = [
    "abcdefghijklmnopqrstuvwxyzäöüßéèñçøåłşğıİẞÉ\u{301}",
    "abcdefghijklmnopqrstuvwxyz",
    "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώΣΆ",
    "абвгдежзийклмнопрстуфхцчшщъыьэюяёЁЙ",
    "山田太郎佐藤花子鈴木一次高橋愛中村小林𠮷野家",
    "あいうえおかきくけこさしすせそたちつてとなにぬ",
    "אבגדהוזחטיכלמנסעפצקרשת",
    "🦀🎉🌍🚀🎈🐙🍎𝄞𝔘𝔫𝔦",
];

fn word(random: &mut Rng, alphabet: &str, length: RangeInclusive<usize>) -> String {
    let letters: Vec<char> = alphabet.chars().collect();
    (0..random.usize(length))
        .map(|_| letters[random.usize(..letters.len())])
        .collect()
}

/// Somebody whose texts are as long as people's are, and now and then longer than what the index keeps of a word.
/// Letters come at random: two of them are in the texts of few, and more of them in those of next to nobody else.
fn person(random: &mut Rng, number: usize) -> User {
    let ascii = ALPHABETS[1];
    let local = match random.u8(..10) {
        0 => word(random, ascii, 35..=50),
        _ => word(random, ascii, 3..=16),
    };
    let domain = word(random, ascii, 4..=9);
    let top = word(random, ascii, 2..=3);
    let username = word(random, ascii, 3..=9).to_uppercase();
    let alphabet = ALPHABETS[random.usize(..ALPHABETS.len())];
    let words = (0..random.usize(1..=3)).map(|_| match random.u8(..20) {
        0 => word(random, alphabet, 25..=30),
        _ => word(random, alphabet, 1..=8),
    });
    let full_name = Vec::from_iter(words).join(" ");
    let email = format!("{local}.{number}@{domain}.{top}");
    User {
        username: Some(Username::parse(&format!("{username}_{number}")).unwrap()),
        full_name: Some(Name::parse(&full_name).unwrap()),
        ..User::new(Email::parse(&email).unwrap())
    }
}

/// From 2 to 12 characters of one of somebody's texts, if one may search for them.
fn part(random: &mut Rng, of: &[String]) -> Option<String> {
    let text: Vec<char> = of[random.usize(..of.len())].chars().collect();
    let length = random.usize(2..=12);
    let start = random.usize(..=text.len().checked_sub(length)?);
    let part: String = text[start..start + length].iter().collect();
    Query::parse(&part).is_ok().then_some(part)
}

#[expect(clippy::disallowed_methods, reason = "a test may be told what to do")]
fn number(variable: &str, default: usize) -> usize {
    let told = std::env::var(variable);
    told.map_or(default, |number| number.parse().unwrap())
}

/// The search answers what looking through all texts would. What bounds the numbers is writing the rows, about forty a
/// user, and that each of them goes through an unoptimised client; `USERS=5000 QUERIES=500` tries more.
#[tokio::test]
#[expect(
    clippy::print_stdout,
    reason = "who raises the numbers wants to see them"
)]
async fn a_search_finds_what_a_look_at_all_texts_finds() {
    let (users, queries) = (number("USERS", 1_000), number("QUERIES", 100));
    let stage = Stage::new().await;
    let mut random = Rng::with_seed(7);
    let people: Vec<User> = (0..users).map(|n| person(&mut random, n)).collect();
    stage.app.store.load_users(&people).await.unwrap();
    let admin = stage.admin().await;
    work(&stage).await;
    let known = stage.app.store.user(admin.id.parse().unwrap()).await;
    let known = people.into_iter().chain(known.unwrap());
    let known: Vec<_> = known
        .map(|user| (user.id.to_string(), user.search_texts()))
        .collect();

    let mut wanted = Vec::new();
    let mut skipped = 0;
    while wanted.len() < queries {
        let (_, texts) = &known[random.usize(..known.len())];
        let Some(q) = part(&mut random, texts) else {
            continue;
        };
        let folded = fold(&q);
        let contains = |texts: &[String]| texts.iter().any(|text| text.contains(&folded));
        let found = known.iter().filter(|(_, texts)| contains(texts));
        let mut found: Vec<&str> = found.map(|(id, _)| id.as_str()).collect();
        found.sort();
        assert!(!found.is_empty());
        match found.len() > MOST_FOUND {
            true => skipped += 1,
            false => wanted.push((q, found)),
        }
    }
    let admin = &admin;
    let answers = wanted.iter().map(|(q, expected)| async move {
        let path = format!("{}&limit=100", search(q));
        let mut found = texts(&all_of(admin, &path).await, "id");
        found.sort();
        assert_eq!(found, *expected, "for {q:?}");
        found.len()
    });
    let answers = futures_util::stream::iter(answers).buffer_unordered(4);
    let found: Vec<usize> = answers.collect().await;
    let found: usize = found.iter().sum();
    println!("{queries} queries over {users} users found {found}; {skipped} were too common");
    assert!(found >= queries);
    assert!(skipped <= queries / 10, "{skipped} queries were too common");
}

/// One of two tasks does the work, and the other relies on it. So who works must look again before it ends.
#[tokio::test]
async fn a_change_that_comes_while_another_is_indexed_is_found() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let ada = stage.user().await;
    let id = ada.id.parse().unwrap();
    let [first, second] = [stage.instance(), stage.instance()];
    let mut relied = 0;
    for round in 0..20 {
        // Many rows, so that the first is not done before the other comes.
        let long = "y".repeat(80);
        let before = json!({"full_name": format!("before{round}x{long}")});
        ada.patch(ME, before).await.expect(200);
        let (_, left) = join(
            first.store.index::<User>(id, Uuid::now_v7(), false),
            async {
                let after = json!({"full_name": format!("after{round}x")});
                ada.patch(ME, after).await.expect(200);
                second
                    .store
                    .index::<User>(id, Uuid::now_v7(), false)
                    .await
                    .unwrap()
            },
        )
        .await;
        relied += usize::from(!left);
        let found = all_of(&admin, &format!("{USERS}/search?q=after{round}x")).await;
        assert_eq!(texts(&found, "id"), [ada.id.as_str()], "round {round}");
    }
    assert!(relied > 0, "they never met");
}
