//! Brings over what people have elsewhere: the users and items of an application on a relational database.
//!
//! Nothing is remembered between two runs but what they have written. Each run reads all of the source in the same
//! order, and what is there already is left as it is; so a run that was killed is simply begun again, and its list of what was
//! refused is whole at the end.

mod check;
mod columns;
mod files;
mod postgres;
mod source;
mod sqlite;

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use check::{Checked, Checker};
use serde_json::json;
use shared::store::import::Fate;
use shared::{App, Error, FieldError};
use tokio::time::sleep;

pub use columns::Table;
pub use source::{Names, Source};

/// How many rows are read and written at once: enough for each part of the count of users to fill its transactions.
const PAGE: usize = 1_000;

/// How long it is waited after a failure that may pass, in seconds, before the same rows are tried again.
const PAUSES: [u64; 5] = [1, 2, 4, 8, 16];

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Tells the keys of one source from those of another.
    pub namespace: String,
    /// The most rows a second.
    pub rate: Option<u32>,
    /// Whether to read and check only.
    pub dry_run: bool,
    /// Where to write what was refused.
    pub refused: PathBuf,
}

/// What has become of the rows of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub new: u64,
    /// Those that were there before.
    pub there: u64,
    pub refused: u64,
    /// Those of the others whose password could not be kept.
    pub without_password: u64,
    /// Those of the new ones who are active administrators.
    pub admins: u64,
    /// Columns that were not read.
    pub left_out: BTreeSet<String>,
}

/// Brings a table over. Users come before items. Tells `progress` after each part of the rows how many it was.
pub struct Import<'a> {
    app: &'a App,
    source: &'a mut Source,
    options: &'a Options,
    checker: Checker,
    refused: Refused,
    /// Who is there, or would be. Of a dry run only: its items find no owner in the table.
    users: HashSet<uuid::Uuid>,
}

impl<'a> Import<'a> {
    pub fn new(app: &'a App, source: &'a mut Source, options: &'a Options) -> Result<Self> {
        let vault = app.config.vault_table.as_ref();
        vault.context("VAULT_TABLE is not set; passwords are kept there")?;
        let has_users = source.has(Table::Users);
        Ok(Self {
            checker: Checker::new(&options.namespace, app.clock.now(), has_users),
            refused: Refused::begin(&options.refused)?,
            users: HashSet::new(),
            app,
            source,
            options,
        })
    }

    pub async fn bring(&mut self, table: Table, mut progress: impl FnMut(u64)) -> Result<Counts> {
        let (begun, mut read) = (Instant::now(), 0);
        let mut counts = Counts::default();
        let rate = self.options.rate;
        let page = rate.map_or(PAGE, |rate| PAGE.min(rate.max(1) as usize));
        loop {
            let rows = self.source.next(table, page).await?;
            if rows.is_empty() {
                break;
            }
            match table {
                Table::Users => {
                    let checked = rows.iter().map(|row| self.checker.user(row)).collect();
                    self.bring_users(checked, &mut counts).await?;
                }
                Table::Items => {
                    let checked = rows.iter().map(|row| self.checker.item(row)).collect();
                    self.bring_items(checked, &mut counts).await?;
                }
            }
            self.refused.flush()?;
            read += rows.len() as u64;
            progress(rows.len() as u64);
            if let Some(rate) = rate {
                let due = Duration::from_secs_f64(read as f64 / f64::from(rate));
                sleep(due.saturating_sub(begun.elapsed())).await;
            }
        }
        counts.left_out = self.source.left_out(table);
        Ok(counts)
    }

    async fn bring_users(
        &mut self,
        rows: Vec<Checked<shared::store::import::Newcomer>>,
        counts: &mut Counts,
    ) -> Result<()> {
        let (keys, newcomers) = self.tell(Table::Users, rows, counts)?;
        let store = &self.app.store;
        let fates = patiently(async || match self.options.dry_run {
            true => store.fates_of_users(&newcomers).await,
            false => store.import_users(&newcomers).await,
        });
        for ((key, newcomer), fate) in keys.into_iter().zip(&newcomers).zip(fates.await?) {
            let is_lost = key.lost.iter().any(|lost| lost.field == "hashed_password");
            if self.settle(Table::Users, &key, &fate, counts)? {
                if self.options.dry_run {
                    self.users.insert(newcomer.user.id);
                }
                counts.without_password += u64::from(is_lost);
            }
            if matches!(fate, Fate::New) {
                counts.admins += u64::from(newcomer.user.is_active_admin());
            }
        }
        Ok(())
    }

    async fn bring_items(
        &mut self,
        rows: Vec<Checked<shared::models::Item>>,
        counts: &mut Counts,
    ) -> Result<()> {
        let (keys, items) = self.tell(Table::Items, rows, counts)?;
        let store = &self.app.store;
        let fates = patiently(async || match self.options.dry_run {
            true => store.fates_of_items(&items, &self.users).await,
            false => store.import_items(&items).await,
        });
        for (key, fate) in keys.into_iter().zip(fates.await?) {
            self.settle(Table::Items, &key, &fate, counts)?;
        }
        Ok(())
    }

    /// Tells what was refused by its own fields, and goes on with the others.
    fn tell<T>(
        &mut self,
        table: Table,
        rows: Vec<Checked<T>>,
        counts: &mut Counts,
    ) -> Result<(Vec<Known>, Vec<T>)> {
        let (mut keys, mut things) = (Vec::new(), Vec::new());
        for Checked { key, thing, lost } in rows {
            match thing {
                Ok(thing) => {
                    keys.push(Known { key, lost });
                    things.push(thing);
                }
                Err(wrong) => {
                    counts.refused += 1;
                    self.refused.tell(table, &key, true, &wrong)?;
                }
            }
        }
        Ok((keys, things))
    }

    /// Counts and tells what has become of a row. Answers whether it is there now.
    fn settle(
        &mut self,
        table: Table,
        row: &Known,
        fate: &Fate,
        counts: &mut Counts,
    ) -> Result<bool> {
        match fate {
            Fate::New => counts.new += 1,
            Fate::There => counts.there += 1,
            Fate::Refused(error) => {
                counts.refused += 1;
                let wrong = [refusal(error)];
                self.refused.tell(table, &row.key, true, &wrong)?;
                return Ok(false);
            }
        }
        if !row.lost.is_empty() {
            self.refused.tell(table, &row.key, false, &row.lost)?;
        }
        Ok(true)
    }
}

/// A row whose own fields are right.
struct Known {
    key: String,
    lost: Vec<FieldError>,
}

/// Why a thing was refused by what is there already.
fn refusal(error: &Error) -> FieldError {
    let field = match error {
        Error::EmailTaken => "email",
        Error::UsernameTaken => "username",
        Error::NotFound(_) => "owner_id",
        _ => "id",
    };
    FieldError {
        field: field.to_owned(),
        code: error.code().to_owned(),
        message: error.to_string(),
    }
}

/// Tries again after a failure that may pass: whatever it has done, it may do again.
async fn patiently<T>(work: impl AsyncFn() -> shared::Result<T>) -> Result<T> {
    for pause in PAUSES {
        match work().await {
            Err(Error::Unavailable(_) | Error::Busy) => sleep(Duration::from_secs(pause)).await,
            done => return Ok(done?),
        }
    }
    let message = "not all was brought over; the same command goes on where this one has ended";
    work().await.context(message)
}

/// The list of what was refused, and of what came without a part of it: a line of JSON each. It tells fields and
/// reasons, and no values.
struct Refused {
    path: PathBuf,
    file: BufWriter<File>,
    is_empty: bool,
}

impl Refused {
    fn begin(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("write {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
            is_empty: true,
        })
    }

    fn tell(&mut self, table: Table, key: &str, refused: bool, why: &[FieldError]) -> Result<()> {
        let line = json!({"table": table, "key": key, "refused": refused, "errors": why});
        self.is_empty = false;
        writeln!(self.file, "{line}").context("tell what was refused")
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush().context("tell what was refused")
    }
}

impl Drop for Refused {
    /// A list of nothing is no list.
    fn drop(&mut self) {
        if self.is_empty {
            let _ = fs::remove_file(&self.path);
        }
    }
}
