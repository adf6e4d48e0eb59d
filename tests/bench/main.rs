//! Figures, printed: `cargo test -p tests --test bench [-- PART…]`, where the parts are
//! - `functions`: what one costs, measured on its release binary: size, start, memory, and CPU per warm request. Plays
//!   the Lambda Runtime API to one process at a time, against the local AWS. After `cargo build --release -p FUNCTION`;
//! - `throughput` of the worker's release binary;
//! - `timing` of answers about accounts that exist and that do not;
//! - `images`: how long resizing takes, compared with Pillow;
//! - `users`, `items`: lists and searches among few and among many, which takes minutes. Whether they cost the same is
//!   the only thing that is judged here; times are not.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a tool for a terminal that measures or fails"
)]

mod images;
mod items;
mod sizes;
mod throughput;
mod timing;
mod users;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{Instance, Stage};

/// Starts measured for the cold figures, and requests for the warm ones.
const STARTS: usize = 20;
const REQUESTS: usize = 2_000;

const PARTS: [&str; 6] = [
    "functions",
    "throughput",
    "timing",
    "images",
    "users",
    "items",
];

#[tokio::main]
async fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release");
    let wanted: Vec<_> = std::env::args().skip(1).collect();
    let known = |part: &String| PARTS.contains(&part.as_str());
    assert!(wanted.iter().all(known), "the parts are {PARTS:?}");
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    if is_wanted("functions") {
        functions(&folder).await;
    }
    if is_wanted("throughput") {
        throughput::measure(&folder.join("worker")).await;
    }
    if is_wanted("timing") {
        timing::measure().await;
    }
    if is_wanted("images") {
        images::measure();
    }
    if is_wanted("users") {
        users::measure().await;
    }
    if is_wanted("items") {
        items::measure().await;
    }
}

async fn functions(folder: &Path) {
    println!(
        "function  size MB  first poll ms  first answer ms  warm p50 us  warm p99 us  CPU us/request  memory MB"
    );
    let stage = Stage::new().await;
    // The functions have clocks of their own: a token must not come from the stage's, which is set ahead.
    let ahead = stage.app.clock.seconds() - shared::models::time::now().as_second();
    stage.app.clock.advance(-ahead);
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

async fn measure(stage: &Stage, function: &str, binary: &Path, event: &Value) {
    let mut polls = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..STARTS {
        let started = Instant::now();
        let mut instance = Instance::start(stage, function, binary).await;
        instance.ready().await;
        polls.push(started.elapsed());
        instance.invoke(event).await;
        answers.push(started.elapsed());
    }

    let mut instance = Instance::start(stage, function, binary).await;
    instance.ready().await;
    for _ in 0..200 {
        instance.invoke(event).await;
    }
    let before = cpu(&instance);
    let mut warm = Vec::new();
    for _ in 0..REQUESTS {
        let started = Instant::now();
        let answer = instance.invoke(event).await;
        warm.push(started.elapsed());
        assert_eq!(answer["statusCode"], 200, "{answer}");
    }
    let spent = cpu(&instance) - before;
    let memory = memory(&instance);

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

fn percentile(values: &mut [Duration], percent: usize) -> Duration {
    values.sort();
    values[(values.len() - 1) * percent / 100]
}

/// User and system time of all threads so far; Linux counts it in nanoseconds here.
fn cpu(instance: &Instance) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", instance.id())).unwrap();
    let of_task = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        let nanos = text.split(' ').next().unwrap().parse().unwrap();
        Duration::from_nanos(nanos)
    };
    tasks.map(of_task).sum()
}

/// Most memory resident so far, in megabytes.
fn memory(instance: &Instance) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", instance.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kibibytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes * 1024.0 / 1e6
}
