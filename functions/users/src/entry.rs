//! An entry of the audit trail, as it is shown.

use jiff::Timestamp;
use serde::Serialize;
use shared::models::audit::{AuditEntry, FieldChange};
use utoipa::ToSchema;
use uuid::Uuid;

/// Who did what, when, and from where.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct Entry {
    id: Uuid,
    at: Timestamp,
    /// Who did it; null if nobody was signed in.
    actor_id: Option<Uuid>,
    /// What was done, as `resource.verb`.
    #[schema(example = "user.updated")]
    action: String,
    /// What it was done to, if that is not the user whose trail this is.
    about_id: Option<Uuid>,
    changes: Vec<Change>,
    /// Null where it is not the viewer's to know, and once the user was erased.
    #[schema(example = "192.0.2.1")]
    ip: Option<String>,
}

/// A field, and its value before and after; null where there was none.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditedChange)]
pub(crate) struct Change {
    #[schema(example = "phone")]
    field: String,
    #[schema(example = "+49 30 1234567")]
    old: Option<String>,
    #[schema(example = "+49 30 7654321")]
    new: Option<String>,
}

impl Entry {
    /// With the address it came from.
    pub(crate) fn whole(entry: AuditEntry) -> Self {
        let change = |FieldChange { field, old, new }| Change { field, old, new };
        Self {
            id: entry.id,
            at: entry.at,
            actor_id: entry.actor,
            action: entry.action,
            about_id: entry.about,
            changes: entry.changes.into_iter().map(change).collect(),
            ip: Some(entry.ip).filter(|ip| !ip.is_empty()),
        }
    }

    /// As its own user sees it: where an administrator sits is not theirs to know.
    pub(crate) fn seen_by(user: Uuid, entry: AuditEntry) -> Self {
        let is_others = entry.actor.is_some_and(|actor| actor != user);
        let entry = Self::whole(entry);
        match is_others {
            true => Self { ip: None, ..entry },
            false => entry,
        }
    }
}
