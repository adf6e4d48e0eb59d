//! Sessions and their refresh families.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rates::Window;
use super::{Store, Table, keys};
use crate::error::{Error, Result};
use crate::models::session::Session;

/// The secret side of a session: which generation of its refresh token is the newest.
#[derive(Debug, Serialize, Deserialize)]
struct Family {
    generation: u32,
    rotated_at: jiff::Timestamp,
    /// When DynamoDB may drop it, in seconds since the epoch.
    ttl: i64,
}

/// A session as it is stored: with the time after which DynamoDB may drop it.
#[derive(Serialize)]
struct StoredSession<'a> {
    #[serde(flatten)]
    session: &'a Session,
    ttl: i64,
}

impl Store {
    /// Counts a login that failed. A transaction like the one of a login that succeeds, so that a full window
    /// refuses both in the same time.
    pub async fn count_failed_login(&self, attempts: &Window) -> Result<()> {
        self.transaction()
            .update(Table::App, attempts.key(), attempts.count())
            .on_conflict(Error::RateLimited(attempts.state(u32::MAX)))
            .commit()
            .await
    }

    /// Begins a session and counts the login that led to it, in one transaction over both tables.
    /// A window that has filled up meanwhile refuses both.
    pub async fn begin_session(
        &self,
        user: Uuid,
        session: &Session,
        attempts: &Window,
    ) -> Result<()> {
        let ttl = session.expires_at.as_second();
        let family = Family {
            generation: 0,
            rotated_at: session.created_at,
            ttl,
        };
        self.transaction()
            .update(Table::App, attempts.key(), attempts.count())
            .on_conflict(Error::RateLimited(attempts.state(u32::MAX)))
            .create(
                Table::App,
                &keys::session(user, session.id),
                &StoredSession { session, ttl },
            )
            .create(Table::Vault, &keys::family(user, session.id), &family)
            .commit()
            .await
    }
}
