//! A function's binary as a process of its own, as Lambda runs it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{RuntimeApi, Stage};

/// A running binary. It is killed when this is dropped.
#[derive(Debug)]
pub struct Instance {
    child: Child,
    api: RuntimeApi,
}

impl Instance {
    /// Starts a function on the tables and the queue of a stage. It may not have asked for its first invocation yet.
    pub async fn start(stage: &Stage, function: &str, binary: &Path) -> Self {
        let api = RuntimeApi::listen().await;
        let mut command = Command::new(binary);
        command
            .env_clear()
            .envs(stage.variables())
            .envs(library_path())
            .env(
                "AWS_LAMBDA_RUNTIME_API",
                format!("127.0.0.1:{}", api.port()),
            )
            .env("AWS_LAMBDA_FUNCTION_NAME", function)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .stdout(Stdio::null());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        Self { child, api }
    }

    /// Waits until it asks for an invocation.
    pub async fn ready(&mut self) {
        self.api.polled().await;
    }

    /// Gives it an event once it is ready, and waits for its answer and until it is ready again.
    pub async fn invoke(&mut self, event: &Value) -> Value {
        self.api.invoke(event).await
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended by itself; whether it has in that time.
    pub fn ended(&mut self, patience: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Some machines need it to start any program.
#[expect(clippy::disallowed_methods, reason = "for another process, not for us")]
fn library_path() -> Option<(&'static str, String)> {
    let path = std::env::var("LD_LIBRARY_PATH").ok()?;
    Some(("LD_LIBRARY_PATH", path))
}
