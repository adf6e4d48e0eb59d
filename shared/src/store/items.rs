//! The catalogue's items, and the lists that they are in.
//!
//! An item stands in a list for each of: all, its owner, its category, each of its tags, and what is featured. A place in a
//! list is a row of its own, in the partition of the list and the item's status, sorted by creation; the index `priced` has
//! the same partitions sorted by price. So each filter and each sort is a query, and what more is asked for is decided by
//! the items themselves, within a budget.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use futures_util::future::try_join_all;
use serde::Serialize;
use uuid::Uuid;

use super::change::{number, text};
use super::keys::{ItemList, Key};
use super::listing::{Listing, Sort, readable};
use super::search::Searchable;
use super::users::sums;
use super::{
    Change, Item as Attributes, Store, Table, Transaction, from_item, keys, search, to_item,
};
use crate::error::{Error, Result};
use crate::events::Event;
use crate::models::audit::AuditEntry;
use crate::models::item::{Item, ItemStatus, MOST_STOCK, Tag};
use crate::models::money::Money;
use crate::models::page::{DEEPEST, From, Page, Slice, Total};
use crate::models::search::Query;

/// The most places of lists that a request looks at; the next page goes on behind them.
const MOST_LOOKED_AT: usize = 500;

/// The most categories whose lists are read side by side. The items of more are looked for among all.
const MOST_LISTS: usize = 25;

/// How many updates are made at the same time.
const AT_ONCE: usize = 25;

/// The most items that DynamoDB reads at once.
const MOST_READ: usize = 100;

/// How many of the most viewed are read to find those that still are to be seen.
const SPARE: u32 = 3;

/// An item as it is stored. What is available is stored too, so that a condition can name it.
#[derive(Serialize)]
pub(super) struct StoredItem<'a> {
    #[serde(flatten)]
    item: &'a Item,
    available: i64,
}

impl<'a> StoredItem<'a> {
    pub(super) fn of(item: &'a Item) -> Self {
        let available = item.available();
        Self { item, available }
    }
}

/// A place in a list.
#[derive(PartialEq, Serialize)]
pub(super) struct Place {
    /// The sort key of the index `priced`.
    price_key: String,
}

/// Which items a list is of, and in which order.
#[derive(Clone, Debug, Default)]
pub struct ItemFilter {
    pub statuses: Vec<ItemStatus>,
    pub owner: Option<Uuid>,
    pub tag: Option<Tag>,
    /// In one of these categories.
    pub categories: Option<Vec<Uuid>>,
    pub is_featured: bool,
    /// What it costs now, from here to there.
    pub min: Option<Money>,
    pub max: Option<Money>,
    pub sort: ItemSort,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ItemSort {
    #[default]
    Newest,
    Oldest,
    Cheapest,
    Dearest,
}

impl ItemSort {
    fn is_by_price(self) -> bool {
        matches!(self, Self::Cheapest | Self::Dearest)
    }
}

/// A change of what is on hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockChange {
    Delta(i64),
    Set(i64),
}

impl Searchable for Item {
    const KIND: &'static str = "ITEM";

    fn key(id: Uuid) -> Key {
        keys::item(id)
    }

    fn search_texts(&self) -> Vec<String> {
        Item::search_texts(self)
    }

    fn is_found(&self) -> bool {
        self.status == ItemStatus::Active
    }
}

impl ItemFilter {
    /// The list that has the fewest others in it, and whether its places tell all that is asked for.
    fn lists(&self) -> (Vec<ItemList>, bool) {
        let wishes = [
            self.owner.is_some(),
            self.tag.is_some(),
            self.categories.is_some(),
            self.is_featured,
        ];
        let is_all = wishes.into_iter().filter(|wish| *wish).count() <= 1;
        let lists = match (self.owner, &self.tag, &self.categories, self.is_featured) {
            (Some(owner), ..) => vec![ItemList::OfOwner(owner)],
            (_, Some(tag), ..) => vec![ItemList::Tagged(tag.clone())],
            (_, _, Some(categories), _) if categories.len() <= MOST_LISTS => {
                let categories = categories.iter().copied();
                categories.map(ItemList::InCategory).collect()
            }
            (.., true) => vec![ItemList::Featured],
            _ => vec![ItemList::All],
        };
        let is_too_wide = self
            .categories
            .as_ref()
            .is_some_and(|all| all.len() > MOST_LISTS);
        (lists, is_all && !is_too_wide)
    }

    fn listing(&self, lists: &[ItemList]) -> Listing {
        let statuses = BTreeSet::from_iter(&self.statuses);
        let partitions = statuses.into_iter().flat_map(|status| {
            let of_status = lists.iter().map(|list| keys::item_list(*status, list));
            of_status.collect::<Vec<_>>()
        });
        let is_by_price = self.sort.is_by_price();
        let is_limited = self.min.is_some() || self.max.is_some();
        Listing {
            index: is_by_price.then_some("priced"),
            partition_key: "pk",
            partitions: partitions.collect(),
            sort: Sort::Text(if is_by_price { "price_key" } else { "sk" }),
            between: (is_by_price && is_limited).then(|| {
                let least = self.min.map_or(0, Money::minor);
                let most = self.max.map_or(i64::MAX, Money::minor);
                // What follows a price in its key is smaller than a tilde.
                (price_start(least), format!("{}~", price_start(most)))
            }),
            newest_first: matches!(self.sort, ItemSort::Newest | ItemSort::Dearest),
        }
    }

    fn has_price(&self, price: i64) -> bool {
        self.min.is_none_or(|min| min.minor() <= price)
            && self.max.is_none_or(|max| price <= max.minor())
    }

    /// Whether an item is asked for, as it is now.
    fn wants(&self, item: &Item) -> bool {
        let is_in =
            |categories: &Vec<Uuid>| item.category_id.is_some_and(|id| categories.contains(&id));
        self.statuses.contains(&item.status)
            && self.owner.is_none_or(|owner| owner == item.owner_id)
            && self.tag.as_ref().is_none_or(|tag| item.tags.contains(tag))
            && self.categories.as_ref().is_none_or(is_in)
            && (!self.is_featured || item.is_featured)
            && self.has_price(item.current_price().minor())
    }

    /// Whether it asks for nothing but statuses, whose items are counted.
    fn is_counted(&self) -> bool {
        let (lists, _) = self.lists();
        lists == [ItemList::All] && self.min.is_none() && self.max.is_none()
    }
}

impl Store {
    pub async fn item(&self, id: Uuid) -> Result<Option<Item>> {
        let item = self.get(Table::App, &keys::item(id)).await?;
        item.map(from_item).transpose()
    }

    /// Makes an item with its places in all lists. 422 if its category is gone.
    pub async fn create_item(&self, item: &Item, audit: &AuditEntry) -> Result<()> {
        let transaction = self
            .transaction()
            .create(Table::App, &keys::item(item.id), &StoredItem::of(item))
            .check(
                Table::App,
                &keys::profile(item.owner_id),
                Change::new().if_equal("is_active", AttributeValue::Bool(true)),
            )
            // Nothing may come after what erases all that they own.
            .on_conflict(Error::AccountInactive)
            .in_category(item.category_id);
        let places = places(item).into_iter();
        let transaction = places.fold(transaction, |transaction, (key, place)| {
            transaction.create(Table::App, &key, &place)
        });
        transaction
            .count_item(item.id, None, Some(item.status))
            .audit(audit.actor.unwrap_or(item.owner_id), audit)
            .event(Event::ItemChanged {
                item,
                tags: item.tags.clone(),
            })
            .commit()
            .await
    }

    /// Changes an item from `old`, as it was read, to `new`, with its places. 409 `stale` if it was changed meanwhile. What
    /// is on hand and how often it was looked at are not changed by this.
    pub async fn update_item(&self, old: &Item, new: &Item, audit: &AuditEntry) -> Result<()> {
        let change = Change::between(&StoredItem::of(old), &StoredItem::of(new))?;
        let change = match new.status {
            ItemStatus::Active if new.views > 0 => {
                change.set("viewed_by", text(&keys::viewed_items()))
            }
            ItemStatus::Active => change,
            ItemStatus::Inactive | ItemStatus::Draft => change.remove("viewed_by"),
        };
        let version = AttributeValue::N(old.version.to_string());
        let mut transaction = self
            .transaction()
            .update(
                Table::App,
                &keys::item(new.id),
                change.if_equal("version", version),
            )
            .on_conflict(Error::Stale);
        if old.category_id != new.category_id {
            transaction = transaction.in_category(new.category_id);
        }
        let (old_places, new_places) = (places(old), places(new));
        for key in old_places
            .keys()
            .filter(|key| !new_places.contains_key(key))
        {
            transaction = transaction.delete(Table::App, key);
        }
        for (key, place) in &new_places {
            if old_places.get(key) != Some(place) {
                let price = Change::new()
                    .set("price_key", text(&place.price_key))
                    .versioned();
                transaction = transaction.update(Table::App, key, price);
            }
        }
        let is_found_else = (old.status, old.search_texts()) != (new.status, new.search_texts());
        let tags = changed_tags(old, new);
        if is_found_else || !tags.is_empty() {
            transaction = transaction.event(Event::ItemChanged { item: new, tags });
        }
        transaction
            .count_item(new.id, Some(old.status), Some(new.status))
            .audit(audit.actor.unwrap_or(new.owner_id), audit)
            .commit()
            .await
    }

    /// Deletes an item, as it was read, with its places. 409 `stale` if it was changed meanwhile.
    pub async fn delete_item(&self, item: &Item, audit: &AuditEntry) -> Result<()> {
        let version = AttributeValue::N(item.version.to_string());
        let transaction = self
            .transaction()
            .delete_if(
                Table::App,
                &keys::item(item.id),
                Change::new().if_equal("version", version),
            )
            .on_conflict(Error::Stale);
        let places = places(item).into_keys();
        let transaction = places.fold(transaction, |transaction, key| {
            transaction.delete(Table::App, &key)
        });
        transaction
            .count_item(item.id, Some(item.status), None)
            .without_images(item)
            .audit(audit.actor.unwrap_or(item.owner_id), audit)
            .event(Event::ItemChanged {
                item,
                tags: item.tags.clone(),
            })
            .commit()
            .await
    }

    /// Changes what is on hand, whatever others change of it at the same time, and answers the item as it is then. 409
    /// `stock_reserved` if less would be left than orders have reserved.
    pub async fn change_stock(
        &self,
        item: &Item,
        change: StockChange,
        audit: &AuditEntry,
    ) -> Result<Item> {
        let key = keys::item(item.id);
        let (update, refusal) = match change {
            StockChange::Delta(delta) if delta > 0 => {
                let update = Change::new().add("stock", delta).add("available", delta);
                let message = format!("must leave at most {MOST_STOCK} on hand");
                (
                    update.if_at_most("stock", MOST_STOCK - delta),
                    Error::invalid("delta", "out_of_range", message),
                )
            }
            StockChange::Delta(delta) => {
                let update = Change::new().add("stock", delta).add("available", delta);
                (
                    update.if_at_least("available", delta.saturating_neg()),
                    Error::StockReserved,
                )
            }
            StockChange::Set(stock) => {
                let update = Change::new().set("stock", number(stock)).set_less(
                    "available",
                    stock,
                    "reserved",
                );
                (update.if_at_most("reserved", stock), Error::StockReserved)
            }
        };
        let counted = update.add("stock_version", 1).if_exists("id");
        self.transaction()
            .update(Table::App, &key, counted)
            .on_conflict(refusal)
            .audit(audit.actor.unwrap_or(item.owner_id), audit)
            .commit()
            .await?;
        let item = self.item(item.id).await?;
        item.ok_or(Error::NotFound("item of this id"))
    }

    /// A slice of the items that are asked for. One query of each list and one read of the items, as long as every place
    /// shows its item; a page may have fewer than it could, and still be followed by another. Where more is asked for than
    /// one list has, nothing can be skipped.
    pub async fn items(&self, filter: &ItemFilter, slice: &Slice) -> Result<Page<Item>> {
        let (lists, is_all) = filter.lists();
        let listing = filter.listing(&lists);
        // Each of the lists is read as far as is skipped.
        let most_skipped = match is_all {
            true => DEEPEST / u32::try_from(listing.partitions.len().max(1)).unwrap_or(DEEPEST),
            false => 0,
        };
        let (mut start, skip) = match &slice.from {
            From::Skip(skip) if *skip > most_skipped => {
                return Err(Error::SkipTooDeep(most_skipped));
            }
            From::Skip(skip) => (None, *skip as usize),
            From::Cursor(cursor) => (Some(listing.start(cursor)?), 0),
        };
        let limit = slice.limit as usize;
        let mut counters: Vec<Key> = match filter.is_counted() {
            true => keys::item_counters().collect(),
            false => Vec::new(),
        };
        let mut counts = HashMap::new();
        let (mut found, mut skipped) = (Vec::<Item>::new(), 0);
        let (mut looked, mut passed) = (0, 0);
        // One more tells whether the list goes on.
        let (mut most, mut goes_on) = (limit + 1, false);
        let next = 'pages: loop {
            let left = most.saturating_add(skip - skipped);
            let left = u32::try_from(left).unwrap_or(u32::MAX);
            let from = start.as_ref().and_then(|place| listing.after(place));
            let (mut places, is_end) = self.keys(&listing, from, left).await?;
            let last = places.last().cloned();
            match skipped < skip {
                // That costs less, because no item is read.
                true => passed += places.len(),
                false => looked += places.len(),
            }
            places.retain(|place| filter.has_price(price_of(place)));
            let to_skip = (skip - skipped).min(places.len());
            places.drain(..to_skip);
            skipped += to_skip;
            if skipped < skip && passed > DEEPEST as usize && !is_end {
                let skipped = u32::try_from(skipped).unwrap_or(u32::MAX);
                return Err(Error::SkipTooDeep(skipped));
            }
            let (items, counted) = self
                .items_at(&places, std::mem::take(&mut counters))
                .await?;
            counts.extend(counted);
            for (place, item) in places.into_iter().zip(items) {
                // What moves from one list to another meanwhile may be seen in both.
                if let Some(item) = item.filter(|item| filter.wants(item))
                    && is_place_of(&listing, &place, &item)
                    && !found.iter().any(|known| known.id == item.id)
                {
                    if found.len() == limit {
                        goes_on = true;
                        break 'pages start;
                    }
                    found.push(item);
                }
                start = Some(place);
            }
            if is_end {
                break None;
            }
            start = last;
            if looked >= MOST_LOOKED_AT {
                break start;
            }
            most = (most * 2).min(MOST_READ);
        };
        let known = u32::try_from(skipped + found.len()).unwrap_or(u32::MAX);
        let total = match (filter.is_counted(), &slice.from, &next) {
            (true, ..) => {
                let counted = |status: &ItemStatus| counts.get(status.as_str());
                let total: i64 = filter.statuses.iter().filter_map(counted).sum();
                Total::Exactly(u32::try_from(total).unwrap_or_default())
            }
            (false, From::Skip(_), None) => Total::Exactly(known),
            (false, ..) => Total::AtLeast(known.saturating_add(u32::from(goes_on))),
        };
        Ok(Page {
            items: found,
            total,
            next: next.map(|last| listing.cursor(&last)).transpose()?,
        })
    }

    /// The items at these places, in their order, and what the counters count.
    async fn items_at(
        &self,
        places: &[Attributes],
        counters: Vec<Key>,
    ) -> Result<(Vec<Option<Item>>, HashMap<String, i64>)> {
        let ids = places
            .iter()
            .map(|place| Key::of(place).as_ref().and_then(keys::listed_id));
        let ids: Vec<Uuid> = ids.map(|id| id.unwrap_or_default()).collect();
        // DynamoDB refuses to read one twice.
        let different: Vec<Uuid> = BTreeSet::from_iter(ids.iter().copied())
            .into_iter()
            .collect();
        let mut wanted: Vec<Key> = different.iter().map(|id| keys::item(*id)).collect();
        wanted.extend(counters);
        let mut items = self.batch_get_app(&wanted).await?;
        let counted = sums(items.split_off(different.len()).into_iter().flatten());
        let items: Vec<Item> = readable(items);
        let items: HashMap<Uuid, Item> = items.into_iter().map(|item| (item.id, item)).collect();
        let items = ids.iter().map(|id| items.get(id).cloned());
        Ok((items.collect(), counted))
    }

    /// Active items whose texts contain the query, at a price and in one of the categories if that is asked for.
    pub async fn search_items(
        &self,
        query: &Query,
        min: Option<Money>,
        max: Option<Money>,
        categories: Option<&[Uuid]>,
        slice: &Slice,
    ) -> Result<Page<Item>> {
        let filter = ItemFilter {
            statuses: vec![ItemStatus::Active],
            categories: categories.map(<[Uuid]>::to_vec),
            min,
            max,
            ..ItemFilter::default()
        };
        self.search_where(query, |item| filter.wants(item), slice)
            .await
    }

    /// The active items that were looked at most, up to `most`.
    pub async fn popular_items(&self, most: u32) -> Result<Vec<Item>> {
        let listing = Listing {
            index: Some("viewed"),
            partition_key: "viewed_by",
            partitions: vec![keys::viewed_items()],
            sort: Sort::Number("views"),
            between: None,
            newest_first: true,
        };
        let (entries, _) = self.keys(&listing, None, most * SPARE).await?;
        let wanted: Vec<_> = entries.iter().filter_map(Key::of).collect();
        let mut items: Vec<Item> = readable(self.batch_get_app(&wanted).await?);
        items.retain(Item::is_found);
        items.sort_by(|a, b| b.views.cmp(&a.views).then(b.id.cmp(&a.id)));
        items.truncate(most as usize);
        Ok(items)
    }

    /// Adds to how often items were looked at. Those that are not active any more are left out.
    pub async fn add_views(&self, views: &HashMap<Uuid, u64>) -> Result<()> {
        let views: Vec<_> = views.iter().collect();
        for views in views.chunks(AT_ONCE) {
            let updates = views.iter().map(|(id, views)| {
                let change = Change::new()
                    .add("views", i64::try_from(**views).unwrap_or(i64::MAX))
                    .set("viewed_by", text(&keys::viewed_items()))
                    .if_equal("status", text(ItemStatus::Active.as_str()));
                let key = keys::item(**id);
                async move {
                    self.update(&key, change, ReturnValue::None, "count views")
                        .await
                }
            });
            try_join_all(updates).await?;
        }
        Ok(())
    }

    /// The ids of up to `most` items that were made before `after`, or of the newest ones.
    pub(super) async fn items_after(&self, after: Option<Uuid>, most: u32) -> Result<Vec<Uuid>> {
        let filter = ItemFilter {
            statuses: ItemStatus::ALL.to_vec(),
            ..ItemFilter::default()
        };
        let listing = filter.listing(&[ItemList::All]);
        let from = match after {
            Some(id) => {
                let list = keys::item_list(ItemStatus::Active, &ItemList::All);
                let place = keys::listed_item(list, id);
                From::Cursor(listing.cursor_at(&id.to_string(), &place)?)
            }
            None => From::Skip(0),
        };
        let page = self
            .list_keys(&listing, &Slice { from, limit: most })
            .await?;
        Ok(page.keys.iter().filter_map(keys::listed_id).collect())
    }

    /// How many items there are.
    pub(super) async fn count_items(&self) -> Result<u64> {
        let wanted: Vec<_> = keys::item_counters().collect();
        let counts = sums(self.batch_get_app(&wanted).await?.into_iter().flatten());
        let of_status = |status: ItemStatus| counts.get(status.as_str());
        let total: i64 = ItemStatus::ALL.into_iter().filter_map(of_status).sum();
        Ok(u64::try_from(total).unwrap_or_default())
    }

    /// Deletes everything that a user owns in the catalogue. Answers whether all is gone, or `until` has come before.
    pub(super) async fn delete_items_of(&self, owner: Uuid, until: Instant) -> Result<bool> {
        let filter = ItemFilter {
            statuses: ItemStatus::ALL.to_vec(),
            owner: Some(owner),
            ..ItemFilter::default()
        };
        let mut from = From::Skip(0);
        let mut is_done = true;
        loop {
            let page = self.items(&filter, &Slice { from, limit: 100 }).await?;
            for item in &page.items {
                if Instant::now() > until {
                    return Ok(false);
                }
                let audit = AuditEntry::new("item.deleted", Some(owner), "");
                match self.delete_item(item, &audit.about(item.id)).await {
                    Ok(()) => {}
                    // Changed meanwhile: another attempt sees it as it is now.
                    Err(Error::Stale) => is_done = false,
                    Err(error) => return Err(error),
                }
            }
            match page.next {
                Some(next) => from = From::Cursor(next),
                None => return Ok(is_done),
            }
        }
    }

    /// Writes items with all that makes them be listed, counted and found. Only for made-up items in tables that hold none
    /// of them: there are no conditions.
    pub async fn load_items(&self, items: &[Item]) -> Result<()> {
        let mut writes = Vec::new();
        let mut tags = BTreeSet::new();
        let mut counts: HashMap<Key, BTreeMap<&str, i64>> = HashMap::new();
        for item in items {
            let mut stored = to_item(&keys::item(item.id), &StoredItem::of(item))?;
            if item.views > 0 && item.is_found() {
                stored.insert("viewed_by".to_owned(), text(&keys::viewed_items()));
            }
            writes.push(stored);
            for (key, place) in places(item) {
                writes.push(to_item(&key, &place)?);
            }
            if item.is_found() {
                writes.extend(search::items_of(item.id, item)?);
                tags.extend(item.tags.iter().cloned());
            }
            let counter = counts.entry(keys::item_counter(item.id)).or_default();
            *counter.entry(item.status.as_str()).or_default() += 1;
        }
        for tag in tags {
            writes.push(to_item(
                &keys::tag(&tag),
                &super::tags::StoredTag::of(&tag),
            )?);
        }
        self.load(writes).await?;
        for (counter, counts) in counts {
            let counts = counts.iter();
            let change = counts.fold(Change::new().versioned(), |change, (name, by)| {
                change.add(name, *by)
            });
            self.update(&counter, change, ReturnValue::None, "count items")
                .await?;
        }
        Ok(())
    }
}

/// The places of an item in all its lists.
pub(super) fn places(item: &Item) -> BTreeMap<Key, Place> {
    let tags = item.tags.iter().cloned().map(ItemList::Tagged);
    let category = item.category_id.map(ItemList::InCategory);
    let featured = item.is_featured.then_some(ItemList::Featured);
    let lists = [ItemList::All, ItemList::OfOwner(item.owner_id)].into_iter();
    let lists = lists.chain(tags).chain(category).chain(featured);
    let place = |list| {
        let key = keys::listed_item(keys::item_list(item.status, &list), item.id);
        let price_key = price_key(item);
        (key, Place { price_key })
    };
    lists.map(place).collect()
}

/// What keys of a price begin with: all of the same length, so that they sort by price.
fn price_start(minor: i64) -> String {
    format!("{minor:019}")
}

fn price_key(item: &Item) -> String {
    format!("{}#{}", price_start(item.current_price().minor()), item.id)
}

/// The price of a place; more than any price is if it cannot be read.
fn price_of(place: &Attributes) -> i64 {
    let key = place.get("price_key").and_then(|key| key.as_s().ok());
    let price = key.and_then(|key| key.split('#').next()?.parse().ok());
    price.unwrap_or(i64::MAX)
}

/// Whether a place is still that of the item: the index by price may be a moment behind.
fn is_place_of(listing: &Listing, place: &Attributes, item: &Item) -> bool {
    listing.index.is_none() || price_of(place) == item.current_price().minor()
}

/// The tags that may have got or lost their last item by a change.
fn changed_tags(old: &Item, new: &Item) -> Vec<Tag> {
    let of = |item: &Item| match item.is_found() {
        true => BTreeSet::from_iter(item.tags.clone()),
        false => BTreeSet::new(),
    };
    of(old).symmetric_difference(&of(new)).cloned().collect()
}

impl Transaction<'_> {
    /// Requires a category to be there, and not to be about to be deleted.
    fn in_category(self, category: Option<Uuid>) -> Self {
        let Some(category) = category else {
            return self;
        };
        self.check(
            Table::App,
            &keys::category(category),
            Change::new().if_exists("id").if_absent("closing"),
        )
        .on_conflict(unknown_category())
    }

    /// Counts an item that had one status and has another, each `None` where there is no item.
    fn count_item(self, id: Uuid, old: Option<ItemStatus>, new: Option<ItemStatus>) -> Self {
        if old == new {
            return self;
        }
        let mut change = Change::new().versioned();
        if let Some(old) = old {
            change = change.add(old.as_str(), -1);
        }
        if let Some(new) = new {
            change = change.add(new.as_str(), 1);
        }
        self.update(Table::App, &keys::item_counter(id), change)
    }
}

pub fn unknown_category() -> Error {
    let message = "must be the id or slug of a category";
    Error::invalid("category_id", "unknown_category", message)
}
