//! The lock: one process at a time. It is a lease, so that nobody has to clean up after one that died.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Error, Result, anyhow, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::ids;
use shared::store::{Change, keys};
use uuid::Uuid;

use super::tables::{Tables, Updated, Write, number, stored, text};

/// How long it is held without being renewed, in seconds.
pub const LEASE: i64 = 60;

/// How often it is renewed.
pub const RENEWED_EVERY: Duration = Duration::from_secs(15);

/// What the lock says as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredLock {
    owner: Uuid,
    pub(super) by: String,
    /// In seconds since the epoch.
    expires_at: i64,
}

impl StoredLock {
    pub(super) fn is_held(&self, now: i64) -> bool {
        self.expires_at > now
    }

    pub(super) fn until(&self) -> Timestamp {
        Timestamp::from_second(self.expires_at).unwrap_or(Timestamp::MAX)
    }
}

/// A lock that is ours.
pub(super) struct Lock<'a> {
    tables: &'a Tables<'a>,
    pub(super) owner: Uuid,
    /// In seconds since the epoch.
    expires_at: AtomicI64,
}

impl<'a> Lock<'a> {
    /// Takes the lock if it is free, or `by_force`.
    pub(super) async fn take(tables: &'a Tables<'a>, by: &str, by_force: bool) -> Result<Self> {
        let owner = ids::new();
        let now = tables.app.clock.seconds();
        let taken = Change::new()
            .set("owner", stored(&owner)?)
            .set("by", stored(&by)?)
            .set("expires_at", number(now + LEASE))
            .versioned();
        let taken = match by_force {
            true => taken,
            false => taken.if_at_most("expires_at", now),
        };
        let held: StoredLock = match tables.update(&keys::schema_lock(), taken).await? {
            Updated::Done(_) => return Ok(Self::of(tables, owner, now)),
            Updated::Refused(None) => bail!("the lock was refused, and is not there"),
            Updated::Refused(Some(item)) => serde_dynamo::from_item(item)?,
        };
        // The answer to our first try was lost, and the client has tried again.
        if held.owner == owner {
            return Ok(Self::of(tables, owner, now));
        }
        bail!(
            "{} is migrating these tables, and holds the lock until {} at least; if that process is dead, try again then",
            held.by,
            held.until()
        )
    }

    fn of(tables: &'a Tables<'a>, owner: Uuid, now: i64) -> Self {
        let expires_at = AtomicI64::new(now + LEASE);
        Self {
            tables,
            owner,
            expires_at,
        }
    }

    /// Renews the lock until that fails for good, and answers why.
    pub(super) async fn keep(&self) -> Error {
        loop {
            tokio::time::sleep(RENEWED_EVERY).await;
            let until = self.tables.app.clock.seconds() + LEASE;
            let renewed = match stored(&self.owner) {
                Ok(owner) => Change::new()
                    .set("expires_at", number(until))
                    .if_equal("owner", owner),
                Err(error) => return error,
            };
            match self.tables.update(&keys::schema_lock(), renewed).await {
                Ok(Updated::Done(_)) => self.expires_at.store(until, Ordering::Relaxed),
                Ok(Updated::Refused(_)) => return anyhow!("another process has taken the lock"),
                // As long as it is ours, it may be tried again.
                Err(error) if self.check().is_err() => {
                    return error.context("the lock could not be renewed");
                }
                Err(_) => {}
            }
        }
    }

    /// Fails once the lock may be another's: a process that was held up for long must not go on.
    pub(super) fn check(&self) -> Result<()> {
        match self.tables.app.clock.seconds() < self.expires_at.load(Ordering::Relaxed) {
            true => Ok(()),
            false => bail!("the lock has ended"),
        }
    }

    /// In a transaction: that the lock is ours still.
    pub(super) fn held(&self) -> Write {
        let owner = text(&self.owner.to_string());
        Write::Check(keys::schema_lock(), Change::new().if_equal("owner", owner))
    }

    /// Gives the lock back, if it is ours still.
    pub(super) async fn release(self) -> Result<()> {
        let ours = Change::new().if_equal("owner", stored(&self.owner)?);
        self.tables.delete(&keys::schema_lock(), ours).await
    }
}
