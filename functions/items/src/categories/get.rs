//! `GET /categories/{id}`

use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;
use shared::auth::Visitor;
use shared::http::{Problem, etag};
use shared::{App, Result};

use super::category::{self, Category};

/// A category
///
/// By its id or its slug. One that is not active is there with the scope `items:manage` only. With an `ETag`;
/// `If-None-Match` is answered with 304.
#[utoipa::path(
    get, path = "/{id}", tag = "categories", security((), ("bearer" = [])),
    params(("id" = String, Path, description = "The id or the slug", example = "phones")),
    responses(
        (status = 200, description = "The category", body = Category),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "No category that the caller may see has this id or slug", body = Problem),
    )
)]
pub(crate) async fn get_category(
    State(app): State<App>,
    headers: HeaderMap,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response> {
    let found = super::find(&app, &visitor, &name).await?;
    let (categories, category) = found.ok_or(super::NOT_FOUND)?;
    let (tree, _) = &*categories;
    let tag = category::tag(tree, &category);
    let category = Category::of(tree, category);
    Ok(etag::respond_tagged(&headers, &tag, category))
}
