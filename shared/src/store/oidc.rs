//! Logins by way of an OpenID provider: those on their way, and who is known as whom there.

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::accounts::Unique;
use super::change::text;
use super::keys::{self, IDENTITY, Key};
use super::{Change, Store, Table, Transaction, failed, from_item, to_item};
use crate::auth::OneTimeToken;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::models::User;
use crate::models::audit::AuditEntry;

/// How long somebody may take at the provider.
pub const OIDC_PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// The most identities of a user that are looked for: one transaction can take both directions of so many. A user has
/// one at each provider.
const MOST_IDENTITIES: i32 = 40;

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

/// An identity as it stands beside its user, for whoever takes all of theirs away.
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

    /// What the sort keys of a user's identities begin with: of those at one provider, or of all of them.
    fn prefix(provider: Option<&str>) -> String {
        match provider {
            Some(provider) => format!("{IDENTITY}{provider}#"),
            None => IDENTITY.to_owned(),
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

    /// Whether a user is known by an identity at this provider, whichever. One query.
    pub async fn has_identity_at(&self, user: Uuid, provider: &str) -> Result<bool> {
        let prefix = OidcIdentity::prefix(Some(provider));
        let found = self.beside(user, &prefix, 1).await?;
        Ok(!found.is_empty())
    }

    /// The keys of all identities of a user, as they stand beside them. One query.
    pub(super) async fn identities_of(&self, user: Uuid) -> Result<Vec<Key>> {
        let prefix = OidcIdentity::prefix(None);
        self.beside(user, &prefix, MOST_IDENTITIES).await
    }

    /// The first keys of a user's partition that begin with `prefix`, strongly consistent.
    async fn beside(&self, user: Uuid, prefix: &str, most: i32) -> Result<Vec<Key>> {
        let request = self.client.query().table_name(self.name(Table::App)?);
        let request = request
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(&keys::profile(user).pk))
            .expression_attribute_values(":prefix", text(prefix))
            .consistent_read(true)
            .limit(most);
        let output = request.send().await.map_err(failed("list identities"))?;
        let items = output.items.unwrap_or_default();
        Ok(items.iter().filter_map(Key::of).collect())
    }

    /// Links an identity to a user, as they were read, whose address is verified on both sides, and tells them. 409
    /// `stale` if the user has changed meanwhile, or if the identity was linked meanwhile.
    pub async fn link_identity(
        &self,
        identity: &OidcIdentity,
        user: &User,
        audit: &AuditEntry,
    ) -> Result<()> {
        // Counts as a change, so that one of two links at once loses the race, and so does whoever takes away the
        // identities that were there before.
        let linked = Change::new()
            .add("version", 1)
            .if_equal("version", AttributeValue::N(user.version.to_string()));
        self.transaction()
            .identity(user, identity)
            .update(Table::App, &keys::profile(user.id), linked)
            .on_conflict(Error::Stale)
            .audit(user.id, audit)
            .event(Event::UserLoginLinked {
                user,
                provider: &identity.provider,
            })
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

    /// Takes both directions of identities away, by the keys beside their user. 409 `stale` if another was faster: the
    /// identity may be somebody else's by now.
    pub(super) fn without_identities(self, identities: &[Key]) -> Self {
        identities.iter().fold(self, |transaction, key| {
            let taken = transaction.take(Table::App, key);
            let taken = taken.on_conflict(Error::Stale);
            match keys::unique_oidc_of(&key.sk) {
                Some(unique) => taken.delete(Table::App, &unique),
                None => taken,
            }
        })
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

    #[test]
    fn an_identity_is_found_by_its_provider() {
        let user = Uuid::now_v7();
        let identity = |provider| OidcIdentity::new(provider, "https://id.example", "ada");
        let is_found = |identity: &OidcIdentity, provider| {
            let key = keys::oidc(user, identity);
            key.sk.starts_with(&OidcIdentity::prefix(provider))
        };
        for (provider, others) in [("a", ["ab", "b"]), ("ab", ["a", "b"])] {
            let identity = identity(provider);
            assert!(is_found(&identity, Some(provider)), "{provider}");
            assert!(is_found(&identity, None), "{provider}");
            for other in others {
                assert!(!is_found(&identity, Some(other)), "{provider} at {other}");
            }
        }
        let all = OidcIdentity::prefix(None);
        let others = [keys::profile(user), keys::session(user, user)];
        assert!(others.iter().all(|key| !key.sk.starts_with(&all)));
    }
}
