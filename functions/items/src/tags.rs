//! `GET /tags` and `/tags/{name}/items`

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use shared::auth::Visitor;
use shared::http::{PageOf, Paging, Problem, Query};
use shared::models::item::Tag;
use shared::store::items::ItemFilter;
use shared::{App, Error, Result};
use utoipa::ToSchema;

use crate::filter::{self, Prices, Sort};
use crate::item::{self, Item};

/// Tags
///
/// Those that active items have, in the order of their letters. What has come or gone shows a few seconds later.
#[utoipa::path(
    get, path = "", tag = "tags", security((), ("bearer" = [])), params(Paging),
    responses(
        (status = 200, description = "A page of tags", body = PageOf<ListedTag>),
    )
)]
pub(crate) async fn list_tags(
    State(app): State<App>,
    _: Visitor,
    Paging(slice): Paging,
) -> Result<Json<PageOf<ListedTag>>> {
    let page = app.store.tags(&slice).await?;
    Ok(Json(PageOf::new(&slice, page, |name| ListedTag { name })))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ListedTag {
    name: Tag,
}

/// Items with a tag
///
/// The active ones; none for a tag that nobody uses. As `GET /items` with the filter `tag`.
#[utoipa::path(
    get, path = "/{name}/items", tag = "tags", security((), ("bearer" = [])),
    params(
        ("name" = String, Path, description = "The tag, whatever its case", example = "camping"), Prices, Sort, Paging
    ),
    responses(
        (status = 200, description = "A page of items", body = PageOf<Item>),
        (status = 404, description = "No tag can be called this", body = Problem),
    )
)]
pub(crate) async fn list_tag_items(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(query): Query<(Prices, (Sort, Paging))>,
) -> Result<Json<PageOf<Item>>> {
    let (prices, (sort, Paging(slice))) = query;
    let no_tag = |_| Error::NotFound("tag of this name");
    let filter = ItemFilter {
        tag: Some(Tag::parse(&name).map_err(no_tag)?),
        ..filter::active(prices, sort)
    };
    let found = app.store.items(&filter, &slice).await?;
    Ok(item::page(&app, &visitor, &slice, found))
}
