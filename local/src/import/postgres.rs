//! A PostgreSQL database, over a plain connection: on this machine, in the same network, or through a tunnel.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};

use super::columns::{Columns, Table};
use super::source::{Names, Row, quoted};

pub struct Postgres {
    client: Client,
    tables: BTreeMap<Table, State>,
}

/// What is read of a table.
struct State {
    name: String,
    columns: Columns,
    cursor: &'static str,
    read: u64,
}

impl Postgres {
    /// Begins a transaction that only reads: one state of the data for all tables, however long it takes.
    pub(super) async fn open(url: &str, names: &Names) -> Result<Self> {
        let connected = tokio_postgres::connect(url, NoTls).await;
        // The URL has a password in it, so that it is not told.
        let (client, connection) = connected.context("PostgreSQL does not take the connection")?;
        // It ends with the client; what goes wrong is told by the request that it breaks.
        tokio::spawn(connection);
        let begin = "SET client_encoding = 'UTF8'; SET DateStyle = 'ISO'; SET TimeZone = 'UTC';
                     SET extra_float_digits = 1; SET idle_in_transaction_session_timeout = 0;
                     BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        client.batch_execute(begin).await?;
        let mut source = Self {
            client,
            tables: BTreeMap::new(),
        };
        for table in Table::ALL {
            let found = source.find(table, names).await?;
            source.tables.extend(found.map(|state| (table, state)));
        }
        Ok(source)
    }

    pub(super) fn has(&self, table: Table) -> bool {
        self.tables.contains_key(&table)
    }

    pub(super) fn left_out(&self, table: Table) -> BTreeSet<String> {
        let state = self.tables.get(&table);
        state.map_or_else(BTreeSet::new, |state| state.columns.left_out.clone())
    }

    pub(super) async fn count(&self, table: Table) -> Result<u64> {
        let Some(state) = self.tables.get(&table) else {
            return Ok(0);
        };
        let counted = self
            .rows(&format!("SELECT count(*) FROM {}", state.name))
            .await?;
        let count = counted.first().and_then(|row| row.get(0));
        Ok(count.context("no count")?.parse()?)
    }

    pub(super) async fn next(&mut self, table: Table, most: usize) -> Result<Vec<Row>> {
        let Some(state) = self.tables.get(&table) else {
            return Ok(Vec::new());
        };
        let fetch = format!("FETCH {most} FROM {}", state.cursor);
        let found = self.rows(&fetch).await.context("read from PostgreSQL")?;
        let Some(state) = self.tables.get_mut(&table) else {
            return Ok(Vec::new());
        };
        let rows = found.iter().map(|row| {
            state.read += 1;
            let mut read = Row::new(format!("row {}", state.read));
            for (at, (_, field)) in state.columns.read.iter().enumerate() {
                read.set(field, row.get(at).unwrap_or_default());
            }
            read
        });
        Ok(rows.collect())
    }

    /// Looks for a table, and opens a cursor on it: in the order of its keys.
    async fn find(&self, table: Table, names: &Names) -> Result<Option<State>> {
        let (names, is_told) = names.of(table);
        for name in names {
            // As PostgreSQL finds it: with a schema before a dot, or along the search path.
            let path: Vec<_> = name.split('.').map(quoted).collect();
            let path = path.join(".");
            let columns = format!(
                "SELECT a.attname, t.typname, t.typcategory
                 FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                 WHERE a.attrelid = to_regclass('{}') AND a.attnum > 0 AND NOT a.attisdropped
                 ORDER BY a.attnum",
                path.replace('\'', "''")
            );
            let found = self.rows(&columns).await?;
            if found.is_empty() {
                continue;
            }
            let text = |row: &SimpleQueryRow, at| row.get(at).unwrap_or_default().to_owned();
            let all: Vec<_> = found.iter().map(|row| text(row, 0)).collect();
            let columns = Columns::choose(table, &all);
            let Some((key, _)) = columns.read.iter().find(|(_, field)| *field == "id") else {
                bail!("the table {name} has no column `id`");
            };
            let texts = columns.read.iter().map(|(at, _)| {
                let column = quoted(&all[*at]);
                match (text(&found[*at], 1).as_str(), text(&found[*at], 2).as_str()) {
                    ("money", _) => format!("{column}::numeric::text"),
                    (_, "A") => format!("array_to_json({column})::text"),
                    _ => format!("{column}::text"),
                }
            });
            let texts: Vec<_> = texts.collect();
            let cursor = match table {
                Table::Users => "import_users",
                Table::Items => "import_items",
            };
            let open = format!(
                "DECLARE {cursor} NO SCROLL CURSOR FOR SELECT {} FROM {path} ORDER BY {}",
                texts.join(", "),
                quoted(&all[*key])
            );
            self.client
                .batch_execute(&open)
                .await
                .with_context(|| format!("read the table {name}"))?;
            return Ok(Some(State {
                name: path,
                columns,
                cursor,
                read: 0,
            }));
        }
        match is_told {
            true => bail!("there is no table of that name for the {}", table.as_str()),
            false => Ok(None),
        }
    }

    async fn rows(&self, sql: &str) -> Result<Vec<SimpleQueryRow>> {
        let messages = self.client.simple_query(sql).await?.into_iter();
        let rows = messages.filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(rows.collect())
    }
}
