//! People and items that were somewhere else before, with all that makes them be listed, counted and found.
//!
//! Whoever is stopped at any point begins again, and it ends the same: what is there already is left as it is, and what
//! is not comes whole. The rows of the search are written first; they show nothing without what they name. Then one
//! transaction brings a few things with their unique names, their count, what is known of their rows, and an audit
//! entry. Nothing follows from it: no mail and no task.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::accounts::{StoredPassword, Unique};
use super::items::{StoredItem, places};
use super::keys::Key;
use super::search::{self, Searchable};
use super::tags::StoredTag;
use super::users::StoredUser;
use super::{
    Change, Item as Attributes, Store, Table, Transaction, Write, from_item, keys, to_item,
};
use crate::config::Hidden;
use crate::error::{Error, Result};
use crate::models::audit::AuditEntry;
use crate::models::item::Tag;
use crate::models::{Item, User};

/// What one transaction can write.
const MOST_WRITES: usize = 100;

/// How many requests are under way at the same time. As many as the count of users has parts.
const AT_ONCE: usize = 10;

/// How many items of a batch write go one request after the other.
const PART: usize = 100;

/// Who comes, with the hash of the password that they had.
#[derive(Clone, Debug)]
pub struct Newcomer {
    pub user: User,
    pub password_hash: Option<Hidden>,
}

/// What becomes of a thing.
#[derive(Debug)]
pub enum Fate {
    /// It was not there, and is now; or could be, if nothing was to be written.
    New,
    /// It was there before, whatever has become of it since.
    There,
    Refused(Error),
}

impl Store {
    /// What would become of users. The names of those who come together must differ.
    pub async fn fates_of_users(&self, newcomers: &[Newcomer]) -> Result<Vec<Fate>> {
        let profiles = newcomers.iter().map(|one| keys::profile(one.user.id));
        let profiles = self.read_all(&profiles.collect::<Vec<_>>()).await?;
        let mut names = Vec::new();
        for (Newcomer { user, .. }, profile) in newcomers.iter().zip(&profiles) {
            // Of those who are there the names are not asked for: most are there when an import goes on.
            if profile.is_none() {
                names.push(keys::unique_email(&user.email));
                names.extend(user.username.as_ref().map(keys::unique_username));
            }
        }
        let mut holders = self.read_all(&names).await?.into_iter();
        let mut fates = Vec::new();
        for (Newcomer { user, .. }, profile) in newcomers.iter().zip(&profiles) {
            if profile.is_some() {
                fates.push(Fate::There);
                continue;
            }
            let mut holder = || -> Result<Option<Uuid>> {
                let unique = holders.next().flatten();
                let unique = unique.map(from_item::<Unique>).transpose()?;
                Ok(unique.map(|unique| unique.user_id))
            };
            let of_email = holder()?;
            let of_username = match user.username {
                Some(_) => holder()?,
                None => None,
            };
            fates.push(match (of_email, of_username) {
                (None, None) => Fate::New,
                // They have come between the two reads.
                (Some(id), _) if id == user.id => Fate::There,
                (Some(_), _) => Fate::Refused(Error::EmailTaken),
                (None, Some(_)) => Fate::Refused(Error::UsernameTaken),
            });
        }
        Ok(fates)
    }

    /// Makes those who are not there. If it fails, some of them were made, each of them wholly.
    ///
    /// Each part of the count has its own turn of transactions, so that no two of them wait for the same item.
    pub async fn import_users(&self, newcomers: &[Newcomer]) -> Result<Vec<Fate>> {
        let mut fates = self.fates_of_users(newcomers).await?;
        let new = news(&fates);
        let mut rows = Vec::new();
        let mut turns: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
        for at in &new {
            let user = &newcomers[*at].user;
            rows.extend(search::rows_of(user.id, user)?);
            let counter = keys::user_counter(user.id);
            turns.entry(counter).or_default().push(*at);
        }
        self.put_all(rows).await?;
        let turns = turns.into_values().map(|turn| async move {
            let writes = |at: &usize| {
                let Newcomer {
                    user,
                    password_hash,
                } = &newcomers[*at];
                4 + usize::from(user.username.is_some()) + usize::from(password_hash.is_some())
            };
            let bring = |part: &[usize]| self.bring_users(part.iter().map(|at| &newcomers[*at]));
            // Both counts are updated beside.
            in_parts(&turn, MOST_WRITES - 2, writes, bring).await
        });
        let turns = stream::iter(turns).buffer_unordered(AT_ONCE);
        for (at, fate) in turns.try_concat().await? {
            fates[at] = fate;
        }
        let refused = refused(&new, &fates).map(|at| &newcomers[at].user);
        self.take_rows_back(refused.map(|user| (user.id, user)))
            .await?;
        Ok(fates)
    }

    /// What would become of items. The owner of each must be there, or one of those who are `expected`.
    pub async fn fates_of_items(
        &self,
        items: &[Item],
        expected: &HashSet<Uuid>,
    ) -> Result<Vec<Fate>> {
        let owners = items.iter().map(|item| item.owner_id);
        let owners: BTreeSet<_> = owners.filter(|owner| !expected.contains(owner)).collect();
        let mut wanted: Vec<_> = items.iter().map(|item| keys::item(item.id)).collect();
        wanted.extend(owners.iter().map(|owner| keys::profile(*owner)));
        let mut found = self.read_all(&wanted).await?;
        let profiles = found.split_off(items.len()).into_iter().flatten();
        let users = profiles
            .map(from_item::<User>)
            .collect::<Result<Vec<_>>>()?;
        let users = users.iter().filter(|user| !user.is_deleted());
        let users: HashSet<_> = users.map(|user| user.id).collect();
        let fates = items.iter().zip(found).map(|(item, found)| {
            let has_owner = users.contains(&item.owner_id) || expected.contains(&item.owner_id);
            match found {
                Some(_) => Fate::There,
                None if has_owner => Fate::New,
                None => Fate::Refused(no_owner()),
            }
        });
        Ok(fates.collect())
    }

    /// Makes those that are not there. If it fails, some of them were made, each of them wholly.
    ///
    /// One transaction after the other: they would wait for each other, because many items have the same owner.
    pub async fn import_items(&self, items: &[Item]) -> Result<Vec<Fate>> {
        let mut fates = self.fates_of_items(items, &HashSet::new()).await?;
        let mut new = news(&fates);
        let mut rows = Vec::new();
        let mut tags = BTreeSet::new();
        for at in &new {
            let item = &items[*at];
            if item.is_found() {
                rows.extend(search::rows_of(item.id, item)?);
                tags.extend(item.tags.iter());
            }
        }
        for tag in tags {
            rows.push(to_item(&keys::tag(tag), &StoredTag::of(tag))?);
        }
        self.put_all(rows).await?;
        new.sort_by_key(|at| items[*at].owner_id);
        // Itself, its record, and its owner, who is looked at.
        let writes = |at: &usize| 3 + places(&items[*at]).len();
        let bring = |part: &[usize]| self.bring_items(part.iter().map(|at| &items[*at]));
        let counters = keys::item_counters().count();
        for (at, fate) in in_parts(&new, MOST_WRITES - counters, writes, bring).await? {
            fates[at] = fate;
        }
        let refused: Vec<_> = refused(&new, &fates).map(|at| &items[at]).collect();
        let things = refused.iter().map(|item| (item.id, *item));
        self.take_rows_back(things).await?;
        let tags: BTreeSet<&Tag> = refused.iter().flat_map(|item| &item.tags).collect();
        for tag in tags {
            self.list_tag(tag).await?;
        }
        Ok(fates)
    }

    /// One transaction, of users who are counted in the same part.
    fn bring_users<'a>(&self, newcomers: impl Iterator<Item = &'a Newcomer>) -> Transaction<'_> {
        let mut transaction = self.transaction();
        let mut counts: Counts = Counts::new();
        for newcomer in newcomers {
            let user = &newcomer.user;
            transaction = transaction.newcomer(newcomer);
            let state = keys::user_state(user.role, user.is_active);
            count(&mut counts, keys::user_counter(user.id), state);
            if user.is_active_admin() {
                count(&mut counts, keys::admin_counter(), "active".to_owned());
            }
        }
        transaction.count_all(counts)
    }

    /// One transaction.
    fn bring_items<'a>(&self, items: impl Iterator<Item = &'a Item>) -> Transaction<'_> {
        let mut transaction = self.transaction();
        let mut counts = Counts::new();
        let mut owners = BTreeSet::new();
        for item in items {
            transaction = transaction
                .create(Table::App, &keys::item(item.id), &StoredItem::of(item))
                .on_conflict(Error::Stale);
            for (key, place) in places(item) {
                transaction = transaction.create(Table::App, &key, &place);
                transaction = transaction.on_conflict(being_erased());
            }
            if item.is_found() {
                let (key, record) = search::record_of(item.id, item);
                transaction = transaction.create(Table::App, &key, &record);
                transaction = transaction.on_conflict(being_erased());
            }
            count(
                &mut counts,
                keys::item_counter(item.id),
                item.status.as_str().to_owned(),
            );
            owners.insert(item.owner_id);
        }
        for owner in owners {
            // Nothing may come after what erases all that they own.
            let is_here = Change::new().if_exists("id").if_absent("deleted_at");
            transaction = transaction.check(Table::App, &keys::profile(owner), is_here);
            transaction = transaction.on_conflict(no_owner());
        }
        transaction.count_all(counts)
    }

    /// Reads any number of items, in the order of their keys, which must differ.
    async fn read_all(&self, keys: &[Key]) -> Result<Vec<Option<Attributes>>> {
        let parts = keys.chunks(100).map(|part| self.batch_get_app(part));
        stream::iter(parts).buffered(AT_ONCE).try_concat().await
    }

    async fn put_all(&self, items: Vec<Attributes>) -> Result<()> {
        self.write_all(items.into_iter().map(Write::Put)).await
    }

    /// Takes the rows of those away who have lost a race for their names after these were written.
    async fn take_rows_back<'a, T: Searchable + 'a>(
        &self,
        things: impl Iterator<Item = (Uuid, &'a T)>,
    ) -> Result<()> {
        let mut writes = Vec::new();
        for (id, thing) in things {
            let rows = search::rows_of(id, thing)?;
            let keys = rows.iter().filter_map(Key::of);
            writes.extend(keys.map(Write::Delete));
        }
        self.write_all(writes.into_iter()).await
    }

    async fn write_all(&self, mut writes: impl Iterator<Item = Write>) -> Result<()> {
        let parts = std::iter::from_fn(|| {
            let part: Vec<_> = writes.by_ref().take(PART).collect();
            (!part.is_empty()).then_some(part)
        });
        stream::iter(parts)
            .map(|part| self.batch_write(Table::App, part))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }
}

/// What is to be added to each counter.
type Counts = HashMap<Key, BTreeMap<String, i64>>;

fn count(counts: &mut Counts, counter: Key, name: String) {
    *counts.entry(counter).or_default().entry(name).or_default() += 1;
}

/// The places of those that are new.
fn news(fates: &[Fate]) -> Vec<usize> {
    let places = fates.iter().enumerate();
    let new = places.filter(|(_, fate)| matches!(fate, Fate::New));
    new.map(|(at, _)| at).collect()
}

/// Those of `new` that were refused at last.
fn refused<'a>(new: &'a [usize], fates: &'a [Fate]) -> impl Iterator<Item = usize> + 'a {
    let new = new.iter().copied();
    new.filter(|at| matches!(fates[*at], Fate::Refused(_)))
}

/// Makes things in as few transactions as there can be, and those of one that is refused one by one.
async fn in_parts<'a>(
    all: &[usize],
    most_writes: usize,
    writes: impl Fn(&usize) -> usize,
    bring: impl Fn(&[usize]) -> Transaction<'a>,
) -> Result<Vec<(usize, Fate)>> {
    let mut fates = Vec::new();
    let mut rest = all;
    while !rest.is_empty() {
        let mut sum = 0;
        let fitting = rest.iter().take_while(|at| {
            sum += writes(at);
            sum <= most_writes
        });
        let (part, others) = rest.split_at(fitting.count().max(1));
        rest = others;
        let refused = match bring(part).commit().await {
            Ok(()) => {
                fates.extend(part.iter().map(|at| (*at, Fate::New)));
                continue;
            }
            Err(error) => fate(error)?,
        };
        if let [at] = part {
            fates.push((*at, refused));
            continue;
        }
        for at in part {
            let fate = match bring(&[*at]).commit().await {
                Ok(()) => Fate::New,
                Err(error) => fate(error)?,
            };
            fates.push((*at, fate));
        }
    }
    Ok(fates)
}

/// What a refused transaction means for the one thing in it; an error if it is none of its business.
fn fate(error: Error) -> Result<Fate> {
    match error {
        Error::Stale => Ok(Fate::There),
        Error::EmailTaken
        | Error::UsernameTaken
        | Error::NotFound(_)
        | Error::IllegalTransition(_) => Ok(Fate::Refused(error)),
        error => Err(error),
    }
}

/// Something that is not there has left something, which is there only for as long as it is being erased.
fn being_erased() -> Error {
    Error::IllegalTransition("It is just being erased; import it again in a minute.")
}

fn no_owner() -> Error {
    Error::NotFound("user who owns it")
}

impl Transaction<'_> {
    /// Writes all of a user but their count.
    fn newcomer(self, newcomer: &Newcomer) -> Self {
        let Newcomer {
            user,
            password_hash,
        } = newcomer;
        let unique = Unique { user_id: user.id };
        let (record_key, record) = search::record_of(user.id, user);
        let audit = AuditEntry::new("user.imported", None, "local");
        let mut transaction = self
            // First, because whoever is there has their names too.
            .create(Table::App, &keys::profile(user.id), &StoredUser::of(user))
            .on_conflict(Error::Stale)
            .create(Table::App, &keys::unique_email(&user.email), &unique)
            .on_conflict(Error::EmailTaken);
        if let Some(username) = &user.username {
            transaction = transaction
                .create(Table::App, &keys::unique_username(username), &unique)
                .on_conflict(Error::UsernameTaken);
        }
        if let Some(hash) = password_hash {
            let password = StoredPassword {
                hash: hash.reveal().to_owned(),
                changed_at: user.created_at,
            };
            transaction = transaction
                .create(Table::Vault, &keys::password(user.id), &password)
                .on_conflict(being_erased());
        }
        transaction
            .create(Table::App, &record_key, &record)
            .on_conflict(being_erased())
            .audit(user.id, &audit)
    }

    fn count_all(self, counts: Counts) -> Self {
        counts
            .into_iter()
            .fold(self, |transaction, (counter, counts)| {
                let counts = counts.iter();
                let change = counts.fold(Change::new(), |change, (name, by)| change.add(name, *by));
                transaction.update(Table::App, &counter, change)
            })
    }
}
