//! `cargo dev migrate`: what can be asked for, and what is told of it. The work is in `local::migrate`.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use local::environment::Variables;
use local::migrate::{self, Direction, News, Options, RATE, Run};
use local::shell;
use shared::store::schema::SCHEMA_VERSION;
use shared::{App, Config};
use sysinfo::System;

use crate::{Place, console};

#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Tell which version the tables are of, and what is under way.
    Status {
        #[command(flatten)]
        place: Place,
    },

    /// Bring the tables to the newest version, or go on with what was interrupted.
    Up(Way),

    /// Take the last migration back.
    Down(Way),

    /// Tell every run there was.
    History {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Way {
    /// The version to reach.
    #[arg(long, value_name = "VERSION")]
    to: Option<u32>,

    /// Only tell what would be changed, with an example.
    #[arg(long)]
    dry_run: bool,

    /// Go through everything once more if the version is reached already: for what another build has written since.
    #[arg(long)]
    again: bool,

    /// The most units a second, of writes and of reads each. 500 for deployed tables, and no limit for local ones.
    #[arg(long, value_name = "UNITS", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,

    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(what: What) -> Result<()> {
    match what {
        What::Status { place } => status(&place.app().await?).await,
        What::Up(way) => go(Direction::Up, &way).await,
        What::Down(way) => go(Direction::Down, &way).await,
        What::History { place } => history(&place.app().await?).await,
    }
}

async fn status(app: &App) -> Result<()> {
    let status = migrate::status(app).await?;
    console::row("version", status.version);
    console::row("this code's", SCHEMA_VERSION);
    if let Some(run) = &status.open {
        let told = format!(
            "{} {}, begun {} by {}; {} items changed so far",
            run.direction.as_str(),
            run.migration,
            seconds(run.started_at),
            run.by,
            run.changed()
        );
        console::row("under way", told);
    }
    match &status.held {
        Some((by, until)) => {
            console::row("locked", format!("by {by} until {}", seconds(*until)));
        }
        None if status.open.is_some() => {
            console::note("Nobody is at it. `cargo dev migrate up` or `down` goes on.");
        }
        None => {}
    }
    for migration in &status.missing {
        console::row(
            "missing",
            format!("{} {}", migration.number, migration.name),
        );
    }
    Ok(())
}

async fn history(app: &App) -> Result<()> {
    for run in migrate::history(app).await? {
        let ended = match (run.finished_at, run.resumed) {
            (Some(at), 0) => format!("finished {}", seconds(at)),
            (Some(at), resumed) => format!("finished {}, taken up {resumed} times", seconds(at)),
            (None, _) => "not finished".to_owned(),
        };
        console::row(
            &format!("{} {}", run.direction.as_str(), run.migration),
            format!(
                "{} of {} items changed, begun {} by {}, {ended}: {}",
                run.changed(),
                run.seen(),
                seconds(run.started_at),
                run.by,
                run.name
            ),
        );
    }
    Ok(())
}

async fn go(direction: Direction, way: &Way) -> Result<()> {
    let app = way.place.app().await?;
    let is_here = app.config.aws.dynamodb_endpoint.is_some();
    let options = Options {
        to: way.to,
        again: way.again,
        rate: way.rate.or((!is_here).then_some(RATE)),
        ..Options::new(direction, &who())
    };
    if way.dry_run {
        return dry_run(&app, &options).await;
    }
    let bar = ProgressBar::new(0);
    let ended = migrate::migrate(&app, &options, |news| tell(&bar, &news), interrupted()).await;
    bar.finish_and_clear();
    let runs = ended?;
    if runs.is_empty() {
        let version = migrate::status(&app).await?.version;
        console::done(
            "schema",
            format!("version {version} already; nothing to do"),
        );
    }
    for run in &runs {
        console::done("schema", done(run));
    }
    Ok(())
}

async fn dry_run(app: &App, options: &Options) -> Result<()> {
    let bar = ProgressBar::new(0);
    let trials = migrate::dry_run(app, options, |news| tell(&bar, &news)).await;
    bar.finish_and_clear();
    for trial in trials? {
        let (number, name) = (trial.migration.number, trial.migration.name);
        let way = options.direction.as_str();
        let counts = format!("{} of {} items would change", trial.changed, trial.seen);
        console::done("dry run", format!("{way} {number} ({name}): {counts}"));
        if let Some(example) = trial.example {
            let (pk, sk) = (example.key.pk, example.key.sk);
            console::row("an example", format!("{pk} / {sk}"));
            console::row("  before", example.before);
            console::row("  after", example.after);
        }
    }
    Ok(())
}

/// Brings the data of a `cargo dev` that starts to the version of its code. It is alone with the data, so that a lock can
/// only be that of one that was killed.
pub(crate) async fn at_start(variables: &Variables) -> Result<()> {
    let app = App::new(Config::from_lookup(|name| variables.get(name).cloned())?)?;
    let version = migrate::status(&app).await?.version;
    if version > SCHEMA_VERSION {
        console::note(&format!(
            "The data is of schema version {version}, and this code knows {SCHEMA_VERSION}. It is read as it is. Migrate \
             it down with the newer code, or start with `--reset`, if something cannot be read."
        ));
        return Ok(());
    }
    let options = Options {
        alone: true,
        ..Options::new(Direction::Up, &who())
    };
    let bar = ProgressBar::new(0);
    let never = std::future::pending();
    let ended = migrate::migrate(&app, &options, |news| tell(&bar, &news), never).await;
    bar.finish_and_clear();
    let runs = ended
        .context("the data could not be migrated; `cargo dev --reset` starts with new data")?;
    // With new data there was nothing to change.
    for run in runs.iter().filter(|run| run.changed() > 0) {
        console::done("schema", done(run));
    }
    Ok(())
}

fn done(run: &Run) -> String {
    let (took, per_second) = match run.finished_at.map(|at| at.duration_since(run.started_at)) {
        Some(took) => {
            let seconds = took.as_secs_f64().max(0.001);
            (seconds, run.changed() as f64 / seconds)
        }
        None => (0.0, 0.0),
    };
    format!(
        "version {}: {} of {} items changed in {took:.1} s ({per_second:.0} a second)",
        run.leads_to(),
        run.changed(),
        run.seen()
    )
}

/// Moves the bar. How many items there are is known roughly at most: DynamoDB counts them now and then.
fn tell(bar: &ProgressBar, news: &News<'_>) {
    match news {
        News::Begun { run, about } => {
            let style = "  {spinner} {msg} {bar:30} {human_pos} of about {human_len}, {eta} left";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar.reset();
            bar.set_length(*about);
            bar.set_position(run.seen());
            bar.reset_eta();
            bar.set_message(format!("{} {}", run.direction.as_str(), run.migration));
        }
        News::Passed { seen, .. } => {
            bar.inc(*seen);
            if bar.length().is_some_and(|about| about < bar.position()) {
                bar.set_length(bar.position());
            }
        }
    }
}

/// As `ada@laptop, process 4711`.
fn who() -> String {
    let user = shell::variable("USER").unwrap_or_else(|| "somebody".to_owned());
    let host = System::host_name().unwrap_or_else(|| "somewhere".to_owned());
    format!("{user}@{host}, process {}", std::process::id())
}

fn seconds(at: Timestamp) -> String {
    format!("{at:.0}")
}

/// Ends with Ctrl-C.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
