//! `erase_user`: erases what is left of a deleted user.

use serde_json::Value;
use shared::{App, Result};
use uuid::Uuid;

/// Each attempt goes on where the one before has ended, because what is erased is not found again.
pub(crate) async fn run(app: &App, task: Uuid, user_id: Uuid) -> Result<Value> {
    app.store.erase_user(user_id, task).await?;
    Ok(Value::Null)
}
