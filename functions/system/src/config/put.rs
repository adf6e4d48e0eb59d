//! `PUT /config/{key}`

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use shared::auth::CurrentUser;
use shared::http::{Body, Problem, RequestInfo, etag};
use shared::models::Scope;
use shared::models::item::Description;
use shared::models::setting::{self, SettingKey, SettingType, SettingValue};
use shared::store::settings::MOST_SETTINGS;
use shared::{App, Error, Result};
use utoipa::ToSchema;

use super::setting::{Setting, entry};

/// Make or change a setting
///
/// It is as the body says, whatever it was before; only its type stays. All instances go by it within 30 seconds. The
/// change stands in the audit trail of whoever makes it. `If-Match` is honoured. There may be 200 settings. Needs the
/// scope `admin:all`.
#[utoipa::path(
    put, path = "/{key}", tag = "system", security(("bearer" = ["admin:all"])), params(("key" = SettingKey, Path)),
    request_body = NewSetting,
    responses(
        (status = 200, description = "The setting as it is now", body = Setting),
        (status = 201, description = "The new setting", body = Setting),
        (status = 409, description = "`setting_type_fixed`, `limit_reached` or `stale`", body = Problem),
        (status = 412, description = "`If-Match` names another version", body = Problem),
        (status = 422, description = "Every field that is not valid, or a name that no setting can have", body = Problem),
    )
)]
pub(crate) async fn put_setting(
    State(app): State<App>,
    info: RequestInfo,
    headers: HeaderMap,
    current: CurrentUser,
    Path(key): Path<String>,
    Body(new): Body<NewSetting>,
) -> Result<Response> {
    current.require(Scope::AdminAll)?;
    let key = SettingKey::parse(&key)
        .map_err(|wrong| Error::invalid("key", wrong.code, wrong.message))?;
    let value = SettingValue::of(new.kind, new.value)
        .map_err(|wrong| Error::invalid("value", wrong.code, wrong.message))?;
    let old = app.store.setting(&key).await?;
    match &old {
        Some(old) => {
            etag::check_if_match(&headers, old.version)?;
            if old.value.kind() != new.kind {
                return Err(Error::SettingTypeFixed);
            }
        }
        None => {
            etag::check_if_match_tag(&headers, "")?;
            if app.store.settings().await?.all().count() >= MOST_SETTINGS {
                return Err(Error::LimitReached("settings"));
            }
        }
    }
    let new = setting::Setting {
        key,
        value,
        is_public: new.is_public,
        description: new.description,
        updated_at: app.clock.now(),
        updated_by: current.user.id,
        version: old.as_ref().map_or(1, |old| old.version + 1),
    };
    let (action, status) = match old {
        None => ("setting.created", StatusCode::CREATED),
        Some(_) => ("setting.updated", StatusCode::OK),
    };
    let ip = info.ip().to_string();
    let audit = entry(action, current.user.id, &ip, old.as_ref(), Some(&new));
    let saved = app.store.save_setting(old.as_ref(), &new, &audit).await;
    // Also after an error: the answer may have been lost.
    app.caches.settings.clear();
    saved.map_err(etag::lost_race(&headers))?;
    let body = etag::respond(&HeaderMap::new(), new.version, Setting::from(new));
    Ok((status, body).into_response())
}

/// What a setting is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSetting {
    #[serde(rename = "type")]
    kind: SettingType,
    /// Of that type; for a flag `{"enabled": true, "percentage": 25, "roles": ["manager"]}`.
    #[schema(example = json!({"enabled": true, "percentage": 25}))]
    value: Value,
    /// Whether everybody sees it at `GET /config`. True, unless sent.
    #[serde(default = "yes")]
    is_public: bool,
    /// What it is for.
    description: Option<Description>,
}

fn yes() -> bool {
    true
}
