//! `GET, PUT /users/me/preferences`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::auth::CurrentUser;
use shared::http::{Body, Problem, RequestInfo, etag};
use shared::models::audit::AuditEntry;
use shared::{App, Context, Error, Result};
use utoipa::ToSchema;

/// The largest preferences, in bytes of compact JSON.
const LARGEST: usize = 16 * 1024;

/// My preferences
///
/// Whatever a client has put there. With an `ETag`; `If-None-Match` is answered with 304.
#[utoipa::path(
    get, path = "/me/preferences", tag = "users", security(("bearer" = [])),
    responses(
        (status = 200, description = "The preferences; empty at first", body = Preferences),
        (status = 304, description = "Unchanged"),
    )
)]
pub(crate) async fn get_my_preferences(
    State(app): State<App>,
    headers: HeaderMap,
    current: CurrentUser,
) -> Result<Response> {
    let stored = app.store.preferences(current.user.id).await?;
    Ok(etag::respond(&headers, stored.version, stored.values))
}

/// Replace my preferences
///
/// By any JSON object of up to 16 KiB. `If-Match` is honoured.
#[utoipa::path(
    put, path = "/me/preferences", tag = "users", security(("bearer" = [])), request_body = Preferences,
    responses(
        (status = 200, description = "The new preferences", body = Preferences),
        (status = 409, description = "`stale`: they were changed elsewhere at the same time", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
        (status = 413, description = "Larger than 16 KiB", body = Problem),
        (status = 422, description = "Not an object", body = Problem),
    )
)]
pub(crate) async fn put_my_preferences(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    Body(preferences): Body<Preferences>,
) -> Result<Response> {
    let json = serde_json::to_string(&preferences).context("write preferences")?;
    if json.len() > LARGEST {
        return Err(Error::BodyTooLarge(LARGEST));
    }
    let me = current.user.id;
    let version = app.store.preferences(me).await?.version;
    etag::check_if_match(&headers, version)?;
    let ip = info.ip().to_string();
    let audit = AuditEntry::new("user.preferences_changed", Some(me), &ip);
    let set = app.store.set_preferences(me, version, &json, &audit).await;
    set.map_err(etag::lost_race(&headers))?;
    Ok(etag::respond(&HeaderMap::new(), version + 1, preferences))
}

/// Any JSON object.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(value_type = Object, example = json!({"theme": "dark", "columns": ["name", "price"]}))]
pub(crate) struct Preferences(Map<String, Value>);
