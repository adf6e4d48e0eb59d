//! `DELETE /categories/{id}`

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use shared::auth::CurrentUser;
use shared::http::{Id, Problem, RequestInfo, etag};
use shared::models::Scope;
use shared::models::audit::AuditEntry;
use shared::{App, Error, Result};

use super::category;
use super::change::MOST_RETRIES;

/// Delete a category
///
/// One that has neither items, whatever their status, nor categories below it. `If-Match` is honoured. Needs the scope
/// `items:manage`.
#[utoipa::path(
    delete, path = "/{id}", tag = "categories", security(("bearer" = ["items:manage"])), params(("id" = Uuid, Path)),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "No category has this id", body = Problem),
        (status = 409, description = "`category_in_use` or `stale`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
    )
)]
pub(crate) async fn delete_category(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    Id(id): Id,
) -> Result<StatusCode> {
    current.require(Scope::ItemsManage)?;
    let mut retries = 0;
    loop {
        let (tree, version) = app.store.categories().await?;
        let category = tree.get(id).ok_or(super::NOT_FOUND)?;
        etag::check_if_match_tag(&headers, &category::tag(&tree, category))?;
        if tree.children(id).next().is_some() {
            return Err(Error::CategoryInUse);
        }
        let actor = Some(current.user.id);
        let audit = AuditEntry::new("category.deleted", actor, &info.ip().to_string());
        let deleted = app
            .store
            .delete_category(version, category, &audit.about(id))
            .await;
        // Also after an error: the answer may have been lost.
        app.caches.categories.clear();
        match deleted {
            Err(Error::Stale) if retries < MOST_RETRIES => retries += 1,
            deleted => {
                deleted?;
                return Ok(StatusCode::NO_CONTENT);
            }
        }
    }
}
