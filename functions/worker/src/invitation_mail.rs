//! `invitation_mail`: invites a user whose account somebody else has made.

use serde_json::Value;
use shared::Result;
use shared::models::one_time_token::Purpose;
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
    let letter = Letter::Invitation {
        name: user.greeting().to_owned(),
        link: links::one_time(&worker.app, Purpose::AcceptInvitation, &user, &user.email).await?,
    };
    envelope.send(&letter).await
}
