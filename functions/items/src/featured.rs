//! `GET /items/featured`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use shared::auth::Visitor;
use shared::http::PageOf;
use shared::models::item::ItemStatus;
use shared::models::page::{From, Slice};
use shared::store::items::ItemFilter;
use shared::{App, Result};

use crate::item::Item;
use crate::showcase;

/// How many are shown.
const MOST: u32 = 100;

/// Featured items
///
/// Those that administrators have chosen, the newest hundred of them. Up to a minute old, and to be kept for a minute:
/// with an `ETag`; `If-None-Match` is answered with 304.
#[utoipa::path(
    get, path = "/featured", tag = "items", security((), ("bearer" = [])),
    responses(
        (status = 200, description = "Up to a hundred items", body = PageOf<Item>),
        (status = 304, description = "Unchanged"),
    )
)]
pub(crate) async fn list_featured_items(
    State(app): State<App>,
    headers: HeaderMap,
    _: Visitor,
) -> Result<Response> {
    let filter = ItemFilter {
        statuses: vec![ItemStatus::Active],
        is_featured: true,
        ..ItemFilter::default()
    };
    let slice = Slice {
        from: From::Skip(0),
        limit: MOST,
    };
    let load = async {
        let page = app.store.items(&filter, &slice).await;
        page.map(|page| page.items)
    };
    let items = app.caches.featured.get(app.clock.seconds(), load).await?;
    showcase::respond(&app, &headers, &items, MOST)
}
