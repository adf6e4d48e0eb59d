//! Erasing a user who was deleted: what is left of them but their trail and their orders, which stay without what is
//! personal.
//!
//! The profile goes last, and what leads to something else goes after it or with it. So whatever an attempt has left
//! that died, the next one finds.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use uuid::Uuid;

use super::change::text;
use super::keys::{self, Key};
use super::{Item, Store, Table, Write, failed};
use crate::error::{Context, Error, Result};
use crate::models::User;

/// The most writes of a transaction.
const MOST: usize = 100;

/// How many updates are made at the same time.
const AT_ONCE: usize = 25;

/// How long an attempt goes on before it leaves the rest to another.
const PATIENCE: Duration = Duration::from_secs(30);

impl Store {
    /// Erases what is left of a deleted user, as part of `task`. Answers whether all is gone; if not, another task has to go
    /// on in a while. Nothing happens to one who is not deleted, or gone.
    pub async fn erase_user(&self, user: Uuid, task: Uuid) -> Result<bool> {
        let profile = self.user(user).await?;
        if profile.is_none_or(|profile| !profile.is_deleted()) {
            return Ok(true);
        }
        let begun = Instant::now();
        // Without it no login that is on its way can succeed any more.
        self.erase_secrets(&[keys::password(user)]).await?;
        self.erase_tasks_of(user).await?;
        let mut is_done = self.delete_items_of(user, begun + PATIENCE).await?;
        is_done &= self.delete_files_of(user, task).await?;
        // Who has the rows in hand just now may never come back.
        is_done &= self.index::<User>(user, task, false).await?;
        // The trail comes last, because it may be long.
        for (first, last) in [
            (" ", keys::PAST),
            (keys::AFTER_PAST, "~"),
            (keys::PAST, keys::AFTER_PAST),
        ] {
            let mut start = None;
            loop {
                if begun.elapsed() > PATIENCE {
                    is_done = false;
                    break;
                }
                let (items, next) = self.part_of(user, (first, last), start).await?;
                self.erase_items(user, items).await?;
                start = next;
                if start.is_none() {
                    break;
                }
            }
        }
        if is_done {
            let profile = Write::Delete(keys::profile(user));
            self.batch_write(Table::App, vec![profile]).await?;
        }
        Ok(is_done)
    }

    /// A page of what is stored under a user between two keys, strongly consistent, and where the next one starts.
    async fn part_of(
        &self,
        user: Uuid,
        (first, last): (&str, &str),
        start: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>)> {
        let request = self.client.query().table_name(self.name(Table::App)?);
        let request = request
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
            .expression_attribute_values(":pk", text(&keys::profile(user).pk))
            .expression_attribute_values(":first", text(first))
            .expression_attribute_values(":last", text(last))
            .consistent_read(true)
            .set_exclusive_start_key(start);
        let output = request.send().await;
        let output = output.map_err(failed("list what belongs to a user"))?;
        Ok((output.items.unwrap_or_default(), output.last_evaluated_key))
    }

    /// Erases a page of it, but for the profile.
    async fn erase_items(&self, user: Uuid, items: Vec<Item>) -> Result<()> {
        let (mut families, mut noted) = (Vec::new(), Vec::new());
        let mut writes = Vec::new();
        for item in items {
            let key = Key::of(&item).context("read a key")?;
            match Part::of(user, &key) {
                Part::Profile => {}
                Part::Past => writes.extend(without_the_personal(item).map(Write::Put)),
                // By an update, because it may be changed at this moment.
                Part::Order if item.contains_key("note") => noted.push(key),
                Part::Order => {}
                Part::Identity { unique } => self.erase_identity(&key, &unique).await?,
                Part::Session(session) => {
                    families.push(keys::family(user, session));
                    writes.push(Write::Delete(key));
                }
                Part::Other => writes.push(Write::Delete(key)),
            }
        }
        for orders in noted.chunks(AT_ONCE) {
            try_join_all(orders.iter().map(|order| self.forget_order_note(order))).await?;
        }
        // Nothing but its session leads to a family: the worker may not read the vault.
        self.erase_secrets(&families).await?;
        self.batch_write(Table::App, writes).await
    }

    /// Erases both directions of an identity together: once one is gone, somebody may have it anew, whose it must stay.
    async fn erase_identity(&self, key: &Key, unique: &Key) -> Result<()> {
        let transaction = self
            .transaction()
            .take(Table::App, key)
            .on_conflict(Error::Stale)
            .delete(Table::App, unique);
        match transaction.commit().await {
            // Another attempt was faster.
            Err(Error::Stale) => Ok(()),
            done => done,
        }
    }

    /// Deletes in the vault. By transactions and not by batches, which need a permission that is good for putting a
    /// password there too.
    async fn erase_secrets(&self, keys: &[Key]) -> Result<()> {
        for keys in keys.chunks(MOST) {
            let all = keys.iter().fold(self.transaction(), |transaction, key| {
                transaction.delete(Table::Vault, key)
            });
            all.commit().await?;
        }
        Ok(())
    }

    /// Deletes the tasks that a user owns, for their payloads may name addresses. One that runs just now cannot write
    /// its end, and needs none.
    async fn erase_tasks_of(&self, user: Uuid) -> Result<()> {
        let mut start = None;
        loop {
            let request = self.client.query().table_name(self.name(Table::App)?);
            let request = request
                .index_name("owned")
                .key_condition_expression("owned_by = :owner")
                .expression_attribute_values(":owner", text(&keys::tasks_of(user)))
                .set_exclusive_start_key(start);
            let output = request.send().await;
            let output = output.map_err(failed("list the tasks of a user"))?;
            let tasks = output.items.unwrap_or_default();
            let tasks = tasks.iter().filter_map(Key::of).map(Write::Delete);
            self.batch_write(Table::App, tasks.collect()).await?;
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok(());
            }
        }
    }
}

/// What an item of a user's partition is.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Profile,
    /// An entry of the audit trail.
    Past,
    Session(Uuid),
    Order,
    /// Who the user is at a provider, with the key of the other direction.
    Identity {
        unique: Key,
    },
    Other,
}

impl Part {
    fn of(user: Uuid, key: &Key) -> Self {
        if *key == keys::profile(user) {
            return Self::Profile;
        }
        if key.sk.starts_with(keys::PAST) {
            return Self::Past;
        }
        if key.sk.starts_with(keys::ORDER) {
            return Self::Order;
        }
        if let Some(unique) = keys::unique_oidc_of(&key.sk) {
            return Self::Identity { unique };
        }
        let id = key.sk.rsplit('#').next();
        let id: Option<Uuid> = id.and_then(|id| id.parse().ok());
        let session = id.filter(|id| keys::session(user, *id) == *key);
        session.map_or(Self::Other, Self::Session)
    }
}

/// An audit entry that says no more than who did what and when; `None` if it says no more already. Works on what is
/// stored, so that nothing is lost that the model does not know.
fn without_the_personal(mut entry: Item) -> Option<Item> {
    let changes = entry.remove("changes");
    let ip = entry.insert("ip".to_owned(), text(""));
    let is_new = changes.is_some() || ip != Some(text(""));
    is_new.then_some(entry)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::models::audit::AuditEntry;
    use crate::store::oidc::OidcIdentity;
    use crate::store::{from_item, to_item};

    #[test]
    fn each_part_of_a_user_is_known_by_its_key() {
        let (user, session) = (Uuid::now_v7(), Uuid::now_v7());
        let past = Timestamp::UNIX_EPOCH;
        let identity = OidcIdentity::new("a", "https://id.example", "ada");
        let other = |sk: &str| Key {
            pk: keys::profile(user).pk,
            sk: sk.to_owned(),
        };
        let unique = keys::unique_oidc(&identity);
        for (key, part) in [
            (keys::profile(user), Part::Profile),
            (keys::audit(user, past, session), Part::Past),
            (keys::session(user, session), Part::Session(session)),
            (keys::oidc(user, &identity), Part::Identity { unique }),
            (keys::order(user, session), Part::Order),
            (keys::idempotency(user, "POST /orders", "k"), Part::Other),
            (keys::preferences(user), Part::Other),
            (other("NONSENSE#nonsense"), Part::Other),
            (other(&session.to_string()), Part::Other),
        ] {
            assert_eq!(Part::of(user, &key), part, "{key:?}");
        }
    }

    #[test]
    fn a_trail_without_what_is_personal_is_still_a_trail() {
        let (before, after) = (json!({"phone": "1"}), json!({"phone": "2"}));
        let user = Uuid::now_v7();
        let entry = AuditEntry::new("user.updated", Some(user), "192.0.2.1");
        let entry = entry.about(user).with_changes(&before, &after);
        let key = keys::audit(user, entry.at, entry.id);
        let mut item = to_item(&key, &entry).unwrap();
        item.insert("ttl".to_owned(), text("later"));

        let rest = without_the_personal(item).unwrap();
        assert!(key.is_of(&rest));
        assert_eq!(rest["ttl"], text("later"));
        assert_eq!(without_the_personal(rest.clone()), None);
        let read: AuditEntry = from_item(rest).unwrap();
        let expected = AuditEntry {
            changes: Vec::new(),
            ip: String::new(),
            ..entry
        };
        assert_eq!(read, expected);
    }
}
