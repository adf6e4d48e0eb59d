//! `GET /categories/{slug}/items`

use axum::Json;
use axum::extract::{Path, State};
use shared::auth::Visitor;
use shared::http::{PageOf, Paging, Problem, Query};
use shared::store::items::ItemFilter;
use shared::{App, Result};

use crate::filter::{self, Prices, Sort};
use crate::item::{self, Item};

/// Items of a category
///
/// The active ones in it and in all categories below it; as `GET /items` with the filter `category`.
#[utoipa::path(
    get, path = "/{slug}/items", tag = "categories", security((), ("bearer" = [])),
    params(("slug" = String, Path, description = "The slug or the id", example = "phones"), Prices, Sort, Paging),
    responses(
        (status = 200, description = "A page of items", body = PageOf<Item>),
        (status = 404, description = "No category that the caller may see has this slug or id", body = Problem),
    )
)]
pub(crate) async fn list_category_items(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(query): Query<(Prices, (Sort, Paging))>,
) -> Result<Json<PageOf<Item>>> {
    let (prices, (sort, Paging(slice))) = query;
    let found = super::find(&app, &visitor, &name).await?;
    let (categories, category) = found.ok_or(super::NOT_FOUND)?;
    let (tree, _) = &*categories;
    let filter = ItemFilter {
        categories: Some(tree.descendants(category.id)),
        ..filter::active(prices, sort)
    };
    let found = app.store.items(&filter, &slice).await?;
    Ok(item::page(&app, &visitor, &slice, found))
}
