//! `password_reset_mail`: sends whoever has an address the link to set a new password.

use serde_json::Value;
use shared::Result;
use shared::models::one_time_token::Purpose;
use shared::models::text::Email;
use uuid::Uuid;

use crate::mail::letters::Letter;
use crate::{Worker, links, mail};

pub(crate) async fn run(worker: &Worker, task: Uuid, email: &Email) -> Result<Value> {
    let Some(user) = worker.app.store.user_by_email(email).await? else {
        return Ok(mail::not_sent("nobody has this address"));
    };
    if !user.is_active {
        return Ok(mail::not_sent("the account is not active"));
    }
    let Some(envelope) = worker.mailer.to(task, &user.email)? else {
        return Ok(mail::not_sent("MAIL_URL is not set"));
    };
    let letter = Letter::PasswordReset {
        name: user.greeting().to_owned(),
        link: links::one_time(&worker.app, Purpose::ResetPassword, &user, &user.email).await?,
    };
    envelope.send(&letter).await
}
