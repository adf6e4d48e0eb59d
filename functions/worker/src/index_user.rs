//! `index_user`: brings the search rows of a user up to date.

use serde_json::Value;
use shared::models::User;
use shared::{App, Result};
use uuid::Uuid;

pub(crate) async fn run(app: &App, task: Uuid, user_id: Uuid) -> Result<Value> {
    app.store.index::<User>(user_id, task, false).await?;
    Ok(Value::Null)
}
