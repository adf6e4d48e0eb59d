//! The commands that bring data in and out: `import`, `export` and `restore`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use local::import::{self, Counts, Names, Source, Table};
use local::{export, restore};

use crate::{Place, console};

/// How many parts of each table of an account are read at the same time.
const SEGMENTS: u32 = 8;

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// A URL `postgres://user:password@host:port/database`, a SQLite database, or folders and files of CSV (users.csv)
    /// and JSON lines (items.jsonl).
    #[arg(required = true, value_name = "SOURCE")]
    source: Vec<String>,

    /// The table of the users, if it is not called users, user, accounts or account.
    #[arg(long, value_name = "TABLE")]
    users: Option<String>,

    /// The table of the items, if it is not called items, item, products or product.
    #[arg(long, value_name = "TABLE")]
    items: Option<String>,

    /// Write nothing, and tell what would be refused.
    #[arg(long)]
    dry_run: bool,

    /// The most rows a second. A new table of an account takes the writes of about 60 users a second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,

    /// Where to write what is refused, a line of JSON for each row.
    #[arg(long, value_name = "FILE", default_value = "refused.jsonl")]
    refused: PathBuf,

    /// Tells the keys 1, 2, 3 … of one source from those of another, where several are brought together.
    #[arg(long, value_name = "NAME", default_value = "")]
    namespace: String,

    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The file to write. It must not be there, unless a checkpoint beside it says that it is not whole.
    file: PathBuf,

    /// The most read units a second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,

    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// A file that `export` has written.
    file: PathBuf,

    /// First delete what the tables hold.
    #[arg(long)]
    force: bool,

    /// The most items a second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,

    #[command(flatten)]
    place: Place,
}

pub(crate) async fn import(command: Import) -> Result<()> {
    let names = Names {
        users: command.users,
        items: command.items,
    };
    let mut source = Source::open(&command.source, &names).await?;
    let app = command.place.app().await?;
    let options = import::Options {
        namespace: command.namespace,
        rate: command.rate,
        dry_run: command.dry_run,
        refused: command.refused,
    };
    let mut totals = Vec::new();
    for table in Table::ALL {
        totals.push((table, source.count(table).await?));
        if !source.has(table) {
            console::note(&format!("the source has no {}", table.as_str()));
        }
    }
    let mut import = import::Import::new(&app, &mut source, &options)?;
    let mut refused = 0;
    for (table, total) in totals.into_iter().filter(|(_, total)| *total > 0) {
        let bar = bar(table.as_str(), Some(total))?;
        let brought = import.bring(table, |more| bar.inc(more)).await;
        bar.finish_and_clear();
        let counts = brought?;
        tell(table, &counts, &bar, options.dry_run);
        refused += counts.refused + counts.without_password;
    }
    if refused > 0 {
        console::note(&format!("why is told in {}", options.refused.display()));
    }
    Ok(())
}

fn tell(table: Table, counts: &Counts, bar: &ProgressBar, dry_run: bool) {
    let columns: Vec<_> = counts.left_out.iter().map(String::as_str).collect();
    if !columns.is_empty() {
        let (table, columns) = (table.as_str(), columns.join(", "));
        console::note(&format!(
            "columns of the {table} that are left out: {columns}"
        ));
    }
    let new = if dry_run { "would be new" } else { "new" };
    let Counts { there, refused, .. } = counts;
    let told = format!(
        "{} {new}, {there} there before, {refused} refused",
        counts.new
    );
    console::done(table.as_str(), format!("{told}{}", rate_of(bar)));
    if counts.admins > 0 {
        console::note(&format!(
            "{} of the new ones are administrators",
            counts.admins
        ));
    }
    if counts.without_password > 0 {
        let number = counts.without_password;
        let message = "have a password whose hash is of no kind that is known here; they set a new one by \
                       /auth/forgot-password";
        console::note(&format!("{number} {message}"));
    }
}

pub(crate) async fn export(command: Export) -> Result<()> {
    let app = command.place.app().await?;
    // The local DynamoDB sorts a whole table for each page of a part of it.
    let is_local = app.config.aws.dynamodb_endpoint.is_some();
    let options = export::Options {
        segments: if is_local { 1 } else { SEGMENTS },
        rate: command.rate,
    };
    let bar = bar("items", None)?;
    let exported = export::export(&app, &command.file, options, |more| bar.inc(more)).await;
    bar.finish_and_clear();
    let counts = exported.context("not all was written; the same command goes on")?;
    let file = command.file.display();
    let told = format!(
        "{} of app and {} of vault in {file}",
        counts.app, counts.vault
    );
    console::done("items", format!("{told}{}", rate_of(&bar)));
    console::note("it holds the hashes of passwords; keep it as you keep those");
    Ok(())
}

pub(crate) async fn restore(command: Restore) -> Result<()> {
    let whole = restore::inspect(&command.file)?;
    let app = command.place.app().await?;
    let options = restore::Options {
        force: command.force,
        rate: command.rate,
    };
    let bar = bar("items", Some(whole.all()))?;
    let restored = restore::restore(&app, &command.file, options, |more| bar.inc(more)).await;
    bar.finish_and_clear();
    let counts = restored?;
    let told = format!(
        "{} of app and {} of vault are back",
        counts.app, counts.vault
    );
    console::done("items", format!("{told}{}", rate_of(&bar)));
    Ok(())
}

/// A bar with its rate, of a total if that is known.
fn bar(name: &'static str, total: Option<u64>) -> Result<ProgressBar> {
    let (bar, style) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "  {spinner} {msg:13} {bar:30} {human_pos} of {human_len}, {per_sec}, {eta} left",
        ),
        None => (
            ProgressBar::no_length(),
            "  {spinner} {msg:13} {human_pos}, {per_sec}",
        ),
    };
    let bar = bar
        .with_style(ProgressStyle::with_template(style)?)
        .with_message(name);
    bar.enable_steady_tick(Duration::from_millis(100));
    Ok(bar)
}

fn rate_of(bar: &ProgressBar) -> String {
    let seconds = bar.elapsed().as_secs_f64();
    let rate = bar.position() as f64 / seconds.max(0.001);
    format!(" after {seconds:.1} s, {rate:.0} a second")
}
