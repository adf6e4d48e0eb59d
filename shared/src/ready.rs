//! Whether the services behind answer, for whoever decides where requests go.

use std::time::{Duration, Instant};

use crate::App;
use crate::error::{Error, Result};

/// How long a service may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a service was when it was last asked.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    pub is_ready: bool,
    /// How long its answer took, or how long it was waited for.
    pub spent: Duration,
}

impl App {
    /// Asks the database for one item. What it answered within the last second counts, however many ask.
    pub async fn database_ready(&self) -> Ready {
        let asked = ask("database", self.store.ping());
        let kept = self.caches.database.get(self.clock.seconds(), asked);
        kept.await.map_or(NEVER, |ready| *ready)
    }

    /// Asks the task queue about itself, in the same way.
    pub async fn queue_ready(&self) -> Ready {
        let asked = ask("queue", async {
            self.store.queue().depth().await.map(|_| ())
        });
        let kept = self.caches.queue.get(self.clock.seconds(), asked);
        kept.await.map_or(NEVER, |ready| *ready)
    }
}

/// What would be told if asking could fail.
const NEVER: Ready = Ready {
    is_ready: false,
    spent: PATIENCE,
};

/// Never an error: that it does not answer is the answer. The cause is for the log only.
async fn ask(service: &'static str, work: impl Future<Output = Result<()>>) -> Result<Ready> {
    let begun = Instant::now();
    let answer = tokio::time::timeout(PATIENCE, work).await;
    let late = || Error::Unavailable(anyhow::Error::msg("it took too long"));
    let answer = answer.unwrap_or_else(|_| Err(late()));
    if let Err(error) = &answer {
        tracing::error!(cause = ?error, "the {service} is not ready");
    }
    Ok(Ready {
        is_ready: answer.is_ok(),
        spent: begun.elapsed(),
    })
}
