//! The sweep: every minute it sends due tasks again whose message was lost.

use std::time::Duration;

use shared::{App, Result};

/// The most messages that may wait in the queue for the sweep to add to them: what waits there is not lost, and sending
/// it again would only make the wait longer.
const FULL: usize = 10_000;

/// Shorter than the function's time-out in `template.yaml`, by what a last batch may take; the next sweep goes on.
const PATIENCE: Duration = Duration::from_secs(30);

/// Never fails: the next one comes in a minute, and an alarm goes off if none tells the age of the oldest task.
pub(crate) async fn run(app: &App) {
    if let Err(error) = sweep(app).await {
        tracing::error!(cause = ?error, "the sweep failed");
    }
}

async fn sweep(app: &App) -> Result<()> {
    let waiting = app.store.queue().depth().await?;
    let room = FULL.saturating_sub(waiting);
    let swept = app.store.resend_due_tasks(room, PATIENCE).await?;
    app.metrics.oldest_task(swept.oldest);
    if swept.sent > 0 {
        let sent = swept.sent;
        tracing::warn!(sent, oldest = swept.oldest, "sent {sent} due tasks again");
    }
    Ok(())
}
