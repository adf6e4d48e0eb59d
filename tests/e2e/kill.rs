//! `kill -9` of the real worker, in the middle of its work.

use std::time::{Duration, Instant};

use local::pump;
use serde_json::{Value, json};
use shared::store::tasks::{LEASE, NewTask, StoredTask};
use shared::tasks::{Status, Task};
use tests::{Instance, MailFolder, Stage};
use tokio::sync::Mutex;

use crate::bundle::{Bundle, root};

/// Workers that are killed, and the tasks that each of them is given.
const WORKERS: usize = 30;
const TASKS: usize = 10;

/// The binary is that which `cargo dev` has built for the stories before.
pub(crate) fn a_killed_worker_loses_nothing(_: &Bundle) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(story());
}

async fn story() {
    let mails = MailFolder::new();
    let stage = Stage::with(&[("MAIL_URL", &mails.url())]).await;
    let user = stage.user().await;
    stage.work().await;
    mails.clear();
    let user_id = user.id.parse().unwrap();
    let mut ids = Vec::new();
    for number in 0..WORKERS {
        for _ in 0..TASKS {
            let task = NewTask::new(Task::WelcomeMail { user_id });
            stage.app.store.add_task(&task).await.unwrap();
            ids.push(task.id);
        }
        // Each of them gets a little further than the one before.
        kill_at_work(&stage, Duration::from_millis(number as u64)).await;
    }
    let killed = Instant::now();
    let tasks = read(&stage, &ids).await;
    let in_state = |status| tasks.iter().filter(|task| task.status == status).count();
    println!(
        "when the last one was killed: {} pending, {} running, {} succeeded",
        in_state(Status::Pending),
        in_state(Status::Running),
        in_state(Status::Succeeded),
    );
    assert!(in_state(Status::Running) > 0, "nobody was killed at work");

    let worker = Mutex::new(worker(&stage).await);
    let invoke = async |event: Value| Ok(worker.lock().await.invoke(&event).await);
    let source = stage.source().await;
    let done = loop {
        stage.post_message("{\"schedule\":\"sweep\"}").await;
        while pump::deliver(stage.sqs(), &source, 0, &invoke)
            .await
            .unwrap()
            .received
            > 0
        {}
        let tasks = read(&stage, &ids).await;
        if tasks.iter().all(|task| task.status == Status::Succeeded) {
            break tasks;
        }
        let waited = killed.elapsed();
        let most = Duration::from_secs(2 * LEASE as u64);
        assert!(waited < most, "after {waited:?}: {tasks:?}");
        tokio::time::sleep(Duration::from_secs(2)).await;
    };
    println!("all was done {:.0} s later", killed.elapsed().as_secs_f64());
    let again = done.iter().filter(|task| task.attempts > 1).count();
    println!("{again} tasks were run again");
    assert!(again > 0);
    // Each mail once: a folder keeps one a task.
    assert_eq!(mails.ids(), ids.iter().map(ToString::to_string).collect());
}

/// Gives a new worker a batch, and kills it so long after.
async fn kill_at_work(stage: &Stage, after: Duration) {
    let mut worker = worker(stage).await;
    let records: Vec<_> = stage.receive().await;
    assert_eq!(records.len(), TASKS);
    let event = json!({ "Records": records });
    // Dropping the call changes nothing for the worker, which has it.
    let _ = tokio::time::timeout(after, worker.invoke(&event)).await;
    worker.kill();
}

async fn worker(stage: &Stage) -> Instance {
    let binary = root().join("target/debug/worker");
    let mut worker = Instance::start(stage, "worker", &binary).await;
    worker.ready().await;
    worker
}

async fn read(stage: &Stage, ids: &[uuid::Uuid]) -> Vec<StoredTask> {
    let mut tasks = Vec::new();
    for id in ids {
        tasks.push(stage.app.store.task(*id).await.unwrap().unwrap());
    }
    tasks
}
