//! Accounts: a user with what makes them unique and able to log in.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rates::Window;
use super::{Change, Store, Table, Transaction, from_item, keys};
use crate::config::Hidden;
use crate::error::{Error, RateLimit, Result};
use crate::events::Event;
use crate::models::User;
use crate::models::audit::AuditEntry;
use crate::models::text::{LoginName, Username};

/// A user with their password hash, as only `auth` may see it.
#[derive(Debug)]
pub struct Account {
    pub user: User,
    pub password_hash: Hidden,
}

#[derive(Serialize, Deserialize)]
struct Unique {
    user_id: Uuid,
}

#[derive(Serialize, Deserialize)]
struct StoredPassword {
    hash: String,
    changed_at: jiff::Timestamp,
}

impl Store {
    /// Registers a user: profile, password, unique names, count, audit entry and the tasks that follow,
    /// in one transaction over both tables.
    pub async fn create_account(
        &self,
        user: &User,
        password_hash: &str,
        audit: &AuditEntry,
    ) -> Result<()> {
        let unique = Unique { user_id: user.id };
        let password = StoredPassword {
            hash: password_hash.to_owned(),
            changed_at: user.created_at,
        };
        let mut transaction = self
            .transaction()
            .create(Table::App, &keys::unique_email(&user.email), &unique)
            .on_conflict(Error::EmailTaken);
        if let Some(username) = &user.username {
            transaction = transaction
                .create(Table::App, &keys::unique_username(username), &unique)
                .on_conflict(Error::UsernameTaken);
        }
        transaction
            .create(Table::App, &keys::profile(user.id), user)
            .create(Table::Vault, &keys::password(user.id), &password)
            .update(
                Table::App,
                &keys::user_counter(user.id),
                Change::new().add("count", 1),
            )
            .audit(user.id, audit)
            .event(Event::UserCreated(user))
            .commit()
            .await
    }

    /// The id of the user with this login name, and how full the `attempts` window is. One read, also
    /// where nobody can have that name.
    pub async fn find_login(
        &self,
        name: Option<&LoginName>,
        attempts: &Window,
    ) -> Result<(Option<Uuid>, RateLimit)> {
        let key = name.map_or_else(keys::nobody, LoginName::key);
        let [unique, counted] = self
            .batch_get([(Table::App, &key), (Table::App, attempts.key())])
            .await?;
        let user_id = unique.map(from_item::<Unique>).transpose()?;
        let state = attempts.state(Window::used(counted.as_ref()));
        Ok((user_id.map(|unique| unique.user_id), state))
    }

    /// A user and their password hash. One read over both tables.
    pub async fn account(&self, user_id: Uuid) -> Result<Option<Account>> {
        let (profile, password) = (keys::profile(user_id), keys::password(user_id));
        let [profile, password] = self
            .batch_get([(Table::App, &profile), (Table::Vault, &password)])
            .await?;
        let (Some(profile), Some(password)) = (profile, password) else {
            return Ok(None);
        };
        let password: StoredPassword = from_item(password)?;
        Ok(Some(Account {
            user: from_item(profile)?,
            password_hash: Hidden::new(password.hash),
        }))
    }

    /// Changes a profile from `old`, as it was read, to `new`; frees and takes unique names with it.
    /// Without a new name this is still one transaction, because the audit entry belongs to it.
    pub async fn update_user(&self, old: &User, new: &User, audit: &AuditEntry) -> Result<()> {
        let unique = Unique { user_id: new.id };
        let mut transaction = self.transaction();
        if old.email != new.email {
            transaction = transaction
                .create(Table::App, &keys::unique_email(&new.email), &unique)
                .on_conflict(Error::EmailTaken)
                .delete(Table::App, &keys::unique_email(&old.email))
                .event(Event::UserEmailChanged {
                    user: new,
                    old_email: &old.email,
                });
        }
        let folded = |user: &User| user.username.as_ref().map(Username::folded);
        if folded(old) != folded(new) {
            if let Some(username) = &new.username {
                transaction = transaction
                    .create(Table::App, &keys::unique_username(username), &unique)
                    .on_conflict(Error::UsernameTaken);
            }
            if let Some(username) = &old.username {
                transaction = transaction.delete(Table::App, &keys::unique_username(username));
            }
        }
        let read_version = AttributeValue::N(old.version.to_string());
        let change = Change::between(old, new)?.if_equal("version", read_version);
        transaction
            .update(Table::App, &keys::profile(new.id), change)
            .on_conflict(Error::Stale)
            .audit(new.id, audit)
            .commit()
            .await
    }
}

impl LoginName {
    fn key(&self) -> keys::Key {
        match self {
            Self::Email(email) => keys::unique_email(email),
            Self::Username(username) => keys::unique_username(username),
        }
    }
}

impl Transaction<'_> {
    /// Adds an entry to a user's audit trail.
    pub fn audit(self, user: Uuid, entry: &AuditEntry) -> Self {
        self.create(Table::App, &keys::audit(user, entry.at, entry.id), entry)
    }
}
