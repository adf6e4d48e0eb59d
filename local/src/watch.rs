//! Runs the functions under `cargo lambda watch`, which compiles them again when their code changes.
//!
//! It runs each instance of a function as `cargo run --manifest-path ROOT/Cargo.toml --bin NAME`. At the root of a
//! virtual workspace cargo resolves the features of all members together, and so does the build here: with any other
//! choice of packages the first request would compile everything again.

mod log;
mod output;

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::task::JoinSet;

use crate::cargo_lambda::CargoLambda;
use crate::environment::{FOREIGN, Variables};
use crate::processes::Family;
use crate::pump;
use crate::template::{Function, Template};

/// How the functions are compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    #[default]
    Debug,
    Release,
}

/// How the functions' log lines are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Logs {
    /// For eyes.
    #[default]
    Readable,
    /// As the functions write them.
    Json,
}

/// How long it may take until the port answers, and until a function that is built answers its first call.
const START: Duration = Duration::from_secs(15);
/// How long cargo-lambda may take to end the functions and itself before both are killed.
const GRACE: Duration = Duration::from_secs(4);

/// A running `cargo lambda watch`. Dropping it kills it and the functions; [`Watch::stop`] lets them end.
#[derive(Debug)]
pub struct Watch {
    url: String,
    child: Child,
    pipes: JoinSet<()>,
    family: Family,
}

/// Compiles the functions of the template as [`Watch`] will run them. Cargo's own progress goes to the terminal.
pub async fn build(
    family: &Family,
    root: &Path,
    template: &Template,
    profile: Profile,
) -> Result<()> {
    let mut command = family.command("cargo");
    command.arg("build").arg("--manifest-path");
    command.arg(root.join("Cargo.toml"));
    for function in &template.functions {
        command.args(["--bin", &function.name]);
    }
    if profile == Profile::Release {
        command.arg("--release");
    }
    let status = command
        .current_dir(root)
        .stdin(Stdio::null())
        .status()
        .await
        .context("cargo cannot be started; install Rust and try again")?;
    if !status.success() {
        bail!("the functions do not compile; cargo says above why");
    }
    Ok(())
}

impl Watch {
    /// Starts it on a port of 127.0.0.1, with these environment variables for the functions, and waits until the port
    /// answers. The processes become members of the family, which ends with this.
    pub async fn start(
        family: Family,
        cargo_lambda: &CargoLambda,
        root: &Path,
        port: u16,
        profile: Profile,
        variables: &Variables,
        logs: Logs,
    ) -> Result<Self> {
        let mut command = family.command(&cargo_lambda.program);
        command
            .args(["lambda", "watch", "--invoke-address", "127.0.0.1"])
            .args(["--invoke-port", &port.to_string()])
            // Its own CORS headers would replace those of the functions.
            .arg("--disable-cors");
        if profile == Profile::Release {
            command.arg("--release");
        }
        for name in FOREIGN {
            command.env_remove(name);
        }
        output::capture(&mut command);
        let mut child = command
            .current_dir(root)
            .envs(variables)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("{} cannot be started", cargo_lambda.program.display()))?;
        let mut watch = Self {
            url: format!("http://127.0.0.1:{port}"),
            pipes: output::pass_on(&mut child, logs),
            child,
            family,
        };
        watch.wait_for_port(port).await?;
        Ok(watch)
    }

    async fn wait_for_port(&mut self, port: u16) -> Result<()> {
        let connected = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = connected => Ok(()),
            status = self.child.wait() => bail!(
                "cargo lambda watch ended at once ({}); it says above why", status?
            ),
            () = tokio::time::sleep(START) => bail!(
                "cargo lambda watch does not answer on port {port} after {START:?}"
            ),
        }
    }

    /// Calls each function once, so that it runs when the first request comes. Answers the names of those that did
    /// not answer in time.
    pub async fn warm(&self, template: &Template) -> Vec<String> {
        let mut calls = JoinSet::new();
        for function in &template.functions {
            let (url, function) = (self.url.clone(), function.clone());
            calls.spawn(async move {
                let answered = tokio::time::timeout(START, call(&url, &function)).await;
                (function.name, matches!(answered, Ok(Ok(()))))
            });
        }
        let mut silent: Vec<String> = calls
            .join_all()
            .await
            .into_iter()
            .filter_map(|(name, answered)| (!answered).then_some(name))
            .collect();
        silent.sort();
        silent
    }

    /// Waits for cargo-lambda to end by itself, which it is not meant to.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Ends cargo-lambda and every function within some seconds.
    pub async fn stop(mut self) {
        // cargo-lambda complains of every function that ends before it.
        self.pipes.abort_all();
        self.family.end(GRACE).await;
    }
}

/// Calls a function with a request below its first route, to which the answer is 404, or with an empty batch.
async fn call(url: &str, function: &Function) -> Result<()> {
    let Some(route) = function.routes.first() else {
        let invoke = pump::function(url, &function.name, START);
        invoke(json!({ "Records": [] })).await?;
        return Ok(());
    };
    let path = match route.path.as_str() {
        "$default" => "/",
        path => &path.replace("{proxy+}", "warm-up"),
    };
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client.get(format!("{url}{path}").parse()?).await?;
    answer.into_body().collect().await?;
    Ok(())
}
