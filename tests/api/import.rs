//! Moving in and out: what comes from another application's database, what a copy of the tables brings back, and that
//! neither loses or doubles anything, wherever it is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use futures_util::future::join;
use local::import::{Counts, Import, Names, Options, Source, Table};
use local::{export, restore};
use rusqlite::{Connection, params_from_iter};
use serde_json::{Value, json};
use shared::App;
use shared::store::search::Searchable;
use shared::tasks::Searched;
use shared::{ids, models};
use tempfile::TempDir;
use tests::faults::{Fault, Faults, Schedule};
use tests::{Actor, PASSWORD, Stage};
use tokio::sync::watch;

use crate::faults::calls;
use crate::people::{USERS, all_of, log_in, path_of, texts};

const ITEMS: &str = "/api/v1/items";

/// The password of everybody who comes with one.
const OLD_PASSWORD: &str = "Old-password-1";

const USER_COLUMNS: [&str; 9] = [
    "id",
    "email",
    "username",
    "name",
    "hashed_password",
    "is_active",
    "is_superuser",
    "created_at",
    "theme",
];

/// `BCRYPT` and `ARGON2` stand for hashes of the old password; what is empty is NULL.
#[rustfmt::skip]
const PEOPLE: [[&str; 9]; 7] = [
    ["1", "Ada@Example.com", "ada", "Ada Lovelace", "BCRYPT", "true", "false", "2023-05-17 09:30:00.123456+00", "dark"],
    ["2", "ADA@example.COM", "eve", "", "BCRYPT", "true", "false", "2023-05-18 09:30:00+00", ""],
    ["3", "bob@example.com", "", "", "pbkdf2_sha256$600000$salt$hash", "true", "false", "2023-05-19 09:30:00+00", ""],
    ["4", "nowhere", "a b", "", "", "true", "false", "2023-05-20 09:30:00+00", ""],
    ["5", "root@example.com", "root", "", "ARGON2", "true", "true", "2023-05-21 09:30:00+00", ""],
    ["6", "carl@example.com", "", "Carl", "BCRYPT", "false", "false", "2023-05-22 09:30:00+00", ""],
    // The stage's own administrator has it.
    ["7", "admin@example.com", "", "", "BCRYPT", "true", "true", "2023-05-23 09:30:00+00", ""],
];

const ITEM_COLUMNS: [&str; 9] = [
    "id",
    "title",
    "description",
    "price",
    "stock",
    "tags",
    "is_active",
    "owner_id",
    "created_at",
];

#[rustfmt::skip]
const THINGS: [[&str; 9]; 6] = [
    ["1", "Difference engine", "Of brass.", "19.99", "3", "[\"brass\", \"Big\"]", "true", "1", "2023-06-01 10:00:00+00"],
    ["2", "Analytical engine", "", "1.999", "-1", "", "true", "1", "2023-06-02 10:00:00+00"],
    ["3", "Orphan", "", "1", "1", "[\"lost\"]", "true", "2", "2023-06-03 10:00:00+00"],
    ["4", "Hidden loom", "", "250", "", "[\"hidden\"]", "false", "3", "2023-06-04 10:00:00+00"],
    ["5", "Slate", "", "0.10", "12", "", "true", "6", "2023-06-05 10:00:00+00"],
    ["6", "Thief's bag", "", "5", "1", "", "true", "7", "2023-06-06 10:00:00+00"],
];

/// What is refused of them, each with its fields and their codes; and whose password is lost.
fn expected_refusals() -> BTreeSet<String> {
    let refusals = [
        "users 2: email duplicate",
        "users 3 comes: hashed_password unknown_hash",
        "users 4: email invalid_email, username invalid_character",
        "users 7: email email_taken",
        "items 2: price too_many_decimals, stock out_of_range",
        "items 3: owner_id unknown_owner",
        "items 6: owner_id not_found",
    ];
    refusals.map(str::to_owned).into()
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Sqlite,
    Csv,
    JsonLines,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Sqlite, Self::Csv, Self::JsonLines];

    /// Writes the rows, and answers where they are.
    fn write(self, folder: &Path) -> Vec<String> {
        let tables = [
            ("users", USER_COLUMNS, rows(&PEOPLE)),
            ("items", ITEM_COLUMNS, rows(&THINGS)),
        ];
        match self {
            Self::Sqlite => {
                let path = folder.join("app.db");
                let database = Connection::open(&path).unwrap();
                for (table, columns, rows) in tables {
                    let kind = |column: &str| match column {
                        "id" => "INTEGER PRIMARY KEY",
                        // As those have it who took no Decimal.
                        "price" => "REAL",
                        "is_active" | "is_superuser" => "BOOLEAN",
                        _ => "TEXT",
                    };
                    let columns = columns.map(|column| format!("{column} {}", kind(column)));
                    let columns = columns.join(", ");
                    let create = format!("CREATE TABLE {table} ({columns})");
                    database.execute(&create, []).unwrap();
                    for row in rows {
                        let values = row.iter().map(|value| match value.as_str() {
                            "" => None,
                            "true" => Some("1".to_owned()),
                            "false" => Some("0".to_owned()),
                            value => Some(value.to_owned()),
                        });
                        let insert =
                            format!("INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
                        database.execute(&insert, params_from_iter(values)).unwrap();
                    }
                }
                vec![path.to_str().unwrap().to_owned()]
            }
            Self::Csv => {
                for (table, columns, rows) in tables {
                    let mut text = columns.join(",");
                    for row in rows {
                        let quoted = row.map(|value| format!("\"{}\"", value.replace('"', "\"\"")));
                        text += &format!("\n{}", quoted.join(","));
                    }
                    fs::write(folder.join(format!("{table}.csv")), text).unwrap();
                }
                vec![folder.to_str().unwrap().to_owned()]
            }
            Self::JsonLines => tables
                .into_iter()
                .map(|(table, columns, rows)| {
                    let mut text = String::new();
                    for row in rows {
                        let values = columns.iter().zip(&row).filter(|(_, v)| !v.is_empty());
                        let values = values.map(|(column, value)| {
                            // As they are in JSON where they can be.
                            let raw = ["id", "price", "stock", "tags"].contains(column)
                                || ["true", "false"].contains(&value.as_str());
                            match raw {
                                true => format!("\"{column}\": {value}"),
                                false => format!("\"{column}\": {}", json!(value)),
                            }
                        });
                        text += &format!("{{{}}}\n", values.collect::<Vec<_>>().join(", "));
                    }
                    let path = folder.join(format!("{table}.jsonl"));
                    fs::write(&path, text).unwrap();
                    path.to_str().unwrap().to_owned()
                })
                .collect(),
        }
    }
}

/// The rows with hashes in them.
fn rows(table: &[[&str; 9]]) -> Vec<[String; 9]> {
    let hash = bcrypt::hash(OLD_PASSWORD, 4).unwrap();
    let values = |row: &[&str; 9]| {
        row.map(|value| match value {
            "BCRYPT" => hash.clone(),
            "ARGON2" => ARGON2.to_owned(),
            value => value.to_owned(),
        })
    };
    table.iter().map(values).collect()
}

/// The old password, as argon2-cffi hashes it with small parameters.
const ARGON2: &str = "$argon2id$v=19$m=1024,t=2,p=2$Qa3S2NfssG/6GuymUigrAg$SG7BLPLrncG2jXY95tWL95X+rqqo7CHzLwjb2ciCfyk";

struct Brought {
    users: Counts,
    items: Counts,
    refused: BTreeSet<String>,
}

/// Brings a source over, as the command does.
async fn bring(app: &App, places: &[String], options: &Options) -> Brought {
    let mut source = Source::open(places, &Names::default()).await.unwrap();
    let folder = TempDir::new().unwrap();
    let options = Options {
        refused: folder.path().join("refused.jsonl"),
        ..options.clone()
    };
    let mut progress = 0;
    let mut import = Import::new(app, &mut source, &options).unwrap();
    let users = import.bring(Table::Users, |more| progress += more).await;
    let items = import.bring(Table::Items, |more| progress += more).await;
    drop(import);
    let (users, items) = (users.unwrap(), items.unwrap());
    let all = |counts: &Counts| counts.new + counts.there + counts.refused;
    assert_eq!(progress, all(&users) + all(&items));
    let lines = fs::read_to_string(&options.refused).unwrap_or_default();
    let told = lines.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let errors = line["errors"].as_array().unwrap().iter();
        let errors = errors.map(|e| format!("{} {}", text(&e["field"]), text(&e["code"])));
        let comes = if line["refused"] == true {
            ""
        } else {
            " comes"
        };
        let (table, key) = (text(&line["table"]), text(&line["key"]));
        format!(
            "{table} {key}{comes}: {}",
            errors.collect::<Vec<_>>().join(", ")
        )
    });
    Brought {
        users,
        items,
        refused: told.collect(),
    }
}

/// All lines of a copy, without the first and the last. Of an audit entry only what was done stays: its time and its id
/// are others each time.
async fn lines(app: &App) -> BTreeSet<String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("copy");
    let options = export::Options {
        segments: 3,
        rate: None,
    };
    let mut progress = 0;
    let counts = export::export(app, &path, options, |more| progress += more).await;
    let counts = counts.unwrap();
    assert_eq!(progress, counts.all());
    let lines = items_of(&path);
    assert_eq!(lines.len() as u64, counts.all());
    lines
}

fn items_of(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let items = &lines[1..lines.len() - 1];
    let (mut set, mut entries) = (BTreeSet::new(), BTreeMap::new());
    for line in items {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let item = &mut line["item"]["item"];
        if item["sk"]["S"].as_str().unwrap().starts_with("PAST#") {
            let entry = json!([item["pk"], item["action"], item["about"]]).to_string();
            let count = entries.entry(entry).or_insert(0);
            *count += 1;
            *item = json!([item["pk"], item["action"], item["about"], *count]);
        }
        assert!(set.insert(line.to_string()), "it is there twice: {line}");
    }
    set
}

/// Asserts that what is counted, listed and found is what there is: nothing changes if all of it is written anew.
async fn check(stage: &Stage, admin: &Actor<'_>) {
    let all = all_of(admin, &format!("{USERS}?limit=100")).await;
    let page = admin.get(&format!("{USERS}?limit=1")).await.json();
    assert_eq!(page["total"], all.len(), "{page}");
    for query in ["role=admin", "role=user", "is_active=false"] {
        let some = all_of(admin, &format!("{USERS}?{query}&limit=100")).await;
        let page = admin.get(&format!("{USERS}?{query}&limit=1")).await.json();
        assert_eq!(page["total"], some.len(), "{query}: {page}");
    }
    let all = all_of(admin, &format!("{ITEMS}?limit=100")).await;
    let page = admin.get(&format!("{ITEMS}?limit=1")).await.json();
    assert_eq!(page["total"], all.len(), "{page}");

    let rows = |lines: BTreeSet<String>| {
        let is_row = |line: &String| ["\"SUFFIX#", "\"TAGS\""].iter().any(|pk| line.contains(pk));
        lines.into_iter().filter(is_row).collect::<BTreeSet<_>>()
    };
    let before = rows(lines(&stage.app).await);
    let task = ids::new();
    for what in [Searched::Users, Searched::Items] {
        for id in stage.app.store.ids_after(what, None, 100).await.unwrap() {
            stage.app.store.reindex(what, id, task).await.unwrap();
        }
    }
    assert_eq!(rows(lines(&stage.app).await), before);
}

#[tokio::test]
async fn what_comes_from_a_database_is_as_if_it_had_been_made_here() {
    for kind in Kind::ALL {
        let stage = Stage::new().await;
        let admin = stage.admin().await;
        stage.work().await;
        let tasks = stage.task_ids().await;
        let folder = TempDir::new().unwrap();
        let places = kind.write(folder.path());
        let before = lines(&stage.app).await;

        // To try it writes nothing, and tells the same.
        let dry = Options {
            dry_run: true,
            ..Options::default()
        };
        let tried = bring(&stage.app, &places, &dry).await;
        assert_eq!(lines(&stage.app).await, before);

        let brought = bring(&stage.app, &places, &Options::default()).await;
        let users = Counts {
            new: 4,
            refused: 3,
            without_password: 1,
            admins: 1,
            left_out: ["theme".to_owned()].into(),
            ..Counts::default()
        };
        let items = Counts {
            new: 3,
            refused: 3,
            ..Counts::default()
        };
        assert_eq!(
            (&brought.users, &brought.items),
            (&users, &items),
            "{kind:?}"
        );
        assert_eq!(brought.refused, expected_refusals(), "{kind:?}");
        assert_eq!((&tried.users, &tried.items), (&users, &items));
        assert_eq!(tried.refused, brought.refused);

        // Once more, it changes nothing.
        let once = lines(&stage.app).await;
        let again = bring(&stage.app, &places, &Options::default()).await;
        assert_eq!(
            (again.users.new, again.users.there, again.users.refused),
            (0, 4, 3)
        );
        assert_eq!(
            (again.items.new, again.items.there, again.items.refused),
            (0, 3, 3)
        );
        assert_eq!(again.refused, brought.refused);
        assert_eq!(lines(&stage.app).await, once);
        assert_eq!(stage.task_ids().await, tasks, "nothing follows from it");

        // Ada logs in with what she has always logged in with; her hash is a better one from then on.
        let ada = stage.anon().log_in("ada@example.com", OLD_PASSWORD).await;
        assert!(
            !lines(&stage.app).await.iter().any(|line| {
                line.contains("$2b$") && line.contains(&format!("USER#{}", ada.id))
            })
        );
        log_in(&stage, "ada", OLD_PASSWORD).await.expect(200);
        log_in(&stage, "root", OLD_PASSWORD).await.expect(200);
        log_in(&stage, "bob@example.com", OLD_PASSWORD)
            .await
            .expect(401);
        log_in(&stage, "carl@example.com", OLD_PASSWORD)
            .await
            .expect(403);
        log_in(&stage, "admin@example.com", OLD_PASSWORD)
            .await
            .expect(401);

        let me = admin.get(&path_of(&ada.id)).await.expect(200).json();
        assert_eq!(me["full_name"], "Ada Lovelace");
        assert_eq!(me["created_at"], "2023-05-17T09:30:00.123Z");
        let trail = all_of(&admin, &format!("{}/audit?limit=100", path_of(&ada.id))).await;
        assert!(texts(&trail, "action").contains(&"user.imported".to_owned()));
        let found = admin
            .get(&format!("{USERS}/search?q=lovelace"))
            .await
            .json();
        assert_eq!(found["items"][0]["id"], ada.id.as_str());

        let found = stage
            .anon()
            .get(&format!("{ITEMS}/search?q=ence%20eng"))
            .await
            .json();
        let engine = &found["items"][0];
        assert_eq!(engine["price"], 19.99);
        assert_eq!(engine["tags"], json!(["big", "brass"]));
        assert_eq!(
            (&engine["available"], &engine["owner_id"]),
            (&json!(3), &json!(ada.id))
        );
        let titles = all_of(&stage.anon(), &format!("{ITEMS}?sort=price&limit=100")).await;
        assert_eq!(texts(&titles, "title"), ["Slate", "Difference engine"]);
        let tags = stage.anon().get("/api/v1/tags").await.json();
        assert_eq!(tags["items"].as_array().unwrap().len(), 2, "{tags}");
        check(&stage, &admin).await;
    }
}

#[tokio::test]
async fn files_with_broken_rows_are_read_to_their_end() {
    let stage = Stage::new().await;
    let folder = TempDir::new().unwrap();
    let csv = b"\xef\xbb\xbfid,email,first_name\n1,a@example.com,Ann\n2,b@example.com\n\
        3,c@example.com,\xff\n,d@example.com,Dee\n5,e@example.com,\"E\nve\"\n6,f@example.com,\n";
    fs::write(folder.path().join("users.csv"), csv).unwrap();
    let lines = "{\"id\": \"0193f4d71f2b4cc08a3c5d2d5a6e7f80\", \"title\": \"Urn\", \"price\": 1.5e1,\n\n\
        [1]\n\
        {\"id\": \"0193f4d71f2b4cc08a3c5d2d5a6e7f80\", \"title\": \"Urn\", \"price\": 1.5e1, \"ownerId\": 6}\n\
        {\"id\": 7, \"name\": null, \"price\": \"2.50\", \"ownerId\": \"1\", \"colour\": \"red\"}\n";
    fs::write(folder.path().join("items.jsonl"), lines).unwrap();
    let places = [folder.path().to_str().unwrap().to_owned()];
    let brought = bring(&stage.app, &places, &Options::default()).await;
    let expected = [
        "users 2:  unreadable",
        "users 3:  unreadable",
        "users users.csv, line 5: id required",
        "users 5: first_name invalid_character",
        "items items.jsonl, line 1:  unreadable",
        "items items.jsonl, line 3:  unreadable",
        "items 7: title required",
    ];
    assert_eq!(brought.refused, expected.map(str::to_owned).into());
    assert_eq!((brought.users.new, brought.items.new), (2, 1));
    assert_eq!(Vec::from_iter(brought.items.left_out), ["colour"]);
    let id = "0193f4d7-1f2b-4cc0-8a3c-5d2d5a6e7f80";
    let urn = stage.anon().get(&format!("{ITEMS}/{id}")).await.expect(200);
    assert_eq!(urn.json()["price"], 15);
}

#[tokio::test]
async fn an_import_may_be_killed_at_any_of_its_calls() {
    let folder = TempDir::new().unwrap();
    let places = Kind::Csv.write(folder.path());
    let begin = async || {
        let stage = Stage::new().await;
        local::superuser::ensure(&stage.app, "admin@example.com", PASSWORD)
            .await
            .unwrap();
        stage.work().await;
        stage
    };
    let whole = begin().await;
    bring(&whole.app, &places, &Options::default()).await;
    let expected = of_the_import(lines(&whole.app).await);
    assert!(expected.len() > 100, "{}", expected.len());
    for fault in [
        Fault::DiesBefore,
        Fault::DiesAfter,
        Fault::AnswerLost,
        Fault::Unreachable,
    ] {
        let is_death = matches!(fault, Fault::DiesBefore | Fault::DiesAfter);
        let numbers: Box<dyn Iterator<Item = usize>> = match is_death {
            true => Box::new(0..),
            // Each costs a pause.
            false => Box::new(calls()),
        };
        for number in numbers {
            let stage = begin().await;
            let faults = Faults::new(Schedule::Call(number, fault));
            let app = faults.instance(&stage.app);
            let done = faults
                .survive(bring(&app, &places, &Options::default()))
                .await;
            let calls = faults.take_calls();
            let struck = calls.iter().any(|(_, fault)| *fault != Fault::None);
            assert_eq!(done.is_none(), struck && is_death);
            let again = bring(&stage.app, &places, &Options::default()).await;
            let story = format!("{fault:?} at call {number}");
            assert_eq!(again.refused, expected_refusals(), "{story}");
            assert_eq!(of_the_import(lines(&stage.app).await), expected, "{story}");
            if !struck {
                assert!(number > 10, "{number} calls");
                break;
            }
        }
    }
}

/// Without what the stage's own administrator has, whose id is another each time.
fn of_the_import(lines: BTreeSet<String>) -> BTreeSet<String> {
    let admin = lines
        .iter()
        .find(|line| line.contains("\"UNIQUE#EMAIL#admin@"));
    let admin: Value = serde_json::from_str(admin.unwrap()).unwrap();
    let id = admin["item"]["item"]["user_id"]["S"]
        .as_str()
        .unwrap()
        .to_owned();
    let is_other = |line: &&String| {
        !line.contains(&id) && !line.contains("\"TASK#") && !line.contains("\"COUNT#USER#")
    };
    let counts = lines.iter().filter(|line| line.contains("\"COUNT#USER#"));
    // Which part of the count the administrator is in depends on the id.
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for line in counts {
        let line: Value = serde_json::from_str(line).unwrap();
        for (name, value) in line["item"]["item"].as_object().unwrap() {
            if let Some(number) = value["N"].as_str() {
                *sums.entry(name.clone()).or_default() += number.parse::<i64>().unwrap();
            }
        }
    }
    let mut others: BTreeSet<_> = lines.iter().filter(is_other).cloned().collect();
    others.insert(format!("{sums:?}"));
    others
}

/// The same people from two applications with other keys, and each of the two sources twice, all at the same time.
#[tokio::test]
async fn of_imports_at_the_same_time_one_has_each_name() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    stage.work().await;
    let folder = TempDir::new().unwrap();
    let places = Kind::Csv.write(folder.path());
    let of = |namespace: &str| Options {
        namespace: namespace.to_owned(),
        ..Options::default()
    };
    let (one, other) = (of("one"), of("other"));
    let bring = |options| bring(&stage.app, &places, options);
    let ((a, b), (c, d)) = join(
        join(bring(&one), bring(&one)),
        join(bring(&other), bring(&other)),
    )
    .await;
    let new: u64 = [a, b, c, d].iter().map(|brought| brought.users.new).sum();
    assert_eq!(new, 4, "each came once");
    let all = all_of(&admin, &format!("{USERS}?limit=100")).await;
    let emails: BTreeSet<_> = texts(&all, "email").into_iter().collect();
    assert_eq!(emails.len(), 5, "{emails:?}");
    check(&stage, &admin).await;
    // No row names somebody who is not there.
    let ids: BTreeSet<_> = texts(&all, "id").into_iter().collect();
    for line in lines(&stage.app).await {
        if line.contains(&format!("\"SUFFIX#{}#", models::User::KIND)) {
            let line: Value = serde_json::from_str(&line).unwrap();
            let row = line["item"]["item"]["sk"]["S"].as_str().unwrap().to_owned();
            assert!(ids.contains(row.rsplit_once(' ').unwrap().1), "{row}");
        }
    }
}

/// A bundle in which something has happened.
async fn lived_in(folder: &Path) -> Stage {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    bring(&stage.app, &Kind::Csv.write(folder), &Options::default()).await;
    let buyer = stage.user().await;
    let engine = stage
        .anon()
        .get(&format!("{ITEMS}/search?q=engine"))
        .await
        .json();
    let wish = json!({"items": [{"id": engine["items"][0]["id"], "quantity": 2}]});
    buyer.post("/api/v1/orders", wish).await.expect(201);
    stage.work().await;
    admin.get(USERS).await.expect(200);
    stage
}

#[tokio::test]
async fn a_copy_is_whole_and_brings_everything_back() {
    let folder = TempDir::new().unwrap();
    let stage = lived_in(folder.path()).await;
    let path = folder.path().join("copy.jsonl");
    let options = export::Options::default();
    let copied = export::export(&stage.app, &path, options, |_| {})
        .await
        .unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let again = export::export(&stage.app, &path, options, |_| {}).await;
    assert!(again.is_err(), "what is whole is not written over");
    let all = items_of(&path);
    assert!(
        !all.iter()
            .any(|line| line.contains("\"RATE#") || line.contains("\"JWKS"))
    );
    assert_eq!(lines(&stage.app).await, all, "in one part or in three");

    let other = Stage::new().await;
    let back = restore::restore(&other.app, &path, restore::Options::default(), |_| {}).await;
    assert_eq!(back.unwrap(), copied);
    assert_eq!(lines(&other.app).await, all);
    let (admin, here) = (
        stage.anon().log_in("admin@example.com", PASSWORD).await,
        other.anon().log_in("admin@example.com", PASSWORD).await,
    );
    other.anon().log_in("ada@example.com", OLD_PASSWORD).await;
    for path in [
        format!("{USERS}?limit=3"),
        format!("{ITEMS}?sort=price"),
        "/api/v1/orders".to_owned(),
        "/api/v1/tags".to_owned(),
        format!("{ITEMS}/search?q=engine"),
    ] {
        let (before, after) = (admin.get(&path).await, here.get(&path).await);
        assert_eq!(
            before.expect(200).json(),
            after.expect(200).json(),
            "{path}"
        );
    }

    // Into tables that hold something it goes by force only, and then they hold nothing else.
    let full = Stage::new().await;
    full.user().await;
    let before = lines(&full.app).await;
    let refused = restore::restore(&full.app, &path, restore::Options::default(), |_| {}).await;
    assert!(refused.unwrap_err().to_string().contains("--force"));
    assert_eq!(lines(&full.app).await, before);
    let force = restore::Options {
        force: true,
        ..restore::Options::default()
    };
    restore::restore(&full.app, &path, force, |_| {})
        .await
        .unwrap();
    assert_eq!(lines(&full.app).await, all);
    full.anon().log_in("ada@example.com", OLD_PASSWORD).await;

    // One that was cut off is refused before anything is written.
    let text = fs::read_to_string(&path).unwrap();
    let cut = folder.path().join("cut.jsonl");
    fs::write(&cut, &text[..text.len() / 2]).unwrap();
    assert!(
        restore::inspect(&cut)
            .unwrap_err()
            .to_string()
            .contains("not whole")
    );
}

#[tokio::test]
async fn a_copy_may_be_killed_at_any_of_its_calls() {
    let folder = TempDir::new().unwrap();
    let stage = lived_in(folder.path()).await;
    let all = lines(&stage.app).await;
    // So that there are pages.
    let options = export::Options {
        segments: 2,
        rate: Some(1_000_000),
    };
    let copy = folder.path().join("copy");
    for number in 0.. {
        let path = folder.path().join(format!("copy{number}"));
        let faults = Faults::new(Schedule::Call(number, Fault::DiesAfter));
        let app = faults.instance(&stage.app);
        let done = faults
            .survive(export::export(&app, &path, options, |_| {}))
            .await;
        if done.is_some() {
            assert!(number >= 4, "{number} calls");
            fs::rename(&path, &copy).unwrap();
            break;
        }
        // As if it had died while it wrote what the checkpoint does not know.
        let mut text = fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"item\": {\"tab");
        fs::write(&path, text).unwrap();
        assert!(restore::inspect(&path).is_err(), "it is not whole");
        export::export(&stage.app, &path, options, |_| {})
            .await
            .unwrap();
        assert_eq!(items_of(&path), all, "killed at call {number}");
        assert!(!export::checkpoint_of(&path).exists());
    }

    for number in (0..).step_by(3) {
        let other = Stage::new().await;
        other.user().await;
        let force = restore::Options {
            force: true,
            ..restore::Options::default()
        };
        let faults = Faults::new(Schedule::Call(number, Fault::DiesAfter));
        let app = faults.instance(&other.app);
        let done = faults
            .survive(restore::restore(&app, &copy, force, |_| {}))
            .await;
        if done.is_some() {
            assert!(number > 10, "{number} calls");
            break;
        }
        // It goes on without being forced; only a death before its first note leaves what was there.
        let unforced = restore::Options::default();
        let again = restore::restore(&other.app, &copy, unforced, |_| {}).await;
        match again {
            Ok(_) => assert_eq!(lines(&other.app).await, all, "killed at call {number}"),
            Err(_) => assert_eq!(number, 0),
        }
    }
}

/// A PostgreSQL of this test's own, if there is Debian's package.
struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
}

impl Postgres {
    fn start() -> Option<Self> {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
        let programs = versions.map(|version| version.path().join("bin"));
        let programs = programs
            .filter(|programs| programs.join("initdb").exists())
            .max()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            programs,
            folder: TempDir::new().unwrap(),
            port: port.local_addr().unwrap().port(),
        };
        drop(port);
        if is_root() {
            // It does not run as root.
            let path = server.folder.path();
            let chown = Command::new("chown")
                .arg("postgres")
                .arg(path)
                .status()
                .unwrap();
            assert!(chown.success());
        }
        let options = format!(
            "-c listen_addresses=127.0.0.1 -p {} -c unix_socket_directories= -c fsync=off",
            server.port
        );
        server.run(
            "initdb",
            &["-U", "app", "-A", "trust", "-E", "UTF8", "--no-sync"],
        );
        let log = server.folder.path().join("log");
        server.run(
            "pg_ctl",
            &["start", "-w", "-l", log.to_str().unwrap(), "-o", &options],
        );
        Some(server)
    }

    /// Runs one of its programs on its data.
    fn run(&self, program: &str, arguments: &[&str]) {
        let program = self.programs.join(program);
        let mut command = match is_root() {
            true => Command::new("runuser"),
            false => Command::new("env"),
        };
        if is_root() {
            command.args(["-u", "postgres", "--"]);
        }
        let data = self.folder.path().join("data");
        let command = command.arg(program).args(arguments).arg("-D").arg(data);
        let command = command
            .current_dir(self.folder.path())
            .stdout(Stdio::null());
        assert!(command.status().unwrap().success());
    }

    fn sql(&self, sql: &str) {
        let mut psql = Command::new(self.programs.join("psql"));
        let psql = psql
            .args(["-q", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .arg(self.url());
        assert!(psql.stdout(Stdio::null()).status().unwrap().success());
    }

    fn url(&self) -> String {
        format!("postgres://app:unused@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.run("pg_ctl", &["stop", "-m", "immediate"]);
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[expect(clippy::disallowed_methods, reason = "a test may be told what to do")]
fn number(variable: &str, default: u64) -> u64 {
    let told = std::env::var(variable);
    told.map_or(default, |number| number.parse().unwrap())
}

/// `IMPORT_USERS=100000` tries more.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "who waits for it wants to see it")]
async fn thousands_come_from_postgresql_however_often_it_is_killed() {
    let Some(server) = Postgres::start() else {
        println!("left out: there is no PostgreSQL in /usr/lib/postgresql");
        return;
    };
    let people = number("IMPORT_USERS", 600);
    // Pages of so many, no more of them a second.
    let options = Options {
        rate: Some(u32::try_from(people / 2).unwrap().clamp(400, 1_000_000)),
        ..Options::default()
    };
    let hash = bcrypt::hash(OLD_PASSWORD, 4).unwrap();
    server.sql(&format!(
        "CREATE TYPE role AS ENUM ('USER', 'ADMIN');
         CREATE TABLE \"user\" (id serial PRIMARY KEY, email varchar(255) UNIQUE NOT NULL,
             hashed_password text, full_name text, is_active boolean NOT NULL, role role,
             created_at timestamptz NOT NULL);
         INSERT INTO \"user\" (email, hashed_password, full_name, is_active, role, created_at)
             SELECT 'user' || n || '@example.com', '{hash}', 'Nr ' || n, n % 10 > 0,
                 (CASE n % 500 WHEN 1 THEN 'ADMIN' ELSE 'USER' END)::role,
                 timestamptz '2020-01-01 00:00:00+01' + n * interval '1 minute'
             FROM generate_series(1, {people}) n;
         CREATE TABLE products (id uuid PRIMARY KEY, name text, unit_price numeric(12, 3),
             tags text[], quantity int, owner_id int REFERENCES \"user\", created timestamp);
         INSERT INTO products
             SELECT ('0193f4d7-1f2b-7cc0-8a3c-' || lpad(n::text, 12, '0'))::uuid, 'Ware ' || n,
                 n + 0.01, ARRAY['small', 'nr \"' || n || '\"'], n, n, '2024-05-17 09:30:00'
             FROM generate_series(1, 50) n;
         UPDATE \"user\" SET email = 'USER1@example.com' WHERE id = 2;"
    ));
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let places = [server.url()];
    let begun = std::time::Instant::now();
    // While it looks who is there, while it writes rows, and twice after a transaction.
    let (_switch, on) = watch::channel(true);
    let transaction = || {
        let operation = "DynamoDB_20120810.TransactWriteItems";
        Schedule::Service(operation, Fault::DiesAfter, on.clone())
    };
    for schedule in [
        Schedule::Call(3, Fault::DiesAfter),
        Schedule::Call(200, Fault::DiesAfter),
        transaction(),
        transaction(),
    ] {
        let faults = Faults::new(schedule);
        let app = faults.instance(&stage.app);
        let done = faults.survive(bring(&app, &places, &options)).await;
        assert!(done.is_none(), "it was killed");
    }
    let brought = bring(&stage.app, &places, &options).await;
    let seconds = begun.elapsed().as_secs_f32();
    println!("{people} users after {seconds:.1} s with four deaths");
    let (there, new) = (brought.users.there, brought.users.new);
    assert!(
        there >= 2 && new > people / 2,
        "{there} came before the last death"
    );
    assert_eq!(
        brought.refused,
        BTreeSet::from([
            "users 2: email duplicate".to_owned(),
            "items 0193f4d7-1f2b-7cc0-8a3c-000000000002: owner_id unknown_owner".to_owned()
        ])
    );
    assert_eq!(brought.users.new + brought.users.there, people - 1);
    let total = admin.get(&format!("{USERS}?limit=1")).await.json();
    assert_eq!(total["total"], people, "all but one, and the administrator");
    let mut emails = BTreeSet::new();
    for user in all_of(&admin, &format!("{USERS}?limit=100")).await {
        assert!(
            emails.insert(user["email"].to_string()),
            "{user} is there twice"
        );
    }
    assert_eq!(emails.len() as u64, people);
    let inactive = admin
        .get(&format!("{USERS}?is_active=false&limit=1"))
        .await
        .json();
    assert_eq!(inactive["total"], people / 10);
    let seller = stage.anon().log_in("user7@example.com", OLD_PASSWORD).await;
    let ware = stage
        .anon()
        .get(&format!("{ITEMS}/search?q=ware%207"))
        .await
        .json();
    let ware = &ware["items"][0];
    assert_eq!(
        (&ware["price"], &ware["owner_id"]),
        (&json!(7.01), &json!(seller.id))
    );
    assert_eq!(ware["tags"], json!(["nr \"7\"", "small"]));
    assert_eq!(ware["created_at"], "2024-05-17T09:30:00Z");
    let me = seller.get("/api/v1/users/me").await.json();
    assert_eq!(me["created_at"], "2019-12-31T23:07:00Z");
}
