//! `POST /items`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Deserializer};
use shared::auth::CurrentUser;
use shared::http::{Body, PREFIX, Problem, RequestInfo, etag};
use shared::models::audit::AuditEntry;
use shared::models::item::{Description, ItemStatus, Quantity, Tags, Title};
use shared::models::money::{Percent, Price};
use shared::models::{self, Scope};
use shared::{App, Result};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::item::{self, Item};

/// Create an item
///
/// Any user may; it is the caller's. Only administrators say what is featured. Lists that are sorted by price have it a
/// moment later, a search and the list of tags a few seconds later. Needs the scope `items:write`.
#[utoipa::path(
    post, path = "", tag = "items", security(("bearer" = ["items:write"])), request_body = NewItem,
    responses(
        (status = 201, description = "The new item", body = Item, headers(("Location" = String), ("ETag" = String))),
        (status = 403, description = "`insufficient_scope`; `email_not_verified`", body = Problem),
        (status = 422, description = "Every field that is not valid; `unknown_category`", body = Problem),
    )
)]
pub(crate) async fn create_item(
    State(app): State<App>,
    info: RequestInfo,
    current: CurrentUser,
    Body(new): Body<NewItem>,
) -> Result<Response> {
    current.require_to_write(&app, Scope::ItemsWrite)?;
    let item = create(&app, &info, &current, new).await?;
    item::forget_lists(&app);
    let location = format!("{PREFIX}/items/{}", item.id);
    let tag = item.entity_tag();
    let body = etag::respond_tagged(&HeaderMap::new(), &tag, Item::whole(&app, item));
    Ok((StatusCode::CREATED, [(LOCATION, location)], body).into_response())
}

/// Makes an item of the caller's.
pub(crate) async fn create(
    app: &App,
    info: &RequestInfo,
    current: &CurrentUser,
    new: NewItem,
) -> Result<models::Item> {
    if new.is_featured.is_some() {
        current.require(Scope::AdminAll)?;
    }
    let me = current.user.id;
    let item = item::checked(new.into_item(me))?;
    let audit = AuditEntry::new("item.created", Some(me), &info.ip().to_string());
    app.store.create_item(&item, &audit.about(item.id)).await?;
    Ok(item)
}

/// What somebody offers.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "title": "Wool blanket", "description": "Warm, and does not scratch.", "price": 59.9, "discount_price": 49.9,
    "tax": 19, "tags": ["camping"], "stock": 12,
}))]
pub(crate) struct NewItem {
    title: Title,
    /// An empty one is none.
    #[serde(default, deserialize_with = "description")]
    description: Option<Description>,
    price: Price,
    /// Below `price`.
    discount_price: Option<Price>,
    /// Percent; 0, unless given.
    #[serde(default)]
    tax: Percent,
    /// `active`, unless given.
    #[serde(default)]
    status: ItemStatus,
    category_id: Option<Uuid>,
    #[serde(default)]
    tags: Tags,
    /// How many there are; 0, unless given.
    #[serde(default)]
    stock: Quantity,
    /// For administrators only.
    is_featured: Option<bool>,
}

impl NewItem {
    fn into_item(self, owner: Uuid) -> models::Item {
        models::Item {
            description: self.description,
            discount_price: self.discount_price,
            tax: self.tax,
            status: self.status,
            category_id: self.category_id,
            tags: self.tags.into(),
            stock: self.stock.get(),
            is_featured: self.is_featured.unwrap_or_default(),
            ..models::Item::new(owner, self.title, self.price)
        }
    }
}

/// A description, or none if there is nothing in it.
pub(crate) fn description<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Description>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let text = text.filter(|text| !text.trim().is_empty());
    let parsed = text.map(Description::try_from).transpose();
    parsed.map_err(serde::de::Error::custom)
}
