//! `GET /items`

use axum::Json;
use axum::extract::State;
use shared::auth::Visitor;
use shared::http::{FromParams, PageOf, Paging, Params, Problem, Query};
use shared::models::Scope;
use shared::models::item::{ItemStatus, Tag};
use shared::models::text::Invalid;
use shared::store::items::ItemFilter;
use shared::{App, Result};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::filter::{self, Prices, Sort};
use crate::item::{self, Item};

/// Items
///
/// The active ones, unless `status` says otherwise: drafts and inactive items are listed for their owner, and with the
/// scope `admin:all` for anybody. Where several filters meet, `skip` is refused, and a page may be shorter than `limit`
/// and still have a `next_cursor`.
#[utoipa::path(
    get, path = "", tag = "items", security((), ("bearer" = [])), params(Wanted, Prices, Sort, Paging),
    responses(
        (status = 200, description = "A page of items", body = PageOf<Item>),
        (status = 401, description = "No valid token, or none where `status` needs one", body = Problem),
        (status = 403, description = "`insufficient_scope`: drafts or inactive items of somebody else", body = Problem),
        (status = 422, description = "Every parameter that is not valid; `unknown_category`", body = Problem),
    )
)]
pub(crate) async fn list_items(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query<((Wanted, Prices), (Sort, Paging))>,
) -> Result<Json<PageOf<Item>>> {
    let ((wanted, prices), (sort, Paging(slice))) = query;
    let status = wanted.status.unwrap_or(ItemStatus::Active);
    let filter = ItemFilter {
        owner: owner(&visitor, status, wanted.owner)?,
        statuses: vec![status],
        categories: filter::category(&app, &visitor, wanted.category.as_deref()).await?,
        tag: wanted.tag,
        ..filter::active(prices, sort)
    };
    let found = app.store.items(&filter, &slice).await?;
    Ok(item::page(&app, &visitor, &slice, found))
}

/// Whose items are listed. What is not active is one's own, if one is no administrator.
fn owner(visitor: &Visitor, status: ItemStatus, wanted: Option<Uuid>) -> Result<Option<Uuid>> {
    if status == ItemStatus::Active {
        return Ok(wanted);
    }
    let current = visitor.signed_in()?;
    match (current.require(Scope::AdminAll), wanted) {
        (Ok(()), wanted) => Ok(wanted),
        (Err(refused), Some(other)) if other != current.user.id => Err(refused),
        (Err(_), _) => Ok(Some(current.user.id)),
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// `active`, unless given.
    status: Option<ItemStatus>,
    /// Only what is in this category, by its slug or id, or in one below it.
    #[param(example = "tents")]
    category: Option<String>,
    /// Only what has this tag.
    #[param(value_type = Option<String>, example = "waterproof")]
    tag: Option<Tag>,
    /// Only what belongs to this user.
    owner: Option<Uuid>,
}

impl FromParams for Wanted {
    fn from_params(params: &mut Params<'_>) -> Self {
        let not_an_id = |_| Invalid::new("invalid_value", "must be the id of a user");
        Self {
            status: filter::status(params),
            category: params.read("category", |name| Ok(name.to_owned())),
            tag: params.read("tag", Tag::parse),
            owner: params.read("owner", |id| Uuid::try_parse(id).map_err(not_an_id)),
        }
    }
}
