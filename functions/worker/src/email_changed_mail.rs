//! `email_changed_mail`: tells the old address that the account has another now.

use serde_json::Value;
use shared::Result;
use shared::models::text::Email;
use uuid::Uuid;

use crate::mail::letters::Letter;
use crate::{Worker, mail};

pub(crate) async fn run(
    worker: &Worker,
    task: Uuid,
    user_id: Uuid,
    old_email: &Email,
) -> Result<Value> {
    let user = worker.app.store.user(user_id).await?;
    let Some(user) = user.filter(|user| !user.is_deleted()) else {
        return Ok(mail::not_sent("the user is gone"));
    };
    let Some(envelope) = worker.mailer.to(task, old_email)? else {
        return Ok(mail::not_sent("MAIL_URL is not set"));
    };
    let letter = Letter::EmailChanged {
        name: user.greeting().to_owned(),
        new_address: user.email.to_string(),
    };
    envelope.send(&letter).await
}
