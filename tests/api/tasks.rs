//! From a registration through the queue to the worker.

use serde_json::json;
use shared::tasks::Status;
use tests::{PASSWORD, Stage};

async fn task_ids(stage: &Stage) -> Vec<uuid::Uuid> {
    let items = stage.all_items().await;
    let ids = items.iter().filter_map(|item| {
        let start = item.find("S(\"TASK#")? + "S(\"TASK#".len();
        item[start..].split('"').next()?.parse().ok()
    });
    ids.collect()
}

async fn status(stage: &Stage, id: uuid::Uuid) -> Status {
    stage.app.store.task(id).await.unwrap().unwrap().status
}

#[tokio::test]
async fn a_registration_queues_a_task_and_the_worker_finishes_it() {
    let folder = std::env::temp_dir().join(format!("sheaf-mail-{}", uuid::Uuid::now_v7()));
    let url = format!("file:{}", folder.display());
    let stage = Stage::with(&[("MAIL_URL", &url)]).await;
    let account = json!({"email": "ada@example.com", "password": PASSWORD, "first_name": "Ada"});
    stage
        .anon()
        .post("/api/v1/auth/register", account)
        .await
        .expect(201);

    let [id] = task_ids(&stage).await.try_into().unwrap();
    assert_eq!(status(&stage, id).await, Status::Pending);
    assert_eq!(stage.work().await, (1, 0));
    assert_eq!(status(&stage, id).await, Status::Succeeded);

    let mails: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
    assert_eq!(mails.len(), 1);
    let mail = std::fs::read_to_string(folder.join(format!("{id}.eml"))).unwrap();
    assert!(mail.contains("To: ada@example.com"), "{mail}");
    assert!(mail.contains("Hello Ada,"), "{mail}");

    // The same message again does nothing.
    stage
        .post_message(&json!({"task_id": id}).to_string())
        .await;
    assert_eq!(stage.work().await, (1, 0));
    assert_eq!(stage.app.store.task(id).await.unwrap().unwrap().attempts, 1);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn an_unreadable_message_fails_alone() {
    let stage = Stage::new().await;
    stage.post_message("nonsense").await;
    stage.user().await;
    stage.post_message("{\"schedule\":\"sweep\"}").await;
    assert_eq!(stage.work().await, (2, 1));
    let [id] = task_ids(&stage).await.try_into().unwrap();
    assert_eq!(status(&stage, id).await, Status::Succeeded);
}

#[tokio::test]
async fn a_claimed_task_is_not_run_by_another() {
    let stage = Stage::new().await;
    stage.user().await;
    let [id] = task_ids(&stage).await.try_into().unwrap();
    let claims = futures_util::future::join_all((0..10).map(|_| stage.app.store.claim_task(id)));
    let claimed = claims
        .await
        .into_iter()
        .filter(|c| c.as_ref().unwrap().is_some())
        .count();
    assert_eq!(claimed, 1);
    assert_eq!(stage.work().await, (1, 0));
    assert_eq!(status(&stage, id).await, Status::Running);
}
