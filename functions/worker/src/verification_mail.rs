//! `verification_mail`: asks a user to confirm their e-mail address, or the one that they want to have.

use serde_json::Value;
use shared::Result;
use shared::models::User;
use shared::models::one_time_token::Purpose;
use shared::models::text::Email;
use uuid::Uuid;

use crate::mail::letters::Letter;
use crate::{Worker, links, mail};

pub(crate) async fn run(worker: &Worker, task: Uuid, user_id: Uuid) -> Result<Value> {
    let Some(user) = worker.app.store.user(user_id).await? else {
        return Ok(mail::not_sent("the user is gone"));
    };
    match &user.pending_email {
        Some(pending) => send(worker, task, &user, pending).await,
        None => send_to_unverified(worker, task, &user).await,
    }
}

/// `verification_mail_again`: the same, if anybody has this address. Whom it is pending for is not found by it: whoever
/// wants to have it asks for it again.
pub(crate) async fn run_again(worker: &Worker, task: Uuid, email: &Email) -> Result<Value> {
    let Some(user) = worker.app.store.user_by_email(email).await? else {
        return Ok(mail::not_sent("nobody has this address"));
    };
    send_to_unverified(worker, task, &user).await
}

async fn send_to_unverified(worker: &Worker, task: Uuid, user: &User) -> Result<Value> {
    if user.is_verified {
        return Ok(mail::not_sent("the address is verified already"));
    }
    send(worker, task, user, &user.email).await
}

async fn send(worker: &Worker, task: Uuid, user: &User, email: &Email) -> Result<Value> {
    if !user.is_active {
        return Ok(mail::not_sent("the account is not active"));
    }
    let Some(envelope) = worker.mailer.to(task, email)? else {
        return Ok(mail::not_sent("MAIL_URL is not set"));
    };
    let letter = Letter::Verification {
        name: user.greeting().to_owned(),
        link: links::one_time(&worker.app, Purpose::VerifyEmail, user, email).await?,
    };
    envelope.send(&letter).await
}
