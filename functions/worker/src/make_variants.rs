//! `make_variants`: makes the small forms of an image.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::bucket::{Bucket, keys};
use shared::models::file::FileStatus;
use shared::{App, Error, Result, files, media};
use uuid::Uuid;

pub(crate) async fn run(app: &App, id: Uuid) -> Result<Value> {
    let bucket = Bucket::new(app)?;
    let file = match app.store.file(id).await? {
        Some(file) if file.status == FileStatus::Ready => file,
        Some(_) => return Ok(json!({"file": "gone"})),
        None => {
            // An attempt before this one may have stored something.
            files::remove_objects(&bucket, id).await?;
            return Ok(json!({"file": "gone"}));
        }
    };
    let hash = file.hash.as_deref().unwrap_or_default();
    let image = bucket
        .get(&keys::stored(id, hash), media::MOST_STORED_BYTES)
        .await?;
    let Some(image) = image else {
        // It was deleted meanwhile.
        return Ok(json!({"file": "gone"}));
    };
    let kinds = file.purpose.variants();
    let made = files::apart(move || {
        let made = kinds.iter().map(|kind| media::make_variant(&image, kind));
        made.collect::<Result<Vec<_>, _>>()
    });
    let made = made.await?;
    let made = made.map_err(|refusal| files::refused("file", &refusal))?;
    let mut variants = BTreeMap::new();
    for (kind, made) in kinds.iter().zip(made) {
        let key = keys::variant(id, hash, kind.name);
        let content_type = made.variant.content_type;
        bucket.put(&key, made.bytes, content_type).await?;
        variants.insert(kind.name.to_owned(), made.variant);
    }
    let Some(new) = file.with_variants(variants, app.clock.now()) else {
        return Ok(json!({"file": "gone"}));
    };
    match app.store.note_variants(&file, &new).await {
        // Deleted meanwhile, perhaps after its objects; or another has noted the same.
        Err(Error::Stale) => {
            let now = app.store.file(id).await?;
            if now.is_none_or(|file| file.status != FileStatus::Ready) {
                files::remove_objects(&bucket, id).await?;
            }
            Ok(json!({"file": "changed"}))
        }
        noted => noted.map(|()| json!({"variants": new.variants.len()})),
    }
}
