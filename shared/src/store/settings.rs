//! Settings and feature flags. All of them are one partition, which is read as a whole: there are few.

use super::change::{number, text};
use super::{Change, Store, Table, failed, from_item, keys};
use crate::error::{Context, Error, Result};
use crate::models::audit::AuditEntry;
use crate::models::setting::{Setting, SettingKey, Settings};

/// The most settings that there can be: all of them are read at once.
pub const MOST_SETTINGS: usize = 200;

impl Store {
    /// All settings. One query: they are less than a megabyte.
    pub async fn settings(&self) -> Result<Settings> {
        let request = self.client.query().table_name(self.name(Table::App)?);
        let request = request
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(&keys::settings()))
            .consistent_read(true);
        let output = request.send().await.map_err(failed("read the settings"))?;
        let items = output.items.unwrap_or_default().into_iter();
        let settings = items.map(from_item).collect::<Result<_>>()?;
        Ok(Settings::new(settings))
    }

    pub async fn setting(&self, key: &SettingKey) -> Result<Option<Setting>> {
        let item = self.get(Table::App, &keys::setting(key)).await?;
        item.map(from_item).transpose()
    }

    /// Makes a setting, or puts it in the place of `old`. 409 `stale` if that has changed since it was read.
    pub async fn save_setting(
        &self,
        old: Option<&Setting>,
        new: &Setting,
        audit: &AuditEntry,
    ) -> Result<()> {
        let condition = match old {
            None => Change::new().if_absent("pk"),
            Some(old) => Change::new().if_equal("version", version(old)?),
        };
        self.transaction()
            .put_if(Table::App, &keys::setting(&new.key), new, condition)
            .on_conflict(Error::Stale)
            .audit(actor(audit)?, audit)
            .commit()
            .await
    }

    /// Deletes a setting. 409 `stale` if it has changed since it was read.
    pub async fn delete_setting(&self, setting: &Setting, audit: &AuditEntry) -> Result<()> {
        let condition = Change::new().if_equal("version", version(setting)?);
        self.transaction()
            .delete_if(Table::App, &keys::setting(&setting.key), condition)
            .on_conflict(Error::Stale)
            .audit(actor(audit)?, audit)
            .commit()
            .await
    }
}

fn version(setting: &Setting) -> Result<aws_sdk_dynamodb::types::AttributeValue> {
    let version = i64::try_from(setting.version).context("read a version")?;
    Ok(number(version))
}

fn actor(audit: &AuditEntry) -> Result<uuid::Uuid> {
    audit.actor.context("know who changes a setting")
}
