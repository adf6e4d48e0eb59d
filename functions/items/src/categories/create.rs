//! `POST /categories`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use serde::Deserialize;
use shared::auth::CurrentUser;
use shared::http::{Body, PREFIX, Problem, RequestInfo};
use shared::models::category::{CategoryName, Slug};
use shared::models::item::Description;
use shared::models::{self, Scope};
use shared::store::categories::MOST_CATEGORIES;
use shared::{App, Error, Result};
use utoipa::ToSchema;
use uuid::Uuid;

use super::category::Category;
use super::change;
use crate::create::description;

/// Create a category
///
/// Its slug is made of the name, unless one is sent. Names are unique whatever their case. There may be a thousand
/// categories, eight levels deep. Needs the scope `items:manage`.
#[utoipa::path(
    post, path = "", tag = "categories", security(("bearer" = ["items:manage"])), request_body = NewCategory,
    responses(
        (status = 201, description = "The new category", body = Category, headers(("Location" = String), ("ETag" = String))),
        (status = 409, description = "`name_taken`, `slug_taken`, `limit_reached` or `stale`", body = Problem),
        (status = 422, description = "Every field that is not valid; `unknown_category` or `too_deep`", body = Problem),
    )
)]
pub(crate) async fn create_category(
    State(app): State<App>,
    info: RequestInfo,
    current: CurrentUser,
    Body(new): Body<NewCategory>,
) -> Result<Response> {
    current.require(Scope::ItemsManage)?;
    let category = new.into_category()?;
    let location = format!("{PREFIX}/categories/{}", category.id);
    let saved = change::save(&app, &info, &current, |tree| {
        match tree.all().count() < MOST_CATEGORIES {
            true => Ok((None, category.clone())),
            false => Err(Error::LimitReached("categories")),
        }
    });
    let body = saved.await?;
    Ok((StatusCode::CREATED, [(LOCATION, location)], body).into_response())
}

/// A category to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Phones", "description": "With and without a cord."}))]
pub(crate) struct NewCategory {
    name: CategoryName,
    /// Made of the name, unless given.
    slug: Option<Slug>,
    /// An empty one is none.
    #[serde(default, deserialize_with = "description")]
    description: Option<Description>,
    /// The category that it is below; a root without it.
    parent_id: Option<Uuid>,
    /// True, unless given.
    #[serde(default = "yes")]
    is_active: bool,
}

fn yes() -> bool {
    true
}

impl NewCategory {
    fn into_category(self) -> Result<models::Category> {
        let slug = self.slug.or_else(|| Slug::of(self.name.as_str()));
        let slug = slug.ok_or_else(|| {
            let message =
                "must be sent, because the name has neither a letter from a to z nor a digit";
            Error::invalid("slug", "required", message)
        })?;
        Ok(models::Category {
            description: self.description,
            parent_id: self.parent_id,
            is_active: self.is_active,
            ..models::Category::new(self.name, slug)
        })
    }
}
