//! The audit trail: who did what to whom, when, and from where. Never holds a secret.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::time;
use crate::ids;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub id: Uuid,
    pub at: Timestamp,
    /// Who did it; the person themselves, an administrator, or nobody signed in.
    pub actor: Option<Uuid>,
    /// `resource.verb`, as `user.registered`.
    pub action: String,
    /// What it was done to, if that is not the person whose trail this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
    pub ip: String,
}

/// A field and its value before and after; absent where there was none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    pub field: String,
    pub old: Option<String>,
    pub new: Option<String>,
}

impl AuditEntry {
    pub fn new(action: &str, actor: Option<Uuid>, ip: &str) -> Self {
        Self {
            id: ids::new(),
            at: time::now(),
            actor,
            action: action.to_owned(),
            about: None,
            changes: Vec::new(),
            ip: ip.to_owned(),
        }
    }

    /// Names the resource that it was done to.
    pub fn about(mut self, resource: Uuid) -> Self {
        self.about = Some(resource);
        self
    }

    /// Notes every field that differs between two states of a model that holds no secret. What changes with
    /// every change says nothing and is left out.
    pub fn with_changes(mut self, before: &impl Serialize, after: &impl Serialize) -> Self {
        let (before, after) = (fields(before), fields(after));
        let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        for name in names
            .into_iter()
            .filter(|name| !NOISE.contains(&name.as_str()))
        {
            let (old, new) = (before.get(name), after.get(name));
            if old != new {
                self.changes.push(FieldChange {
                    field: name.clone(),
                    old: old.map(text),
                    new: new.map(text),
                });
            }
        }
        self
    }
}

const NOISE: [&str; 4] = ["session_epoch", "session_kept", "updated_at", "version"];

fn fields(model: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(model) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// A text as it is, anything else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changes_are_named_with_both_values() {
        let before = json!({"name": "Ada", "phone": "1", "active": true, "version": 1});
        let after = json!({"name": "Eve", "active": true, "email": "e@x.org", "version": 2});
        let entry = AuditEntry::new("user.updated", None, "::1").with_changes(&before, &after);
        let told: Vec<_> = entry
            .changes
            .iter()
            .map(|c| (c.field.as_str(), c.old.as_deref(), c.new.as_deref()))
            .collect();
        let expected = [
            ("email", None, Some("e@x.org")),
            ("name", Some("Ada"), Some("Eve")),
            ("phone", Some("1"), None),
        ];
        assert_eq!(told, expected);
    }
}
