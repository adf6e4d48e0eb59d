//! `POST /items/{id}/images`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use shared::auth::CurrentUser;
use shared::bucket::Bucket;
use shared::http::{Id, Problem, RequestInfo};
use shared::models::Scope;
use shared::models::audit::AuditEntry;
use shared::models::file::{MOST_IMAGES, Purpose};
use shared::{App, Result, files};
use utoipa::ToSchema;

use crate::file::File;
use crate::form::{self, Form};
use crate::item;

/// Add images to an item
///
/// All of them or none, behind those that it has, in the order in which they come. To one's own item, or to any with
/// the scope `admin:all`; they are the owner's then too. Each is taken as an avatar is, and all come in one form of up
/// to 4.4 MB; larger ones go through `/files/uploads`. What fits into 256 and into 1,024 pixels is there a moment
/// later. Needs the scope `items:write`.
#[utoipa::path(
    post, path = "/{id}/images", tag = "files", security(("bearer" = ["items:write"])), params(("id" = Uuid, Path)),
    request_body(content = ImagesForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "The new images", body = UploadedFiles),
        (status = 403, description = "`insufficient_scope`: it is somebody else's; `email_not_verified`", body = Problem),
        (status = 404, description = "No item that the caller may see has this id", body = Problem),
        (status = 409, description = "`limit_reached`: it would have more than five; `quota_exceeded`; `busy`: others \
            change it all the time", body = Problem),
        (status = 413, description = "A form of more than 4.4 MB", body = Problem),
        (status = 422, description = "Every field that is not valid, as `files[3]`: `unsupported_content`, \
            `too_large`, `too_many_pixels`, `broken_image`, `empty`", body = Problem),
    )
)]
pub(crate) async fn add_item_images(
    State(app): State<App>,
    info: RequestInfo,
    current: CurrentUser,
    Id(id): Id,
    mut form: Form,
) -> Result<(StatusCode, Json<UploadedFiles>)> {
    current.require_to_write(&app, Scope::ItemsWrite)?;
    let sent = form.files("files", MOST_IMAGES);
    form.finish()?;
    let item = item::find(&app, &current, id, sent.len()).await?;
    let images = form::images(sent)?;
    let (ip, actor) = (info.ip().to_string(), Some(current.user.id));
    let audit = AuditEntry::new("item.images_added", actor, &ip).about(id);
    let bucket = Bucket::new(&app)?;
    let purpose = Purpose::ItemImage { item_id: id };
    let added = files::publish(&app, &bucket, item.owner_id, purpose, images, &audit).await?;
    tracing::info!(item.id = %id, "added {} images to item {id}", added.len());
    let uploaded_files = added.into_iter().map(File::from).collect();
    Ok((StatusCode::CREATED, Json(UploadedFiles { uploaded_files })))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UploadedFiles {
    uploaded_files: Vec<File>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes")]
pub(crate) struct ImagesForm {
    /// One to five.
    #[schema(value_type = Vec<String>, format = Binary, min_items = 1, max_items = 5)]
    files: Vec<Vec<u8>>,
}
