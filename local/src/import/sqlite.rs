//! A SQLite database.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, OpenFlags, params};

use super::columns::{Columns, Table};
use super::source::{Names, Row, quoted};

pub struct Sqlite {
    connection: Connection,
    tables: BTreeMap<Table, State>,
}

/// What is read of a table, and how far.
struct State {
    name: String,
    columns: Columns,
    select: String,
    last: i64,
}

impl Sqlite {
    pub(super) fn is_one(path: &Path) -> bool {
        let mut start = [0; 16];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
        read.is_ok() && start == *b"SQLite format 3\0"
    }

    pub(super) fn open(path: &Path, names: &Names) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags);
        let connection = connection.with_context(|| format!("open {}", path.display()))?;
        // One state of the data for all that is read.
        connection.execute_batch("BEGIN")?;
        let mut tables = BTreeMap::new();
        for table in Table::ALL {
            tables.extend(find(&connection, table, names)?.map(|state| (table, state)));
        }
        Ok(Self { connection, tables })
    }

    pub(super) fn has(&self, table: Table) -> bool {
        self.tables.contains_key(&table)
    }

    pub(super) fn left_out(&self, table: Table) -> BTreeSet<String> {
        let state = self.tables.get(&table);
        state.map_or_else(BTreeSet::new, |state| state.columns.left_out.clone())
    }

    pub(super) fn count(&self, table: Table) -> Result<u64> {
        let Some(state) = self.tables.get(&table) else {
            return Ok(0);
        };
        let sql = format!("SELECT count(*) FROM {}", quoted(&state.name));
        let count: i64 = self.connection.query_row(&sql, [], |row| row.get(0))?;
        Ok(u64::try_from(count)?)
    }

    /// In the order of the rows' numbers, which are the keys if those are whole numbers.
    pub(super) fn next(&mut self, table: Table, most: usize) -> Result<Vec<Row>> {
        let Some(state) = self.tables.get_mut(&table) else {
            return Ok(Vec::new());
        };
        let mut statement = self.connection.prepare_cached(&state.select)?;
        let mut found = statement.query(params![state.last, i64::try_from(most)?])?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            state.last = row.get(0)?;
            let mut read = Row::new(format!("row {}", state.last));
            for (at, (_, field)) in state.columns.read.iter().enumerate() {
                match row.get_ref(at + 1)?.as_str_or_null() {
                    Ok(value) => read.set(field, value.unwrap_or_default()),
                    Err(_) => read.broken = Some(format!("{field} is not UTF-8")),
                }
            }
            rows.push(read);
        }
        Ok(rows)
    }
}

fn find(connection: &Connection, table: Table, names: &Names) -> Result<Option<State>> {
    let (names, is_told) = names.of(table);
    for name in names {
        let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
        let columns = statement.query_map([name], |row| row.get(0))?;
        let all: Vec<String> = columns.collect::<Result<_, _>>()?;
        if all.is_empty() {
            continue;
        }
        let columns = Columns::choose(table, &all);
        if !columns.has("id") {
            bail!("the table {name} has no column `id`");
        }
        // SQLite writes a REAL with the digits that it has, so that 19.99 stays what it is. A UUID may be a BLOB.
        let texts = columns.read.iter().map(|(at, _)| {
            let column = quoted(&all[*at]);
            format!("iif(typeof({column}) = 'blob', hex({column}), CAST({column} AS TEXT))")
        });
        let texts: Vec<_> = texts.collect();
        let select = format!(
            "SELECT rowid, {} FROM {} WHERE rowid > ?1 ORDER BY rowid LIMIT ?2",
            texts.join(", "),
            quoted(name)
        );
        return Ok(Some(State {
            name: name.to_owned(),
            columns,
            select,
            last: i64::MIN,
        }));
    }
    match is_told {
        true => bail!("there is no table of that name for the {}", table.as_str()),
        false => Ok(None),
    }
}
