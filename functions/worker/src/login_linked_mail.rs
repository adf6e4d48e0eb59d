//! `login_linked_mail`: tells a user that a provider can log them in from now on.

use serde_json::Value;
use shared::Result;
use uuid::Uuid;

use crate::mail::letters::Letter;
use crate::{Worker, mail};

pub(crate) async fn run(
    worker: &Worker,
    task: Uuid,
    user_id: Uuid,
    provider: String,
) -> Result<Value> {
    let Some(user) = worker.app.store.user(user_id).await? else {
        return Ok(mail::not_sent("the user is gone"));
    };
    // A deleted one is not either.
    if !user.is_active {
        return Ok(mail::not_sent("the account is not active"));
    }
    let Some(envelope) = worker.mailer.to(task, &user.email)? else {
        return Ok(mail::not_sent("MAIL_URL is not set"));
    };
    let letter = Letter::LoginLinked {
        name: user.greeting().to_owned(),
        provider,
    };
    envelope.send(&letter).await
}
