//! `POST /files/avatar`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use shared::auth::CurrentUser;
use shared::bucket::Bucket;
use shared::http::{Problem, RequestInfo, etag};
use shared::models::audit::AuditEntry;
use shared::models::file::Purpose;
use shared::{App, Context, Result, files};
use utoipa::ToSchema;

use crate::file::File;
use crate::form::Form;

/// Set my avatar
///
/// In the place of the one before, which goes a moment later. What is taken is told by the bytes: JPEG, PNG, GIF or
/// WebP, up to 4 MB, 40 megapixels, and 16,384 pixels a side. It is stored anew, upright and without what the camera
/// has noted; of an animation, the first frame. Anybody may see it. Its squares of 64, 256 and 512 pixels are there a
/// moment later.
#[utoipa::path(
    post, path = "/avatar", tag = "files", security(("bearer" = [])),
    request_body(content = AvatarForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "The avatar", body = File, headers(("Location" = String), ("ETag" = String))),
        (status = 409, description = "`quota_exceeded`; `busy`: others set it at the same time", body = Problem),
        (status = 413, description = "A form of more than 4.4 MB", body = Problem),
        (status = 422, description = "Every field that is not valid: `unsupported_content`, `too_large`, \
            `too_many_pixels`, `broken_image`, `empty`", body = Problem),
    )
)]
pub(crate) async fn set_avatar(
    State(app): State<App>,
    info: RequestInfo,
    current: CurrentUser,
    mut form: Form,
) -> Result<Response> {
    let sent = form.file("file");
    form.finish()?;
    let image = sent.image()?;
    let me = current.user.id;
    let audit = AuditEntry::new("user.avatar_changed", Some(me), &info.ip().to_string());
    let bucket = Bucket::new(&app)?;
    let published = files::publish(&app, &bucket, me, Purpose::Avatar, vec![image], &audit).await?;
    let file = published.into_iter().next();
    let file = file.context("an avatar is one file")?;
    tracing::info!(file.id = %file.id, "published avatar {}", file.id);
    let location = files::url(file.id);
    let body = etag::respond(&HeaderMap::new(), file.version, File::from(file));
    Ok((StatusCode::CREATED, [(LOCATION, location)], body).into_response())
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes")]
pub(crate) struct AvatarForm {
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}
