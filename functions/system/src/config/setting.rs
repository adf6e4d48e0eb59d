//! A setting on the wire, as administrators see it.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::models;
use shared::models::audit::AuditEntry;
use shared::models::item::Description;
use shared::models::setting::{SettingKey, SettingType};
use utoipa::ToSchema;
use uuid::Uuid;

/// A setting or a feature flag.
#[derive(Serialize, ToSchema)]
pub(crate) struct Setting {
    key: SettingKey,
    #[serde(rename = "type")]
    kind: SettingType,
    /// Of that type.
    #[schema(example = json!({"enabled": true, "percentage": 25}))]
    value: Value,
    /// Whether everybody sees it at `GET /config`.
    is_public: bool,
    description: Option<Description>,
    updated_at: Timestamp,
    updated_by: Uuid,
}

impl From<models::setting::Setting> for Setting {
    fn from(setting: models::setting::Setting) -> Self {
        Self {
            key: setting.key,
            kind: setting.value.kind(),
            value: setting.value.to_json(),
            is_public: setting.is_public,
            description: setting.description,
            updated_at: setting.updated_at,
            updated_by: setting.updated_by,
        }
    }
}

/// An entry of the audit trail of who acts: the setting is named in it by `key.field`.
pub(crate) fn entry(
    action: &str,
    actor: Uuid,
    ip: &str,
    old: Option<&models::setting::Setting>,
    new: Option<&models::setting::Setting>,
) -> AuditEntry {
    let fields = |setting: Option<&models::setting::Setting>| {
        let setting = setting.into_iter();
        let fields = setting.flat_map(|setting| {
            let fields = [
                ("value", setting.value.to_json()),
                ("is_public", setting.is_public.into()),
                (
                    "description",
                    setting.description.as_ref().map(Description::as_str).into(),
                ),
            ];
            fields.map(|(name, value)| (format!("{}.{name}", setting.key), value))
        });
        fields
            .filter(|(_, value)| !value.is_null())
            .collect::<serde_json::Map<_, _>>()
    };
    AuditEntry::new(action, Some(actor), ip).with_changes(&fields(old), &fields(new))
}
