//! `DELETE /config/{key}`

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use shared::auth::CurrentUser;
use shared::http::{Problem, RequestInfo, etag};
use shared::models::Scope;
use shared::models::setting::SettingKey;
use shared::{App, Result};

use super::setting::entry;
use super::{Key, NOT_FOUND};

/// Delete a setting
///
/// A flag that is not there is off. `If-Match` is honoured. Needs the scope `admin:all`.
#[utoipa::path(
    delete, path = "/{key}", tag = "system", security(("bearer" = ["admin:all"])), params(("key" = SettingKey, Path)),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "No setting has this name", body = Problem),
        (status = 409, description = "`stale`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
    )
)]
pub(crate) async fn delete_setting(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    Key(key): Key,
) -> Result<StatusCode> {
    current.require(Scope::AdminAll)?;
    let setting = app.store.setting(&key).await?.ok_or(NOT_FOUND)?;
    etag::check_if_match(&headers, setting.version)?;
    let ip = info.ip().to_string();
    let audit = entry(
        "setting.deleted",
        current.user.id,
        &ip,
        Some(&setting),
        None,
    );
    let deleted = app.store.delete_setting(&setting, &audit).await;
    // Also after an error: the answer may have been lost.
    app.caches.settings.clear();
    deleted.map_err(etag::lost_race(&headers))?;
    Ok(StatusCode::NO_CONTENT)
}
