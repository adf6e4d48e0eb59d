//! The ways a mail can go: a file in a folder, a mail server, Amazon SES.
//!
//! What a service says is not repeated, because it often quotes the address. An error tells the code, or what kind of
//! trouble it was.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::timeout::TimeoutConfig;
use aws_sdk_sesv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_email::SendEmailError;
use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{Destination, EmailContent, RawMessage};
use lettre::transport::smtp;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use shared::config::MailUrl;
use shared::lambda::StartError;
use shared::{App, Context, Error, Result};
use uuid::Uuid;

type Smtp = AsyncSmtpTransport<Tokio1Executor>;

/// How long a mail server may take for one mail. The queue tries again later what took longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that wait for their next mail.
const MOST_CONNECTIONS: u32 = 4;

/// Shorter than what mail servers wait before they close a connection that nobody uses.
const IDLE: Duration = Duration::from_secs(30);

pub(crate) enum Transport {
    Folder(PathBuf),
    Smtp(Smtp),
    Ses(aws_sdk_sesv2::Client),
}

impl Transport {
    /// Opens no connection yet. Panics outside of a Tokio runtime, because lettre's pool starts a task.
    pub(crate) fn new(url: &MailUrl, app: &App) -> Result<Self, StartError> {
        Ok(match url {
            MailUrl::Folder(folder) => Self::Folder(folder.clone()),
            MailUrl::Smtp(url) => Self::Smtp(smtp_pool(url.reveal())?),
            MailUrl::Ses => Self::Ses(ses_client(app)),
        })
    }

    /// Sends a mail. Answers the id by which it can be found again: the Message-ID, or what SES puts in its place.
    pub(crate) async fn send(&self, id: Uuid, message: Message) -> Result<String> {
        match self {
            Self::Folder(folder) => keep(folder, id, &message),
            Self::Smtp(smtp) => send_by_smtp(smtp, message).await,
            Self::Ses(ses) => send_by_ses(ses, &message).await,
        }
    }
}

/// Writes a mail into a folder. The name without `.eml` comes first, so that nobody reads half a mail.
fn keep(folder: &Path, id: Uuid, message: &Message) -> Result<String> {
    std::fs::create_dir_all(folder).context("make the folder for mails")?;
    let unfinished = folder.join(format!(".{id}.tmp"));
    std::fs::write(&unfinished, message.formatted()).context("write a mail")?;
    std::fs::rename(&unfinished, folder.join(format!("{id}.eml"))).context("name a mail")?;
    message_id(message)
}

fn message_id(message: &Message) -> Result<String> {
    let id = message.headers().get_raw("Message-ID");
    id.map(str::to_owned).context("find a mail's Message-ID")
}

fn smtp_pool(url: &str) -> Result<Smtp, StartError> {
    // The cause is left out: it may quote a part of the URL, and there is a password in it.
    let builder = Smtp::from_url(url)
        .map_err(|_| "MAIL_URL is not smtps://user:password@host or smtp://host?tls=required")?;
    let pool = smtp::PoolConfig::new()
        .max_size(MOST_CONNECTIONS)
        .idle_timeout(IDLE);
    Ok(builder.timeout(Some(PATIENCE)).pool_config(pool).build())
}

async fn send_by_smtp(smtp: &Smtp, message: Message) -> Result<String> {
    let id = message_id(&message)?;
    let smtp = smtp.clone();
    // lettre limits only the time to connect. Nor may the dialogue be dropped when it takes too long: lettre would keep
    // the connection for the next mail, which would then read the answers to this one. So it is left to end by itself.
    let dialogue = tokio::spawn(async move { smtp.send(message).await });
    let ended = tokio::time::timeout(PATIENCE, dialogue)
        .await
        .map_err(|_| unavailable("the mail server took too long"))?;
    let sent = ended.context("speak with the mail server")?;
    sent.map_err(|error| smtp_failed(&error))?;
    Ok(id)
}

fn smtp_failed(error: &smtp::Error) -> Error {
    if let Some(code) = error.status() {
        let cause = anyhow::Error::msg(format!("the mail server refused the mail with {code}"));
        return match error.is_permanent() {
            true => Error::Refused(cause),
            false => Error::Unavailable(cause),
        };
    }
    // What a server cannot do today it will not be able to do in a minute.
    if error.is_client() {
        return Error::Refused(anyhow::Error::msg(
            "the mail server has no STARTTLS, no login or no SMTPUTF8, and the mail needs it",
        ));
    }
    unavailable(if error.is_timeout() {
        "the mail server took too long"
    } else if error.is_response() {
        "the mail server's answer cannot be understood"
    } else {
        "the mail server could not be reached, or not safely"
    })
}

fn unavailable(what: &'static str) -> Error {
    Error::Unavailable(anyhow::Error::msg(what))
}

fn ses_client(app: &App) -> aws_sdk_sesv2::Client {
    let mut ses = aws_sdk_sesv2::config::Builder::from(&app.sdk);
    ses.set_endpoint_url(app.config.aws.ses_endpoint.clone());
    // SES cannot tell that a mail is the same one again, so a slow answer is no reason to send it again at once.
    ses.set_retry_config(Some(RetryConfig::disabled()));
    let patience = TimeoutConfig::builder().operation_timeout(PATIENCE);
    ses.set_timeout_config(Some(patience.build()));
    aws_sdk_sesv2::Client::from_conf(ses.build())
}

async fn send_by_ses(ses: &aws_sdk_sesv2::Client, message: &Message) -> Result<String> {
    let envelope = message.envelope();
    let to = envelope.to().iter().map(ToString::to_string).collect();
    let raw = RawMessage::builder()
        .data(Blob::new(message.formatted()))
        .build()
        .context("build a mail for SES")?;
    let sent = ses
        .send_email()
        .set_from_email_address(envelope.from().map(ToString::to_string))
        .destination(Destination::builder().set_to_addresses(Some(to)).build())
        .content(EmailContent::builder().raw(raw).build())
        .send()
        .await
        .map_err(|error| ses_failed(&error))?;
    sent.message_id.context("read the id that SES gave a mail")
}

fn ses_failed<R>(error: &SdkError<SendEmailError, R>) -> Error {
    let SdkError::ServiceError(service) = error else {
        // The SDK names the kind of trouble here, and no more.
        let cause = anyhow::Error::msg(format!("SES did not answer: {error}"));
        return Error::Unavailable(cause);
    };
    let code = service.err().code().unwrap_or("without a code");
    let cause = anyhow::Error::msg(format!("SES refused the mail: {code}"));
    match code {
        "AccountSuspendedException"
        | "BadRequestException"
        | "MailFromDomainNotVerifiedException"
        | "MessageRejected"
        | "NotFoundException" => Error::Refused(cause),
        // Too many at once, paused, or trouble of its own.
        _ => Error::Unavailable(cause),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use aws_sdk_sesv2::error::ErrorMetadata;

    use super::*;

    fn mail() -> Message {
        Message::builder()
            .from("Sheaf <no-reply@example.com>".parse().unwrap())
            .to("ada@example.com".parse().unwrap())
            .message_id(Some("<1@example.com>".to_owned()))
            .body("Good morning.".to_owned())
            .unwrap()
    }

    /// A mail server for one connection, which answers so when it is told the reader's address.
    fn mail_server(answer: &'static str) -> Transport {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let heard = BufReader::new(stream.try_clone().unwrap());
            let mut say = |line: &str| stream.write_all(format!("{line}\r\n").as_bytes()).is_ok();
            say("220 test");
            for line in heard.lines().map_while(|line| line.ok()) {
                let said = match line.get(..4) {
                    Some("RCPT") => say(answer),
                    Some("DATA") => say("354 go on"),
                    Some("EHLO" | "MAIL" | "NOOP" | "QUIT") => say("250 ok"),
                    _ => line != "." || say("250 ok"),
                };
                if !said {
                    break;
                }
            }
        });
        Transport::Smtp(smtp_pool(&url).unwrap())
    }

    #[tokio::test]
    async fn a_mail_server_takes_a_mail() {
        let transport = mail_server("250 ok");
        let id = transport.send(Uuid::nil(), mail()).await.unwrap();
        assert_eq!(id, "<1@example.com>");
    }

    #[tokio::test]
    async fn only_the_code_of_a_mail_servers_refusal_is_told() {
        for (answer, retryable) in [
            ("550 there is no ada@example.com", false),
            ("451 ada@example.com: come back later", true),
        ] {
            let transport = mail_server(answer);
            let error = transport.send(Uuid::nil(), mail()).await.unwrap_err();
            assert_eq!(error.retryable(), retryable, "{error:?}");
            let told = format!("{error:?}");
            assert!(told.contains(&answer[..3]), "{told}");
            assert!(!told.contains("ada@"), "{told}");
        }
    }

    #[tokio::test]
    async fn a_mail_server_that_is_away_may_come_back() {
        // Its port is free again as soon as this statement ends.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let url = format!("smtp://{}", address.unwrap());
        let transport = Transport::Smtp(smtp_pool(&url).unwrap());
        let error = transport.send(Uuid::nil(), mail()).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_bad_url_does_not_tell_its_password() {
        for url in [
            "pigeon://ada:hunter2@mail.example.com",
            "smtp://ada:hunter2@mail.example.com:port",
            "smtp://mail.example.com?tls=hunter2",
        ] {
            let told = smtp_pool(url).unwrap_err().to_string();
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn only_the_code_of_what_ses_refuses_is_told() {
        for (code, retryable) in [
            ("MessageRejected", false),
            ("AccountSuspendedException", false),
            ("TooManyRequestsException", true),
            ("SendingPausedException", true),
            ("InternalFailure", true),
        ] {
            let said = ErrorMetadata::builder()
                .code(code)
                .message("Email address is not verified: ada@example.com")
                .build();
            let refused = SdkError::service_error(SendEmailError::generic(said), ());
            let error = ses_failed(&refused);
            assert_eq!(error.retryable(), retryable, "{error:?}");
            let told = format!("{error:?}");
            assert!(told.contains(code) && !told.contains("ada@"), "{told}");
        }
        let error = ses_failed(&SdkError::<_, ()>::timeout_error("ada@example.com"));
        assert!(error.retryable());
        assert!(!format!("{error:?}").contains("ada@"), "{error:?}");
    }
}
