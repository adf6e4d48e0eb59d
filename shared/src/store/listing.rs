//! Lists: pages of a partition of an index, whose items are then read from the table.
//!
//! The indexes hold little more than keys, so that most changes of an item cost no write of them. A page is one query
//! and one batch read, whatever the size of the table; with a cursor the count is a second query, made at the same time.

use std::collections::HashSet;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::{try_join, try_join_all};
use serde::de::DeserializeOwned;

use super::change::{number, text};
use super::keys::Key;
use super::{Item, Store, Table, failed, from_item};
use crate::error::{Context, Error, Result};
use crate::models::page::{From, Page, Slice, Total};

/// Partitions of the table `app`, or of an index of it, read as one list.
pub(super) struct Listing {
    /// `None` for the table itself, which is read consistently.
    pub(super) index: Option<&'static str>,
    /// The partition key there.
    pub(super) partition_key: &'static str,
    pub(super) partitions: Vec<String>,
    pub(super) sort: Sort,
    /// The first and the last sort key, if it is a part of the list only.
    pub(super) between: Option<(String, String)>,
    pub(super) newest_first: bool,
}

/// The sort key there.
#[derive(Clone, Copy)]
pub(super) enum Sort {
    Text(&'static str),
    Number(&'static str),
}

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Number(name) => name,
        }
    }
}

/// The most keys that are read only to be counted.
const MOST_COUNTED: u32 = 1_000;

/// The keys of a page, and where the next one begins.
pub(super) struct KeyPage {
    pub(super) keys: Vec<Key>,
    pub(super) next: Option<String>,
}

impl Store {
    /// A slice of a listing, and how many it has in all as far as that is counted.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        listing: &Listing,
        slice: &Slice,
    ) -> Result<Page<T>> {
        let (page, total) = match &slice.from {
            From::Skip(skip) => {
                let wanted = skip.saturating_add(slice.limit).saturating_add(1);
                let (keys, whole) = self.keys(listing, None, wanted.max(MOST_COUNTED)).await?;
                let found = u32::try_from(keys.len()).unwrap_or(u32::MAX);
                let total = match whole {
                    true => Total::Exactly(found),
                    false => Total::AtLeast(found),
                };
                (listing.page(keys, *skip, slice.limit)?, total)
            }
            From::Cursor(_) => {
                try_join(self.list_keys(listing, slice), self.count(listing)).await?
            }
        };
        let items = self.batch_get_app(&page.keys).await?;
        Ok(Page {
            items: readable(items),
            total,
            next: page.next,
        })
    }

    /// The keys of a slice, where how many there are in all is known from elsewhere.
    pub(super) async fn list_keys(&self, listing: &Listing, slice: &Slice) -> Result<KeyPage> {
        let (start, skip) = match &slice.from {
            From::Skip(skip) => (None, *skip),
            From::Cursor(cursor) => (Some(listing.start(cursor)?), 0),
        };
        let wanted = skip.saturating_add(slice.limit).saturating_add(1);
        let (keys, _) = self.keys(listing, start, wanted).await?;
        listing.page(keys, skip, slice.limit)
    }

    /// Up to `most` entries, and whether that is all.
    pub(super) async fn keys(
        &self,
        listing: &Listing,
        start: Option<Item>,
        most: u32,
    ) -> Result<(Vec<Item>, bool)> {
        let partitions = listing.partitions.iter();
        let partitions = partitions.map(|name| self.keys_of(listing, name, start.clone(), most));
        let found = try_join_all(partitions).await?;
        let mut whole = found.iter().all(|(_, whole)| *whole);
        let mut keys: Vec<Item> = found.into_iter().flat_map(|(keys, _)| keys).collect();
        if listing.partitions.len() > 1 {
            keys.sort_by_cached_key(|entry| listing.position(entry));
            // Who moves from one list to another may be seen in both.
            let mut seen = HashSet::new();
            keys.retain(|entry| seen.insert(listing.position(entry)));
            if listing.newest_first {
                keys.reverse();
            }
            whole &= keys.len() <= most as usize;
            keys.truncate(most as usize);
        }
        Ok((keys, whole))
    }

    /// The same of one partition.
    async fn keys_of(
        &self,
        listing: &Listing,
        partition: &str,
        mut start: Option<Item>,
        most: u32,
    ) -> Result<(Vec<Item>, bool)> {
        let mut found: Vec<Item> = Vec::new();
        loop {
            let left = most as usize - found.len();
            if let Some(start) = &mut start {
                start.insert(listing.partition_key.to_owned(), text(partition));
            }
            let request = self.query_of(listing, partition)?;
            let request = request.set_exclusive_start_key(start);
            let request = request.set_limit(i32::try_from(left).ok());
            let output = request.send().await.map_err(failed("list an index"))?;
            found.extend(output.items.unwrap_or_default());
            start = output.last_evaluated_key;
            if start.is_none() || found.len() >= most as usize {
                return Ok((found, start.is_none()));
            }
        }
    }

    async fn count(&self, listing: &Listing) -> Result<Total> {
        let (mut count, mut whole) = (0, true);
        for partition in &listing.partitions {
            let request = self.query_of(listing, partition)?.select(Select::Count);
            let request = request.set_limit(i32::try_from(MOST_COUNTED).ok());
            let output = request.send().await.map_err(failed("count an index"))?;
            count += u32::try_from(output.count()).unwrap_or_default();
            whole &= output.last_evaluated_key().is_none();
        }
        Ok(match whole {
            true => Total::Exactly(count),
            false => Total::AtLeast(count),
        })
    }

    fn query_of(&self, listing: &Listing, partition: &str) -> Result<QueryFluentBuilder> {
        let request = self.client.query().table_name(self.name(Table::App)?);
        let request = request
            .set_index_name(listing.index.map(str::to_owned))
            .consistent_read(listing.index.is_none())
            .expression_attribute_names("#partition", listing.partition_key)
            .expression_attribute_values(":partition", text(partition))
            .scan_index_forward(!listing.newest_first);
        Ok(match &listing.between {
            None => request.key_condition_expression("#partition = :partition"),
            Some((first, last)) => request
                .key_condition_expression(
                    "#partition = :partition AND #sort BETWEEN :first AND :last",
                )
                .expression_attribute_names("#sort", listing.sort.name())
                .expression_attribute_values(":first", text(first))
                .expression_attribute_values(":last", text(last)),
        })
    }
}

/// Those that are there and can be read. What was deleted a moment ago may still be in an index; what cannot be read, as
/// after a rollback, must not take the others with it.
pub(super) fn readable<T: DeserializeOwned>(items: Vec<Option<Item>>) -> Vec<T> {
    let readable = |item| match from_item(item) {
        Ok(item) => Some(item),
        Err(error) => {
            tracing::error!(cause = ?error, "an item of a list was left out");
            None
        }
    };
    items.into_iter().flatten().filter_map(readable).collect()
}

impl Listing {
    /// The page that entries make of which `skip` are passed over.
    fn page(&self, mut entries: Vec<Item>, skip: u32, limit: u32) -> Result<KeyPage> {
        entries.drain(..entries.len().min(skip as usize));
        let goes_on = entries.len() > limit as usize;
        entries.truncate(limit as usize);
        let next = match entries.last() {
            Some(last) if goes_on => Some(self.cursor(last)?),
            _ => None,
        };
        let keys = entries.iter().filter_map(Key::of).collect();
        Ok(KeyPage { keys, next })
    }

    /// Where an entry stands in its list.
    fn position(&self, entry: &Item) -> (i64, String, Option<(String, String)>) {
        let (number, text) = match self.sort {
            Sort::Text(name) => (None, entry.get(name).and_then(|text| text.as_s().ok())),
            Sort::Number(name) => (entry.get(name).and_then(|number| number.as_n().ok()), None),
        };
        let number = number.and_then(|number| number.parse().ok());
        let key = Key::of(entry).map(|key| (key.pk, key.sk));
        (
            number.unwrap_or_default(),
            text.cloned().unwrap_or_default(),
            key,
        )
    }

    /// A cursor holds the position in the list and not whose list it is: that is told by the request, so that a
    /// cursor from elsewhere reaches nothing else.
    pub(super) fn cursor(&self, last: &Item) -> Result<String> {
        let sort = match last.get(self.sort.name()) {
            Some(AttributeValue::S(sort) | AttributeValue::N(sort)) => Some(sort.clone()),
            _ => None,
        };
        let sort = sort.context("read a sort key")?;
        let key = Key::of(last).context("read a key")?;
        self.cursor_at(&sort, &key)
    }

    /// The cursor of a page that begins after this entry.
    pub(super) fn cursor_at(&self, sort: &str, key: &Key) -> Result<String> {
        let Key { pk, sk } = key;
        let position =
            serde_json::to_string(&[sort, pk.as_str(), sk.as_str()]).context("write a cursor")?;
        Ok(URL_SAFE_NO_PAD.encode(position))
    }

    /// Where a query goes on after this entry.
    pub(super) fn after(&self, entry: &Item) -> Option<Item> {
        let name = self.sort.name();
        let mut start = Key::of(entry)?.attributes();
        start.insert(name.to_owned(), entry.get(name)?.clone());
        Some(start)
    }

    pub(super) fn start(&self, cursor: &str) -> Result<Item> {
        let position = URL_SAFE_NO_PAD.decode(cursor).ok();
        let position = position.and_then(|json| serde_json::from_slice(&json).ok());
        let Some([sort, pk, sk]): Option<[String; 3]> = position else {
            return Err(Error::InvalidCursor);
        };
        // DynamoDB takes no other keys.
        let usable = |key: &String| (1..=1_024).contains(&key.len());
        if ![&sort, &pk, &sk].into_iter().all(usable) {
            return Err(Error::InvalidCursor);
        }
        // Nor a place outside of what is asked for.
        let inside = |(first, last): &(String, String)| (first..=last).contains(&&sort);
        if !self.between.as_ref().is_none_or(inside) {
            return Err(Error::InvalidCursor);
        }
        let (name, sort) = match self.sort {
            Sort::Text(name) => (name, text(&sort)),
            Sort::Number(name) => (name, number(sort.parse().or(Err(Error::InvalidCursor))?)),
        };
        let mut start = Key { pk, sk }.attributes();
        start.insert(name.to_owned(), sort);
        Ok(start)
    }
}
