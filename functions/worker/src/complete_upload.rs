//! `complete_upload`: what has come into the bucket is checked, though nobody asks for it.

use serde_json::{Value, json};
use shared::bucket::Bucket;
use shared::models::audit::AuditEntry;
use shared::{App, Error, Result, files};
use uuid::Uuid;

/// What is refused stays as it is: its owner may send something else as long as the form is good, and is told when they
/// complete it themselves.
pub(crate) async fn run(app: &App, id: Uuid) -> Result<Value> {
    let Some(file) = app.store.file(id).await? else {
        return Ok(json!({"file": "gone"}));
    };
    let audit = AuditEntry::new("file.uploaded", None, "");
    let done = files::complete(app, &Bucket::new(app)?, &file, &audit).await;
    match done {
        Ok(file) => Ok(json!({"file": file.status})),
        Err(refusal) if is_refusal(&refusal) => Ok(json!({"refused": refusal.code()})),
        Err(error) => Err(error),
    }
}

fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::Invalid(_)
            | Error::NotFound(_)
            | Error::UploadMissing
            | Error::LimitReached(_)
            | Error::QuotaExceeded
            | Error::AccountInactive
    )
}
