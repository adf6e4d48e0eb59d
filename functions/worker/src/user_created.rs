//! A user has registered: greet them by mail.

use shared::{App, Result};
use uuid::Uuid;

use crate::mail;

pub(crate) async fn run(app: &App, task: Uuid, user_id: Uuid) -> Result<()> {
    // A user who is gone already needs no greeting.
    let Some(user) = app.store.user(user_id).await? else {
        return Ok(());
    };
    let greeting = format!(
        "Hello {},\n\nyour account is ready. Welcome!\n",
        user.greeting()
    );
    mail::send(app, task, user.email.as_str(), "Welcome", greeting).await
}
