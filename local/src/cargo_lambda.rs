//! Finds cargo-lambda, the tool that runs the functions, or installs it into the data folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Result, bail};

use crate::processes::Family;
use crate::shell;

/// The version that is installed if there is none. It is the one this project is tested with.
pub const VERSION: &str = "1.9.2";

/// A cargo-lambda that runs.
#[derive(Clone, Debug)]
pub struct CargoLambda {
    pub program: PathBuf,
    pub version: String,
}

/// Looks on the PATH, then into `tools`, then installs into `tools`: the wheel, which brings a binary in seconds, or
/// else by compiling it, which takes minutes. `say` is told before either.
pub async fn find_or_install(
    family: &Family,
    tools: &Path,
    say: impl Fn(&str),
) -> Result<CargoLambda> {
    let installed = [tools.join("python/bin"), tools.join("bin")];
    let mut folders = shell::search_path();
    folders.extend_from_slice(&installed);
    if let Some(found) = first_that_runs(family, &folders).await {
        return Ok(found);
    }

    let [python, cargo] = installed;
    say(&format!("Installing cargo-lambda {VERSION} with pip"));
    let pip = install_wheel(family, tools).await;
    if let Some(found) = first_that_runs(family, &[python]).await {
        return Ok(found);
    }
    say(&format!(
        "Compiling cargo-lambda {VERSION}, which takes some minutes"
    ));
    let compiled = install_crate(family, tools).await;
    if let Some(found) = first_that_runs(family, &[cargo]).await {
        return Ok(found);
    }

    let reason = |result: Result<()>| match result {
        Ok(()) => "it was installed but does not run".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    bail!(
        "cargo-lambda is not installed and could not be, with pip ({}) or with cargo ({}). Install it by hand, as \
         https://www.cargo-lambda.info/guide/installation.html says, and try again.",
        reason(pip),
        reason(compiled)
    )
}

/// A file of the right name is not enough: it may be a shim that leads nowhere.
async fn first_that_runs(family: &Family, folders: &[PathBuf]) -> Option<CargoLambda> {
    for folder in folders {
        let program = folder.join("cargo-lambda");
        if !program.is_file() {
            continue;
        }
        let mut command = family.command(&program);
        let output = command.args(["lambda", "--version"]).output().await;
        // It prints `cargo-lambda 1.9.2 (commit, date)`.
        if let Ok(output) = output
            && output.status.success()
            && let Some(version) = String::from_utf8_lossy(&output.stdout)
                .split_whitespace()
                .nth(1)
        {
            return Some(CargoLambda {
                program,
                version: version.to_owned(),
            });
        }
    }
    None
}

async fn install_wheel(family: &Family, tools: &Path) -> Result<()> {
    let environment = tools.join("python");
    let venv = ["-m".into(), "venv".into(), environment.clone().into()];
    run(family, "python3", &venv).await?;
    let requirement = format!("cargo-lambda=={VERSION}");
    let install = ["-m", "pip", "install", "--quiet", &requirement].map(OsString::from);
    run(family, environment.join("bin/python3"), &install).await
}

async fn install_crate(family: &Family, tools: &Path) -> Result<()> {
    let mut install = ["install", "cargo-lambda", "--locked", "--quiet"]
        .map(OsString::from)
        .to_vec();
    install.extend(["--version".into(), VERSION.into()]);
    install.extend(["--root".into(), tools.into()]);
    run(family, "cargo", &install).await
}

/// Runs a program without a word, and fails with the last line of what it complained about.
async fn run(family: &Family, program: impl Into<PathBuf>, arguments: &[OsString]) -> Result<()> {
    let program = program.into();
    let mut command = family.command(&program);
    let output = command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| anyhow::anyhow!("{}: {error}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.lines().rev().find(|line| !line.trim().is_empty());
    bail!(
        "{}: {}",
        program.display(),
        last.unwrap_or("it failed without a word").trim()
    )
}
