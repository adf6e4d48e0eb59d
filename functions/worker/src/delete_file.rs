//! `delete_file`: removes the objects of a file, and then its row.

use serde_json::{Value, json};
use shared::bucket::Bucket;
use shared::models::audit::AuditEntry;
use shared::models::file::FileStatus;
use shared::{App, Result, files};
use uuid::Uuid;

/// Also a file that can still be seen: what it belonged to is gone, or has another.
pub(crate) async fn run(app: &App, id: Uuid) -> Result<Value> {
    let audit = AuditEntry::new("file.deleted", None, "").about(id);
    let file = app.store.file(id).await?;
    if file.is_some_and(|file| file.status == FileStatus::Ready) {
        app.store.delete_file(id, app.clock.now(), &audit).await?;
    }
    files::remove_objects(&Bucket::new(app)?, id).await?;
    if let Some(file) = app.store.file(id).await? {
        app.store.forget_file(&file).await?;
    }
    Ok(json!({"file": "deleted"}))
}
