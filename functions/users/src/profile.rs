//! `GET /users/me/profile`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use shared::auth::CurrentUser;
use shared::{App, Result, wire};
use utoipa::ToSchema;

use crate::entry::Entry;

/// How much of the activity is shown.
const MOST_RECENT: usize = 5;

/// My profile with preferences and recent activity
///
/// What the first page after a login needs, in one answer.
#[utoipa::path(
    get, path = "/me/profile", tag = "users", security(("bearer" = [])),
    responses(
        (status = 200, description = "The caller", body = Overview),
    )
)]
pub(crate) async fn get_my_overview(
    State(app): State<App>,
    current: CurrentUser,
) -> Result<Json<Overview>> {
    let me = current.user;
    let (preferences, past) = app.store.overview(me.id, MOST_RECENT).await?;
    let seen = |entry| Entry::seen_by(me.id, entry);
    Ok(Json(Overview {
        recent_activity: past.into_iter().map(seen).collect(),
        preferences: preferences.values,
        user: wire::User::from(me),
    }))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Overview {
    user: wire::User,
    /// The newest first, five at most.
    recent_activity: Vec<Entry>,
    #[schema(value_type = Object)]
    preferences: Map<String, Value>,
}
