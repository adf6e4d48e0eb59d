//! A file that somebody has uploaded: what it is, what it is for, and how far it has come. Its bytes are in the bucket.
//!
//! What a file may become is decided here and nowhere else; what its bytes must be, in `media`.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use utoipa::ToSchema;
use uuid::Uuid;

use super::text::Invalid;
use crate::ids;

/// The most bytes of an upload that goes to the bucket directly.
pub const MOST_BYTES: u64 = 10_485_760;

/// The most bytes of an image that comes with a request: Lambda takes 6 MB of base64, and there is more in a form.
pub const MOST_DIRECT_BYTES: usize = 4_000_000;

/// The most images of an item.
pub const MOST_IMAGES: usize = 5;

/// How long a file may stay pending. An upload that is not complete by then counts as gone.
const PENDING_FOR: SignedDuration = SignedDuration::from_mins(45);

/// The most characters of a name, its extension among them.
const LONGEST_NAME: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub id: Uuid,
    pub owner_id: Uuid,
    pub purpose: Purpose,
    pub status: FileStatus,
    pub filename: Filename,
    /// What the client says that it is; once it is ready, what it is.
    pub content_type: ContentType,
    /// In bytes: as announced, and once it is ready, as stored. Its variants do not count.
    pub size: u64,
    /// The SHA-256 of the stored bytes, in base64url. A part of the object's key, so that no object ever changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Of an image, in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// By their names; made some time after it is ready.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variants: BTreeMap<String, Variant>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Counts the changes; a writer names the version it has read, and loses if it is not the newest.
    pub version: u64,
}

impl File {
    /// A new file of which nothing is stored yet.
    pub fn new(
        owner: Uuid,
        purpose: Purpose,
        filename: Filename,
        content_type: ContentType,
        size: u64,
        now: Timestamp,
    ) -> Self {
        Self {
            id: ids::new(),
            owner_id: owner,
            purpose,
            status: FileStatus::Pending,
            filename,
            content_type,
            size,
            hash: None,
            width: None,
            height: None,
            variants: BTreeMap::new(),
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }

    /// Whether it was pending for so long that it counts as gone.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.status == FileStatus::Pending && now.duration_since(self.created_at) >= PENDING_FOR
    }

    // Each of these answers the file as it is afterwards, or `None` if that is not allowed.

    /// Pending → ready, as it was stored.
    pub fn ready(&self, stored: &Stored, now: Timestamp) -> Option<Self> {
        let is_allowed = self.status == FileStatus::Pending;
        is_allowed.then(|| {
            let mut ready = self.moved(FileStatus::Ready, now);
            ready.filename = self.filename.with_extension_of(stored.content_type);
            ready.content_type = stored.content_type;
            ready.size = stored.size;
            ready.hash = Some(stored.hash.clone());
            ready.width = stored.width;
            ready.height = stored.height;
            ready
        })
    }

    /// A ready file has got its variants.
    pub fn with_variants(
        &self,
        variants: BTreeMap<String, Variant>,
        now: Timestamp,
    ) -> Option<Self> {
        let is_allowed = self.status == FileStatus::Ready;
        is_allowed.then(|| {
            let mut noted = self.moved(FileStatus::Ready, now);
            noted.variants = variants;
            noted
        })
    }

    /// Ready → deleted. Nobody sees it any more; its objects go by and by, and then its row.
    pub fn deleted(&self, now: Timestamp) -> Option<Self> {
        let is_allowed = self.status == FileStatus::Ready;
        is_allowed.then(|| self.moved(FileStatus::Deleted, now))
    }

    fn moved(&self, status: FileStatus, now: Timestamp) -> Self {
        let mut moved = self.clone();
        moved.status = status;
        moved.updated_at = now;
        moved.version += 1;
        moved
    }
}

/// What was stored of a file, once its bytes were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub content_type: ContentType,
    pub size: u64,
    pub hash: String,
    pub width: Option<u32>,
    pub height: Option<u32>,
}

/// An image made of an image, for one size of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    pub content_type: ContentType,
    pub width: u32,
    pub height: u32,
    /// In bytes.
    pub size: u64,
}

/// How a variant is made. It is never larger than the image that it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VariantKind {
    pub name: &'static str,
    /// What the longer side is at most, in pixels.
    pub side: u32,
    /// Whether a square is cut from the middle.
    pub is_square: bool,
}

impl VariantKind {
    const fn square(name: &'static str, side: u32) -> Self {
        let is_square = true;
        Self {
            name,
            side,
            is_square,
        }
    }

    const fn fitting(name: &'static str, side: u32) -> Self {
        let is_square = false;
        Self {
            name,
            side,
            is_square,
        }
    }
}

const OF_AVATARS: [VariantKind; 3] = [
    VariantKind::square("64", 64),
    VariantKind::square("256", 256),
    VariantKind::square("512", 512),
];

const OF_ITEM_IMAGES: [VariantKind; 2] = [
    VariantKind::fitting("256", 256),
    VariantKind::fitting("1024", 1_024),
];

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Purpose {
    /// The picture of its owner.
    Avatar,
    ItemImage {
        item_id: Uuid,
    },
    /// Whatever its owner keeps here.
    Upload,
    /// An image that was made on request.
    Processed,
}

impl Purpose {
    /// Whether anybody may see it.
    pub fn is_public(&self) -> bool {
        match self {
            Self::Avatar | Self::ItemImage { .. } => true,
            Self::Upload | Self::Processed => false,
        }
    }

    /// What variants are made of it.
    pub fn variants(&self) -> &'static [VariantKind] {
        match self {
            Self::Avatar => &OF_AVATARS,
            Self::ItemImage { .. } => &OF_ITEM_IMAGES,
            Self::Upload | Self::Processed => &[],
        }
    }
}

/// How far a file has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileStatus {
    /// Announced; its bytes are on their way, or not checked yet.
    Pending,
    /// Checked and stored.
    Ready,
    /// Gone for everybody; only its objects may still be there.
    Deleted,
}

impl FileStatus {
    pub const ALL: [Self; 3] = [Self::Pending, Self::Ready, Self::Deleted];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Deleted => "deleted",
        }
    }
}

/// The types that we take. Others are refused, above all those that a browser would run: HTML and SVG.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(try_from = "String")]
pub enum ContentType {
    #[serde(rename = "image/jpeg")]
    Jpeg,
    #[serde(rename = "image/png")]
    Png,
    #[serde(rename = "image/gif")]
    Gif,
    #[serde(rename = "image/webp")]
    Webp,
    #[serde(rename = "application/pdf")]
    Pdf,
    #[serde(rename = "text/plain")]
    Text,
}

impl ContentType {
    pub const ALL: [Self; 6] = [
        Self::Jpeg,
        Self::Png,
        Self::Gif,
        Self::Webp,
        Self::Pdf,
        Self::Text,
    ];

    /// The type that a MIME type names, whatever its case and its parameters. `None` for one that we do not take.
    pub fn parse(text: &str) -> Option<Self> {
        let (essence, _parameters) = text.split_once(';').unwrap_or((text, ""));
        let is_named = |known: &Self| known.as_str().eq_ignore_ascii_case(essence.trim());
        Self::ALL.into_iter().find(is_named)
    }

    /// As a MIME type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Pdf => "application/pdf",
            Self::Text => "text/plain",
        }
    }

    /// What the names of such files end with, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::Webp => "webp",
            Self::Pdf => "pdf",
            Self::Text => "txt",
        }
    }

    pub fn is_image(self) -> bool {
        match self {
            Self::Jpeg | Self::Png | Self::Gif | Self::Webp => true,
            Self::Pdf | Self::Text => false,
        }
    }

    /// The type whose names end like this.
    fn of_extension(extension: &str) -> Option<Self> {
        let lower = extension.to_ascii_lowercase();
        match lower.as_str() {
            "jpeg" => Some(Self::Jpeg),
            lower => Self::ALL.into_iter().find(|t| t.extension() == lower),
        }
    }
}

impl TryFrom<String> for ContentType {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let refused = || {
            let known = Self::ALL.map(Self::as_str).join(", ");
            Invalid::new("unsupported_content", format!("must be one of {known}"))
        };
        Self::parse(&text).ok_or_else(refused)
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a client calls a file: 1 to 100 characters that are safe as the name of a file everywhere. Never refused, but
/// cleaned: people do not choose such names by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(from = "String", into = "String")]
#[schema(value_type = String, example = "blanket.jpg")]
pub struct Filename(String);

impl Filename {
    /// The last segment of a path of any system, without what could lead elsewhere, hide something, or turn around
    /// what is read: `photo\u{202e}gpj.exe` looks like `photoexe.jpg`.
    pub fn new(sent: &str) -> Self {
        let last = sent.rsplit(['/', '\\']).next().unwrap_or_default();
        // Twice, because the normal form of some characters is a quote, and what was between others is gone.
        let name: String = last.nfc().filter(|c| is_harmless(*c)).nfc().collect();
        let name = shortened(trimmed(&name));
        if name.is_empty() {
            return Self("file".to_owned());
        }
        match is_reserved(&name) {
            true => Self(shortened(&format!("_{name}"))),
            false => Self(name),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with the extension of a type, in the place of that of another type, or else behind what is there: what
    /// is opened by its name is opened as what it is.
    pub fn with_extension_of(&self, content_type: ContentType) -> Self {
        let (stem, extension) = split(&self.0);
        let known = extension.and_then(ContentType::of_extension);
        if known == Some(content_type) {
            return self.clone();
        }
        let stem = if known.is_some() { stem } else { &self.0 };
        Self::new(&format!("{stem}.{}", content_type.extension()))
    }
}

impl From<String> for Filename {
    fn from(sent: String) -> Self {
        Self::new(&sent)
    }
}

impl From<&str> for Filename {
    fn from(sent: &str) -> Self {
        Self::new(sent)
    }
}

impl From<Filename> for String {
    fn from(name: Filename) -> String {
        name.0
    }
}

impl fmt::Display for Filename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a character may be in a name. Not those that cannot be seen, among them those that change the direction of
/// writing; not quotes, which end the name in a header; and not what Windows knows no file by.
fn is_harmless(c: char) -> bool {
    let is_invisible = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}');
    let is_special = matches!(c, '"' | '\'' | '`' | '<' | '>' | ':' | '|' | '?' | '*');
    !c.is_control() && !is_invisible && !is_special
}

/// Without dots and blanks around: at the beginning they hide a file, at the end Windows drops them.
fn trimmed(name: &str) -> &str {
    name.trim_matches(|c: char| c == '.' || c.is_whitespace())
}

/// As many characters as a name may have, with its extension.
fn shortened(name: &str) -> String {
    if name.chars().count() <= LONGEST_NAME {
        return name.to_owned();
    }
    let (stem, extension) = match split(name) {
        (stem, Some(extension)) => (stem, format!(".{extension}")),
        (stem, None) => (stem, String::new()),
    };
    let short: String = stem.chars().take(LONGEST_NAME - extension.len()).collect();
    format!("{}{extension}", trimmed(&short))
}

/// A name without its extension, and that: up to ten letters and digits after the last dot.
fn split(name: &str) -> (&str, Option<&str>) {
    let is_extension = |text: &str| {
        (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    match name.rsplit_once('.') {
        Some((stem, extension)) if is_extension(extension) => (stem, Some(extension)),
        _ => (name, None),
    }
}

/// Whether Windows takes a name for a device's, which it does whatever the extension.
fn is_reserved(name: &str) -> bool {
    let base = name.split('.').next().unwrap_or_default();
    let base = base.trim_end().to_ascii_uppercase();
    let is_numbered = |start: &str| {
        let number = base.strip_prefix(start);
        number.is_some_and(|n| n.chars().count() == 1 && n.chars().all(char::is_numeric))
    };
    matches!(
        base.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) || is_numbered("COM")
        || is_numbered("LPT")
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);
    const LATER: Timestamp = Timestamp::constant(1_700_000_060, 0);

    fn file(purpose: Purpose) -> File {
        let name = Filename::new("blanket.webp");
        File::new(Uuid::nil(), purpose, name, ContentType::Webp, 2_000, NOW)
    }

    fn stored() -> Stored {
        Stored {
            content_type: ContentType::Png,
            size: 3_000,
            hash: "hash".to_owned(),
            width: Some(640),
            height: Some(480),
        }
    }

    fn variants() -> BTreeMap<String, Variant> {
        let variant = Variant {
            content_type: ContentType::Jpeg,
            width: 64,
            height: 64,
            size: 900,
        };
        BTreeMap::from([("64".to_owned(), variant)])
    }

    /// A file in each status.
    fn in_all_states() -> [File; 3] {
        let pending = file(Purpose::Upload);
        let ready = pending.ready(&stored(), NOW).unwrap();
        let deleted = ready.deleted(NOW).unwrap();
        [pending, ready, deleted]
    }

    #[test]
    fn a_file_goes_one_way() {
        type Move = fn(&File) -> Option<File>;
        let moves: [(Move, FileStatus, FileStatus); 3] = [
            (
                |file| file.ready(&stored(), LATER),
                FileStatus::Pending,
                FileStatus::Ready,
            ),
            (
                |file| file.with_variants(variants(), LATER),
                FileStatus::Ready,
                FileStatus::Ready,
            ),
            (
                |file| file.deleted(LATER),
                FileStatus::Ready,
                FileStatus::Deleted,
            ),
        ];
        for (go, from, to) in moves {
            for before in in_all_states() {
                let Some(after) = go(&before) else {
                    assert_ne!(before.status, from, "to {to:?}");
                    continue;
                };
                assert_eq!((before.status, after.status), (from, to));
                assert_eq!(after.version, before.version + 1);
                assert_eq!((after.created_at, after.updated_at), (NOW, LATER));
                assert_eq!((after.id, after.owner_id), (before.id, before.owner_id));
            }
        }
    }

    #[test]
    fn a_ready_file_is_what_was_stored() {
        let pending = file(Purpose::Avatar);
        let ready = pending.ready(&stored(), LATER).unwrap();
        assert_eq!(ready.filename.as_str(), "blanket.png");
        assert_eq!(ready.content_type, ContentType::Png);
        assert_eq!((ready.size, ready.hash.as_deref()), (3_000, Some("hash")));
        assert_eq!((ready.width, ready.height), (Some(640), Some(480)));
        assert_eq!(ready.variants, BTreeMap::new());
        let noted = ready.with_variants(variants(), LATER).unwrap();
        assert_eq!(noted.variants, variants());
        assert_eq!(noted.hash, ready.hash);
    }

    #[test]
    fn only_a_pending_file_expires() {
        let after = |seconds| NOW + SignedDuration::from_secs(seconds);
        let [pending, ready, deleted] = in_all_states();
        assert!(!pending.is_expired(NOW));
        assert!(!pending.is_expired(after(45 * 60 - 1)));
        assert!(pending.is_expired(after(45 * 60)));
        assert!(!ready.is_expired(after(1_000_000)));
        assert!(!deleted.is_expired(after(1_000_000)));
        // Clocks differ.
        assert!(!pending.is_expired(after(-60)));
    }

    #[test]
    fn what_is_shown_to_all_has_variants() {
        let item_image = Purpose::ItemImage {
            item_id: Uuid::nil(),
        };
        for (purpose, is_public, names) in [
            (Purpose::Avatar, true, &["64", "256", "512"][..]),
            (item_image, true, &["256", "1024"]),
            (Purpose::Upload, false, &[]),
            (Purpose::Processed, false, &[]),
        ] {
            assert_eq!(purpose.is_public(), is_public, "{purpose:?}");
            let kinds = purpose.variants();
            assert!(kinds.iter().map(|kind| kind.name).eq(names.iter().copied()));
            for kind in kinds {
                assert_eq!(kind.name, kind.side.to_string());
                assert_eq!(kind.is_square, purpose == Purpose::Avatar);
            }
        }
    }

    #[test]
    fn statuses_and_types_are_called_the_same_everywhere() {
        for status in FileStatus::ALL {
            assert_eq!(json!(status), json!(status.as_str()));
        }
        for known in ContentType::ALL {
            assert_eq!(json!(known), json!(known.as_str()));
            assert_eq!(ContentType::parse(known.as_str()), Some(known));
            let again = serde_json::from_value::<ContentType>(json!(known.as_str()));
            assert_eq!(again.unwrap(), known);
            assert_eq!(known.is_image(), known.as_str().starts_with("image/"));
        }
    }

    #[test]
    fn content_types() {
        for (text, expected) in [
            ("image/jpeg", Some(ContentType::Jpeg)),
            ("IMAGE/PNG", Some(ContentType::Png)),
            ("text/plain; charset=utf-8", Some(ContentType::Text)),
            (" text/plain ;charset=utf-8", Some(ContentType::Text)),
            ("image/jpg", None),
            ("image/svg+xml", None),
            ("text/html", None),
            ("text/plain,text/html", None),
            ("image", None),
            ("image/*", None),
            ("; image/png", None),
            ("", None),
        ] {
            assert_eq!(ContentType::parse(text), expected, "{text:?}");
        }
        let error = serde_json::from_str::<ContentType>("\"image/svg+xml\"").unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("[unsupported_content] must be one of image/jpeg, image/png, "),
            "{error}"
        );
    }

    #[test]
    fn names_are_cleaned() {
        let (long, longest) = ("ä".repeat(200), "ä".repeat(100));
        let long_photo = format!("{long}.jpeg");
        let longest_photo = format!("{}.jpeg", "ä".repeat(95));
        let blank_at_the_cut = format!("{} {long}.jpeg", "a".repeat(94));
        let cut_before_the_blank = format!("{}.jpeg", "a".repeat(94));
        let long_device = format!("nul.{long}");
        let longest_device = format!("_nul.{}", "ä".repeat(95));
        for (sent, expected) in [
            ("blanket.jpg", "blanket.jpg"),
            ("  My blanket (1).JPG ", "My blanket (1).JPG"),
            ("", "file"),
            // Paths, and what leads out of a folder.
            ("../../etc/passwd", "passwd"),
            ("/etc/shadow", "shadow"),
            (r"C:\Users\Ada\photo.png", "photo.png"),
            (r"C:\fakepath\photo.png", "photo.png"),
            (r"\\server\share\photo.png", "photo.png"),
            (r"a/b\c/..\photo.png", "photo.png"),
            ("..", "file"),
            ("../..", "file"),
            (r"..\", "file"),
            ("photos/", "file"),
            ("C:photo.png", "Cphoto.png"),
            // Hidden files, and what Windows drops.
            (".htaccess", "htaccess"),
            ("...photo.png", "photo.png"),
            (". .photo.png", "photo.png"),
            ("photo.png. . ", "photo.png"),
            ("photo.txt::$DATA", "photo.txt$DATA"),
            // Control characters and what means something elsewhere.
            ("pho\0to.png", "photo.png"),
            ("photo\r\nSet-Cookie: a=b.png", "photoSet-Cookie a=b.png"),
            ("pho\u{7f}to\u{85}.png", "photo.png"),
            ("\"pho'to`\".png", "photo.png"),
            ("<script>.png", "script.png"),
            ("what? a*b|c.png", "what abc.png"),
            ("\u{1}\u{2}", "file"),
            ("\"\"", "file"),
            // Unicode: composed, and nothing that cannot be seen.
            ("Cafe\u{301}.png", "Café.png"),
            ("e\u{200b}\u{301}.png", "é.png"),
            ("写真 🙂.png", "写真 🙂.png"),
            ("تصویر.png", "تصویر.png"),
            ("\u{a0}photo.png\u{3000}", "photo.png"),
            ("photo\u{202e}gnp.exe", "photognp.exe"),
            ("\u{2066}photo\u{2069}.png", "photo.png"),
            ("\u{feff}pho\u{ad}to\u{200d}.png", "photo.png"),
            ("photo\u{2028}\u{2029}.png", "photo.png"),
            ("photo\u{e0061}.png", "photo.png"),
            ("\u{200f}\u{3164}", "file"),
            // Names of devices.
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("Aux .tar.gz", "_Aux .tar.gz"),
            ("com1.png", "_com1.png"),
            ("COM¹.png", "_COM¹.png"),
            ("lpt9", "_lpt9"),
            ("com10.png", "com10.png"),
            ("console.png", "console.png"),
            ("comα.png", "comα.png"),
            // Long ones.
            (long.as_str(), longest.as_str()),
            (&longest, &longest),
            (&long_photo, &longest_photo),
            (&blank_at_the_cut, &cut_before_the_blank),
            (&long_device, &longest_device),
        ] {
            let name = Filename::new(sent);
            assert_eq!(name.as_str(), expected, "for {sent:?}");
            assert_eq!(Filename::new(expected), name, "again, for {sent:?}");
        }
    }

    #[test]
    fn every_name_is_safe_and_comes_back_from_the_table() {
        const PARTS: &str = "a Z 1 e 🙂 . . .. / \\ \" ' ` < : ? * con nul. com1 jpeg txt \0 \u{1} \u{7f} \u{a0} \
            \u{301} \u{338} \u{202e} \u{200b} \u{feff} \u{1f5a} \u{37e} \u{1fef} \u{2000}";
        let parts: Vec<&str> = PARTS.split(' ').chain([" "]).collect();
        let mut random = Rng::with_seed(6);
        for _ in 0..3_000 {
            let most = random.choice([8, 40, 150]).unwrap();
            let length = random.usize(0..=most);
            let letters = (0..length).map(|_| parts[random.usize(..parts.len())]);
            let sent: String = letters.collect();
            let name = Filename::new(&sent);
            for name in ContentType::ALL
                .map(|of| name.with_extension_of(of))
                .iter()
                .chain([&name])
            {
                let text = name.as_str();
                assert!(
                    (1..=LONGEST_NAME).contains(&text.chars().count()),
                    "{sent:?}"
                );
                assert!(text.chars().all(is_harmless), "{sent:?}");
                assert!(!text.contains(['/', '\\']), "{sent:?}");
                assert_eq!(trimmed(text), text, "{sent:?}");
                assert!(!is_reserved(text), "{sent:?}");
                assert!(text.nfc().eq(text.chars()), "{sent:?}");
                assert_eq!(Filename::new(text), *name, "{sent:?}");
            }
        }
    }

    #[test]
    fn the_extension_follows_the_type() {
        let long = "a".repeat(100);
        let long_png = format!("{}.png", "a".repeat(96));
        for (name, content_type, expected) in [
            ("photo.png", ContentType::Png, "photo.png"),
            ("photo.JPEG", ContentType::Jpeg, "photo.JPEG"),
            ("photo.gif", ContentType::Png, "photo.png"),
            ("photo.webp", ContentType::Jpeg, "photo.jpg"),
            ("photo.txt.gif", ContentType::Png, "photo.txt.png"),
            ("photo", ContentType::Jpeg, "photo.jpg"),
            ("v1.2", ContentType::Pdf, "v1.2.pdf"),
            ("setup.exe", ContentType::Png, "setup.exe.png"),
            ("data.csv", ContentType::Text, "data.csv.txt"),
            ("page.html", ContentType::Text, "page.html.txt"),
            ("con", ContentType::Text, "_con.txt"),
            (&long, ContentType::Png, &long_png),
        ] {
            let name = Filename::new(name).with_extension_of(content_type);
            assert_eq!(name.as_str(), expected);
            assert_eq!(name.with_extension_of(content_type), name);
        }
    }

    #[test]
    fn what_is_stored_comes_back() {
        let item_image = Purpose::ItemImage {
            item_id: Uuid::nil(),
        };
        let [pending, ready, deleted] = in_all_states();
        let noted = file(item_image).ready(&stored(), NOW).unwrap();
        let noted = noted.with_variants(variants(), LATER).unwrap();
        for file in [&pending, &ready, &deleted, &noted] {
            let json = serde_json::to_value(file).unwrap();
            assert_eq!(serde_json::from_value::<File>(json).unwrap(), *file);
            let item: serde_dynamo::Item = serde_dynamo::to_item(file).unwrap();
            assert_eq!(serde_dynamo::from_item::<_, File>(item).unwrap(), *file);
        }

        let json = json!(pending);
        for absent in ["hash", "width", "height", "variants"] {
            assert_eq!(json.get(absent), None, "{absent}");
        }
        assert_eq!(json["purpose"], json!({"kind": "upload"}));
        let json = json!(noted);
        let item_id = Uuid::nil();
        let purpose = json!({"kind": "item_image", "item_id": item_id});
        assert_eq!(json["purpose"], purpose);
        assert_eq!(json["variants"]["64"]["content_type"], "image/jpeg");
    }
}
