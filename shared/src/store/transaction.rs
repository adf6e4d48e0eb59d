//! Several writes that happen together or not at all, over both tables.
//!
//! Each write may say what it means when its condition fails: a storage fact becomes an API fact on the
//! line where it happens. Tasks are written in the same transaction and announced to the queue after it.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem, Update};
use serde::Serialize;
use uuid::Uuid;

use super::change::Change;
use super::keys::Key;
use super::{Store, Table, back_off, failed, to_item};
use crate::error::{Context, Error, Result};
use crate::events::Event;
use crate::metrics::Count;
use crate::tasks::Outgoing;

pub struct Transaction<'a> {
    pub(super) store: &'a Store,
    writes: Vec<TransactWriteItem>,
    refusals: Vec<Option<Error>>,
    /// Which writes are left out if their condition fails.
    dispensable: Vec<bool>,
    /// What the queue is told after the commit.
    announced: Vec<Outgoing>,
    /// How many of its writes are new tasks.
    queued: usize,
    /// By which DynamoDB knows it again. Without it the SDK makes one for each commit.
    token: Option<Uuid>,
    /// The first mistake in building it, told by `commit`.
    broken: Option<Error>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            writes: Vec::new(),
            refusals: Vec::new(),
            dispensable: Vec::new(),
            announced: Vec::new(),
            queued: 0,
            token: None,
            broken: None,
        }
    }

    /// Puts an item that must not exist yet.
    pub fn create(self, table: Table, key: &Key, model: &impl Serialize) -> Self {
        self.write(|store| {
            let put = Put::builder()
                .table_name(store.name(table)?)
                .set_item(Some(to_item(key, model)?))
                .condition_expression("attribute_not_exists(pk)");
            let put = put.build().context("build a put")?;
            Ok(TransactWriteItem::builder().put(put).build())
        })
    }

    /// Puts an item in the place of another, under a condition for what is there.
    pub fn put_if(
        self,
        table: Table,
        key: &Key,
        model: &impl Serialize,
        condition: Change,
    ) -> Self {
        self.write(|store| {
            let expressions = condition.expressions();
            let put = Put::builder()
                .table_name(store.name(table)?)
                .set_item(Some(to_item(key, model)?))
                .set_condition_expression(expressions.condition)
                .set_expression_attribute_names(expressions.names)
                .set_expression_attribute_values(expressions.values);
            let put = put.build().context("build a put")?;
            Ok(TransactWriteItem::builder().put(put).build())
        })
    }

    /// Changes attributes of an item. See [`Change`].
    pub fn update(self, table: Table, key: &Key, change: Change) -> Self {
        self.write(|store| {
            let expressions = change.expressions();
            let update = Update::builder()
                .table_name(store.name(table)?)
                .set_key(Some(key.attributes()))
                .update_expression(expressions.update)
                .set_condition_expression(expressions.condition)
                .set_expression_attribute_names(expressions.names)
                .set_expression_attribute_values(expressions.values);
            let update = update.build().context("build an update")?;
            Ok(TransactWriteItem::builder().update(update).build())
        })
    }

    /// Requires something of an item that is not written.
    pub fn check(self, table: Table, key: &Key, condition: Change) -> Self {
        self.write(|store| {
            let expressions = condition.expressions();
            let check = ConditionCheck::builder()
                .table_name(store.name(table)?)
                .set_key(Some(key.attributes()))
                .set_condition_expression(expressions.condition)
                .set_expression_attribute_names(expressions.names)
                .set_expression_attribute_values(expressions.values);
            let check = check.build().context("build a check")?;
            Ok(TransactWriteItem::builder().condition_check(check).build())
        })
    }

    /// Deletes an item that must exist still.
    pub fn take(self, table: Table, key: &Key) -> Self {
        self.write(|store| {
            let delete = Delete::builder()
                .table_name(store.name(table)?)
                .set_key(Some(key.attributes()))
                .condition_expression("attribute_exists(pk)");
            let delete = delete.build().context("build a delete")?;
            Ok(TransactWriteItem::builder().delete(delete).build())
        })
    }

    /// Deletes an item under a condition.
    pub fn delete_if(self, table: Table, key: &Key, condition: Change) -> Self {
        self.write(|store| {
            let expressions = condition.expressions();
            let delete = Delete::builder()
                .table_name(store.name(table)?)
                .set_key(Some(key.attributes()))
                .set_condition_expression(expressions.condition)
                .set_expression_attribute_names(expressions.names)
                .set_expression_attribute_values(expressions.values);
            let delete = delete.build().context("build a delete")?;
            Ok(TransactWriteItem::builder().delete(delete).build())
        })
    }

    /// Deletes an item, whether or not it exists.
    pub fn delete(self, table: Table, key: &Key) -> Self {
        self.write(|store| {
            let delete = Delete::builder()
                .table_name(store.name(table)?)
                .set_key(Some(key.attributes()));
            let delete = delete.build().context("build a delete")?;
            Ok(TransactWriteItem::builder().delete(delete).build())
        })
    }

    /// What it means when the condition of the last write fails. Without this it is an internal error.
    pub fn on_conflict(mut self, refusal: Error) -> Self {
        if let Some(last) = self.refusals.last_mut() {
            *last = Some(refusal);
        }
        self
    }

    /// Leaves the last write out if its condition fails, and writes the rest.
    pub fn or_without_it(mut self) -> Self {
        if let Some(last) = self.dispensable.last_mut() {
            *last = true;
        }
        self
    }

    /// Happens once under this name, for ten minutes: another attempt after a lost answer changes nothing.
    pub(super) fn once(mut self, token: Uuid) -> Self {
        self.token = Some(token);
        self
    }

    /// Writes the tasks that an event causes.
    pub fn event(self, event: Event) -> Self {
        let tasks = event.tasks();
        tasks.iter().fold(self, Self::task)
    }

    /// Tells the queue of a task after the commit.
    pub(super) fn announce(mut self, task: Option<Outgoing>) -> Self {
        self.announced.extend(task);
        self
    }

    /// Counts a write as a new task.
    pub(super) fn queued(mut self) -> Self {
        self.queued += 1;
        self
    }

    /// Makes the commit fail with `error`, or with what broke before.
    pub(super) fn broken(mut self, error: Error) -> Self {
        self.broken = self.broken.or(Some(error));
        self
    }

    /// Writes all or nothing. Conflicts with other transactions are retried, and are 409 `busy` after the last time; a
    /// failed condition is not.
    ///
    /// The client request token makes a retry after a lost answer harmless (the SDK sets one).
    pub async fn commit(mut self) -> Result<()> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let mut attempt = 0;
        loop {
            let request = self.store.client.transact_write_items();
            let request = request
                .set_client_request_token(self.token.map(|token| token.to_string()))
                .set_transact_items(Some(self.writes.clone()));
            let Err(error) = request.send().await else {
                break;
            };
            let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
                error.as_service_error()
            else {
                return Err(failed("commit a transaction")(error));
            };
            let codes = cancelled.cancellation_reasons().iter();
            let codes: Vec<_> = codes
                .map(|reason| reason.code().unwrap_or("None"))
                .collect();
            let refused = codes.iter().position(|c| *c == "ConditionalCheckFailed");
            if let Some(at) = refused {
                if self.dispensable.get(at) == Some(&true) {
                    self.leave_out(at);
                    continue;
                }
                if let Some(refusal) = self.refusals.get_mut(at).and_then(Option::take) {
                    return Err(refusal);
                }
            }
            if !codes.iter().all(|code| is_passing(code)) {
                return Err(failed("commit a transaction")(error));
            }
            let is_contended = codes.contains(&"TransactionConflict");
            match back_off(attempt, "commit a transaction").await {
                Err(_) if is_contended => return Err(Error::Busy),
                waited => waited?,
            }
            attempt += 1;
        }
        self.store.metrics.add(Count::TasksQueued, self.queued);
        self.store.queue.announce(&self.announced).await;
        Ok(())
    }

    fn leave_out(&mut self, at: usize) {
        self.writes.remove(at);
        self.refusals.remove(at);
        self.dispensable.remove(at);
    }

    fn write(mut self, build: impl FnOnce(&Store) -> Result<TransactWriteItem>) -> Self {
        match build(self.store) {
            Ok(write) => {
                self.writes.push(write);
                self.refusals.push(None);
                self.dispensable.push(false);
            }
            Err(error) => return self.broken(error),
        }
        self
    }
}

/// Whether a cancellation code speaks of other traffic and not of this transaction.
fn is_passing(code: &str) -> bool {
    matches!(
        code,
        "None" | "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded"
    )
}
