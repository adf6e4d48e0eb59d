//! One-time tokens, in the vault by their hash.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::{self, Key};
use super::{Store, Table, failed, from_item, to_item};
use crate::auth::OneTimeToken;
use crate::error::Result;
use crate::models::User;
use crate::models::one_time_token::Purpose;
use crate::models::text::Email;

/// What a link that has come back is for.
#[derive(Clone, Debug)]
pub struct Link {
    pub user_id: Uuid,
    pub issued_at: Timestamp,
    purpose: Purpose,
    token: String,
    address: String,
}

impl Link {
    pub(super) fn key(&self) -> Key {
        keys::one_time_token(self.purpose, &OneTimeToken::hash_of(&self.token))
    }

    /// Whether it went to this address.
    pub fn went_to(&self, email: &Email) -> bool {
        self.address == address_of(&self.token, email)
    }
}

#[derive(Serialize, Deserialize)]
struct StoredToken {
    user_id: Uuid,
    /// The address that the link was sent to, as a hash that only who has the token can compare: a deleted user's
    /// address is not kept here.
    address: String,
    issued_at: Timestamp,
    /// When it ends and DynamoDB may drop it, in seconds since the epoch.
    ttl: i64,
}

fn address_of(token: &str, email: &Email) -> String {
    OneTimeToken::hash_of(&format!("{token} {email}"))
}

impl Store {
    /// Makes a token for a user and the address that its link goes to, and answers what goes into the link. One write.
    ///
    /// A task that is run again makes another one, and the links of both work: whichever mail has arrived.
    pub async fn issue_one_time_token(
        &self,
        purpose: Purpose,
        user: &User,
        email: &Email,
    ) -> Result<OneTimeToken> {
        let token = OneTimeToken::new()?;
        let now = self.clock.now();
        let stored = StoredToken {
            user_id: user.id,
            address: address_of(token.reveal(), email),
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

    /// The link that a token belongs to, if it is for one of these purposes and has not expired. One read, which uses
    /// nothing up.
    pub async fn link<const N: usize>(
        &self,
        purposes: [Purpose; N],
        token: &str,
    ) -> Result<Option<Link>> {
        let hash = OneTimeToken::hash_of(token);
        let wanted = purposes.map(|purpose| keys::one_time_token(purpose, &hash));
        let found = self.batch_get(wanted.each_ref().map(|key| (Table::Vault, key)));
        let found = purposes.into_iter().zip(found.await?);
        let found = found
            .filter_map(|(purpose, item)| Some((purpose, item?)))
            .next();
        let Some((purpose, item)) = found else {
            return Ok(None);
        };
        let stored: StoredToken = from_item(item)?;
        Ok((stored.ttl > self.clock.seconds()).then_some(Link {
            user_id: stored.user_id,
            issued_at: stored.issued_at,
            purpose,
            token: token.to_owned(),
            address: stored.address,
        }))
    }
}
