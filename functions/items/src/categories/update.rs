//! `PATCH, PUT /categories/{id}`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;
use shared::auth::CurrentUser;
use shared::http::{Body, Id, Patch, Problem, RequestInfo, etag};
use shared::models::category::{CategoryName, Slug};
use shared::models::item::Description;
use shared::models::{self, Scope};
use shared::{App, Error, Result};
use utoipa::ToSchema;
use uuid::Uuid;

use super::category::{self, Category};
use super::change;
use crate::update::{description, replace};

/// Change a category
///
/// Only the fields that are sent change; null clears one, and as `parent_id` it makes a root. What is below moves with
/// it. `If-Match` is honoured. Needs the scope `items:manage`.
#[utoipa::path(
    patch, path = "/{id}", tag = "categories", security(("bearer" = ["items:manage"])), params(("id" = Uuid, Path)),
    request_body = CategoryChange,
    responses(
        (status = 200, description = "The changed category", body = Category),
        (status = 404, description = "No category has this id", body = Problem),
        (status = 409, description = "`name_taken`, `slug_taken`, `category_cycle` or `stale`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
        (status = 422, description = "Every field that is not valid; `unknown_category` or `too_deep`", body = Problem),
    )
)]
pub(crate) async fn update_category(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    Id(id): Id,
    Body(change): Body<CategoryChange>,
) -> Result<Response> {
    current.require(Scope::ItemsManage)?;
    let saved = change::save(&app, &info, &current, |tree| {
        let old = tree.get(id).ok_or(super::NOT_FOUND)?;
        etag::check_if_match_tag(&headers, &category::tag(tree, old))?;
        let new = change.clone().apply(old.clone())?;
        Ok((Some(old.clone()), new))
    });
    saved.await
}

/// Change a category (PUT)
///
/// The same partial update as `PATCH`, which is canonical.
#[utoipa::path(
    put, path = "/{id}", tag = "categories", security(("bearer" = ["items:manage"])), params(("id" = Uuid, Path)),
    request_body = CategoryChange,
    responses(
        (status = 200, description = "The changed category", body = Category),
        (status = 404, description = "No category has this id", body = Problem),
        (status = 409, description = "`name_taken`, `slug_taken`, `category_cycle` or `stale`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
        (status = 422, description = "Every field that is not valid; `unknown_category` or `too_deep`", body = Problem),
    )
)]
pub(crate) async fn put_category(
    state: State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    id: Id,
    change: Body<CategoryChange>,
) -> Result<Response> {
    update_category(state, info, headers, current, id, change).await
}

/// What may be changed of a category.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Mobile phones", "parent_id": null}))]
pub(crate) struct CategoryChange {
    #[serde(default)]
    #[schema(value_type = CategoryName, required = false)]
    name: Patch<CategoryName>,
    /// It does not follow the name.
    #[serde(default)]
    #[schema(value_type = Slug, required = false)]
    slug: Patch<Slug>,
    /// An empty one is none.
    #[serde(default, deserialize_with = "description")]
    #[schema(value_type = Option<Description>)]
    description: Patch<Description>,
    #[serde(default)]
    #[schema(value_type = Option<Uuid>)]
    parent_id: Patch<Uuid>,
    #[serde(default)]
    #[schema(value_type = bool, required = false)]
    is_active: Patch<bool>,
}

impl CategoryChange {
    fn apply(self, mut category: models::Category) -> Result<models::Category> {
        let mut wrong = Vec::new();
        replace("name", self.name, &mut category.name, &mut wrong);
        replace("slug", self.slug, &mut category.slug, &mut wrong);
        self.description.apply(&mut category.description);
        self.parent_id.apply(&mut category.parent_id);
        let is_active = &mut category.is_active;
        replace("is_active", self.is_active, is_active, &mut wrong);
        match wrong.is_empty() {
            true => Ok(category),
            false => Err(Error::Invalid(wrong)),
        }
    }
}
