//! `GET /config/{key}`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use shared::auth::CurrentUser;
use shared::http::{Problem, etag};
use shared::models::Scope;
use shared::models::setting::SettingKey;
use shared::{App, Result};

use super::setting::Setting;
use super::{Key, NOT_FOUND};

/// A setting
///
/// As it is, whomever a flag is on for. With an `ETag`; `If-None-Match` is answered with 304. Needs the scope `admin:all`.
#[utoipa::path(
    get, path = "/{key}", tag = "system", security(("bearer" = ["admin:all"])), params(("key" = SettingKey, Path)),
    responses(
        (status = 200, description = "The setting", body = Setting),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "No setting has this name", body = Problem),
    )
)]
pub(crate) async fn get_setting(
    State(app): State<App>,
    headers: HeaderMap,
    current: CurrentUser,
    Key(key): Key,
) -> Result<Response> {
    current.require(Scope::AdminAll)?;
    let setting = app.store.setting(&key).await?.ok_or(NOT_FOUND)?;
    Ok(etag::respond(
        &headers,
        setting.version,
        Setting::from(setting),
    ))
}
