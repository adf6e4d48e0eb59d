//! `GET /items/search`

use axum::Json;
use axum::extract::State;
use shared::auth::Visitor;
use shared::http::{FromParams, PageOf, Paging, Params, Problem, Query};
use shared::models::search;
use shared::{App, Context, Result};
use utoipa::IntoParams;

use crate::filter::{self, Prices};
use crate::item::{self, Item};

/// Search items
///
/// Active ones whose title or description contains `q`, whatever its case. Found a few seconds after a change. Paged by
/// cursor only; a page may be shorter than `limit` and still have a `next_cursor`.
#[utoipa::path(
    get, path = "/search", tag = "items", security((), ("bearer" = [])), params(Wanted, Prices, Paging),
    responses(
        (status = 200, description = "A page of items", body = PageOf<Item>),
        (status = 422, description = "Every parameter that is not valid; `unknown_category`", body = Problem),
    )
)]
pub(crate) async fn search_items(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query<((Searched, Prices), Paging)>,
) -> Result<Json<PageOf<Item>>> {
    let ((Searched { q, category }, prices), Paging(slice)) = query;
    // A query without it was refused.
    let q = q.context("read the query")?;
    let categories = filter::category(&app, &visitor, category.as_deref()).await?;
    let (min, max) = (prices.min_price, prices.max_price);
    let found = app
        .store
        .search_items(&q, min, max, categories.as_deref(), &slice)
        .await?;
    Ok(item::page(&app, &visitor, &slice, found))
}

pub(crate) struct Searched {
    q: Option<search::Query>,
    category: Option<String>,
}

impl FromParams for Searched {
    fn from_params(params: &mut Params<'_>) -> Self {
        if !params.has("q") {
            params.wrong("q", "required", "must be sent");
        }
        Self {
            q: params.read("q", search::Query::parse),
            category: params.read("category", |name| Ok(name.to_owned())),
        }
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it only describes")]
struct Wanted {
    /// What to look for: 2 to 100 characters, among them a word of 2.
    #[param(min_length = 2, max_length = 100, example = "tent")]
    q: String,
    /// Only what is in this category, by its slug or id, or in one below it.
    #[param(example = "tents")]
    category: Option<String>,
}
