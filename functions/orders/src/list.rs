//! `GET /orders`

use axum::Json;
use axum::extract::State;
use shared::auth::CurrentUser;
use shared::http::{FromParams, PageOf, Paging, Params, Problem, Query};
use shared::models::Scope;
use shared::models::order::OrderStatus;
use shared::models::text::Invalid;
use shared::store::orders::OrderFilter;
use shared::{App, Result};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::order::Order;

/// Orders
///
/// One's own, the newest first. With the scope `orders:read` those of everybody, or of one `user`; among everybody's a
/// change may show a second later. With `status` a page may be shorter than `limit` and still have a `next_cursor`, and
/// of the orders of one user nothing can be skipped.
#[utoipa::path(
    get, path = "", tag = "orders", security(("bearer" = [])), params(Wanted, Paging),
    responses(
        (status = 200, description = "A page of orders", body = PageOf<Order>),
        (status = 403, description = "`insufficient_scope`: orders of somebody else", body = Problem),
    )
)]
pub(crate) async fn list_orders(
    State(app): State<App>,
    current: CurrentUser,
    Query(query): Query<(Wanted, Paging)>,
) -> Result<Json<PageOf<Order>>> {
    let (Wanted { status, user }, Paging(slice)) = query;
    let user = whose(&current, user)?;
    let page = app.store.orders(OrderFilter { user, status }, &slice);
    Ok(Json(PageOf::new(&slice, page.await?, Order::from)))
}

/// Whose orders are listed; `None` is everybody's.
fn whose(current: &CurrentUser, wanted: Option<Uuid>) -> Result<Option<Uuid>> {
    match (current.require(Scope::OrdersRead), wanted) {
        (Ok(()), wanted) => Ok(wanted),
        (Err(refused), Some(other)) if other != current.user.id => Err(refused),
        (Err(_), _) => Ok(Some(current.user.id)),
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Of any status, unless given.
    status: Option<OrderStatus>,
    /// Only those of this user.
    user: Option<Uuid>,
}

impl FromParams for Wanted {
    fn from_params(params: &mut Params<'_>) -> Self {
        let statuses = OrderStatus::ALL.map(|status| (status.as_str(), status));
        let not_an_id = |_| Invalid::new("invalid_value", "must be the id of a user");
        Self {
            status: params.word("status", &statuses),
            user: params.read("user", |id| Uuid::try_parse(id).map_err(not_an_id)),
        }
    }
}
