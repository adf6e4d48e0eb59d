//! The versions of what is stored, and the way from each to the next.
//!
//! An item says in `v` of which version it is. One that says less than this build knows is brought up to date in memory
//! when it is read, and in the table by `cargo dev migrate up`; so functions need not wait for it. One that says more was
//! written by a newer build, during a deployment or before a rollback, and is read as it is.
//!
//! Rules for a migration:
//!
//! - The build before it must read what it leaves. Both run side by side while a version is deployed, and the old one does
//!   not know this file. So add attributes, and leave alone what is there already, or take away what may be missing.
//! - `up` may meet an item that is up to date in part, for an update writes single attributes and leaves `v` alone. So it
//!   may be applied twice, and keeps what is there. `down` leaves what the build before would have written.
//! - Its arithmetic is its own: what the models do may change, what was migrated may not.
//! - A new version needs nothing of items that it does not concern. They keep their `v`.
//!
//! Only items that become models are brought up to date when they are read. What is looked at as it is stored (counters,
//! rows of lists and of the search, expiries, the keys of tokens) must be understood there in both forms.

use aws_sdk_dynamodb::types::AttributeValue;

use super::{Item, Table, keys};

/// The version that new items carry as `v`: that of the last migration.
pub const SCHEMA_VERSION: u32 = 2;

/// All migrations, in their order. Numbers follow each other; 1 is what was there before the first.
pub static MIGRATIONS: [Migration; 1] = [Migration {
    number: 2,
    name: "the lines of an order keep what they cost",
    kind: Kind {
        table: Table::App,
        pk: keys::USER,
        sk: keys::ORDER,
    },
    up: keep_line_totals,
    down: forget_line_totals,
}];

/// The way from the version before `number` to it, and back.
#[derive(Debug)]
pub struct Migration {
    pub number: u32,
    pub name: &'static str,
    /// The items that it concerns.
    pub kind: Kind,
    up: fn(&mut Item),
    down: fn(&mut Item),
}

/// Items that are known by what their keys begin with.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub table: Table,
    pub pk: &'static str,
    pub sk: &'static str,
}

impl Kind {
    fn has(self, item: &Item) -> bool {
        let begins = |name: &str, with: &str| match item.get(name) {
            Some(AttributeValue::S(key)) => key.starts_with(with),
            _ => false,
        };
        begins("pk", self.pk) && begins("sk", self.sk)
    }
}

/// The migration that leads to a version.
pub fn migration_to(number: u32) -> Option<&'static Migration> {
    MIGRATIONS.iter().find(|known| known.number == number)
}

/// Which version an item is of. What has no `v` was written before everything had one, as the counters were.
pub fn version_of(item: &Item) -> Option<u32> {
    match item.get("v") {
        None => Some(1),
        Some(AttributeValue::N(version)) => version.parse().ok(),
        Some(_) => None,
    }
}

/// Brings an item up to date that was read. For most it is a look at `v`, or at the keys.
pub(super) fn upcast(item: &mut Item) {
    raise(item, SCHEMA_VERSION);
}

/// Applies to an item what leads up to a version. Answers whether anything did.
pub fn raise(item: &mut Item, to: u32) -> bool {
    raise_by(&MIGRATIONS, item, to)
}

/// Applies to an item what leads back to a version. Answers whether anything did; what a newer build has written is left
/// alone.
pub fn lower(item: &mut Item, to: u32) -> bool {
    lower_by(&MIGRATIONS, item, to)
}

fn raise_by(migrations: &[Migration], item: &mut Item, to: u32) -> bool {
    let Some(from) = version_of(item).filter(|from| *from < to) else {
        return false;
    };
    let mut reached = None;
    for migration in migrations {
        let is_ahead = from < migration.number && migration.number <= to;
        if is_ahead && migration.kind.has(item) {
            (migration.up)(item);
            reached = Some(migration.number);
        }
    }
    if let Some(version) = reached {
        set_version(item, version);
    }
    reached.is_some()
}

fn lower_by(migrations: &[Migration], item: &mut Item, to: u32) -> bool {
    let newest = migrations.last().map_or(1, |newest| newest.number);
    let known = |from: &u32| (to + 1..=newest).contains(from);
    let Some(from) = version_of(item).filter(known) else {
        return false;
    };
    let mut is_changed = false;
    for migration in migrations.iter().rev() {
        let is_behind = to < migration.number && migration.number <= from;
        if is_behind && migration.kind.has(item) {
            (migration.down)(item);
            is_changed = true;
        }
    }
    if is_changed {
        set_version(item, to);
    }
    is_changed
}

fn set_version(item: &mut Item, version: u32) {
    let version = AttributeValue::N(version.to_string());
    item.insert("v".to_owned(), version);
}

/// What a line costs with its tax was worked out anew whenever an order was looked at. It is what was agreed, so it is
/// kept: a rule of rounding that changes one day must change no order.
fn keep_line_totals(order: &mut Item) {
    for line in lines(order) {
        if let Some(total) = line_total(line)
            && !line.contains_key("total")
        {
            line.insert("total".to_owned(), AttributeValue::N(total.to_string()));
        }
    }
}

fn forget_line_totals(order: &mut Item) {
    for line in lines(order) {
        line.remove("total");
    }
}

fn lines(order: &mut Item) -> impl Iterator<Item = &mut Item> {
    let lines = match order.get_mut("lines") {
        Some(AttributeValue::L(lines)) => Some(lines),
        _ => None,
    };
    let lines = lines.into_iter().flatten();
    lines.filter_map(|line| match line {
        AttributeValue::M(line) => Some(line),
        _ => None,
    })
}

/// Half up to minor units, once for the line. `None` for what is no line.
fn line_total(line: &Item) -> Option<i64> {
    let number = |name: &str| match line.get(name) {
        Some(AttributeValue::N(number)) => number.parse::<i128>().ok(),
        _ => None,
    };
    let (price, quantity, tax) = (number("unit_price")?, number("quantity")?, number("tax")?);
    let exact = price.checked_mul(quantity)?.checked_mul(10_000 + tax)?;
    i64::try_from((exact + 5_000).div_euclid(10_000)).ok()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::change::number;

    fn item(pk: &str, sk: &str, version: i64) -> Item {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        Item::from([
            ("pk".to_owned(), text(pk)),
            ("sk".to_owned(), text(sk)),
            ("v".to_owned(), number(version)),
        ])
    }

    #[test]
    fn the_last_migration_leads_to_the_version() {
        let numbers = MIGRATIONS.iter().map(|migration| migration.number);
        assert!(numbers.eq(2..=SCHEMA_VERSION));
    }

    fn append(item: &mut Item, letter: char) {
        let text = item.get("text").and_then(|text| text.as_s().ok());
        let text = format!("{}{letter}", text.map_or("", String::as_str));
        item.insert("text".to_owned(), AttributeValue::S(text));
    }

    /// Notes in `text` what was applied. The second of the three concerns other items.
    const STEPS: [Migration; 3] = {
        const fn step(
            number: u32,
            sk: &'static str,
            up: fn(&mut Item),
            down: fn(&mut Item),
        ) -> Migration {
            let table = Table::App;
            let (name, kind) = (
                "",
                Kind {
                    table,
                    pk: "A#",
                    sk,
                },
            );
            Migration {
                number,
                name,
                kind,
                up,
                down,
            }
        }
        [
            step(2, "", |item| append(item, 'b'), |item| append(item, 'B')),
            step(3, "X", |item| append(item, 'c'), |item| append(item, 'C')),
            step(4, "", |item| append(item, 'd'), |item| append(item, 'D')),
        ]
    };

    #[test]
    fn an_item_goes_through_all_that_concerns_it() {
        let check = |bring: fn(&[Migration], &mut Item, u32) -> bool,
                     from: i64,
                     to,
                     expected: Option<(&str, i64)>| {
            let mut item = item("A#1", "-", from);
            let is_changed = bring(&STEPS, &mut item, to);
            let text = item.get("text").and_then(|text| text.as_s().ok());
            let version = item["v"].as_n().unwrap().parse().unwrap();
            let found = text.map(|text| (text.as_str(), version));
            assert_eq!(found, expected, "from {from} to {to}");
            assert_eq!(is_changed, expected.is_some());
        };
        check(raise_by, 1, 4, Some(("bd", 4)));
        check(raise_by, 2, 4, Some(("d", 4)));
        // What does not concern it changes nothing, and then its version may stay.
        check(raise_by, 2, 3, None);
        check(raise_by, 4, 4, None);
        check(raise_by, 5, 4, None);
        check(lower_by, 4, 1, Some(("DB", 1)));
        check(lower_by, 4, 3, Some(("D", 3)));
        check(lower_by, 3, 2, None);
        check(lower_by, 1, 1, None);
        // A newer build's.
        check(lower_by, 5, 1, None);

        let mut other = item("B#1", "-", 1);
        assert!(!raise_by(&STEPS, &mut other, 4));
        assert_eq!(other, item("B#1", "-", 1));
    }

    #[test]
    fn an_item_without_a_readable_version_is_the_oldest_or_left_alone() {
        let mut without = item("A#1", "X", 1);
        without.remove("v");
        assert!(raise_by(&STEPS, &mut without, 4));
        assert_eq!(version_of(&without), Some(4));
        let mut broken = item("A#1", "X", 1);
        broken.insert("v".to_owned(), AttributeValue::Bool(true));
        assert!(!raise_by(&STEPS, &mut broken, 4) && !lower_by(&STEPS, &mut broken, 1));
    }

    fn line(numbers: &[(&str, i64)]) -> AttributeValue {
        let numbers = numbers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), number(*value)));
        AttributeValue::M(numbers.collect())
    }

    fn order(version: i64, lines: &[AttributeValue]) -> Item {
        let key = keys::order(Uuid::nil(), Uuid::nil());
        let mut order = item(&key.pk, &key.sk, version);
        order.insert("lines".to_owned(), AttributeValue::L(lines.to_vec()));
        order
    }

    #[test]
    fn lines_get_their_totals_once_and_lose_them_again() {
        let old =
            |price, quantity, tax| [("unit_price", price), ("quantity", quantity), ("tax", tax)];
        let before = [
            line(&old(1_999, 3, 725)),
            line(&old(5, 1_000, 0)),
            line(&old(1, 1, 5_000)),
        ];
        let with =
            |old: [(&str, i64); 3], total| line(&[old.as_slice(), &[("total", total)]].concat());
        let after = [
            with(old(1_999, 3, 725), 6_432),
            with(old(5, 1_000, 0), 5_000),
            with(old(1, 1, 5_000), 2),
        ];
        let mut found = order(1, &before);
        upcast(&mut found);
        assert_eq!(found, order(2, &after));
        assert!(lower(&mut found, 1));
        assert_eq!(found, order(1, &before));

        // What is up to date in part keeps what it says.
        let agreed = with(old(1_999, 3, 725), 6_431);
        let mut partly = order(1, &[agreed.clone(), before[1].clone()]);
        upcast(&mut partly);
        assert_eq!(partly, order(2, &[agreed, after[1].clone()]));

        // What a newer build has written, and what is no line.
        let mut newer = order(3, &before);
        upcast(&mut newer);
        assert_eq!(newer, order(3, &before));
        let broken = [line(&[("unit_price", 5)]), number(7)];
        let mut wrong = order(1, &broken);
        upcast(&mut wrong);
        assert_eq!(wrong, order(2, &broken));
    }
}
