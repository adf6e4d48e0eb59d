//! `DELETE /files/{id}`

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use shared::auth::CurrentUser;
use shared::http::{Id, Problem, RequestInfo, etag};
use shared::models::audit::AuditEntry;
use shared::{App, Result};

use crate::file;

/// Delete a file
///
/// One's own, or any with the scope `admin:all`. The user or the item that it was an image of has it no longer. Its
/// bytes go a moment later; who has got a link to them may use it until then. `If-Match` is honoured.
#[utoipa::path(
    delete, path = "/{id}", tag = "files", security(("bearer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "`insufficient_scope`: it is somebody else's", body = Problem),
        (status = 404, description = "No file that the caller may see has this id", body = Problem),
        (status = 409, description = "`busy`: others change it all the time", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
    )
)]
pub(crate) async fn delete_file(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    Id(id): Id,
) -> Result<StatusCode> {
    let file = file::find_own(&app, &current, id).await?;
    etag::check_if_match(&headers, file.version)?;
    let actor = Some(current.user.id);
    let audit = AuditEntry::new("file.deleted", actor, &info.ip().to_string()).about(id);
    app.store.delete_file(id, app.clock.now(), &audit).await?;
    Ok(StatusCode::NO_CONTENT)
}
