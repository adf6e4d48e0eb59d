//! `email_change_asked_mail`: tells the address of an account that somebody has asked for another.

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
    new_email: &Email,
) -> Result<Value> {
    let user = worker.app.store.user(user_id).await?;
    let Some(user) = user.filter(|user| !user.is_deleted()) else {
        return Ok(mail::not_sent("the user is gone"));
    };
    // Another mail has told the old address of that.
    if user.email == *new_email {
        return Ok(mail::not_sent("the address is confirmed already"));
    }
    let Some(envelope) = worker.mailer.to(task, &user.email)? else {
        return Ok(mail::not_sent("MAIL_URL is not set"));
    };
    let letter = Letter::EmailChangeAsked {
        name: user.greeting().to_owned(),
        new_address: new_email.to_string(),
    };
    envelope.send(&letter).await
}
