//! Accounts: a user with what makes them unique and able to log in.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::change::{number, stored, text};
use super::one_time_tokens::Link;
use super::rates::Window;
use super::users::StoredUser;
use super::{Change, Item, Store, Table, Transaction, from_item, keys};
use crate::config::Hidden;
use crate::error::{Error, RateLimit, Result};
use crate::events::Event;
use crate::models::User;
use crate::models::audit::AuditEntry;
use crate::models::text::{Email, LoginName};

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
pub(super) struct StoredPassword {
    pub(super) hash: String,
    pub(super) changed_at: jiff::Timestamp,
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
            .new_user(user, audit, Event::UserCreated(user))
            .create(Table::Vault, &keys::password(user.id), &password)
            .commit()
            .await
    }

    /// Makes a user who is invited to choose a password. As [`create_account`](Self::create_account), without one.
    pub async fn invite(&self, user: &User, audit: &AuditEntry) -> Result<()> {
        self.transaction()
            .new_user(user, audit, Event::UserInvited(user))
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

    /// Replaces the password that was read by another, ends every session but one at once, and forgets an address that was
    /// asked for, which may have been a thief's wish. 409 `stale` if the password has changed meanwhile.
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
            .update(
                Table::App,
                &keys::profile(user),
                without_pending_email(Change::new().if_exists("id")).next_epoch(Some(keep)),
            )
            .on_conflict(Error::Stale)
            .audit(user, audit)
            .commit()
            .await
    }

    /// Sets a password by a link, which is used up by it, ends every session, forgets an address that was asked for,
    /// and takes every login with a provider away. The link has proved the address it went to: whoever holds that
    /// mailbox has the account from now on, and nobody else. 409 `stale` if the user has changed meanwhile.
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
            .versioned();
        let mut proved = user.clone();
        if !user.is_verified {
            proved.is_verified = true;
        }
        proved.pending_email = None;
        if proved != *user {
            proved.updated_at = now;
        }
        // Also if nothing of it shows: a login that is being linked meanwhile must lose the race.
        proved.version += 1;
        let identities = self.identities_of(user.id).await?;
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
            .without_identities(&identities)
            .audit(user.id, audit)
            .commit()
            .await
    }

    /// Marks the address as verified that a link went to, and uses the link up. If it is the one that the user wants
    /// instead of theirs, it takes its place; 409 `email_taken` if somebody else has it by now. The link is void if it is
    /// neither.
    pub async fn verify_email(&self, link: &Link, audit: AuditEntry) -> Result<()> {
        let user = self.user(link.user_id).await?;
        let user = user.filter(|user| user.is_active);
        let old = user.ok_or(Error::InvalidLink)?;
        let mut new = User {
            is_verified: true,
            updated_at: self.clock.now(),
            version: old.version + 1,
            ..old.clone()
        };
        match new.pending_email.take_if(|wanted| link.went_to(wanted)) {
            Some(wanted) => new.email = wanted,
            None if link.went_to(&old.email) => {}
            None => return Err(Error::InvalidLink),
        }
        let audit = audit.with_changes(&old, &new);
        self.transaction()
            .take(Table::Vault, &link.key())
            .on_conflict(Error::InvalidLink)
            .change_user(&old, &new)
            .audit(link.user_id, &audit)
            .commit()
            .await
    }

    /// Changes a user from `old`, as it was read, to `new`, with all that follows from it, in one transaction. 409 `stale`
    /// if the user has changed meanwhile.
    pub async fn update_user(&self, old: &User, new: &User, audit: &AuditEntry) -> Result<()> {
        self.transaction()
            .change_user(old, new)
            .audit(new.id, audit)
            .commit()
            .await
    }
}

/// Forgets an address that was asked for. Counts as a change, so that whoever confirms it meanwhile loses the race.
fn without_pending_email(change: Change) -> Change {
    change.remove("pending_email").add("version", 1)
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
    /// Writes all of a new user but how they prove who they are: unique names, profile, counts, audit entry, and the
    /// tasks that follow.
    pub(super) fn new_user(self, user: &User, audit: &AuditEntry, event: Event) -> Self {
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
            .create(Table::App, &keys::profile(user.id), &StoredUser::of(user))
            .count_user(user.id, None, Some(user))
            .audit(user.id, audit)
            .event(event)
    }

    /// Writes what turns a user from `old`, as it was read, into `new`: profile, unique names, lists and counts; who is
    /// not active any more has no sessions; and the tasks that follow.
    fn change_user(self, old: &User, new: &User) -> Self {
        let version = AttributeValue::N(old.version.to_string());
        let change = Change::between(&StoredUser::of(old), &StoredUser::of(new));
        let change = match change {
            Ok(change) => change.if_equal("version", version),
            Err(error) => return self.broken(error),
        };
        let was_ended = old.is_active && !new.is_active;
        let change = match was_ended {
            true => change.next_epoch(None),
            false => change,
        };
        self.update(Table::App, &keys::profile(new.id), change)
            .on_conflict(Error::Stale)
            .rename(old, new)
            .count_user(new.id, Some(old), Some(new))
            .events_of_change(old, new)
    }

    /// Takes unique names and frees those that are not used any more. A deleted user has none.
    fn rename(self, old: &User, new: &User) -> Self {
        let unique = Unique { user_id: new.id };
        let names = |user: &User| {
            let email = keys::unique_email(&user.email);
            let username = user.username.as_ref().map(keys::unique_username);
            match user.is_deleted() {
                true => (None, None),
                false => (Some(email), username),
            }
        };
        let ((old_email, old_username), (new_email, new_username)) = (names(old), names(new));
        let renamed = [
            (old_email, new_email, Error::EmailTaken),
            (old_username, new_username, Error::UsernameTaken),
        ];
        let mut transaction = self;
        for (old, new, taken) in renamed {
            if old == new {
                continue;
            }
            if let Some(new) = new {
                transaction = transaction.create(Table::App, &new, &unique);
                transaction = transaction.on_conflict(taken);
            }
            if let Some(old) = old {
                transaction = transaction.delete(Table::App, &old);
            }
        }
        match &new.pending_email {
            Some(wanted) if old.pending_email != new.pending_email => transaction
                .check(
                    Table::App,
                    &keys::unique_email(wanted),
                    Change::new().if_absent("pk"),
                )
                .on_conflict(Error::EmailTaken),
            _ => transaction,
        }
    }

    fn events_of_change(self, old: &User, new: &User) -> Self {
        if new.is_deleted() {
            return self.event(Event::UserDeleted(new));
        }
        let mut transaction = self;
        if new.pending_email.is_some() && old.pending_email != new.pending_email {
            transaction = transaction.event(Event::UserEmailChangeAsked { user: new });
        }
        if old.email != new.email {
            transaction = transaction.event(Event::UserEmailChanged {
                user: new,
                old_email: &old.email,
            });
        }
        if !old.is_active && new.is_active {
            transaction = transaction.event(Event::UserActivated(new));
        }
        if old.search_texts() != new.search_texts() {
            transaction = transaction.event(Event::UserTextsChanged(new));
        }
        transaction
    }
}
