//! Lists: pages of a partition of an index, whose items are then read from the table.
//!
//! The indexes hold little more than keys, so that most changes of an item cost no write of them. So a page is one query
//! and one batch read, whatever the size of the table; with a cursor the count is a second query, made at the same time.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;

use super::change::{number, text};
use super::keys::Key;
use super::{Item, Store, Table, failed, from_item};
use crate::error::{Context, Error, Result};
use crate::models::page::{From, Page, Slice, Total};

/// A partition of an index of the table `app`.
pub(super) struct Listing {
    pub(super) index: &'static str,
    /// The index's partition key: name and value.
    pub(super) partition: (&'static str, String),
    pub(super) sort: Sort,
    pub(super) newest_first: bool,
}

/// The index's sort key.
#[derive(Clone, Copy)]
pub(super) enum Sort {
    Text(&'static str),
    Number(&'static str),
}

/// The most keys that are read only to be counted.
const MOST_COUNTED: u32 = 1_000;

impl Store {
    /// A slice of a listing.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        listing: &Listing,
        slice: &Slice,
    ) -> Result<Page<T>> {
        let (mut keys, total) = match &slice.from {
            From::Skip(skip) => {
                let wanted = skip.saturating_add(slice.limit).saturating_add(1);
                let (mut keys, whole) = self.keys(listing, None, wanted.max(MOST_COUNTED)).await?;
                let found = u32::try_from(keys.len()).unwrap_or(u32::MAX);
                let total = match whole {
                    true => Total::Exactly(found),
                    false => Total::AtLeast(found),
                };
                keys.drain(..keys.len().min(*skip as usize));
                (keys, total)
            }
            From::Cursor(cursor) => {
                let start = listing.start(cursor)?;
                let keys = self.keys(listing, Some(start), slice.limit + 1);
                let ((keys, _), total) =
                    futures_util::future::try_join(keys, self.count(listing)).await?;
                (keys, total)
            }
        };
        let goes_on = keys.len() > slice.limit as usize;
        keys.truncate(slice.limit as usize);
        let next = match keys.last() {
            Some(last) if goes_on => Some(listing.cursor(last)?),
            _ => None,
        };
        let keys: Vec<_> = keys.iter().filter_map(Key::of).collect();
        let items = self.batch_get_app(&keys).await?;
        // What was deleted a moment ago may still be in the index. What cannot be read, as after a rollback, must not
        // take the others with it.
        let readable = |item| match from_item(item) {
            Ok(item) => Some(item),
            Err(error) => {
                tracing::error!(cause = ?error, "an item of a list was left out");
                None
            }
        };
        Ok(Page {
            items: items.into_iter().flatten().filter_map(readable).collect(),
            total,
            next,
        })
    }

    /// Up to `most` entries of the index, and whether that is all.
    async fn keys(
        &self,
        listing: &Listing,
        mut start: Option<Item>,
        most: u32,
    ) -> Result<(Vec<Item>, bool)> {
        let mut found: Vec<Item> = Vec::new();
        loop {
            let left = most as usize - found.len();
            let request = self.query_of(listing)?.set_exclusive_start_key(start);
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
        let request = self.query_of(listing)?.select(Select::Count);
        let request = request.set_limit(i32::try_from(MOST_COUNTED).ok());
        let output = request.send().await.map_err(failed("count an index"))?;
        let count = u32::try_from(output.count()).unwrap_or_default();
        Ok(match output.last_evaluated_key() {
            None => Total::Exactly(count),
            Some(_) => Total::AtLeast(count),
        })
    }

    fn query_of(&self, listing: &Listing) -> Result<QueryFluentBuilder> {
        let (name, value) = &listing.partition;
        let request = self.client.query().table_name(self.name(Table::App)?);
        Ok(request
            .index_name(listing.index)
            .key_condition_expression("#partition = :partition")
            .expression_attribute_names("#partition", *name)
            .expression_attribute_values(":partition", text(value))
            .scan_index_forward(!listing.newest_first))
    }
}

impl Listing {
    /// A cursor holds the position in the list and not whose list it is: that is told by the request, so that a
    /// cursor from elsewhere reaches nothing else.
    fn cursor(&self, last: &Item) -> Result<String> {
        let sort = match self.sort {
            Sort::Text(name) | Sort::Number(name) => last.get(name),
        };
        let sort = match sort {
            Some(AttributeValue::S(sort) | AttributeValue::N(sort)) => Some(sort.clone()),
            _ => None,
        };
        let sort = sort.context("read a sort key")?;
        let Key { pk, sk } = Key::of(last).context("read a key")?;
        let position = serde_json::to_string(&[sort, pk, sk]).context("write a cursor")?;
        Ok(URL_SAFE_NO_PAD.encode(position))
    }

    fn start(&self, cursor: &str) -> Result<Item> {
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
        let (name, sort) = match self.sort {
            Sort::Text(name) => (name, text(&sort)),
            Sort::Number(name) => (name, number(sort.parse().or(Err(Error::InvalidCursor))?)),
        };
        let mut start = Key { pk, sk }.attributes();
        start.insert(name.to_owned(), sort);
        start.insert(self.partition.0.to_owned(), text(&self.partition.1));
        Ok(start)
    }
}
