//! Files of CSV and of JSON lines. A file's name says which table it is of.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use csv::ByteRecord;
use serde_json::value::RawValue;

use super::columns::{Columns, Table};
use super::source::{Names, Row};

pub struct Files {
    tables: BTreeMap<Table, State>,
}

/// What is read of the files of a table, one after the other.
struct State {
    all: Vec<PathBuf>,
    open: Option<Reader>,
    to_come: VecDeque<PathBuf>,
    left_out: BTreeSet<String>,
}

struct Reader {
    name: String,
    kind: Kind,
    line: u64,
}

enum Kind {
    Csv(Box<csv::Reader<File>>, Columns),
    JsonLines(BufReader<File>),
}

impl Files {
    pub(super) fn open(places: &[&Path], names: &Names) -> Result<Self> {
        let mut files = Vec::new();
        for place in places {
            if !place.is_dir() {
                files.push(place.to_path_buf());
                continue;
            }
            let folder = std::fs::read_dir(place);
            let folder = folder.with_context(|| format!("read {}", place.display()))?;
            let inside = folder.map(|entry| Ok(entry?.path()));
            let mut inside: Vec<_> = inside.collect::<Result<_>>()?;
            inside.retain(|path| path.is_file() && is_known(path) && table(path, names).is_some());
            inside.sort();
            files.extend(inside);
        }
        let mut tables: BTreeMap<Table, Vec<PathBuf>> = BTreeMap::new();
        for file in files {
            if !is_known(&file) {
                let file = file.display();
                bail!("{file} is no SQLite database, and ends neither with .csv nor with .jsonl");
            }
            let Some(table) = table(&file, names) else {
                let file = file.display();
                bail!("{file} is not called as a table; name it with --users or --items");
            };
            tables.entry(table).or_default().push(file);
        }
        let state = |all: Vec<PathBuf>| State {
            to_come: all.iter().cloned().collect(),
            all,
            open: None,
            left_out: BTreeSet::new(),
        };
        let tables = tables.into_iter().map(|(table, all)| (table, state(all)));
        Ok(Self {
            tables: tables.collect(),
        })
    }

    pub(super) fn has(&self, table: Table) -> bool {
        self.tables.contains_key(&table)
    }

    pub(super) fn left_out(&self, table: Table) -> BTreeSet<String> {
        let state = self.tables.get(&table);
        state.map_or_else(BTreeSet::new, |state| state.left_out.clone())
    }

    /// Reads all of it once more.
    pub(super) fn count(&self, table: Table) -> Result<u64> {
        let mut count = 0;
        for path in self
            .tables
            .get(&table)
            .into_iter()
            .flat_map(|state| &state.all)
        {
            let mut reader = Reader::open(path, table)?;
            while reader.next(table, &mut BTreeSet::new())?.is_some() {
                count += 1;
            }
        }
        Ok(count)
    }

    /// In the order of the files, which must stay as they are until all is done.
    pub(super) fn next(&mut self, table: Table, most: usize) -> Result<Vec<Row>> {
        let Some(state) = self.tables.get_mut(&table) else {
            return Ok(Vec::new());
        };
        let mut rows = Vec::new();
        while rows.len() < most {
            let reader = match (&mut state.open, state.to_come.pop_front()) {
                (Some(reader), next) => {
                    next.into_iter()
                        .for_each(|next| state.to_come.push_front(next));
                    reader
                }
                (None, Some(path)) => state.open.insert(Reader::open(&path, table)?),
                (None, None) => break,
            };
            match reader.next(table, &mut state.left_out)? {
                Some(row) => rows.push(row),
                None => state.open = None,
            }
        }
        Ok(rows)
    }
}

fn is_known(path: &Path) -> bool {
    is_csv(path) || has_ending(path, &["jsonl", "ndjson"])
}

fn is_csv(path: &Path) -> bool {
    has_ending(path, &["csv"])
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| endings.iter().any(|e| ending.eq_ignore_ascii_case(e)))
}

fn table(path: &Path, names: &Names) -> Option<Table> {
    let name = path.file_stem()?.to_str()?.to_lowercase();
    Table::ALL.into_iter().find(|table| {
        let (names, _) = names.of(*table);
        names.iter().any(|known| known.to_lowercase() == name)
    })
}

impl Reader {
    fn open(path: &Path, table: Table) -> Result<Self> {
        let doing = || format!("read {}", path.display());
        let file = File::open(path).with_context(doing)?;
        let kind = if is_csv(path) {
            let mut reader = csv::ReaderBuilder::new();
            // A row that is too short or too long is refused, and the next ones are read.
            let mut reader = reader.flexible(true).from_reader(file);
            let header = reader.headers().with_context(doing)?.iter();
            let header: Vec<_> = header
                .map(|name| name.trim_start_matches('\u{feff}'))
                .collect();
            let columns = Columns::choose(table, &header);
            if !columns.has("id") {
                bail!("{} has no column `id` in its first line", path.display());
            }
            Kind::Csv(Box::new(reader), columns)
        } else {
            Kind::JsonLines(BufReader::new(file))
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            name: name.into_owned(),
            kind,
            line: 0,
        })
    }

    fn next(&mut self, table: Table, left_out: &mut BTreeSet<String>) -> Result<Option<Row>> {
        let doing = format!("read {}", self.name);
        match &mut self.kind {
            Kind::Csv(reader, columns) => {
                left_out.append(&mut columns.left_out);
                let mut record = ByteRecord::new();
                if !reader.read_byte_record(&mut record).context(doing)? {
                    return Ok(None);
                }
                let line = record.position().map_or(0, csv::Position::line);
                let mut row = Row::new(format!("{}, line {line}", self.name));
                if record.len() != reader.byte_headers()?.len() {
                    row.broken = Some("has more or fewer fields than the first line".to_owned());
                }
                for (at, field) in &columns.read {
                    let value = record.get(*at).unwrap_or_default();
                    match str::from_utf8(value) {
                        // As PostgreSQL writes NULL.
                        Ok("\\N") => {}
                        Ok(value) => row.set(field, value),
                        Err(_) => row.broken = Some(format!("{field} is not UTF-8")),
                    }
                }
                Ok(Some(row))
            }
            Kind::JsonLines(reader) => {
                let mut bytes = Vec::new();
                loop {
                    bytes.clear();
                    self.line += 1;
                    if reader
                        .read_until(b'\n', &mut bytes)
                        .context(doing.clone())?
                        == 0
                    {
                        return Ok(None);
                    }
                    if !bytes.trim_ascii().is_empty() {
                        break;
                    }
                }
                let mut row = Row::new(format!("{}, line {}", self.name, self.line));
                match serde_json::from_slice::<BTreeMap<String, Box<RawValue>>>(&bytes) {
                    Ok(object) => {
                        let names: Vec<_> = object.keys().collect();
                        let values: Vec<_> = object.values().collect();
                        let columns = Columns::choose(table, &names);
                        for (at, field) in columns.read {
                            row.set(field, &text_of(values[at])?);
                        }
                        left_out.extend(columns.left_out);
                    }
                    // What serde says may quote what it has read.
                    Err(_) => row.broken = Some("is not a JSON object".to_owned()),
                }
                Ok(Some(row))
            }
        }
    }
}

/// A JSON text without its quotes, nothing for null, and all else as it stands there: a number keeps its digits.
fn text_of(value: &RawValue) -> Result<String> {
    let json = value.get();
    match json.as_bytes().first() {
        Some(b'"') => Ok(serde_json::from_str(json)?),
        _ if json == "null" => Ok(String::new()),
        _ => Ok(json.to_owned()),
    }
}
