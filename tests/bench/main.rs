//! What a function costs, measured on its release binary: size, start, memory, and CPU per warm request.
//!
//! Plays the Lambda Runtime API to one process at a time, against the local AWS. Prints; judges nothing.
//! `cargo test -p tests --test bench [-- FUNCTION…]`, after `cargo build --release -p FUNCTION`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a tool for a terminal that measures or fails"
)]

mod runtime_api;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::Stage;

use runtime_api::RuntimeApi;

/// Starts measured for the cold figures, and requests for the warm ones.
const STARTS: usize = 20;
const REQUESTS: usize = 2_000;

#[tokio::main]
async fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release");
    println!(
        "function  size MB  first poll ms  first answer ms  warm p50 us  warm p99 us  CPU us/request  memory MB"
    );
    let stage = Stage::new().await;
    let user = stage.user().await;
    for (function, method, path) in [
        ("system", "GET", "/health"),
        ("users", "GET", "/api/v1/users/me"),
        ("auth", "GET", "/.well-known/jwks.json"),
    ] {
        let binary = folder.join(function);
        if binary.exists() {
            let event = user.event(method, path);
            measure(&stage, function, &binary, &event).await;
        }
    }
}

async fn measure(stage: &Stage, function: &str, binary: &PathBuf, event: &Value) {
    let mut polls = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..STARTS {
        let mut api = RuntimeApi::listen().await;
        let started = Instant::now();
        let mut child = start(stage, function, binary, api.port());
        api.polled().await;
        polls.push(started.elapsed());
        api.invoke(event).await;
        answers.push(started.elapsed());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    let mut api = RuntimeApi::listen().await;
    let mut child = start(stage, function, binary, api.port());
    api.polled().await;
    for _ in 0..200 {
        api.invoke(event).await;
    }
    let before = cpu(&child);
    let mut warm = Vec::new();
    for _ in 0..REQUESTS {
        let started = Instant::now();
        let answer = api.invoke(event).await;
        warm.push(started.elapsed());
        assert_eq!(answer["statusCode"], 200, "{answer}");
    }
    let spent = cpu(&child) - before;
    let memory = memory(&child);
    child.kill().unwrap();
    child.wait().unwrap();

    let size = std::fs::metadata(binary).unwrap().len() as f64 / 1e6;
    let micros = |d: Duration| d.as_secs_f64() * 1e6;
    println!(
        "{function:8} {size:8.2} {:14.2} {:16.2} {:12.0} {:12.0} {:15.0} {:10.1}",
        micros(percentile(&mut polls, 50)) / 1e3,
        micros(percentile(&mut answers, 50)) / 1e3,
        micros(percentile(&mut warm, 50)),
        micros(percentile(&mut warm, 99)),
        micros(spent) / REQUESTS as f64,
        memory,
    );
}

fn start(stage: &Stage, function: &str, binary: &PathBuf, port: u16) -> Child {
    let mut command = Command::new(binary);
    command
        .env_clear()
        .envs(stage.variables())
        .env(
            "LD_LIBRARY_PATH",
            std::env::var("LD_LIBRARY_PATH").unwrap_or_default(),
        )
        .env("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{port}"))
        .env("AWS_LAMBDA_FUNCTION_NAME", function)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .stdout(Stdio::null());
    command.spawn().unwrap()
}

fn percentile(values: &mut [Duration], percent: usize) -> Duration {
    values.sort();
    values[(values.len() - 1) * percent / 100]
}

/// User and system time of all threads so far; Linux counts it in nanoseconds here.
fn cpu(child: &Child) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    let of_task = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        let nanos = text.split(' ').next().unwrap().parse().unwrap();
        Duration::from_nanos(nanos)
    };
    tasks.map(of_task).sum()
}

/// Most memory resident so far, in megabytes.
fn memory(child: &Child) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kibibytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes * 1024.0 / 1e6
}
