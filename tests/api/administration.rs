//! What moderators, managers and administrators do with the accounts of others, and what they may not.

use std::collections::BTreeSet;

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use tests::{Actor, Answer, PASSWORD, Stage};
use uuid::Uuid;

use crate::people::{
    ME, Post, REFRESH, REGISTER, RESET, USERS, VERIFICATION, all_of, delete, log_in, members,
    path_of, staff, texts, verify, work,
};

const PUBLIC: [&str; 6] = [
    "avatar_url",
    "created_at",
    "desired_name",
    "full_name",
    "id",
    "username",
];

/// Makes somebody who has not accepted the invitation yet, which is the quickest way to have many people.
async fn invite(admin: &Actor<'_>, name: &str) -> String {
    let account = json!({"email": format!("{name}@example.com")});
    admin.post(USERS, account).await.expect(201).text("id")
}

async fn activate(actor: &Actor<'_>, id: &str) -> Answer {
    let path = format!("{}/activate", path_of(id));
    actor.send("POST", &path, None, b"").await
}

async fn deactivate(actor: &Actor<'_>, id: &str) -> Answer {
    let path = format!("{}/deactivate", path_of(id));
    actor.send("POST", &path, None, b"").await
}

/// The audit trail of somebody, the newest entry first.
async fn trail(admin: &Actor<'_>, id: &str) -> Vec<Value> {
    all_of(admin, &format!("{}/audit?limit=100", path_of(id))).await
}

/// Asserts for each filter that those are listed who pass it, the newest first, and that their number is told exactly.
/// Answers how many there are in all.
async fn totals_are_exact(reader: &Actor<'_>) -> usize {
    let everybody = all_of(reader, &format!("{USERS}?limit=100")).await;
    let roles = ["user", "moderator", "manager", "admin"].map(Some);
    for role in [None].into_iter().chain(roles) {
        for state in [None, Some(true), Some(false)] {
            let passes = |user: &&Value| {
                role.is_none_or(|role| user["role"] == role)
                    && state.is_none_or(|state| user["is_active"] == state)
            };
            let expected: Vec<Value> = everybody.iter().filter(passes).cloned().collect();
            let role = role.map(|role| format!("&role={role}"));
            let state = state.map(|state| format!("&is_active={state}"));
            let filter = role.unwrap_or_default() + &state.unwrap_or_default();

            let found = all_of(reader, &format!("{USERS}?limit=7{filter}")).await;
            assert_eq!(
                texts(&found, "email"),
                texts(&expected, "email"),
                "{filter}"
            );
            assert_eq!(found, expected, "{filter}");
            let page = reader.get(&format!("{USERS}?limit=1{filter}")).await;
            let page = page.expect(200).json();
            assert_eq!(page["total"], expected.len(), "{filter}");
            assert_eq!(page["total_relation"], "eq", "{filter}");
        }
    }
    let ids = texts(&everybody, "id");
    assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
    everybody.len()
}

#[tokio::test]
async fn users_are_listed_with_exact_numbers_whatever_becomes_of_them() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    assert_eq!(totals_are_exact(&admin).await, 1);
    let reader = staff(&stage, &admin, "moderator").await;
    let ada = stage.user().await;
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(invite(&admin, &format!("person{n}")).await);
    }
    assert_eq!(totals_are_exact(&reader).await, 13);
    // The newest comes first, whole, as people see themselves.
    let page = reader.get(USERS).await.expect(200).json();
    assert_eq!(page["items"][0]["id"], ids[9]);
    assert_eq!(page["items"][10], ada.get(ME).await.expect(200).json());

    for id in &ids[..3] {
        deactivate(&admin, id).await.expect(200);
    }
    for (id, role) in ids[2..6]
        .iter()
        .zip(["moderator", "manager", "admin", "user"])
    {
        admin
            .patch(&path_of(id), json!({"role": role}))
            .await
            .expect(200);
    }
    assert_eq!(totals_are_exact(&reader).await, 13);
    // Two things at once, and then some that change nothing.
    let both = json!({"role": "moderator", "is_active": false});
    for _ in 0..2 {
        let path = path_of(&ids[6]);
        admin.patch(&path, both.clone()).await.expect(200);
        activate(&admin, &ids[0]).await.expect(200);
        deactivate(&admin, &ids[1]).await.expect(200);
    }
    assert_eq!(totals_are_exact(&reader).await, 13);

    // An inactive moderator, an active administrator, and somebody who goes of their own accord.
    for id in [&ids[2], &ids[4]] {
        delete(&admin, &path_of(id)).await.expect(204);
    }
    delete(&ada, ME).await.expect(204);
    assert_eq!(totals_are_exact(&reader).await, 10);
    let path = path_of(&ids[9]);
    let answers = join_all((0..5).map(|_| delete(&admin, &path))).await;
    let done = answers.iter().filter(|answer| answer.status == 204).count();
    assert_eq!(done, 1);
    assert_eq!(totals_are_exact(&reader).await, 9);
    // Nor does erasing them count again.
    work(&stage).await;
    assert_eq!(totals_are_exact(&reader).await, 9);
}

#[tokio::test]
async fn changes_at_the_same_time_are_counted_once() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let id = invite(&admin, "person").await;
    let path = path_of(&id);
    for _ in 0..5 {
        let change = |role: &str| admin.patch(&path, json!({"role": role}));
        let roles = join_all(["moderator", "manager", "user"].map(change));
        let states = join(deactivate(&admin, &id), activate(&admin, &id));
        let (roles, (one, other)) = join(roles, states).await;
        for answer in roles.into_iter().chain([one, other]) {
            if answer.status != 200 {
                answer.expect_problem(409, "stale");
            }
        }
        assert_eq!(totals_are_exact(&admin).await, 2);
    }
}

#[tokio::test]
async fn a_page_of_users_costs_the_same_whatever_their_number() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    for n in 0..30 {
        invite(&admin, &format!("person{n}")).await;
    }
    // The caller, the index, the users with the counts.
    let first = admin.get(&format!("{USERS}?limit=5")).await.expect(200);
    let first = first.expect_round_trips(3);
    let cursor = first.text("next_cursor");
    let path = format!("{USERS}?limit=5&cursor={cursor}");
    admin.get(&path).await.expect(200).expect_round_trips(3);
    for n in 30..60 {
        invite(&admin, &format!("person{n}")).await;
    }
    let first = admin.get(&format!("{USERS}?limit=5")).await.expect(200);
    assert_eq!(first.expect_round_trips(3).json()["total"], 61);
}

#[tokio::test]
async fn pages_are_complete_though_others_join_and_leave() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let mut expected = BTreeSet::from([admin.id.clone()]);
    for n in 0..30 {
        expected.insert(invite(&admin, &format!("person{n}")).await);
    }
    for filter in ["", "&role=user", "&is_active=true"] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("{USERS}?limit=7{filter}{cursor}");
            let page = admin.get(&path).await.expect(200).json();
            seen.extend(texts(page["items"].as_array().unwrap(), "id"));
            let joined = invite(&admin, &format!("joined{}", Uuid::now_v7())).await;
            delete(&admin, &path_of(&joined)).await.expect(204);
            invite(&admin, &format!("stays{}", Uuid::now_v7())).await;
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let all = BTreeSet::from_iter(&seen);
        assert_eq!(all.len(), seen.len(), "somebody twice: {filter}");
        for id in expected
            .iter()
            .filter(|id| filter != "&role=user" || **id != admin.id)
        {
            assert!(all.contains(id), "{id} is missing: {filter}");
        }
    }
}

#[tokio::test]
async fn a_list_of_users_refuses_what_it_does_not_know() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    for n in 0..12 {
        let id = invite(&admin, &format!("person{n}")).await;
        if n % 2 == 0 {
            deactivate(&admin, &id).await.expect(200);
        }
    }
    for (query, field) in [
        ("role=king", "role"),
        ("role=Admin", "role"),
        ("is_active=perhaps", "is_active"),
        ("is_active=1", "is_active"),
        ("limit=101", "limit"),
        ("skip=-1", "skip"),
    ] {
        let wrong = admin.get(&format!("{USERS}?{query}")).await;
        let wrong = wrong.expect_problem(422, "validation_failed");
        let fields = wrong.wrong_fields();
        assert_eq!(fields.len(), 1, "{query}: {fields:?}");
        assert_eq!(fields[0].0, field, "{query}");
    }
    let deep = admin.get(&format!("{USERS}?skip=10001")).await;
    deep.expect_problem(400, "skip_too_deep");
    for cursor in ["nonsense", "W10", "WyIiLCIiLCIiXQ", "%00"] {
        for filter in ["", "&role=user", "&is_active=true"] {
            let wrong = admin.get(&format!("{USERS}?cursor={cursor}{filter}")).await;
            wrong.expect_problem(400, "invalid_cursor");
        }
    }
    let ids = texts(&all_of(&admin, &format!("{USERS}?limit=100")).await, "id");
    let skipped = admin.get(&format!("{USERS}?skip=10&limit=5")).await;
    let skipped = skipped.expect(200).json();
    assert_eq!(skipped["page"], 3);
    assert_eq!(texts(skipped["items"].as_array().unwrap(), "id"), ids[10..]);
    // A cursor says where to go on, and not in which list.
    let page = admin.get(&format!("{USERS}?limit=5&is_active=true")).await;
    let cursor = page.expect(200).text("next_cursor");
    let path = format!("{USERS}?is_active=false&cursor={cursor}");
    let elsewhere = admin.get(&path).await.expect(200).json();
    for user in elsewhere["items"].as_array().unwrap() {
        assert_eq!(user["is_active"], false);
    }
}

#[tokio::test]
async fn each_role_may_do_what_it_is_for() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let user = stage.user().await;
    let moderator = staff(&stage, &admin, "moderator").await;
    let manager = staff(&stage, &admin, "manager").await;
    let id = stage.user().await.id;
    let path = path_of(&id);
    let new = || Some(json!({"email": format!("{}@example.com", Uuid::now_v7())}));
    let change = || Some(json!({"first_name": "Eve"}));
    let requests = [
        ("GET", USERS.to_owned(), None, "users:read"),
        ("GET", format!("{USERS}/search?q=eve"), None, "users:read"),
        ("POST", USERS.to_owned(), new(), "users:write"),
        ("PATCH", path.clone(), change(), "users:write"),
        ("PUT", path.clone(), change(), "users:write"),
        ("POST", format!("{path}/deactivate"), None, "users:write"),
        ("POST", format!("{path}/activate"), None, "users:write"),
        ("GET", format!("{path}/audit"), None, "admin:all"),
        ("DELETE", path, None, "users:delete"),
    ];
    for (method, path, body, scope) in &requests {
        let send = async |actor: &Actor<'_>| match body {
            Some(body) => actor.send_json(method, path, body.clone()).await,
            None => actor.send(method, path, None, b"").await,
        };
        let anonymous = send(&stage.anon()).await;
        anonymous.expect_problem(401, "token_missing");
        // From the one with the fewest scopes to the one with all of them.
        let least = match *scope {
            "users:read" => 1,
            "users:write" => 2,
            _ => 3,
        };
        let actors = [&user, &moderator, &manager, &admin];
        for (rank, actor) in actors.into_iter().enumerate() {
            let answer = send(actor).await;
            if rank < least {
                let answer = answer.expect_problem(403, "insufficient_scope");
                let challenge = answer.header("www-authenticate");
                let named = format!("scope=\"{scope}\"");
                assert!(challenge.contains(&named), "{method} {path}: {challenge}");
            } else if *method != "POST" || *path != USERS || rank == least {
                assert!(answer.status.is_success(), "{method} {path}: {answer:?}");
            } else {
                // The manager was first.
                answer.expect_problem(409, "email_taken");
            }
        }
    }
}

#[tokio::test]
async fn a_role_that_was_taken_away_is_gone_at_once() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let moderator = staff(&stage, &admin, "moderator").await;
    moderator.get(USERS).await.expect(200);
    let path = path_of(&moderator.id);
    admin
        .patch(&path, json!({"role": "user"}))
        .await
        .expect(200);
    let refused = moderator.get(USERS).await;
    refused.expect_problem(403, "insufficient_scope");
    let seen = moderator.get(&path_of(&admin.id)).await.expect(200);
    assert_eq!(members(&seen.json()), PUBLIC);
}

#[tokio::test]
async fn a_manager_has_no_power_over_administrators() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let chief = staff(&stage, &admin, "admin").await;
    let manager = staff(&stage, &admin, "manager").await;
    let ada = stage.user().await;
    let path = path_of(&chief.id);
    let mut refused = vec![
        manager.patch(&path, json!({"first_name": "Eve"})).await,
        manager.put(&path, json!({"role": "user"})).await,
        manager.patch(&path, json!({"is_active": false})).await,
        deactivate(&manager, &chief.id).await,
    ];
    // Nor can they make one, of others or of themselves.
    let new = json!({"email": "new@example.com", "role": "admin"});
    refused.push(manager.post(USERS, new).await);
    for id in [&ada.id, &manager.id] {
        let change = json!({"role": "admin"});
        refused.push(manager.patch(&path_of(id), change).await);
    }
    for answer in refused {
        let answer = answer.expect_problem(403, "insufficient_scope");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.contains("scope=\"admin:all\""), "{challenge}");
    }
    // One who is inactive is still an administrator.
    deactivate(&admin, &chief.id).await.expect(200);
    let refused = activate(&manager, &chief.id).await;
    refused.expect_problem(403, "insufficient_scope");

    // Over all others they have.
    let change = json!({"role": "moderator", "first_name": "Ada"});
    let changed = manager.patch(&path_of(&ada.id), change).await.expect(200);
    assert_eq!(changed.json()["role"], "moderator");
    let new = json!({"email": "new@example.com", "role": "manager"});
    manager.post(USERS, new).await.expect(201);
    deactivate(&manager, &ada.id).await.expect(200);
    activate(&manager, &ada.id).await.expect(200);
}

#[tokio::test]
async fn somebody_is_made_with_a_password() {
    let post = Post::new().await;
    let admin = post.stage.admin().await;
    post.new_mails().await;
    let account = json!({
        "email": "Ada@Example.com", "password": PASSWORD, "username": "Ada",
        "first_name": " Ada ", "last_name": "Lovelace", "desired_name": "Countess",
        "phone": "020 7946-0000", "website": "example.com/ada", "role": "moderator",
    });
    let made = admin.post(USERS, account.clone()).await.expect(201);
    let user = made.json();
    assert_eq!(
        made.header("location"),
        path_of(user["id"].as_str().unwrap())
    );
    for (field, value) in [
        ("email", json!("ada@example.com")),
        ("username", json!("Ada")),
        ("full_name", json!("Ada Lovelace")),
        ("phone", json!("02079460000")),
        ("website", json!("https://example.com/ada")),
        ("role", json!("moderator")),
        ("is_active", json!(true)),
        ("is_verified", json!(false)),
        ("is_superuser", json!(false)),
        ("pending_email", Value::Null),
    ] {
        assert_eq!(user[field], value, "{field}");
    }
    let read = admin.get(made.header("location")).await.expect(200);
    assert_eq!(read.json(), user);
    assert_eq!(read.header("etag"), made.header("etag"));
    assert!(!made.header("etag").is_empty());

    let ada = post.stage.anon().log_in("ada", PASSWORD).await;
    assert_eq!(ada.get(ME).await.expect(200).json(), user);
    ada.get(USERS).await.expect(200);
    post.verify().await.expect(204);
    assert_eq!(ada.get(ME).await.expect(200).json()["is_verified"], true);

    let again = admin.post(USERS, account).await;
    again.expect_problem(409, "email_taken");
    let other = json!({"email": "other@example.com", "username": "aDA"});
    let other = admin.post(USERS, other).await;
    other.expect_problem(409, "username_taken");
}

#[tokio::test]
async fn somebody_is_made_in_the_state_that_is_asked_for() {
    let post = Post::new().await;
    let admin = post.stage.admin().await;
    post.new_mails().await;
    let verified = json!({
        "email": "known@example.com", "password": PASSWORD, "full_name": "K. Nown",
        "is_verified": true,
    });
    let user = admin.post(USERS, verified).await.expect(201).json();
    assert_eq!(user["is_verified"], true);
    assert_eq!(user["full_name"], "K. Nown");
    let mails = post.new_mails().await;
    let links = mails.iter().filter(|mail| mail.subject == VERIFICATION);
    assert_eq!(links.count(), 0, "{mails:?}");

    let inactive = json!({
        "email": "later@example.com", "password": PASSWORD, "is_active": false,
    });
    let user = admin.post(USERS, inactive).await.expect(201).json();
    assert_eq!(user["is_active"], false);
    let login = log_in(&post.stage, "later@example.com", PASSWORD).await;
    login.expect_problem(403, "account_inactive");
    activate(&admin, user["id"].as_str().unwrap())
        .await
        .expect(200);
    log_in(&post.stage, "later@example.com", PASSWORD)
        .await
        .expect(200);

    let wrong = json!({
        "email": "no", "password": "short", "username": "a b", "phone": "1", "role": "king",
        "is_active": "yes", "id": "1", "is_superuser": true,
    });
    let wrong = admin.post(USERS, wrong).await;
    let wrong = wrong.expect_problem(422, "validation_failed");
    let fields = wrong.wrong_fields().into_iter().map(|(field, _)| field);
    let expected = [
        "email",
        "password",
        "username",
        "phone",
        "role",
        "is_active",
        "id",
        "is_superuser",
    ];
    let expected = expected.map(str::to_owned);
    assert_eq!(BTreeSet::from_iter(fields), expected.into());
    let own = json!({"email": "Abcdef1x@example.com", "password": "Abcdef1x@example.com"});
    let own = admin.post(USERS, own).await;
    assert_eq!(own.expect(422).wrong_fields()[0].0, "password");
}

#[tokio::test]
async fn somebody_is_invited_and_chooses_a_password() {
    let post = Post::new().await;
    let admin = post.stage.admin().await;
    post.new_mails().await;
    let account = json!({"email": "ada@example.com", "first_name": "Ada"});
    let made = admin.post(USERS, account).await.expect(201);
    assert_eq!(made.json()["is_verified"], false);
    let mails = post.new_mails().await;
    let [invitation] = &mails[..] else {
        panic!("{mails:?}")
    };
    assert_eq!(invitation.to, "ada@example.com");
    assert_eq!(invitation.subject, "You are invited");
    let start = "https://api.example.com/accept-invitation?token=";
    assert!(invitation.text.contains(start), "{invitation:?}");
    for guess in ["", PASSWORD] {
        let login = log_in(&post.stage, "ada@example.com", guess).await;
        login.expect_problem(401, "invalid_credentials");
    }

    let accept = json!({"token": invitation.token(), "new_password": PASSWORD});
    let anon = post.stage.anon();
    anon.post(RESET, accept.clone()).await.expect(204);
    let ada = post.stage.anon().log_in("ada@example.com", PASSWORD).await;
    assert_eq!(ada.id, made.text("id"));
    // The link has proved the address. It works once.
    assert_eq!(ada.get(ME).await.expect(200).json()["is_verified"], true);
    let again = anon.post(RESET, accept).await;
    again.expect_problem(400, "invalid_token");
}

#[tokio::test]
async fn of_many_who_make_the_same_user_one_does() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let accounts = (0..10).map(|n| match n % 2 {
        0 => json!({"email": "ada@example.com"}),
        _ => json!({"email": "ADA@example.com", "username": format!("ada{n}")}),
    });
    let made = join_all(accounts.map(|account| admin.post(USERS, account))).await;
    let mut done = 0;
    for answer in made {
        match answer.status.as_u16() {
            201 => done += 1,
            _ => drop(answer.expect_problem(409, "email_taken")),
        }
    }
    assert_eq!(done, 1);
    assert_eq!(totals_are_exact(&admin).await, 2);
}

#[tokio::test]
async fn whoever_is_signed_in_sees_little_of_others() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let moderator = staff(&stage, &admin, "moderator").await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    let change = json!({
        "username": "ada", "first_name": "Augusta", "full_name": "Ada Lovelace",
        "phone": "02079460000", "website": "ada.example", "email": "other@example.org",
    });
    ada.patch(ME, change).await.expect(200);
    let path = path_of(&ada.id);
    let seen = bob.get(&path).await.expect(200).expect_round_trips(2);
    let public = seen.json();
    assert_eq!(members(&public), PUBLIC);
    assert_eq!(public["username"], "ada");
    assert_eq!(public["full_name"], "Ada Lovelace");
    let told = String::from_utf8_lossy(&seen.body);
    for secret in ["@", "example", "0207946", "Augusta", "role"] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
    // Whole for those who may read users, and for oneself.
    let whole = ada.get(ME).await.expect(200).json();
    for actor in [&admin, &moderator, &ada] {
        let seen = actor.get(&path).await.expect(200);
        assert!(seen.usage.round_trips() <= 2);
        assert_eq!(seen.json(), whole);
    }

    // What has not changed is not sent again.
    for actor in [&bob, &admin, &ada] {
        let seen = actor.get(&path).await.expect(200);
        let tag = seen.header("etag").to_owned();
        let reading = actor.clone().with_header("if-none-match", &tag);
        assert_eq!(reading.get(&path).await.expect(304).body, b"");
        let change = json!({"desired_name": tag.trim_matches('"')});
        ada.patch(ME, change).await.expect(200);
        let changed = reading.get(&path).await.expect(200);
        assert_ne!(changed.json(), seen.json());
    }
    for actor in [&bob, &admin] {
        let nobody = actor.get(&path_of(&Uuid::now_v7().to_string())).await;
        nobody.expect_problem(404, "not_found");
        let no_id = actor.get(&path_of("no-uuid")).await;
        no_id.expect_problem(404, "not_found");
    }
    let anonymous = stage.anon().get(&path).await;
    anonymous.expect_problem(401, "token_missing");
}

#[tokio::test]
async fn a_manager_changes_somebody() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let manager = staff(&stage, &admin, "manager").await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    bob.patch(ME, json!({"username": "bob"})).await.expect(200);
    let path = path_of(&ada.id);
    let change = json!({
        "username": "ada", "last_name": "Byron", "phone": "+49301234567", "role": "moderator",
    });
    let changed = manager.patch(&path, change).await.expect(200);
    let user = changed.json();
    assert_eq!(user["role"], "moderator");
    assert_eq!(user["full_name"], "Byron");
    assert_eq!(ada.get(ME).await.expect(200).json(), user);
    assert_eq!(ada.get(ME).await.header("etag"), changed.header("etag"));
    // Absent stays, null goes, and PUT is the same partial update.
    let change = json!({"phone": null, "last_name": "King"});
    let user = manager.put(&path, change).await.expect(200).json();
    assert_eq!(user["phone"], Value::Null);
    assert_eq!(user["last_name"], "King");
    assert_eq!(user["username"], "ada");

    let first = changed.header("etag").to_owned();
    let careful = manager.clone().with_header("if-match", &first);
    let stale = careful.patch(&path, json!({"last_name": "Eve"})).await;
    stale.expect_problem(412, "precondition_failed");
    let now = manager.get(&path).await.expect(200);
    let careful = manager.clone().with_header("if-match", now.header("etag"));
    // What changes nothing keeps its version.
    let same = careful.patch(&path, json!({"role": "moderator"})).await;
    assert_eq!(same.expect(200).header("etag"), now.header("etag"));
    let changes = (0..10).map(|n| careful.patch(&path, json!({"last_name": format!("King {n}")})));
    let answers = join_all(changes).await;
    let done = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(done, 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        answer.expect_problem(412, "precondition_failed");
    }

    let taken = manager.patch(&path, json!({"username": "BOB"})).await;
    taken.expect_problem(409, "username_taken");
    let taken = manager.patch(&path, json!({"email": bob.email})).await;
    taken.expect_problem(409, "email_taken");
    let wrong = json!({
        "role": "king", "is_active": "no", "email": null, "password": PASSWORD, "id": ada.id,
        "created_at": "2020-01-01T00:00:00Z", "nonsense": 1,
    });
    let wrong = manager.patch(&path, wrong).await;
    let wrong = wrong.expect_problem(422, "validation_failed");
    let fields = BTreeSet::from_iter(wrong.wrong_fields().into_iter().map(|(field, _)| field));
    for field in [
        "role",
        "is_active",
        "password",
        "id",
        "created_at",
        "nonsense",
    ] {
        assert!(fields.contains(field), "{field} in {fields:?}");
    }
    let nobody = path_of(&Uuid::now_v7().to_string());
    for (method, path) in [("PATCH", &nobody), ("PUT", &nobody)] {
        let body = json!({"last_name": "Nobody"});
        let missing = manager.send_json(method, path, body).await;
        missing.expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn an_address_that_a_manager_gives_is_verified_too() {
    let post = Post::new().await;
    let admin = post.stage.admin().await;
    let ada = post.stage.user().await;
    post.new_mails().await;
    let change = json!({"email": "countess@example.com"});
    let changed = admin.patch(&path_of(&ada.id), change).await.expect(200);
    assert_eq!(changed.text("email"), ada.email);
    assert_eq!(changed.text("pending_email"), "countess@example.com");
    post.verify().await.expect(204);
    let now = ada.get(ME).await.expect(200);
    assert_eq!(now.text("email"), "countess@example.com");
}

#[tokio::test]
async fn who_is_deactivated_is_out_at_once_and_stays_so() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let ada = stage.user().await;
    let token = log_in(&stage, &ada.email, PASSWORD).await.expect(200);
    let refresh = json!({"refresh_token": token.text("refresh_token")});
    let off = deactivate(&admin, &ada.id).await.expect(200);
    assert_eq!(off.json()["is_active"], false);
    let out = async || {
        ada.get(ME).await.expect_problem(401, "invalid_token");
        let refreshed = stage.anon().post(REFRESH, refresh.clone()).await;
        refreshed.expect_problem(401, "invalid_refresh_token");
    };
    out().await;
    let login = log_in(&stage, &ada.email, PASSWORD).await;
    login.expect_problem(403, "account_inactive");
    // Others still see them, and their names stay theirs.
    admin.get(&path_of(&ada.id)).await.expect(200);
    let account = json!({"email": ada.email, "password": PASSWORD});
    let taken = stage.anon().post(REGISTER, account).await;
    taken.expect_problem(409, "email_taken");

    let again = deactivate(&admin, &ada.id).await.expect(200);
    assert_eq!(again.header("etag"), off.header("etag"));
    let on = activate(&admin, &ada.id).await.expect(200);
    assert_eq!(on.json()["is_active"], true);
    let again = activate(&admin, &ada.id).await.expect(200);
    assert_eq!(again.json(), on.json());
    assert_eq!(again.header("etag"), on.header("etag"));
    // What has ended does not begin again.
    out().await;
    let ada = stage.anon().log_in(&ada.email, PASSWORD).await;
    let noted = texts(&trail(&admin, &ada.id).await, "action");
    let count = |action: &str| noted.iter().filter(|noted| *noted == action).count();
    assert_eq!(count("user.deactivated"), 1, "{noted:?}");
    assert_eq!(count("user.activated"), 1, "{noted:?}");

    // The other way to say it does the same.
    let change = json!({"is_active": false});
    admin.patch(&path_of(&ada.id), change).await.expect(200);
    ada.get(ME).await.expect_problem(401, "invalid_token");
    let change = json!({"is_active": true});
    admin.patch(&path_of(&ada.id), change).await.expect(200);
    ada.get(ME).await.expect_problem(401, "invalid_token");

    let nobody = Uuid::now_v7().to_string();
    for answer in [
        activate(&admin, &nobody).await,
        deactivate(&admin, &nobody).await,
    ] {
        answer.expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn an_administrator_deletes_others_and_not_themselves() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let other = staff(&stage, &admin, "admin").await;
    let ada = stage.user().await;
    let path = path_of(&ada.id);
    delete(&admin, &path).await.expect(204);
    ada.get(ME).await.expect_problem(401, "invalid_token");
    // To everybody it is as if there had never been such a user, whether or not all is erased.
    for _ in 0..2 {
        let change = json!({"first_name": "Eve"});
        for answer in [
            delete(&admin, &path).await,
            admin.get(&path).await,
            admin.patch(&path, change).await,
            activate(&admin, &ada.id).await,
            deactivate(&admin, &ada.id).await,
        ] {
            answer.expect_problem(404, "not_found");
        }
        work(&stage).await;
    }
    let account = json!({"email": ada.email, "password": PASSWORD});
    stage.anon().post(REGISTER, account).await.expect(201);

    let own = delete(&admin, &path_of(&admin.id)).await;
    own.expect_problem(400, "cannot_delete_self");
    let nobody = delete(&admin, &path_of(&Uuid::now_v7().to_string())).await;
    nobody.expect_problem(404, "not_found");
    delete(&other, &path_of(&admin.id)).await.expect(204);
    admin.get(ME).await.expect_problem(401, "invalid_token");
    let own = delete(&other, &path_of(&other.id)).await;
    own.expect_problem(400, "cannot_delete_self");
}

#[tokio::test]
async fn the_last_active_administrator_stays_one() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let path = path_of(&admin.id);
    let stays = async |admin: &Actor<'_>| {
        for answer in [
            admin.patch(&path, json!({"role": "manager"})).await,
            admin.put(&path, json!({"is_active": false})).await,
            deactivate(admin, &admin.id).await,
            delete(admin, ME).await,
        ] {
            answer.expect_problem(409, "last_admin");
        }
        assert_eq!(admin.get(ME).await.expect(200).json()["role"], "admin");
    };
    stays(&admin).await;
    // One who is inactive is none.
    let other = staff(&stage, &admin, "admin").await;
    deactivate(&admin, &other.id).await.expect(200);
    stays(&admin).await;
    delete(&admin, &path_of(&other.id)).await.expect(204);
    stays(&admin).await;
    let other = staff(&stage, &admin, "admin").await;
    admin
        .patch(&path, json!({"role": "manager"}))
        .await
        .expect(200);
    let path = path_of(&other.id);
    let last = other.patch(&path, json!({"role": "user"})).await;
    last.expect_problem(409, "last_admin");
    // All else about the last one may change.
    let change = json!({"first_name": "Ada", "role": "admin", "is_active": true});
    other.patch(&path, change).await.expect(200);
}

#[derive(Clone, Copy, Debug)]
enum Removal {
    Demote,
    Deactivate,
    Delete,
}

async fn remove(actor: &Actor<'_>, other: &str, how: Removal) -> Answer {
    match how {
        Removal::Demote => {
            let change = json!({"role": "user"});
            actor.patch(&path_of(other), change).await
        }
        Removal::Deactivate => deactivate(actor, other).await,
        Removal::Delete => delete(actor, &path_of(other)).await,
    }
}

/// How many active administrators there are, as the list says and as it counts.
async fn administrators(reader: &Actor<'_>) -> usize {
    let path = format!("{USERS}?role=admin&is_active=true");
    let page = reader.get(&path).await.expect(200).json();
    let listed = page["items"].as_array().unwrap().len();
    assert_eq!(page["total"], listed);
    listed
}

/// Asserts that a removal was refused for a reason that there is: the caller or the other is none any more, or nobody
/// would be left.
fn was_refused(answer: Answer) {
    match answer.status.as_u16() {
        401 => answer.expect_problem(401, "invalid_token"),
        403 => answer.expect_problem(403, "insufficient_scope"),
        409 if answer.text("code") == "stale" => answer,
        _ => answer.expect_problem(409, "last_admin"),
    };
}

#[tokio::test]
async fn of_two_administrators_who_remove_each_other_one_stays() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let reader = staff(&stage, &admin, "moderator").await;
    let other = staff(&stage, &admin, "admin").await;
    let mut pair = [admin, other];
    let ways = [Removal::Demote, Removal::Deactivate, Removal::Delete];
    let mut removed = 0;
    for round in 0..20 {
        let how = [ways[round % 3], ways[round / 3 % 3]];
        let (first, second) = join(
            remove(&pair[0], &pair[1].id, how[0]),
            remove(&pair[1], &pair[0].id, how[1]),
        )
        .await;
        let gone = [second.status.is_success(), first.status.is_success()];
        assert_ne!(gone, [true, true], "nobody is left: {how:?}");
        for answer in [first, second] {
            if !answer.status.is_success() {
                was_refused(answer);
            }
        }
        let left = gone.iter().filter(|gone| !**gone).count();
        assert_eq!(administrators(&reader).await, left, "{how:?}");
        for at in (0..2).filter(|at| gone[*at]) {
            removed += 1;
            let survivor = &pair[1 - at];
            let change = json!({"role": "admin", "is_active": true});
            let again = survivor.patch(&path_of(&pair[at].id), change).await;
            let again = match again.status.as_u16() {
                200 => stage.anon().log_in(&pair[at].email, PASSWORD).await,
                _ => staff(&stage, survivor, "admin").await,
            };
            pair[at] = again;
        }
    }
    // If both were refused each time, nothing was tried.
    assert!(removed >= 10, "{removed} of 20");
}

#[tokio::test]
async fn of_many_administrators_who_go_at_once_one_stays() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let reader = staff(&stage, &admin, "moderator").await;
    let mut all = vec![admin];
    for _ in 0..4 {
        all.push(staff(&stage, &all[0], "admin").await);
    }
    // Each demotes the next one.
    let next = |at: usize| &all[(at + 1) % all.len()].id;
    let removals = all.iter().enumerate();
    let removals = removals.map(|(at, actor)| remove(actor, next(at), Removal::Demote));
    let answers = join_all(removals).await;
    let done = answers.iter().filter(|answer| answer.status == 200).count();
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        was_refused(answer);
    }
    assert!((1..all.len()).contains(&done), "{done}");
    assert_eq!(administrators(&reader).await, all.len() - done);

    // And then all who are left resign.
    let resigning = join_all(all.iter().map(|actor| delete(actor, ME))).await;
    for answer in resigning {
        if answer.status != 204 {
            was_refused(answer);
        }
    }
    assert_eq!(administrators(&reader).await, 1);
}

#[tokio::test]
async fn the_trail_tells_an_administrator_who_did_what_from_where() {
    let stage = Stage::new().await;
    let admin = stage.admin().await.from_ip("203.0.113.1");
    let account = json!({
        "email": "ada@example.com", "password": PASSWORD, "username": "ada", "role": "moderator",
    });
    let made = admin.post(USERS, account).await.expect(201);
    let id = made.text("id");
    let ada = stage.anon().from_ip("203.0.113.7");
    let ada = ada.log_in("ada@example.com", PASSWORD).await;
    ada.patch(ME, json!({"phone": "+49301234567"}))
        .await
        .expect(200);
    let change = json!({"username": "countess", "role": "manager"});
    admin.patch(&path_of(&id), change).await.expect(200);
    deactivate(&admin, &id).await.expect(200);
    activate(&admin, &id).await.expect(200);

    let path = format!("{}/audit", path_of(&id));
    let page = admin.get(&path).await.expect(200);
    let entries = page.json()["items"].as_array().unwrap().clone();
    assert_eq!(page.json()["total"], 6);
    let (by_admin, by_ada) = (
        (admin.id.as_str(), "203.0.113.1"),
        (ada.id.as_str(), "203.0.113.7"),
    );
    let expected = [
        ("user.activated", by_admin),
        ("user.deactivated", by_admin),
        ("user.updated", by_admin),
        ("user.updated", by_ada),
        ("session.began", by_ada),
        ("user.created", by_admin),
    ];
    for (entry, (action, (actor, ip))) in entries.iter().zip(expected) {
        assert_eq!(entry["action"], action);
        assert_eq!(entry["actor_id"], actor, "{action}");
        assert_eq!(entry["ip"], ip, "{action}");
    }
    let mut changes = entries[2]["changes"].as_array().unwrap().clone();
    changes.sort_by_key(|change| change["field"].to_string());
    let role = json!({"field": "role", "old": "moderator", "new": "manager"});
    let name = json!({"field": "username", "old": "ada", "new": "countess"});
    assert_eq!(changes, [role, name]);
    let told = String::from_utf8_lossy(&page.body);
    for secret in [PASSWORD, "argon2", "session_epoch", "listed_by", "owned_by"] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
    // The administrator's own trail is their own.
    let own = texts(&trail(&admin, &admin.id).await, "action");
    assert!(!own.contains(&"user.updated".to_owned()), "{own:?}");

    let first = admin.get(&format!("{path}?limit=2")).await.expect(200);
    let cursor = first.text("next_cursor");
    let second = admin.get(&format!("{path}?limit=2&cursor={cursor}")).await;
    let second = second.expect(200).json();
    assert_eq!(second["items"], json!(entries[2..4]));
}

#[tokio::test]
async fn whoever_is_promoted_keeps_no_address_that_was_asked_for_before() {
    let post = Post::new().await;
    let admin = post.stage.admin().await;
    let manager = staff(&post.stage, &admin, "manager").await;
    let bob = post.stage.user().await;
    post.new_mails().await;
    let path = path_of(&bob.id);
    let trap = json!({"email": "trap@example.com"});
    manager.patch(&path, trap).await.expect(200);
    let token = post.token(VERIFICATION).await;

    let promoted = admin.patch(&path, json!({"role": "admin"})).await;
    assert_eq!(promoted.expect(200).json()["pending_email"], Value::Null);
    let late = verify(&post.stage, &token).await;
    late.expect_problem(400, "invalid_token");
    let seen = admin.get(&path).await.expect(200);
    assert_eq!(seen.text("email"), bob.email);
}

#[tokio::test]
async fn only_administrators_make_a_verified_user_with_a_password() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let manager = staff(&stage, &admin, "manager").await;
    let boss = json!({
        "email": "boss@example.com", "password": PASSWORD, "is_verified": true,
    });
    let refused = manager.post(USERS, boss.clone()).await;
    refused.expect_problem(403, "insufficient_scope");
    let invited = json!({"email": "guest@example.com", "is_verified": true});
    manager.post(USERS, invited).await.expect(201);
    admin.post(USERS, boss).await.expect(201);

    // Nobody is invited to what they cannot use.
    let inactive = json!({"email": "later@example.com", "is_active": false});
    let inactive = admin.post(USERS, inactive).await.expect(422);
    let expected = [("is_active".to_owned(), "not_invited".to_owned())];
    assert_eq!(inactive.wrong_fields(), expected);
}

#[tokio::test]
async fn a_tag_of_what_is_public_tells_of_nothing_else() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    let path = path_of(&ada.id);
    let tag = |answer: Answer| answer.expect(200).header("etag").to_owned();
    let (public, whole) = (tag(bob.get(&path).await), tag(admin.get(&path).await));
    assert_ne!(public, whole);
    ada.patch(ME, json!({"phone": "02079460000"}))
        .await
        .expect(200);
    assert_eq!(tag(bob.get(&path).await), public);
    assert_ne!(tag(admin.get(&path).await), whole);
    ada.patch(ME, json!({"username": "ada"})).await.expect(200);
    assert_ne!(tag(bob.get(&path).await), public);
}
