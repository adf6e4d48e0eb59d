//! `DELETE /items/{id}`

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use shared::auth::CurrentUser;
use shared::http::{Id, Problem, RequestInfo, etag};
use shared::models::Scope;
use shared::models::audit::AuditEntry;
use shared::{App, Error, Result};

use crate::item;
use crate::update::may_retry;

/// Delete an item
///
/// One's own, or any with the scope `admin:all`. `If-Match` is honoured. Needs the scope `items:write`.
#[utoipa::path(
    delete, path = "/{id}", tag = "items", security(("bearer" = ["items:write"])), params(("id" = Uuid, Path)),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "`insufficient_scope`: it is somebody else's; `email_not_verified`", body = Problem),
        (status = 404, description = "No item that the caller may see has this id", body = Problem),
        (status = 409, description = "`stale`: others change it all the time", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
    )
)]
pub(crate) async fn delete_item(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    Id(id): Id,
) -> Result<StatusCode> {
    current.require_to_write(&app, Scope::ItemsWrite)?;
    let mut retries = 0;
    loop {
        let item = item::find_own(&app, &current, id).await?;
        etag::check_if_match_tag(&headers, &item.entity_tag())?;
        let actor = Some(current.user.id);
        let audit = AuditEntry::new("item.deleted", actor, &info.ip().to_string());
        let deleted = app.store.delete_item(&item, &audit.about(id)).await;
        match deleted {
            Err(Error::Stale) if may_retry(&headers, retries) => retries += 1,
            deleted => {
                deleted.map_err(etag::lost_race(&headers))?;
                item::forget_lists(&app);
                return Ok(StatusCode::NO_CONTENT);
            }
        }
    }
}
