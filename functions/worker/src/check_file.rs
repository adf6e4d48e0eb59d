//! `check_file`: looks at a file an hour after it was begun, whatever became of it, and removes what is nobody's.

use serde_json::{Value, json};
use shared::bucket::{Bucket, keys};
use shared::models::file::{File, FileStatus};
use shared::{App, Result, files};
use uuid::Uuid;

pub(crate) async fn run(app: &App, id: Uuid) -> Result<Value> {
    let bucket = Bucket::new(app)?;
    let Some(file) = app.store.file(id).await? else {
        files::remove_objects(&bucket, id).await?;
        return Ok(json!({"file": "gone"}));
    };
    match file.status {
        FileStatus::Pending => files::discard(app, &bucket, &file).await?,
        FileStatus::Ready => remove_strays(&bucket, &file).await?,
        // Another task is about to.
        FileStatus::Deleted => {}
    }
    Ok(json!({"file": file.status}))
}

/// Removes objects that a process has left which was too late, or has died.
async fn remove_strays(bucket: &Bucket, file: &File) -> Result<()> {
    let hash = file.hash.as_deref().unwrap_or_default();
    let variants = file.purpose.variants().iter();
    let variants = variants.map(|kind| keys::variant(file.id, hash, kind.name));
    let mut known: Vec<_> = variants.collect();
    known.push(keys::stored(file.id, hash));
    let mut strays = bucket.list(&keys::all_of(file.id)).await?;
    strays.retain(|key| !known.contains(key));
    strays.extend([keys::pending(file.id), keys::work(file.id)]);
    bucket.delete(&strays).await
}
