//! A file on the wire, whose it is to see and to delete, and how a browser is to take it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use shared::auth::{CurrentUser, Visitor};
use shared::models::file::{ContentType, FileStatus, Filename};
use shared::models::{self, Scope};
use shared::{App, Error, Result, files};
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) const NOT_FOUND: Error = Error::NotFound("file of this id");

/// Something that was uploaded.
#[derive(Serialize, ToSchema)]
pub(crate) struct File {
    id: Uuid,
    /// As it was called, without what is no part of a name. The extension is that of the type.
    filename: Filename,
    /// What it is. An image is stored anew, so that it may be another than was sent.
    content_type: ContentType,
    /// In bytes.
    #[schema(example = 48213)]
    size: u64,
    /// The path that leads to the bytes.
    #[schema(example = "/api/v1/files/01935a2e-7d9f-7c3b-b1a4-2f60cc21f0aa")]
    url: String,
    /// In pixels; of an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1200)]
    width: Option<u32>,
    /// In pixels; of an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 800)]
    height: Option<u32>,
    /// The same image in other sizes: the path of each, by its name. They are made a moment after the image is there.
    #[schema(example = json!({"256": "/api/v1/files/0198c8f5-6b1e-7c3a-9d52-2f0e8a41b7c6?variant=256"}))]
    variants: BTreeMap<String, String>,
    /// Whether anybody may see it.
    is_public: bool,
    created_at: Timestamp,
}

impl From<models::file::File> for File {
    fn from(file: models::file::File) -> Self {
        let url = files::url(file.id);
        let names = file.variants.into_keys();
        let variants = names.map(|name| {
            let url = format!("{url}?variant={name}");
            (name, url)
        });
        Self {
            variants: variants.collect(),
            is_public: file.purpose.is_public(),
            id: file.id,
            filename: file.filename,
            content_type: file.content_type,
            size: file.size,
            url,
            width: file.width,
            height: file.height,
            created_at: file.created_at,
        }
    }
}

/// The file of this id, for somebody who may see it.
pub(crate) async fn find(app: &App, visitor: &Visitor, id: Uuid) -> Result<models::file::File> {
    let file = find_ready(app, id).await?;
    let is_own = visitor.is(file.owner_id) || visitor.can(Scope::AdminAll);
    match file.purpose.is_public() || is_own {
        true => Ok(file),
        false => Err(NOT_FOUND),
    }
}

/// The file of this id, for somebody who wants to delete it. 404 if they may not even see it, 403 if it is not theirs.
pub(crate) async fn find_own(
    app: &App,
    current: &CurrentUser,
    id: Uuid,
) -> Result<models::file::File> {
    let file = find_ready(app, id).await?;
    if file.owner_id == current.user.id {
        return Ok(file);
    }
    match current.require(Scope::AdminAll) {
        Err(_) if !file.purpose.is_public() => Err(NOT_FOUND),
        Err(refused) => Err(refused),
        Ok(()) => Ok(file),
    }
}

/// What is pending or deleted is there for nobody.
async fn find_ready(app: &App, id: Uuid) -> Result<models::file::File> {
    let file = app.store.file(id).await?;
    let ready = file.filter(|file| file.status == FileStatus::Ready);
    ready.ok_or(NOT_FOUND)
}

/// The `Content-Disposition` of a file (RFC 6266): an image is shown, anything else is kept under its name.
pub(crate) fn disposition(filename: &Filename, content_type: ContentType) -> String {
    let kind = match content_type.is_image() {
        true => "inline",
        false => "attachment",
    };
    let name = filename.as_str();
    let plain = name.replace(|c: char| !is_plain(c), "_");
    match plain == name {
        true => format!("{kind}; filename=\"{name}\""),
        // Who does not know the second one takes the first.
        false => format!(
            "{kind}; filename=\"{plain}\"; filename*=UTF-8''{}",
            encoded(name)
        ),
    }
}

/// Whether all browsers take a character between quotes for itself. Some decode what follows a percent sign.
fn is_plain(c: char) -> bool {
    matches!(c, ' '..='~') && !matches!(c, '"' | '\\' | '%')
}

/// A text as the value of a parameter (RFC 8187, section 3.2.1).
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => encoded.push(byte.into()),
            b'!' | b'#' | b'$' | b'&' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~' => {
                encoded.push(byte.into());
            }
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_told_what_to_do_with_a_file_and_what_it_is_called() {
        for (name, content_type, expected) in [
            (
                "photo.jpg",
                ContentType::Jpeg,
                "inline; filename=\"photo.jpg\"",
            ),
            (
                "my photo (1); 2.png",
                ContentType::Png,
                "inline; filename=\"my photo (1); 2.png\"",
            ),
            (
                "notes.txt",
                ContentType::Text,
                "attachment; filename=\"notes.txt\"",
            ),
            (
                "Grüße & 写真.pdf",
                ContentType::Pdf,
                "attachment; filename=\"Gr__e & __.pdf\"; \
                 filename*=UTF-8''Gr%C3%BC%C3%9Fe%20&%20%E5%86%99%E7%9C%9F.pdf",
            ),
            (
                "100%41.txt",
                ContentType::Text,
                "attachment; filename=\"100_41.txt\"; filename*=UTF-8''100%2541.txt",
            ),
            (
                "a\"b\\c\r\nX-A: b.txt",
                ContentType::Text,
                "attachment; filename=\"cX-A b.txt\"",
            ),
        ] {
            let found = disposition(&Filename::new(name), content_type);
            assert_eq!(found, expected, "{name:?}");
            assert!(found.is_ascii());
        }
    }
}
