//! What the local bundle needs to know of `template.yaml`, the deployed truth: its tables, queues, buckets, schedules
//! and functions.
//!
//! Whatever is read here and cannot be understood is an error that names it. What is not needed locally (alarms, logs)
//! is passed over.

mod node;
mod read;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use crate::schedule::Timing;

/// Everything is in the order of the file, and is known by its logical id.
#[derive(Debug)]
pub struct Template {
    pub tables: Vec<Table>,
    pub queues: Vec<Queue>,
    pub buckets: Vec<Bucket>,
    pub schedules: Vec<Schedule>,
    pub functions: Vec<Function>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub id: String,
    pub key: Key,
    pub indexes: Vec<Index>,
    /// The attribute that holds the time of expiry, in Unix seconds.
    pub ttl_attribute: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    pub name: String,
    pub key: Key,
    pub projection: Projection,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub hash: Attribute,
    pub range: Option<Attribute>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    pub name: String,
    pub kind: AttributeKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeKind {
    String,
    Number,
    Binary,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Projection {
    All,
    KeysOnly,
    Include(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    pub id: String,
    pub visibility_timeout_seconds: u32,
    pub delay_seconds: u32,
    pub receive_wait_seconds: u32,
    pub redrive: Option<Redrive>,
}

/// Where a message goes once it was received too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// The logical id of the dead-letter queue.
    pub queue: String,
    pub max_receive_count: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub id: String,
    pub notifications: Vec<Notification>,
}

/// What a bucket tells a queue: that an object was created whose key begins like this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub prefix: String,
    /// The logical id of the queue.
    pub queue: String,
}

/// An EventBridge rule that sends a fixed text to a queue.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub id: String,
    pub timing: Timing,
    /// The logical id of the queue.
    pub queue: String,
    pub input: String,
}

#[derive(Clone, Debug)]
pub struct Function {
    pub id: String,
    /// The name of its package and binary, from `Metadata.BuildProperties.Binary`.
    pub name: String,
    pub timeout_seconds: u32,
    pub routes: Vec<Route>,
    pub triggers: Vec<Trigger>,
    /// Its environment: the template's globals with its own on top.
    pub variables: BTreeMap<String, Variable>,
    /// What it may do, which the local AWS does not ask for, and the tests do.
    pub permissions: Vec<Permission>,
}

/// A statement of a function's policies, which allows something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    pub id: String,
    /// `dynamodb:GetItem`, say.
    pub actions: Vec<String>,
    /// By logical id, with what follows it in an ARN: `AppTable`, `AppTable/index/owned`, `FilesBucket/files/*`.
    pub resources: Vec<String>,
    /// Which partition keys, if not all: patterns with `*`.
    pub leading_keys: Vec<String>,
}

/// A route of the HTTP API, as the template writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// In capitals; `ANY` for every method.
    pub method: String,
    /// `/api/v1/users/{proxy+}`, say, or `$default`.
    pub path: String,
}

/// A queue whose messages the function receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The logical id of the queue.
    pub queue: String,
    pub batch_size: u32,
    /// Whether the function answers which messages failed; otherwise a batch fails or succeeds as a whole.
    pub reports_failures: bool,
}

/// The value of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// Text, or the default of a parameter.
    Text(String),
    /// What `!Ref` gives for the resource with this logical id: a table's or bucket's name, a queue's URL.
    Resource(String),
    /// Something that only CloudFormation can work out.
    Computed,
}

impl Template {
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} cannot be used", path.display()))
    }

    pub fn parse(text: &str) -> Result<Self> {
        read::template(text)
    }

    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }
}

#[cfg(test)]
mod tests;
