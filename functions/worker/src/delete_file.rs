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
    let bucket = Bucket::new(app)?;
    let mut file = app.store.file(id).await?;
    if file
        .as_ref()
        .is_some_and(|file| file.status == FileStatus::Ready)
    {
        app.store.delete_file(id, app.clock.now(), &audit).await?;
        file = app.store.file(id).await?;
    }
    match file {
        Some(file) if file.status == FileStatus::Pending => {
            files::discard(app, &bucket, &file).await?;
        }
        // The row goes last: it is what leads here.
        Some(file) => {
            files::remove_objects(&bucket, id).await?;
            app.store.forget_file(&file).await?;
        }
        None => files::remove_objects(&bucket, id).await?,
    }
    Ok(json!({"file": "deleted"}))
}
