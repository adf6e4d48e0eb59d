//! What users keep about themselves: any JSON object, which means nothing to us.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::audit::has_ended;
use super::change::text;
use super::keys::{Key, PAST};
use super::{Change, Item, Store, Table, failed, from_item, keys};
use crate::error::{Context, Error, Result};
use crate::models::audit::AuditEntry;

/// A user's preferences. Version 0 is that of a user who has never set any.
#[derive(Clone, Debug, Default)]
pub struct Preferences {
    pub values: Map<String, Value>,
    pub version: u64,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    json: String,
    version: u64,
}

impl Preferences {
    fn of(item: Option<Item>) -> Result<Self> {
        let Some(item) = item else {
            return Ok(Self::default());
        };
        let Stored { json, version } = from_item(item)?;
        let values = serde_json::from_str(&json).context("read preferences")?;
        Ok(Self { values, version })
    }
}

impl Store {
    pub async fn preferences(&self, user: Uuid) -> Result<Preferences> {
        let item = self.get(Table::App, &keys::preferences(user)).await?;
        Preferences::of(item)
    }

    /// Replaces the preferences of this version by the compact `json` of an object. 409 `stale` if they have changed
    /// meanwhile.
    pub async fn set_preferences(
        &self,
        user: Uuid,
        version: u64,
        json: &str,
        audit: &AuditEntry,
    ) -> Result<()> {
        let change = Change::new()
            .set("json", text(json))
            .versioned()
            .add("version", 1);
        let change = match version {
            0 => change.if_absent("version"),
            read => change.if_equal("version", AttributeValue::N(read.to_string())),
        };
        // Nothing may come after what erases them.
        let active = Change::new().if_equal("is_active", AttributeValue::Bool(true));
        self.transaction()
            .check(Table::App, &keys::profile(user), active)
            .on_conflict(Error::AccountInactive)
            .update(Table::App, &keys::preferences(user), change)
            .on_conflict(Error::Stale)
            .audit(user, audit)
            .commit()
            .await
    }

    /// A user's preferences, and the last that has happened to them, newest first. One query, because their keys stand side
    /// by side.
    pub async fn overview(
        &self,
        user: Uuid,
        most: usize,
    ) -> Result<(Preferences, Vec<AuditEntry>)> {
        let profile = keys::profile(user);
        let request = self.client.query().table_name(self.name(Table::App)?);
        let request = request
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
            .expression_attribute_values(":pk", text(&profile.pk))
            .expression_attribute_values(":first", text(PAST))
            .expression_attribute_values(":last", text(&keys::preferences(user).sk))
            .scan_index_forward(false)
            .consistent_read(true)
            .set_limit(i32::try_from(most + 1).ok());
        let output = request.send().await.map_err(failed("read an overview"))?;
        let (mut preferences, mut past) = (None, Vec::new());
        let now = self.clock.seconds();
        for item in output.items.unwrap_or_default() {
            match Key::of(&item) {
                Some(key) if key.sk.starts_with(PAST) => {
                    if past.len() < most && !has_ended(&item, now) {
                        past.push(from_item(item)?);
                    }
                }
                _ => preferences = Some(item),
            }
        }
        Ok((Preferences::of(preferences)?, past))
    }
}
