//! `PATCH, PUT /items/{id}`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use http::header::IF_MATCH;
use serde::{Deserialize, Deserializer};
use shared::auth::CurrentUser;
use shared::http::{Body, Id, Patch, Problem, RequestInfo, etag};
use shared::models::audit::AuditEntry;
use shared::models::item::{Description, ItemStatus, Tags, Title};
use shared::models::money::{Percent, Price};
use shared::models::{self, Scope};
use shared::{App, Error, FieldError, Result};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::create;
use crate::item::{self, Item};

/// How often a change that has lost a race is tried again.
const MOST_RETRIES: u32 = 2;

/// Change an item
///
/// Only the fields that are sent change; null clears one. What is on hand is changed at `/items/{id}/stock`. One's own,
/// or any with the scope `admin:all`, which also chooses what is featured. `If-Match` is honoured; without it the
/// change is made to the item as it is now. Needs the scope `items:write`.
#[utoipa::path(
    patch, path = "/{id}", tag = "items", security(("bearer" = ["items:write"])), params(("id" = Uuid, Path)),
    request_body = ItemChange,
    responses(
        (status = 200, description = "The changed item", body = Item),
        (status = 403, description = "`insufficient_scope`: it is somebody else's; `email_not_verified`", body = Problem),
        (status = 404, description = "No item that the caller may see has this id", body = Problem),
        (status = 409, description = "`stale`: others change it all the time", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
        (status = 422, description = "Every field that is not valid; `unknown_category`", body = Problem),
    )
)]
pub(crate) async fn update_item(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    Id(id): Id,
    Body(change): Body<ItemChange>,
) -> Result<Response> {
    current.require_to_write(&app, Scope::ItemsWrite)?;
    let mut retries = 0;
    let item = loop {
        let before = item::find_own(&app, &current, id).await?;
        if change.is_featured != Patch::Keep {
            current.require(Scope::AdminAll)?;
        }
        etag::check_if_match_tag(&headers, &before.entity_tag())?;
        let mut after = item::checked(change.clone().apply(before.clone())?)?;
        if after == before {
            break before;
        }
        after.version += 1;
        after.updated_at = app.clock.now();
        let actor = Some(current.user.id);
        let audit = AuditEntry::new("item.updated", actor, &info.ip().to_string());
        let audit = audit.about(id).with_changes(&before, &after);
        let updated = app.store.update_item(&before, &after, &audit).await;
        match updated {
            Err(Error::Stale) if may_retry(&headers, retries) => retries += 1,
            updated => {
                updated.map_err(etag::lost_race(&headers))?;
                item::forget_lists(&app);
                break after;
            }
        }
    };
    let tag = item.entity_tag();
    let item = Item::whole(&app, item);
    Ok(etag::respond_tagged(&HeaderMap::new(), &tag, item))
}

/// Change an item (PUT)
///
/// The same partial update as `PATCH`, which is canonical.
#[utoipa::path(
    put, path = "/{id}", tag = "items", security(("bearer" = ["items:write"])), params(("id" = Uuid, Path)),
    request_body = ItemChange,
    responses(
        (status = 200, description = "The changed item", body = Item),
        (status = 403, description = "`insufficient_scope`: it is somebody else's; `email_not_verified`", body = Problem),
        (status = 404, description = "No item that the caller may see has this id", body = Problem),
        (status = 409, description = "`stale`: others change it all the time", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
        (status = 422, description = "Every field that is not valid; `unknown_category`", body = Problem),
    )
)]
pub(crate) async fn put_item(
    state: State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    id: Id,
    change: Body<ItemChange>,
) -> Result<Response> {
    update_item(state, info, headers, current, id, change).await
}

/// Whether a change that has lost a race is made to what has won it. Not if it was meant for the one before.
pub(crate) fn may_retry(headers: &HeaderMap, retries: u32) -> bool {
    retries < MOST_RETRIES && !headers.contains_key(IF_MATCH)
}

/// What may be changed of an item.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"price": 54.9, "discount_price": null, "tags": ["camping", "warm"]}))]
pub(crate) struct ItemChange {
    #[serde(default)]
    #[schema(value_type = Title, required = false)]
    title: Patch<Title>,
    /// An empty one is none.
    #[serde(default, deserialize_with = "description")]
    #[schema(value_type = Option<Description>)]
    description: Patch<Description>,
    #[serde(default)]
    #[schema(value_type = Price, required = false)]
    price: Patch<Price>,
    /// Below `price`.
    #[serde(default)]
    #[schema(value_type = Option<Price>)]
    discount_price: Patch<Price>,
    /// Percent.
    #[serde(default)]
    #[schema(value_type = Percent, required = false)]
    tax: Patch<Percent>,
    #[serde(default)]
    #[schema(value_type = ItemStatus, required = false)]
    status: Patch<ItemStatus>,
    #[serde(default)]
    #[schema(value_type = Option<Uuid>)]
    category_id: Patch<Uuid>,
    #[serde(default)]
    #[schema(value_type = Tags, required = false)]
    tags: Patch<Tags>,
    /// For administrators only.
    #[serde(default)]
    #[schema(value_type = bool, required = false)]
    is_featured: Patch<bool>,
}

impl ItemChange {
    fn apply(self, mut item: models::Item) -> Result<models::Item> {
        let mut wrong = Vec::new();
        replace("title", self.title, &mut item.title, &mut wrong);
        self.description.apply(&mut item.description);
        replace("price", self.price, &mut item.price, &mut wrong);
        self.discount_price.apply(&mut item.discount_price);
        replace("tax", self.tax, &mut item.tax, &mut wrong);
        replace("status", self.status, &mut item.status, &mut wrong);
        self.category_id.apply(&mut item.category_id);
        replace("tags", self.tags, &mut item.tags, &mut wrong);
        let is_featured = &mut item.is_featured;
        replace("is_featured", self.is_featured, is_featured, &mut wrong);
        match wrong.is_empty() {
            true => Ok(item),
            false => Err(Error::Invalid(wrong)),
        }
    }
}

/// Changes a field that cannot be cleared, or notes that it cannot.
pub(crate) fn replace<T: Into<U>, U>(
    name: &str,
    change: Patch<T>,
    field: &mut U,
    wrong: &mut Vec<FieldError>,
) {
    match change {
        Patch::Keep => {}
        Patch::Set(value) => *field = value.into(),
        Patch::Clear => wrong.push(FieldError {
            field: name.to_owned(),
            message: "must not be null".to_owned(),
            code: "required".to_owned(),
        }),
    }
}

/// The change of a description, which goes if there is nothing in the new one.
pub(crate) fn description<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Patch<Description>, D::Error> {
    let description = create::description(deserializer)?;
    Ok(description.map_or(Patch::Clear, Patch::Set))
}
