//! `GET /users`

use axum::Json;
use axum::extract::State;
use jiff::civil::date;
use shared::auth::CurrentUser;
use shared::http::{Deprecated, FromParams, PageOf, Paging, Params, Query};
use shared::models::{Role, Scope};
use shared::store::users::UserFilter;
use shared::{App, Result, wire};
use utoipa::IntoParams;

pub(crate) const DEPRECATED: Deprecated = Deprecated {
    since: date(2026, 12, 1),
    sunset: date(2027, 12, 1),
    successor: "/api/v2/users",
};

/// Users
///
/// The newest first. `GET /api/v2/users` takes its place. Needs the scope `users:read`.
#[utoipa::path(
    get, path = "", tag = "users", security(("bearer" = ["users:read"])), params(Wanted, Paging),
    responses(
        (status = 200, description = "A page of users", body = PageOf<wire::User>),
    )
)]
pub(crate) async fn list_users(
    State(app): State<App>,
    current: CurrentUser,
    Query(query): Query<(Wanted, Paging)>,
) -> Result<Json<PageOf<wire::User>>> {
    current.require(Scope::UsersRead)?;
    let (Wanted { role, is_active }, Paging(slice)) = query;
    let filter = UserFilter { role, is_active };
    let page = app.store.users(filter, &slice).await?;
    Ok(Json(PageOf::new(&slice, page, wire::User::from)))
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only those of this role.
    role: Option<Role>,
    /// Only those who are active, or who are not.
    is_active: Option<bool>,
}

impl FromParams for Wanted {
    fn from_params(params: &mut Params<'_>) -> Self {
        let roles = Role::ALL.map(|role| (role.as_str(), role));
        Self {
            role: params.word("role", &roles),
            is_active: params.flag("is_active"),
        }
    }
}
