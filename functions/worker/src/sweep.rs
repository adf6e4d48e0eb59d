//! The sweep: sends due tasks again whose message was lost, every minute.

use shared::models::time;
use shared::store::tasks::LEASE;
use shared::{App, Result};

/// How many tasks one sweep sends from each shard of the index at most; the next one goes on.
const MOST: i32 = 100;

pub(crate) async fn sweep(app: &App) -> Result<()> {
    // A task that is just being run for the first time has its message on the way still.
    let due_before = time::now().as_second() - LEASE;
    let sent = app.store.resend_due_tasks(due_before, MOST).await?;
    if sent > 0 {
        tracing::warn!(sent, "sent {sent} due tasks again");
    }
    Ok(())
}
