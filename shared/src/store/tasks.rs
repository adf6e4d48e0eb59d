//! Tasks: written in a transaction, claimed by a conditional update with a lease, finished by another.
//!
//! Every task that is unfinished or failed is in the sparse index `tasks`: an unfinished one in one of the `DUE#`
//! partitions, sorted by when the sweep shall look at it next; a failed one in `FAILED`, sorted by when it failed.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::{Uuid, Variant, Version};

use super::change::{Change, Updated, number, stored, text};
use super::listing::{Listing, Sort};
use super::{Item, Store, Table, Transaction, failed, from_entry, from_item, keys};
use crate::error::{Context, Error, Result};
use crate::ids;
use crate::metrics::Count;
use crate::models::audit::AuditEntry;
use crate::models::page::{Page, Slice};
use crate::tasks::{BATCH, MOST_DELAY, Outgoing, Status, Task};
use crate::trace::Trace;

/// How long a worker may hold a task before another may take it over, in seconds.
pub const LEASE: i64 = 60;

/// How long a message may take to reach a worker before the sweep sends it again, in seconds. With the minute between
/// two sweeps it stays within two leases.
pub const GRACE: i64 = 45;

/// How long a task that needs nobody's attention any more stays readable, in seconds.
const KEPT: i64 = 7 * 24 * 3_600;

/// A task on its way into a transaction.
#[derive(Clone, Debug)]
pub struct NewTask {
    pub id: Uuid,
    task: Task,
    owner: Option<Uuid>,
    not_before: Option<Timestamp>,
}

/// A task as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredTask {
    pub id: Uuid,
    pub kind: String,
    /// Only the worker looks into it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub payload: Value,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Uuid>,
    pub created_at: Timestamp,
    /// Whence it comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// How often a worker has claimed it, since it was written or retried by hand.
    pub attempts: u32,
    /// Percent, as far as the task tells.
    pub progress: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why its last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// Not to be run before, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<i64>,
    /// Counts the changes.
    pub version: u64,
    /// Which claim holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<Uuid>,
    /// In seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease_until: Option<i64>,
    /// The partition of the index `tasks`, if it is in there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task_list: Option<String>,
    /// In seconds since the epoch: when the sweep shall look at it next, or when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task_time: Option<i64>,
    /// The partition of the index `owned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owned_by: Option<String>,
    /// When DynamoDB may drop it, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<i64>,
}

/// Why an attempt failed. The `cause` is for administrators only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskError {
    pub code: String,
    pub message: String,
    pub cause: String,
}

/// What came of an attempt to claim a task.
#[derive(Debug)]
pub enum Claim {
    /// It is ours to run until the lease ends.
    Ours(Box<StoredTask>),
    /// It waits for its time, or is in the hands of another, and may be claimed after so many seconds.
    Later(i64),
    /// It is done, cancelled, or gone: there is nothing to do.
    Nothing,
    /// It was given up.
    Failed,
}

/// How an attempt ends.
#[derive(Debug)]
pub enum Ending {
    Succeeded(Value),
    Failed(TaskError),
    /// It failed and may be run again after so many seconds.
    Again(TaskError, i64),
}

impl Ending {
    fn status(&self) -> Status {
        match self {
            Self::Succeeded(_) => Status::Succeeded,
            Self::Failed(_) => Status::Failed,
            Self::Again(..) => Status::Pending,
        }
    }
}

/// What a sweep has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many tasks were sent again.
    pub sent: usize,
    /// How long the oldest task that it has seen could have run already, in seconds.
    pub oldest: u64,
}

impl NewTask {
    /// A task that is due at once and belongs to nobody.
    pub fn new(task: Task) -> Self {
        Self {
            id: ids::new(),
            task,
            owner: None,
            not_before: None,
        }
    }

    /// With an id that comes again when the same task does. For [`Store::add_task_once`].
    pub fn with_id(mut self, id: Uuid) -> Self {
        self.id = id;
        self
    }

    /// Whose task it is: who may look at it.
    pub fn owned_by(mut self, user: Uuid) -> Self {
        self.owner = Some(user);
        self
    }

    /// Not to be run before; the fraction of a second is rounded up.
    pub fn not_before(mut self, at: Timestamp) -> Self {
        self.not_before = Some(at);
        self
    }

    fn stored(&self, created_at: Timestamp) -> Result<StoredTask> {
        let now = created_at.as_second();
        let mut task = serde_json::to_value(&self.task).context("write a task")?;
        let kind = task["kind"].as_str().context("write a task's kind")?;
        let not_before = self.not_before.map(seconds_rounded_up);
        let not_before = not_before.filter(|not_before| *not_before > now);
        Ok(StoredTask {
            id: self.id,
            kind: kind.to_owned(),
            payload: task["payload"].take(),
            status: Status::Pending,
            owner: self.owner,
            created_at,
            trace: Trace::current(),
            attempts: 0,
            progress: 0,
            started_at: None,
            finished_at: None,
            result: None,
            error: None,
            not_before,
            version: 1,
            lease: None,
            lease_until: None,
            task_list: Some(keys::due_tasks(self.id)),
            task_time: Some(next_look(not_before, now)),
            owned_by: self.owner.map(keys::tasks_of),
            ttl: None,
        })
    }
}

/// The id of the task that follows this one: the same however often this one is run. Of version 8 (RFC 9562), because
/// it comes from a hash and tells no time.
pub fn following(task: Uuid) -> Uuid {
    let hash = digest(&SHA256, task.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    uuid::Builder::from_bytes(bytes)
        .with_version(Version::Custom)
        .with_variant(Variant::RFC4122)
        .into_uuid()
}

fn seconds_rounded_up(at: Timestamp) -> i64 {
    at.as_second() + i64::from(at.subsec_nanosecond() > 0)
}

/// When the sweep shall look at a task next whose message is being sent now. What SQS cannot hold back for so long is
/// not sent yet, and is looked at once it can.
fn next_look(not_before: Option<i64>, now: i64) -> i64 {
    let due = not_before.unwrap_or(now).max(now);
    match due - now > MOST_DELAY {
        true => due - MOST_DELAY,
        false => due + GRACE,
    }
}

/// What to send for a task now, if that is possible already.
fn outgoing(task_id: Uuid, not_before: Option<i64>, now: i64) -> Option<Outgoing> {
    let delay = not_before.map_or(0, |not_before| (not_before - now).max(0));
    (delay <= MOST_DELAY).then_some(Outgoing {
        task_id,
        delay,
        resent: false,
    })
}

impl StoredTask {
    /// What is to be done. Fails for a kind that this build does not know.
    pub fn task(&self) -> Result<Task> {
        let written = serde_json::json!({"kind": self.kind, "payload": self.payload});
        serde_json::from_value(written).context("read a task's payload")
    }
}

impl Transaction<'_> {
    /// Writes a background task, which is its own outbox: sent after the commit, and again by the sweep
    /// if that is lost.
    pub fn task(self, task: &NewTask) -> Self {
        let now = self.store.clock.now();
        match task.stored(now) {
            Ok(stored) => {
                let out = outgoing(stored.id, stored.not_before, now.as_second());
                self.create(Table::App, &keys::task(task.id), &stored)
                    .queued()
                    .announce(out)
            }
            Err(error) => self.broken(error),
        }
    }
}

impl Store {
    /// Writes a task that no other change goes with.
    pub async fn add_task(&self, task: &NewTask) -> Result<()> {
        self.transaction().task(task).commit().await
    }

    /// The same, but nothing if there is a task of this id: whoever wrote it has come this far before.
    pub async fn add_task_once(&self, task: &NewTask) -> Result<()> {
        let transaction = self.transaction().task(task).on_conflict(Error::Stale);
        match transaction.commit().await {
            Err(Error::Stale) => Ok(()),
            done => done,
        }
    }

    pub async fn task(&self, id: Uuid) -> Result<Option<StoredTask>> {
        let item = self.get(Table::App, &keys::task(id)).await?;
        item.map(from_item).transpose()
    }

    /// Takes a task to run it.
    pub async fn claim_task(&self, id: Uuid) -> Result<Claim> {
        let now = self.clock.seconds();
        let lease = ids::new();
        let running = stored(&self.clock.now())?;
        let change = Change::new()
            .set("status", status(Status::Running))
            .set("lease", text(&lease.to_string()))
            .set("lease_until", number(now + LEASE))
            // Most tasks take far less than half of their lease.
            .set("task_time", number(now + LEASE / 2))
            .set("started_at", running)
            .add("attempts", 1)
            .add("version", 1)
            .if_one_of(
                "status",
                &[status(Status::Pending), status(Status::Running)],
            )
            .if_at_most("lease_until", now)
            .if_at_most("not_before", now);
        let key = keys::task(id);
        let claimed = self.update(&key, change, ReturnValue::AllNew, "claim a task");
        let refused: StoredTask = match claimed.await? {
            Updated::Done(item) => return Ok(Claim::Ours(Box::new(from_item(item)?))),
            Updated::Refused(None) => return Ok(Claim::Nothing),
            Updated::Refused(Some(item)) => from_item(item)?,
        };
        Ok(match refused.status {
            // The answer to our first try was lost, and the client has tried again.
            Status::Running if refused.lease == Some(lease) => Claim::Ours(Box::new(refused)),
            Status::Running | Status::Pending => {
                let free = refused.lease_until.max(refused.not_before);
                Claim::Later((free.unwrap_or(now) - now).max(1))
            }
            Status::Failed => Claim::Failed,
            Status::Succeeded | Status::Cancelled => Claim::Nothing,
        })
    }

    /// Ends the attempt that this claim has begun. Answers `false` if the lease was lost meanwhile: then another holds
    /// the task, and what it says counts.
    pub async fn end_task(&self, claimed: &StoredTask, ending: &Ending) -> Result<bool> {
        let now = self.clock.seconds();
        let at = stored(&self.clock.now())?;
        let mut change = of_claim(claimed)?
            .add("version", 1)
            .remove("lease")
            .remove("lease_until");
        change = change.set("status", status(ending.status()));
        change = match ending {
            Ending::Succeeded(result) => change
                .set("result", stored(result)?)
                .set("progress", number(100))
                .set("finished_at", at)
                .set("ttl", number(now + KEPT))
                // It may hold what is personal, and will not be needed again.
                .remove("payload")
                .remove("error")
                .remove("task_list")
                .remove("task_time"),
            Ending::Failed(error) => {
                let names_a_stranger = claimed.task().is_ok_and(|task| task.names_a_stranger());
                let change = match names_a_stranger {
                    true => change.set("ttl", number(now + KEPT)),
                    false => change,
                };
                change
                    .set("error", stored(error)?)
                    .set("finished_at", at)
                    .set("task_list", text(&keys::failed_tasks()))
                    .set("task_time", number(now))
            }
            Ending::Again(error, after) => change
                .set("error", stored(error)?)
                .set("not_before", number(now + after))
                .set("task_time", number(now + after + GRACE)),
        };
        let key = keys::task(claimed.id);
        let ended = self.update(&key, change, ReturnValue::None, "end a task");
        let found: StoredTask = match ended.await? {
            Updated::Done(_) => return Ok(true),
            Updated::Refused(None) => return Ok(false),
            Updated::Refused(Some(item)) => from_item(item)?,
        };
        // If the answer to our first try was lost, and the client has tried again, this is what we have written.
        let is_ours = found.attempts == claimed.attempts
            && found.lease.is_none()
            && found.status == ending.status();
        Ok(is_ours)
    }

    /// Notes how far a running task has come, in percent. Answers `false` if the lease was lost meanwhile.
    pub async fn note_progress(&self, claimed: &StoredTask, percent: u32) -> Result<bool> {
        let change = of_claim(claimed)?
            .add("version", 1)
            .set("progress", number(percent.min(100).into()));
        let key = keys::task(claimed.id);
        let noted = self.update(&key, change, ReturnValue::None, "note a task's progress");
        Ok(matches!(noted.await?, Updated::Done(_)))
    }

    /// Gives a failed or cancelled task all its attempts again, and answers it as it is then. If its time has not come
    /// yet, it waits for it.
    ///
    /// The audit entry goes to the trail of who has done it. 409 for any other task, and if the task has changed since
    /// it was read.
    pub async fn retry_task(&self, task: &StoredTask, audit: &AuditEntry) -> Result<StoredTask> {
        let now = self.clock.seconds();
        if !matches!(task.status, Status::Failed | Status::Cancelled) {
            let refusal = "Only a failed or cancelled task can be retried.";
            return Err(Error::IllegalTransition(refusal));
        }
        // From now on it is late, and not since it was made.
        let not_before = task.not_before.max(Some(now));
        let retried = StoredTask {
            status: Status::Pending,
            attempts: 0,
            progress: 0,
            error: None,
            finished_at: None,
            not_before,
            task_list: Some(keys::due_tasks(task.id)),
            task_time: Some(next_look(not_before, now)),
            ttl: None,
            version: task.version + 1,
            ..task.clone()
        };
        self.change_task(task, &retried, audit)?
            .announce(outgoing(task.id, not_before, now))
            .commit()
            .await?;
        Ok(retried)
    }

    /// Cancels a task that waits or was given up, or whose worker has gone, and answers it as it is then. Otherwise as
    /// [`Store::retry_task`].
    pub async fn cancel_task(&self, task: &StoredTask, audit: &AuditEntry) -> Result<StoredTask> {
        let now = self.clock.now();
        let held = task
            .lease_until
            .is_some_and(|until| until > now.as_second());
        let is_open = match task.status {
            Status::Pending | Status::Failed => true,
            Status::Running => !held,
            Status::Succeeded | Status::Cancelled => false,
        };
        if !is_open {
            let refusal = "A task that runs or is finished cannot be cancelled.";
            return Err(Error::IllegalTransition(refusal));
        }
        let cancelled = StoredTask {
            status: Status::Cancelled,
            finished_at: Some(now),
            lease: None,
            lease_until: None,
            task_list: None,
            task_time: None,
            ttl: Some(now.as_second() + KEPT),
            version: task.version + 1,
            ..task.clone()
        };
        self.change_task(task, &cancelled, audit)?.commit().await?;
        Ok(cancelled)
    }

    /// Changes a task by hand from `old`, as it was read, to `new`.
    fn change_task(
        &self,
        old: &StoredTask,
        new: &StoredTask,
        audit: &AuditEntry,
    ) -> Result<Transaction<'_>> {
        let change = Change::between(old, new)?;
        let read_version = AttributeValue::N(old.version.to_string());
        let change = change.if_equal("version", read_version);
        let transaction = self
            .transaction()
            .update(Table::App, &keys::task(old.id), change)
            .on_conflict(Error::Stale);
        Ok(match audit.actor {
            Some(actor) => transaction.audit(actor, audit),
            None => transaction,
        })
    }

    /// The tasks of a user, newest first.
    pub async fn tasks_of(&self, user: Uuid, slice: &Slice) -> Result<Page<StoredTask>> {
        let listing = Listing {
            index: Some("owned"),
            partition_key: "owned_by",
            partitions: vec![keys::tasks_of(user)],
            sort: Sort::Text("id"),
            between: None,
            newest_first: true,
        };
        self.list(&listing, slice).await
    }

    /// The tasks that were given up, the newest first.
    pub async fn failed_tasks(&self, slice: &Slice) -> Result<Page<StoredTask>> {
        let listing = Listing {
            index: Some("tasks"),
            partition_key: "task_list",
            partitions: vec![keys::failed_tasks()],
            sort: Sort::Number("task_time"),
            between: None,
            newest_first: true,
        };
        self.list(&listing, slice).await
    }

    /// Sends unfinished tasks to the queue again whose time to be looked at has come: at most `most`, and none any
    /// more once `patience` is over. Ends at the first batch that the queue does not take. Looks at the first task of
    /// each partition in any case, to tell its age.
    pub async fn resend_due_tasks(&self, most: usize, patience: Duration) -> Result<Swept> {
        let begun = std::time::Instant::now();
        let mut swept = Swept::default();
        // Another partition comes first each minute, so that none has to wait for the others for ever.
        let minute = usize::try_from(self.clock.seconds() / 60).unwrap_or_default();
        for list in keys::due_task_lists(minute) {
            let mut start = None;
            loop {
                let now = self.clock.seconds();
                let left = most.saturating_sub(swept.sent);
                let (due, next) = self
                    .due_tasks(&list, now, left.clamp(1, 100), start)
                    .await?;
                let ages = due.iter().map(|task| task.age(now));
                swept.oldest = swept.oldest.max(ages.max().unwrap_or_default());
                for batch in due.chunks(BATCH) {
                    if swept.sent < most && begun.elapsed() < patience {
                        swept.sent += self.resend(batch, now).await?;
                    }
                }
                start = next;
                if start.is_none() || swept.sent >= most || begun.elapsed() >= patience {
                    break;
                }
            }
        }
        Ok(swept)
    }

    /// Sends a batch, and then lets the sweep leave it alone. Answers how many were sent.
    async fn resend(&self, batch: &[DueTask], now: i64) -> Result<usize> {
        let messages = batch
            .iter()
            .filter_map(|task| outgoing(task.id, task.not_before, now));
        let messages: Vec<_> = messages
            .map(|message| Outgoing {
                resent: true,
                ..message
            })
            .collect();
        self.queue.send(&messages).await?;
        try_join_all(batch.iter().map(|task| self.note_sent(task, now))).await?;
        self.metrics.add(Count::TasksResent, messages.len());
        Ok(messages.len())
    }

    /// A page of what is due in one partition of the index, and where the next one starts.
    async fn due_tasks(
        &self,
        list: &str,
        now: i64,
        most: usize,
        start: Option<Item>,
    ) -> Result<(Vec<DueTask>, Option<Item>)> {
        let request = self.client.query().table_name(self.name(Table::App)?);
        let request = request
            .index_name("tasks")
            .key_condition_expression("task_list = :list AND task_time <= :now")
            .expression_attribute_values(":list", text(list))
            .expression_attribute_values(":now", number(now))
            .set_limit(i32::try_from(most).ok())
            .set_exclusive_start_key(start);
        let output = request.send().await.map_err(failed("list due tasks"))?;
        let items = output.items.unwrap_or_default().into_iter();
        let due = items.map(from_entry).collect::<Result<_>>()?;
        Ok((due, output.last_evaluated_key))
    }

    /// Lets the sweep leave a task alone that was just sent, until that message has had its turn.
    async fn note_sent(&self, task: &DueTask, now: i64) -> Result<()> {
        let change = Change::new()
            .set("task_time", number(next_look(task.not_before, now)))
            .if_equal("task_time", number(task.task_time))
            .if_one_of(
                "status",
                &[status(Status::Pending), status(Status::Running)],
            );
        let key = keys::task(task.id);
        // Refused if it has ended meanwhile, or if another sweep was faster.
        self.update(&key, change, ReturnValue::None, "note that a task was sent")
            .await?;
        Ok(())
    }
}

/// What the index `tasks` tells of a task.
#[derive(Deserialize)]
struct DueTask {
    id: Uuid,
    task_time: i64,
    not_before: Option<i64>,
}

impl DueTask {
    /// How long it could have run already, in seconds.
    fn age(&self, now: i64) -> u64 {
        let created = self.id.get_timestamp().map(|at| at.to_unix().0);
        let created = created.and_then(|at| i64::try_from(at).ok());
        let since = created.max(self.not_before).unwrap_or(now);
        u64::try_from(now - since).unwrap_or_default()
    }
}

/// A change that only the claim may make which holds the task.
fn of_claim(claimed: &StoredTask) -> Result<Change> {
    let lease = claimed.lease.context("end a task that was not claimed")?;
    Ok(Change::new().if_equal("lease", text(&lease.to_string())))
}

fn status(status: Status) -> AttributeValue {
    text(status.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqs_can_hold_back_is_sent_at_once() {
        let id = Uuid::nil();
        let check = |not_before, delay: Option<i64>, look| {
            let out = outgoing(id, not_before, 1_000);
            assert_eq!(out.map(|out| out.delay), delay, "{not_before:?}");
            assert_eq!(next_look(not_before, 1_000), look, "{not_before:?}");
        };
        check(None, Some(0), 1_000 + GRACE);
        check(Some(900), Some(0), 1_000 + GRACE);
        check(Some(1_300), Some(300), 1_300 + GRACE);
        check(Some(1_900), Some(900), 1_900 + GRACE);
        // One second more, and the sweep looks at it in a second.
        check(Some(1_901), None, 1_001);
        check(Some(10_000), None, 9_100);
    }

    #[test]
    fn a_task_has_one_follower() {
        let first = Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001);
        let second = following(first);
        assert_eq!(following(first), second);
        assert_ne!(following(second), first);
        assert_ne!(following(second), second);
        assert_eq!(second.get_version(), Some(Version::Custom));
        assert_eq!(second.get_variant(), Variant::RFC4122);
    }

    #[test]
    fn a_payload_is_kept_apart_from_what_is_stored_of_the_task() {
        let user_id = Uuid::now_v7();
        let task = Task::WelcomeMail { user_id };
        let stored = NewTask::new(task.clone())
            .owned_by(user_id)
            .stored(Timestamp::UNIX_EPOCH)
            .unwrap();
        assert_eq!(stored.kind, "welcome_mail");
        assert_eq!(stored.task().unwrap(), task);
        let item: Item = serde_dynamo::to_item(&stored).unwrap();
        assert!(!item.contains_key("user_id"), "{item:?}");
        let read: StoredTask = from_item(item).unwrap();
        assert_eq!(read.task().unwrap(), task);
    }
}
