//! What an update does to an item, as the expressions that DynamoDB wants.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use serde::Serialize;

use super::keys::Key;
use super::schema::SCHEMA_VERSION;
use super::{Item, Store, Table, back_off, failed};
use crate::error::{Context, Result};

/// Attributes set, added to and removed, under a condition.
#[derive(Clone, Debug, Default)]
pub struct Change {
    set: Vec<String>,
    add: Vec<String>,
    remove: Vec<String>,
    condition: Option<String>,
    names: HashMap<String, String>,
    values: Item,
}

/// A change in the form of a request's four fields.
pub struct Expressions {
    pub update: String,
    pub condition: Option<String>,
    pub names: Option<HashMap<String, String>>,
    pub values: Option<Item>,
}

/// How an update ended.
pub(super) enum Updated {
    /// With the attributes that were asked for.
    Done(Item),
    /// Its condition did not hold for the item as it is, if there is one.
    Refused(Option<Item>),
}

impl Store {
    /// One conditional update in the table `app`.
    pub(super) async fn update(
        &self,
        key: &Key,
        change: Change,
        returns: ReturnValue,
        doing: &'static str,
    ) -> Result<Updated> {
        self.update_in(Table::App, key, change, returns, doing)
            .await
    }

    /// One conditional update.
    pub(super) async fn update_in(
        &self,
        table: Table,
        key: &Key,
        change: Change,
        returns: ReturnValue,
        doing: &'static str,
    ) -> Result<Updated> {
        let expressions = change.expressions();
        let request = self.client.update_item().table_name(self.name(table)?);
        let request = request
            .set_key(Some(key.attributes()))
            .update_expression(expressions.update)
            .set_condition_expression(expressions.condition)
            .set_expression_attribute_names(expressions.names)
            .set_expression_attribute_values(expressions.values)
            .return_values(returns)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        for attempt in 0.. {
            let error = match request.clone().send().await {
                Ok(output) => return Ok(Updated::Done(output.attributes.unwrap_or_default())),
                Err(error) => error,
            };
            match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    return Ok(Updated::Refused(refused.item.clone()));
                }
                // A transaction holds the item just now; the SDK does not try this again.
                Some(UpdateItemError::TransactionConflictException(_)) => {}
                _ => return Err(failed(doing)(error)),
            }
            back_off(attempt, doing).await?;
        }
        Ok(Updated::Refused(None))
    }
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

    /// Gives the item the version of new items if the update makes it. One that is there keeps its own: only some of its
    /// attributes are changed.
    pub fn versioned(mut self) -> Self {
        let (name, value) = (self.name("v"), self.value(number(SCHEMA_VERSION.into())));
        self.set
            .push(format!("{name} = if_not_exists({name}, {value})"));
        self
    }

    pub fn set(mut self, name: &str, value: AttributeValue) -> Self {
        let (name, value) = (self.name(name), self.value(value));
        self.set.push(format!("{name} = {value}"));
        self
    }

    /// Sets `name` to `value` less the number that another attribute is, which must be there.
    pub fn set_less(mut self, name: &str, value: i64, less: &str) -> Self {
        let (name, value, less) = (self.name(name), self.value(number(value)), self.name(less));
        self.set.push(format!("{name} = {value} - {less}"));
        self
    }

    pub fn add(mut self, name: &str, amount: i64) -> Self {
        let (name, value) = (self.name(name), self.value(number(amount)));
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
        let (name, value) = (self.name(name), self.value(number(limit)));
        self.require(format!(
            "(attribute_not_exists({name}) OR {name} < {value})"
        ))
    }

    /// Requires the number `name` to be there and above `limit`.
    pub fn if_above(mut self, name: &str, limit: i64) -> Self {
        let (name, value) = (self.name(name), self.value(number(limit)));
        self.require(format!("{name} > {value}"))
    }

    /// Requires the number `name` to be there and `limit` or more.
    pub fn if_at_least(mut self, name: &str, limit: i64) -> Self {
        let (name, value) = (self.name(name), self.value(number(limit)));
        self.require(format!("{name} >= {value}"))
    }

    /// Requires an attribute to be there.
    pub fn if_exists(mut self, name: &str) -> Self {
        let name = self.name(name);
        self.require(format!("attribute_exists({name})"))
    }

    /// Requires an attribute not to be there.
    pub fn if_absent(mut self, name: &str) -> Self {
        let name = self.name(name);
        self.require(format!("attribute_not_exists({name})"))
    }

    /// Requires the number `name` to be `limit` or less, or absent.
    pub fn if_at_most(self, name: &str, limit: i64) -> Self {
        self.if_below(name, limit.saturating_add(1))
    }

    /// Requires `name` to be one of `values` as stored now.
    pub fn if_one_of(mut self, name: &str, values: &[AttributeValue]) -> Self {
        let name = self.name(name);
        let values = values.iter().map(|value| self.value(value.clone()));
        let values = values.collect::<Vec<_>>().join(", ");
        self.require(format!("{name} IN ({values})"))
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

    pub fn expressions(self) -> Expressions {
        let clauses = [
            ("SET", self.set),
            ("ADD", self.add),
            ("REMOVE", self.remove),
        ];
        let used = clauses.iter().filter(|(_, parts)| !parts.is_empty());
        let used = used.map(|(word, parts)| format!("{word} {}", parts.join(", ")));
        Expressions {
            update: used.collect::<Vec<_>>().join(" "),
            condition: self.condition,
            // DynamoDB refuses empty maps.
            names: Some(self.names).filter(|names| !names.is_empty()),
            values: Some(self.values).filter(|values| !values.is_empty()),
        }
    }
}

pub(super) fn stored(value: &impl Serialize) -> Result<AttributeValue> {
    serde_dynamo::to_attribute_value(value).context("write an attribute")
}

pub(super) fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(super) fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}
