//! An SMTP server from a package receives the real mails.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mail_parser::{Message, MessageParser, PartType};
use serde_json::json;

use crate::bundle::{Bundle, PASSWORD, free_ports};
use crate::python;

const AIOSMTPD: &str = "aiosmtpd==1.4.6";

/// The bundle of the other stories writes its mails into a folder, so this one starts another.
pub(crate) fn a_mail_server_receives_the_mails(_: &Bundle) {
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(&folder.path().join("maildir"));
    let url = format!("smtp://127.0.0.1:{}", server.port);
    let bundle = Bundle::with(folder.path(), &[("MAIL_URL", url.as_str())]);
    bundle.start();
    let account = json!({"email": "ada@example.com", "password": PASSWORD, "first_name": "Ada"});
    bundle.post("/api/v1/auth/register", account).expect(201);

    let started = Instant::now();
    let mails = loop {
        let mails = server.mails_to("ada@example.com");
        if mails.len() >= 2 {
            break mails;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{} mails:\n{}",
            mails.len(),
            bundle.output()
        );
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(mails.len(), 2, "{mails:?}");

    for mail in &mails {
        let from = mail.from().unwrap().first().unwrap();
        assert_eq!(from.name(), Some("Sheaf"));
        assert_eq!(from.address(), Some("no-reply@localhost"));
        let parts = mail.parts.iter().filter_map(|part| match &part.body {
            PartType::Text(text) => Some(("text", !text.trim().is_empty())),
            PartType::Html(html) => Some(("html", !html.trim().is_empty())),
            _ => None,
        });
        let parts: Vec<_> = parts.collect();
        assert_eq!(parts, [("text", true), ("html", true)], "{mail:?}");
    }
    let ids = [&mails[0], &mails[1]].map(|mail| mail.message_id().unwrap());
    assert_ne!(ids[0], ids[1]);

    let link = bundle.url("/verify-email?token=");
    let holds_link = |mail: &Message| {
        let text = mail.body_text(0).unwrap();
        let mut tokens = text
            .split_whitespace()
            .filter_map(|word| word.strip_prefix(&link));
        tokens.any(|token| !token.is_empty())
    };
    let (confirmations, others): (Vec<_>, Vec<_>) = mails.iter().partition(|mail| holds_link(mail));
    assert_eq!(confirmations.len(), 1, "{mails:?}");
    let subject = others[0].subject().unwrap();
    assert!(subject.contains("Welcome"), "{subject}");
    bundle.stop();
}

/// An aiosmtpd of this story's own, which ends with it.
struct MailServer {
    child: Child,
    port: u16,
    maildir: PathBuf,
}

impl MailServer {
    /// Starts it and waits until it listens. It makes the folder itself, and takes none that is there already.
    fn start(maildir: &Path) -> Self {
        let port = free_ports();
        let mut command = Command::new(python::with("aiosmtpd", AIOSMTPD));
        command
            .args(["-m", "aiosmtpd", "-n"])
            .args(["-l", &format!("127.0.0.1:{port}")])
            .args(["-c", "aiosmtpd.handlers.Mailbox"])
            .arg(maildir)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut server = Self {
            child: command.spawn().expect("Python can be started"),
            port,
            maildir: maildir.to_owned(),
        };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("{command:?} ended with {status}");
            }
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "{command:?} does not listen"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// The mails to an address that have come so far. In a Maildir, what stands in `new` is complete.
    fn mails_to(&self, address: &str) -> Vec<Message<'static>> {
        let files = std::fs::read_dir(self.maildir.join("new")).unwrap();
        let mails = files.map(|file| {
            let mail = std::fs::read(file.unwrap().path()).unwrap();
            MessageParser::new().parse(&mail).unwrap().into_owned()
        });
        mails
            .filter(|mail| mail.to().unwrap().contains(address))
            .collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
