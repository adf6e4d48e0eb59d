//! Where rows come from. All values are texts, as the source writes them; what they mean is decided in one place.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Result, bail};

use super::columns::Table;
use super::files::Files;
use super::postgres::Postgres;
use super::sqlite::Sqlite;

/// A row of a source.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Row {
    /// By the names of our fields. What is NULL, or empty, is not there.
    pub(super) values: HashMap<&'static str, String>,
    /// Where it is, for a row without a key.
    pub(super) place: String,
    /// Why nothing of it can be read.
    pub(super) broken: Option<String>,
}

impl Row {
    pub(super) fn new(place: String) -> Self {
        Self {
            place,
            ..Self::default()
        }
    }

    /// Keeps a value if there is one.
    pub(super) fn set(&mut self, field: &'static str, value: &str) {
        let value = value.trim();
        if !value.is_empty() {
            self.values.insert(field, value.to_owned());
        }
    }
}

/// What the tables are called, where it is not what they are usually called.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub users: Option<String>,
    pub items: Option<String>,
}

impl Names {
    /// The names to look for, and whether one of them was asked for.
    pub(super) fn of(&self, table: Table) -> (Vec<&str>, bool) {
        let told = match table {
            Table::Users => &self.users,
            Table::Items => &self.items,
        };
        match told {
            Some(told) => (vec![told], true),
            None => (table.names().to_vec(), false),
        }
    }
}

/// An open source: it has one state for all tables, as far as that is possible.
pub enum Source {
    Postgres(Postgres),
    Sqlite(Sqlite),
    Files(Files),
}

impl Source {
    /// Opens a PostgreSQL database by its URL, a SQLite database by its file, or folders and files of CSV and JSON
    /// lines.
    pub async fn open(places: &[String], names: &Names) -> Result<Self> {
        match places {
            [url] if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(Self::Postgres(Postgres::open(url, names).await?))
            }
            [file] if Sqlite::is_one(Path::new(file)) => {
                Ok(Self::Sqlite(Sqlite::open(Path::new(file), names)?))
            }
            [] => bail!("name a source"),
            _ => {
                let places: Vec<_> = places.iter().map(Path::new).collect();
                Ok(Self::Files(Files::open(&places, names)?))
            }
        }
    }

    pub fn has(&self, table: Table) -> bool {
        match self {
            Self::Postgres(source) => source.has(table),
            Self::Sqlite(source) => source.has(table),
            Self::Files(source) => source.has(table),
        }
    }

    /// How many rows a table has.
    pub async fn count(&mut self, table: Table) -> Result<u64> {
        match self {
            Self::Postgres(source) => source.count(table).await,
            Self::Sqlite(source) => source.count(table),
            Self::Files(source) => source.count(table),
        }
    }

    /// The next rows of a table, in the same order each time; none after the last.
    pub(super) async fn next(&mut self, table: Table, most: usize) -> Result<Vec<Row>> {
        match self {
            Self::Postgres(source) => source.next(table, most).await,
            Self::Sqlite(source) => source.next(table, most),
            Self::Files(source) => source.next(table, most),
        }
    }

    /// The columns of a table, seen so far, that are not read.
    pub(super) fn left_out(&self, table: Table) -> BTreeSet<String> {
        match self {
            Self::Postgres(source) => source.left_out(table),
            Self::Sqlite(source) => source.left_out(table),
            Self::Files(source) => source.left_out(table),
        }
    }
}

/// A name in SQL, whatever it holds.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
