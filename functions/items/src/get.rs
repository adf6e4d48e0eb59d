//! `GET /items/{id}`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use shared::auth::Visitor;
use shared::http::{Id, Problem, etag};
use shared::models::item::ItemStatus;
use shared::{App, Result};

use crate::item::{self, Item};

/// An item
///
/// Drafts and inactive items are there for their owner only, and with the scope `admin:all`; these also learn what is
/// on hand and what is reserved. With an `ETag`; `If-None-Match` is answered with 304.
#[utoipa::path(
    get, path = "/{id}", tag = "items", security((), ("bearer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The item", body = Item),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "No item that the caller may see has this id", body = Problem),
    )
)]
pub(crate) async fn get_item(
    State(app): State<App>,
    headers: HeaderMap,
    visitor: Visitor,
    Id(id): Id,
) -> Result<Response> {
    let item = item::find(&app, &visitor, id).await?;
    if item.status == ItemStatus::Active {
        app.views.count(id);
    }
    app.flush_views().await;
    let (tag, item) = match item::sees_all(&visitor, &item) {
        true => (item.entity_tag(), Item::whole(&app, item)),
        // Another tag, because it is another answer: who signs in must not be told that it is unchanged.
        false => (
            format!("{}-public", item.entity_tag()),
            Item::public(&app, item),
        ),
    };
    Ok(etag::respond_tagged(&headers, &tag, item))
}
