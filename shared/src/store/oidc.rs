//! Logins by way of an OpenID provider: those on their way, and who is known as whom there.

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::accounts::Unique;
use super::change::text;
use super::{Change, Store, Table, Transaction, failed, from_item, keys, to_item};
use crate::auth::OneTimeToken;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::models::User;
use crate::models::audit::AuditEntry;

/// How long somebody may take at the provider.
pub const OIDC_PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// What has to be known again when a login comes back from a provider.
#[derive(Serialize, Deserialize)]
pub struct OidcLogin {
    pub provider: String,
    /// What the id token must repeat.
    pub nonce: String,
    /// What proves to the provider that the code comes back to whom it was meant for (PKCE, RFC 7636).
    pub verifier: String,
    /// The hash of what the browser keeps in its cookie.
    pub browser: String,
}

#[derive(Serialize, Deserialize)]
struct StoredLogin {
    #[serde(flatten)]
    login: OidcLogin,
    /// When it ends and DynamoDB may drop it, in seconds since the epoch.
    ttl: i64,
}

/// Who somebody is at a provider: issuer and subject together, never the e-mail address, which may change hands
/// (OpenID Connect Core 1.0, section 5.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcIdentity {
    pub(super) provider: String,
    /// A hash of both, because a subject may have any length.
    pub(super) hash: String,
}

/// An identity as it stands beside its user, for who erases the user.
#[derive(Serialize)]
struct StoredIdentity<'a> {
    provider: &'a str,
    linked_at: Timestamp,
}

impl OidcIdentity {
    /// The issuer is part of it, so that a provider's name that is given to another issuer leads to nobody's account.
    pub fn new(provider: &str, issuer: &str, subject: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            hash: OneTimeToken::hash_of(&format!("{issuer}\n{subject}")),
        }
    }
}

impl Store {
    /// Keeps a login that goes to a provider, by the hash of its state. One write.
    pub async fn keep_oidc_login(&self, state: &OneTimeToken, login: OidcLogin) -> Result<()> {
        let stored = StoredLogin {
            login,
            ttl: (self.clock.now() + OIDC_PATIENCE).as_second(),
        };
        let key = keys::oidc_state(&state.hash());
        let request = self.client.put_item().table_name(self.name(Table::Vault)?);
        let request = request.set_item(Some(to_item(&key, &stored)?));
        request.send().await.map_err(failed("keep a login"))?;
        Ok(())
    }

    /// Takes a login back that comes from a provider with this state, in the browser that keeps `browser`. One
    /// conditional delete: of two requests at once, one gets it. Whoever has seen the state only can neither take it
    /// nor spoil it.
    pub async fn take_oidc_login(
        &self,
        state: &str,
        provider: &str,
        browser: &str,
    ) -> Result<Option<OidcLogin>> {
        let key = keys::oidc_state(&OneTimeToken::hash_of(state));
        let condition = Change::new()
            .if_equal("provider", text(provider))
            .if_equal("browser", text(&OneTimeToken::hash_of(browser)))
            .expressions();
        let request = self.client.delete_item();
        let request = request
            .table_name(self.name(Table::Vault)?)
            .set_key(Some(key.attributes()))
            .set_condition_expression(condition.condition)
            .set_expression_attribute_names(condition.names)
            .set_expression_attribute_values(condition.values)
            .return_values(ReturnValue::AllOld);
        let item = match request.send().await {
            Ok(output) => output.attributes,
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => None,
                _ => return Err(failed("take a login back")(error)),
            },
        };
        let Some(stored) = item.map(from_item::<StoredLogin>).transpose()? else {
            return Ok(None);
        };
        Ok((stored.ttl > self.clock.seconds()).then_some(stored.login))
    }

    /// Who is known by this identity. Two reads.
    pub async fn user_of_identity(&self, identity: &OidcIdentity) -> Result<Option<User>> {
        let unique = self.get(Table::App, &keys::unique_oidc(identity)).await?;
        let Some(unique) = unique.map(from_item::<Unique>).transpose()? else {
            return Ok(None);
        };
        // Of a deleted user, the identity goes when everything else is erased.
        let user = self.user(unique.user_id).await?;
        user.ok_or(Error::AccountInactive).map(Some)
    }

    /// Links an identity to a user whose address is verified on both sides. 409 `stale` if it is not any more, or if
    /// the identity was linked meanwhile.
    pub async fn link_identity(
        &self,
        identity: &OidcIdentity,
        user: &User,
        audit: &AuditEntry,
    ) -> Result<()> {
        let verified = Change::new()
            .if_equal("email", text(user.email.as_str()))
            .if_equal("is_verified", AttributeValue::Bool(true))
            .if_equal("is_active", AttributeValue::Bool(true));
        self.transaction()
            .identity(user, identity)
            .check(Table::App, &keys::profile(user.id), verified)
            .on_conflict(Error::Stale)
            .audit(user.id, audit)
            .commit()
            .await
    }

    /// Registers a user who has logged in with a provider: as [`create_account`](Self::create_account) does, with an
    /// identity in the place of a password.
    pub async fn create_account_of(
        &self,
        identity: &OidcIdentity,
        user: &User,
        audit: &AuditEntry,
    ) -> Result<()> {
        self.transaction()
            .identity(user, identity)
            .new_user(user, audit, Event::UserCreated(user))
            .commit()
            .await
    }
}

impl Transaction<'_> {
    /// Writes both directions of a new identity. 409 `stale` if somebody has it.
    fn identity(self, user: &User, identity: &OidcIdentity) -> Self {
        let unique = Unique { user_id: user.id };
        let stored = StoredIdentity {
            provider: &identity.provider,
            linked_at: self.store.clock.now(),
        };
        self.create(Table::App, &keys::unique_oidc(identity), &unique)
            .on_conflict(Error::Stale)
            .create(Table::App, &keys::oidc(user.id, identity), &stored)
            .on_conflict(Error::Stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_issuer_and_subject() {
        let identity = |issuer, subject| OidcIdentity::new("a", issuer, subject);
        let ada = identity("https://id.example", "ada");
        assert_eq!(ada, identity("https://id.example", "ada"));
        assert_ne!(ada, identity("https://id.example", "Ada"));
        assert_ne!(ada, identity("https://id.example/", "ada"));
        assert_ne!(ada, OidcIdentity::new("b", "https://id.example", "ada"));
    }
}
