//! An item of the catalogue: what it is, what it costs, and how many of it there are.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::{self, Money, Percent, Price};
use super::search::fold;
use super::text::{Invalid, check_length, clean, parsed_text};
use super::time;
use crate::ids;

/// The most that can be on hand.
pub const MOST_STOCK: i64 = 1_000_000_000;

/// The most tags of an item.
const MOST_TAGS: usize = 20;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    pub id: Uuid,
    pub owner_id: Uuid,
    pub title: Title,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    #[serde(with = "money::minor")]
    pub price: Price,
    /// What it costs for now. Below the price; see [`Item::check`].
    #[serde(
        default,
        with = "money::minor_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub discount_price: Option<Price>,
    #[serde(with = "money::hundredths")]
    pub tax: Percent,
    pub status: ItemStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category_id: Option<Uuid>,
    /// As [`Tags`] makes them: sorted, each once, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// What is on hand, and what orders hold of it.
    pub stock: i64,
    pub reserved: i64,
    /// Counts the changes of what is on hand and held, which leave `version` alone.
    pub stock_version: u64,
    /// How often it was looked at. No change that a version counts.
    pub views: u64,
    /// The files that show it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Uuid>,
    /// Whether an administrator recommends it.
    pub is_featured: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Counts the changes; a writer names the version it has read, and loses if it is not the newest.
    pub version: u64,
}

impl Item {
    /// A new, active item without tax, of which there is none yet.
    pub fn new(owner: Uuid, title: Title, price: Price) -> Self {
        let now = time::now();
        Self {
            id: ids::new(),
            owner_id: owner,
            title,
            description: None,
            price,
            discount_price: None,
            tax: Percent::default(),
            status: ItemStatus::Active,
            category_id: None,
            tags: Vec::new(),
            stock: 0,
            reserved: 0,
            stock_version: 1,
            views: 0,
            images: Vec::new(),
            is_featured: false,
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }

    /// The rules over several fields; each field that breaks one, and why.
    pub fn check(&self) -> Result<(), Vec<(&'static str, Invalid)>> {
        match self.discount_price {
            Some(discount) if discount >= self.price => {
                let wrong = Invalid::new("too_large", "must be below the price");
                Err(vec![("discount_price", wrong)])
            }
            _ => Ok(()),
        }
    }

    /// What it costs now, without tax. Lists are sorted and limited by it.
    pub fn current_price(&self) -> Money {
        self.discount_price.unwrap_or(self.price).money()
    }

    /// What it costs now, with tax.
    pub fn total_price(&self) -> Money {
        money::total(self.current_price(), self.tax)
    }

    /// What can still be ordered.
    pub fn available(&self) -> i64 {
        self.stock.saturating_sub(self.reserved)
    }

    /// What it is found by, folded.
    pub fn search_texts(&self) -> Vec<String> {
        let title = Some(self.title.as_str());
        let description = self.description.as_ref().map(Description::as_str);
        title.into_iter().chain(description).map(fold).collect()
    }

    /// The entity tag, without quotes. A look at an item does not change it, so `views` may be older than is shown.
    pub fn entity_tag(&self) -> String {
        format!("{}-{}", self.version, self.stock_version)
    }
}

/// Who sees an item: everybody if it is active, else its owner and administrators.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ItemStatus {
    #[default]
    Active,
    /// Not offered any more.
    Inactive,
    /// Not offered yet.
    Draft,
}

impl ItemStatus {
    pub const ALL: [Self; 3] = [Self::Active, Self::Inactive, Self::Draft];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Draft => "draft",
        }
    }
}

/// What an item is called: 1 to 200 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 200, example = "Wool blanket")]
pub struct Title(String);

parsed_text!(Title);

impl Title {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = clean(text);
        check_length(&text, 1, 200)?;
        Ok(Self(text))
    }
}

/// A text about an item or a category: 1 to 1,000 characters, which may be several lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 1000, example = "Undyed wool from Wales.")]
pub struct Description(String);

parsed_text!(Description);

impl Description {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = clean(text);
        // Of the control characters, those that lay out a text are no harm in it.
        check_length(&text.replace(['\n', '\r', '\t'], " "), 1, 1_000)?;
        Ok(Self(text))
    }
}

/// A word that items have in common: 1 to 50 characters, kept in lower case. It is a part of keys and of paths, and
/// holds none of the characters that mean something there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 50, example = "camping")]
pub struct Tag(String);

parsed_text!(Tag);

impl Tag {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        // Lower-casing first, because it can undo the normal form.
        let text = clean(&text.to_lowercase());
        check_length(&text, 1, 50)?;
        if text.contains(['#', '/', '?']) {
            let message = "must not contain '#', '/' or '?'";
            return Err(Invalid::new("invalid_character", message));
        }
        Ok(Self(text))
    }
}

/// The tags of an item: sorted, each once, at most 20.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "Vec<Tag>")]
#[schema(value_type = Vec<Tag>, max_items = 20)]
pub struct Tags(Vec<Tag>);

impl TryFrom<Vec<Tag>> for Tags {
    type Error = Invalid;

    fn try_from(mut tags: Vec<Tag>) -> Result<Self, Invalid> {
        tags.sort();
        tags.dedup();
        if tags.len() > MOST_TAGS {
            let message = format!("must be at most {MOST_TAGS}");
            return Err(Invalid::new("too_many", message));
        }
        Ok(Self(tags))
    }
}

impl From<Tags> for Vec<Tag> {
    fn from(tags: Tags) -> Self {
        tags.0
    }
}

/// How many of an item: a whole number from 0 to 1,000,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, ToSchema)]
#[serde(try_from = "i64")]
#[schema(value_type = i64, minimum = 0, maximum = 1000000000, example = 12)]
pub struct Quantity(i64);

impl Quantity {
    pub fn parse(number: i64) -> Result<Self, Invalid> {
        match (0..=MOST_STOCK).contains(&number) {
            true => Ok(Self(number)),
            false => {
                let message = format!("must be from 0 to {MOST_STOCK}");
                Err(Invalid::new("out_of_range", message))
            }
        }
    }

    pub const fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Quantity {
    type Error = Invalid;

    fn try_from(number: i64) -> Result<Self, Invalid> {
        Self::parse(number)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::models::text::tests::check;

    fn price(number: f64) -> Price {
        Price::parse_major(number).unwrap()
    }

    fn blanket() -> Item {
        Item::new(
            Uuid::nil(),
            Title::parse("Wool  Blanket").unwrap(),
            price(49.9),
        )
    }

    #[test]
    fn titles() {
        let (longest, long) = ("ä".repeat(200), "ä".repeat(201));
        check(
            Title::parse,
            &[
                ("  Wool blanket ", Ok("Wool blanket")),
                ("Cafe\u{301}", Ok("Café")),
                ("毛布 🧶", Ok("毛布 🧶")),
                (&longest, Ok(longest.as_str())),
                (&long, Err("too_long")),
                (" \u{3000} ", Err("too_short")),
                ("a\nb", Err("invalid_character")),
                ("a\u{0}b", Err("invalid_character")),
            ],
        );
    }

    #[test]
    fn descriptions_may_have_lines() {
        let (longest, long) = ("x".repeat(1_000), "x".repeat(1_001));
        check(
            Description::parse,
            &[
                (" One.\r\n\tTwo.\n", Ok("One.\r\n\tTwo.")),
                (&longest, Ok(longest.as_str())),
                (&long, Err("too_long")),
                (" \n ", Err("too_short")),
                ("a\u{7}b", Err("invalid_character")),
            ],
        );
    }

    #[test]
    fn tags_are_the_same_whatever_their_case() {
        let (longest, long) = ("x".repeat(50), "x".repeat(51));
        check(
            Tag::parse,
            &[
                (" Outdoor Gear ", Ok("outdoor gear")),
                ("J\u{30c}", Ok("\u{1f0}")),
                ("ÉTÉ", Ok("été")),
                ("C++", Ok("c++")),
                ("毛布", Ok("毛布")),
                (&longest, Ok(longest.as_str())),
                (&long, Err("too_long")),
                ("  ", Err("too_short")),
                ("a\tb", Err("invalid_character")),
                ("c#", Err("invalid_character")),
                ("a/b", Err("invalid_character")),
                ("why?", Err("invalid_character")),
            ],
        );
    }

    #[test]
    fn tags_are_sorted_and_each_there_once() {
        let tags = |json| serde_json::from_value(json).map(|tags: Tags| tags.0);
        let sent = ["wool", " Camping", "WOOL", "été", "e\u{301}te\u{301}"];
        let expected = ["camping", "wool", "été"].map(|tag| Tag::parse(tag).unwrap());
        assert_eq!(tags(json!(sent)).unwrap(), expected);
        assert!(tags(json!([])).unwrap().is_empty());

        let named = |count: usize| (0..count).map(|n| format!("tag {n}")).collect::<Vec<_>>();
        assert_eq!(tags(json!(named(20))).unwrap().len(), 20);
        let twice = [named(20), named(20)].concat();
        assert_eq!(tags(json!(twice)).unwrap().len(), 20);
        let error = tags(json!(named(21))).unwrap_err().to_string();
        assert!(error.starts_with("[too_many]"), "{error}");
    }

    #[test]
    fn quantities() {
        for (json, expected) in [
            ("0", Ok(0)),
            ("1000000000", Ok(MOST_STOCK)),
            ("1000000001", Err("[out_of_range]")),
            ("-1", Err("[out_of_range]")),
            ("9223372036854775807", Err("[out_of_range]")),
            ("1.5", Err("invalid type: floating point")),
            ("1e3", Err("invalid type: floating point")),
            ("\"1\"", Err("invalid type: string")),
            ("null", Err("invalid type: null")),
        ] {
            let found = serde_json::from_str::<Quantity>(json).map(Quantity::get);
            match (found, expected) {
                (Err(error), Err(expected)) => {
                    let error = error.to_string();
                    assert!(error.starts_with(expected), "for {json}: {error}");
                }
                (found, expected) => assert_eq!(found.ok(), expected.ok(), "for {json}"),
            }
        }
    }

    #[test]
    fn statuses_are_called_the_same_everywhere() {
        for status in ItemStatus::ALL {
            assert_eq!(json!(status), json!(status.as_str()));
        }
    }

    #[test]
    fn a_discount_is_below_the_price() {
        for (discount, expected) in [
            (None, vec![]),
            (Some(0.01), vec![]),
            (Some(49.89), vec![]),
            (Some(49.9), vec!["discount_price"]),
            (Some(50.0), vec!["discount_price"]),
        ] {
            let item = Item {
                discount_price: discount.map(price),
                ..blanket()
            };
            let wrong = item.check().err().unwrap_or_default();
            let wrong: Vec<_> = wrong.into_iter().map(|(field, _)| field).collect();
            assert_eq!(wrong, expected, "for {discount:?}");
        }
    }

    #[test]
    fn the_discount_is_what_it_costs() {
        let mut item = blanket();
        item.tax = Percent::parse(19.0).unwrap();
        assert_eq!(item.current_price().minor(), 4_990);
        assert_eq!(item.total_price().minor(), 5_938);
        item.discount_price = Some(price(19.99));
        assert_eq!(item.current_price().minor(), 1_999);
        assert_eq!(item.total_price().minor(), 2_379);
    }

    #[test]
    fn an_item_is_found_by_title_and_description() {
        let mut item = blanket();
        assert_eq!(item.search_texts(), ["wool blanket"]);
        item.description = Some(Description::parse("Undyed\nWOOL").unwrap());
        // By no other field.
        item.tags = vec![Tag::parse("camping").unwrap()];
        assert_eq!(item.search_texts(), ["wool blanket", "undyed wool"]);
    }

    #[test]
    fn what_is_stored_is_in_minor_units_and_comes_back() {
        let mut item = blanket();
        let stored = serde_json::to_value(&item).unwrap();
        for absent in ["description", "discount_price", "category_id", "tags"] {
            assert_eq!(stored.get(absent), None, "{absent}");
        }
        let again: Item = serde_json::from_value(stored).unwrap();
        assert_eq!(again, item);

        item.description = Some(Description::parse("Undyed\nwool").unwrap());
        item.discount_price = Some(price(19.99));
        item.tax = Percent::parse(7.25).unwrap();
        item.status = ItemStatus::Draft;
        item.category_id = Some(Uuid::max());
        item.tags = vec![Tag::parse("camping").unwrap()];
        item.stock = MOST_STOCK;
        let stored = serde_json::to_value(&item).unwrap();
        for (name, expected) in [("price", 4990), ("discount_price", 1999), ("tax", 725)] {
            assert_eq!(stored[name], expected, "{name}");
        }
        let again: Item = serde_json::from_value(stored).unwrap();
        assert_eq!(again, item);
    }
}
