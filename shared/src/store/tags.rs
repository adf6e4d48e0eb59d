//! The tags that active items have: names in one partition, kept by the task that follows a change of an item.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::change::text;
use super::keys::{ItemList, Key};
use super::{Item, Store, Table, Write, failed, from_item, keys, to_item};
use crate::error::{Error, Result};
use crate::models::item::{ItemStatus, Tag};
use crate::models::page::{From, Page, Slice, Total};

/// How often it is looked again because a tag has come or gone meanwhile.
const MOST_LOOKS: u32 = 5;

#[derive(Serialize, Deserialize)]
pub(super) struct StoredTag {
    name: Tag,
}

impl StoredTag {
    pub(super) fn of(tag: &Tag) -> Self {
        let name = tag.clone();
        Self { name }
    }
}

impl Store {
    /// A slice of the tags, in the order of their letters. One query.
    pub async fn tags(&self, slice: &Slice) -> Result<Page<Tag>> {
        let (start, skip) = match &slice.from {
            From::Skip(skip) => (None, *skip as usize),
            From::Cursor(cursor) => (Some(start(cursor)?), 0),
        };
        let wanted = skip + slice.limit as usize + 1;
        let mut found = self.tag_rows(start, wanted).await?;
        let known = found.len();
        found.drain(..known.min(skip));
        let goes_on = found.len() > slice.limit as usize;
        found.truncate(slice.limit as usize);
        let next = found.last().and_then(Key::of).filter(|_| goes_on);
        let known = u32::try_from(known).unwrap_or(u32::MAX);
        let names = found.into_iter().map(from_item::<StoredTag>);
        let names = names.map(|tag| tag.map(|tag| tag.name));
        Ok(Page {
            items: names.collect::<Result<_>>()?,
            total: match (goes_on, &slice.from) {
                (false, From::Skip(_)) => Total::Exactly(known),
                _ => Total::AtLeast(known),
            },
            next: next.map(|key| URL_SAFE_NO_PAD.encode(key.sk)),
        })
    }

    async fn tag_rows(&self, mut start: Option<Item>, most: usize) -> Result<Vec<Item>> {
        let mut found = Vec::new();
        loop {
            let request = self.client.query().table_name(self.name(Table::App)?);
            let request = request
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", text(&keys::tags()))
                .set_exclusive_start_key(start)
                .set_limit(i32::try_from(most - found.len()).ok());
            let output = request.send().await.map_err(failed("list tags"))?;
            found.extend(output.items.unwrap_or_default());
            start = output.last_evaluated_key;
            if start.is_none() || found.len() >= most {
                return Ok(found);
            }
        }
    }

    /// Lists a tag if an active item has it, and else no more. Looks again after it, because another may have given it to
    /// an item, or taken it from the last one, and have listed it accordingly before.
    pub async fn list_tag(&self, tag: &Tag) -> Result<()> {
        let list = ItemList::Tagged(tag.clone());
        let mut is_used = self.has_items(ItemStatus::Active, &list).await?;
        for _ in 0..MOST_LOOKS {
            let write = match is_used {
                true => Write::Put(to_item(&keys::tag(tag), &StoredTag::of(tag))?),
                false => Write::Delete(keys::tag(tag)),
            };
            self.batch_write(Table::App, vec![write]).await?;
            let was_used = is_used;
            is_used = self.has_items(ItemStatus::Active, &list).await?;
            if is_used == was_used {
                return Ok(());
            }
        }
        let busy = anyhow::Error::msg("it changed each time").context("list a tag");
        Err(Error::Unavailable(busy))
    }

    /// Whether there is an item in a list. One read.
    pub(super) async fn has_items(&self, status: ItemStatus, list: &ItemList) -> Result<bool> {
        let request = self.client.query().table_name(self.name(Table::App)?);
        let request = request
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(&keys::item_list(status, list)))
            .consistent_read(true)
            .limit(1);
        let output = request.send().await.map_err(failed("look into a list"))?;
        Ok(output.count() > 0)
    }
}

fn start(cursor: &str) -> Result<Item> {
    let sk = URL_SAFE_NO_PAD.decode(cursor).ok();
    let sk = sk.and_then(|sk| String::from_utf8(sk).ok());
    let sk = sk.filter(|sk| (1..=1_024).contains(&sk.len()));
    let sk = sk.ok_or(Error::InvalidCursor)?;
    let pk = keys::tags();
    Ok(Key { pk, sk }.attributes())
}
