//! `GET /files`

use axum::Json;
use axum::extract::State;
use shared::auth::CurrentUser;
use shared::http::{PageOf, Paging};
use shared::{App, Result};

use crate::file::File;

/// My files
///
/// The newest first: avatar, images of items, uploads, and images made on request.
#[utoipa::path(
    get, path = "", tag = "files", security(("bearer" = [])), params(Paging),
    responses(
        (status = 200, description = "A page of the caller's files", body = PageOf<File>),
    )
)]
pub(crate) async fn list_files(
    State(app): State<App>,
    current: CurrentUser,
    Paging(slice): Paging,
) -> Result<Json<PageOf<File>>> {
    let page = app.store.files_of(current.user.id, &slice).await?;
    Ok(Json(PageOf::new(&slice, page, File::from)))
}
