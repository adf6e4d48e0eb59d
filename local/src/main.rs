//! `cargo dev`: the whole bundle on this machine, with one command and without an AWS account.
//!
//! Its subcommands work on the data of one that runs, and some of them on that of a deployment.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a tool for a terminal"
)]

mod console;
mod dev;
mod folder;
mod mail;
mod migrating;
mod moving;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use local::aws::Endpoints;
use local::template::Template;
use local::{environment, load, provision, shell};
use shared::store::tasks::NewTask;
use shared::tasks::{Searched, Task};
use shared::{App, Config, ids};
use tokio::net::TcpStream;

/// Runs the whole bundle on this machine, without an AWS account.
#[derive(Debug, Parser)]
#[command(
    name = "cargo dev",
    bin_name = "cargo dev",
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(flatten)]
    options: Options,

    #[command(subcommand)]
    command: Option<Command>,
}

/// Runs the whole bundle on this machine, without an AWS account.
#[derive(Debug, Args)]
struct Options {
    /// The port of the API. DynamoDB, SQS and S3 take the next three if those are free.
    #[arg(long, default_value_t = 9000, value_parser = clap::value_parser!(u16).range(1..=65_532))]
    port: u16,

    /// Keep everything in memory, and leave the data in .local/ alone.
    #[arg(long)]
    ephemeral: bool,

    /// Compile the functions as they are deployed: slow to build, fast to run.
    #[arg(long)]
    release: bool,

    /// Start the local AWS alone, and say how to run the functions by hand.
    #[arg(long, conflicts_with = "release")]
    no_watch: bool,

    /// Show the functions' log lines as they write them, which is what CloudWatch gets.
    #[arg(long, conflicts_with = "no_watch")]
    json_logs: bool,

    /// The folder for the data, the secret and the mails, instead of .local/.
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    data: Option<PathBuf>,

    /// First delete the data, the secret and the mails there.
    #[arg(long, conflicts_with = "ephemeral")]
    reset: bool,

    /// Open a small shop, so that there is something to look at. What it has already is left alone.
    #[arg(long)]
    seed_demo: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fill the empty tables of a running `cargo dev` with people or items that are made up.
    Load {
        /// How many people.
        #[arg(
            long,
            value_name = "N",
            required_unless_present = "items",
            value_parser = clap::value_parser!(u32).range(1..=i64::from(load::MOST)),
        )]
        users: Option<u32>,

        /// How many items, of one owner and in a few categories.
        #[arg(
            long,
            value_name = "N",
            value_parser = clap::value_parser!(u32).range(1..=i64::from(load::MOST)),
        )]
        items: Option<u32>,

        #[command(flatten)]
        place: Place,
    },

    /// Bring what the search finds in line with the users and items as they are.
    Reindex {
        /// Only write the task, and leave the work to the worker.
        #[arg(long)]
        background: bool,

        #[command(flatten)]
        place: Place,
    },

    /// Bring what is stored to another version of its schema.
    #[command(subcommand)]
    Migrate(migrating::What),

    /// Bring over the users and items of another application's database, as if they had been made here.
    Import(moving::Import),

    /// Copy everything in both tables into a file.
    Export(moving::Export),

    /// Put a copy back into empty tables.
    Restore(moving::Restore),
}

/// Whose data it is.
#[derive(Debug, Args)]
struct Place {
    /// The port of a running `cargo dev`. Without it the variables of the functions (APP_TABLE, AWS_REGION and so on)
    /// name the place if they are set; otherwise it is 9000.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=65_532))]
    port: Option<u16>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { options, command } = Arguments::parse();
    let ended = match command {
        None => dev::run(options).await,
        Some(Command::Load {
            users,
            items,
            place,
        }) => make_up(&place, users, items).await,
        Some(Command::Reindex { background, place }) => reindex(&place, background).await,
        Some(Command::Migrate(what)) => migrating::run(what).await,
        Some(Command::Import(import)) => moving::import(import).await,
        Some(Command::Export(export)) => moving::export(export).await,
        Some(Command::Restore(restore)) => moving::restore(restore).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} {error:#}", console::failure());
            ExitCode::FAILURE
        }
    }
}

/// Makes up so many of each, if any.
async fn make_up(place: &Place, users: Option<u32>, items: Option<u32>) -> Result<()> {
    let app = place.app().await?;
    if !app.config.is_local() || app.config.aws.dynamodb_endpoint.is_none() {
        bail!("things are made up for the local AWS only, and APP_TABLE names a table elsewhere");
    }
    if let Some(number) = users {
        let bar = bar("users", number.into())?;
        let loaded = load::users(&app, number, |more| bar.inc(more)).await;
        end_load("users", &bar, loaded)?;
    }
    if let Some(number) = items {
        let bar = bar("items", number.into())?;
        let loaded = load::items(&app, number, |more| bar.inc(more)).await;
        end_load("items", &bar, loaded)?;
    }
    Ok(())
}

/// Tells what the bar has counted, unless it has failed.
fn end_load(name: &str, bar: &ProgressBar, loaded: Result<()>) -> Result<()> {
    let (number, seconds) = (bar.position(), bar.elapsed().as_secs_f32());
    bar.finish_and_clear();
    loaded?;
    console::done(name, format!("{number} made up after {seconds:.1} s"));
    Ok(())
}

/// How many things a page of the walk has, and how many of them are worked on at a time.
const PAGE: u32 = 100;
const AT_ONCE: usize = 8;

async fn reindex(place: &Place, background: bool) -> Result<()> {
    let app = place.app().await?;
    for (what, name) in [(Searched::Users, "users"), (Searched::Items, "items")] {
        if background {
            let task = NewTask::new(Task::Reindex { what, after: None });
            let written = app.store.add_task(&task).await;
            written.context("the task could not be written")?;
            console::done(name, format!("left to the worker as task {}", task.id));
            continue;
        }
        let bar = bar(name, app.store.count_all(what).await?)?;
        let reindexed = reindex_all(&app, what, &bar).await;
        bar.finish_and_clear();
        let message = "not everything was reindexed; try again in a minute";
        let number = reindexed.context(message)?;
        console::done(name, format!("{number} reindexed"));
    }
    Ok(())
}

/// Answers how many there were.
async fn reindex_all(app: &App, what: Searched, bar: &ProgressBar) -> Result<u64> {
    let task = ids::new();
    let mut after = None;
    let mut count = 0;
    loop {
        let page = app.store.ids_after(what, after, PAGE).await?;
        let Some(last) = page.last().copied() else {
            return Ok(count);
        };
        count += page.len() as u64;
        let things = stream::iter(page).map(|id| app.store.reindex(what, id, task));
        let mut things = things.buffer_unordered(AT_ONCE);
        while let Some(reindexed) = things.next().await {
            reindexed?;
            bar.inc(1);
        }
        after = Some(last);
    }
}

fn bar(name: &'static str, total: u64) -> Result<ProgressBar> {
    let style = "  {spinner} {msg:13} {bar:30} {human_pos} of {human_len}, {eta} left";
    let style = ProgressStyle::with_template(style)?;
    let bar = ProgressBar::new(total).with_style(style).with_message(name);
    bar.enable_steady_tick(Duration::from_millis(100));
    Ok(bar)
}

impl Place {
    async fn app(&self) -> Result<App> {
        let config = match self.port {
            None if shell::variable("APP_TABLE").is_some() => Config::from_env()?,
            port => running(port.unwrap_or(9000)).await?,
        };
        let (table, region) = (&config.app_table, &config.aws.region);
        let at = config.aws.dynamodb_endpoint.as_ref().unwrap_or(region);
        console::done("DynamoDB", format!("{table} at {at}"));
        App::new(config)
    }
}

/// What the functions of a `cargo dev` are told that runs on this port.
async fn running(port: u16) -> Result<Config> {
    let dynamodb = port + 1;
    if TcpStream::connect(("127.0.0.1", dynamodb)).await.is_err() {
        bail!(
            "nothing listens on port {dynamodb}, where `cargo dev --port {port}` has its DynamoDB; start that in \
             another terminal and try again, or name the port of another one with `--port`"
        );
    }
    let url = |offset| format!("http://127.0.0.1:{}", port + offset);
    let endpoints = Endpoints {
        dynamodb: url(1),
        sqs: url(2),
        s3: url(3),
    };
    let template = Template::read(&folder::root()?.join("template.yaml"))?;
    // They are there; this tells their names, and whether they are those that this code needs.
    let mut references = provision::create_tables(&endpoints.dynamodb, &template, "").await?;
    references.extend(provision::create_queues(&endpoints.sqs, &template, "").await?);
    let mut variables = environment::from_template(&template, &references, |_| None)?;
    variables.extend(environment::aws(&endpoints));
    variables.insert("ENVIRONMENT".to_owned(), "local".to_owned());
    Ok(Config::from_lookup(|name| variables.get(name).cloned())?)
}
