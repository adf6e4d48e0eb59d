//! `process_image`: resizes an image that is too large to be done while somebody waits.

use serde_json::{Value, json};
use shared::bucket::{Bucket, keys};
use shared::media::Resize;
use shared::models::audit::AuditEntry;
use shared::models::file::{File, FileStatus, MOST_BYTES};
use shared::{App, Error, Result, files, media};
use uuid::Uuid;

pub(crate) async fn run(app: &App, id: Uuid, resize: &Resize) -> Result<Value> {
    let bucket = Bucket::new(app)?;
    let old = match app.store.file(id).await? {
        Some(file) if file.status == FileStatus::Pending => file,
        Some(file) if file.status == FileStatus::Ready => return Ok(done(&file)),
        Some(_) => return Ok(json!({"file": "gone"})),
        None => {
            // An attempt before this one may have stored something.
            files::remove_objects(&bucket, id).await?;
            return Ok(json!({"file": "gone"}));
        }
    };
    let Some(input) = bucket.get(&keys::work(id), MOST_BYTES).await? else {
        return Ok(json!({"file": "gone"}));
    };
    let resize = *resize;
    let checked = match files::apart(move || media::process(input, &resize)).await? {
        Ok(checked) => checked,
        // Whoever has sent it is told; it is no fault of ours.
        Err(refusal) => {
            files::discard(app, &bucket, &old).await?;
            return Ok(json!({"refused": {"code": refusal.code(), "message": refusal.message()}}));
        }
    };
    let Some(new) = old.ready(&checked.stored(), app.clock.now()) else {
        return Ok(json!({"file": "gone"}));
    };
    let key = keys::stored(id, &checked.hash);
    bucket
        .put(&key, checked.bytes, checked.content_type)
        .await?;
    let audit = AuditEntry::new("file.processed", None, "").about(id);
    let change = [(old, new.clone())];
    match app
        .store
        .publish_files(&change, files::quota(app), &audit)
        .await
    {
        Err(Error::QuotaExceeded) => {
            let [(old, _)] = &change;
            files::discard(app, &bucket, old).await?;
            return Ok(json!({"refused": {"code": Error::QuotaExceeded.code()}}));
        }
        published => published?,
    }
    bucket.delete(&[keys::work(id)]).await?;
    Ok(done(&new))
}

fn done(file: &File) -> Value {
    json!({"file_id": file.id, "url": files::url(file.id)})
}
