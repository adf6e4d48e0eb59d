//! What `cargo lambda watch` and the functions print, without what the tools say about themselves.

use std::io::{self, IsTerminal, Write};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// Lets the command print into pipes, for [`pass_on`].
pub(super) fn capture(command: &mut Command) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // The tools cannot see the terminal through the pipe.
    if io::stderr().is_terminal() {
        command.args(["--color", "always"]);
    }
}

/// Passes on the functions' log lines, and of the tools what they compile and what is wrong, until the answer is dropped.
pub(super) fn pass_on(child: &mut Child) -> JoinSet<()> {
    let mut pipes = JoinSet::new();
    if let Some(stdout) = child.stdout.take() {
        pipes.spawn(pass_lines_on(stdout, io::stdout()));
    }
    if let Some(stderr) = child.stderr.take() {
        pipes.spawn(pass_lines_on(stderr, io::stderr()));
    }
    pipes
}

/// Goes on until the last process that writes to the pipe ends.
async fn pass_lines_on(from: impl AsyncRead + Unpin, mut to: impl Write) {
    let mut lines = BufReader::new(from).split(b'\n');
    while let Ok(Some(mut line)) = lines.next_segment().await {
        if !is_chatter(&String::from_utf8_lossy(&line)) {
            line.push(b'\n');
            let _ = to.write_all(&line).and_then(|()| to.flush());
        }
    }
}

/// Each instance of each function says these at each start, and many start at once, so that parts of lines mix. Metrics
/// in CloudWatch's embedded metric format are for CloudWatch alone.
fn is_chatter(line: &str) -> bool {
    const STARTS: [&str; 8] = [
        "Blocking",
        "INFO ",
        "Finished",
        "Running",
        "`target/",
        "`dev` profile",
        "`release` profile",
        "ERROR command killed",
    ];
    const PARTS: [&str; 3] = [
        "waiting for file lock",
        "the concurrency-tokio feature is not enabled",
        // Metrics, as CloudWatch alone reads them.
        "\"_aws\":{\"CloudWatchMetrics\":",
    ];
    let line = console::strip_ansi_codes(line);
    let line = line.trim_start();
    STARTS.iter().any(|start| line.starts_with(start))
        || PARTS.iter().any(|part| line.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_are_heard_only_when_it_matters() {
        for line in [
            " INFO starting Runtime server runtime_addr=127.0.0.1:9000",
            "\u{1b}[32m INFO\u{1b}[0m spawning function instance",
            "    Blocking waiting for file lock on package cache",
            "\u{1b}[1m\u{1b}[92m    Finished\u{1b}[0m `dev` profile",
            "     Running `target/debug/auth`",
            "    Blocking    Blocking waiting for file lock on package cache",
            "    Finished    Blocking",
            "    Blocking     Running `target/debug/docs`",
            " waiting for file lock on package cache",
            " `dev` profile [unoptimized + debuginfo] target(s) in 1.34s",
            "ERROR command killed code=ForceStop",
            r#"{"Environment":"local","TasksQueued":2,"_aws":{"CloudWatchMetrics":[],"Timestamp":1}}"#,
        ] {
            assert!(is_chatter(line), "{line}");
        }
        for line in [
            "   Compiling auth v0.1.0",
            "error[E0308]: mismatched types",
            "warning: unused variable",
            "thread 'main' panicked at functions/auth/src/main.rs:1:1:",
            "ERROR command exited code=1",
            r#"{"level":"INFO","message":"GET /"}"#,
            r#"{"level":"INFO","message":"about {\"_aws\":1}"}"#,
            "",
        ] {
            assert!(!is_chatter(line), "{line}");
        }
    }
}
