//! `GET /items/popular`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use shared::auth::Visitor;
use shared::http::PageOf;
use shared::{App, Result};

use crate::item::Item;
use crate::showcase;

/// How many are shown.
const MOST: u32 = 10;

/// Popular items
///
/// The ten that were looked at most, the first of them first. Up to a minute old, and to be kept for a minute: with an
/// `ETag`; `If-None-Match` is answered with 304.
#[utoipa::path(
    get, path = "/popular", tag = "items", security((), ("bearer" = [])),
    responses(
        (status = 200, description = "Up to ten items", body = PageOf<Item>),
        (status = 304, description = "Unchanged"),
    )
)]
pub(crate) async fn list_popular_items(
    State(app): State<App>,
    headers: HeaderMap,
    _: Visitor,
) -> Result<Response> {
    let load = app.store.popular_items(MOST);
    let items = app.caches.popular.get(app.clock.seconds(), load).await?;
    showcase::respond(&app, &headers, &items, MOST)
}
