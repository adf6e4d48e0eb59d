//! Categories. All of them are one partition, which is read as a whole: there are few, and they seldom change.
//!
//! A change names the version of the tree that it was decided by, and loses if that is not the newest. So what is true of
//! the whole tree (names are unique, nothing is below itself) is checked in memory, and stays true.

use aws_sdk_dynamodb::types::AttributeValue;

use super::change::text;
use super::keys::{ItemList, Key};
use super::{Change, Store, Table, Transaction, failed, from_item, keys};
use crate::error::{Context, Error, Result};
use crate::ids;
use crate::models::audit::AuditEntry;
use crate::models::category::{Category, Tree};
use crate::models::item::ItemStatus;

/// The most categories that there can be: all of them are read at once.
pub const MOST_CATEGORIES: usize = 1_000;

impl Store {
    /// All categories, and the version of their tree. A query for each megabyte.
    pub async fn categories(&self) -> Result<(Tree, u64)> {
        let (mut categories, mut version, mut start) = (Vec::new(), 0, None);
        loop {
            let request = self.client.query().table_name(self.name(Table::App)?);
            let request = request
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", text(&keys::categories()))
                .consistent_read(true)
                .set_exclusive_start_key(start);
            let output = request
                .send()
                .await
                .map_err(failed("read the categories"))?;
            for item in output.items.unwrap_or_default() {
                if Key::of(&item).as_ref() == Some(&keys::category_tree()) {
                    let number = item.get("version").and_then(|version| version.as_n().ok());
                    let number = number.and_then(|version| version.parse().ok());
                    version = number.context("read the version of the tree")?;
                } else {
                    categories.push(from_item::<Category>(item)?);
                }
            }
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok((Tree::new(categories), version));
            }
        }
    }

    /// Makes a category, or changes it from `old`. 409 `stale` if the tree has changed since it was read.
    pub async fn save_category(
        &self,
        tree_version: u64,
        old: Option<&Category>,
        new: &Category,
        audit: &AuditEntry,
    ) -> Result<()> {
        let key = keys::category(new.id);
        let transaction = self.transaction().tree(tree_version);
        let transaction = match old {
            None => transaction.create(Table::App, &key, new),
            Some(old) => {
                let version = AttributeValue::N(old.version.to_string());
                let change = Change::between(old, new)?.if_equal("version", version);
                transaction
                    .update(Table::App, &key, change.remove("closing"))
                    .on_conflict(Error::Stale)
            }
        };
        let transaction = match new.parent_id {
            Some(parent) => transaction
                .check(
                    Table::App,
                    &keys::category(parent),
                    Change::new().if_exists("id").if_absent("closing"),
                )
                .on_conflict(Error::Stale),
            None => transaction,
        };
        transaction.audited(audit)?.commit().await
    }

    /// Deletes a category that has none below it, by the tree of this version. 409 `category_in_use` if an item is in it.
    ///
    /// First it is closed, so that no item comes into it any more; then it is looked for items; then it goes, or is open
    /// again. Whoever dies between leaves it closed, until it is deleted or changed by another attempt.
    pub async fn delete_category(
        &self,
        tree_version: u64,
        category: &Category,
        audit: &AuditEntry,
    ) -> Result<()> {
        let key = keys::category(category.id);
        // Whoever has closed it may open it again, or delete it, and nobody else.
        let mark = text(&ids::new().to_string());
        let close = Change::new().set("closing", mark.clone()).if_exists("id");
        self.transaction()
            .tree(tree_version)
            .update(Table::App, &key, close)
            .on_conflict(Error::Stale)
            .commit()
            .await?;
        for status in ItemStatus::ALL {
            let list = ItemList::InCategory(category.id);
            if self.has_items(status, &list).await? {
                let open = Change::new().remove("closing");
                let open = open.if_equal("closing", mark);
                self.transaction()
                    .update(Table::App, &key, open)
                    .on_conflict(Error::CategoryInUse)
                    .commit()
                    .await?;
                return Err(Error::CategoryInUse);
            }
        }
        self.transaction()
            .delete_if(Table::App, &key, Change::new().if_equal("closing", mark))
            .on_conflict(Error::Stale)
            .update(
                Table::App,
                &keys::category_tree(),
                Change::new().add("version", 1),
            )
            .audited(audit)?
            .commit()
            .await
    }
}

impl Transaction<'_> {
    /// Requires the tree of categories to be of this version, and makes it the next.
    fn tree(self, version: u64) -> Self {
        let change = Change::new().add("version", 1).versioned();
        let change = match version {
            0 => change.if_absent("version"),
            read => change.if_equal("version", AttributeValue::N(read.to_string())),
        };
        self.update(Table::App, &keys::category_tree(), change)
            .on_conflict(Error::Stale)
    }

    /// Adds the entry to the trail of who acts.
    fn audited(self, audit: &AuditEntry) -> Result<Self> {
        let actor = audit.actor.context("know who changes a category")?;
        Ok(self.audit(actor, audit))
    }
}
