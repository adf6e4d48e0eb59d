//! One-time tokens, in the vault: one per user and purpose, so that a newer link replaces the one before.

use serde::{Deserialize, Serialize};

use super::{Store, Table, failed, keys, to_item};
use crate::auth::OneTimeToken;
use crate::error::Result;
use crate::models::User;
use crate::models::one_time_token::Purpose;
use crate::models::text::Email;

#[derive(Serialize, Deserialize)]
struct StoredToken {
    hash: String,
    /// The address that the link was sent to.
    email: Email,
    /// When it ends and DynamoDB may drop it, in seconds since the epoch.
    ttl: i64,
}

impl Store {
    /// Makes a token for a user and answers what goes into the link. One write.
    pub async fn issue_one_time_token(
        &self,
        purpose: Purpose,
        user: &User,
    ) -> Result<OneTimeToken> {
        let token = OneTimeToken::new(user.id)?;
        let stored = StoredToken {
            hash: token.hash(),
            email: user.email.clone(),
            ttl: (self.clock.now() + purpose.lifetime()).as_second(),
        };
        let key = keys::one_time_token(purpose, user.id);
        let request = self.client.put_item().table_name(self.name(Table::Vault)?);
        let request = request.set_item(Some(to_item(&key, &stored)?));
        let put = request.send().await;
        put.map_err(failed("issue a one-time token"))?;
        Ok(token)
    }
}
