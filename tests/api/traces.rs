//! What belongs together can be found together: a request, its tasks, and their mails.

use serde_json::json;
use shared::store::tasks::StoredTask;
use tests::{MailFolder, PASSWORD, Stage};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

async fn tasks(stage: &Stage) -> Vec<StoredTask> {
    let mut tasks = Vec::new();
    for id in stage.task_ids().await {
        tasks.push(stage.app.store.task(id).await.unwrap().unwrap());
    }
    tasks
}

#[tokio::test]
async fn a_request_its_tasks_and_its_mails_have_one_trace() {
    let mails = MailFolder::new();
    let stage = Stage::with(&[("MAIL_URL", &mails.url())]).await;
    let account = json!({"email": "ada@example.com", "password": PASSWORD});
    let client = stage.anon().with_header("traceparent", PARENT);
    let answer = client
        .post("/api/v1/auth/register", account)
        .await
        .expect(201);
    let written = tasks(&stage).await;
    assert_eq!(written.len(), 3);
    for task in &written {
        let trace = task.trace.as_ref().unwrap();
        assert_eq!(trace.id, TRACE, "{}", task.kind);
        assert_eq!(
            trace.request.as_deref(),
            Some(answer.header("x-request-id"))
        );
    }
    stage.work().await;
    let sent = mails.ids();
    assert_eq!(sent.len(), 2);
    for task in &sent {
        let parent = mails.read(task).trace_parent;
        assert!(parent.starts_with(&format!("00-{TRACE}-")), "{parent}");
        assert_ne!(parent, PARENT);
    }
}

#[tokio::test]
async fn x_ray_is_told_what_belongs_together() {
    let stage = Stage::new().await;
    let account = json!({"email": "ada@example.com", "password": PASSWORD});
    let client = stage.anon().with_header("x-amzn-trace-id", XRAY);
    client
        .post("/api/v1/auth/register", account)
        .await
        .expect(201);
    for task in tasks(&stage).await {
        assert_eq!(task.trace.unwrap().id, "5759e988bd862e3fe1be46a994272793");
    }
}

#[tokio::test]
async fn what_a_task_causes_belongs_to_the_same_request() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let client = ada.clone().with_header("traceparent", PARENT);
    let before = stage.task_ids().await;
    client
        .send("DELETE", "/api/v1/users/me", None, b"")
        .await
        .expect(204);
    stage.work().await;
    let written = tasks(&stage).await;
    let later: Vec<_> = written
        .iter()
        .filter(|task| !before.contains(&task.id))
        .collect();
    assert!(!later.is_empty());
    for task in later {
        assert_eq!(task.trace.as_ref().unwrap().id, TRACE, "{}", task.kind);
    }
}
