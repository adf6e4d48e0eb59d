//! `POST /items/{id}/stock`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use shared::auth::CurrentUser;
use shared::http::{Body, Id, Problem, RequestInfo, etag};
use shared::models::Scope;
use shared::models::audit::AuditEntry;
use shared::models::item::{MOST_STOCK, Quantity};
use shared::models::text::Invalid;
use shared::store::items::StockChange;
use shared::{App, Error, Result};
use utoipa::ToSchema;

use crate::item::{self, Item};

/// Change what is on hand
///
/// By `delta`, whatever others take or add at the same time, or to what is `set`. Never to less than orders have
/// reserved. Of one's own item, or of any with the scope `admin:all`. Needs the scope `items:write`.
#[utoipa::path(
    post, path = "/{id}/stock", tag = "items", security(("bearer" = ["items:write"])), params(("id" = Uuid, Path)),
    request_body = NewStock,
    responses(
        (status = 200, description = "The item with what is on hand now", body = Item, headers(("ETag" = String))),
        (status = 403, description = "`insufficient_scope`: it is somebody else's; `email_not_verified`", body = Problem),
        (status = 404, description = "No item that the caller may see has this id", body = Problem),
        (status = 409, description = "`stock_reserved`", body = Problem),
        (status = 422, description = "Every field that is not valid; neither or both were sent", body = Problem),
    )
)]
pub(crate) async fn change_item_stock(
    State(app): State<App>,
    info: RequestInfo,
    current: CurrentUser,
    Id(id): Id,
    Body(new): Body<NewStock>,
) -> Result<Response> {
    current.require_to_write(&app, Scope::ItemsWrite)?;
    let change = new.change()?;
    let told = match change {
        StockChange::Delta(delta) => json!({"delta": delta}),
        StockChange::Set(stock) => json!({"stock": stock}),
    };
    let item = item::find_own(&app, &current, id).await?;
    let actor = Some(current.user.id);
    let audit = AuditEntry::new("item.stock_changed", actor, &info.ip().to_string());
    let audit = audit.about(id).with_changes(&(), &told);
    let item = app.store.change_stock(&item, change, &audit).await?;
    let tag = item.entity_tag();
    let item = Item::whole(&app, item);
    Ok(etag::respond_tagged(&HeaderMap::new(), &tag, item))
}

/// One of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"delta": 5}))]
pub(crate) struct NewStock {
    /// How many come, or go if it is negative.
    delta: Option<StockDelta>,
    /// How many there are.
    set: Option<Quantity>,
}

impl NewStock {
    fn change(self) -> Result<StockChange> {
        match (self.delta, self.set) {
            (Some(StockDelta(delta)), None) => Ok(StockChange::Delta(delta)),
            (None, Some(stock)) => Ok(StockChange::Set(stock.get())),
            (None, None) => {
                let message = "must be sent, unless set is";
                Err(Error::invalid("delta", "required", message))
            }
            (Some(_), Some(_)) => {
                let message = "must not be sent beside delta";
                Err(Error::invalid("set", "ambiguous", message))
            }
        }
    }
}

/// A whole number whose size is one that can be on hand.
#[derive(Deserialize, ToSchema)]
#[serde(try_from = "i64")]
#[schema(value_type = i64, minimum = -1000000000, maximum = 1000000000, example = 5)]
struct StockDelta(i64);

impl TryFrom<i64> for StockDelta {
    type Error = Invalid;

    fn try_from(number: i64) -> Result<Self, Invalid> {
        match (-MOST_STOCK..=MOST_STOCK).contains(&number) {
            true => Ok(Self(number)),
            false => {
                let message = format!("must be from -{MOST_STOCK} to {MOST_STOCK}");
                Err(Invalid::new("out_of_range", message))
            }
        }
    }
}
