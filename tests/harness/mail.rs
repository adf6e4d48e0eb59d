//! The folder where a stage's mails go, and what is in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mail_parser::MessageParser;

/// A folder of this test's own, gone at its end. It is made by the first mail.
#[derive(Debug)]
pub struct MailFolder(PathBuf);

#[derive(Debug)]
pub struct Mail {
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    /// As the W3C's Trace Context has it.
    pub trace_parent: String,
}

impl MailFolder {
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Self {
        let name = format!("sheaf-mail-{}", uuid::Uuid::now_v7());
        Self(std::env::temp_dir().join(name))
    }

    /// What to set `MAIL_URL` to.
    pub fn url(&self) -> String {
        format!("file:{}", self.0.display())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The ids of the tasks that have sent a mail.
    pub fn ids(&self) -> BTreeSet<String> {
        let files = std::fs::read_dir(&self.0).into_iter().flatten();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let ids = names.filter_map(|name| Some(name.strip_suffix(".eml")?.to_owned()));
        ids.collect()
    }

    pub fn read(&self, task: &str) -> Mail {
        let path = self.0.join(format!("{task}.eml"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Mail::parse(&bytes)
    }

    /// Takes all mails away.
    pub fn clear(&self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for MailFolder {
    fn drop(&mut self) {
        self.clear();
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Mail {
    pub fn parse(bytes: &[u8]) -> Self {
        let mail = MessageParser::default().parse(bytes).expect("it is a mail");
        let to = mail
            .to()
            .and_then(|to| to.first())
            .expect("it goes to somebody");
        Self {
            to: to.address().expect("they have an address").to_owned(),
            subject: mail.subject().unwrap_or_default().to_owned(),
            text: mail.body_text(0).expect("it has a text").into_owned(),
            html: mail.body_html(0).expect("it has HTML").into_owned(),
            trace_parent: mail
                .header("Traceparent")
                .and_then(|header| header.as_text())
                .expect("it says whence it comes")
                .to_owned(),
        }
    }

    /// The token in its link.
    pub fn token(&self) -> String {
        let (_, rest) = self.text.split_once("token=").expect("it has a link");
        rest.split_whitespace().next().unwrap().to_owned()
    }
}

/// What the vault keeps of a token.
pub fn token_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(ring::digest::digest(
        &ring::digest::SHA256,
        token.as_bytes(),
    ))
}
