//! Search: one small row for each suffix of each word of a thing, in the partition of the suffix's first two
//! characters.
//!
//! A request asks one partition for the rows that begin as the longest word of its query does, reads the things they
//! name, and decides by those: a row that is late or left over shows nothing. Rows are written by a task, by the
//! difference between the texts that they were written for, which a record of the thing names, and the ones that it has
//! now. The record is changed before the first row and after the last one, so that after a death at any point between
//! them the next attempt knows of every row that there may be.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::change::{Updated, number, stored, text};
use super::keys::Key;
use super::{Change, Item, Store, Table, Write, back_off, failed, from_item, keys, to_item};
use crate::error::{Error, Result};
use crate::models::page::{From, Page, Slice, Total};
use crate::models::search::{Anchor, Query, suffixes};
use crate::models::{self, User};
use crate::tasks::Searched;

/// How long a task may hold a record before another may take it over, in seconds. A worker gives a task up after 40
/// seconds, so that whoever has lost the record by time writes no rows any more.
pub const HELD: i64 = 45;

/// How often a task looks again because the thing has changed meanwhile.
const MOST_LOOKS: u32 = 10;

/// The most rows that a request looks at; the next page goes on behind them.
const MOST_ROWS: usize = 500;

/// The most things that DynamoDB reads at once.
const MOST_THINGS: usize = 100;

/// What can be searched for.
pub trait Searchable: DeserializeOwned {
    /// What it is called in keys.
    const KIND: &'static str;

    /// Where it is, in the table `app`.
    fn key(id: Uuid) -> Key;

    /// What it is found by, folded.
    fn search_texts(&self) -> Vec<String>;

    /// Whether a search may show it.
    fn is_found(&self) -> bool;
}

impl Searchable for User {
    const KIND: &'static str = "USER";

    fn key(id: Uuid) -> Key {
        keys::profile(id)
    }

    fn search_texts(&self) -> Vec<String> {
        User::search_texts(self)
    }

    fn is_found(&self) -> bool {
        !self.is_deleted()
    }
}

/// A row says all by its key.
#[derive(Serialize)]
struct Row {}

/// What is known of the rows of one thing.
#[derive(Debug, Default, PartialEq, Deserialize)]
struct Record {
    /// Every text that there may be rows for.
    #[serde(default)]
    texts: BTreeSet<String>,
    /// Whether some of the rows may be missing, or more of them there than the texts say.
    #[serde(default)]
    is_dirty: bool,
    /// How often somebody has asked for the rows to be brought in line. Who holds the record goes on while this moves.
    wanted: i64,
    /// The task that does it, until `held_until`.
    #[serde(default)]
    holder: Option<Uuid>,
}

/// A record as it is when nobody holds it.
#[derive(Serialize)]
pub(super) struct LoadedRecord {
    texts: BTreeSet<String>,
    wanted: i64,
}

impl Record {
    /// What leads from the rows that there may be to those of the texts `new`: first what is added, then what goes.
    fn writes(&self, kind: &str, id: Uuid, new: &BTreeSet<String>) -> Result<Vec<Write>> {
        let of = |texts: &BTreeSet<String>| suffixes(texts.iter().map(String::as_str));
        let (old, new) = (of(&self.texts), of(new));
        let row = |suffix: &str| keys::search_row(kind, suffix, id);
        let mut writes = Vec::new();
        for suffix in &new {
            if self.is_dirty || !old.contains(suffix) {
                writes.push(Write::Put(to_item(&row(suffix), &Row {})?));
            }
        }
        let gone = old.difference(&new);
        writes.extend(gone.map(|suffix| Write::Delete(row(suffix))));
        Ok(writes)
    }
}

impl Store {
    /// The ids of up to `most` things that were made before `after`, or of the newest ones. For going through all of them.
    pub async fn ids_after(
        &self,
        what: Searched,
        after: Option<Uuid>,
        most: u32,
    ) -> Result<Vec<Uuid>> {
        match what {
            Searched::Users => self.users_after(after, most).await,
            Searched::Items => self.items_after(after, most).await,
        }
    }

    /// How many there are.
    pub async fn count_all(&self, what: Searched) -> Result<u64> {
        match what {
            Searched::Users => self.count_users().await,
            Searched::Items => self.count_items().await,
        }
    }

    /// Writes all rows of a thing anew, as [`index`](Self::index) does.
    pub async fn reindex(&self, what: Searched, id: Uuid, task: Uuid) -> Result<bool> {
        match what {
            Searched::Users => self.index::<User>(id, task, true).await,
            Searched::Items => self.index::<models::Item>(id, task, true).await,
        }
    }

    /// Brings the rows of a thing in line with what it is now; with `whole` also those that should be there already.
    ///
    /// Of several tasks at once, one does the work, and the others leave it to that one, which then looks again; they are
    /// answered `false`. So
    /// what has failed must be tried again as the same `task`, which goes on at once. Any other would rely on the
    /// attempt that has failed, until its time is over.
    pub async fn index<T: Searchable>(&self, id: Uuid, task: Uuid, whole: bool) -> Result<bool> {
        let key = keys::search_record(T::KIND, id);
        let Some(mut record) = self.hold_record(&key, task, whole).await? else {
            return Ok(false);
        };
        for _ in 0..MOST_LOOKS {
            let live = self.get(Table::App, &T::key(id)).await?;
            let live: Option<T> = live.map(from_item).transpose()?;
            let live = live.filter(T::is_found);
            let texts = live.map(|thing| thing.search_texts()).unwrap_or_default();
            let texts = BTreeSet::from_iter(texts);
            if record.is_dirty || record.texts != texts {
                if !self.mark_record(&key, task, &record, &texts).await? {
                    return Ok(false);
                }
                let writes = record.writes(T::KIND, id, &texts)?;
                self.batch_write(Table::App, writes).await?;
            }
            record = match self.release_record(&key, task, &record, &texts).await? {
                Some(record) => record,
                None => return Ok(true),
            };
        }
        let busy = anyhow::Error::msg("it changed each time").context("index a thing");
        Err(Error::Unavailable(busy))
    }

    /// Takes the record of a thing. `None` if another task has it, and has been told to look again.
    async fn hold_record(&self, key: &Key, task: Uuid, whole: bool) -> Result<Option<Record>> {
        let doing = "take the record of a thing";
        let wanted = || {
            let change = Change::new().add("wanted", 1);
            match whole {
                true => change.set("is_dirty", AttributeValue::Bool(true)),
                false => change,
            }
        };
        let mut attempt = 0;
        loop {
            let now = self.clock.seconds();
            let held = || {
                wanted()
                    .versioned()
                    .set("holder", text(&task.to_string()))
                    .set("held_until", number(now + HELD))
            };
            let free = held().if_below("held_until", now);
            let taken = self.update(key, free, ReturnValue::AllNew, doing).await?;
            let found: Record = match taken {
                Updated::Done(item) => return Ok(Some(from_item(item)?)),
                Updated::Refused(item) => item.map(from_item).transpose()?.unwrap_or_default(),
            };
            // It is ours if the answer to our first try was lost, or if an earlier attempt at the task has failed.
            let next = match found.holder == Some(task) {
                true => held().if_equal("holder", text(&task.to_string())),
                false => wanted().if_above("held_until", now - 1),
            };
            let next = self.update(key, next, ReturnValue::AllNew, doing).await?;
            if let Updated::Done(item) = next {
                let record: Record = from_item(item)?;
                return Ok(Some(record).filter(|record| record.holder == Some(task)));
            }
            // It was released just now.
            back_off(attempt, doing).await?;
            attempt += 1;
        }
    }

    /// Notes before the first write which rows there may be from now on. Answers `false` if another has the record by
    /// now: it has looked at the thing later than we have.
    async fn mark_record(
        &self,
        key: &Key,
        task: Uuid,
        record: &Record,
        texts: &BTreeSet<String>,
    ) -> Result<bool> {
        let all: BTreeSet<_> = record.texts.union(texts).collect();
        let change = Change::new()
            .set("texts", stored(&all)?)
            .set("is_dirty", AttributeValue::Bool(true))
            .if_equal("holder", text(&task.to_string()));
        let doing = "mark the record of a thing";
        let marked = self.update(key, change, ReturnValue::None, doing).await?;
        Ok(matches!(marked, Updated::Done(_)))
    }

    /// Notes that there are the rows of these texts and no others, and lets go of the record; without a text there is
    /// nothing to note. Answers the record as it is now if somebody has asked since it was read: then it is still ours.
    async fn release_record(
        &self,
        key: &Key,
        task: Uuid,
        record: &Record,
        texts: &BTreeSet<String>,
    ) -> Result<Option<Record>> {
        let doing = "release the record of a thing";
        let unasked = Change::new()
            .if_equal("wanted", number(record.wanted))
            .if_equal("holder", text(&task.to_string()));
        let released = if texts.is_empty() {
            self.delete_record(key, unasked, doing).await?
        } else {
            let change = unasked
                .set("texts", stored(texts)?)
                .remove("is_dirty")
                .remove("holder")
                .remove("held_until");
            self.update(key, change, ReturnValue::None, doing).await?
        };
        let now: Option<Record> = match released {
            Updated::Done(_) => return Ok(None),
            Updated::Refused(item) => item.map(from_item).transpose()?,
        };
        // Otherwise another has taken it over, or the answer to our first try was lost.
        Ok(now.filter(|record| record.holder == Some(task)))
    }

    /// Deletes a record under a condition.
    async fn delete_record(
        &self,
        key: &Key,
        condition: Change,
        doing: &'static str,
    ) -> Result<Updated> {
        let condition = condition.expressions();
        let request = self.client.delete_item().table_name(self.name(Table::App)?);
        let request = request
            .set_key(Some(key.attributes()))
            .set_condition_expression(condition.condition)
            .set_expression_attribute_names(condition.names)
            .set_expression_attribute_values(condition.values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match request.send().await {
            Ok(_) => Ok(Updated::Done(Item::new())),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(refused)) => {
                    Ok(Updated::Refused(refused.item.clone()))
                }
                _ => Err(failed(doing)(error)),
            },
        }
    }

    /// The things in whose texts the query is contained, in the order of their rows. Pages go on by cursor only,
    /// because what is skipped would have to be read.
    ///
    /// One query and one batch read, as long as every row shows its thing. A page may have fewer things than it could,
    /// or none, and still be followed by another.
    pub async fn search<T: Searchable>(&self, query: &Query, slice: &Slice) -> Result<Page<T>> {
        self.search_where(query, |_| true, slice).await
    }

    /// The same, but only the things that `is_wanted`.
    pub(super) async fn search_where<T: Searchable>(
        &self,
        query: &Query,
        is_wanted: impl Fn(&T) -> bool,
        slice: &Slice,
    ) -> Result<Page<T>> {
        let anchor = query.anchor();
        let partition = keys::search_partition(T::KIND, anchor.fragment);
        let beginning = beginning(T::KIND, &anchor);
        let mut last = match &slice.from {
            From::Skip(0) => None,
            From::Skip(_) => return Err(Error::SkipTooDeep(0)),
            From::Cursor(cursor) => Some(position(cursor, &beginning)?),
        };
        let limit = slice.limit as usize;
        // One more tells whether the list goes on. Where that is not enough, many rows do not show.
        let mut most = (limit + 1).min(MOST_THINGS);
        let mut looked = 0;
        let mut found: Vec<T> = Vec::new();
        let next = 'search: loop {
            let most_now = most.min(MOST_ROWS - looked);
            let (rows, is_end) = self
                .search_rows(&partition, &beginning, last.as_deref(), most_now)
                .await?;
            looked += rows.len();
            let mut things = self.things_of::<T>(&rows).await?;
            for row in rows {
                let shown = take_shown(&row, &mut things, query, &anchor);
                found.extend(shown.filter(&is_wanted));
                if found.len() > limit {
                    break 'search last;
                }
                last = Some(row);
            }
            if is_end {
                break None;
            }
            if looked >= MOST_ROWS {
                break last;
            }
            most = (most * 2).min(MOST_THINGS);
        };
        let known = u32::try_from(found.len()).unwrap_or(u32::MAX);
        let total = match (&slice.from, &next) {
            (From::Skip(_), None) => Total::Exactly(known),
            _ => Total::AtLeast(known),
        };
        found.truncate(limit);
        Ok(Page {
            items: found,
            total,
            next: next.map(|last| URL_SAFE_NO_PAD.encode(last)),
        })
    }

    /// The sort keys of up to `most` rows that begin so, after the row `last`, and whether these are the last ones.
    async fn search_rows(
        &self,
        partition: &str,
        beginning: &str,
        last: Option<&str>,
        most: usize,
    ) -> Result<(Vec<String>, bool)> {
        let start = last.map(|sk| {
            let (pk, sk) = (partition.to_owned(), sk.to_owned());
            Key { pk, sk }.attributes()
        });
        let request = self.client.query().table_name(self.name(Table::App)?);
        let request = request
            .key_condition_expression("pk = :pk AND begins_with(sk, :beginning)")
            .expression_attribute_values(":pk", text(partition))
            .expression_attribute_values(":beginning", text(beginning))
            .set_exclusive_start_key(start)
            .set_limit(i32::try_from(most).ok());
        let output = request.send().await.map_err(failed("search"))?;
        let is_end = output.last_evaluated_key.is_none();
        let items = output.items.unwrap_or_default();
        let rows: Vec<_> = items.iter().filter_map(Key::of).map(|key| key.sk).collect();
        Ok((rows, is_end))
    }

    /// The things that a search may show of those that rows name. Several rows may name the same one.
    async fn things_of<T: Searchable>(&self, rows: &[String]) -> Result<HashMap<Uuid, T>> {
        let ids: BTreeSet<Uuid> = rows.iter().filter_map(|row| Some(read(row)?.1)).collect();
        let keys: Vec<_> = ids.iter().map(|id| T::key(*id)).collect();
        let items = self.batch_get_app(&keys).await?;
        let mut things = HashMap::new();
        for (id, item) in ids.into_iter().zip(items) {
            match item.map(from_item::<T>).transpose() {
                Ok(thing) => things.extend(thing.filter(T::is_found).map(|thing| (id, thing))),
                // What cannot be read, as after a rollback, must not take the others with it.
                Err(error) => {
                    tracing::error!(cause = ?error, "a thing that was found was left out")
                }
            }
        }
        Ok(things)
    }
}

/// All that makes a thing be found, as the task leaves it: for what is loaded without one.
pub(super) fn items_of<T: Searchable>(id: Uuid, thing: &T) -> Result<Vec<Item>> {
    let mut items = rows_of(id, thing)?;
    let (key, record) = record_of(id, thing);
    items.push(to_item(&key, &record)?);
    Ok(items)
}

/// The rows of a thing.
pub(super) fn rows_of<T: Searchable>(id: Uuid, thing: &T) -> Result<Vec<Item>> {
    let texts = thing.search_texts();
    let rows = suffixes(texts.iter().map(String::as_str)).into_iter();
    rows.map(|suffix| to_item(&keys::search_row(T::KIND, &suffix, id), &Row {}))
        .collect()
}

/// What says that there are these rows, with its key.
pub(super) fn record_of<T: Searchable>(id: Uuid, thing: &T) -> (Key, LoadedRecord) {
    let texts = BTreeSet::from_iter(thing.search_texts());
    let record = LoadedRecord { texts, wanted: 1 };
    (keys::search_record(T::KIND, id), record)
}

/// The suffix and the thing of a row, by its sort key.
fn read(row: &str) -> Option<(&str, Uuid)> {
    let (suffix, id) = row.rsplit_once(' ')?;
    Some((suffix, id.parse().ok()?))
}

/// The thing that a row names, if it is to be shown there and not at another of its rows.
fn take_shown<T: Searchable>(
    row: &str,
    things: &mut HashMap<Uuid, T>,
    query: &Query,
    anchor: &Anchor<'_>,
) -> Option<T> {
    let (suffix, id) = read(row)?;
    let texts = things.get(&id)?.search_texts();
    let is_shown = query.matches(&texts) && anchor.first_row(&texts) == Some(suffix);
    is_shown.then(|| things.remove(&id)).flatten()
}

/// What the sort keys begin with of the rows that an anchor finds.
fn beginning(kind: &str, anchor: &Anchor<'_>) -> String {
    match anchor.is_whole {
        // With what ends a suffix.
        true => {
            let like = keys::search_row(kind, anchor.fragment, Uuid::nil());
            let nobody = Uuid::nil().to_string();
            like.sk.trim_end_matches(&nobody).to_owned()
        }
        false => anchor.fragment.to_owned(),
    }
}

/// The row that a page has ended with, by its cursor. Which rows come after it is told by the query, so that a cursor
/// from elsewhere reaches nothing else.
fn position(cursor: &str, beginning: &str) -> Result<String> {
    let row = URL_SAFE_NO_PAD.decode(cursor).ok();
    let row = row.and_then(|bytes| String::from_utf8(bytes).ok());
    // DynamoDB takes no other keys.
    let row = row.filter(|row| row.starts_with(beginning) && row.len() <= 1_024);
    row.ok_or(Error::InvalidCursor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::text::{Email, Name};

    fn texts<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
        texts.map(str::to_owned).into()
    }

    /// The suffixes that are written, and those that are deleted.
    fn written(record: &Record, new: &BTreeSet<String>) -> (Vec<String>, Vec<String>) {
        let (mut put, mut deleted) = (Vec::new(), Vec::new());
        for write in record.writes("USER", Uuid::nil(), new).unwrap() {
            let (key, to) = match &write {
                Write::Put(item) => (Key::of(item).unwrap(), &mut put),
                Write::Delete(key) => (key.clone(), &mut deleted),
            };
            let (suffix, id) = read(&key.sk).unwrap();
            assert_eq!(key, keys::search_row("USER", suffix, id));
            to.push(suffix.to_owned());
        }
        (put, deleted)
    }

    #[test]
    fn rows_are_written_by_difference() {
        let mut record = Record {
            texts: texts(["ada@x.org", "ada"]),
            ..Record::default()
        };
        let written = |record: &Record, new: BTreeSet<String>| {
            let (put, deleted) = written(record, &new);
            (put.join(" "), deleted.join(" "))
        };
        let none = (String::new(), String::new());
        assert_eq!(written(&record, texts(["ada@x.org", "ada"])), none);
        let (put, deleted) = written(&record, texts(["ada@x.org", "ida"]));
        assert_eq!((put.as_str(), deleted.as_str()), ("ida", "ada"));

        // What may be missing is written again, and what may be too much is deleted.
        record.is_dirty = true;
        let (put, deleted) = written(&record, texts(["ada"]));
        let gone = ".org @x.org a@x.org ada@x.org da@x.org org rg x.org";
        assert_eq!((put.as_str(), deleted.as_str()), ("ada da", gone));
    }

    #[test]
    fn a_record_is_read_as_the_changes_leave_it() {
        let all = texts(["ada", "b"]);
        let list = AttributeValue::L(vec![text("ada"), text("b")]);
        assert_eq!(stored(&all).unwrap(), list);
        let holder = Uuid::now_v7();
        let item = Item::from([
            ("texts".to_owned(), list),
            ("is_dirty".to_owned(), AttributeValue::Bool(true)),
            ("wanted".to_owned(), number(3)),
            ("holder".to_owned(), text(&holder.to_string())),
            ("held_until".to_owned(), number(45)),
        ]);
        let expected = Record {
            texts: all,
            is_dirty: true,
            wanted: 3,
            holder: Some(holder),
        };
        assert_eq!(from_item::<Record>(item).unwrap(), expected);
        let new = Item::from([("wanted".to_owned(), number(1))]);
        assert_eq!(from_item::<Record>(new).unwrap().texts, texts([]));
    }

    #[test]
    fn a_thing_is_shown_at_one_of_its_rows() {
        let user = || {
            let mut user = User::new(Email::parse("banana@x.org").unwrap());
            user.full_name = Some(Name::parse("Ana Lovelace").unwrap());
            user
        };
        let id = user().id;
        let shown_at = |text: &str, of: Uuid| {
            let query = Query::parse(text).unwrap();
            let anchor = query.anchor();
            let texts = user().search_texts();
            let mut rows = suffixes(texts.iter().map(String::as_str));
            // A row that is left from before.
            rows.insert("an".to_owned());
            let mut things = HashMap::from([(id, user())]);
            let shown = rows.into_iter().filter(|suffix| {
                let row = keys::search_row("USER", suffix, of).sk;
                take_shown(&row, &mut things, &query, &anchor).is_some()
            });
            shown.collect::<Vec<_>>()
        };
        assert_eq!(shown_at("an", id), ["ana"]);
        assert_eq!(shown_at("an", Uuid::now_v7()), [] as [&str; 0]);
        assert_eq!(shown_at("nana", id), ["nana@x.org"]);
        assert_eq!(shown_at("ANA  love", id), ["lovelace"]);
        assert_eq!(shown_at("na lo", id), ["na"]);
        assert_eq!(shown_at("anna", id), [] as [&str; 0]);
        assert_eq!(shown_at("lovelace ana", id), [] as [&str; 0]);
    }

    #[test]
    fn rows_begin_as_their_anchor_does() {
        let beginning = |text: &str| {
            let query = Query::parse(text).unwrap();
            beginning("USER", &query.anchor())
        };
        assert_eq!(beginning("ada"), "ada");
        assert_eq!(beginning("ada lo"), "ada ");
        assert_eq!(beginning("da lovelace"), "lovelace");
        let row = keys::search_row("USER", "ada", Uuid::now_v7());
        assert!(row.sk.starts_with(&beginning("ada lo")));
        assert_eq!(row.pk, keys::search_partition("USER", "adam"));
    }

    #[test]
    fn a_cursor_is_a_row_of_its_query() {
        let at = |row: &str, beginning| {
            let position = position(&URL_SAFE_NO_PAD.encode(row), beginning);
            assert!(matches!(position, Ok(_) | Err(Error::InvalidCursor)));
            position.ok()
        };
        let row = keys::search_row("USER", "adam", Uuid::now_v7()).sk;
        assert_eq!(at(&row, "ada"), Some(row.clone()));
        assert_eq!(at(&row, "adam "), Some(row.clone()));
        assert_eq!(at(&row, "ada "), None);
        assert_eq!(at(&row, "eve"), None);
        assert_eq!(at("", "ada"), None);
        assert_eq!(at(&"ada".repeat(400), "ada"), None);
        assert!(position("not base64!", "ada").is_err());
        let bytes = URL_SAFE_NO_PAD.encode(b"ada\xff");
        assert!(position(&bytes, "ada").is_err());
    }
}
