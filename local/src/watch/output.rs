//! What `cargo lambda watch` and the functions print, without what the tools say about themselves.

use std::io::{self, Write};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::Logs;
use super::log::Line;

/// Lets the command print into pipes, for [`pass_on`].
pub(super) fn capture(command: &mut Command) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // The tools cannot see the terminal through the pipe.
    if console::colors_enabled_stderr() {
        command.args(["--color", "always"]);
    }
}

/// Passes on the functions' log lines, and of the tools what they compile and what is wrong, until the answer is dropped.
pub(super) fn pass_on(child: &mut Child, logs: Logs) -> JoinSet<()> {
    let mut pipes = JoinSet::new();
    if let Some(stdout) = child.stdout.take() {
        let colour = console::colors_enabled();
        pipes.spawn(pass_lines_on(stdout, io::stdout(), logs, colour));
    }
    if let Some(stderr) = child.stderr.take() {
        let colour = console::colors_enabled_stderr();
        pipes.spawn(pass_lines_on(stderr, io::stderr(), logs, colour));
    }
    pipes
}

/// Goes on until the last process that writes to the pipe ends.
async fn pass_lines_on(from: impl AsyncRead + Unpin, mut to: impl Write, logs: Logs, colour: bool) {
    let mut lines = BufReader::new(from).split(b'\n');
    while let Ok(Some(mut line)) = lines.next_segment().await {
        // When it came: the functions leave that to CloudWatch.
        let time = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
        match shown(&String::from_utf8_lossy(&line), logs, &time, colour) {
            Shown::Nothing => continue,
            Shown::AsItIs => {}
            Shown::Instead(text) => line = text.into_bytes(),
        }
        line.push(b'\n');
        let _ = to.write_all(&line).and_then(|()| to.flush());
    }
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    AsItIs,
    Instead(String),
}

fn shown(line: &str, logs: Logs, time: &str, colour: bool) -> Shown {
    let Some(line) = Line::read(line) else {
        return match is_chatter(line) {
            true => Shown::Nothing,
            false => Shown::AsItIs,
        };
    };
    // A tool that was about to say something.
    let before = line.before.trim_end();
    let is_silent = console::strip_ansi_codes(before).trim().is_empty() || is_chatter(before);
    let before = (!is_silent).then(|| before.to_owned());
    let event = match logs {
        _ if line.is_metrics() => None,
        Logs::Json => Some(line.json.to_owned()),
        Logs::Readable => Some(line.readable(time, colour)),
    };
    let told: Vec<_> = before.into_iter().chain(event).collect();
    match told.is_empty() {
        true => Shown::Nothing,
        false => Shown::Instead(told.join("\n")),
    }
}

/// Each instance of each function says these at each start, and many start at once, so that parts of lines mix.
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
    const PARTS: [&str; 2] = [
        "waiting for file lock",
        "the concurrency-tokio feature is not enabled",
    ];
    let line = console::strip_ansi_codes(line);
    let line = line.trim_start();
    STARTS.iter().any(|start| line.starts_with(start))
        || PARTS.iter().any(|part| line.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str, logs: Logs) -> Shown {
        shown(line, logs, "12:04:31", false)
    }

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
            for logs in [Logs::Readable, Logs::Json] {
                assert_eq!(told(line, logs), Shown::Nothing, "{line}");
            }
        }
        for line in [
            "   Compiling auth v0.1.0",
            "error[E0308]: mismatched types",
            "warning: unused variable",
            "thread 'main' panicked at functions/auth/src/main.rs:1:1:",
            "ERROR command exited code=1",
            "{ not: json }",
            "",
        ] {
            for logs in [Logs::Readable, Logs::Json] {
                assert_eq!(told(line, logs), Shown::AsItIs, "{line}");
            }
        }
    }

    #[test]
    fn events_are_heard_whatever_stands_before_them() {
        let json = r#"{"level":"INFO","message":"about {\"_aws\":1}"}"#;
        let readable = r#"12:04:31 INFO  about {"_aws":1}"#;
        let check = |line: &str, before: &str| {
            for (logs, event) in [(Logs::Json, json), (Logs::Readable, readable)] {
                let expected = Shown::Instead(format!("{before}{event}"));
                assert_eq!(told(line, logs), expected, "{line}");
            }
        };
        check(json, "");
        check(&format!("    Blocking {json}"), "");
        check(&format!("\u{1b}[0m{json}"), "");
        check(&format!("   Compiling auth {json}"), "   Compiling auth\n");
        let metrics = r#"warning: unused {"Environment":"local","_aws":{"Timestamp":1}}"#;
        let before = Shown::Instead("warning: unused".to_owned());
        assert_eq!(told(metrics, Logs::Readable), before);
    }
}
