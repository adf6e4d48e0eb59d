//! The consumer of the task queue: one file per kind of task, and the sweep.
//!
//! A message names a task; the task itself is in the table. Each message of a batch succeeds or fails for
//! itself, and one that failed comes back after the queue's visibility time-out.

mod mail;
mod sweep;
mod user_created;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use shared::tasks::{Message, Schedule, Status, Task};
use shared::{App, Context, Result};
use uuid::Uuid;

/// A task that has failed so often is given up.
const MOST_ATTEMPTS: u32 = 5;

/// Works a batch off. Answers which messages have failed.
pub async fn handle(app: App, event: SqsEvent) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for message in event.records {
        if let Err(error) = receive(&app, &message).await {
            let id = message.message_id.unwrap_or_default();
            tracing::error!(message.id = %id, cause = ?error, "message {id} failed");
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            response.batch_item_failures.push(failure);
        }
    }
    response
}

async fn receive(app: &App, message: &SqsMessage) -> Result<()> {
    let body = message.body.as_deref().unwrap_or_default();
    match serde_json::from_str(body).context("read a message")? {
        Message::Task { task_id } => run(app, task_id).await,
        Message::Schedule {
            schedule: Schedule::Sweep,
        } => sweep::sweep(app).await,
    }
}

/// Runs a task that nobody else runs or has finished.
async fn run(app: &App, id: Uuid) -> Result<()> {
    let Some(claimed) = app.store.claim_task(id).await? else {
        tracing::info!(task.id = %id, "task {id} is finished, claimed, or unknown");
        return Ok(());
    };
    let done = match claimed.task {
        Task::UserCreated { user_id } => user_created::run(app, id, user_id).await,
    };
    if let Err(error) = done {
        // The message comes back after the queue's visibility time-out, and then the task runs again.
        if claimed.attempts >= MOST_ATTEMPTS || !error.retryable() {
            app.store.finish_task(id, Status::Failed).await?;
        }
        return Err(error);
    }
    app.store.finish_task(id, Status::Succeeded).await?;
    tracing::info!(task.id = %id, attempts = claimed.attempts, "task {id} succeeded");
    Ok(())
}
