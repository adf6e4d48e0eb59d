//! `index_item`: brings the search rows of an item up to date, and the list of tags.

use serde_json::Value;
use shared::models::item::{Item, Tag};
use shared::{App, Result};
use uuid::Uuid;

pub(crate) async fn run(app: &App, task: Uuid, item: Uuid, tags: &[Tag]) -> Result<Value> {
    app.store.index::<Item>(item, task, false).await?;
    for tag in tags {
        app.store.list_tag(tag).await?;
    }
    Ok(Value::Null)
}
