//! A session: what begins with a login and ends with a logout, a revocation, or its expiry.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::User;
use crate::ids;

/// How long a session lives without being refreshed. A refresh in its second half gives it the whole again.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The public part of a session, which each request reads beside its user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    pub id: Uuid,
    /// The user's when it began.
    #[serde(default)]
    pub epoch: u64,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    pub ip: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

impl Session {
    /// A session of a user, as they were read before they proved who they are.
    pub fn begin(user: &User, now: Timestamp, ip: String, user_agent: Option<String>) -> Self {
        Self {
            id: ids::new(),
            epoch: user.session_epoch,
            created_at: now,
            expires_at: now + LIFETIME,
            revoked_at: None,
            ip,
            user_agent,
        }
    }

    pub fn is_live(&self, at: Timestamp) -> bool {
        self.revoked_at.is_none() && at < self.expires_at
    }
}
