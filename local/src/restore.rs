//! Puts a copy that [`export`](crate::export) has made back into tables.
//!
//! What it has done is told by an item of its own until it is done, and every write may be done again: whoever is
//! stopped goes on with the same command.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, PutRequest, WriteRequest};
use futures_util::{StreamExt, TryStreamExt, stream};
use shared::App;
use shared::store::keys;
use tokio::time::sleep;

use crate::export::{Counts, Item, Line, MOST_READ, Table, VERSION, client, item_of_json};

/// How many lines are written before it is noted how far it has come.
const PART: usize = 2_000;

/// How many requests are under way at the same time.
const AT_ONCE: usize = 8;

/// How often what DynamoDB leaves for later is sent again.
const MOST_TRIES: u32 = 10;

#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether to delete first what the tables hold.
    pub force: bool,
    /// The most items a second.
    pub rate: Option<u32>,
}

/// What is found in the tables of a restore that has not ended.
#[derive(Debug, Default, PartialEq)]
struct State {
    /// The copy's id.
    copy: String,
    /// Whether the tables are still being emptied.
    is_emptying: bool,
    /// Up to where the file was written.
    position: u64,
}

/// How many items a whole copy has. Refuses one that was cut off, and what is none.
pub fn inspect(path: &Path) -> Result<Counts> {
    Ok(open(path)?.counts)
}

/// Writes the copy, or goes on with it. Tells `progress` how many items it was.
///
/// Tables that hold something are refused, unless `force` says to empty them. Keys that tokens are verified with stay
/// those of the place, and so do its rate limits.
pub async fn restore(
    app: &App,
    path: &Path,
    options: Options,
    mut progress: impl FnMut(u64),
) -> Result<Counts> {
    let mut copy = open(path)?;
    let client = client(app);
    let tables = Tables {
        client: &client,
        app: Table::App.name(app)?,
        vault: Table::Vault.name(app)?,
    };
    let mut state = tables.state().await?;
    match &state {
        Some(state) if state.copy == copy.id => {}
        Some(_) if !options.force => bail!(
            "another copy was being restored here and is not whole; restore that one, or begin anew with --force"
        ),
        None if !options.force && tables.hold_something().await? => bail!(
            "the tables are not empty (a new `cargo dev` has its first superuser); --force deletes what they hold first"
        ),
        _ => {
            state = Some(State {
                copy: copy.id.clone(),
                is_emptying: options.force,
                position: copy.start,
            });
        }
    }
    let mut state = state.unwrap_or_default();
    tables.note(&state).await?;
    if state.is_emptying {
        tables.empty().await?;
        state.is_emptying = false;
        tables.note(&state).await?;
    }
    copy.file.seek(SeekFrom::Start(0))?;
    let begun = Instant::now();
    let (mut position, mut written, mut count) = (0, Counts::default(), 0_u64);
    let mut line = String::new();
    let mut is_end = false;
    while !is_end {
        let mut part: HashMap<Table, Vec<Item>> = HashMap::new();
        let mut lines = 0;
        while lines < PART && !is_end {
            line.clear();
            let length = copy.file.read_line(&mut line)? as u64;
            position += length;
            match serde_json::from_str(&line).context("a line of the file cannot be read")? {
                Line::Item { table, item } => {
                    written.add(table);
                    lines += 1;
                    // Otherwise it was written before.
                    if position > state.position {
                        part.entry(table).or_default().push(item_of_json(&item)?);
                    }
                }
                Line::Export { .. } => {}
                Line::End(_) => is_end = true,
            }
        }
        if !part.is_empty() {
            count += part.values().map(Vec::len).sum::<usize>() as u64;
            tables.put(part).await?;
            state.position = position;
            tables.note(&state).await?;
        }
        progress(lines as u64);
        if let Some(rate) = options.rate {
            let due = Duration::from_secs_f64(count as f64 / f64::from(rate.max(1)));
            sleep(due.saturating_sub(begun.elapsed())).await;
        }
    }
    if written != copy.counts {
        bail!("the file has not as many items as its last line says");
    }
    tables.forget().await?;
    Ok(written)
}

struct Copy {
    id: String,
    /// Where the first item begins.
    start: u64,
    counts: Counts,
    file: BufReader<File>,
}

fn open(path: &Path) -> Result<Copy> {
    let file = File::open(path).with_context(|| format!("read {}", path.display()))?;
    let mut file = BufReader::new(file);
    let mut first = Vec::new();
    // What is none may have no lines.
    file.by_ref().take(4_096).read_until(b'\n', &mut first)?;
    let Ok(Line::Export { id, version, .. }) = serde_json::from_slice(&first) else {
        bail!(
            "{} is no copy that `cargo dev export` has made",
            path.display()
        );
    };
    if version != VERSION {
        bail!("the copy is of version {version}, and this reads version {VERSION}");
    }
    let length = file.get_ref().metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(4_096)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let last = end.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
    let Ok(Line::End(counts)) = serde_json::from_slice(last.unwrap_or_default()) else {
        bail!(
            "the copy is not whole: its last line is missing; the command that was making it goes on with it"
        );
    };
    Ok(Copy {
        id: id.to_string(),
        start: first.len() as u64,
        counts,
        file,
    })
}

struct Tables<'a> {
    client: &'a Client,
    app: String,
    vault: String,
}

impl Tables<'_> {
    fn name(&self, table: Table) -> &str {
        match table {
            Table::App => &self.app,
            Table::Vault => &self.vault,
        }
    }

    async fn state(&self) -> Result<Option<State>> {
        let request = self.client.get_item().table_name(&self.app);
        let request = request.set_key(Some(key())).consistent_read(true);
        let found = request.send().await.context("read the tables")?.item;
        let state = found.map(|item| {
            let text = |name: &str| Some(item.get(name)?.as_s().ok()?.clone());
            let position = item
                .get("position")
                .and_then(|n| n.as_n().ok()?.parse().ok());
            State {
                copy: text("copy").unwrap_or_default(),
                is_emptying: item.get("is_emptying") == Some(&AttributeValue::Bool(true)),
                position: position.unwrap_or_default(),
            }
        });
        Ok(state)
    }

    async fn note(&self, state: &State) -> Result<()> {
        let request = self.client.put_item().table_name(&self.app);
        let request = request
            .set_item(Some(key()))
            .item("copy", AttributeValue::S(state.copy.clone()))
            .item("is_emptying", AttributeValue::Bool(state.is_emptying))
            .item("position", AttributeValue::N(state.position.to_string()));
        request.send().await.context("note how far it has come")?;
        Ok(())
    }

    async fn forget(&self) -> Result<()> {
        let request = self.client.delete_item().table_name(&self.app);
        request.set_key(Some(key())).send().await.context("end")?;
        Ok(())
    }

    /// The keys of a page of what is there and does not stay, and where the next page begins.
    async fn page(&self, table: Table, start: Option<Item>) -> Result<(Vec<Item>, Option<Item>)> {
        let request = self.client.scan().table_name(self.name(table));
        let request = request
            .projection_expression("pk, sk")
            .consistent_read(true)
            .limit(MOST_READ)
            .set_exclusive_start_key(start);
        let page = request.send().await.context("look into a table")?;
        let mut items = page.items.unwrap_or_default();
        items.retain(|item| {
            let pk = item.get("pk").and_then(|pk| pk.as_s().ok());
            !pk.is_some_and(|pk| keys::stays(pk))
        });
        Ok((items, page.last_evaluated_key))
    }

    async fn hold_something(&self) -> Result<bool> {
        for table in Table::BOTH {
            let mut start = None;
            loop {
                let (items, next) = self.page(table, start).await?;
                if !items.is_empty() {
                    return Ok(true);
                }
                start = next;
                if start.is_none() {
                    break;
                }
            }
        }
        Ok(false)
    }

    async fn empty(&self) -> Result<()> {
        for table in Table::BOTH {
            let mut start = None;
            loop {
                let (items, next) = self.page(table, start).await?;
                let deletes = items.into_iter().map(|key| {
                    let delete = DeleteRequest::builder().set_key(Some(key)).build()?;
                    Ok(WriteRequest::builder().delete_request(delete).build())
                });
                self.write(table, deletes.collect::<Result<_>>()?).await?;
                start = next;
                if start.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn put(&self, items: HashMap<Table, Vec<Item>>) -> Result<()> {
        for (table, items) in items {
            // A part of a file that was read for hours may have an item twice; the later one counts.
            let mut last: HashMap<(String, String), Item> = HashMap::new();
            for item in items {
                let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
                let (pk, sk) = text("pk").zip(text("sk")).context("an item has no key")?;
                last.insert((pk, sk), item);
            }
            let puts = last.into_values().map(|item| {
                let put = PutRequest::builder().set_item(Some(item)).build()?;
                Ok(WriteRequest::builder().put_request(put).build())
            });
            self.write(table, puts.collect::<Result<_>>()?).await?;
        }
        Ok(())
    }

    async fn write(&self, table: Table, writes: Vec<WriteRequest>) -> Result<()> {
        let batches: Vec<_> = writes.chunks(25).map(<[_]>::to_vec).collect();
        let batches = batches
            .into_iter()
            .map(|batch| self.write_batch(table, batch));
        stream::iter(batches)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn write_batch(&self, table: Table, batch: Vec<WriteRequest>) -> Result<()> {
        let mut open = HashMap::from([(self.name(table).to_owned(), batch)]);
        for attempt in 0..MOST_TRIES {
            let request = self.client.batch_write_item();
            let answer = request.set_request_items(Some(open)).send().await;
            open = answer
                .context("write a batch")?
                .unprocessed_items
                .unwrap_or_default();
            if open.is_empty() {
                return Ok(());
            }
            let most = 50_u64 << attempt;
            sleep(Duration::from_millis(fastrand::u64(most / 2..=most))).await;
        }
        bail!("DynamoDB kept refusing; the same command goes on, a lower --rate helps")
    }
}

/// Where it is told what has been done.
fn key() -> Item {
    let key = keys::restore();
    Item::from([
        ("pk".to_owned(), AttributeValue::S(key.pk)),
        ("sk".to_owned(), AttributeValue::S(key.sk)),
    ])
}
