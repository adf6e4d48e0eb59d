//! Several writes that happen together or not at all, over both tables.
//!
//! Each write may say what it means when its condition fails: a storage fact becomes an API fact on the
//! line where it happens. Tasks are written in the same transaction and sent to the queue after it.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure as Return,
    TransactWriteItem, Update,
};
use serde::Serialize;

use super::keys::Key;
use super::{Item, Store, Table, back_off, failed, to_item};
use crate::error::{Context, Error, Result};
use crate::tasks::NewTask;

pub struct Transaction<'a> {
    store: &'a Store,
    writes: Vec<TransactWriteItem>,
    refusals: Vec<Option<Error>>,
    tasks: Vec<uuid::Uuid>,
    /// The first mistake in building it, told by `commit`.
    broken: Option<Error>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            writes: Vec::new(),
            refusals: Vec::new(),
            tasks: Vec::new(),
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

    /// Changes attributes of an item. See [`Change`].
    pub fn update(self, table: Table, key: &Key, change: Change) -> Self {
        self.write(|store| {
            let update = Update::builder()
                .table_name(store.name(table)?)
                .set_key(Some(key.attributes()))
                .update_expression(change.expression())
                .set_condition_expression(change.condition)
                .set_expression_attribute_names(some(change.names))
                .set_expression_attribute_values(some(change.values))
                .return_values_on_condition_check_failure(Return::AllOld);
            let update = update.build().context("build an update")?;
            Ok(TransactWriteItem::builder().update(update).build())
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

    /// Requires that an item exists, without writing it.
    pub fn require(self, table: Table, key: &Key) -> Self {
        self.write(|store| {
            let check = ConditionCheck::builder()
                .table_name(store.name(table)?)
                .set_key(Some(key.attributes()))
                .condition_expression("attribute_exists(pk)");
            let check = check.build().context("build a check")?;
            Ok(TransactWriteItem::builder().condition_check(check).build())
        })
    }

    /// What it means when the condition of the last write fails. Without this it is an internal error.
    pub fn or_else(mut self, refusal: Error) -> Self {
        if let Some(last) = self.refusals.last_mut() {
            *last = Some(refusal);
        }
        self
    }

    /// Writes a background task, which is its own outbox: sent after the commit, and again by the sweep
    /// if that is lost.
    pub fn task(mut self, task: &NewTask) -> Self {
        self.tasks.push(task.id);
        self.create(Table::App, &super::keys::task(task.id), &task.stored())
    }

    /// Writes all or nothing. Conflicts with other transactions are retried; a failed condition is not.
    ///
    /// The client request token makes a retry after a lost answer harmless (the SDK sets one).
    pub async fn commit(mut self) -> Result<()> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        for attempt in 0.. {
            let request = self.store.client.transact_write_items();
            let request = request.set_transact_items(Some(self.writes.clone()));
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
            if let Some(at) = refused
                && let Some(refusal) = self.refusals.get_mut(at).and_then(Option::take)
            {
                return Err(refusal);
            }
            if !codes.iter().all(|code| is_passing(code)) {
                return Err(failed("commit a transaction")(error));
            }
            back_off(attempt, "commit a transaction").await?;
        }
        for task in self.tasks {
            self.store.queue.send(task).await;
        }
        Ok(())
    }

    fn write(mut self, build: impl FnOnce(&Store) -> Result<TransactWriteItem>) -> Self {
        match build(self.store) {
            Ok(write) => {
                self.writes.push(write);
                self.refusals.push(None);
            }
            Err(error) => self.broken = self.broken.or(Some(error)),
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

fn some<V>(map: HashMap<String, V>) -> Option<HashMap<String, V>> {
    Some(map).filter(|map| !map.is_empty())
}

/// What an update does to an item: attributes set, added to and removed, under a condition.
#[derive(Clone, Debug, Default)]
pub struct Change {
    set: Vec<String>,
    add: Vec<String>,
    remove: Vec<String>,
    pub(super) condition: Option<String>,
    pub(super) names: HashMap<String, String>,
    pub(super) values: Item,
}

impl Change {
    pub fn new() -> Self {
        Self::default()
    }

    /// What turns the stored form of `old` into that of `new`. Attributes that neither model knows stay.
    pub fn between(old: &impl Serialize, new: &impl Serialize) -> Result<Self> {
        let mut old: Item = serde_dynamo::to_item(old).context("write an item")?;
        let new: Item = serde_dynamo::to_item(new).context("write an item")?;
        let mut change = Self::new();
        for (name, value) in new {
            if old.remove(&name).as_ref() != Some(&value) {
                change = change.set(&name, value);
            }
        }
        for name in old.into_keys() {
            change = change.remove(&name);
        }
        Ok(change)
    }

    pub fn set(mut self, name: &str, value: AttributeValue) -> Self {
        let (name, value) = (self.name(name), self.value(value));
        self.set.push(format!("{name} = {value}"));
        self
    }

    pub fn add(mut self, name: &str, number: i64) -> Self {
        let (name, value) = (
            self.name(name),
            self.value(AttributeValue::N(number.to_string())),
        );
        self.add.push(format!("{name} {value}"));
        self
    }

    pub fn remove(mut self, name: &str) -> Self {
        let name = self.name(name);
        self.remove.push(name);
        self
    }

    /// Requires `name` to be `value` as stored now. Several requirements must all hold.
    pub fn if_equal(mut self, name: &str, value: AttributeValue) -> Self {
        let (name, value) = (self.name(name), self.value(value));
        self.require(format!("{name} = {value}"))
    }

    /// Requires the number `name` to be below `limit`, or absent.
    pub fn if_below(mut self, name: &str, limit: i64) -> Self {
        let (name, value) = (
            self.name(name),
            self.value(AttributeValue::N(limit.to_string())),
        );
        self.require(format!(
            "(attribute_not_exists({name}) OR {name} < {value})"
        ))
    }

    /// Requires an attribute to be there.
    pub fn if_exists(mut self, name: &str) -> Self {
        let name = self.name(name);
        self.require(format!("attribute_exists({name})"))
    }

    fn require(mut self, condition: String) -> Self {
        self.condition = Some(match self.condition {
            Some(before) => format!("{before} AND {condition}"),
            None => condition,
        });
        self
    }

    fn name(&mut self, name: &str) -> String {
        let placeholder = format!("#{name}");
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }

    pub(super) fn expression(&self) -> String {
        let clauses = [
            ("SET", &self.set),
            ("ADD", &self.add),
            ("REMOVE", &self.remove),
        ];
        let used = clauses.iter().filter(|(_, parts)| !parts.is_empty());
        let used: Vec<_> = used
            .map(|(word, parts)| format!("{word} {}", parts.join(", ")))
            .collect();
        used.join(" ")
    }
}
