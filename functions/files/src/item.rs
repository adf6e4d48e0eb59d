//! The item that images are for.

use shared::auth::CurrentUser;
use shared::models::file::MOST_IMAGES;
use shared::models::{Item, ItemStatus, Scope};
use shared::{App, Error, Result};
use uuid::Uuid;

const NOT_FOUND: Error = Error::NotFound("item of this id");

/// The item of this id, for somebody who wants to add so many images to it. 404 if they may not even see it, 403 if it
/// is not theirs, 409 `limit_reached` if it has too many already; others may be adding some just now.
pub(crate) async fn find(app: &App, current: &CurrentUser, id: Uuid, more: usize) -> Result<Item> {
    let item = app.store.item(id).await?.ok_or(NOT_FOUND)?;
    if item.owner_id != current.user.id {
        match current.require(Scope::AdminAll) {
            Err(_) if item.status != ItemStatus::Active => return Err(NOT_FOUND),
            allowed => allowed?,
        }
    }
    match item.images.len() + more > MOST_IMAGES {
        true => Err(Error::LimitReached("images of this item")),
        false => Ok(item),
    }
}
