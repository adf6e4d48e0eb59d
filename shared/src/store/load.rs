//! Many users at once, for a trial of large tables.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::ReturnValue;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::accounts::Unique;
use super::keys::Key;
use super::users::profile_item;
use super::{Change, Item, Store, Table, Write, keys, search, to_item};
use crate::error::Result;
use crate::models::User;

/// How many items are written one batch after the other, and how many such parts at the same time.
const PART: usize = 100;
const AT_ONCE: usize = 4;

impl Store {
    /// Writes users with all that makes them be found and counted. They have no password, and nothing follows from it:
    /// no mail, no audit entry.
    ///
    /// Only for made-up users in tables that hold none of them: there are no conditions, so that a name that is taken
    /// changes hands; and if it fails, some are written and not all of them are counted.
    pub async fn load_users(&self, users: &[User]) -> Result<()> {
        let mut writes = Vec::new();
        for user in users {
            writes.extend(items(user)?);
        }
        self.load(writes).await?;
        // One update for each item, with everything that is counted in it.
        let mut counts: HashMap<Key, BTreeMap<String, i64>> = HashMap::new();
        for user in users {
            let counter = counts.entry(keys::user_counter(user.id)).or_default();
            let state = keys::user_state(user.role, user.is_active);
            *counter.entry(state).or_default() += 1;
            if user.is_active_admin() {
                let counter = counts.entry(keys::admin_counter()).or_default();
                *counter.entry("active".to_owned()).or_default() += 1;
            }
        }
        for (counter, counts) in counts {
            let counts = counts.iter();
            let change = counts.fold(Change::new().versioned(), |change, (name, by)| {
                change.add(name, *by)
            });
            self.update(&counter, change, ReturnValue::None, "count users")
                .await?;
        }
        Ok(())
    }

    /// Writes many items, some at the same time.
    pub(super) async fn load(&self, items: Vec<Item>) -> Result<()> {
        let mut writes = items.into_iter().map(Write::Put);
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

/// All of a user but how they log in: as registering and the task that follows it leave them.
fn items(user: &User) -> Result<Vec<Item>> {
    let unique = Unique { user_id: user.id };
    let mut items = vec![
        profile_item(user)?,
        to_item(&keys::unique_email(&user.email), &unique)?,
    ];
    if let Some(username) = &user.username {
        items.push(to_item(&keys::unique_username(username), &unique)?);
    }
    items.extend(search::items_of(user.id, user)?);
    Ok(items)
}
