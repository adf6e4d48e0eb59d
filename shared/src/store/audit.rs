//! The audit trail of a user: written with the changes, read newest first.

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use serde::Serialize;
use uuid::Uuid;

use super::change::text;
use super::keys::{Key, PAST};
use super::{Item, Store, Table, Transaction, failed, from_item, keys};
use crate::error::{Error, Result};
use crate::models::audit::AuditEntry;
use crate::models::page::{From, Page, Slice, Total};

/// An entry as it is stored: with the time after which nobody sees it and DynamoDB may drop it, in seconds since the epoch.
#[derive(Serialize)]
struct StoredEntry<'a> {
    #[serde(flatten)]
    entry: &'a AuditEntry,
    ttl: i64,
}

impl Store {
    /// A slice of a user's trail, the newest first. One query for each megabyte that is passed.
    pub async fn trail(&self, user: Uuid, slice: &Slice) -> Result<Page<AuditEntry>> {
        let profile = keys::profile(user);
        let (start, skip) = match &slice.from {
            From::Skip(skip) => (None, *skip as usize),
            From::Cursor(cursor) => (Some(start(&profile.pk, cursor)?), 0),
        };
        let wanted = skip + slice.limit as usize + 1;
        let mut found = self.past(&profile.pk, start, wanted).await?;
        let whole = found.len() < wanted;
        found.drain(..found.len().min(skip));
        let goes_on = found.len() > slice.limit as usize;
        let seen = u32::try_from(skip + found.len()).unwrap_or(u32::MAX);
        found.truncate(slice.limit as usize);
        let next = found.last().and_then(Key::of).filter(|_| goes_on);
        let total = match (whole, &slice.from) {
            (true, From::Skip(_)) => Total::Exactly(seen),
            _ => Total::AtLeast(seen),
        };
        let items = found.into_iter().map(from_item);
        Ok(Page {
            items: items.collect::<Result<_>>()?,
            total,
            next: next.map(|key| URL_SAFE_NO_PAD.encode(key.sk)),
        })
    }

    /// Up to `most` entries that are still to be seen. They end in the order they began, so the first that has ended is
    /// the end of the trail.
    async fn past(&self, pk: &str, mut start: Option<Item>, most: usize) -> Result<Vec<Item>> {
        let now = self.clock.seconds();
        let mut found = Vec::new();
        loop {
            let request = self.client.query().table_name(self.name(Table::App)?);
            let request = request
                .key_condition_expression("pk = :pk AND begins_with(sk, :past)")
                .expression_attribute_values(":pk", text(pk))
                .expression_attribute_values(":past", text(PAST))
                .scan_index_forward(false)
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .set_limit(i32::try_from(most - found.len()).ok());
            let output = request.send().await.map_err(failed("read a trail"))?;
            for item in output.items.unwrap_or_default() {
                if has_ended(&item, now) {
                    return Ok(found);
                }
                found.push(item);
            }
            start = output.last_evaluated_key;
            if start.is_none() || found.len() >= most {
                return Ok(found);
            }
        }
    }
}

impl Transaction<'_> {
    /// Adds an entry to a user's trail.
    pub fn audit(self, user: Uuid, entry: &AuditEntry) -> Self {
        let kept = SignedDuration::from_hours(24 * i64::from(self.store.audit_days));
        let ttl = (self.store.clock.now() + kept).as_second();
        let key = keys::audit(user, entry.at, entry.id);
        self.create(Table::App, &key, &StoredEntry { entry, ttl })
    }
}

/// A cursor holds the place in the trail and not whose trail it is: that is told by the request.
fn start(pk: &str, cursor: &str) -> Result<Item> {
    let sk = URL_SAFE_NO_PAD.decode(cursor).ok();
    let sk = sk.and_then(|sk| String::from_utf8(sk).ok());
    let sk = sk.filter(|sk| sk.starts_with(PAST) && sk.len() <= 100);
    let sk = sk.ok_or(Error::InvalidCursor)?;
    let pk = pk.to_owned();
    Ok(Key { pk, sk }.attributes())
}

pub(super) fn has_ended(item: &Item, now: i64) -> bool {
    let ttl = match item.get("ttl") {
        Some(AttributeValue::N(ttl)) => ttl.parse().ok(),
        _ => None,
    };
    ttl.is_some_and(|ttl: i64| ttl <= now)
}
