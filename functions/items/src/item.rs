//! An item on the wire, and whose it is to see and to change.

use axum::Json;
use jiff::Timestamp;
use serde::Serialize;
use shared::auth::{CurrentUser, Visitor};
use shared::http::PageOf;
use shared::models::item::{Description, ItemStatus, Tag, Title};
use shared::models::money::{Money, Percent, Price};
use shared::models::page::{Page, Slice};
use shared::models::{self, Scope};
use shared::{App, Error, FieldError, Result, files};
use utoipa::ToSchema;
use uuid::Uuid;

const NOT_FOUND: Error = Error::NotFound("item of this id");

/// Something that is offered.
#[derive(Serialize, ToSchema)]
pub(crate) struct Item {
    id: Uuid,
    owner_id: Uuid,
    title: Title,
    description: Option<Description>,
    price: Price,
    /// What it costs instead of `price`.
    discount_price: Option<Price>,
    /// Percent.
    tax: Percent,
    /// `discount_price`, or else `price`, with tax.
    total_price: Money,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    status: ItemStatus,
    category_id: Option<Uuid>,
    /// Each once, in the order of their letters.
    tags: Vec<Tag>,
    /// How many there are; null to whom it does not belong.
    #[schema(example = 20)]
    stock: Option<i64>,
    /// How many of them orders hold; null to whom it does not belong.
    #[schema(example = 3)]
    reserved: Option<i64>,
    /// How many can be ordered.
    #[schema(example = 17)]
    available: i64,
    /// How often it was looked at, a few seconds ago.
    views: u64,
    /// Where its pictures are, below the API's root.
    #[schema(example = json!(["/api/v1/files/0198c8f5-6b1e-7c3a-9d52-2f0e8a41b7c6"]))]
    images: Vec<String>,
    is_featured: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Item {
    /// As those see it who may change it.
    pub(crate) fn whole(app: &App, item: models::Item) -> Self {
        let (stock, reserved) = (Some(item.stock), Some(item.reserved));
        Self {
            stock,
            reserved,
            ..Self::public(app, item)
        }
    }

    /// As all others see it.
    pub(crate) fn public(app: &App, item: models::Item) -> Self {
        Self {
            total_price: item.total_price(),
            available: item.available(),
            id: item.id,
            owner_id: item.owner_id,
            title: item.title,
            description: item.description,
            price: item.price,
            discount_price: item.discount_price,
            tax: item.tax,
            currency: app.config.currency.clone(),
            status: item.status,
            category_id: item.category_id,
            tags: item.tags,
            stock: None,
            reserved: None,
            views: item.views,
            images: item.images.into_iter().map(files::url).collect(),
            is_featured: item.is_featured,
            created_at: item.created_at,
            updated_at: item.updated_at,
        }
    }

    fn seen_by(app: &App, visitor: &Visitor, item: models::Item) -> Self {
        match sees_all(visitor, &item) {
            true => Self::whole(app, item),
            false => Self::public(app, item),
        }
    }
}

/// A page of items as somebody sees them.
pub(crate) fn page(
    app: &App,
    visitor: &Visitor,
    slice: &Slice,
    found: Page<models::Item>,
) -> Json<PageOf<Item>> {
    let seen = |item| Item::seen_by(app, visitor, item);
    Json(PageOf::new(slice, found, seen))
}

/// Whether somebody may change an item, and therefore sees all of it, also while it is not active.
pub(crate) fn sees_all(visitor: &Visitor, item: &models::Item) -> bool {
    visitor.is(item.owner_id) || visitor.can(Scope::AdminAll)
}

/// The item of this id, for somebody who may see it.
pub(crate) async fn find(app: &App, visitor: &Visitor, id: Uuid) -> Result<models::Item> {
    let item = app.store.item(id).await?.ok_or(NOT_FOUND)?;
    match item.status == ItemStatus::Active || sees_all(visitor, &item) {
        true => Ok(item),
        false => Err(NOT_FOUND),
    }
}

/// The item of this id, for somebody who wants to change it. 404 if they may not even see it, 403 if it is not theirs.
pub(crate) async fn find_own(app: &App, current: &CurrentUser, id: Uuid) -> Result<models::Item> {
    let item = app.store.item(id).await?.ok_or(NOT_FOUND)?;
    if item.owner_id == current.user.id {
        return Ok(item);
    }
    match current.require(Scope::AdminAll) {
        Err(_) if item.status != ItemStatus::Active => Err(NOT_FOUND),
        Err(refused) => Err(refused),
        Ok(()) => Ok(item),
    }
}

/// Refuses what is wrong only with several fields together.
pub(crate) fn checked(item: models::Item) -> Result<models::Item> {
    let Err(wrong) = item.check() else {
        return Ok(item);
    };
    let told = wrong.into_iter().map(|(field, invalid)| FieldError {
        field: field.to_owned(),
        message: invalid.message,
        code: invalid.code.to_owned(),
    });
    Err(Error::Invalid(told.collect()))
}

/// Forgets the lists that are kept, since an item that may be in them has changed.
pub(crate) fn forget_lists(app: &App) {
    app.caches.popular.clear();
    app.caches.featured.clear();
}
