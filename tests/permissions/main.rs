//! What is allowed and never used: `cargo test -p tests --test permissions`, after `cargo test` has told all stories.
//!
//! The other way round, that all that is used is allowed, each story sees to itself: see `harness/permissions.rs`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a tool for a terminal that judges or fails"
)]

use std::collections::BTreeSet;
use std::process::ExitCode;

use tests::{permissions, template};

/// What no story can use in process, and who does.
const ELSEWHERE: [(&str, &str, &str); 9] = [
    (
        "worker",
        "sqs:ReceiveMessage",
        "the trigger of the function",
    ),
    ("worker", "sqs:DeleteMessage", "the trigger of the function"),
    (
        "worker",
        "sqs:GetQueueAttributes",
        "the trigger of the function",
    ),
    ("worker", "ses:SendEmail", "mails through SES"),
    ("worker", "ses:SendRawEmail", "mails through SES"),
    (
        "auth",
        "secretsmanager:GetSecretValue",
        "the start of the function",
    ),
    (
        "files",
        "s3:GetObject files/*",
        "whoever follows a link that the function has signed",
    ),
    (
        "files",
        "s3:PutObject pending/*",
        "whoever posts a form that the function has signed",
    ),
    (
        "worker",
        "s3:GetObject files/*",
        "whoever follows a link that the function has signed",
    ),
];

fn main() -> ExitCode {
    let used = used();
    let (mut granted, mut unused) = (0, Vec::new());
    for function in &template().functions {
        for permission in &function.permissions {
            for action in &permission.actions {
                for resource in &permission.resources {
                    granted += 1;
                    let line = format!("{} {} {action} {resource}", function.name, permission.id);
                    let is_elsewhere = ELSEWHERE.iter().any(|(name, act, _)| {
                        let (act, key) = act.split_once(' ').unwrap_or((act, ""));
                        *name == function.name && act == action && resource.ends_with(key)
                    });
                    if !is_elsewhere && !used.contains(&line) {
                        unused.push(line);
                    }
                }
            }
        }
    }
    for line in &unused {
        println!("allowed and never used: {line}");
    }
    println!("{} passed, {} failed", granted - unused.len(), unused.len());
    match unused.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn used() -> BTreeSet<String> {
    let folder = permissions::notes();
    let files = std::fs::read_dir(&folder).unwrap_or_else(|_| {
        panic!("no story was told yet: run `cargo test` first");
    });
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.collect()
}
