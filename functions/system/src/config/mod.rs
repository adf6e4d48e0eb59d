//! Settings that are changed while everything runs, and feature flags.

pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod put;

mod setting;

use axum::extract::FromRequestParts;
use axum::extract::Path;
use http::request::Parts;
use shared::Error;
use shared::models::setting::SettingKey;

const NOT_FOUND: Error = Error::NotFound("setting of this name");

/// The `{key}` of a path. One that no setting can have is answered with 404, for nothing is there.
pub(crate) struct Key(SettingKey);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(name) = path.map_err(|_| NOT_FOUND)?;
        SettingKey::parse(&name).map(Self).map_err(|_| NOT_FOUND)
    }
}
