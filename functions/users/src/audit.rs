//! `GET /users/{id}/audit`

use axum::Json;
use axum::extract::State;
use shared::auth::CurrentUser;
use shared::http::{Id, PageOf, Paging};
use shared::models::Scope;
use shared::{App, Result};

use crate::entry::Entry;

/// The audit trail of a user
///
/// Who did what to them, the newest first, with the fields that changed. Also of a user who was deleted, until it ends;
/// then without anything personal. Needs the scope `admin:all`.
#[utoipa::path(
    get, path = "/{id}/audit", tag = "users", security(("bearer" = ["admin:all"])),
    params(("id" = Uuid, Path), Paging),
    responses(
        (status = 200, description = "A page of the trail; empty for an unknown user", body = PageOf<Entry>),
    )
)]
pub(crate) async fn list_user_audit(
    State(app): State<App>,
    current: CurrentUser,
    Id(id): Id,
    Paging(slice): Paging,
) -> Result<Json<PageOf<Entry>>> {
    current.require(Scope::AdminAll)?;
    let page = app.store.trail(id, &slice).await?;
    Ok(Json(PageOf::new(&slice, page, Entry::whole)))
}
