//! `GET /users/me/activity`

use axum::Json;
use axum::extract::State;
use shared::auth::CurrentUser;
use shared::http::{PageOf, Paging};
use shared::{App, Result};

use crate::entry::Entry;

/// My activity
///
/// What was done to the caller's account, by themselves and by others, the newest first.
#[utoipa::path(
    get, path = "/me/activity", tag = "users", security(("bearer" = [])), params(Paging),
    responses(
        (status = 200, description = "A page of the caller's audit trail", body = PageOf<Entry>),
    )
)]
pub(crate) async fn list_my_activity(
    State(app): State<App>,
    current: CurrentUser,
    Paging(slice): Paging,
) -> Result<Json<PageOf<Entry>>> {
    let me = current.user.id;
    let page = app.store.trail(me, &slice).await?;
    Ok(Json(PageOf::new(&slice, page, |entry| {
        Entry::seen_by(me, entry)
    })))
}
