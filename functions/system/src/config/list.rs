//! `GET /config`

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use serde_json::Value;
use shared::auth::Visitor;
use shared::http::etag;
use shared::models::setting::SettingValue;
use shared::{App, Result};
use utoipa::ToSchema;

/// Settings and feature flags
///
/// Those that are for everybody to see. A flag is on or off for whoever asks: send the token to be asked for somebody. Up
/// to 30 seconds old. With an `ETag`; `If-None-Match` is answered with 304.
#[utoipa::path(
    get, path = "", tag = "system", security((), ("bearer" = [])),
    responses(
        (status = 200, description = "The settings and flags", body = Config),
        (status = 304, description = "Unchanged"),
    )
)]
pub(crate) async fn get_config(
    State(app): State<App>,
    headers: HeaderMap,
    visitor: Visitor,
) -> Result<Response> {
    let user = visitor.current.as_ref().map(|current| &current.user);
    let mut config = Config::default();
    for setting in app
        .settings()
        .await?
        .all()
        .filter(|setting| setting.is_public)
    {
        let key = setting.key.to_string();
        match &setting.value {
            SettingValue::Flag(flag) => {
                let is_on = flag.is_on(&setting.key, user);
                config.flags.insert(key, is_on);
            }
            value => {
                config.settings.insert(key, value.to_json());
            }
        }
    }
    let mut response = etag::respond_hashed(&headers, &config)?.into_response();
    if user.is_none() {
        let for_all = HeaderValue::from_static("public, max-age=30");
        response.headers_mut().insert(CACHE_CONTROL, for_all);
    }
    Ok(response)
}

/// What a client goes by.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct Config {
    /// By name; each has the type that it was made with.
    #[schema(value_type = Object, example = json!({"max_cart_lines": 40, "support_email": "help@example.com"}))]
    settings: BTreeMap<String, Value>,
    /// Whether each feature is on for whoever asks.
    #[schema(example = json!({"new_checkout": true}))]
    flags: BTreeMap<String, bool>,
}
