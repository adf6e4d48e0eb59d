//! Accounts: a user with what makes them unique and able to log in.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::change::{number, stored, text};
use super::one_time_tokens::Link;
use super::rates::Window;
use super::{Change, Item, SCHEMA_VERSION, Store, Table, Transaction, from_item, keys};
use crate::config::Hidden;
use crate::error::{Error, RateLimit, Result};
use crate::events::Event;
use crate::models::User;
use crate::models::audit::AuditEntry;
use crate::models::text::{Email, LoginName, Username};

/// A user with their password, as only `auth` may see it.
#[derive(Debug)]
pub struct Account {
    pub user: User,
    /// Who logs in elsewhere has none.
    pub password: Option<Password>,
}

impl Account {
    fn of(profile: Option<Item>, password: Option<Item>) -> Result<Option<Self>> {
        let Some(profile) = profile else {
            return Ok(None);
        };
        let password: Option<StoredPassword> = password.map(from_item).transpose()?;
        Ok(Some(Self {
            user: from_item(profile)?,
            password: password.map(|password| Password {
                hash: Hidden::new(password.hash),
                changed_at: password.changed_at,
            }),
        }))
    }
}

#[derive(Clone, Debug)]
pub struct Password {
    pub hash: Hidden,
    pub changed_at: jiff::Timestamp,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Unique {
    pub(super) user_id: Uuid,
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
        let password = StoredPassword {
            hash: password_hash.to_owned(),
            changed_at: user.created_at,
        };
        self.transaction()
            .new_user(user, audit)
            .create(Table::Vault, &keys::password(user.id), &password)
            .commit()
            .await
    }

    /// Who has this login name, and how full the `attempts` window is. One read, also where nobody can have that name.
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

    /// A user and their password, and how many logins have failed in this window. One read over both tables.
    pub async fn account_to_log_in(
        &self,
        user_id: Uuid,
        failures: &Window,
    ) -> Result<(Option<Account>, u32)> {
        let (profile, password) = (keys::profile(user_id), keys::password(user_id));
        let wanted = [
            (Table::App, &profile),
            (Table::Vault, &password),
            (Table::App, failures.key()),
        ];
        let [profile, password, failed] = self.batch_get(wanted).await?;
        let account = Account::of(profile, password)?;
        Ok((account, Window::used(failed.as_ref())))
    }

    /// A user and their password. One read over both tables.
    pub async fn account(&self, user_id: Uuid) -> Result<Option<Account>> {
        let (profile, password) = (keys::profile(user_id), keys::password(user_id));
        let [profile, password] = self
            .batch_get([(Table::App, &profile), (Table::Vault, &password)])
            .await?;
        Account::of(profile, password)
    }

    /// The user of an e-mail address. Two reads.
    pub async fn user_by_email(&self, email: &Email) -> Result<Option<User>> {
        let unique = self.get(Table::App, &keys::unique_email(email)).await?;
        match unique.map(from_item::<Unique>).transpose()? {
            Some(unique) => self.user(unique.user_id).await,
            None => Ok(None),
        }
    }

    /// Replaces the password that was read by another, and ends every session but one at once. 409 `stale` if the
    /// password has changed meanwhile.
    pub async fn change_password(
        &self,
        account: &Account,
        hash: &str,
        keep: Uuid,
        audit: &AuditEntry,
    ) -> Result<()> {
        let user = account.user.id;
        let now = self.clock.now();
        let old = account.password.as_ref().ok_or(Error::WrongPassword)?;
        let change = Change::new()
            .set("hash", text(hash))
            .set("changed_at", stored(&now)?)
            .if_equal("hash", text(old.hash.reveal()));
        self.transaction()
            .update(Table::Vault, &keys::password(user), change)
            .on_conflict(Error::Stale)
            .end_sessions(user, Some(keep))
            .audit(user, audit)
            .commit()
            .await
    }

    /// Sets a password by a link, which is used up by it, and ends every session. The link has proved the address it
    /// went to.
    pub async fn reset_password(
        &self,
        link: &Link,
        account: &Account,
        hash: &str,
        audit: &AuditEntry,
    ) -> Result<()> {
        let user = &account.user;
        let now = self.clock.now();
        let change = Change::new()
            .set("hash", text(hash))
            .set("changed_at", stored(&now)?)
            .set("v", number(SCHEMA_VERSION.into()));
        let mut proved = user.clone();
        if !user.is_verified {
            proved.is_verified = true;
            proved.updated_at = now;
            proved.version += 1;
        }
        let proved = Change::between(user, &proved)?.next_epoch(None).if_equal(
            "version",
            number(i64::try_from(user.version).unwrap_or(i64::MAX)),
        );
        self.transaction()
            .take(Table::Vault, &link.key())
            .on_conflict(Error::InvalidLink)
            .update(Table::Vault, &keys::password(user.id), change)
            .update(Table::App, &keys::profile(user.id), proved)
            .on_conflict(Error::Stale)
            .audit(user.id, audit)
            .commit()
            .await
    }

    /// Marks the address as verified that a link went to, and uses the link up. The link is void if the user has
    /// another address by now.
    pub async fn verify_email(&self, link: &Link, audit: &AuditEntry) -> Result<()> {
        let change = Change::new()
            .set("is_verified", AttributeValue::Bool(true))
            .set("updated_at", stored(&self.clock.now())?)
            .add("version", 1)
            .if_equal("email", text(link.email.as_str()))
            .if_equal("is_active", AttributeValue::Bool(true));
        self.transaction()
            .take(Table::Vault, &link.key())
            .on_conflict(Error::InvalidLink)
            .update(Table::App, &keys::profile(link.user_id), change)
            .on_conflict(Error::InvalidLink)
            .audit(link.user_id, audit)
            .commit()
            .await
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
    /// Writes all of a new user but how they prove who they are: unique names, profile, count, audit entry, and the
    /// tasks that follow.
    pub(super) fn new_user(self, user: &User, audit: &AuditEntry) -> Self {
        let unique = Unique { user_id: user.id };
        let mut transaction = self
            .create(Table::App, &keys::unique_email(&user.email), &unique)
            .on_conflict(Error::EmailTaken);
        if let Some(username) = &user.username {
            transaction = transaction
                .create(Table::App, &keys::unique_username(username), &unique)
                .on_conflict(Error::UsernameTaken);
        }
        transaction
            .create(Table::App, &keys::profile(user.id), user)
            .update(
                Table::App,
                &keys::user_counter(user.id),
                Change::new().add("count", 1),
            )
            .audit(user.id, audit)
            .event(Event::UserCreated(user))
    }

    /// Adds an entry to a user's audit trail.
    pub fn audit(self, user: Uuid, entry: &AuditEntry) -> Self {
        self.create(Table::App, &keys::audit(user, entry.at, entry.id), entry)
    }
}
