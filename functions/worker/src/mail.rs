//! Mail, built with lettre. `MAIL_URL` says where it goes: `file:/folder` keeps one `.eml` file a message.

use lettre::message::header::ContentType;
use lettre::{Address, Message};
use shared::{App, Context, Result};
use uuid::Uuid;

/// Sends a mail for a task. The task's id names the message, so that running the task twice sends it once.
pub(crate) async fn send(
    app: &App,
    task: Uuid,
    to: &str,
    subject: &str,
    text: String,
) -> Result<()> {
    let Some(folder) = &app.config.mail_folder else {
        tracing::warn!(task.id = %task, "MAIL_URL is not set: a mail was not sent");
        return Ok(());
    };
    let message = Message::builder()
        .from(app.config.mail_from.parse().context("read MAIL_FROM")?)
        .to(to
            .parse::<Address>()
            .context("read a mail's address")?
            .into())
        .subject(subject)
        .message_id(Some(format!("<{task}@sheaf>")))
        .header(ContentType::TEXT_PLAIN)
        .body(text)
        .context("build a mail")?;
    std::fs::create_dir_all(folder).context("make the mail folder")?;
    let file = folder.join(format!("{task}.eml"));
    std::fs::write(file, message.formatted()).context("write a mail")
}
