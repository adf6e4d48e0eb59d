//! Tells of the mails that the worker writes into the mail folder, so that a developer can click the link in one.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mail_parser::MessageParser;

/// Short for somebody who waits for a mail, and long for a computer that lists a folder.
const PAUSE: Duration = Duration::from_millis(330);

/// Reports each mail that comes into the folder from now on, in one line. What cannot be read as a mail is passed over.
///
/// Asking again and again needs no watcher of files, which would be one more dependency for a delay that nobody sees.
pub(crate) async fn report_new(folder: PathBuf, report: impl Fn(&str)) -> Infallible {
    let mut known = mails(&folder);
    loop {
        tokio::time::sleep(PAUSE).await;
        let found = mails(&folder);
        for name in found.difference(&known) {
            let mail = fs::read(folder.join(name)).ok();
            if let Some(line) = mail.and_then(|mail| one_line(&mail)) {
                report(&line);
            }
        }
        known.extend(found);
    }
}

/// The names of the files that are complete: while the worker writes one, its name starts with a dot.
fn mails(folder: &Path) -> BTreeSet<OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    let complete = names.filter(|name| {
        let name = name.to_string_lossy();
        name.ends_with(".eml") && !name.starts_with('.')
    });
    complete.collect()
}

/// Says to whom the mail goes, what it is about, and the first link of its text if there is one.
fn one_line(mail: &[u8]) -> Option<String> {
    let mail = MessageParser::new().parse(mail)?;
    let to = mail.to()?.first()?.address()?;
    let subject = mail.subject().unwrap_or("(no subject)");
    let text = mail.body_text(0).unwrap_or_default();
    let link = text
        .split_whitespace()
        .find(|word| word.starts_with("http://") || word.starts_with("https://"));
    Some(match link {
        Some(link) => format!("to {to}: {subject}  {link}"),
        None => format!("to {to}: {subject}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIRMATION: &str = r#"From: Sheaf <no-reply@localhost>
To: ada@example.com
Subject: Confirm your =?utf-8?Q?address=E2=80=A6?=
Message-ID: <0199c7d2-0000-7000-8000-000000000000@sheaf>
Date: Sat, 21 Nov 2026 07:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="part"

--part
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Hello Ada =E2=80=93 please confirm your address:

http://127.0.0.1:9000/verify-email?token=3Dv1.AbCdEfGhIjKlMnOpQrStUvWxYz012=
3456789

Not you? See https://example.com/help.

--part
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<p>Hello Ada, <a href=3D"http://127.0.0.1:9000/other">confirm</a></p>

--part--
"#;

    const GREETING: &str =
        "From: a@example.com\nTo: Ada L <ada@example.com>\nSubject: Welcome\n\nHello.\n";

    #[test]
    fn a_line_holds_the_address_the_subject_and_the_first_link() {
        let confirmation = "to ada@example.com: Confirm your address…  \
            http://127.0.0.1:9000/verify-email?token=v1.AbCdEfGhIjKlMnOpQrStUvWxYz0123456789";
        for (mail, expected) in [
            (CONFIRMATION, Some(confirmation)),
            (GREETING, Some("to ada@example.com: Welcome")),
            ("From: a@example.com\n\nTo nobody.\n", None),
            ("", None),
        ] {
            assert_eq!(one_line(mail.as_bytes()).as_deref(), expected);
            // On the wire and in the folder, lines end like this.
            let mail = mail.replace('\n', "\r\n");
            assert_eq!(one_line(mail.as_bytes()).as_deref(), expected);
        }
    }

    #[tokio::test]
    async fn only_mails_that_come_later_are_reported() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, mail: &str| fs::write(folder.path().join(name), mail).unwrap();
        let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
        write("0.eml", GREETING);
        let reporting = tokio::spawn(report_new(folder.path().to_owned(), move |line: &str| {
            sender.send(line.to_owned()).unwrap()
        }));
        // It looks for the first time before it sleeps for the first time.
        tokio::task::yield_now().await;

        write(".1.eml", GREETING);
        write("2.eml", "");
        write("3.eml", GREETING);
        write("4.txt", GREETING);
        let line = lines.recv().await;
        assert_eq!(line.as_deref(), Some("to ada@example.com: Welcome"));
        tokio::time::sleep(PAUSE * 2).await;
        assert!(lines.try_recv().is_err());
        reporting.abort();
    }
}
