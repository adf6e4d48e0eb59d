//! `welcome_mail`: greets a user whose account is ready.

use serde_json::Value;
use shared::Result;
use uuid::Uuid;

use crate::mail::letters::Letter;
use crate::{Worker, links, mail};

pub(crate) async fn run(worker: &Worker, task: Uuid, user_id: Uuid) -> Result<Value> {
    let Some(user) = worker.app.store.user(user_id).await? else {
        return Ok(mail::not_sent("the user is gone"));
    };
    if !user.is_active {
        return Ok(mail::not_sent("the account is not active"));
    }
    let Some(envelope) = worker.mailer.to(task, &user.email)? else {
        return Ok(mail::not_sent("MAIL_URL is not set"));
    };
    let letter = Letter::Welcome {
        name: user.greeting().to_owned(),
        link: links::public_url(&worker.app)?.to_owned(),
    };
    envelope.send(&letter).await
}
