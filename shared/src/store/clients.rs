//! Service clients, in the vault: each with the hashes of its live secrets, and with an entry in the list of all.
//!
//! What the list shows never changes while a client exists, so the two cannot drift apart.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::change::{number, text};
use super::rates::Window;
use super::{Change, Store, Table, failed, from_item, keys};
use crate::auth::OneTimeToken;
use crate::error::{Error, RateLimit, Result};
use crate::models::audit::AuditEntry;
use crate::models::client::ServiceClient;

/// More would need pages, and a hundred services are many.
const MOST_CLIENTS: i64 = 100;

/// The newest, and the one before it, for as long as it takes to hand out the newest.
const LIVE_SECRETS: usize = 2;

/// What a client authenticates with: 32 random bytes in base64url. The prefix tells whoever finds one what it is.
pub struct ClientSecret(String);

impl ClientSecret {
    fn new() -> Result<Self> {
        let random = OneTimeToken::new()?;
        Ok(Self(format!("sheaf_{}", random.reveal())))
    }

    /// What its owner is shown, once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn stored(&self, now: Timestamp) -> StoredSecret {
        StoredSecret {
            hash: OneTimeToken::hash_of(&self.0),
            created_at: now,
        }
    }
}

/// A client as it is stored.
#[derive(Clone, Serialize, Deserialize)]
struct StoredClient {
    #[serde(flatten)]
    client: ServiceClient,
    /// The newest first.
    secrets: Vec<StoredSecret>,
    /// Counts the rotations, so that of two at once one loses.
    version: i64,
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredSecret {
    /// SHA-256. Nobody guesses 256 bits, so that it needs neither salt nor a slow hash.
    hash: String,
    created_at: Timestamp,
}

impl Store {
    /// Writes a new client with its first secret. One transaction, which refuses one client too many.
    pub async fn create_client(
        &self,
        client: &ServiceClient,
        audit: &AuditEntry,
    ) -> Result<ClientSecret> {
        let secret = ClientSecret::new()?;
        let stored = StoredClient {
            client: client.clone(),
            secrets: vec![secret.stored(client.created_at)],
            version: 1,
        };
        let count = Change::new()
            .add("count", 1)
            .versioned()
            .if_below("count", MOST_CLIENTS);
        self.transaction()
            .update(Table::Vault, &keys::client_counter(), count)
            .on_conflict(Error::LimitReached("service clients"))
            .create(Table::Vault, &keys::client(client.id), &stored)
            .create(Table::Vault, &keys::listed_client(client.id), client)
            .audit(client.created_by, audit)
            .commit()
            .await?;
        Ok(secret)
    }

    /// All clients, the oldest first. One query.
    pub async fn service_clients(&self) -> Result<Vec<ServiceClient>> {
        let request = self.client.query().table_name(self.name(Table::Vault)?);
        let request = request
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(&keys::clients()))
            .consistent_read(true);
        let output = request.send().await.map_err(failed("list the clients"))?;
        let items = output.items.unwrap_or_default();
        items.into_iter().map(from_item).collect()
    }

    /// One read.
    pub async fn service_client(&self, id: Uuid) -> Result<Option<ServiceClient>> {
        let stored = self.stored_client(id).await?;
        Ok(stored.map(|stored| stored.client))
    }

    /// Gives a client a new secret. The one before lives on beside it, and the one before that is gone. One read and
    /// one transaction; 409 `stale` if somebody else rotates at the same time.
    pub async fn rotate_client(
        &self,
        id: Uuid,
        admin: Uuid,
        audit: &AuditEntry,
    ) -> Result<(ServiceClient, ClientSecret)> {
        let old = self.stored_client(id).await?;
        let old = old.ok_or(Error::NotFound("service client of this id"))?;
        let secret = ClientSecret::new()?;
        let mut new = old.clone();
        new.version += 1;
        new.secrets.insert(0, secret.stored(self.clock.now()));
        new.secrets.truncate(LIVE_SECRETS);
        let change = Change::between(&old, &new)?.if_equal("version", number(old.version));
        self.transaction()
            .update(Table::Vault, &keys::client(id), change)
            .on_conflict(Error::Stale)
            .audit(admin, audit)
            .commit()
            .await?;
        Ok((new.client, secret))
    }

    /// Deletes a client with its secrets. Who verifies its tokens without asking takes them until they expire, for a
    /// quarter of an hour at most.
    pub async fn delete_client(&self, id: Uuid, admin: Uuid, audit: &AuditEntry) -> Result<()> {
        self.transaction()
            .take(Table::Vault, &keys::client(id))
            .on_conflict(Error::NotFound("service client of this id"))
            .delete(Table::Vault, &keys::listed_client(id))
            .update(
                Table::Vault,
                &keys::client_counter(),
                Change::new().add("count", -1),
            )
            .audit(admin, audit)
            .commit()
            .await
    }

    /// The active client whose id and secret these are, and how full the window of `failures` is. One read over both
    /// tables, also where no client can have that id.
    pub async fn authenticate_client(
        &self,
        id: Option<Uuid>,
        secret: &str,
        failures: &Window,
    ) -> Result<(Option<ServiceClient>, RateLimit)> {
        let key = keys::client(id.unwrap_or(Uuid::nil()));
        let found = self
            .batch_get([(Table::Vault, &key), (Table::App, failures.key())])
            .await?;
        let [client, counted] = found;
        let state = failures.state(Window::used(counted.as_ref()));
        let hash = OneTimeToken::hash_of(secret);
        let client: Option<StoredClient> = client.map(from_item).transpose()?;
        // How long comparing takes tells something of the hashes, and nothing of a secret.
        let is_theirs = |stored: &StoredClient| {
            let known = stored.secrets.iter().any(|secret| secret.hash == hash);
            known && stored.client.is_active
        };
        let client = client.filter(is_theirs).map(|stored| stored.client);
        Ok((client, state))
    }

    async fn stored_client(&self, id: Uuid) -> Result<Option<StoredClient>> {
        let item = self.get(Table::Vault, &keys::client(id)).await?;
        item.map(from_item).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_and_stored_as_its_hash() {
        let (one, other) = (ClientSecret::new().unwrap(), ClientSecret::new().unwrap());
        assert!(one.reveal().starts_with("sheaf_"));
        // 32 bytes are 43 characters.
        assert_eq!(one.reveal().len(), "sheaf_".len() + 43);
        assert_ne!(one.reveal(), other.reveal());
        let stored = one.stored(Timestamp::UNIX_EPOCH);
        assert_eq!(stored.hash, OneTimeToken::hash_of(one.reveal()));
        assert!(!one.reveal().contains(&stored.hash));
    }

    #[test]
    fn a_client_comes_back_from_the_table_as_it_was() {
        let name = crate::models::text::Name::parse("billing").unwrap();
        let scope = crate::models::client::ScopeName(crate::models::Scope::OrdersRead);
        let now = Timestamp::UNIX_EPOCH;
        let client = ServiceClient::new(name, &[scope], Uuid::nil(), now).unwrap();
        let secret = ClientSecret::new().unwrap();
        let stored = StoredClient {
            client: client.clone(),
            secrets: vec![secret.stored(now)],
            version: 1,
        };
        let item = super::super::to_item(&keys::client(client.id), &stored).unwrap();
        let read: StoredClient = from_item(item).unwrap();
        assert_eq!(read.client, client);
        assert_eq!(read.secrets[0].hash, stored.secrets[0].hash);
        assert_eq!(read.version, 1);
    }
}
