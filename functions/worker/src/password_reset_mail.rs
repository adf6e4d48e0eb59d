//! `password_reset_mail`: sends a user the link to set a new password.

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
    let letter = Letter::PasswordReset {
        name: user.greeting().to_owned(),
        link: links::one_time(&worker.app, Purpose::ResetPassword, &user).await?,
    };
    worker.mailer.send(task, &user.email, &letter).await
}
