//! `GET /api/v2/users`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::auth::CurrentUser;
use shared::http::{ByCursor, FromParams, Params, Problem, Query};
use shared::models::page::Total;
use shared::models::{Role, Scope};
use shared::store::users::UserFilter;
use shared::{App, Result, wire};
use utoipa::{IntoParams, ToSchema};

/// Users
///
/// The newest first, paged by cursor. A parameter that is not known is refused, so that a misspelt filter does not list
/// everybody. Needs the scope `users:read`.
#[utoipa::path(
    get, path = "", tag = "users", security(("bearer" = ["users:read"])), params(Wanted, ByCursor),
    responses(
        (status = 200, description = "A page of users", body = Users),
        (status = 400, description = "`invalid_cursor`", body = Problem),
    )
)]
pub(crate) async fn list_users_v2(
    State(app): State<App>,
    current: CurrentUser,
    Query(query): Query<(Wanted, ByCursor)>,
) -> Result<Json<Users>> {
    current.require(Scope::UsersRead)?;
    let (wanted, ByCursor(slice)) = query;
    let filter = UserFilter {
        role: wanted.role,
        is_active: wanted.filter_active,
    };
    let page = app.store.users(filter, &slice).await?;
    let (Total::Exactly(total) | Total::AtLeast(total)) = page.total;
    Ok(Json(Users {
        items: page.items.into_iter().map(wire::User::from).collect(),
        total,
        next_cursor: page.next,
    }))
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only those who are active, or who are not. Without it all.
    filter_active: Option<bool>,
    /// Only those of this role.
    role: Option<Role>,
}

impl FromParams for Wanted {
    fn from_params(params: &mut Params<'_>) -> Self {
        params.only(&["filter_active", "role", "limit", "cursor"]);
        let roles = Role::ALL.map(|role| (role.as_str(), role));
        Self {
            filter_active: params.flag("filter_active"),
            role: params.word("role", &roles),
        }
    }
}

/// A page of users.
#[derive(Serialize, ToSchema)]
pub(crate) struct Users {
    items: Vec<wire::User>,
    /// How many there are in all, exactly.
    #[schema(example = 1)]
    total: u32,
    /// What to send as `cursor` for the next page; null on the last.
    next_cursor: Option<String>,
}
