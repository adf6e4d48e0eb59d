//! Settings and feature flags: who changes them, who sees what, and when.

use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::models::Role;
use tests::{Actor, Stage};

const CONFIG: &str = "/api/v1/config";

fn path(key: &str) -> String {
    format!("{CONFIG}/{key}")
}

async fn put(admin: &Actor<'_>, key: &str, kind: &str, value: Value) {
    let body = json!({"type": kind, "value": value});
    let answer = admin.put(&path(key), body).await;
    assert!(answer.status.is_success(), "{answer:?}");
}

async fn seen(actor: &Actor<'_>) -> Value {
    actor.get(CONFIG).await.expect(200).json()
}

#[tokio::test]
async fn a_setting_is_made_seen_changed_and_deleted() {
    let stage = Stage::new().await;
    let (admin, anon) = (stage.admin().await, stage.anon());
    let nothing = json!({"settings": {}, "flags": {}});
    assert_eq!(seen(&anon).await, nothing);

    let body = json!({"type": "integer", "value": 40, "description": "How many lines a cart has"});
    let made = admin
        .put(&path("max_cart_lines"), body)
        .await
        .expect(201)
        .expect_round_trips(4);
    let made = made.json();
    assert_eq!(made["key"], "max_cart_lines");
    assert_eq!(
        (&made["type"], &made["value"]),
        (&json!("integer"), &json!(40))
    );
    assert_eq!(made["updated_by"], admin.id);
    assert_eq!(seen(&anon).await["settings"], json!({"max_cart_lines": 40}));

    let whole = admin
        .get(&path("max_cart_lines"))
        .await
        .expect(200)
        .expect_round_trips(2);
    assert_eq!(whole.json(), made);
    let body = json!({"type": "integer", "value": 50});
    let changed = admin
        .put(&path("max_cart_lines"), body)
        .await
        .expect(200)
        .expect_round_trips(3);
    assert_eq!(
        changed.json()["description"],
        Value::Null,
        "it is as the body says"
    );
    assert_eq!(seen(&anon).await["settings"], json!({"max_cart_lines": 50}));

    let gone = admin
        .send("DELETE", &path("max_cart_lines"), None, b"")
        .await;
    gone.expect(204).expect_round_trips(3);
    assert_eq!(seen(&anon).await, nothing);
    admin
        .get(&path("max_cart_lines"))
        .await
        .expect_problem(404, "not_found");
    let gone = admin
        .send("DELETE", &path("max_cart_lines"), None, b"")
        .await;
    gone.expect_problem(404, "not_found");
}

#[tokio::test]
async fn every_instance_goes_by_a_change_within_thirty_seconds() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    put(&admin, "beta", "flag", json!({"enabled": false})).await;
    let elsewhere = stage.beside(stage.instance());
    let there = stage.anon();
    let there = there.at(&elsewhere);
    assert_eq!(seen(&there).await["flags"], json!({"beta": false}));
    // One look at the table serves many, beside the lease of the limit.
    there.get(CONFIG).await.expect(200).expect_round_trips(0);
    put(&admin, "beta", "flag", json!({"enabled": true})).await;
    assert_eq!(
        seen(&stage.anon()).await["flags"],
        json!({"beta": true}),
        "at once where it was changed"
    );
    assert_eq!(seen(&there).await["flags"], json!({"beta": false}));
    stage.later(30).await;
    assert_eq!(seen(&there).await["flags"], json!({"beta": true}));
}

#[tokio::test]
async fn a_flag_is_on_for_a_role_or_for_some() {
    let stage = Stage::new().await;
    let (admin, anon, ada) = (stage.admin().await, stage.anon(), stage.user().await);
    put(&admin, "for_all", "flag", json!({"enabled": true})).await;
    put(
        &admin,
        "for_staff",
        "flag",
        json!({"enabled": true, "roles": ["admin", "manager"]}),
    )
    .await;
    put(
        &admin,
        "for_half",
        "flag",
        json!({"enabled": true, "percentage": 50}),
    )
    .await;
    put(
        &admin,
        "for_nobody",
        "flag",
        json!({"enabled": false, "percentage": 100}),
    )
    .await;
    let flags = seen(&anon).await["flags"].clone();
    let expected =
        json!({"for_all": true, "for_staff": false, "for_half": false, "for_nobody": false});
    assert_eq!(flags, expected);
    assert_eq!(seen(&ada).await["flags"]["for_staff"], false);
    assert_eq!(seen(&admin).await["flags"]["for_staff"], true);

    // Some have it and some have not, each always the same; a handler is told the same as the client.
    let people = join_all((0..12).map(|_| stage.user())).await;
    let mut found = Vec::new();
    for person in &people {
        let on = seen(person).await["flags"]["for_half"].clone();
        assert_eq!(seen(person).await["flags"]["for_half"], on);
        let id = person.id.parse().unwrap();
        let user = stage.app.store.user(id).await.unwrap().unwrap();
        assert_eq!(user.role, Role::User);
        let settings = stage.app.settings().await.unwrap();
        assert_eq!(json!(settings.is_on("for_half", Some(&user))), on);
        found.push(on == true);
    }
    assert!(found.contains(&true) && found.contains(&false), "{found:?}");
    let settings = stage.app.settings().await.unwrap();
    assert!(!settings.is_on("there_is_none", None));
}

#[tokio::test]
async fn what_is_not_public_is_for_handlers_only() {
    let stage = Stage::new().await;
    let (admin, ada) = (stage.admin().await, stage.user().await);
    let body = json!({"type": "string", "value": "blue", "is_public": false});
    admin.put(&path("warehouse"), body).await.expect(201);
    for actor in [&stage.anon(), &ada, &admin] {
        assert_eq!(seen(actor).await["settings"], json!({}));
    }
    let settings = stage.app.settings().await.unwrap();
    assert_eq!(settings.get("warehouse").unwrap().value.to_json(), "blue");
}

#[tokio::test]
async fn only_administrators_change_settings() {
    let stage = Stage::new().await;
    let (admin, ada, anon) = (stage.admin().await, stage.user().await, stage.anon());
    put(&admin, "a", "boolean", json!(true)).await;
    let body = json!({"type": "boolean", "value": false});
    for (actor, status, code) in [
        (&anon, 401, "token_missing"),
        (&ada, 403, "insufficient_scope"),
    ] {
        actor
            .put(&path("a"), body.clone())
            .await
            .expect_problem(status, code);
        actor.get(&path("a")).await.expect_problem(status, code);
        let deleted = actor.send("DELETE", &path("a"), None, b"").await;
        deleted.expect_problem(status, code);
    }
    assert_eq!(seen(&anon).await["settings"], json!({"a": true}));
}

#[tokio::test]
async fn a_setting_has_a_type_and_keeps_it() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    for (kind, value, code) in [
        ("boolean", json!("true"), "invalid_type"),
        ("integer", json!(1.5), "invalid_type"),
        ("number", json!("1"), "invalid_type"),
        ("string", json!(1), "invalid_type"),
        ("string", json!("a".repeat(1_001)), "too_long"),
        ("flag", json!(true), "invalid_value"),
        (
            "flag",
            json!({"enabled": true, "percentage": 101}),
            "out_of_range",
        ),
        (
            "flag",
            json!({"enabled": true, "roles": ["king"]}),
            "invalid_value",
        ),
    ] {
        let answer = admin
            .put(&path("a"), json!({"type": kind, "value": value}))
            .await;
        let answer = answer.expect_problem(422, "validation_failed");
        assert_eq!(
            answer.wrong_fields(),
            [("value".to_owned(), code.to_owned())],
            "{kind}"
        );
    }
    let answer = admin
        .put(&path("a"), json!({"type": "colour", "valeu": 1}))
        .await;
    let answer = answer.expect_problem(422, "validation_failed");
    let fields = answer.wrong_fields();
    let fields: Vec<_> = fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["type", "valeu", "value"]);
    for key in ["UPPER", "1a", &"a".repeat(65)] {
        let body = json!({"type": "boolean", "value": true});
        let answer = admin
            .put(&path(key), body)
            .await
            .expect_problem(422, "validation_failed");
        assert_eq!(answer.wrong_fields()[0].0, "key");
        admin.get(&path(key)).await.expect_problem(404, "not_found");
    }
    assert_eq!(seen(&stage.anon()).await["settings"], json!({}));

    put(&admin, "a", "number", json!(2.0)).await;
    let other = json!({"type": "string", "value": "2"});
    admin
        .put(&path("a"), other.clone())
        .await
        .expect_problem(409, "setting_type_fixed");
    assert_eq!(seen(&stage.anon()).await["settings"], json!({"a": 2.0}));
    admin
        .send("DELETE", &path("a"), None, b"")
        .await
        .expect(204);
    admin.put(&path("a"), other).await.expect(201);
}

#[tokio::test]
async fn of_two_who_change_a_setting_one_is_told() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    put(&admin, "a", "integer", json!(1)).await;
    let tag = admin
        .get(&path("a"))
        .await
        .expect(200)
        .header("etag")
        .to_owned();
    let careful = admin.clone().with_header("if-match", &tag);
    let body = |value: i64| json!({"type": "integer", "value": value});
    careful.put(&path("a"), body(2)).await.expect(200);
    careful
        .put(&path("a"), body(3))
        .await
        .expect_problem(412, "precondition_failed");
    careful
        .send("DELETE", &path("a"), None, b"")
        .await
        .expect_problem(412, "precondition_failed");
    // What is not there is not the one that was named.
    careful
        .put(&path("b"), body(1))
        .await
        .expect_problem(412, "precondition_failed");
    let reading = admin.clone().with_header("if-none-match", "\"2\"");
    reading.get(&path("a")).await.expect(304);

    let a = path("a");
    let writes = (10..20).map(|value| admin.put(&a, body(value)));
    let answers = join_all(writes).await;
    let done = answers.iter().filter(|answer| answer.status == 200).count();
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        answer.expect_problem(409, "stale");
    }
    assert!(done >= 1);
    let version: usize = {
        let answer = admin.get(&path("a")).await.expect(200);
        answer.header("etag").trim_matches('"').parse().unwrap()
    };
    assert_eq!(version, 2 + done, "each change that was answered happened");
}

#[tokio::test]
async fn a_change_stands_in_the_trail_of_who_made_it() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    put(
        &admin,
        "beta",
        "flag",
        json!({"enabled": true, "percentage": 10}),
    )
    .await;
    put(
        &admin,
        "beta",
        "flag",
        json!({"enabled": true, "percentage": 20}),
    )
    .await;
    admin
        .send("DELETE", &path("beta"), None, b"")
        .await
        .expect(204);
    let trail = admin
        .get("/api/v1/users/me/activity?limit=3")
        .await
        .expect(200)
        .json();
    let entries = trail["items"].as_array().unwrap();
    let actions: Vec<_> = entries
        .iter()
        .map(|entry| entry["action"].clone())
        .collect();
    assert_eq!(
        actions,
        ["setting.deleted", "setting.updated", "setting.created"]
    );
    let change = &entries[1]["changes"][0];
    assert_eq!(change["field"], "beta.value");
    assert!(change["old"].as_str().unwrap().contains("10"), "{change}");
    assert!(change["new"].as_str().unwrap().contains("20"), "{change}");
}

#[tokio::test]
async fn clients_may_keep_what_is_for_all() {
    let stage = Stage::new().await;
    let (admin, ada, anon) = (stage.admin().await, stage.user().await, stage.anon());
    put(&admin, "theme", "string", json!("dark")).await;
    let answer = anon.get(CONFIG).await.expect(200);
    assert_eq!(answer.header("cache-control"), "public, max-age=30");
    let tag = answer.header("etag").to_owned();
    anon.clone()
        .with_header("if-none-match", &tag)
        .get(CONFIG)
        .await
        .expect(304);
    let own = ada.get(CONFIG).await.expect(200);
    assert_eq!(own.header("cache-control"), "private, no-cache");
}
