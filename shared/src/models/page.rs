//! Pages of a list: what is asked for, and what comes back.

/// The part of a list that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    pub from: From,
    /// How many at most, 1 to [`MOST_ITEMS`].
    pub limit: u32,
}

/// Where a slice begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// After so many, at most [`DEEPEST`].
    Skip(u32),
    /// Where another page has ended: its `next`.
    Cursor(String),
}

/// The most items of a page.
pub const MOST_ITEMS: u32 = 100;

/// The most that may be skipped; beyond that a cursor costs less.
pub const DEEPEST: u32 = 10_000;

#[derive(Clone, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub total: Total,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// How many there are in the whole list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    Exactly(u32),
    /// Counting ended here.
    AtLeast(u32),
}
