//! Uploads: how bytes become a file that can be seen. What the function `files` and the worker have in common.

use futures_util::future::try_join_all;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::App;
use crate::bucket::{Bucket, keys};
use crate::error::{Context, Error, Result};
use crate::media::{self, Checked, Refusal, Resize};
use crate::models::audit::AuditEntry;
use crate::models::file::{ContentType, File, FileStatus, Filename, MOST_BYTES, Purpose};
use crate::store::files::Quota;

const NOT_FOUND: Error = Error::NotFound("file of this id");

/// How much a user may store.
pub fn quota(app: &App) -> Quota {
    Quota {
        bytes: u64::from(app.config.quota_mb) * 1_000_000,
        files: app.config.max_files,
    }
}

/// Stores what has come with a request and was checked, and makes it visible: all of it or nothing.
pub async fn publish(
    app: &App,
    bucket: &Bucket,
    owner: Uuid,
    purpose: Purpose,
    parts: Vec<(Filename, Checked)>,
    audit: &AuditEntry,
) -> Result<Vec<File>> {
    let now = app.clock.now();
    let begin = |(name, checked): &(Filename, Checked)| {
        let size = checked.bytes.len() as u64;
        File::new(
            owner,
            purpose,
            name.clone(),
            checked.content_type,
            size,
            now,
        )
    };
    let begun: Vec<File> = parts.iter().map(begin).collect();
    app.store.begin_files(&begun, quota(app)).await?;
    let stored = store(app, bucket, &begun, parts, audit).await;
    unless_lost(app, bucket, &begun, stored).await
}

/// Stores the input of a task that makes an image of it. Answers the task's id.
pub async fn begin_processing(
    app: &App,
    bucket: &Bucket,
    file: &File,
    input: (Vec<u8>, ContentType),
    resize: Resize,
) -> Result<Uuid> {
    let begun = std::slice::from_ref(file);
    app.store.begin_files(begun, quota(app)).await?;
    // The row comes before the bytes, and the task after them, so that it finds them.
    let (image, content_type) = input;
    let task = match bucket.put(&keys::work(file.id), image, content_type).await {
        Ok(()) => app.store.begin_processing(file, resize).await,
        Err(error) => Err(error),
    };
    unless_lost(app, bucket, begun, task).await
}

/// Discards what was begun if nothing comes of it. Else a task does that in an hour, and until then it counts.
async fn unless_lost<T>(app: &App, bucket: &Bucket, begun: &[File], done: Result<T>) -> Result<T> {
    if done.is_err() {
        for file in begun {
            if let Err(error) = discard(app, bucket, file).await {
                tracing::warn!(file.id = %file.id, cause = ?error, "a file will be discarded later");
            }
        }
    }
    done
}

async fn store(
    app: &App,
    bucket: &Bucket,
    begun: &[File],
    parts: Vec<(Filename, Checked)>,
    audit: &AuditEntry,
) -> Result<Vec<File>> {
    let mut changes = Vec::new();
    let mut puts = Vec::new();
    for (old, (_, checked)) in begun.iter().zip(parts) {
        let new = old.ready(&checked.stored(), app.clock.now());
        let new = new.ok_or(Error::Stale)?;
        let key = keys::stored(old.id, &checked.hash);
        let content_type = checked.content_type;
        puts.push(async move { bucket.put(&key, checked.bytes, content_type).await });
        changes.push((old.clone(), new));
    }
    try_join_all(puts).await?;
    app.store.publish_files(&changes, quota(app), audit).await?;
    Ok(changes.into_iter().map(|(_, new)| new).collect())
}

/// Removes the row of a file that is not ready, and then its objects. Nothing happens to one that has become so after all:
/// the answer to whoever has made it so may be lost. A task looks for its objects once more.
pub async fn discard(app: &App, bucket: &Bucket, file: &File) -> Result<()> {
    match app.store.forget_file(file).await? {
        true => remove_objects(bucket, file.id).await,
        false => Ok(()),
    }
}

/// Removes all objects of a file.
pub async fn remove_objects(bucket: &Bucket, id: Uuid) -> Result<()> {
    let mut all = bucket.list(&keys::all_of(id)).await?;
    all.extend([keys::pending(id), keys::work(id)]);
    bucket.delete(&all).await
}

/// Checks a presigned upload, and makes it visible. One that is so already is answered as it is. 404 if its time is over,
/// 409 `upload_missing` if nothing has come, 422 if what has come is not what was announced, or nothing that is taken.
///
/// The checked bytes are stored under another key: whoever still has the form may replace what they have sent, and not what
/// was checked.
pub async fn complete(app: &App, bucket: &Bucket, old: &File, audit: &AuditEntry) -> Result<File> {
    match old.status {
        FileStatus::Ready => return Ok(old.clone()),
        FileStatus::Deleted => return Err(NOT_FOUND),
        FileStatus::Pending if old.is_expired(app.clock.now()) => return Err(NOT_FOUND),
        FileStatus::Pending => {}
    }
    let pending = keys::pending(old.id);
    let bytes = match bucket.get(&pending, MOST_BYTES).await {
        Err(Error::BodyTooLarge(_)) => return Err(refused("file", &Refusal::TooLarge)),
        got => got?.ok_or(Error::UploadMissing)?,
    };
    let told = media::content_of(&bytes).map_err(|refusal| refused("file", &refusal))?;
    if told != old.content_type {
        let message = format!("must be {}, as it was announced", old.content_type.as_str());
        return Err(Error::invalid("file", "unsupported_content", message));
    }
    let check = match old.purpose {
        Purpose::Upload => media::check,
        Purpose::Avatar | Purpose::ItemImage { .. } | Purpose::Processed => media::check_image,
    };
    let checked = apart(move || check(bytes)).await?;
    let checked = checked.map_err(|refusal| refused("file", &refusal))?;
    let new = old.ready(&checked.stored(), app.clock.now());
    let new = new.ok_or(NOT_FOUND)?;
    let key = keys::stored(old.id, &checked.hash);
    bucket
        .put(&key, checked.bytes, checked.content_type)
        .await?;
    let change = [(old.clone(), new.clone())];
    let audit = audit.clone().about(old.id);
    match app.store.publish_files(&change, quota(app), &audit).await {
        // Another has completed it, or it was discarded.
        Err(Error::Stale) => {
            let now = app.store.file(old.id).await?;
            let ready = now.filter(|file| file.status == FileStatus::Ready);
            return ready.ok_or(NOT_FOUND);
        }
        published => published?,
    }
    if let Err(error) = bucket.delete(&[pending]).await {
        // It expires by itself.
        tracing::warn!(file.id = %old.id, cause = ?error, "a checked upload is still pending");
    }
    Ok(new)
}

/// Does work on an image beside all else, so that no other task of a worker waits for it, and one after the other, because
/// each takes much memory.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    static ONE: Semaphore = Semaphore::const_new(1);
    let _turn = ONE.acquire().await.context("wait for a turn")?;
    let done = tokio::task::spawn_blocking(work).await;
    done.context("work on an image")
}

/// 422 for a field whose content is refused.
pub fn refused(field: &str, refusal: &Refusal) -> Error {
    Error::invalid(field, refusal.code(), refusal.message())
}

/// Where a file is, below the API's root.
pub fn url(id: Uuid) -> String {
    format!("{}/files/{id}", crate::http::PREFIX)
}
