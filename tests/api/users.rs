//! One's own profile.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::Stage;

const ME: &str = "/api/v1/users/me";

#[tokio::test]
async fn somebody_changes_their_profile() {
    let stage = Stage::new().await;
    let ada = stage.user().await;

    let change = json!({
        "username": "ada",
        "first_name": " Ada ",
        "last_name": "Lovelace",
        "phone": "020 7946-0000",
        "website": "example.com/ada",
    });
    let changed = ada.patch(ME, change).await.expect(200);
    let user = changed.json();
    assert_eq!(user["first_name"], "Ada");
    assert_eq!(user["full_name"], "Ada Lovelace");
    assert_eq!(user["phone"], "02079460000");
    assert_eq!(user["website"], "https://example.com/ada");
    assert_eq!(ada.get(ME).await.expect(200).json(), user);

    // Absent stays, null goes, and PUT is the same partial update.
    let change = json!({"phone": null, "desired_name": "Countess"});
    let user = ada.put(ME, change).await.expect(200).json();
    assert_eq!(user["phone"], Value::Null);
    assert_eq!(user["desired_name"], "Countess");
    assert_eq!(user["username"], "ada");
}

#[tokio::test]
async fn the_budget_of_the_own_profile() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    // Two small items, read consistently: one unit each.
    ada.get(ME)
        .await
        .expect(200)
        .expect_round_trips(1)
        .expect_units(2.0, 0.0);
    let change = json!({"first_name": "Ada"});
    ada.patch(ME, change.clone())
        .await
        .expect(200)
        .expect_round_trips(2);
    // What changes nothing writes nothing.
    ada.patch(ME, change)
        .await
        .expect(200)
        .expect_round_trips(1);
}

#[tokio::test]
async fn a_changed_user_name_frees_the_old_one() {
    let stage = Stage::new().await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    ada.patch(ME, json!({"username": "ada"})).await.expect(200);
    bob.patch(ME, json!({"username": "ADA"}))
        .await
        .expect_problem(409, "username_taken");
    // Another case of the own name is not taken.
    ada.patch(ME, json!({"username": "Ada"})).await.expect(200);
    ada.patch(ME, json!({"username": "countess"}))
        .await
        .expect(200);
    bob.patch(ME, json!({"username": "ADA"})).await.expect(200);
    bob.patch(ME, json!({"username": null})).await.expect(200);
    ada.patch(ME, json!({"username": "ada"})).await.expect(200);
}

#[tokio::test]
async fn etags_save_a_transfer_and_a_lost_update() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let first = ada.get(ME).await.expect(200);
    let tag = first.header("etag").to_owned();
    assert_eq!(first.header("cache-control"), "private, no-cache");

    let unchanged = ada
        .clone()
        .with_header("if-none-match", &tag)
        .get(ME)
        .await
        .expect(304);
    assert!(unchanged.body.is_empty());
    assert_eq!(unchanged.header("etag"), tag);

    let careful = ada.clone().with_header("if-match", &tag);
    let changed = careful
        .patch(ME, json!({"first_name": "Ada"}))
        .await
        .expect(200);
    assert_ne!(changed.header("etag"), tag);
    let stale = careful.patch(ME, json!({"first_name": "Eve"})).await;
    stale.expect_problem(412, "precondition_failed");
    assert_eq!(ada.get(ME).await.json()["first_name"], "Ada");
    ada.with_header("if-none-match", &tag)
        .get(ME)
        .await
        .expect(200);
}

#[tokio::test]
async fn of_many_who_change_a_profile_at_once_none_is_lost_unseen() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let start: u64 = version(&ada.get(ME).await);
    let changes = (0..20).map(|n| ada.patch(ME, json!({"first_name": format!("Ada {n}")})));
    let answers = join_all(changes).await;
    let done = answers.iter().filter(|answer| answer.status == 200).count() as u64;
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        answer.expect_problem(409, "stale");
    }
    assert!(done >= 1);
    assert_eq!(version(&ada.get(ME).await), start + done);
}

fn version(answer: &tests::Answer) -> u64 {
    answer.header("etag").trim_matches('"').parse().unwrap()
}

#[tokio::test]
async fn a_profile_change_keeps_the_rules() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let change = json!({
        "email": "no", "username": "a b", "phone": "1", "website": "javascript:alert(1)",
        "first_name": "", "role": "admin", "is_active": false,
    });
    let answer = ada
        .patch(ME, change)
        .await
        .expect_problem(422, "validation_failed");
    let fields: std::collections::HashSet<_> = answer
        .wrong_fields()
        .into_iter()
        .map(|(field, _)| field)
        .collect();
    let expected = [
        "email",
        "username",
        "phone",
        "website",
        "first_name",
        "role",
        "is_active",
    ];
    assert_eq!(fields, expected.map(str::to_owned).into());
}
