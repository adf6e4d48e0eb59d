//! One migration on its way through a table: pages of a segment, and what becomes of their items.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use futures_util::{StreamExt, TryStreamExt, stream};
use shared::store::keys::Key;
use shared::store::schema::{self, Migration};
use shared::store::{Change, Item, Table};
use tokio::time::{Instant, sleep_until};

use super::lock::Lock;
use super::tables::{Tables, Updated, number};
use super::{Direction, Example, Segment};

/// How many items are passed before it is noted how far a segment has come.
pub const PAGE: i32 = 1_000;

/// How many items of a page are rewritten at the same time.
const AT_ONCE: usize = 8;

/// How often an item is looked at that others change at the same time.
const MOST_LOOKS: u32 = 20;

pub(super) struct Step<'a> {
    pub(super) tables: &'a Tables<'a>,
    migration: &'static Migration,
    direction: Direction,
    pace: &'a Pace,
}

impl<'a> Step<'a> {
    pub(super) fn new(
        tables: &'a Tables<'a>,
        migration: &'static Migration,
        direction: Direction,
        pace: &'a Pace,
    ) -> Self {
        Self {
            tables,
            migration,
            direction,
            pace,
        }
    }

    /// The next page of a segment: the items of it that are concerned, and where the segment is then. Strongly consistent,
    /// so that nothing is missed that was written before.
    pub(super) async fn page(
        &self,
        number: &str,
        of: usize,
        at: &Segment,
    ) -> Result<(Vec<Item>, Segment)> {
        let start = at.after.as_ref().map(|(pk, sk)| {
            let (pk, sk) = (pk.clone(), sk.clone());
            Key { pk, sk }.attributes()
        });
        let kind = self.migration.kind;
        let request = self.tables.client.scan();
        let mut request = request
            .table_name(self.tables.name(kind.table)?)
            .segment(number.parse()?)
            .total_segments(of.try_into()?)
            .limit(PAGE)
            .consistent_read(true)
            .set_exclusive_start_key(start)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        // What is not concerned is paid for and not sent.
        let mut filters = vec![match self.direction {
            Direction::Up => "(attribute_not_exists(#v) OR #v < :v)",
            Direction::Down => "#v >= :v",
        }];
        request = request
            .expression_attribute_names("#v", "v")
            .expression_attribute_values(":v", self.number());
        for (name, begins, filter) in [
            ("pk", kind.pk, "begins_with(pk, :pk)"),
            ("sk", kind.sk, "begins_with(sk, :sk)"),
        ] {
            if !begins.is_empty() {
                let begins = AttributeValue::S(begins.to_owned());
                request = request.expression_attribute_values(format!(":{name}"), begins);
                filters.push(filter);
            }
        }
        let request = request.filter_expression(filters.join(" AND "));
        let mut tries = 0;
        let page = loop {
            self.pace.reads.wait().await;
            match request.clone().send().await {
                Ok(page) => break page,
                Err(error) => self.tables.wait(&mut tries, error, "scan").await?,
            }
        };
        let units = page.consumed_capacity.and_then(|used| used.capacity_units);
        self.pace.reads.spend(units.unwrap_or_default());
        let after = match page.last_evaluated_key {
            Some(last) => {
                let key = Key::of(&last).context("read a key")?;
                Some((key.pk, key.sk))
            }
            None => None,
        };
        let seen = u64::try_from(page.scanned_count).unwrap_or_default();
        let next = Segment {
            is_done: after.is_none(),
            after,
            seen: at.seen + seen,
            changed: at.changed,
        };
        Ok((page.items.unwrap_or_default(), next))
    }

    fn number(&self) -> AttributeValue {
        number(self.migration.number.into())
    }

    /// An item as it is to be; `None` if it is so already.
    pub(super) fn rewritten(&self, item: &Item) -> Option<Item> {
        let mut new = item.clone();
        let is_changed = match self.direction {
            Direction::Up => schema::raise(&mut new, self.migration.number),
            Direction::Down => schema::lower(&mut new, self.migration.number - 1),
        };
        is_changed.then_some(new)
    }

    /// Answers how many of them it has rewritten.
    pub(super) async fn rewrite_all(&self, items: Vec<Item>, lock: &Lock<'_>) -> Result<u64> {
        stream::iter(items)
            .map(|item| self.rewrite(item, lock))
            .buffer_unordered(AT_ONCE)
            .try_fold(0, async |sum, is_changed| Ok(sum + u64::from(is_changed)))
            .await
    }

    /// Rewrites an item under the condition that it is as it was read. If others have changed it meanwhile, it is done
    /// anew from what they have made of it. Answers `false` if there is nothing to do any more.
    async fn rewrite(&self, mut item: Item, lock: &Lock<'_>) -> Result<bool> {
        let key = Key::of(&item).context("read a key")?;
        for _ in 0..MOST_LOOKS {
            let Some(new) = self.rewritten(&item) else {
                return Ok(false);
            };
            self.pace.writes.wait().await;
            lock.check()?;
            let change = change(&item, &new);
            let updated = self
                .tables
                .update_in(self.migration.kind.table, &key, change);
            match updated.await? {
                Updated::Done(units) => {
                    self.pace.writes.spend(units);
                    return Ok(true);
                }
                // Somebody has deleted it.
                Updated::Refused(None) => return Ok(false),
                // The answer to our first try was lost, and the client has tried again.
                Updated::Refused(Some(now)) if now == new => return Ok(true),
                Updated::Refused(Some(now)) => item = now,
            }
        }
        bail!("{} / {} changes all the time", key.pk, key.sk)
    }

    /// What would become of an item, as far as it may be shown.
    pub(super) fn example(&self, old: &Item, new: &Item) -> Result<Example> {
        let key = Key::of(old).context("read a key")?;
        let shown = |item: &Item| {
            let changes = changed(old, new).into_iter();
            let changes = changes.filter_map(|name| item.get_key_value(name));
            match self.migration.kind.table {
                Table::App => {
                    let changes = changes.map(|(name, value)| (name.clone(), value.clone()));
                    let changes: Item = changes.collect();
                    let json: serde_json::Value = serde_dynamo::from_item(changes)?;
                    Ok::<_, anyhow::Error>(json.to_string())
                }
                Table::Vault => {
                    let names: BTreeSet<_> = changes.map(|(name, _)| name.as_str()).collect();
                    Ok(Vec::from_iter(names).join(", "))
                }
            }
        };
        Ok(Example {
            before: shown(old)?,
            after: shown(new)?,
            key,
        })
    }
}

/// The names of the attributes that differ.
fn changed<'a>(old: &'a Item, new: &'a Item) -> BTreeSet<&'a String> {
    let names = old.keys().chain(new.keys());
    names
        .filter(|name| old.get(*name) != new.get(*name))
        .collect()
}

/// Writes what differs, if the item is as it was read. Where a `version` counts the changes that one says so, with what is
/// changed here; else all of it has to be the same.
fn change(old: &Item, new: &Item) -> Change {
    let changed = changed(old, new);
    let mut change = Change::new();
    for name in &changed {
        change = match new.get(*name) {
            Some(value) => change.set(name, value.clone()),
            None => change.remove(name),
        };
    }
    let watched: BTreeSet<&str> = match old.contains_key("version") {
        true => {
            let changed = changed.iter().map(|name| name.as_str());
            changed.chain(["v", "version"]).collect()
        }
        false => old.keys().chain(changed).map(String::as_str).collect(),
    };
    for name in watched {
        change = match old.get(name) {
            Some(value) => change.if_equal(name, value.clone()),
            None => change.if_absent(name),
        };
    }
    change.if_exists("pk")
}

/// How fast a table may be read and written.
pub(super) struct Pace {
    reads: Meter,
    writes: Meter,
}

impl Pace {
    pub(super) fn new(rate: Option<u32>) -> Self {
        Self {
            reads: Meter::new(rate),
            writes: Meter::new(rate),
        }
    }
}

/// Spreads units over time. Whoever spends has a turn, the next of which is as much later as one unit takes; what it has
/// cost beyond that puts off the turns that come.
struct Meter {
    rate: Option<f64>,
    next: Mutex<Instant>,
}

impl Meter {
    fn new(rate: Option<u32>) -> Self {
        Self {
            rate: rate.map(f64::from),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits for the next turn.
    async fn wait(&self) {
        if let Some(turn) = self.put_off(1.0) {
            sleep_until(turn).await;
        }
    }

    /// What a turn has cost in all.
    fn spend(&self, units: f64) {
        self.put_off(units - 1.0);
    }

    /// Answers when the turn is that this puts off.
    fn put_off(&self, units: f64) -> Option<Instant> {
        let rate = self.rate?;
        let takes = Duration::from_secs_f64((units / rate).max(0.0));
        let mut next = self.next.lock().ok()?;
        let turn = (*next).max(Instant::now());
        *next = turn + takes;
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn units_are_spread_over_time() {
        let meter = Meter::new(Some(100));
        let begun = Instant::now();
        for _ in 0..5 {
            meter.wait().await;
        }
        // Five turns of one unit; the first needs no wait.
        let took = begun.elapsed();
        assert!((40..200).contains(&took.as_millis()), "{took:?}");
        meter.spend(11.0);
        meter.wait().await;
        let took = begun.elapsed();
        assert!((150..400).contains(&took.as_millis()), "{took:?}");

        let (free, begun) = (Meter::new(None), Instant::now());
        for _ in 0..1_000 {
            free.wait().await;
            free.spend(1_000.0);
        }
        assert!(begun.elapsed().as_millis() < 100);
    }

    #[test]
    fn a_change_holds_for_an_item_as_it_was_read() {
        let item = |numbers: &[(&str, i64)]| -> Item {
            let numbers = numbers.iter();
            numbers
                .map(|(name, value)| ((*name).to_owned(), number(*value)))
                .collect()
        };
        let condition = |old: &[(&str, i64)], new: &[(&str, i64)]| {
            let condition = change(&item(old), &item(new)).expressions().condition;
            let condition = condition.unwrap();
            let parts: BTreeSet<_> = condition.split(" AND ").map(str::to_owned).collect();
            let names = parts.iter().map(|part| match part.split_once(" = ") {
                Some((name, _)) => format!("{name} ="),
                None => part.clone(),
            });
            names.collect::<Vec<_>>().join(", ")
        };
        // Its version tells of all that is not changed here.
        let counted = [("v", 1), ("version", 3), ("a", 1), ("b", 1)];
        let new = [("v", 2), ("version", 3), ("a", 2), ("b", 1), ("c", 1)];
        let expected = "#a =, #v =, #version =, attribute_exists(#pk), attribute_not_exists(#c)";
        assert_eq!(condition(&counted, &new), expected);
        let expected = "#a =, #b =, attribute_exists(#pk), attribute_not_exists(#v)";
        assert_eq!(
            condition(&[("a", 1), ("b", 1)], &[("a", 1), ("v", 2)]),
            expected
        );
    }
}
