//! The sweep: sends due tasks again whose message was lost, every minute.

use shared::{App, Result};

/// How many tasks one sweep sends from each shard of the index at most; the next one goes on.
const MOST: i32 = 100;

pub(crate) async fn sweep(app: &App) -> Result<()> {
    let sent = app.store.resend_due_tasks(MOST).await?;
    if sent > 0 {
        tracing::warn!(sent, "sent {sent} due tasks again");
    }
    Ok(())
}
