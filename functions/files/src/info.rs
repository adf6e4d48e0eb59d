//! `GET /files/{id}/info`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use shared::auth::Visitor;
use shared::http::{Id, Problem, etag};
use shared::{App, Result};

use crate::file::{self, File};

/// A file
///
/// What is known of it, for whoever may see it. With an `ETag`; `If-None-Match` is answered with 304, so that waiting
/// for its variants costs little.
#[utoipa::path(
    get, path = "/{id}/info", tag = "files", security((), ("bearer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The file", body = File),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "No file that the caller may see has this id", body = Problem),
    )
)]
pub(crate) async fn get_file_info(
    State(app): State<App>,
    headers: HeaderMap,
    visitor: Visitor,
    Id(id): Id,
) -> Result<Response> {
    let file = file::find(&app, &visitor, id).await?;
    let version = file.version;
    Ok(etag::respond(&headers, version, File::from(file)))
}
