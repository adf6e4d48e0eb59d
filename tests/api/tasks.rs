//! From a registration through the queue to the worker.

use serde_json::json;
use shared::tasks::Status;
use tests::{PASSWORD, Stage};

/// A sweep that takes this second for the one before which tasks must have been due.
async fn resend(stage: &Stage, due_before: i64) -> usize {
    let sent = stage.app.store.resend_due_tasks(due_before, 100).await;
    sent.unwrap()
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

    let [id] = stage.task_ids().await.try_into().unwrap();
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
    let [id] = stage.task_ids().await.try_into().unwrap();
    assert_eq!(status(&stage, id).await, Status::Succeeded);
}

#[tokio::test]
async fn a_claimed_task_is_not_run_by_another() {
    let stage = Stage::new().await;
    stage.user().await;
    let [id] = stage.task_ids().await.try_into().unwrap();
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

#[tokio::test]
async fn the_sweep_finds_a_task_whose_message_was_lost() {
    let stage = Stage::new().await;
    stage.user().await;
    let [id] = stage.task_ids().await.try_into().unwrap();
    assert_eq!(stage.lose_messages().await, 1);
    assert_eq!(stage.work().await, (0, 0));

    let now = shared::models::time::now().as_second();
    // What was due just now has its message on the way still.
    assert_eq!(resend(&stage, now - 60).await, 0);
    assert_eq!(resend(&stage, now + 1).await, 1);
    assert_eq!(stage.work().await, (1, 0));
    assert_eq!(status(&stage, id).await, Status::Succeeded);
    // What is finished is not sent again.
    assert_eq!(resend(&stage, now + 3_600).await, 0);
}

#[tokio::test]
async fn a_running_task_is_not_sent_again_before_its_queue_had_the_time_to() {
    let stage = Stage::new().await;
    stage.user().await;
    let [id] = stage.task_ids().await.try_into().unwrap();
    stage.app.store.claim_task(id).await.unwrap().unwrap();
    let now = shared::models::time::now().as_second();
    assert_eq!(resend(&stage, now + 419).await, 0);
    assert_eq!(resend(&stage, now + 422).await, 1);
}

#[tokio::test]
async fn a_task_that_fails_is_kept_for_its_next_turn() {
    // A file stands where the folder for mails should be.
    let file = std::env::temp_dir().join(format!("sheaf-no-folder-{}", uuid::Uuid::now_v7()));
    std::fs::write(&file, "").unwrap();
    let url = format!("file:{}", file.display());
    let stage = Stage::with(&[("MAIL_URL", &url)]).await;
    stage.user().await;
    let [id] = stage.task_ids().await.try_into().unwrap();
    assert_eq!(stage.work().await, (0, 1));
    assert_eq!(status(&stage, id).await, Status::Running);
    // The lease is held still: a second delivery does nothing.
    stage
        .post_message(&json!({"task_id": id}).to_string())
        .await;
    assert_eq!(stage.work().await, (1, 0));
    assert_eq!(stage.app.store.task(id).await.unwrap().unwrap().attempts, 1);
    std::fs::remove_file(file).unwrap();
}
