//! One-time tokens, in the vault by their hash.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Store, Table, failed, keys, to_item};
use crate::auth::OneTimeToken;
use crate::error::Result;
use crate::models::User;
use crate::models::one_time_token::Purpose;
use crate::models::text::Email;

#[derive(Serialize, Deserialize)]
struct StoredToken {
    user_id: Uuid,
    /// The address that the link was sent to.
    email: Email,
    issued_at: Timestamp,
    /// When it ends and DynamoDB may drop it, in seconds since the epoch.
    ttl: i64,
}

impl Store {
    /// Makes a token for a user and answers what goes into the link. One write.
    ///
    /// A task that is run again makes another one, and the links of both work: whichever mail has arrived.
    pub async fn issue_one_time_token(
        &self,
        purpose: Purpose,
        user: &User,
    ) -> Result<OneTimeToken> {
        let token = OneTimeToken::new()?;
        let now = self.clock.now();
        let stored = StoredToken {
            user_id: user.id,
            email: user.email.clone(),
            issued_at: now,
            ttl: (now + purpose.lifetime()).as_second(),
        };
        let key = keys::one_time_token(purpose, &token.hash());
        let request = self.client.put_item().table_name(self.name(Table::Vault)?);
        let request = request.set_item(Some(to_item(&key, &stored)?));
        let put = request.send().await;
        put.map_err(failed("issue a one-time token"))?;
        Ok(token)
    }
}
