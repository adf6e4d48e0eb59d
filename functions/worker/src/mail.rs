//! Mail: what it says, and how it goes. `MAIL_URL` chooses between a folder, a mail server and Amazon SES.
//!
//! Nothing here logs an address, a link or a body.

pub mod letters;
mod transport;

use std::sync::Arc;

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use serde_json::{Value, json};
use shared::lambda::StartError;
use shared::models::text::Email;
use shared::trace::Trace;
use shared::{App, Context, Error, Result};
use uuid::Uuid;

use self::letters::Letter;
use self::transport::Transport;

/// Keeps programs that answer mail, as those of people on holiday, from answering ours (RFC 3834, section 5).
const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");

/// Says which request a mail goes back to, for whoever is shown it and looks into the log.
const TRACE_PARENT: HeaderName = HeaderName::new_from_ascii_str("Traceparent");

/// Sends letters. Cheap to clone; an instance needs one, because it keeps connections open.
#[derive(Clone)]
pub struct Mailer {
    transport: Option<Arc<Transport>>,
    from: Mailbox,
}

impl Mailer {
    /// Opens no connection yet. Must be called, and dropped, inside a Tokio runtime.
    pub fn new(app: &App) -> Result<Self, StartError> {
        let transport = match &app.config.mail_url {
            Some(url) => Some(Arc::new(Transport::new(url, app)?)),
            None => None,
        };
        let from = app.config.mail_from.parse::<Mailbox>();
        let from = from.map_err(|_| "MAIL_FROM is not 'Name <address>'")?;
        Ok(Self { transport, from })
    }

    /// An envelope for the mail of a task; `None` without a transport. An address that cannot be written to is an
    /// [`Error::Refused`].
    ///
    /// The task's id names the message, so that a mail that was sent twice can be recognised; only SES gives it a name
    /// of its own.
    pub(crate) fn to(&self, task: Uuid, to: &Email) -> Result<Option<Envelope>> {
        let Some(transport) = &self.transport else {
            tracing::warn!(task.id = %task, "MAIL_URL is not set: the mail of task {task} was not sent");
            return Ok(None);
        };
        let to = to.as_str().parse::<Address>().map_err(|error| {
            Error::Refused(anyhow::Error::new(error).context("read the address of a mail"))
        })?;
        Ok(Some(Envelope {
            transport: transport.clone(),
            from: self.from.clone(),
            to: to.into(),
            task,
        }))
    }
}

/// From whom a mail goes to whom, and how.
pub(crate) struct Envelope {
    transport: Arc<Transport>,
    from: Mailbox,
    to: Mailbox,
    task: Uuid,
}

impl Envelope {
    /// Sends a letter. Answers what the task's result is.
    pub(crate) async fn send(self, letter: &Letter) -> Result<Value> {
        let Self { task, from, to, .. } = self;
        let domain = from.email.domain().to_owned();
        let trace = Trace::current().unwrap_or_default();
        let message = Message::builder()
            .from(from)
            .to(to)
            .subject(letter.subject())
            .date_now()
            .message_id(Some(format!("<{task}@{domain}>")))
            .raw_header(HeaderValue::new(
                AUTO_SUBMITTED,
                "auto-generated".to_owned(),
            ))
            .raw_header(HeaderValue::new(TRACE_PARENT, trace.parent()))
            .multipart(MultiPart::alternative_plain_html(
                letter.text()?,
                letter.html()?,
            ))
            .context("build a mail")?;
        let message_id = self.transport.send(task, message).await?;
        Ok(json!({"message_id": message_id}))
    }
}

/// The result of a task whose mail there was no need, or no way, to send.
pub(crate) fn not_sent(reason: &str) -> Value {
    json!({"sent": false, "reason": reason})
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn mailer(transport: Option<Transport>) -> Mailer {
        Mailer {
            transport: transport.map(Arc::new),
            from: "Sheaf <no-reply@localhost>".parse().unwrap(),
        }
    }

    fn letter() -> Letter {
        Letter::Welcome {
            name: "Ada".to_owned(),
            link: "https://example.com".to_owned(),
        }
    }

    fn ada() -> Email {
        Email::parse("ada@example.com").unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let files = std::fs::read_dir(folder).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[tokio::test]
    async fn a_task_that_runs_twice_leaves_one_mail() {
        let folder = std::env::temp_dir().join(format!("sheaf-mails-{}", Uuid::now_v7()));
        let mailer = mailer(Some(Transport::Folder(folder.clone())));
        let task = Uuid::now_v7();
        for _ in 0..2 {
            let envelope = mailer.to(task, &ada()).unwrap().unwrap();
            let result = envelope.send(&letter()).await.unwrap();
            let id = format!("<{task}@localhost>");
            assert_eq!(result, json!({"message_id": id}));
        }
        assert_eq!(names(&folder), [format!("{task}.eml")]);

        let mail = std::fs::read_to_string(folder.join(format!("{task}.eml"))).unwrap();
        for fact in [
            "To: ada@example.com\r\n",
            "Subject: Welcome\r\n",
            "Date: ",
            "Auto-Submitted: auto-generated\r\n",
            &format!("Message-ID: <{task}@localhost>\r\n"),
            "Content-Type: multipart/alternative;",
            "Content-Type: text/plain; charset=utf-8\r\n",
            "Content-Type: text/html; charset=utf-8\r\n",
            "\r\nHello Ada,\r\n",
            "<p>Hello Ada,</p>",
        ] {
            assert!(mail.contains(fact), "{fact:?} is not in {mail}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
