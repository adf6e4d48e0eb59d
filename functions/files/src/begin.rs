//! `POST /files/uploads`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::auth::CurrentUser;
use shared::bucket::{Bucket, keys};
use shared::http::{Body, Problem};
use shared::media::Refusal;
use shared::models::Scope;
use shared::models::file::{ContentType, File, Filename, MOST_BYTES, Purpose};
use shared::models::text::Invalid;
use shared::{App, Result, files};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::item;

/// How long the form is good for, in seconds.
const FORM_SECONDS: u32 = 15 * 60;

/// Begin an upload
///
/// Answers a form for what is too large for a request, or is a document. Within 15 minutes, post it to `url` as
/// `multipart/form-data`: all of `fields`, and then the bytes as `file`, of exactly the announced type and size. Then
/// complete the upload, within 45 minutes; if nobody does, it completes itself a moment after the bytes have come. A
/// PDF or a plain text stays as it is, and an image is stored anew as an avatar is. It is private, unless it is an
/// image for the item `item_id`, which must be the caller's and needs the scope `items:write`.
#[utoipa::path(
    post, path = "/uploads", tag = "files", security(("bearer" = [])), request_body = NewUpload,
    responses(
        (status = 201, description = "The form to post", body = UploadForm),
        (status = 403, description = "`insufficient_scope`: the item is somebody else's; `email_not_verified`", body = Problem),
        (status = 404, description = "No item that the caller may see has this id", body = Problem),
        (status = 409, description = "`quota_exceeded`; `limit_reached`: the item has five images", body = Problem),
    )
)]
pub(crate) async fn begin_upload(
    State(app): State<App>,
    current: CurrentUser,
    Body(new): Body<NewUpload>,
) -> Result<(StatusCode, Json<UploadForm>)> {
    let (owner, purpose) = match new.item_id {
        None => (current.user.id, Purpose::Upload),
        Some(item_id) => {
            current.require_to_write(&app, Scope::ItemsWrite)?;
            if !new.content_type.is_image() {
                let refusal = Refusal::UnsupportedContent;
                return Err(files::refused("content_type", &refusal));
            }
            let item = item::find(&app, &current, item_id, 1).await?;
            (item.owner_id, Purpose::ItemImage { item_id })
        }
    };
    let (content_type, size) = (new.content_type, new.size.0);
    let now = app.clock.now();
    let file = File::new(owner, purpose, new.filename, content_type, size, now);
    let key = keys::pending(file.id);
    let form = Bucket::new(&app)?.form(&key, content_type, size, now, FORM_SECONDS)?;
    let begun = std::slice::from_ref(&file);
    app.store.begin_files(begun, files::quota(&app)).await?;
    let form = UploadForm {
        id: file.id,
        url: form.url,
        fields: form.fields,
        expires_at: now + SignedDuration::from_secs(FORM_SECONDS.into()),
    };
    Ok((StatusCode::CREATED, Json(form)))
}

/// What is to be uploaded.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"filename": "blanket.jpg", "content_type": "image/jpeg", "size": 2482130}))]
pub(crate) struct NewUpload {
    /// What it is called. Cleaned rather than refused.
    filename: Filename,
    /// What it is. The bytes must say so too.
    content_type: ContentType,
    /// In bytes.
    size: UploadSize,
    /// An item that it is an image of.
    item_id: Option<Uuid>,
}

/// How large an upload may be, in bytes.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(try_from = "u64")]
#[schema(value_type = u64, minimum = 1, maximum = 10485760, example = 2482130)]
struct UploadSize(u64);

impl TryFrom<u64> for UploadSize {
    type Error = Invalid;

    fn try_from(size: u64) -> Result<Self, Invalid> {
        match size {
            0 => Err(Invalid::new("empty", "must be 1 at least")),
            size if size > MOST_BYTES => {
                let message = format!("must be {MOST_BYTES} at most");
                Err(Invalid::new("too_large", message))
            }
            size => Ok(Self(size)),
        }
    }
}

/// How the bytes get to their place.
#[derive(Serialize, ToSchema)]
pub(crate) struct UploadForm {
    /// What the file is going to be known by.
    id: Uuid,
    /// Where the form goes.
    #[schema(example = "https://sheaf-files.s3.eu-central-1.amazonaws.com/")]
    url: String,
    /// The fields to send before `file`, each as it is.
    #[schema(example = json!({"key": "pending/0198c8f5", "Content-Type": "image/jpeg", "policy": "eyJ…", "x-amz-signature": "5f…"}))]
    fields: BTreeMap<String, String>,
    /// Until then the form is taken.
    expires_at: Timestamp,
}
