//! `cargo dev`: the whole bundle on this machine, with one command and without an AWS account.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a tool for a terminal"
)]

mod console;
mod dev;
mod folder;
mod mail;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Runs the whole bundle on this machine, without an AWS account.
#[derive(Debug, Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev")]
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

    /// The folder for the data, the secret and the mails, instead of .local/.
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    data: Option<PathBuf>,

    /// First delete the data, the secret and the mails there.
    #[arg(long, conflicts_with = "ephemeral")]
    reset: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match dev::run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} {error:#}", console::failure());
            ExitCode::FAILURE
        }
    }
}
