//! `GET /items/mine`

use axum::Json;
use axum::extract::State;
use shared::auth::{CurrentUser, Visitor};
use shared::http::{FromParams, PageOf, Paging, Params, Query};
use shared::models::item::ItemStatus;
use shared::store::items::ItemFilter;
use shared::{App, Result};
use utoipa::IntoParams;

use crate::filter::{self, Prices, Sort};
use crate::item::{self, Item};

/// My items
///
/// Also those that are not active.
#[utoipa::path(
    get, path = "/mine", tag = "items", security(("bearer" = [])), params(Wanted, Prices, Sort, Paging),
    responses(
        (status = 200, description = "A page of the caller's items", body = PageOf<Item>),
    )
)]
pub(crate) async fn list_my_items(
    State(app): State<App>,
    current: CurrentUser,
    Query(query): Query<((Wanted, Prices), (Sort, Paging))>,
) -> Result<Json<PageOf<Item>>> {
    let ((Wanted { status }, prices), (sort, Paging(slice))) = query;
    let filter = ItemFilter {
        owner: Some(current.user.id),
        statuses: status.map_or(ItemStatus::ALL.to_vec(), |status| vec![status]),
        ..filter::active(prices, sort)
    };
    let found = app.store.items(&filter, &slice).await?;
    let me = Visitor {
        current: Some(current),
    };
    Ok(item::page(&app, &me, &slice, found))
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Of any status, unless given.
    status: Option<ItemStatus>,
}

impl FromParams for Wanted {
    fn from_params(params: &mut Params<'_>) -> Self {
        Self {
            status: filter::status(params),
        }
    }
}
