//! `POST /files/uploads/{id}/complete`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use shared::auth::CurrentUser;
use shared::bucket::Bucket;
use shared::http::{Id, Problem, RequestInfo, etag};
use shared::models::audit::AuditEntry;
use shared::models::file::{FileStatus, Purpose};
use shared::models::{self, Scope};
use shared::{App, Error, Result, files};
use uuid::Uuid;

use crate::file::{File, NOT_FOUND};

/// Complete an upload
///
/// Checks what was posted, and publishes it. Once it is complete, the answer is the same again. In the place of what is
/// refused something else can be posted, as long as the form is good.
#[utoipa::path(
    post, path = "/uploads/{id}/complete", tag = "files", security(("bearer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The file", body = File, headers(("ETag" = String))),
        (status = 404, description = "The caller has begun no such upload in the last 45 minutes", body = Problem),
        (status = 409, description = "`upload_missing`: nothing was posted yet; `limit_reached`: the item has five \
            images; `busy`", body = Problem),
        (status = 422, description = "The field `file` with what is wrong with the bytes: `unsupported_content`, also \
            if they are not what was announced, `too_large`, `too_many_pixels`, `broken_image`, `empty`",
            body = Problem),
    )
)]
pub(crate) async fn complete_upload(
    State(app): State<App>,
    info: RequestInfo,
    current: CurrentUser,
    Id(id): Id,
) -> Result<Response> {
    let mut file = find(&app, &current, id).await?;
    if file.status == FileStatus::Pending {
        let actor = Some(current.user.id);
        let audit = AuditEntry::new("file.uploaded", actor, &info.ip().to_string());
        let bucket = Bucket::new(&app)?;
        file = match files::complete(&app, &bucket, &file, &audit).await {
            // Perhaps somebody was faster: the same request, or the worker, whom the bucket has told.
            Err(Error::UploadMissing) => {
                let now = find(&app, &current, id).await?;
                let ready = Some(now).filter(|file| file.status == FileStatus::Ready);
                ready.ok_or(Error::UploadMissing)?
            }
            completed => completed?,
        };
    }
    let version = file.version;
    Ok(etag::respond(&HeaderMap::new(), version, File::from(file)))
}

/// The upload of this id, pending or ready, of the caller's. 404 for all others.
async fn find(app: &App, current: &CurrentUser, id: Uuid) -> Result<models::file::File> {
    let file = app.store.file(id).await?.ok_or(NOT_FOUND)?;
    let is_own = file.owner_id == current.user.id || current.require(Scope::AdminAll).is_ok();
    let was_begun = match file.purpose {
        Purpose::Upload | Purpose::ItemImage { .. } => true,
        Purpose::Avatar | Purpose::Processed => false,
    };
    let is_gone = file.status == FileStatus::Deleted || file.is_expired(app.clock.now());
    match is_own && was_begun && !is_gone {
        true => Ok(file),
        false => Err(NOT_FOUND),
    }
}
