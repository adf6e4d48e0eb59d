//! Migrations of what is stored: `cargo dev migrate`, on the local data or on a real account.
//!
//! One after the other goes through a table, in segments side by side, and rewrites the items that it concerns while
//! functions read and write them. A lock lets one process do that; its run notes how far each segment has come. So it may
//! be killed at any moment, and the next one goes on.
//!
//! This is the one place that scans, and no function links it.

mod lock;
mod step;
mod tables;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow, bail};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::store::keys::{self, Key};
use shared::store::schema::{self, MIGRATIONS, Migration, SCHEMA_VERSION};
use shared::store::{Change, Item};
use shared::{App, ids};
use uuid::Uuid;

pub use lock::{LEASE, RENEWED_EVERY};
use lock::{Lock, StoredLock};
pub use step::PAGE;
use step::{Pace, Step};
use tables::{Tables, Updated, Write, number, stored};

/// How many segments of a table are read side by side. Noted with each run, so that it may change.
const SEGMENTS: u32 = 4;

/// What a deployed table may be asked for unless it is told, in units a second: an eighth of what a new on-demand table
/// takes.
pub const RATE: u32 = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Up,
    Down,
}

impl Direction {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// How to migrate.
#[derive(Clone, Debug)]
pub struct Options {
    pub direction: Direction,
    /// The version to reach. Unless it is said, the newest one, or going down the one before.
    pub to: Option<u32>,
    /// Goes through everything once more if the version is reached already: for what a build of another version has
    /// written since.
    pub again: bool,
    /// The most units a second, of writes and of reads each.
    pub rate: Option<u32>,
    /// Who does it: for the history, and for whoever finds the lock.
    pub by: String,
    /// Takes the lock from whoever holds it. Only for who knows that they are dead.
    pub alone: bool,
}

impl Options {
    pub fn new(direction: Direction, by: &str) -> Self {
        Self {
            direction,
            to: None,
            again: false,
            rate: None,
            by: by.to_owned(),
            alone: false,
        }
    }
}

/// What is told on the way.
pub enum News<'a> {
    /// A run begins, or goes on where it was. `about` is how many items its table has, as far as DynamoDB knows.
    Begun { run: &'a Run, about: u64 },
    /// So many more items were passed, and so many of them rewritten.
    Passed { seen: u64, changed: u64 },
}

/// One way of one migration through its table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub id: Uuid,
    pub migration: u32,
    pub name: String,
    pub direction: Direction,
    pub by: String,
    pub started_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// How often it was taken up again.
    pub resumed: u32,
    /// Who is at it: the owner of a lock.
    holder: Uuid,
    /// By their numbers.
    segments: BTreeMap<String, Segment>,
}

/// How far a segment has come. What a process did before it died and could note it is not counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Segment {
    /// The key of the last item that was passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<(String, String)>,
    is_done: bool,
    seen: u64,
    changed: u64,
}

impl Run {
    fn new(migration: &Migration, options: &Options, holder: Uuid, now: Timestamp) -> Self {
        let segments = (0..SEGMENTS).map(|number| (number.to_string(), Segment::default()));
        Self {
            id: ids::new(),
            migration: migration.number,
            name: migration.name.to_owned(),
            direction: options.direction,
            by: options.by.clone(),
            started_at: now,
            finished_at: None,
            resumed: 0,
            holder,
            segments: segments.collect(),
        }
    }

    fn key(&self) -> Key {
        keys::migration_run(self.migration, self.id)
    }

    /// How many items it has passed.
    pub fn seen(&self) -> u64 {
        self.segments.values().map(|segment| segment.seen).sum()
    }

    /// How many of them it has rewritten.
    pub fn changed(&self) -> u64 {
        self.segments.values().map(|segment| segment.changed).sum()
    }

    /// The version that it leads to.
    pub fn leads_to(&self) -> u32 {
        match self.direction {
            Direction::Up => self.migration,
            Direction::Down => self.migration - 1,
        }
    }
}

/// Which version the tables are of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Version {
    /// The one that was reached last.
    version: u32,
    /// The run that is under way, or was when its process died.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Open {
    migration: u32,
    run: Uuid,
}

impl Version {
    /// The lowest and the highest version that the items may be of.
    fn bounds(&self) -> (u32, u32) {
        match self.open {
            Some(Open { migration, .. }) => {
                (self.version.min(migration - 1), self.version.max(migration))
            }
            None => (self.version, self.version),
        }
    }

    /// The migrations to make, in their order.
    fn plan(&self, options: &Options) -> Result<Vec<&'static Migration>> {
        let (low, high) = self.bounds();
        if high > SCHEMA_VERSION {
            bail!(
                "the tables are of version {high}, and this code knows {SCHEMA_VERSION}: use the code of that version"
            );
        }
        let to = options.to.unwrap_or(match options.direction {
            Direction::Up => SCHEMA_VERSION,
            Direction::Down if options.again => low,
            // What is under way counts as the last one.
            Direction::Down => (high - 1).max(1),
        });
        if !(1..=SCHEMA_VERSION).contains(&to) {
            bail!("there is no version {to}: this code knows 1 to {SCHEMA_VERSION}");
        }
        let mut numbers: Vec<u32> = match options.direction {
            Direction::Up => (low + 1..=to).collect(),
            Direction::Down => (to + 1..=high).rev().collect(),
        };
        if numbers.is_empty() && options.again && low == to {
            // The one that has led here.
            numbers.extend(match options.direction {
                Direction::Up => Some(to).filter(|to| *to > 1),
                Direction::Down => Some(to + 1).filter(|next| *next <= SCHEMA_VERSION),
            });
        }
        let known = |number| {
            let migration = schema::migration_to(number);
            migration.with_context(|| format!("there is no migration {number}"))
        };
        numbers.into_iter().map(known).collect()
    }
}

/// What `migrate status` tells.
#[derive(Debug)]
pub struct Status {
    pub version: u32,
    /// The run that is under way, or was when its process died.
    pub open: Option<Run>,
    /// Who holds the lock, and until when.
    pub held: Option<(String, Timestamp)>,
    /// What `up` would make.
    pub missing: Vec<&'static Migration>,
}

/// The version of the tables, and what is under way.
pub async fn status(app: &App) -> Result<Status> {
    let tables = Tables::of(app);
    let version = tables.version().await?;
    let open = match version.open {
        Some(open) => {
            let key = keys::migration_run(open.migration, open.run);
            tables.read(&key).await?
        }
        None => None,
    };
    let lock: Option<StoredLock> = tables.read(&keys::schema_lock()).await?;
    let lock = lock.filter(|lock| lock.is_held(app.clock.seconds()));
    let (low, _) = version.bounds();
    let is_missing = |migration: &&Migration| migration.number > low;
    Ok(Status {
        version: version.version,
        open,
        held: lock.map(|lock| (lock.by.clone(), lock.until())),
        missing: MIGRATIONS.iter().filter(is_missing).collect(),
    })
}

/// Every run that there was, the first one first.
pub async fn history(app: &App) -> Result<Vec<Run>> {
    let mut runs: Vec<Run> = Tables::of(app).runs().await?;
    runs.sort_by_key(|run| run.id);
    Ok(runs)
}

/// What a migration would do to one item: its key, and what changes of it. Of a secret item the names alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    pub key: Key,
    pub before: String,
    pub after: String,
}

/// What a migration would do.
#[derive(Debug)]
pub struct Trial {
    pub migration: &'static Migration,
    pub seen: u64,
    pub changed: u64,
    pub example: Option<Example>,
}

/// Looks for what would be changed, and changes nothing. Needs no lock. Where the version is reached it looks for what was
/// left behind.
pub async fn dry_run(app: &App, options: &Options, tell: impl Fn(News<'_>)) -> Result<Vec<Trial>> {
    let tables = Tables::of(app);
    let version = tables.version().await?;
    let mut plan = version.plan(options)?;
    if plan.is_empty() {
        let again = true;
        let options = options.clone();
        plan = version.plan(&Options { again, ..options })?;
    }
    let pace = Pace::new(options.rate);
    let mut trials = Vec::new();
    for migration in plan {
        let step = Step::new(&tables, migration, options.direction, &pace);
        let run = Run::new(migration, options, Uuid::nil(), app.clock.now());
        let about = tables.count(migration.kind.table).await?;
        tell(News::Begun { run: &run, about });
        let example = Mutex::new(None);
        let segments = run.segments.iter().map(async |(number, begun)| {
            let mut at = begun.clone();
            while !at.is_done {
                let (items, mut next) = step.page(number, run.segments.len(), &at).await?;
                for item in items {
                    if let Some(new) = step.rewritten(&item) {
                        next.changed += 1;
                        keep_first(&example, || step.example(&item, &new))?;
                    }
                }
                tell(next.since(&at));
                at = next;
            }
            Ok::<_, anyhow::Error>((at.seen, at.changed))
        });
        let passed = try_join_all(segments).await?;
        trials.push(Trial {
            migration,
            seen: passed.iter().map(|(seen, _)| seen).sum(),
            changed: passed.iter().map(|(_, changed)| changed).sum(),
            example: example.into_inner().unwrap_or_default(),
        });
    }
    Ok(trials)
}

fn keep_first(
    place: &Mutex<Option<Example>>,
    make: impl FnOnce() -> Result<Example>,
) -> Result<()> {
    if let Ok(mut place) = place.lock()
        && place.is_none()
    {
        *place = Some(make()?);
    }
    Ok(())
}

/// Migrates until the version is reached, something fails, or `stop` ends. Answers the runs that were finished; none if
/// there was nothing to do.
///
/// Fails if another process is at it, and tells who. After any failure the next call goes on.
pub async fn migrate(
    app: &App,
    options: &Options,
    tell: impl Fn(News<'_>),
    stop: impl Future<Output = ()>,
) -> Result<Vec<Run>> {
    let tables = Tables::of(app);
    if tables.version().await?.plan(options)?.is_empty() {
        return Ok(Vec::new());
    }
    let lock = Lock::take(&tables, &options.by, options.alone).await?;
    let ended = tokio::select! {
        ended = run_all(&tables, &lock, options, &tell) => ended,
        lost = lock.keep() => Err(lost),
        () = stop => Err(anyhow!("it was stopped")),
    };
    // Without it the lock ends by itself.
    let _ = lock.release().await;
    ended.context("the migration is not finished; start it again, and it goes on")
}

async fn run_all(
    tables: &Tables<'_>,
    lock: &Lock<'_>,
    options: &Options,
    tell: &impl Fn(News<'_>),
) -> Result<Vec<Run>> {
    let pace = Pace::new(options.rate);
    let mut runs = Vec::new();
    for migration in tables.version().await?.plan(options)? {
        let version = tables.version().await?;
        let run = match tables
            .open_run(&version, migration, options.direction)
            .await?
        {
            Some(run) => resume(tables, lock, run).await?,
            None => begin(tables, lock, &version, migration, options).await?,
        };
        let step = Step::new(tables, migration, options.direction, &pace);
        let about = tables.count(migration.kind.table).await?;
        tell(News::Begun { run: &run, about });
        let run = pass(&step, lock, run, tell).await?;
        runs.push(finish(tables, lock, run).await?);
    }
    Ok(runs)
}

/// Goes through all segments, from where they are.
async fn pass(step: &Step<'_>, lock: &Lock<'_>, run: Run, tell: &impl Fn(News<'_>)) -> Result<Run> {
    let (of, begun) = (run.segments.len(), run.segments.clone());
    let run = tokio::sync::Mutex::new(run);
    let segments = begun.into_iter().map(async |(number, mut at)| {
        while !at.is_done {
            lock.check()?;
            let (items, mut next) = step.page(&number, of, &at).await?;
            next.changed += step.rewrite_all(items, lock).await?;
            // One after the other, so that none writes over what another has noted.
            let mut run = run.lock().await;
            run.segments.insert(number.clone(), next.clone());
            note(step.tables, &run).await?;
            drop(run);
            tell(next.since(&at));
            at = next;
        }
        Ok::<_, anyhow::Error>(())
    });
    try_join_all(segments).await?;
    Ok(run.into_inner())
}

/// Writes down a new run, and that it is the one under way.
async fn begin(
    tables: &Tables<'_>,
    lock: &Lock<'_>,
    version: &Version,
    migration: &Migration,
    options: &Options,
) -> Result<Run> {
    let run = Run::new(migration, options, lock.owner, tables.app.clock.now());
    let open = Open {
        migration: run.migration,
        run: run.id,
    };
    let opened = Change::new()
        .set("version", number(version.version.into()))
        .set("open", stored(&open)?)
        .versioned();
    tables
        .commit(vec![
            lock.held(),
            Write::Create(run.key(), stored_item(&run)?),
            Write::Update(keys::schema_version(), opened),
        ])
        .await
        .context("the run could not be begun")?;
    Ok(run)
}

/// Takes a run up that a dead process has left.
async fn resume(tables: &Tables<'_>, lock: &Lock<'_>, old: Run) -> Result<Run> {
    let mut run = old;
    run.holder = lock.owner;
    run.resumed += 1;
    let taken = Change::new()
        .set("holder", stored(&run.holder)?)
        .set("resumed", number(run.resumed.into()));
    tables
        .commit(vec![lock.held(), Write::Update(run.key(), taken)])
        .await
        .context("the run could not be taken up")?;
    Ok(run)
}

/// Notes how far a run has come, unless another has taken it over.
async fn note(tables: &Tables<'_>, run: &Run) -> Result<()> {
    let noted = Change::new()
        .set("segments", stored(&run.segments)?)
        .if_equal("holder", stored(&run.holder)?);
    match tables.update(&run.key(), noted).await? {
        Updated::Done(_) => Ok(()),
        Updated::Refused(_) => bail!("another process has taken the run over"),
    }
}

/// Notes the end of a run, and the version that is reached by it.
async fn finish(tables: &Tables<'_>, lock: &Lock<'_>, mut run: Run) -> Result<Run> {
    let now = tables.app.clock.now();
    run.finished_at = Some(now);
    let finished = Change::new().set("finished_at", stored(&now)?);
    let reached = Change::new()
        .set("version", number(run.leads_to().into()))
        .remove("open");
    tables
        .commit(vec![
            lock.held(),
            Write::Update(run.key(), finished),
            Write::Update(keys::schema_version(), reached),
        ])
        .await
        .context("the end of the run could not be noted")?;
    Ok(run)
}

fn stored_item(model: &impl Serialize) -> Result<Item> {
    serde_dynamo::to_item(model).context("write an item")
}

impl Segment {
    /// What was passed since it was `before`.
    fn since(&self, before: &Self) -> News<'static> {
        News::Passed {
            seen: self.seen - before.seen,
            changed: self.changed - before.changed,
        }
    }
}
