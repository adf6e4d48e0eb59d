//! Multipart forms (RFC 7578): files, and numbers beside them.
//!
//! A form is read as a whole, because Lambda has it as a whole anyway. A handler takes the fields that it knows, and
//! then [`Form::finish`] tells all that was wrong with them, and what is left. What a part says of its own type counts
//! for nothing: only the bytes tell what they are.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::Display;
use std::future::ready;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use multer::{Multipart, parse_boundary};
use shared::media::{self, Checked, Refusal};
use shared::models::file::{Filename, MOST_DIRECT_BYTES};
use shared::{Error, FieldError, Result, files};

/// Largest form, in bytes: an event for Lambda has 6 MiB at most, and the base64 of this in it.
const LIMIT: usize = 4_400_000;

/// Most wrong fields that are told at once, and how much of the name of each.
const MOST_ERRORS: usize = 50;
const LONGEST_NAME: usize = 100;

const MALFORMED: Error = Error::MalformedBody("a valid multipart form");

/// A form, and what was wrong with the fields that were taken out of it. 415 for another type, 413 for one too large,
/// 400 for what is no form.
pub(crate) struct Form {
    parts: Vec<Part>,
    wrong: Vec<FieldError>,
}

struct Part {
    field: String,
    filename: Option<String>,
    bytes: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let header = request.headers().get(CONTENT_TYPE);
        let header = header.and_then(|header| header.to_str().ok());
        let boundary = match header.map(parse_boundary) {
            Some(Ok(boundary)) => boundary,
            Some(Err(multer::Error::NoBoundary)) => return Err(MALFORMED),
            _ => return Err(Error::UnsupportedMediaType("multipart/form-data")),
        };
        let body = to_bytes(request.into_body(), LIMIT).await;
        let body = body.map_err(|_| Error::BodyTooLarge(LIMIT))?;
        let parts = read(body, boundary).await.map_err(|_| MALFORMED)?;
        let wrong = Vec::new();
        Ok(Self { parts, wrong })
    }
}

async fn read(body: Bytes, boundary: String) -> multer::Result<Vec<Part>> {
    let body = stream::once(ready(Ok::<_, Infallible>(body)));
    let mut form = Multipart::new(body, boundary);
    let mut parts = Vec::new();
    while let Some(part) = form.next_field().await? {
        parts.push(Part {
            field: part.name().unwrap_or_default().to_owned(),
            filename: part.file_name().map(str::to_owned),
            bytes: part.bytes().await?,
        });
    }
    Ok(parts)
}

// What is wrong is noted, and then what these answer counts for nothing.
impl Form {
    /// The file of a field that must be there once.
    pub(crate) fn file(&mut self, field: &str) -> Sent {
        let sent = self.files(field, 1).into_iter().next();
        sent.unwrap_or_else(|| Sent::new(field.to_owned(), None, Bytes::new()))
    }

    /// The files of a field that must be there once at least, and so often at most.
    pub(crate) fn files(&mut self, field: &str, most: usize) -> Vec<Sent> {
        let parts = self.take(field);
        if parts.is_empty() {
            self.wrong(field, "required", "is required");
        }
        if parts.len() > most {
            let message = match most {
                1 => "must be sent once".to_owned(),
                most => format!("must be {most} files at most"),
            };
            self.wrong(field, "too_many", message);
        }
        let name = |at| match most {
            1 => field.to_owned(),
            _ => format!("{field}[{at}]"),
        };
        let sent = parts.into_iter().enumerate();
        let sent = sent.map(|(at, part)| Sent::new(name(at), part.filename, part.bytes));
        sent.collect()
    }

    /// A number, if it is there.
    pub(crate) fn number<T: FromStr + PartialOrd + Display>(
        &mut self,
        field: &str,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let parts = self.take(field);
        if parts.len() > 1 {
            self.wrong(field, "too_many", "must be sent once");
        }
        let part = parts.first()?;
        let text = std::str::from_utf8(&part.bytes).unwrap_or_default();
        match text.trim().parse() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                let (least, most) = (range.start(), range.end());
                let message = format!("must be a whole number from {least} to {most}");
                self.wrong(field, "out_of_range", message);
                None
            }
        }
    }

    /// Refuses with 422 if something was wrong, or was sent that nobody has taken.
    pub(crate) fn finish(mut self) -> Result<()> {
        let rest = std::mem::take(&mut self.parts).into_iter();
        let name = |part: Part| part.field.chars().take(LONGEST_NAME).collect::<String>();
        let unknown: BTreeSet<String> = rest.map(name).collect();
        for field in unknown {
            self.wrong(&field, "unknown_field", "is not a field of this form");
        }
        self.wrong.truncate(MOST_ERRORS);
        match self.wrong.is_empty() {
            true => Ok(()),
            false => Err(Error::Invalid(self.wrong)),
        }
    }

    fn take(&mut self, field: &str) -> Vec<Part> {
        let parts = self.parts.extract_if(.., |part| part.field == field);
        parts.collect()
    }

    fn wrong(&mut self, field: &str, code: &str, message: impl Into<String>) {
        self.wrong.push(FieldError {
            field: field.to_owned(),
            message: message.into(),
            code: code.to_owned(),
        });
    }
}

/// A file as it was sent.
pub(crate) struct Sent {
    /// As errors name it: `files[3]`.
    field: String,
    filename: Filename,
    bytes: Vec<u8>,
}

impl Sent {
    fn new(field: String, filename: Option<String>, bytes: Bytes) -> Self {
        Self {
            field,
            filename: Filename::new(filename.as_deref().unwrap_or_default()),
            bytes: bytes.into(),
        }
    }

    /// Its name and its bytes. 422 if it is too large for a request.
    pub(crate) fn small_enough(self) -> Result<(Filename, Vec<u8>)> {
        match self.bytes.len() > MOST_DIRECT_BYTES {
            true => Err(files::refused(&self.field, &Refusal::TooLarge)),
            false => Ok((self.filename, self.bytes)),
        }
    }

    /// What is stored of it. 422 if it is no image that we take.
    pub(crate) fn image(self) -> Result<(Filename, Checked)> {
        let field = self.field.clone();
        let (filename, bytes) = self.small_enough()?;
        let checked = media::check_image(bytes);
        let checked = checked.map_err(|refusal| files::refused(&field, &refusal))?;
        Ok((filename, checked))
    }
}

/// What is stored of all of these. 422 with each that is no image that we take.
pub(crate) fn images(sent: Vec<Sent>) -> Result<Vec<(Filename, Checked)>> {
    let (mut images, mut wrong) = (Vec::new(), Vec::new());
    for sent in sent {
        match sent.image() {
            Ok(image) => images.push(image),
            Err(Error::Invalid(errors)) => wrong.extend(errors),
            Err(other) => return Err(other),
        }
    }
    match wrong.is_empty() {
        true => Ok(images),
        false => Err(Error::Invalid(wrong)),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    const KIND: &str = "multipart/form-data; boundary=X";

    async fn form(kind: &str, body: impl Into<Body>) -> Result<Form> {
        let request = http::Request::post("/").header(CONTENT_TYPE, kind);
        Form::from_request(request.body(body.into()).unwrap(), &()).await
    }

    /// A part with a name, and perhaps with more in its header.
    fn part(field: &str, more: &str, bytes: &str) -> String {
        format!("--X\r\nContent-Disposition: form-data; name=\"{field}\"{more}\r\n\r\n{bytes}\r\n")
    }

    async fn of(parts: &[String]) -> Form {
        let body = format!("{}--X--\r\n", parts.concat());
        form(KIND, body).await.unwrap()
    }

    #[track_caller]
    fn told(form: Form) -> Vec<(String, String)> {
        match form.finish() {
            Ok(()) => Vec::new(),
            Err(Error::Invalid(errors)) => errors.into_iter().map(|e| (e.field, e.code)).collect(),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn names(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(field, code): &(&str, &str)| ((*field).to_owned(), (*code).to_owned());
        fields.iter().map(owned).collect()
    }

    #[tokio::test]
    async fn files_and_numbers_come_as_they_were_sent() {
        let mut form = of(&[
            part("width", "", " 640 "),
            part(
                "file",
                "; filename=\"../a \\\"b\\\".png\"\r\nContent-Type: text/html",
                "a\r\n--Y\r\n\0",
            ),
        ])
        .await;
        let sent = form.file("file");
        assert_eq!(sent.field, "file");
        assert_eq!(sent.filename.as_str(), "a b.png");
        assert_eq!(sent.bytes, b"a\r\n--Y\r\n\0");
        assert_eq!(form.number("width", 1..=1_000_u32), Some(640));
        assert_eq!(form.number("height", 1..=1_000_u32), None);
        assert_eq!(told(form), names(&[]));

        let parts = ["", "; filename=\"b\"", "; filename=b"].map(|more| part("files", more, "x"));
        let mut form = of(&parts).await;
        let sent = form.files("files", 3);
        let fields: Vec<_> = sent.iter().map(|sent| sent.field.as_str()).collect();
        assert_eq!(fields, ["files[0]", "files[1]", "files[2]"]);
        let called: Vec<_> = sent.iter().map(|sent| sent.filename.as_str()).collect();
        assert_eq!(called, ["file", "b", "b"]);
        assert_eq!(told(form), names(&[]));
    }

    #[tokio::test]
    async fn all_that_is_wrong_is_told() {
        let x = "x".repeat(200);
        let mut form = of(&[
            part("width", "", "0"),
            part("height", "", "1.5"),
            part("quality", "", "80"),
            part("quality", "", "90"),
            part("File", "", ""),
            part("other", "", ""),
            part("other", "", ""),
            part(&x, "", ""),
        ])
        .await;
        form.file("file");
        assert_eq!(form.number("width", 1..=9_u32), None);
        assert_eq!(form.number("height", 1..=9_u32), None);
        form.number("quality", 1..=100_u8);
        let expected = names(&[
            ("file", "required"),
            ("width", "out_of_range"),
            ("height", "out_of_range"),
            ("quality", "too_many"),
            ("File", "unknown_field"),
            ("other", "unknown_field"),
            (&x[..LONGEST_NAME], "unknown_field"),
        ]);
        assert_eq!(told(form), expected);

        let parts: Vec<_> = (0..6).map(|_| part("files", "", "x")).collect();
        let mut form = of(&parts).await;
        form.files("files", 5);
        assert_eq!(told(form), names(&[("files", "too_many")]));
        let many: Vec<_> = (0..1_000).map(|n| part(&n.to_string(), "", "")).collect();
        assert_eq!(told(of(&many).await).len(), MOST_ERRORS);
    }

    #[tokio::test]
    async fn numbers() {
        for (text, number) in [
            ("1", Some(1)),
            ("9", Some(9)),
            ("10", None),
            ("-1", None),
            ("", None),
            ("NaN", None),
            ("1e0", None),
            ("0x1", None),
            ("99999999999999999999", None),
        ] {
            let mut form = of(&[part("n", "", text)]).await;
            assert_eq!(form.number("n", 1..=9_u32), number, "{text:?}");
            assert_eq!(told(form).is_empty(), number.is_some(), "{text:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_form_is_refused() {
        let good = format!("{}--X--\r\n", part("file", "", "x"));
        for kind in [
            "",
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/mixed; boundary=X",
            "form-data; boundary=X",
        ] {
            let refused = form(kind, good.clone()).await;
            assert!(
                matches!(refused, Err(Error::UnsupportedMediaType(_))),
                "{kind}"
            );
        }
        for (kind, body) in [
            ("multipart/form-data", good.as_str()),
            ("multipart/form-data; boundary=Y", &good),
            (KIND, ""),
            (KIND, "--X"),
            (KIND, "nonsense"),
            (KIND, &good[..good.len() - 8]),
            (KIND, "--X\r\nContent-Disposition: form-data; name=\"file\""),
            (KIND, "--X\r\n: nothing\r\n\r\nx\r\n--X--\r\n"),
        ] {
            let refused = form(kind, body.to_owned()).await;
            let is_malformed = matches!(refused, Err(Error::MalformedBody(_)));
            assert!(is_malformed, "{kind}: {body:?}");
        }
        let refused = form(KIND, vec![0; LIMIT + 1]).await;
        assert!(matches!(refused, Err(Error::BodyTooLarge(LIMIT))));
        // A form without fields is one.
        let empty = form(KIND, "--X--\r\n").await.unwrap();
        assert_eq!(told(empty), names(&[]));
    }
}
