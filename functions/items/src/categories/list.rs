//! `GET /categories`

use axum::Json;
use axum::extract::State;
use shared::auth::Visitor;
use shared::http::PageOf;
use shared::models::page::{From, Page, Slice, Total};
use shared::{App, Result};

use super::category::Category;

/// Categories
///
/// The whole tree on one page, in the order of the paths: what is below a category follows it. Inactive ones are shown
/// with the scope `items:manage` only. To others a change may show a minute later.
#[utoipa::path(
    get, path = "", tag = "categories", security((), ("bearer" = [])),
    responses(
        (status = 200, description = "All categories", body = PageOf<Category>),
    )
)]
pub(crate) async fn list_categories(
    State(app): State<App>,
    visitor: Visitor,
) -> Result<Json<PageOf<Category>>> {
    let categories = super::read(&app, &visitor).await?;
    let (tree, _) = &*categories;
    let seen = tree
        .all()
        .filter(|category| super::is_seen(&visitor, category));
    let seen: Vec<_> = seen.cloned().collect();
    let total = u32::try_from(seen.len()).unwrap_or(u32::MAX);
    let slice = Slice {
        from: From::Skip(0),
        limit: total.max(1),
    };
    let page = Page {
        items: seen,
        total: Total::Exactly(total),
        next: None,
    };
    Ok(Json(PageOf::new(&slice, page, |category| {
        Category::of(tree, category)
    })))
}
