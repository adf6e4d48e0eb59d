//! The consumer of the task queue: one file per kind of task, and the sweep.
//!
//! A message names a task; the task itself is in the table. The messages of a batch run at the same time, and each
//! succeeds or fails for itself: one that is to be delivered again is answered as failed, and hidden for as long as it
//! shall stay away. A task of which a worker may have died runs after the others and alone, so that it takes no
//! neighbour with it again.

mod attempt;
mod sweep;

mod cancel_payment;
mod check_file;
mod complete_upload;
mod delete_file;
mod email_change_asked_mail;
mod email_changed_mail;
mod erase_user;
mod index_item;
mod index_user;
mod invitation_mail;
mod login_linked_mail;
mod make_variants;
mod order_confirmation_mail;
mod password_reset_mail;
mod process_image;
mod process_order;
mod refund_payment;
mod reindex;
mod verification_mail;
mod welcome_mail;

mod again;
mod links;
pub mod mail;

use std::time::{Duration, Instant};

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::future::join_all;
use jiff::SignedDuration;
use serde_json::Value;
use shared::lambda::StartError;
use shared::store::tasks::{NewTask, StoredTask, following};
use shared::tasks::{Message, ObjectRecord, Schedule, Task, Trial};
use shared::{App, Result, bucket};

use mail::Mailer;

/// The state of an instance.
#[derive(Clone)]
pub struct Worker {
    app: App,
    mailer: Mailer,
}

impl Worker {
    pub fn new(app: App) -> Result<Self, StartError> {
        let mailer = Mailer::new(&app)?;
        Ok(Self { app, mailer })
    }
}

/// How long after the start of a batch its last task may begin: with the longest task it stays within the function's
/// time-out in `template.yaml`.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long after the first object no more of an upload can come, in seconds: longer than its form is good for.
const FORM_IS_OVER: i64 = 16 * 60;

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It has done its work, or there is none.
    Deleted,
    /// It comes back after so many seconds; too often, and the queue moves it to the dead letters.
    Returned(i64),
    /// It comes back after the queue's visibility time-out.
    Left,
}

/// Works a batch off. Answers which messages are to come back.
pub async fn handle(worker: Worker, event: SqsEvent) -> SqsBatchResponse {
    let begun = Instant::now();
    let (suspects, others): (Vec<_>, Vec<_>) = event.records.into_iter().partition(came_before);
    let mut fates = join_all(others.iter().map(|message| receive(&worker, message))).await;
    for message in &suspects {
        // What is not begun in time is not lost: it comes back after the queue's visibility time-out.
        fates.push(match begun.elapsed() < PATIENCE {
            true => receive(&worker, message).await,
            false => Fate::Left,
        });
    }
    let mut response = SqsBatchResponse::default();
    for (message, fate) in others.into_iter().chain(suspects).zip(fates) {
        if fate != Fate::Deleted {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = message.message_id.unwrap_or_default();
            response.batch_item_failures.push(failure);
        }
    }
    response
}

/// Whether the queue has delivered this message before, or the sweep has sent its task again.
fn came_before(message: &SqsMessage) -> bool {
    let received = message.attributes.get("ApproximateReceiveCount");
    let resent = matches!(read(message), Ok(Message::Task { resent: true, .. }));
    resent || received.is_some_and(|count| count != "1")
}

fn read(message: &SqsMessage) -> serde_json::Result<Message> {
    serde_json::from_str(message.body.as_deref().unwrap_or_default())
}

async fn receive(worker: &Worker, message: &SqsMessage) -> Fate {
    let fate = match read(message) {
        Ok(Message::Task { task_id, .. }) => attempt::run(worker, task_id).await,
        Ok(Message::Schedule {
            schedule: Schedule::Sweep,
        }) => {
            sweep::run(&worker.app).await;
            Fate::Deleted
        }
        Ok(Message::Objects { records }) => look_at(worker, &records).await,
        Ok(Message::Trial { event: Trial::S3 }) => Fate::Deleted,
        Err(_) => {
            let id = message.message_id.as_deref().unwrap_or_default();
            tracing::error!(message.id = id, "message {id} cannot be read");
            Fate::Returned(0)
        }
    };
    if let (Fate::Returned(seconds), Some(handle)) = (&fate, &message.receipt_handle)
        && let Err(error) = worker.app.store.queue().postpone(handle, *seconds).await
    {
        // It comes back later than it might, or the sweep is faster.
        tracing::warn!(cause = ?error, "a message could not be hidden");
    }
    fate
}

/// Lets a task look at what has come into the bucket, and another one later at what may have come after that. No more than
/// these: whoever has a form may send it as often as they like.
async fn look_at(worker: &Worker, records: &[ObjectRecord]) -> Fate {
    let pending = records.iter().map(|record| &record.s3.object.key);
    for file_id in pending.filter_map(|key| bucket::keys::pending_id(key)) {
        let task = NewTask::new(Task::CompleteUpload { file_id });
        let later = worker.app.clock.now() + SignedDuration::from_secs(FORM_IS_OVER);
        let first = following(file_id);
        for task in [
            task.clone().with_id(first),
            task.with_id(following(first)).not_before(later),
        ] {
            let written = worker.app.store.add_task_once(&task).await;
            if let Err(error) = written {
                tracing::error!(file.id = %file_id, cause = ?error, "file {file_id} waits to be looked at");
                return Fate::Left;
            }
        }
    }
    Fate::Deleted
}

/// Does what a task says. Answers what came of it, which is kept with the task.
///
/// Whatever is done here may be done again, after an attempt that died before it could say that it was done.
async fn execute(worker: &Worker, stored: &StoredTask) -> Result<Value> {
    let id = stored.id;
    match stored.task()? {
        Task::VerificationMail { user_id } => verification_mail::run(worker, id, user_id).await,
        Task::WelcomeMail { user_id } => welcome_mail::run(worker, id, user_id).await,
        Task::VerificationMailAgain { email } => {
            verification_mail::run_again(worker, id, &email).await
        }
        Task::PasswordResetMail { email } => password_reset_mail::run(worker, id, &email).await,
        Task::InvitationMail { user_id } => invitation_mail::run(worker, id, user_id).await,
        Task::EmailChangeAskedMail { user_id, new_email } => {
            email_change_asked_mail::run(worker, id, user_id, &new_email).await
        }
        Task::EmailChangedMail { user_id, old_email } => {
            email_changed_mail::run(worker, id, user_id, &old_email).await
        }
        Task::LoginLinkedMail { user_id, provider } => {
            login_linked_mail::run(worker, id, user_id, provider).await
        }
        Task::ProcessOrder { user_id, order_id } => {
            let done = process_order::run(&worker.app, id, user_id, order_id).await;
            again::unless_busy(&worker.app, id, stored.task()?, done).await
        }
        Task::OrderConfirmationMail { user_id, order_id } => {
            order_confirmation_mail::run(worker, id, user_id, order_id).await
        }
        Task::CancelPayment { user_id, order_id } => {
            let done = cancel_payment::run(&worker.app, id, user_id, order_id).await;
            again::unless_busy(&worker.app, id, stored.task()?, done).await
        }
        Task::RefundPayment { user_id, order_id } => {
            let done = refund_payment::run(&worker.app, id, user_id, order_id).await;
            again::unless_busy(&worker.app, id, stored.task()?, done).await
        }
        Task::CheckFile { file_id } => check_file::run(&worker.app, file_id).await,
        Task::CompleteUpload { file_id } => complete_upload::run(&worker.app, file_id).await,
        Task::MakeVariants { file_id } => make_variants::run(&worker.app, file_id).await,
        Task::ProcessImage { file_id, resize } => {
            process_image::run(&worker.app, file_id, &resize).await
        }
        Task::DeleteFile { file_id } => delete_file::run(&worker.app, file_id).await,
        Task::EraseUser { user_id } => erase_user::run(&worker.app, id, user_id).await,
        Task::IndexItem { item_id, tags } => index_item::run(&worker.app, id, item_id, &tags).await,
        Task::IndexUser { user_id } => index_user::run(&worker.app, id, user_id).await,
        Task::Reindex { what, after } => reindex::run(&worker.app, id, what, after).await,
    }
}
