//! Users as every function may read them, and the lists and counts of them.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use uuid::Uuid;

use super::listing::{Listing, Sort, readable};
use super::{Change, Item, Store, Table, Transaction, from_item, keys, to_item};
use crate::error::{Error, Result};
use crate::models::page::{From, Page, Slice, Total};
use crate::models::session::Session;
use crate::models::{Role, User};

/// A profile as it is stored: with the lists that it is in.
#[derive(Serialize)]
pub(super) struct StoredUser<'a> {
    #[serde(flatten)]
    user: &'a User,
    /// The partition of the index `owned`.
    #[serde(skip_serializing_if = "Option::is_none")]
    owned_by: Option<String>,
    /// The partition of the index `listed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    listed_by: Option<String>,
}

impl<'a> StoredUser<'a> {
    pub(super) fn of(user: &'a User) -> Self {
        let is_listed = !user.is_deleted();
        let by_state = || keys::users_by_state(user.role, user.is_active);
        Self {
            user,
            owned_by: is_listed.then(keys::users),
            listed_by: is_listed.then(by_state),
        }
    }
}

/// The item of a user.
pub(super) fn profile_item(user: &User) -> Result<Item> {
    to_item(&keys::profile(user.id), &StoredUser::of(user))
}

/// Which users a list is of.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserFilter {
    pub role: Option<Role>,
    pub is_active: Option<bool>,
}

impl UserFilter {
    /// The states that it lets pass.
    fn states(self) -> impl Iterator<Item = (Role, bool)> {
        let roles = Role::ALL.into_iter();
        let states = roles.flat_map(|role| [(role, true), (role, false)]);
        states.filter(move |(role, is_active)| {
            self.role.is_none_or(|wanted| wanted == *role)
                && self.is_active.is_none_or(|wanted| wanted == *is_active)
        })
    }

    fn wants(self, user: &User) -> bool {
        let is_wanted = self.role.is_none_or(|role| role == user.role);
        let is_active = self.is_active.is_none_or(|active| active == user.is_active);
        is_wanted && is_active && !user.is_deleted()
    }

    fn listing(self) -> Listing {
        let (index, partition_key, partitions) = match (self.role, self.is_active) {
            (None, None) => ("owned", "owned_by", vec![keys::users()]),
            _ => {
                let states = self.states();
                let lists = states.map(|(role, is_active)| keys::users_by_state(role, is_active));
                ("listed", "listed_by", lists.collect())
            }
        };
        Listing {
            index: Some(index),
            partition_key,
            partitions,
            sort: Sort::Text("id"),
            between: None,
            newest_first: true,
        }
    }
}

impl Store {
    /// Who calls: the user and the session of a token, strongly consistent, in one round trip.
    pub async fn signed_in(
        &self,
        user: Uuid,
        session: Uuid,
    ) -> Result<(Option<User>, Option<Session>)> {
        let (profile, session) = (keys::profile(user), keys::session(user, session));
        let [profile, session] = self
            .batch_get([(Table::App, &profile), (Table::App, &session)])
            .await?;
        Ok((
            profile.map(from_item).transpose()?,
            session.map(from_item).transpose()?,
        ))
    }

    /// Also one that was deleted and is being erased.
    pub async fn user(&self, id: Uuid) -> Result<Option<User>> {
        let item = self.get(Table::App, &keys::profile(id)).await?;
        item.map(from_item).transpose()
    }

    /// A slice of the users, the newest first. A query of the index for each state that the filter lets pass, or one
    /// without a filter; then one read of the users and of the counts.
    pub async fn users(&self, filter: UserFilter, slice: &Slice) -> Result<Page<User>> {
        let page = self.list_keys(&filter.listing(), slice).await?;
        let listed = page.keys.len();
        let mut wanted = page.keys;
        wanted.extend(keys::user_counters());
        let mut items = self.batch_get_app(&wanted).await?;
        let counts = sums(items.drain(listed..).flatten());
        let counted = |(role, is_active)| counts.get(&keys::user_state(role, is_active));
        let total: i64 = filter.states().filter_map(counted).sum();
        // The indexes may be a moment behind.
        let mut users: Vec<User> = readable(items);
        users.retain(|user| filter.wants(user));
        Ok(Page {
            items: users,
            total: Total::Exactly(u32::try_from(total).unwrap_or_default()),
            next: page.next,
        })
    }

    /// The ids of up to `most` users who were made before `after`, or of the newest ones. For going through all of them.
    pub(super) async fn users_after(&self, after: Option<Uuid>, most: u32) -> Result<Vec<Uuid>> {
        let listing = UserFilter::default().listing();
        let from = match after {
            Some(id) => From::Cursor(listing.cursor_at(&id.to_string(), &keys::profile(id))?),
            None => From::Skip(0),
        };
        let slice = Slice { from, limit: most };
        let page = self.list_keys(&listing, &slice).await?;
        Ok(page.keys.iter().filter_map(keys::user_id).collect())
    }

    /// How many users there are.
    pub(super) async fn count_users(&self) -> Result<u64> {
        let wanted: Vec<_> = keys::user_counters().collect();
        let shards = self.batch_get_app(&wanted).await?;
        let counts = sums(shards.into_iter().flatten());
        let total: i64 = UserFilter::default()
            .states()
            .filter_map(|(role, is_active)| counts.get(&keys::user_state(role, is_active)))
            .sum();
        Ok(u64::try_from(total).unwrap_or_default())
    }
}

/// What numbers of the same name add up to.
pub(super) fn sums(items: impl Iterator<Item = Item>) -> HashMap<String, i64> {
    let mut sums = HashMap::new();
    for (name, value) in items.flatten() {
        if let AttributeValue::N(number) = value {
            *sums.entry(name).or_default() += number.parse().unwrap_or(0);
        }
    }
    sums
}

impl Transaction<'_> {
    /// Counts a user who was `old` and is `new` now, each `None` where there is none. 409 `last_admin` if no active
    /// administrator would be left.
    pub(super) fn count_user(self, id: Uuid, old: Option<&User>, new: Option<&User>) -> Self {
        let state = |user: &User| keys::user_state(user.role, user.is_active);
        let is_listed = |user: &&User| !user.is_deleted();
        let (before, after) = (old.filter(is_listed), new.filter(is_listed));
        let (state_before, state_after) = (before.map(state), after.map(state));
        let mut transaction = self;
        if state_before != state_after {
            let mut change = Change::new().versioned();
            if let Some(before) = &state_before {
                change = change.add(before, -1);
            }
            if let Some(after) = &state_after {
                change = change.add(after, 1);
            }
            transaction = transaction.update(Table::App, &keys::user_counter(id), change);
        }
        let is_admin = |user: Option<&User>| user.is_some_and(User::is_active_admin);
        let change = match (is_admin(before), is_admin(after)) {
            (false, true) => Change::new().add("active", 1).versioned(),
            (true, false) => Change::new().add("active", -1).if_above("active", 1),
            _ => return transaction,
        };
        transaction
            .update(Table::App, &keys::admin_counter(), change)
            .on_conflict(Error::LastAdmin)
    }
}
