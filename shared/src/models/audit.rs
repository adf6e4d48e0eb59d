//! The audit trail: who did what to whom, when, and from where. Never holds a secret.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::time;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub id: Uuid,
    pub at: Timestamp,
    /// Who did it; the person themselves, an administrator, or nobody signed in.
    pub actor: Option<Uuid>,
    /// `resource.verb`, as `user.registered`.
    pub action: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
    pub ip: String,
}

/// A field and its value before and after, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    pub field: String,
    pub old: Option<String>,
    pub new: Option<String>,
}

impl AuditEntry {
    pub fn new(action: &str, actor: Option<Uuid>, ip: &str) -> Self {
        Self {
            id: Uuid::now_v7(),
            at: time::now(),
            actor,
            action: action.to_owned(),
            changes: Vec::new(),
            ip: ip.to_owned(),
        }
    }

    pub fn with_change(mut self, field: &str, old: Option<&str>, new: Option<&str>) -> Self {
        if old != new {
            self.changes.push(FieldChange {
                field: field.to_owned(),
                old: old.map(str::to_owned),
                new: new.map(str::to_owned),
            });
        }
        self
    }
}
