//! Tasks a second through one worker, with few and with many in the queue.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use local::pump;
use serde_json::Value;
use shared::store::meter;
use shared::store::tasks::NewTask;
use shared::tasks::Task;
use tests::{Instance, MailFolder, Stage};
use tokio::sync::Mutex;

use crate::{cpu, memory};

/// The task is a mail into a folder: its own part is one round trip, and a file.
pub(crate) async fn measure(binary: &Path) {
    if !binary.exists() {
        return;
    }
    println!();
    println!("queued  tasks/s  CPU us/task  memory MB  round trips/task beside its own");
    for queued in [10, 1_000, 10_000] {
        let mails = MailFolder::new();
        let stage = Stage::with(&[("MAIL_URL", &mails.url())]).await;
        fill(&stage, queued).await;
        let mut worker = Instance::start(&stage, "worker", binary).await;
        worker.ready().await;
        let source = stage.source().await;
        let before = cpu(&worker);
        let worker = Mutex::new(worker);
        let invoke = async |event: Value| Ok(worker.lock().await.invoke(&event).await);

        let started = Instant::now();
        let mut done = 0;
        while done < queued {
            let batch = pump::deliver(stage.sqs(), &source, 0, &invoke).await;
            let batch = batch.unwrap();
            assert_eq!((batch.failed, batch.error), (0, None));
            done += batch.received;
        }
        let spent = started.elapsed();
        let worker = worker.into_inner();
        let cpu = (cpu(&worker) - before).as_secs_f64() * 1e6;
        assert_eq!(mails.ids().len(), queued);

        // The same again in this process, where calls can be counted.
        fill(&stage, queued).await;
        let usage = Arc::default();
        let worked = meter::metered(Arc::clone(&usage), stage.work()).await;
        assert_eq!(worked, (queued, 0));
        println!(
            "{queued:6} {:8.0} {:12.0} {:10.1} {:8.2}",
            queued as f64 / spent.as_secs_f64(),
            cpu / queued as f64,
            memory(&worker),
            f64::from(usage.round_trips()) / queued as f64 - 1.0,
        );
    }
}

async fn fill(stage: &Stage, count: usize) {
    let user = stage.user().await;
    stage.lose_messages().await;
    let user_id = user.id.parse().unwrap();
    for from in (0..count).step_by(100) {
        let adds = (from..count.min(from + 100)).map(async |_| {
            let task = NewTask::new(Task::WelcomeMail { user_id });
            stage.app.store.add_task(&task).await.unwrap();
        });
        join_all(adds).await;
    }
}
