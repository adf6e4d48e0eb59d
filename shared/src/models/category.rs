//! Categories, and the tree that they are: which may be there together, and what is below what.

use std::collections::HashMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use utoipa::ToSchema;
use uuid::Uuid;

use super::item::Description;
use super::search::fold;
use super::text::{Invalid, check_length, clean, parsed_text};
use super::time;
use crate::ids;

/// How deep the tree may be; a root is one level.
const MOST_LEVELS: usize = 8;

/// The most characters of a slug.
const LONGEST_SLUG: usize = 100;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Category {
    pub id: Uuid,
    pub name: CategoryName,
    pub slug: Slug,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<Uuid>,
    pub is_active: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Counts the changes; a writer names the version it has read, and loses if it is not the newest.
    pub version: u64,
}

impl Category {
    /// A new, active root.
    pub fn new(name: CategoryName, slug: Slug) -> Self {
        let now = time::now();
        Self {
            id: ids::new(),
            name,
            slug,
            description: None,
            parent_id: None,
            is_active: true,
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }
}

/// What a category is called: 1 to 100 characters; unique whatever its case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 100, example = "Phones")]
pub struct CategoryName(String);

parsed_text!(CategoryName);

impl CategoryName {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = clean(text);
        check_length(&text, 1, 100)?;
        Ok(Self(text))
    }
}

/// What a category is called in addresses: 1 to 100 of `a-z 0-9 -`, neither beginning nor ending with `-`; unique.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 100, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
#[schema(example = "phones")]
pub struct Slug(String);

parsed_text!(Slug);

impl Slug {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = clean(text);
        check_length(&text, 1, LONGEST_SLUG)?;
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !text.chars().all(allowed) {
            let message = "may hold letters a to z, digits and '-' only";
            return Err(Invalid::new("invalid_character", message));
        }
        if text.starts_with('-') || text.ends_with('-') {
            let message = "must not begin or end with '-'";
            return Err(Invalid::new("invalid_character", message));
        }
        Ok(Self(text))
    }

    /// One made of a name: its Latin letters without their marks, and its digits. `None` if it has none.
    pub fn of(name: &str) -> Option<Self> {
        let letters = name.nfd().filter(|c| !is_combining_mark(*c));
        let plain = letters.map(|c| match c.is_ascii_alphanumeric() {
            true => c.to_ascii_lowercase(),
            false => ' ',
        });
        let plain: String = plain.collect();
        let words: Vec<_> = plain.split_whitespace().collect();
        let slug: String = words.join("-").chars().take(LONGEST_SLUG).collect();
        Self::parse(slug.trim_end_matches('-')).ok()
    }
}

/// Why a category cannot be in a tree as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CategoryProblem {
    NameTaken,
    SlugTaken,
    /// Its parent is not there.
    UnknownParent,
    /// It would be below itself.
    Cycle,
    /// It, or what is below it, would be deeper than eight levels.
    TooDeep,
}

/// All categories. Whatever the table holds, every question has an answer in the end: a way up the tree stops at a
/// parent that is not there, at one that it has met before, and after eight levels.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    categories: HashMap<Uuid, Category>,
    /// In the order of their paths.
    order: Vec<Uuid>,
}

impl Tree {
    pub fn new(categories: Vec<Category>) -> Self {
        let by_id = categories
            .into_iter()
            .map(|category| (category.id, category));
        let mut tree = Self {
            categories: by_id.collect(),
            order: Vec::new(),
        };
        let ids = tree.categories.keys();
        let mut paths: Vec<_> = ids.map(|id| (tree.path(*id), *id)).collect();
        // By their parts, so that "a/b" comes before "a-b": what is below a category follows it.
        paths.sort_by(|(a, a_id), (b, b_id)| a.split('/').cmp(b.split('/')).then(a_id.cmp(b_id)));
        tree.order = paths.into_iter().map(|(_, id)| id).collect();
        tree
    }

    /// All of them, sorted by path.
    pub fn all(&self) -> impl Iterator<Item = &Category> {
        self.order.iter().filter_map(move |id| self.get(*id))
    }

    pub fn get(&self, id: Uuid) -> Option<&Category> {
        self.categories.get(&id)
    }

    /// The category of an id or a slug.
    pub fn find(&self, slug_or_id: &str) -> Option<&Category> {
        let by_id = Uuid::parse_str(slug_or_id).ok().and_then(|id| self.get(id));
        let by_slug = || {
            self.all()
                .find(|category| category.slug.as_str() == slug_or_id)
        };
        by_id.or_else(by_slug)
    }

    /// The slugs from the root to a category, as `electronics/phones`; empty if it is not there.
    pub fn path(&self, id: Uuid) -> String {
        let line = self.line(id).into_iter().rev();
        let slugs: Vec<_> = line.map(|category| category.slug.as_str()).collect();
        slugs.join("/")
    }

    /// Those directly below a category, sorted by path.
    pub fn children(&self, id: Uuid) -> impl Iterator<Item = &Category> {
        self.all()
            .filter(move |category| category.parent_id == Some(id))
    }

    /// A category and all that is below it, sorted by path.
    pub fn descendants(&self, id: Uuid) -> Vec<Uuid> {
        let below = self
            .all()
            .filter(|category| self.depth_below(category.id, id).is_some());
        below.map(|category| category.id).collect()
    }

    /// Whether a category can be in this tree: as a new one, or in the place of the one with its id.
    pub fn check(&self, candidate: &Category) -> Result<(), CategoryProblem> {
        let above = match candidate.parent_id {
            Some(parent) => self.line(parent),
            None => Vec::new(),
        };
        if candidate.parent_id.is_some() && above.is_empty() {
            return Err(CategoryProblem::UnknownParent);
        }
        if above.iter().any(|category| category.id == candidate.id) {
            return Err(CategoryProblem::Cycle);
        }
        let depths = self
            .all()
            .filter_map(|category| self.depth_below(category.id, candidate.id));
        let height = depths.max().unwrap_or_default() + 1;
        if above.len() + height > MOST_LEVELS {
            return Err(CategoryProblem::TooDeep);
        }
        let name = fold(candidate.name.as_str());
        for other in self.all().filter(|other| other.id != candidate.id) {
            if fold(other.name.as_str()) == name {
                return Err(CategoryProblem::NameTaken);
            }
            if other.slug == candidate.slug {
                return Err(CategoryProblem::SlugTaken);
            }
        }
        Ok(())
    }

    /// How many levels a category is below another: 0 if it is the same, `None` if it is not below it.
    fn depth_below(&self, id: Uuid, above: Uuid) -> Option<usize> {
        let line = self.line(id);
        line.iter().position(|category| category.id == above)
    }

    /// A category and what is above it, up to the root.
    fn line(&self, id: Uuid) -> Vec<&Category> {
        let mut line: Vec<&Category> = Vec::new();
        let mut next = self.get(id);
        while let Some(category) = next
            && line.len() < MOST_LEVELS
            && line.iter().all(|met| met.id != category.id)
        {
            line.push(category);
            next = category.parent_id.and_then(|parent| self.get(parent));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::text::tests::check;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn category(number: u128, name: &str, parent: Option<u128>) -> Category {
        let slug = Slug::of(name).unwrap();
        Category {
            id: id(number),
            parent_id: parent.map(id),
            ..Category::new(CategoryName::parse(name).unwrap(), slug)
        }
    }

    /// Each category is a number, a name and the number of its parent.
    fn tree(categories: &[(u128, &str, Option<u128>)]) -> Tree {
        let categories = categories.iter();
        let categories = categories.map(|(number, name, parent)| category(*number, name, *parent));
        Tree::new(categories.collect())
    }

    fn shop() -> Tree {
        tree(&[
            (6, "Phone cases", Some(2)),
            (5, "Books", None),
            (4, "Electronics used", None),
            (3, "Cameras", Some(1)),
            (2, "Phones", Some(1)),
            (1, "Electronics", None),
        ])
    }

    /// One below the other, the root first.
    fn chain(length: u128) -> Tree {
        let names: Vec<_> = (0..=length)
            .map(|number| format!("Level {number}"))
            .collect();
        let level = |number: u128| {
            let parent = number.checked_sub(1).filter(|parent| *parent > 0);
            (number, names[number as usize].as_str(), parent)
        };
        tree(&(1..=length).map(level).collect::<Vec<_>>())
    }

    fn ids<'a>(categories: impl Iterator<Item = &'a Category>) -> Vec<u128> {
        categories.map(|category| category.id.as_u128()).collect()
    }

    #[test]
    fn names() {
        let long = "x".repeat(101);
        check(
            CategoryName::parse,
            &[
                (" Cafe\u{301}s ", Ok("Cafés")),
                ("李", Ok("李")),
                ("", Err("too_short")),
                (&long, Err("too_long")),
                ("a\nb", Err("invalid_character")),
            ],
        );
    }

    #[test]
    fn slugs() {
        let (longest, long) = ("x".repeat(100), "x".repeat(101));
        check(
            Slug::parse,
            &[
                (" phone-cases ", Ok("phone-cases")),
                ("4x4", Ok("4x4")),
                ("a", Ok("a")),
                (&longest, Ok(longest.as_str())),
                (&long, Err("too_long")),
                ("", Err("too_short")),
                ("Phones", Err("invalid_character")),
                ("-phones", Err("invalid_character")),
                ("phones-", Err("invalid_character")),
                ("-", Err("invalid_character")),
                ("a/b", Err("invalid_character")),
                ("cafés", Err("invalid_character")),
            ],
        );
    }

    #[test]
    fn slugs_of_names() {
        let long = "Ab ".repeat(50);
        let of_long = "ab-".repeat(33) + "a";
        for (name, expected) in [
            ("Phones & Tablets", Some("phones-tablets")),
            ("  -- 4x4: Men's -- ", Some("4x4-men-s")),
            ("Crème brûlée", Some("creme-brulee")),
            ("Cre\u{300}me", Some("creme")),
            ("Tiếng Việt", Some("tieng-viet")),
            ("İstanbul", Some("istanbul")),
            ("\u{212a}elvin", Some("kelvin")),
            ("Книги 2", Some("2")),
            ("手机 USB", Some("usb")),
            ("한국어", None),
            ("Книги", None),
            ("مكتبة", None),
            ("😀❤\u{fe0f}", None),
            ("", None),
            (&long, Some(of_long.as_str())),
        ] {
            let found = Slug::of(name);
            assert_eq!(found.as_ref().map(Slug::as_str), expected, "for {name:?}");
        }
        // No '-' where the cut is.
        let cut = Slug::of(&format!("{} b", "a".repeat(99))).unwrap();
        assert_eq!(cut.as_str(), "a".repeat(99));
    }

    #[test]
    fn a_tree_answers_where_everything_is() {
        let shop = shop();
        let paths: Vec<_> = shop.all().map(|category| shop.path(category.id)).collect();
        let expected = [
            "books",
            "electronics",
            "electronics/cameras",
            "electronics/phones",
            "electronics/phones/phone-cases",
            "electronics-used",
        ];
        assert_eq!(paths, expected);
        assert_eq!(ids(shop.children(id(1))), [3, 2]);
        assert_eq!(shop.descendants(id(1)), [1, 3, 2, 6].map(id));
        assert_eq!(shop.descendants(id(6)), [6].map(id));

        // Of one that is not there.
        assert_eq!(shop.path(id(9)), "");
        assert_eq!(shop.children(id(9)).count(), 0);
        assert!(shop.descendants(id(9)).is_empty());
        assert!(shop.get(id(9)).is_none());
    }

    #[test]
    fn a_category_is_found_by_slug_or_id() {
        let shop = shop();
        let simple = id(2).simple().to_string();
        for (text, expected) in [
            ("phones", Some(2)),
            ("phone-cases", Some(6)),
            (&id(2).to_string(), Some(2)),
            (&simple, Some(2)),
            (&id(9).to_string(), None),
            ("Phones", None),
            ("electronics/phones", None),
            ("", None),
        ] {
            let found = shop.find(text).map(|category| category.id.as_u128());
            assert_eq!(found, expected, "for {text:?}");
        }
        // A slug may look like an id.
        let odd = tree(&[(1, &simple, None)]);
        assert_eq!(ids(odd.find(&simple).into_iter()), [1]);
    }

    #[test]
    fn what_may_be_in_a_tree() {
        use CategoryProblem::*;
        let shop = shop();
        for (number, name, parent, expected) in [
            (7, "Music", None, Ok(())),
            (7, "Music", Some(6), Ok(())),
            (7, "Music", Some(9), Err(UnknownParent)),
            (7, "Music", Some(7), Err(UnknownParent)),
            (7, "PHONES", None, Err(NameTaken)),
            (7, " phone\u{a0} Cases ", Some(1), Err(NameTaken)),
            (7, "Phones!", None, Err(SlugTaken)),
            // As it is, renamed, and moved.
            (2, "Phones", Some(1), Ok(())),
            (2, "PHONES", Some(1), Ok(())),
            (2, "Books", Some(1), Err(NameTaken)),
            (2, "Phones", Some(5), Ok(())),
            (2, "Phones", None, Ok(())),
            (2, "Phones", Some(2), Err(Cycle)),
            (1, "Electronics", Some(2), Err(Cycle)),
            (1, "Electronics", Some(6), Err(Cycle)),
            (1, "Electronics", Some(5), Ok(())),
        ] {
            let found = shop.check(&category(number, name, parent));
            assert_eq!(found, expected, "for {number} as {name:?} below {parent:?}");
        }
    }

    #[test]
    fn a_tree_has_at_most_eight_levels() {
        use CategoryProblem::*;
        let full = chain(8);
        assert_eq!(full.descendants(id(1)).len(), 8);
        let deepest = full.path(id(8));
        assert_eq!(deepest.split('/').count(), 8, "{deepest}");
        for (parent, expected) in [(7, Ok(())), (8, Err(TooDeep))] {
            let found = full.check(&category(9, "New", Some(parent)));
            assert_eq!(found, expected, "below {parent}");
        }
        // What is below a category moves with it.
        let mut categories: Vec<_> = chain(5).all().cloned().collect();
        categories.push(category(11, "A", None));
        categories.push(category(12, "B", Some(11)));
        categories.push(category(13, "C", Some(12)));
        categories.push(category(14, "D", Some(13)));
        let two = Tree::new(categories);
        for (parent, expected) in [(3, Ok(())), (4, Ok(())), (5, Err(TooDeep))] {
            let found = two.check(&category(11, "A", Some(parent)));
            assert_eq!(found, expected, "below {parent}");
        }
    }

    #[test]
    fn corrupt_data_end_somewhere() {
        let broken = tree(&[
            (1, "A", Some(2)),
            (2, "B", Some(1)),
            (3, "C", Some(3)),
            (4, "D", Some(99)),
            (5, "E", Some(1)),
            (6, "Same", None),
            (6, "Same", None),
        ]);
        assert_eq!(broken.all().count(), 6);
        for (number, expected) in [(1, "b/a"), (2, "a/b"), (3, "c"), (4, "d"), (5, "b/a/e")] {
            assert_eq!(broken.path(id(number)), expected);
        }
        let mut circle = broken.descendants(id(1));
        circle.sort_unstable();
        assert_eq!(circle, [1, 2, 5].map(id));
        assert_eq!(broken.descendants(id(3)), [3].map(id));
        assert_eq!(ids(broken.children(id(3))), [3]);
        // It can be mended.
        assert_eq!(broken.check(&category(1, "A", None)), Ok(()));
        assert_eq!(broken.check(&category(3, "C", None)), Ok(()));
        assert_eq!(broken.check(&category(4, "D", None)), Ok(()));

        let deep = chain(1_000);
        assert_eq!(deep.all().count(), 1_000);
        assert_eq!(deep.path(id(1_000)).split('/').count(), MOST_LEVELS);
        assert_eq!(deep.descendants(id(1)).len(), MOST_LEVELS);
        let below = category(1_001, "New", Some(1_000));
        assert_eq!(deep.check(&below), Err(CategoryProblem::TooDeep));
    }
}
