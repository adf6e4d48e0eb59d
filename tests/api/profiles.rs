//! What people do with their own accounts: profile, preferences, activity, another address or name, and the end.

use std::collections::BTreeSet;

use futures_util::future::{join, join_all};
use jiff::Timestamp;
use lambda_http::aws_lambda_events::sqs::SqsEvent;
use serde_json::{Value, json};
use shared::models::User;
use shared::store::tasks::NewTask;
use shared::tasks::Task;
use tests::faults::{Fault, Faults, Schedule};
use tests::{Actor, Mail, MailFolder, PASSWORD, Stage};
use uuid::Uuid;
use worker::Worker;

use crate::people::{
    FORGOT, ME, Post, REFRESH, REGISTER, RESET, USERS, VERIFICATION, all_of, delete, log_in,
    members, path_of, settle, staff, texts, verify, work,
};

const PROFILE: &str = "/api/v1/users/me/profile";
const PREFERENCES: &str = "/api/v1/users/me/preferences";
const ACTIVITY: &str = "/api/v1/users/me/activity";
const JSON: Option<&str> = Some("application/json");

/// What was done to somebody's account, the last first.
async fn actions(actor: &Actor<'_>) -> Vec<String> {
    let entries = all_of(actor, &format!("{ACTIVITY}?limit=100")).await;
    texts(&entries, "action")
}

#[tokio::test]
async fn a_profile_shows_what_happened_last_and_what_is_preferred() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let profile = ada.get(PROFILE).await.expect(200).expect_round_trips(2);
    let profile = profile.json();
    assert_eq!(
        members(&profile),
        ["preferences", "recent_activity", "user"]
    );
    assert_eq!(profile["user"], ada.get(ME).await.json());
    assert_eq!(profile["preferences"], json!({}));
    let recent = texts(profile["recent_activity"].as_array().unwrap(), "action");
    assert_eq!(recent, ["session.began", "user.registered"]);

    let preferences = json!({"theme": "dark"});
    ada.put(PREFERENCES, preferences.clone()).await.expect(200);
    for n in 0..20 {
        let change = json!({"first_name": format!("Ada {n}")});
        ada.patch(ME, change).await.expect(200);
    }
    // It costs the same, however much has happened.
    let profile = ada.get(PROFILE).await.expect(200).expect_round_trips(2);
    let profile = profile.json();
    assert_eq!(profile["preferences"], preferences);
    let trail = ada.get(&format!("{ACTIVITY}?limit=5")).await.expect(200);
    assert_eq!(profile["recent_activity"], trail.json()["items"]);
    let recent = profile["recent_activity"].as_array().unwrap();
    assert_eq!(recent.len(), 5);
    for (entry, n) in recent.iter().zip((15..20).rev()) {
        assert_eq!(entry["changes"][0]["new"], format!("Ada {n}"));
    }
}

#[tokio::test]
async fn preferences_come_back_as_they_were_sent() {
    let stage = Stage::new().await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    let none = ada.get(PREFERENCES).await.expect(200).expect_round_trips(2);
    assert_eq!(none.json(), json!({}));

    let mut deep = json!("the bottom");
    for level in 0..50 {
        deep = json!({"level": level, "below": [deep]});
    }
    let preferences = json!({
        "theme": "dark",
        "Größe": 1.5,
        "": {"": null},
        "pk": "USER#1",
        "漢字 🦀": ["λ", [], {}, true, "line\nline\t\"quoted\" \\"],
        "numbers": [0, -1, 9_007_199_254_740_993_i64, u64::MAX, 1e22, -0.25],
        "deep": deep,
    });
    let put = ada.put(PREFERENCES, preferences.clone()).await.expect(200);
    let cost = put.usage.round_trips();
    assert!((2..=3).contains(&cost), "{cost} round trips");
    assert_eq!(put.json(), preferences);
    let read = ada.get(PREFERENCES).await.expect(200).expect_round_trips(2);
    assert_eq!(read.json(), preferences);

    // The whole is replaced, and nobody else's.
    let other = json!({"language": "fr"});
    ada.put(PREFERENCES, other.clone()).await.expect(200);
    assert_eq!(ada.get(PREFERENCES).await.expect(200).json(), other);
    assert_eq!(bob.get(PREFERENCES).await.expect(200).json(), json!({}));
    ada.put(PREFERENCES, json!({})).await.expect(200);
    assert_eq!(ada.get(PREFERENCES).await.expect(200).json(), json!({}));
}

#[tokio::test]
async fn preferences_have_etags() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let first = ada.get(PREFERENCES).await.expect(200);
    let tag = first.header("etag").to_owned();
    assert!(!tag.is_empty());
    let reading = ada.clone().with_header("if-none-match", &tag);
    assert_eq!(reading.get(PREFERENCES).await.expect(304).body, b"");

    // Of many who want to replace the same, one does.
    let careful = ada.clone().with_header("if-match", &tag);
    let puts = (0..10).map(|n| careful.put(PREFERENCES, json!({"number": n})));
    let answers = join_all(puts).await;
    let (done, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(done.len(), 1);
    for answer in refused {
        answer.expect_problem(412, "precondition_failed");
    }
    let now = reading.get(PREFERENCES).await.expect(200);
    assert_eq!(now.json(), done[0].json());
    assert_eq!(now.header("etag"), done[0].header("etag"));
    assert_ne!(now.header("etag"), tag);
    let late = careful.put(PREFERENCES, json!({"number": 11})).await;
    late.expect_problem(412, "precondition_failed");

    // Of many who do not care, the last one counts.
    let puts = (0..10).map(|n| ada.put(PREFERENCES, json!({"number": n})));
    let answers = join_all(puts).await;
    let (done, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 200);
    for answer in refused {
        answer.expect_problem(409, "stale");
    }
    let now = ada.get(PREFERENCES).await.expect(200);
    assert!(done.iter().any(|answer| answer.json() == now.json()));
}

#[tokio::test]
async fn preferences_are_an_object_of_up_to_16_kib() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    // With the name and the quotes around it.
    let of_bytes = |bytes: usize| json!({"a": "x".repeat(bytes - 8)});
    assert_eq!(of_bytes(16_384).to_string().len(), 16_384);
    let kept = of_bytes(16_384);
    ada.put(PREFERENCES, kept.clone()).await.expect(200);
    let larger = ada.put(PREFERENCES, of_bytes(16_385)).await;
    larger.expect_problem(413, "body_too_large");
    // Bytes and not characters.
    let larger = ada.put(PREFERENCES, json!({"a": "ä".repeat(8_189)})).await;
    larger.expect_problem(413, "body_too_large");
    for body in ["[]", "[{}]", "\"text\"", "1", "true", "null"] {
        let wrong = ada.send("PUT", PREFERENCES, JSON, body.as_bytes()).await;
        wrong.expect_problem(422, "validation_failed");
    }
    let malformed = ada.send("PUT", PREFERENCES, JSON, b"{").await;
    malformed.expect_problem(400, "malformed_body");
    assert_eq!(ada.get(PREFERENCES).await.expect(200).json(), kept);

    // What only makes it readable does not count.
    let list = json!({"list": Vec::from_iter(0..2_000)});
    let readable = serde_json::to_string_pretty(&list).unwrap();
    assert!(readable.len() > 16_384);
    let put = ada
        .send("PUT", PREFERENCES, JSON, readable.as_bytes())
        .await;
    assert_eq!(put.expect(200).json(), list);
    stage
        .anon()
        .get(PREFERENCES)
        .await
        .expect_problem(401, "token_missing");
}

#[tokio::test]
async fn the_activity_tells_what_was_done_and_from_where() {
    let stage = Stage::new().await;
    let email = stage.user().await.email;
    let ada = stage.anon().from_ip("203.0.113.7");
    let ada = ada.log_in(&email, PASSWORD).await;
    ada.patch(ME, json!({"last_name": "Byron"}))
        .await
        .expect(200);
    let change = json!({"last_name": "King", "phone": "+49301234567"});
    ada.patch(ME, change).await.expect(200);
    let secret = json!({"diary": "midnight"});
    ada.put(PREFERENCES, secret).await.expect(200);
    let passwords = json!({"current_password": PASSWORD, "new_password": "Better-horse-8"});
    ada.post("/api/v1/auth/change-password", passwords)
        .await
        .expect(204);

    let trail = ada.get(ACTIVITY).await.expect(200).expect_round_trips(2);
    let page = trail.json();
    assert_eq!(page["total"], 7);
    assert_eq!(page["total_relation"], "eq");
    assert_eq!((&page["page"], &page["size"]), (&json!(1), &json!(20)));
    let entries = page["items"].as_array().unwrap();
    let expected = [
        "user.password_changed",
        "user.preferences_changed",
        "user.updated",
        "user.updated",
        "session.began",
        "session.began",
        "user.registered",
    ];
    assert_eq!(texts(entries, "action"), expected);
    let names = [
        "about_id", "action", "actor_id", "at", "changes", "id", "ip",
    ];
    for entry in entries {
        assert_eq!(members(entry), names);
        assert_eq!(entry["actor_id"], ada.id);
    }
    for entry in &entries[..5] {
        assert_eq!(entry["ip"], "203.0.113.7");
    }
    let times = texts(entries, "at");
    let times = times.iter().map(|at| at.parse::<Timestamp>().unwrap());
    assert!(times.is_sorted_by(|newer, older| newer >= older));

    let mut changes = entries[2]["changes"].as_array().unwrap().clone();
    changes.sort_by_key(|change| change["field"].to_string());
    let phone = json!({"field": "phone", "old": null, "new": "+49301234567"});
    let name = json!({"field": "last_name", "old": "Byron", "new": "King"});
    assert_eq!(changes, [name, phone]);
    assert_eq!(entries[1]["changes"], json!([]));
    assert!(entries[4]["about_id"].is_string(), "the session");
    for secret in [
        PASSWORD,
        "Better-horse-8",
        "argon2",
        "midnight",
        "session_epoch",
    ] {
        let told = String::from_utf8(trail.body.clone()).unwrap();
        assert!(!told.contains(secret), "{secret} in {told}");
    }
}

#[tokio::test]
async fn where_somebody_else_was_is_not_told() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let ada = stage.user().await;
    let change = json!({"desired_name": "Countess"});
    admin.patch(&path_of(&ada.id), change).await.expect(200);
    for path in [ACTIVITY, PROFILE] {
        let told = ada.get(path).await.expect(200).json();
        let entry = match path {
            ACTIVITY => &told["items"][0],
            _ => &told["recent_activity"][0],
        };
        assert_eq!(entry["action"], "user.updated");
        assert_eq!(entry["actor_id"], admin.id);
        assert_eq!(entry["ip"], Value::Null);
        let change = json!({"field": "desired_name", "old": null, "new": "Countess"});
        assert_eq!(entry["changes"], json!([change]));
    }
}

#[tokio::test]
async fn the_activity_has_pages() {
    let stage = Stage::new().await;
    let (ada, eve) = (stage.user().await, stage.user().await);
    for n in 0..43 {
        let change = json!({"desired_name": format!("Ada {n}")});
        ada.patch(ME, change).await.expect(200);
    }
    let whole = ada.get(&format!("{ACTIVITY}?limit=100")).await.expect(200);
    let whole = whole.json();
    assert_eq!(whole["total"], 45);
    assert_eq!(whole["total_relation"], "eq");
    assert_eq!(whole["next_cursor"], Value::Null);
    let ids = texts(whole["items"].as_array().unwrap(), "id");
    assert_eq!(BTreeSet::from_iter(&ids).len(), 45);

    let paged = all_of(&ada, &format!("{ACTIVITY}?limit=10")).await;
    assert_eq!(texts(&paged, "id"), ids);
    // What happens meanwhile comes before it, and moves nothing.
    let first = ada.get(&format!("{ACTIVITY}?limit=10")).await.expect(200);
    let cursor = first.text("next_cursor");
    ada.patch(ME, json!({"desired_name": "Countess"}))
        .await
        .expect(200);
    let rest = ada
        .get(&format!("{ACTIVITY}?limit=100&cursor={cursor}"))
        .await;
    let rest = rest.expect(200).json();
    assert_eq!(texts(rest["items"].as_array().unwrap(), "id"), ids[10..]);
    let skipped = ada.get(&format!("{ACTIVITY}?skip=41&limit=10")).await;
    let skipped = skipped.expect(200).json();
    let skipped = texts(skipped["items"].as_array().unwrap(), "id");
    assert_eq!(skipped, ids[40..]);

    // A cursor of hers shows somebody else their own only.
    let seen = eve.get(&format!("{ACTIVITY}?cursor={cursor}")).await;
    let seen = seen.expect(200).json();
    for entry in seen["items"].as_array().unwrap() {
        assert_eq!(entry["actor_id"], eve.id);
    }
    for cursor in ["nonsense", "W10", "VVNFUg", "%00"] {
        let wrong = ada.get(&format!("{ACTIVITY}?cursor={cursor}")).await;
        wrong.expect_problem(400, "invalid_cursor");
    }
    let deep = ada.get(&format!("{ACTIVITY}?skip=10001")).await;
    deep.expect_problem(400, "skip_too_deep");
    let wrong = ada.get(&format!("{ACTIVITY}?limit=101")).await;
    let wrong = wrong.expect_problem(422, "validation_failed");
    assert_eq!(wrong.wrong_fields()[0].0, "limit");
}

#[tokio::test]
async fn what_happened_long_ago_is_forgotten() {
    let stage = Stage::with(&[("AUDIT_RETENTION_DAYS", "1")]).await;
    let email = stage.user().await.email;
    stage.later(86_400 - 3_600).await;
    let ada = stage.anon().log_in(&email, PASSWORD).await;
    assert!(actions(&ada).await.contains(&"user.registered".to_owned()));

    stage.later(86_400 + 3_600).await;
    let ada = stage.anon().log_in(&email, PASSWORD).await;
    assert!(!actions(&ada).await.contains(&"user.registered".to_owned()));
    let profile = ada.get(PROFILE).await.expect(200).json();
    let recent = texts(profile["recent_activity"].as_array().unwrap(), "action");
    assert!(!recent.contains(&"user.registered".to_owned()));
    // An administrator sees no more.
    let admin = stage.admin().await;
    let trail = all_of(&admin, &format!("{}/audit?limit=100", path_of(&ada.id))).await;
    assert!(!texts(&trail, "action").contains(&"user.registered".to_owned()));
}

/// The one mail to this address.
fn mail_to<'a>(mails: &'a [Mail], address: &str) -> &'a Mail {
    let mut to = mails.iter().filter(|mail| mail.to == address);
    let mail = to.next();
    assert!(to.next().is_none(), "two mails to {address}: {mails:?}");
    mail.unwrap_or_else(|| panic!("no mail to {address}: {mails:?}"))
}

#[tokio::test]
async fn a_new_address_counts_once_its_link_has_come_back() {
    let post = Post::new().await;
    let ada = post.stage.user().await;
    post.verify().await.expect(204);
    post.new_mails().await;
    let (old, new) = (ada.email.as_str(), "countess@example.com");

    let asked = ada.patch(ME, json!({"email": "Countess@Example.com"}));
    let asked = asked.await.expect(200).json();
    assert_eq!(asked["email"], old);
    assert_eq!(asked["pending_email"], new);
    assert_eq!(asked["is_verified"], true);
    assert_eq!(ada.get(ME).await.expect(200).json(), asked);
    let mails = post.new_mails().await;
    let link = mail_to(&mails, new);
    assert_eq!(link.subject, VERIFICATION);
    let told = mail_to(&mails, old);
    assert!(told.text.contains(new), "{told:?}");
    assert!(!told.text.contains("token="), "{told:?}");
    // Until then everything goes on with the old one.
    log_in(&post.stage, old, PASSWORD).await.expect(200);
    log_in(&post.stage, new, PASSWORD).await.expect(401);
    post.stage
        .anon()
        .post(FORGOT, json!({"email": new}))
        .await
        .expect(202);
    assert!(post.new_mails().await.is_empty());

    verify(&post.stage, &link.token()).await.expect(204);
    let now = ada.get(ME).await.expect(200).json();
    assert_eq!(now["email"], new);
    assert_eq!(now["pending_email"], Value::Null);
    assert_eq!(now["is_verified"], true);
    log_in(&post.stage, old, PASSWORD).await.expect(401);
    log_in(&post.stage, new, PASSWORD).await.expect(200);
    let mails = post.new_mails().await;
    let told = mail_to(&mails, old);
    assert!(told.text.contains(new), "{told:?}");
    let again = verify(&post.stage, &link.token()).await;
    again.expect_problem(400, "invalid_token");

    let actions = actions(&ada).await;
    for action in ["user.email_change_asked", "user.email_verified"] {
        assert!(actions.contains(&action.to_owned()), "{actions:?}");
    }
    // The old one is anybody's.
    let account = json!({"email": old, "password": PASSWORD});
    post.stage.anon().post(REGISTER, account).await.expect(201);
}

#[tokio::test]
async fn an_address_is_whose_link_comes_back_first() {
    let post = Post::new().await;
    let (ada, bob) = (post.stage.user().await, post.stage.user().await);
    post.new_mails().await;
    let taken = ada.patch(ME, json!({"email": bob.email.to_uppercase()}));
    taken.await.expect_problem(409, "email_taken");
    assert!(post.new_mails().await.is_empty());

    // Asking for one does not keep it.
    let wanted = json!({"email": "wanted@example.com"});
    ada.patch(ME, wanted).await.expect(200);
    let token = post.token(VERIFICATION).await;
    let account = json!({"email": "wanted@example.com", "password": PASSWORD});
    post.stage.anon().post(REGISTER, account).await.expect(201);
    let late = verify(&post.stage, &token).await;
    late.expect_problem(409, "email_taken");
    assert_eq!(ada.get(ME).await.expect(200).json()["email"], ada.email);
    log_in(&post.stage, &ada.email, PASSWORD).await.expect(200);
    post.new_mails().await;

    // Two ask for the same one, and both links come back at the same time.
    let mut tokens = Vec::new();
    for actor in [&ada, &bob] {
        let wanted = json!({"email": "both@example.com"});
        actor.patch(ME, wanted).await.expect(200);
        tokens.push(post.token(VERIFICATION).await);
    }
    let answers = join_all(tokens.iter().map(|token| verify(&post.stage, token))).await;
    let (done, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 204);
    assert_eq!((done.len(), refused.len()), (1, 1));
    for answer in refused {
        answer.expect_problem(409, "email_taken");
    }
    let mut has = 0;
    for actor in [&ada, &bob] {
        let now = actor.get(ME).await.expect(200).text("email");
        has += usize::from(now == "both@example.com");
        log_in(&post.stage, &now, PASSWORD).await.expect(200);
    }
    assert_eq!(has, 1);
}

#[tokio::test]
async fn only_the_link_of_the_address_asked_for_last_works() {
    let post = Post::new().await;
    let ada = post.stage.user().await;
    post.new_mails().await;
    let mut tokens = Vec::new();
    for email in ["first@example.com", "second@example.com"] {
        let asked = ada.patch(ME, json!({"email": email})).await.expect(200);
        assert_eq!(asked.text("pending_email"), email);
        tokens.push(post.token(VERIFICATION).await);
    }
    let first = verify(&post.stage, &tokens[0]).await;
    first.expect_problem(400, "invalid_token");
    assert_eq!(ada.get(ME).await.expect(200).text("email"), ada.email);

    // Whoever has lost the mail asks for the same again.
    let again = json!({"email": "second@example.com"});
    let again = ada.patch(ME, again).await.expect(200);
    assert_eq!(again.text("pending_email"), "second@example.com");
    let token = post.token(VERIFICATION).await;
    assert_ne!(token, tokens[1]);
    // Of many who use it at once, one does.
    let uses = join_all((0..5).map(|_| verify(&post.stage, &token))).await;
    let done = uses.iter().filter(|answer| answer.status == 204).count();
    assert_eq!(done, 1);
    let now = ada.get(ME).await.expect(200);
    assert_eq!(now.text("email"), "second@example.com");
}

#[tokio::test]
async fn who_wants_to_keep_the_address_says_so() {
    let post = Post::new().await;
    let ada = post.stage.user().await;
    post.new_mails().await;
    ada.patch(ME, json!({"email": "other@example.com"}))
        .await
        .expect(200);
    let token = post.token(VERIFICATION).await;
    let kept = ada.patch(ME, json!({"email": ada.email.to_uppercase()}));
    let kept = kept.await.expect(200).json();
    assert_eq!(kept["email"], ada.email);
    assert_eq!(kept["pending_email"], Value::Null);
    assert!(post.new_mails().await.is_empty());
    let late = verify(&post.stage, &token).await;
    late.expect_problem(400, "invalid_token");
    assert_eq!(ada.get(ME).await.expect(200).json(), kept);
}

#[tokio::test]
async fn changes_of_address_are_limited() {
    let stage = Stage::with(&[("RECOVERY_LIMIT_PER_HOUR", "5")]).await;
    let ada = stage.user().await;
    for n in 0..5 {
        let change = json!({"email": format!("other{}@example.com", n % 3)});
        ada.patch(ME, change).await.expect(200);
    }
    let another = json!({"email": "another@example.com"});
    let sixth = ada.patch(ME, another.clone()).await;
    let sixth = sixth.expect_problem(429, "rate_limited");
    assert!(!sixth.header("retry-after").is_empty());
    let pending = ada.get(ME).await.expect(200).text("pending_email");
    assert_eq!(pending, "other1@example.com");
    // Nothing else is concerned, and she is not for ever.
    ada.patch(ME, json!({"first_name": "Ada"}))
        .await
        .expect(200);
    stage.later(3_600).await;
    let ada = stage.anon().log_in(&ada.email, PASSWORD).await;
    ada.patch(ME, another).await.expect(200);

    // Nor can many people send mails to one address.
    let victim = json!({"email": "victim@example.com"});
    for _ in 0..5 {
        let actor = stage.user().await;
        actor.patch(ME, victim.clone()).await.expect(200);
    }
    let sixth = stage.user().await.patch(ME, victim).await;
    sixth.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn of_many_who_want_a_name_that_was_freed_one_gets_it() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    ada.patch(ME, json!({"username": "Ada"})).await.expect(200);
    let mut others = Vec::new();
    for _ in 0..6 {
        others.push(stage.user().await);
    }
    others[0]
        .patch(ME, json!({"username": "aDA"}))
        .await
        .expect_problem(409, "username_taken");
    // The name is free in the moment in which she has another.
    ada.patch(ME, json!({"username": "countess"}))
        .await
        .expect(200);
    let wishes = others
        .iter()
        .map(|other| other.patch(ME, json!({"username": "ADA"})));
    let mut got = 0;
    for answer in join_all(wishes).await {
        match answer.status.as_u16() {
            200 => got += 1,
            _ => drop(answer.expect_problem(409, "username_taken")),
        }
    }
    assert_eq!(got, 1);
    let account = json!({"email": "a@example.com", "password": PASSWORD, "username": "countESS"});
    let taken = stage.anon().post(REGISTER, account).await;
    taken.expect_problem(409, "username_taken");
}

#[tokio::test]
async fn no_two_ever_have_the_same_name() {
    let stage = Stage::new().await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    ada.patch(ME, json!({"username": "left"})).await.expect(200);
    bob.patch(ME, json!({"username": "right"}))
        .await
        .expect(200);
    let name = async |actor: &Actor<'_>| actor.get(ME).await.expect(200).text("username");
    for round in 0..10 {
        let (hers, his) = (name(&ada).await, name(&bob).await);
        // Each wants what the other has; or she moves on, and he follows her.
        let wanted = match round % 2 {
            0 => his,
            _ => format!("free{round}"),
        };
        let answers = join(
            ada.patch(ME, json!({"username": wanted})),
            bob.patch(ME, json!({"username": hers.to_uppercase()})),
        );
        let (of_ada, of_bob) = answers.await;
        for answer in [of_ada, of_bob] {
            if answer.status != 200 {
                answer.expect_problem(409, "username_taken");
            }
        }
        let (hers, his) = (name(&ada).await, name(&bob).await);
        assert_ne!(hers.to_lowercase(), his.to_lowercase());
    }
    // And a name opens the account of whoever has it.
    for actor in [&ada, &bob] {
        let name = name(actor).await;
        let same = stage.anon().log_in(&name, PASSWORD).await;
        assert_eq!(same.id, actor.id);
    }
}

#[tokio::test]
async fn whoever_deletes_their_account_is_gone_at_once() {
    let stage = &Stage::new().await;
    let admin = stage.admin().await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    ada.patch(ME, json!({"username": "ada-the-first"}))
        .await
        .expect(200);
    let token = log_in(stage, &ada.email, PASSWORD).await.expect(200);
    let bearer = format!("Bearer {}", token.text("access_token"));
    let phone = stage.anon().with_header("authorization", &bearer);
    work(stage).await;
    let search = "/api/v1/users/search?q=ada-the-first";
    let found = admin.get(search).await.expect(200).json();
    assert_eq!(found["items"].as_array().unwrap().len(), 1);

    delete(&ada, ME).await.expect(204);
    // Nothing of this waits for the task.
    for actor in [&ada, &phone] {
        actor.get(ME).await.expect_problem(401, "invalid_token");
    }
    let refresh = json!({"refresh_token": token.text("refresh_token")});
    let refreshed = stage.anon().post(REFRESH, refresh).await;
    refreshed.expect_problem(401, "invalid_refresh_token");
    for name in [ada.email.as_str(), "ada-the-first"] {
        let login = log_in(stage, name, PASSWORD).await;
        login.expect_problem(401, "invalid_credentials");
    }
    for actor in [&bob, &admin] {
        let nobody = actor.get(&path_of(&ada.id)).await;
        nobody.expect_problem(404, "not_found");
    }
    let listed = all_of(&admin, &format!("{USERS}?limit=100")).await;
    assert!(!texts(&listed, "id").contains(&ada.id));
    let found = admin.get(search).await.expect(200).json();
    assert_eq!(found["items"], json!([]));

    // Her names are anybody's, before anything else is erased.
    let account = json!({
        "email": ada.email, "password": PASSWORD, "username": "Ada-the-First",
    });
    let other = stage.anon().post(REGISTER, account).await.expect(201);
    assert_ne!(other.text("id"), ada.id);
    work(stage).await;
    let same = stage.anon().log_in("ada-the-first", PASSWORD).await;
    assert_eq!(same.id, other.text("id"));
    let found = admin.get(search).await.expect(200).json();
    let found = texts(found["items"].as_array().unwrap(), "id");
    assert_eq!(found, [other.text("id")]);
}

#[tokio::test]
async fn a_link_does_not_bring_a_deleted_user_back() {
    let post = Post::new().await;
    let ada = post.stage.user().await;
    let verification = post.token(VERIFICATION).await;
    let forgot = json!({"email": ada.email});
    post.stage.anon().post(FORGOT, forgot).await.expect(202);
    let reset = post.token("Set a new password").await;
    delete(&ada, ME).await.expect(204);
    for _ in 0..2 {
        let verified = verify(&post.stage, &verification).await;
        verified.expect_problem(400, "invalid_token");
        let change = json!({"token": reset, "new_password": PASSWORD});
        let changed = post.stage.anon().post(RESET, change).await;
        changed.expect_problem(400, "invalid_token");
        // And again when the profile is gone.
        work(&post.stage).await;
    }
    log_in(&post.stage, &ada.email, PASSWORD).await.expect(401);
}

/// Somebody with much to erase, and whatever of it could be left: in lower case.
async fn zebediah(stage: &Stage) -> (Actor<'_>, [&'static str; 7]) {
    let account = json!({
        "email": "zebediah@quibble.example", "password": PASSWORD, "username": "Zebediah_Q",
        "first_name": "Zebediah", "last_name": "Quibble", "phone": "+4915112345678",
    });
    let anon = stage.anon().with_header("user-agent", "Wombat/7");
    anon.post(REGISTER, account).await.expect(201);
    let email = "zebediah@quibble.example";
    let phone = anon.clone().log_in(email, PASSWORD).await;
    phone.get(ME).await.expect(200);
    let actor = anon.log_in(email, PASSWORD).await;
    for change in [
        json!({"website": "marmoset.example", "desired_name": "Zeb"}),
        json!({"last_name": "Okapi"}),
        json!({"email": "okapi@example.com"}),
    ] {
        actor.patch(ME, change).await.expect(200);
    }
    let preferences = json!({"pet": "quokka"});
    actor.put(PREFERENCES, preferences).await.expect(200);
    work(stage).await;
    let texts = [
        "zebediah",
        "quibble",
        "+4915112345678",
        "wombat",
        "marmoset",
        "okapi",
        "quokka",
    ];
    let items = stage.all_items().await.join("\n").to_lowercase();
    for text in texts {
        assert!(items.contains(text), "{text} was never there");
    }
    assert!(items.contains("suffix#"), "no row of the search");
    (actor, texts)
}

/// Asserts that nothing is left of a user but a trail of so many entries which tells nothing of them.
async fn is_erased(stage: &Stage, id: &str, texts: &[&str], entries: usize) {
    let mut past = 0;
    for item in stage.all_items().await {
        let lower = item.to_lowercase();
        for text in texts {
            assert!(!lower.contains(text), "{text} is left: {item}");
        }
        if item.contains(&format!("\"USER#{id}\"")) {
            assert!(item.contains("\"PAST#"), "{item}");
            assert!(!item.contains("\"changes\""), "{item}");
            assert!(item.contains("\"ip\": S(\"\")"), "{item}");
            past += 1;
        } else if item.contains(id) {
            // Limits are counted by the id, for minutes.
            assert!(item.contains("\"RATE#"), "{item}");
        }
    }
    assert_eq!(past, entries, "entries of the trail");
}

/// How many entries a user's trail has.
async fn entries_of(stage: &Stage, id: &str) -> usize {
    let items = stage.all_items().await.into_iter();
    let past = items.filter(|item| item.contains(&format!("\"USER#{id}\"")));
    past.filter(|item| item.contains("\"PAST#")).count()
}

#[tokio::test]
async fn nothing_is_left_of_a_deleted_user_but_an_empty_trail() {
    let stage = Stage::new().await;
    let bob = stage.user().await;
    let (user, texts) = zebediah(&stage).await;
    delete(&user, ME).await.expect(204);
    let entries = entries_of(&stage, &user.id).await;
    assert!(entries >= 8, "{entries}");
    work(&stage).await;
    is_erased(&stage, &user.id, &texts, entries).await;

    // A second time changes nothing, nor does one that was written by mistake.
    for id in [&user.id, &bob.id] {
        let user_id = id.parse().unwrap();
        let task = NewTask::new(Task::EraseUser { user_id });
        stage.app.store.add_task(&task).await.unwrap();
        assert_eq!(stage.work().await, (1, 0));
    }
    is_erased(&stage, &user.id, &texts, entries).await;
    bob.get(ME).await.expect(200);
    log_in(&stage, &bob.email, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn no_link_that_is_on_its_way_keeps_the_address_of_a_deleted_user() {
    let post = Post::new().await;
    let (user, texts) = zebediah(&post.stage).await;
    let forgot = json!({"email": "zebediah@quibble.example"});
    post.stage.anon().post(FORGOT, forgot).await.expect(202);
    work(&post.stage).await;
    delete(&user, ME).await.expect(204);
    work(&post.stage).await;
    for item in post.stage.all_items().await {
        let lower = item.to_lowercase();
        for text in texts {
            assert!(!lower.contains(text), "{text} is left: {item}");
        }
    }
}

#[tokio::test]
async fn a_worker_may_die_at_any_of_its_calls_while_it_erases() {
    for number in 0.. {
        let stage = Stage::new().await;
        let (user, texts) = zebediah(&stage).await;
        delete(&user, ME).await.expect(204);
        let entries = entries_of(&stage, &user.id).await;

        let mut batch = SqsEvent::default();
        batch.records = stage.receive().await;
        assert!(!batch.records.is_empty());
        let faults = Faults::new(Schedule::Call(number, Fault::DiesAfter));
        let worker = Worker::new(faults.instance(&stage.app)).unwrap();
        faults.survive(worker::handle(worker, batch)).await;
        settle(&stage).await;
        is_erased(&stage, &user.id, &texts, entries).await;
        let calls = faults.take_calls();
        if calls.iter().all(|(_, fault)| *fault == Fault::None) {
            assert!(number >= 8, "{calls:?}");
            break;
        }
    }
}

#[tokio::test]
async fn a_change_at_the_same_time_keeps_no_name_of_a_deleted_user() {
    let stage = Stage::new().await;
    for round in 0..5 {
        let ada = stage.user().await;
        let name = format!("racer{round}");
        let change = json!({"username": name, "desired_name": "Racer"});
        let (deleted, changed) = join(delete(&ada, ME), ada.patch(ME, change)).await;
        assert!(
            matches!(changed.status.as_u16(), 200 | 401 | 404 | 409),
            "{changed:?}"
        );
        if deleted.status != 204 {
            deleted.expect_problem(409, "stale");
            delete(&ada, ME).await.expect(204);
        }
        work(&stage).await;
        let left = stage.all_items().await;
        let left = left.iter().filter(|item| item.contains(&name));
        assert_eq!(left.count(), 0);
        let account = json!({"email": ada.email, "password": PASSWORD, "username": name});
        stage.anon().post(REGISTER, account).await.expect(201);
        work(&stage).await;
    }
}

#[tokio::test]
async fn the_last_administrator_cannot_go() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    delete(&admin, ME).await.expect_problem(409, "last_admin");
    admin.get(ME).await.expect(200);
    let other = staff(&stage, &admin, "admin").await;
    delete(&admin, ME).await.expect(204);
    admin.get(ME).await.expect_problem(401, "invalid_token");
    delete(&other, ME).await.expect_problem(409, "last_admin");
    other.get(USERS).await.expect(200);
}

#[tokio::test]
async fn rows_that_another_task_had_in_hand_are_erased_later() {
    let stage = Stage::new().await;
    let (user, texts) = zebediah(&stage).await;
    // Somebody takes the record of the rows and dies.
    let faults = Faults::new(Schedule::Call(0, Fault::DiesAfter));
    let dying = faults.instance(&stage.app);
    let (id, task) = (user.id.parse().unwrap(), Uuid::now_v7());
    let index = dying.store.index::<User>(id, task, true);
    assert!(faults.survive(index).await.is_none());

    delete(&user, ME).await.expect(204);
    let entries = entries_of(&stage, &user.id).await;
    work(&stage).await;
    let waits = stage.app.store.user(id).await.unwrap();
    assert!(waits.is_some_and(|user| user.is_deleted()));
    settle(&stage).await;
    is_erased(&stage, &user.id, &texts, entries).await;
}

#[tokio::test]
async fn a_mail_that_could_not_be_sent_to_a_stranger_is_forgotten_in_a_week() {
    // A file stands where the folder for mails should be.
    let mails = MailFolder::new();
    std::fs::write(mails.path(), "").unwrap();
    let stage = Stage::with(&[("MAIL_URL", &mails.url())]).await;
    let forgot = json!({"email": "stranger@example.com"});
    stage.user().await;
    let known = json!({"email": "user@example.com", "password": PASSWORD});
    stage.anon().post(REGISTER, known).await.expect(201);
    stage.anon().post(FORGOT, forgot).await.expect(202);
    let forgot = json!({"email": "user@example.com"});
    stage.anon().post(FORGOT, forgot).await.expect(202);
    for _ in 0..5 {
        stage.work().await;
        stage.later(60).await;
    }
    let items = stage.all_items().await;
    let failed = |kind: &str| {
        let kind = format!("S(\"{kind}\")");
        let of_kind = items.iter().filter(|item| item.contains(&kind));
        let failed: Vec<_> = of_kind
            .filter(|item| item.contains("S(\"failed\")"))
            .collect();
        failed
    };
    let [reset] = failed("password_reset_mail")[..] else {
        panic!("{items:#?}")
    };
    assert!(reset.contains("\"ttl\": N("), "{reset}");
    // What belongs to a user goes with the user.
    let welcome = failed("welcome_mail");
    assert!(!welcome.is_empty());
    assert!(welcome.iter().all(|task| !task.contains("\"ttl\"")));
}
