//! `GET /users/search`

use axum::Json;
use axum::extract::State;
use shared::auth::CurrentUser;
use shared::http::{FromParams, PageOf, Paging, Params, Query};
use shared::models::{Scope, User, search};
use shared::{App, Context, Result, wire};
use utoipa::IntoParams;

/// Search users
///
/// Those whose e-mail address, user name or full name contains `q`, whatever its case. Found a few seconds after a
/// change. Paged by cursor only; a page may be shorter than `limit` and still have a `next_cursor`. Needs the scope
/// `users:read`.
#[utoipa::path(
    get, path = "/search", tag = "users", security(("bearer" = ["users:read"])), params(Wanted, Paging),
    responses(
        (status = 200, description = "A page of users", body = PageOf<wire::User>),
    )
)]
pub(crate) async fn search_users(
    State(app): State<App>,
    current: CurrentUser,
    Query(query): Query<(Searched, Paging)>,
) -> Result<Json<PageOf<wire::User>>> {
    current.require(Scope::UsersRead)?;
    let (Searched(query), Paging(slice)) = query;
    // A query without it was refused.
    let query = query.context("read the query")?;
    let page = app.store.search::<User>(&query, &slice).await?;
    Ok(Json(PageOf::new(&slice, page, wire::User::from)))
}

pub(crate) struct Searched(Option<search::Query>);

impl FromParams for Searched {
    fn from_params(params: &mut Params<'_>) -> Self {
        if !params.has("q") {
            params.wrong("q", "required", "must be sent");
        }
        Self(params.read("q", search::Query::parse))
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it only describes")]
struct Wanted {
    /// What to look for: 2 to 100 characters, among them a word of 2.
    #[param(min_length = 2, max_length = 100, example = "lovelace")]
    q: String,
}
