//! A copy of both tables in a file: a line of JSON for each item, in DynamoDB's typed form, in which nothing is lost.
//!
//! Here alone something scans: a copy is of everything, and no request waits for it. It is no state of one moment: what
//! is written meanwhile may be in it or not. Objects in the bucket are not in it.
//!
//! The first line tells what it is, the last one that it is whole. A checkpoint beside the file tells until then how
//! far each part of the tables was read, so that whoever is stopped goes on.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use shared::App;
use shared::store::keys;
use tokio::time::sleep;
use uuid::Uuid;

/// An item as DynamoDB has it.
pub type Item = HashMap<String, AttributeValue>;

/// The version of the format.
pub const VERSION: u32 = 1;

/// How many items a request reads at most, and how many if its rate is limited. Without a limit the local DynamoDB
/// reads all of a table for each page.
pub(crate) const MOST_READ: i32 = 2_000;
const PACED: i32 = 500;

/// Which table an item is of, by a name that is the same wherever the tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    App,
    Vault,
}

impl Table {
    pub const BOTH: [Self; 2] = [Self::App, Self::Vault];

    /// What it is called here.
    pub(crate) fn name(self, app: &App) -> Result<String> {
        match self {
            Self::App => Ok(app.config.app_table.clone()),
            Self::Vault => {
                let vault = app.config.vault_table.clone();
                vault.context("VAULT_TABLE is not set")
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// In how many parts each table is read at the same time.
    pub segments: u32,
    /// The most read units a second.
    pub rate: Option<u32>,
}

/// How many items are in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub app: u64,
    pub vault: u64,
}

impl Counts {
    pub fn all(self) -> u64 {
        self.app + self.vault
    }

    pub(crate) fn add(&mut self, table: Table) {
        match table {
            Table::App => self.app += 1,
            Table::Vault => self.vault += 1,
        }
    }
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Line {
    Export { id: Uuid, version: u32, at: String },
    Item { table: Table, item: Value },
    End(Counts),
}

/// How far the file has come.
#[derive(Serialize, Deserialize)]
struct Checkpoint {
    /// The tables, by their names here.
    tables: Vec<String>,
    segments: u32,
    /// How long the file was then; what is behind it was not finished.
    length: u64,
    counts: Counts,
    /// What is still to be read.
    open: Vec<Part>,
}

/// A part of a table, and the key of the last item that was read of it.
#[derive(Clone, Serialize, Deserialize)]
struct Part {
    table: Table,
    segment: u32,
    after: Option<Value>,
}

/// Writes the copy, or goes on with it. Tells `progress` after each page how many items it was.
///
/// Only its owner can read the file, because it holds the hashes of passwords. One that is whole is not written again.
pub async fn export(
    app: &App,
    path: &Path,
    options: Options,
    mut progress: impl FnMut(u64),
) -> Result<Counts> {
    let client = client(app);
    let beside = checkpoint_of(path);
    let mut checkpoint = match fs::read(&beside) {
        Ok(checkpoint) => read_checkpoint(app, path, &checkpoint)?,
        Err(_) => begin(app, path, options.segments.max(1))?,
    };
    let mut file = open(app, path, &mut checkpoint)?;
    progress(checkpoint.counts.all());
    let (begun, mut units) = (Instant::now(), 0.0);
    let now = app.clock.seconds();
    let segments = checkpoint.segments;
    let read = |part: Part| read_page(app, &client, part, segments, options.rate);
    let mut pages: FuturesUnordered<_> = checkpoint.open.iter().cloned().map(&read).collect();
    while let Some(page) = pages.next().await {
        let page = page?;
        let mut lines = Vec::new();
        let before = checkpoint.counts.all();
        for item in page.items {
            if is_kept(&item, now) {
                checkpoint.counts.add(page.part.table);
                let (table, item) = (page.part.table, to_json(&item)?);
                serde_json::to_writer(&mut lines, &Line::Item { table, item })?;
                lines.push(b'\n');
            }
        }
        file.write_all(&lines).context("write the file")?;
        checkpoint.length += lines.len() as u64;
        let is_of_page =
            |part: &Part| (part.table, part.segment) == (page.part.table, page.part.segment);
        checkpoint.open.retain(|part| !is_of_page(part));
        let next = page.last.map(|last| Part {
            after: Some(last),
            ..page.part
        });
        checkpoint.open.extend(next.clone());
        checkpoint.save(&beside)?;
        progress(checkpoint.counts.all() - before);
        units += page.units;
        if let Some(rate) = options.rate {
            let due = Duration::from_secs_f64(units / f64::from(rate.max(1)));
            sleep(due.saturating_sub(begun.elapsed())).await;
        }
        pages.extend(next.map(&read));
    }
    serde_json::to_writer(&mut file, &Line::End(checkpoint.counts))?;
    file.write_all(b"\n").context("write the file")?;
    file.sync_all().context("write the file")?;
    fs::remove_file(&beside).context("remove the checkpoint")?;
    Ok(checkpoint.counts)
}

/// Where the state of an export is kept until it is whole.
pub fn checkpoint_of(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".checkpoint");
    beside.into()
}

/// The checkpoint comes before the file, so that there is never a file of which it is not known whether it is whole.
fn begin(app: &App, path: &Path, segments: u32) -> Result<Checkpoint> {
    if path.exists() {
        bail!("{} is there already", path.display());
    }
    let parts = Table::BOTH.into_iter().flat_map(|table| {
        (0..segments).map(move |segment| Part {
            table,
            segment,
            after: None,
        })
    });
    let checkpoint = Checkpoint {
        tables: tables(app)?,
        segments,
        length: 0,
        counts: Counts::default(),
        open: parts.collect(),
    };
    checkpoint.save(&checkpoint_of(path))?;
    Ok(checkpoint)
}

fn read_checkpoint(app: &App, path: &Path, checkpoint: &[u8]) -> Result<Checkpoint> {
    let beside = checkpoint_of(path);
    let unusable = || {
        format!(
            "{} cannot be used; delete it and the file",
            beside.display()
        )
    };
    let checkpoint: Checkpoint = serde_json::from_slice(checkpoint).with_context(unusable)?;
    if checkpoint.tables != tables(app)? {
        bail!("{} is of a copy of other tables", beside.display());
    }
    Ok(checkpoint)
}

/// The file as it was at the checkpoint, with its first line at least.
fn open(app: &App, path: &Path, checkpoint: &mut Checkpoint) -> Result<File> {
    let mut file = OpenOptions::new();
    let file = file.write(true).create(true).truncate(false).mode(0o600);
    let file = file.open(path);
    let mut file = file.with_context(|| format!("write {}", path.display()))?;
    if file.metadata()?.len() < checkpoint.length {
        bail!("{} is shorter than its checkpoint says", path.display());
    }
    file.set_len(checkpoint.length)?;
    file.seek(SeekFrom::End(0))?;
    if checkpoint.length == 0 {
        let mut first = serde_json::to_vec(&Line::Export {
            id: Uuid::now_v7(),
            version: VERSION,
            at: app.clock.now().to_string(),
        })?;
        first.push(b'\n');
        file.write_all(&first).context("write the file")?;
        checkpoint.length = first.len() as u64;
        checkpoint.save(&checkpoint_of(path))?;
    }
    Ok(file)
}

fn tables(app: &App) -> Result<Vec<String>> {
    Table::BOTH
        .into_iter()
        .map(|table| table.name(app))
        .collect()
}

impl Checkpoint {
    /// Replaces the one before as a whole.
    fn save(&self, path: &Path) -> Result<()> {
        let new = path.with_extension("checkpoint.new");
        // Keys hold e-mail addresses.
        let mut file = OpenOptions::new();
        let file = file
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new);
        let mut file = file.context("write the checkpoint")?;
        serde_json::to_writer(&mut file, self)?;
        fs::rename(&new, path).context("write the checkpoint")
    }
}

struct Page {
    part: Part,
    items: Vec<Item>,
    last: Option<Value>,
    units: f64,
}

async fn read_page(
    app: &App,
    client: &Client,
    part: Part,
    segments: u32,
    rate: Option<u32>,
) -> Result<Page> {
    let after = part.after.as_ref().map(item_of_json).transpose()?;
    let is_one_of_many = segments > 1;
    let request = client.scan().table_name(part.table.name(app)?);
    let request = request
        .consistent_read(true)
        .set_segment(is_one_of_many.then_some(i32::try_from(part.segment)?))
        .set_total_segments(is_one_of_many.then_some(i32::try_from(segments)?))
        .set_exclusive_start_key(after)
        .limit(rate.map_or(MOST_READ, |_| PACED))
        .return_consumed_capacity(ReturnConsumedCapacity::Total);
    let answer = request.send().await.context("read a table")?;
    let units = answer
        .consumed_capacity()
        .and_then(|used| used.capacity_units());
    let last = answer
        .last_evaluated_key
        .as_ref()
        .map(to_json)
        .transpose()?;
    Ok(Page {
        units: units.unwrap_or_default(),
        items: answer.items.unwrap_or_default(),
        last,
        part,
    })
}

/// A client that is more patient than that of a request.
pub(crate) fn client(app: &App) -> Client {
    let mut config = aws_sdk_dynamodb::config::Builder::from(&app.sdk);
    config.set_endpoint_url(app.config.aws.dynamodb_endpoint.clone());
    let retries = RetryConfig::standard().with_max_attempts(10);
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(30))
        .operation_timeout(Duration::from_secs(300));
    let config = config.retry_config(retries);
    Client::from_conf(config.timeout_config(timeouts.build()).build())
}

/// Whether an item belongs into a copy: it has not expired, and is not of the place alone.
fn is_kept(item: &Item, now: i64) -> bool {
    let pk = item.get("pk").and_then(|pk| pk.as_s().ok());
    let ttl = item
        .get("ttl")
        .and_then(|ttl| ttl.as_n().ok()?.parse::<i64>().ok());
    !pk.is_some_and(|pk| keys::stays(pk)) && ttl.is_none_or(|ttl| ttl > now)
}

/// An item in DynamoDB's typed JSON: numbers as texts, bytes in Base64.
pub(crate) fn to_json(item: &Item) -> Result<Value> {
    let attributes = item
        .iter()
        .map(|(name, value)| Ok((name.clone(), json_of(value)?)));
    Ok(Value::Object(attributes.collect::<Result<Map<_, _>>>()?))
}

fn json_of(value: &AttributeValue) -> Result<Value> {
    let base64 = |bytes: &Blob| STANDARD.encode(bytes.as_ref());
    Ok(match value {
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::N(number) => json!({"N": number}),
        AttributeValue::B(bytes) => json!({"B": base64(bytes)}),
        AttributeValue::Bool(value) => json!({"BOOL": value}),
        AttributeValue::Null(_) => json!({"NULL": true}),
        AttributeValue::Ss(texts) => json!({"SS": texts}),
        AttributeValue::Ns(numbers) => json!({"NS": numbers}),
        AttributeValue::Bs(all) => {
            let all: Vec<_> = all.iter().map(base64).collect();
            json!({"BS": all})
        }
        AttributeValue::L(list) => {
            let list = list.iter().map(json_of).collect::<Result<Vec<_>>>()?;
            json!({"L": list})
        }
        AttributeValue::M(map) => json!({"M": to_json(map)?}),
        // What the SDK does not know, it cannot read either.
        _ => bail!("an attribute is of a kind that this version does not know"),
    })
}

/// The item that [`to_json`] has written.
pub(crate) fn item_of_json(json: &Value) -> Result<Item> {
    let attributes = json.as_object().context("an item is no object")?.iter();
    attributes
        .map(|(name, value)| Ok((name.clone(), value_of_json(value)?)))
        .collect()
}

fn value_of_json(json: &Value) -> Result<AttributeValue> {
    let wrong = || anyhow!("a value is not as it should be");
    let mut members = json.as_object().ok_or_else(wrong)?.iter();
    let (Some((kind, value)), None) = (members.next(), members.next()) else {
        return Err(wrong());
    };
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
    let bytes = |value: &Value| Ok::<_, anyhow::Error>(Blob::new(STANDARD.decode(text(value)?)?));
    let list = || value.as_array().ok_or_else(wrong).map(|list| list.iter());
    Ok(match kind.as_str() {
        "S" => AttributeValue::S(text(value)?),
        "N" => AttributeValue::N(text(value)?),
        "B" => AttributeValue::B(bytes(value)?),
        "BOOL" => AttributeValue::Bool(value.as_bool().ok_or_else(wrong)?),
        "NULL" => AttributeValue::Null(true),
        "SS" => AttributeValue::Ss(list()?.map(text).collect::<Result<_>>()?),
        "NS" => AttributeValue::Ns(list()?.map(text).collect::<Result<_>>()?),
        "BS" => AttributeValue::Bs(list()?.map(bytes).collect::<Result<_>>()?),
        "L" => AttributeValue::L(list()?.map(value_of_json).collect::<Result<_>>()?),
        "M" => AttributeValue::M(item_of_json(value)?),
        _ => return Err(wrong()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_on_the_way() {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let number = |text: &str| AttributeValue::N(text.to_owned());
        let large = "12345678901234567890123456789012345678";
        let small = "0.00000000000000000000000000000000000001";
        let blob = |bytes: &[u8]| Blob::new(bytes);
        let item = Item::from([
            ("pk".to_owned(), text("a\u{0}\"\n…")),
            ("empty".to_owned(), text("")),
            ("large".to_owned(), number(large)),
            ("small".to_owned(), number(small)),
            ("bytes".to_owned(), AttributeValue::B(blob(&[0, 255, 10]))),
            ("yes".to_owned(), AttributeValue::Bool(true)),
            ("none".to_owned(), AttributeValue::Null(true)),
            (
                "texts".to_owned(),
                AttributeValue::Ss(vec!["a".into(), "b".into()]),
            ),
            (
                "numbers".to_owned(),
                AttributeValue::Ns(vec![large.into(), "1".into()]),
            ),
            (
                "blobs".to_owned(),
                AttributeValue::Bs(vec![blob(b""), blob(&[128])]),
            ),
            (
                "list".to_owned(),
                AttributeValue::L(vec![
                    number("1"),
                    AttributeValue::M(Item::from([("in".to_owned(), AttributeValue::L(vec![]))])),
                ]),
            ),
        ]);
        let line = serde_json::to_string(&to_json(&item).unwrap()).unwrap();
        assert!(!line.contains('\n') && line.contains(large));
        let again = item_of_json(&serde_json::from_str(&line).unwrap()).unwrap();
        assert_eq!(again, item);
        for wrong in [json!({"S": 1}), json!({"X": "1"}), json!({}), json!("a")] {
            assert!(value_of_json(&wrong).is_err(), "{wrong}");
        }
    }
}
