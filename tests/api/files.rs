//! What people do with files: avatars, images of items, uploads through the bucket, images made smaller, and what is
//! refused. Pictures are made here, so that each byte of them is known; what is stored is read through the links that
//! people get.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use futures_util::future::{join, join_all};
use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, Frame, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use lambda_http::aws_lambda_events::sqs::SqsEvent;
use serde_json::{Value, json};
use shared::bucket::{Bucket, keys};
use shared::models::file::{File, FileStatus, MOST_BYTES, MOST_DIRECT_BYTES, Purpose};
use shared::store::tasks::GRACE;
use tests::faults::{Fault, Faults, Schedule};
use tests::{Actor, Answer, Stage, s3_wants_signatures};
use uuid::Uuid;
use worker::Worker;

use crate::faults::calls;
use crate::items::{item_path, sell};
use crate::orders::{again, stored};
use crate::people::{ME, all_of, delete, members, path_of, settle, texts, work};

/// Names and values.
type Fields<'a> = &'a [(&'a str, &'a str)];

const FILES: &str = "/api/v1/files";
const AVATAR: &str = "/api/v1/files/avatar";
const UPLOADS: &str = "/api/v1/files/uploads";
const PROCESS: &str = "/api/v1/files/process-image";

/// How long after its beginning a file is looked at that may never have been finished, in seconds.
const CHECK_AFTER: i64 = 3_600;

/// How long the form of an upload is good for, in seconds.
const FORM_SECONDS: i64 = 900;

const JPEG: &str = "image/jpeg";
const PNG: &str = "image/png";
const GIF: &str = "image/gif";
const WEBP: &str = "image/webp";
const PDF: &str = "application/pdf";
const TEXT: &str = "text/plain";

/// What is known of every file, and of an image besides.
const MEMBERS: [&str; 8] = [
    "content_type",
    "created_at",
    "filename",
    "id",
    "is_public",
    "size",
    "url",
    "variants",
];
const IMAGE_MEMBERS: [&str; 10] = [
    "content_type",
    "created_at",
    "filename",
    "height",
    "id",
    "is_public",
    "size",
    "url",
    "variants",
    "width",
];

fn file_path(id: &str) -> String {
    format!("{FILES}/{id}")
}

fn info_path(id: &str) -> String {
    format!("{FILES}/{id}/info")
}

fn images_path(item: &str) -> String {
    format!("{}/images", item_path(item))
}

fn complete_path(id: &str) -> String {
    format!("{UPLOADS}/{id}/complete")
}

/// The last part of a path.
fn id_of(url: &Value) -> String {
    let url = url.as_str().unwrap();
    url.rsplit('/').next().unwrap().to_owned()
}

// ---- Forms.

const BOUNDARY: &str = "-----a-boundary-that-is-nowhere-else";

/// A multipart form, without its end.
#[derive(Clone, Default)]
struct Form(Vec<u8>);

impl Form {
    /// What a handler takes that wants one file.
    fn of(bytes: &[u8]) -> Self {
        Self::default().file("file", "picture", bytes)
    }

    /// What takes the images of an item.
    fn of_all<'a>(images: impl IntoIterator<Item = &'a Vec<u8>>) -> Self {
        let add = |form: Self, bytes: &Vec<u8>| form.file("files", "picture", bytes);
        images.into_iter().fold(Self::default(), add)
    }

    /// A file of this name. What it says of its type is a lie.
    fn file(self, field: &str, name: &str, bytes: &[u8]) -> Self {
        let disposition = format!("name=\"{field}\"; filename=\"{name}\"");
        self.part(&disposition, "Content-Type: text/html\r\n", bytes)
    }

    fn text(self, field: &str, value: &str) -> Self {
        self.part(&format!("name=\"{field}\""), "", value.as_bytes())
    }

    fn part(mut self, disposition: &str, headers: &str, bytes: &[u8]) -> Self {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n{headers}\r\n"
        );
        self.0.extend_from_slice(head.as_bytes());
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    fn kind() -> String {
        format!("multipart/form-data; boundary={BOUNDARY}")
    }

    fn body(&self) -> Vec<u8> {
        let end = format!("--{BOUNDARY}--\r\n");
        joined(&[&self.0, end.as_bytes()])
    }
}

async fn send(actor: &Actor<'_>, path: &str, form: &Form) -> Answer {
    let kind = Form::kind();
    actor.send("POST", path, Some(&kind), &form.body()).await
}

// ---- Pictures.

const RED: [u8; 3] = [220, 20, 20];
const GREEN: [u8; 3] = [20, 180, 20];
const BLUE: [u8; 3] = [20, 20, 220];
const YELLOW: [u8; 3] = [230, 220, 20];

/// A picture with a quarter of each colour: red and green above, blue and yellow below.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let is_left = x < width / 2;
        let is_above = y < height / 2;
        Rgb(match (is_left, is_above) {
            (true, true) => RED,
            (false, true) => GREEN,
            (true, false) => BLUE,
            (false, false) => YELLOW,
        })
    })
}

fn encoded(picture: DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let picture = DynamicImage::ImageRgb8(picture(width, height));
    encoded(picture, ImageFormat::Jpeg)
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let picture = DynamicImage::ImageRgb8(picture(width, height));
    encoded(picture, ImageFormat::Png)
}

fn gif(width: u32, height: u32) -> Vec<u8> {
    let picture = DynamicImage::ImageRgb8(picture(width, height));
    encoded(picture, ImageFormat::Gif)
}

fn webp(width: u32, height: u32) -> Vec<u8> {
    let picture = DynamicImage::ImageRgb8(picture(width, height));
    encoded(picture, ImageFormat::WebP)
}

/// A picture whose left half cannot be seen.
fn half_transparent(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let picture = RgbaImage::from_fn(width, height, |x, _| {
        let [red, green, blue] = GREEN;
        Rgba([red, green, blue, if x < width / 2 { 0 } else { 255 }])
    });
    encoded(DynamicImage::ImageRgba8(picture), format)
}

/// The colours of the four quarters, as letters: `RGBY` as they are made. `W` and `K` are white and black.
fn quarters(image: &DynamicImage) -> String {
    let image = image.to_rgb8();
    let (width, height) = image.dimensions();
    let known = [
        ('R', RED),
        ('G', GREEN),
        ('B', BLUE),
        ('Y', YELLOW),
        ('W', [255; 3]),
        ('K', [0; 3]),
    ];
    let places = [(1, 1), (3, 1), (1, 3), (3, 3)];
    let letters = places.map(|(x, y)| {
        let found = image.get_pixel(width * x / 4, height * y / 4).0;
        let distance = |colour: [u8; 3]| -> u32 {
            let both = colour.into_iter().zip(found);
            both.map(|(a, b)| u32::from(a.abs_diff(b))).sum()
        };
        let nearest = known.into_iter().min_by_key(|(_, c)| distance(*c)).unwrap();
        assert!(distance(nearest.1) < 60, "{found:?}");
        nearest.0
    });
    letters.into_iter().collect()
}

/// What no stored image may hold: who has made it, and where.
const CAMERA: &[u8] = b"SheafCamera";
const LATITUDE: [u32; 6] = [52, 1, 31, 1, 123_457, 1_000];
const LONGITUDE: [u32; 6] = [13, 1, 24, 1, 987_653, 1_000];

/// What a camera notes (EXIF 2.3): which way up, its name, and where it was.
fn exif(orientation: u16) -> Vec<u8> {
    let entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        let mut entry = Vec::new();
        entry.extend_from_slice(&tag.to_le_bytes());
        entry.extend_from_slice(&kind.to_le_bytes());
        entry.extend_from_slice(&count.to_le_bytes());
        entry.extend_from_slice(&value);
        entry
    };
    let directory = |entries: &[Vec<u8>]| {
        let count = u16::try_from(entries.len()).unwrap();
        joined(&[&count.to_le_bytes(), &entries.concat(), &[0; 4]])
    };
    let rationals = |numbers: [u32; 6]| numbers.map(u32::to_le_bytes).concat();
    // The first directory begins at 8 and has 42 bytes, the second begins behind the name and has 54.
    let (name, position, latitude, longitude) = (50_u32, 62_u32, 116_u32, 140_u32);
    let [low, high] = orientation.to_le_bytes();
    [
        b"II*\0\x08\0\0\0".to_vec(),
        directory(&[
            entry(0x010f, 2, 12, name.to_le_bytes()),
            entry(0x0112, 3, 1, [low, high, 0, 0]),
            entry(0x8825, 4, 1, position.to_le_bytes()),
        ]),
        joined(&[CAMERA, b"\0"]),
        directory(&[
            entry(1, 2, 2, *b"N\0\0\0"),
            entry(2, 5, 3, latitude.to_le_bytes()),
            entry(3, 2, 2, *b"E\0\0\0"),
            entry(4, 5, 3, longitude.to_le_bytes()),
        ]),
        rationals(LATITUDE),
        rationals(LONGITUDE),
    ]
    .concat()
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn insert(bytes: &[u8], at: usize, more: &[u8]) -> Vec<u8> {
    joined(&[&bytes[..at], more, &bytes[at..]])
}

/// A segment of a JPEG.
fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 2).unwrap();
    joined(&[&[0xff, marker], &length.to_be_bytes(), content])
}

/// A JPEG with all that a camera and its programs note.
fn noted_jpeg(jpeg: &[u8], orientation: u16) -> Vec<u8> {
    let exif = joined(&[b"Exif\0\0", &exif(orientation)]);
    let xmp = joined(&[b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>", CAMERA]);
    let segments = [
        segment(0xe1, &exif),
        segment(0xe1, &xmp),
        segment(0xed, &joined(&[b"Photoshop 3.0\0", CAMERA])),
        segment(0xfe, CAMERA),
    ];
    insert(jpeg, 2, &segments.concat())
}

/// CRC-32, as a PNG has it.
fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let mask = if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
            crc = (crc >> 1) ^ mask;
        }
    }
    (!crc).to_be_bytes()
}

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    let named = joined(&[kind, content]);
    joined(&[&length, &named, &crc(&named)])
}

/// A PNG with the same.
fn noted_png(png: &[u8], orientation: u16) -> Vec<u8> {
    let chunks = [
        chunk(b"eXIf", &exif(orientation)),
        chunk(b"tEXt", &joined(&[b"Comment\0", CAMERA])),
    ];
    // Behind the signature and the header.
    insert(png, 8 + 25, &chunks.concat())
}

fn riff(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (kind, content) in chunks {
        body.extend_from_slice(*kind);
        let length = u32::try_from(content.len()).unwrap();
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(content);
        body.resize(body.len().next_multiple_of(2), 0);
    }
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    joined(&[b"RIFF", &length, &body])
}

/// A WebP of this size with the same, made of a simple one.
fn noted_webp(webp: &[u8], (width, height): (u32, u32), orientation: u16) -> Vec<u8> {
    let kind: &[u8; 4] = webp[12..16].try_into().unwrap();
    let length = u32::from_le_bytes(webp[16..20].try_into().unwrap()) as usize;
    let side = |side: u32| (side - 1).to_le_bytes();
    // Says that there is EXIF.
    let flags = [0x08, 0, 0, 0];
    let header = joined(&[&flags, &side(width)[..3], &side(height)[..3]]);
    riff(&[
        (b"VP8X", &header),
        (kind, &webp[20..20 + length]),
        (b"EXIF", &exif(orientation)),
    ])
}

/// A GIF with a comment.
fn noted_gif(gif: &[u8], comment: &[u8]) -> Vec<u8> {
    let packed = gif[10];
    let palette = match packed & 0x80 {
        0 => 0,
        _ => 3 << ((packed & 7) + 1),
    };
    let length = u8::try_from(comment.len()).unwrap();
    let block = joined(&[&[0x21, 0xfe, length], comment, &[0]]);
    insert(gif, 13 + palette, &block)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Asserts that nothing is left of what a camera has noted.
#[track_caller]
fn assert_bare(bytes: &[u8], story: &str) {
    let position = [LATITUDE, LONGITUDE].map(|numbers| numbers.map(u32::to_le_bytes).concat());
    let marks: [&[u8]; 8] = [
        CAMERA,
        b"Exif",
        b"eXIf",
        b"EXIF",
        b"adobe",
        b"<script",
        &position[0],
        &position[1],
    ];
    for mark in marks {
        let mark_told = String::from_utf8_lossy(mark);
        assert!(!contains(bytes, mark), "{story} has {mark_told}");
    }
}

/// An image that says in its header that it is larger than it is.
fn enlarged_png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = png(4, 4);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = crc(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc);
    bytes
}

fn enlarged_jpeg(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = jpeg(16, 16);
    let mut at = 2;
    // The frame header, baseline or progressive.
    while !matches!(bytes[at + 1], 0xc0..=0xc2) {
        at += 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
    }
    bytes[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
    bytes[at + 7..at + 9].copy_from_slice(&width.to_be_bytes());
    bytes
}

fn enlarged_gif(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = gif(4, 4);
    bytes[6..8].copy_from_slice(&width.to_le_bytes());
    bytes[8..10].copy_from_slice(&height.to_le_bytes());
    bytes
}

fn enlarged_webp(width: u32, height: u32) -> Vec<u8> {
    noted_webp(&webp(4, 4), (width, height), 1)
}

// ---- Documents.

fn pdf() -> Vec<u8> {
    let text = "%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n\
        startxref\n9\n%%EOF\n";
    text.as_bytes().to_vec()
}

fn zip() -> Vec<u8> {
    let mut zip = b"PK\x03\x04\x14\0\0\0\0\0".to_vec();
    zip.extend_from_slice(&[0; 20]);
    zip.extend_from_slice(b"PK\x05\x06");
    zip.extend_from_slice(&[0; 18]);
    zip
}

// ---- S3, as a browser speaks to it.

/// What S3 answers.
struct Fetched {
    status: u16,
    headers: ureq::http::HeaderMap,
    body: Vec<u8>,
}

impl Fetched {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    #[track_caller]
    fn image(&self) -> DynamicImage {
        image::load_from_memory(&self.body).unwrap()
    }
}

fn call(request: ureq::http::Request<impl ureq::AsSendBody>) -> Fetched {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let agent = ureq::Agent::new_with_config(config.build());
    let mut response = agent.run(request).unwrap();
    let body = response.body_mut().with_config().limit(100_000_000);
    let body = body.read_to_vec().unwrap();
    Fetched {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body,
    }
}

fn fetch(url: &str) -> Fetched {
    call(ureq::http::Request::get(url).body(()).unwrap())
}

/// Follows the link to a file, or to a variant of it.
async fn follow(actor: &Actor<'_>, path: &str) -> Fetched {
    let sent = actor.get(path).await.expect(302);
    fetch(sent.header("location")).expect(200)
}

/// An upload that was begun.
#[derive(Clone)]
struct Upload {
    id: String,
    url: String,
    fields: BTreeMap<String, String>,
}

impl Upload {
    #[track_caller]
    fn of(begun: Answer) -> Self {
        let begun = begun.expect(201);
        Self {
            id: begun.text("id"),
            url: begun.text("url"),
            fields: serde_json::from_value(begun.json()["fields"].clone()).unwrap(),
        }
    }

    /// Posts the form with these bytes. Answers the status.
    fn post(&self, bytes: &[u8]) -> u16 {
        let fields = self.fields.iter();
        let form = fields.fold(Form::default(), |form, (name, value)| {
            form.text(name, value)
        });
        self.post_form(&form.file("file", "upload", bytes))
    }

    fn post_form(&self, form: &Form) -> u16 {
        let request = ureq::http::Request::post(self.url.as_str());
        let request = request.header("content-type", Form::kind());
        call(request.body(form.body()).unwrap()).status
    }

    /// The same, and S3 takes it.
    #[track_caller]
    fn expect_posted(&self, bytes: &[u8]) {
        let status = self.post(bytes);
        assert!((200..300).contains(&status), "{status}");
    }

    /// The same form with another value of a field, whatever its case. `None` leaves the field out.
    fn with(&self, name: &str, value: Option<&str>) -> Self {
        let mut other = self.clone();
        let is_named = |known: &String| known.eq_ignore_ascii_case(name);
        let known = other.fields.keys().find(|known| is_named(known)).cloned();
        let known = known.unwrap_or_else(|| name.to_owned());
        match value {
            Some(value) => other.fields.insert(known, value.to_owned()),
            None => other.fields.remove(&known),
        };
        other
    }

    fn field(&self, name: &str) -> &str {
        let mut fields = self.fields.iter();
        let found = fields.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.unwrap().1
    }
}

fn announced(name: &str, kind: &str, size: usize) -> Value {
    json!({"filename": name, "content_type": kind, "size": size})
}

async fn begin(actor: &Actor<'_>, name: &str, kind: &str, bytes: &[u8]) -> Upload {
    let begun = actor.post(UPLOADS, announced(name, kind, bytes.len()));
    Upload::of(begun.await)
}

async fn complete(actor: &Actor<'_>, id: &str) -> Answer {
    actor.send("POST", &complete_path(id), None, b"").await
}

/// Uploads something through the bucket. Answers the file.
async fn upload(actor: &Actor<'_>, name: &str, kind: &str, bytes: &[u8]) -> Value {
    let upload = begin(actor, name, kind, bytes).await;
    upload.expect_posted(bytes);
    complete(actor, &upload.id).await.expect(200).json()
}

async fn set_avatar(actor: &Actor<'_>, bytes: &[u8]) -> Value {
    send(actor, AVATAR, &Form::of(bytes))
        .await
        .expect(201)
        .json()
}

/// Adds images to an item. Answers the files.
async fn add_images(actor: &Actor<'_>, item: &str, images: &[Vec<u8>]) -> Vec<Value> {
    let added = send(actor, &images_path(item), &Form::of_all(images)).await;
    let added = added.expect(201).json();
    assert_eq!(members(&added), ["uploaded_files"]);
    added["uploaded_files"].as_array().unwrap().clone()
}

async fn info(actor: &Actor<'_>, id: &str) -> Value {
    actor.get(&info_path(id)).await.expect(200).json()
}

async fn avatar_url(actor: &Actor<'_>) -> Value {
    actor.get(ME).await.expect(200).json()["avatar_url"].clone()
}

/// Where the images of an item are, in their order.
async fn images_of(actor: &Actor<'_>, item: &str) -> Value {
    let item = actor.get(&item_path(item)).await.expect(200).json();
    item["images"].clone()
}

async fn my_files(actor: &Actor<'_>) -> Vec<Value> {
    all_of(actor, &format!("{FILES}?limit=7")).await
}

// ---- What is stored.

/// All objects, by their keys.
async fn objects(stage: &Stage) -> BTreeMap<String, Vec<u8>> {
    stage.objects().await
}

/// All rows, of whatever status.
async fn rows(stage: &Stage) -> Vec<File> {
    let stored = stage.stored().await;
    let text = |value: Option<&aws_sdk_dynamodb::types::AttributeValue>| {
        let text = value.and_then(|value| value.as_s().ok());
        text.cloned().unwrap_or_default()
    };
    let mut rows = Vec::new();
    for item in stored.iter().filter(|item| text(item.get("sk")) == "FILE") {
        let id: Uuid = text(item.get("id")).parse().unwrap();
        rows.extend(stage.app.store.file(id).await.unwrap());
    }
    rows
}

/// How many bytes and files each user has, as their profiles count them.
async fn counted(stage: &Stage) -> BTreeMap<String, (u64, u64)> {
    let stored = stage.stored().await;
    let profiles = stored.iter().filter(|item| {
        let sk = item.get("sk").and_then(|sk| sk.as_s().ok());
        sk.is_some_and(|sk| sk == "PROFILE")
    });
    let counts = profiles.map(|profile| {
        let number = |name: &str| -> u64 {
            let number = profile.get(name).and_then(|number| number.as_n().ok());
            number.map_or(0, |number| number.parse().unwrap())
        };
        let id = profile["id"].as_s().unwrap().clone();
        (id, (number("file_bytes"), number("files")))
    });
    counts.collect()
}

/// The objects that a ready file has.
fn objects_of(file: &File) -> BTreeSet<String> {
    let hash = file.hash.as_deref().unwrap();
    let variants = file.variants.keys();
    let variants = variants.map(|name| keys::variant(file.id, hash, name));
    variants.chain([keys::stored(file.id, hash)]).collect()
}

/// Asserts what holds at whatever moment: no object is without a row, and what a user has is what is counted.
async fn check_files(stage: &Stage, story: &str) {
    let objects = objects(stage).await;
    let rows = rows(stage).await;
    for key in objects.keys() {
        let id = key.split('/').nth(1).unwrap_or_default();
        let has_row = rows.iter().any(|file| file.id.to_string() == id);
        assert!(has_row, "{key} is nobody's: {story}");
    }
    for (user, counted) in counted(stage).await {
        let own = rows
            .iter()
            .filter(|file| file.owner_id.to_string() == user)
            .filter(|file| file.status != FileStatus::Deleted);
        let bytes: u64 = own.clone().map(|file| file.size).sum();
        assert_eq!(counted, (bytes, own.count() as u64), "{user}: {story}");
    }
}

/// The same once everything has settled: what is left is ready, and has its objects and no others.
async fn check_settled(stage: &Stage, story: &str) {
    check_files(stage, story).await;
    let rows = rows(stage).await;
    let mut expected = BTreeSet::new();
    for file in &rows {
        assert_eq!(file.status, FileStatus::Ready, "{file:?}: {story}");
        let variants = file.variants.keys().map(String::as_str);
        let kinds = file.purpose.variants().iter().map(|kind| kind.name);
        let (made, wanted): (BTreeSet<_>, BTreeSet<_>) = (variants.collect(), kinds.collect());
        assert_eq!(made, wanted, "{file:?}: {story}");
        expected.extend(objects_of(file));
    }
    // What is left of an upload or of a task goes by itself, within a day.
    let found = objects(stage).await.into_keys();
    let found: BTreeSet<_> = found.filter(|key| key.starts_with("files/")).collect();
    assert_eq!(found, expected, "{story}");
}

/// Asserts that nothing at all is stored of any file.
async fn check_empty(stage: &Stage, story: &str) {
    check_files(stage, story).await;
    let rows = rows(stage).await;
    assert!(rows.is_empty(), "{rows:?}: {story}");
    let keys: Vec<_> = objects(stage).await.into_keys().collect();
    assert_eq!(keys, Vec::<String>::new(), "{story}");
}

/// Lets all happen that waits, also what others have got in the way of.
async fn tidy(stage: &Stage) {
    stage.work().await;
    settle(stage).await;
}

/// Lets the hour pass after which every file is looked at, and all that comes of it happen.
async fn when_checked(stage: &Stage) {
    tidy(stage).await;
    stage.later(CHECK_AFTER + 1 + GRACE).await;
    stage.sweep().await;
    settle(stage).await;
}

// ---- Avatars.

#[tokio::test]
async fn an_avatar_is_set_and_replaced() {
    let stage = Stage::new().await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    assert_eq!(avatar_url(&ada).await, Value::Null);
    let before = stage.app.clock.now();

    let form = Form::default().file("file", "me at home.png", &png(300, 200));
    let set = send(&ada, AVATAR, &form).await.expect(201);
    let file = set.json();
    let id = set.text("id");
    assert_eq!(set.header("location"), file_path(&id));
    assert_eq!(members(&file), IMAGE_MEMBERS);
    for (member, value) in [
        ("filename", json!("me at home.png")),
        ("content_type", json!(PNG)),
        ("url", json!(file_path(&id))),
        ("width", json!(300)),
        ("height", json!(200)),
        ("variants", json!({})),
        ("is_public", json!(true)),
    ] {
        assert_eq!(file[member], value, "{member}");
    }
    let created: jiff::Timestamp = set.text("created_at").parse().unwrap();
    assert!(created >= before, "{created} and {before}");
    let read = ada.get(&info_path(&id)).await.expect(200);
    assert_eq!(read.json(), file);
    assert_eq!(read.header("etag"), set.header("etag"));

    // Who reads the user reads where it is, and anybody can have it.
    assert_eq!(avatar_url(&ada).await, file["url"]);
    let seen = bob.get(&path_of(&ada.id)).await.expect(200).json();
    assert_eq!(seen["avatar_url"], file["url"]);
    let found = follow(&stage.anon(), &file_path(&id)).await;
    assert_eq!(found.header("content-type"), PNG);
    assert_eq!(found.body.len() as u64, file["size"].as_u64().unwrap());
    let image = found.image();
    assert_eq!((image.width(), image.height()), (300, 200));
    assert_eq!(quarters(&image), "RGBY");
    check_files(&stage, "set").await;

    // The squares are made of the middle, by a task, and none is enlarged.
    stage
        .anon()
        .get(&format!("{}?variant=64", file_path(&id)))
        .await
        .expect_problem(404, "not_found");
    work(&stage).await;
    let variants = info(&bob, &id).await["variants"].clone();
    assert_eq!(members(&variants), ["256", "512", "64"]);
    for (name, side) in [("64", 64), ("256", 200), ("512", 200)] {
        let url = variants[name].as_str().unwrap();
        assert_eq!(url, format!("{}?variant={name}", file_path(&id)));
        let found = follow(&stage.anon(), url).await;
        assert_eq!(found.header("content-type"), JPEG, "{name}");
        let image = found.image();
        assert_eq!((image.width(), image.height()), (side, side), "{name}");
        assert_eq!(quarters(&image), "RGBY", "{name}");
    }

    // Another one comes in its place, and the former goes a moment later.
    let other = set_avatar(&ada, &jpeg(64, 64)).await;
    assert_eq!(avatar_url(&ada).await, other["url"]);
    check_files(&stage, "replaced").await;
    work(&stage).await;
    for path in [file_path(&id), info_path(&id)] {
        ada.get(&path).await.expect_problem(404, "not_found");
    }
    assert_eq!(texts(&my_files(&ada).await, "id"), [id_of(&other["url"])]);
    check_settled(&stage, "replaced").await;
    assert_eq!(rows(&stage).await.len(), 1);
    assert_eq!(avatar_url(&bob).await, Value::Null);
    when_checked(&stage).await;
    check_settled(&stage, "an hour later").await;
    assert_eq!(rows(&stage).await.len(), 1);
}

#[tokio::test]
async fn of_two_avatars_at_once_one_stays() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    set_avatar(&ada, &png(16, 16)).await;
    for round in 0..5 {
        let (one, other) = (
            Form::of(&png(20 + round, 20)),
            Form::of(&jpeg(30 + round, 30)),
        );
        let (one, other) = join(send(&ada, AVATAR, &one), send(&ada, AVATAR, &other)).await;
        let mut urls = Vec::new();
        for answer in [one, other] {
            match answer.status.as_u16() {
                201 => urls.push(answer.json()["url"].clone()),
                _ => {
                    let code = answer.text("code");
                    assert!(matches!(code.as_str(), "stale" | "busy"), "{answer:?}");
                }
            }
        }
        let story = format!("round {round}");
        assert!(!urls.is_empty(), "{story}");
        assert!(urls.contains(&avatar_url(&ada).await), "{story}");
        check_files(&stage, &story).await;
    }
    when_checked(&stage).await;
    check_settled(&stage, "the end").await;
    let rows = rows(&stage).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    let url = avatar_url(&again(&stage, &ada).await).await;
    assert_eq!(id_of(&url), rows[0].id.to_string());
}

// ---- What becomes of an image.

#[tokio::test]
async fn an_image_is_stored_upright() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let (flat, size) = (jpeg(96, 64), (96, 64));
    // What each orientation makes of red and green above blue and yellow.
    for (orientation, expected) in [
        (1, "RGBY"),
        (2, "GRYB"),
        (3, "YBGR"),
        (4, "BYRG"),
        (5, "RBGY"),
        (6, "BRYG"),
        (7, "YGBR"),
        (8, "GYRB"),
    ] {
        let file = set_avatar(&ada, &noted_jpeg(&flat, orientation)).await;
        let found = follow(&ada, file["url"].as_str().unwrap()).await;
        let image = found.image();
        assert_eq!(quarters(&image), expected, "{orientation}");
        let (width, height) = match orientation {
            ..=4 => (96, 64),
            _ => (64, 96),
        };
        assert_eq!((image.width(), image.height()), (width, height));
        assert_eq!(
            (&file["width"], &file["height"]),
            (&json!(width), &json!(height))
        );
        assert_bare(&found.body, &format!("orientation {orientation}"));
    }
    for (story, bytes) in [
        ("PNG", noted_png(&png(96, 64), 6)),
        ("WebP", noted_webp(&webp(96, 64), size, 6)),
    ] {
        let file = set_avatar(&ada, &bytes).await;
        let found = follow(&ada, file["url"].as_str().unwrap()).await;
        assert_eq!(quarters(&found.image()), "BRYG", "{story}");
        assert_bare(&found.body, story);
    }
    // The variants are made of what is upright already.
    tidy(&stage).await;
    let url = avatar_url(&ada).await;
    let url = format!("{}?variant=64", url.as_str().unwrap());
    assert_eq!(quarters(&follow(&ada, &url).await.image()), "BRYG");
}

#[tokio::test]
async fn nothing_is_stored_of_what_a_camera_has_noted() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let noted = noted_jpeg(&jpeg(80, 60), 1);
    for mark in [CAMERA, b"Exif", b"adobe"] {
        assert!(contains(&noted, mark));
    }
    let item = sell(&ada, "Tent", json!({})).await;
    set_avatar(&ada, &noted).await;
    let images = [
        noted.clone(),
        noted_png(&png(80, 60), 1),
        noted_webp(&webp(80, 60), (80, 60), 1),
        noted_gif(&gif(80, 60), CAMERA),
    ];
    add_images(&ada, &item, &images).await;
    upload(&ada, "photo.jpg", JPEG, &noted).await;
    let small = Form::of(&noted).text("resize_width", "40");
    let small = send(&ada, PROCESS, &small).await.expect(200);
    assert_bare(&small.body, "made smaller");
    work(&stage).await;
    check_settled(&stage, "noted").await;
    let objects = objects(&stage).await;
    let files = objects.iter().filter(|(key, _)| key.starts_with("files/"));
    let files: Vec<_> = files.collect();
    assert_eq!(files.len(), 4 + 4 * 3 + 1);
    for (key, bytes) in files {
        assert_bare(bytes, key);
    }
}

#[tokio::test]
async fn what_is_hidden_in_an_image_is_gone() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let script = b"<script>alert(1)</script>";
    let trailing = joined(&[&zip(), script, CAMERA]);
    for (story, bytes, kind) in [
        (
            "a GIF that is a script and an archive",
            joined(&[&noted_gif(&gif(64, 64), script), &trailing]),
            PNG,
        ),
        (
            "a JPEG that is an archive",
            joined(&[&jpeg(64, 64), &trailing]),
            JPEG,
        ),
        (
            "a PNG with a page in it",
            {
                let comment = chunk(b"tEXt", &joined(&[b"Comment\0", script]));
                joined(&[&insert(&png(64, 64), 33, &comment), &trailing])
            },
            PNG,
        ),
        (
            "a WebP with a page behind it",
            joined(&[&webp(64, 64), &trailing]),
            JPEG,
        ),
    ] {
        let file = set_avatar(&ada, &bytes).await;
        assert_eq!(file["content_type"], kind, "{story}");
        let found = follow(&ada, file["url"].as_str().unwrap()).await;
        assert_eq!(quarters(&found.image()), "RGBY", "{story}");
        assert_bare(&found.body, story);
        assert!(!contains(&found.body, b"PK\x03\x04"), "{story}");
    }
}

#[tokio::test]
async fn each_type_becomes_one_that_keeps_what_is_seen() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let animated = {
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new(&mut bytes);
        let frame = |letter: [u8; 3]| {
            let [red, green, blue] = letter;
            Frame::new(RgbaImage::from_pixel(16, 16, Rgba([red, green, blue, 255])))
        };
        encoder.encode_frames([frame(RED), frame(BLUE)]).unwrap();
        drop(encoder);
        bytes
    };
    let grey = DynamicImage::ImageRgb8(picture(16, 16)).to_luma16();
    let deep = encoded(DynamicImage::ImageLuma16(grey), ImageFormat::Png);
    let webp_half = half_transparent(32, 32, ImageFormat::WebP);
    let png_half = half_transparent(32, 32, ImageFormat::Png);
    for (story, bytes, kind, name) in [
        ("JPEG", jpeg(16, 16), JPEG, "my.photo.jpg"),
        ("PNG", png(16, 16), PNG, "my.photo.png"),
        ("GIF", gif(16, 16), PNG, "my.photo.png"),
        ("WebP", webp(16, 16), JPEG, "my.photo.jpg"),
        ("transparent WebP", webp_half, PNG, "my.photo.png"),
        ("transparent PNG", png_half, PNG, "my.photo.png"),
        ("16 bits", deep, PNG, "my.photo.png"),
        ("animation", animated, PNG, "my.photo.png"),
    ] {
        let form = Form::default().file("file", "my.photo.gif", &bytes);
        let file = send(&ada, AVATAR, &form).await.expect(201).json();
        assert_eq!(file["content_type"], kind, "{story}");
        assert_eq!(file["filename"], name, "{story}");
        let found = follow(&ada, file["url"].as_str().unwrap()).await;
        assert_eq!(found.header("content-type"), kind, "{story}");
        let image = found.image();
        let format = image::guess_format(&found.body).unwrap();
        assert_eq!(format.to_mime_type(), kind, "{story}");
        if story.starts_with("transparent") {
            let image = image.to_rgba8();
            assert_eq!(image.get_pixel(4, 4).0[3], 0, "{story}");
            assert_eq!(image.get_pixel(28, 4).0[3], 255, "{story}");
        }
        if story == "animation" {
            assert_eq!(quarters(&image), "RRRR");
        }
    }
    // What is transparent stays so in the variants.
    set_avatar(&ada, &half_transparent(100, 100, ImageFormat::Png)).await;
    tidy(&stage).await;
    let url = avatar_url(&ada).await;
    let found = follow(&ada, &format!("{}?variant=64", url.as_str().unwrap())).await;
    assert_eq!(found.header("content-type"), PNG);
    assert_eq!(found.image().to_rgba8().get_pixel(8, 8).0[3], 0);
}

#[tokio::test]
async fn names_are_cleaned_and_follow_the_type() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let bytes = png(8, 8);
    let long = format!("{}.png", "ä".repeat(300));
    let shortened = format!("{}.png", "ä".repeat(96));
    for (sent, expected) in [
        ("../../etc/passwd", "passwd.png"),
        ("/etc/../photo.png", "photo.png"),
        (r"C:\fakepath\photo.png", "photo.png"),
        (r"..\..\photo.png", "photo.png"),
        ("photo.jpeg", "photo.png"),
        ("photo.PNG", "photo.PNG"),
        ("setup.exe", "setup.exe.png"),
        ("page.html", "page.html.png"),
        (".htaccess", "htaccess.png"),
        ("..", "file.png"),
        ("", "file.png"),
        ("<script>.png", "script.png"),
        ("photo\u{202e}gnp.exe", "photognp.exe.png"),
        ("Cafe\u{301}.png", "Café.png"),
        ("写真.png", "写真.png"),
        (&long, &shortened),
    ] {
        let form = Form::default().file("file", sent, &bytes);
        let file = send(&ada, AVATAR, &form).await.expect(201);
        assert_eq!(file.text("filename"), expected, "{sent:?}");
    }
    // Without a name at all.
    let form = Form::default().part("name=\"file\"", "", &bytes);
    let file = send(&ada, AVATAR, &form).await.expect(201);
    assert_eq!(file.text("filename"), "file.png");
    // And what no form can say.
    for (sent, expected) in [
        ("a\r\nSet-Cookie: x=y.txt", "aSet-Cookie x=y.txt"),
        ("\"quoted\".txt", "quoted.txt"),
        ("nu\0l.txt", "_nul.txt"),
        ("notes", "notes.txt"),
        ("", "file.txt"),
    ] {
        let file = upload(&ada, sent, TEXT, b"notes").await;
        assert_eq!(file["filename"], expected, "{sent:?}");
    }
}

// ---- Images of items.

#[tokio::test]
async fn an_item_has_up_to_five_images() {
    let stage = Stage::new().await;
    let seller = stage.user().await;
    let item = sell(&seller, "Tent", json!({})).await;
    assert_eq!(images_of(&seller, &item).await, json!([]));
    let first = add_images(&seller, &item, &[png(1_200, 300), jpeg(96, 64)]).await;
    let second = add_images(&seller, &item, &[webp(64, 96)]).await;
    let files: Vec<_> = first.into_iter().chain(second).collect();
    let urls: Vec<_> = files.iter().map(|file| file["url"].clone()).collect();
    for file in &files {
        assert_eq!(members(file), IMAGE_MEMBERS);
        assert_eq!(file["is_public"], true);
    }
    // In the order in which they came; anybody sees them.
    assert_eq!(images_of(&stage.anon(), &item).await, json!(urls));
    for (url, size) in urls.iter().zip([(1_200, 300), (96, 64), (64, 96)]) {
        let image = follow(&stage.anon(), url.as_str().unwrap()).await.image();
        assert_eq!((image.width(), image.height()), size);
        assert_eq!(quarters(&image), "RGBY");
    }
    work(&stage).await;
    for (file, [small, large]) in files.iter().zip([
        [(256, 64), (1_024, 256)],
        [(96, 64), (96, 64)],
        [(64, 96), (64, 96)],
    ]) {
        let id = file["id"].as_str().unwrap();
        let variants = info(&stage.anon(), id).await["variants"].clone();
        assert_eq!(members(&variants), ["1024", "256"]);
        for (name, size) in [("256", small), ("1024", large)] {
            let url = variants[name].as_str().unwrap();
            let image = follow(&stage.anon(), url).await.image();
            assert_eq!((image.width(), image.height()), size, "{name}");
        }
    }

    // Three more are too many, two are not.
    let before = stored(&stage).await;
    let more = [png(8, 8), png(8, 8), png(8, 8)];
    let refused = send(&seller, &images_path(&item), &Form::of_all(&more)).await;
    refused.expect_problem(409, "limit_reached");
    assert_eq!(stored(&stage).await, before);
    add_images(&seller, &item, &more[..2]).await;
    assert_eq!(images_of(&seller, &item).await.as_array().unwrap().len(), 5);
    let refused = send(&seller, &images_path(&item), &Form::of_all(&more[..1])).await;
    refused.expect_problem(409, "limit_reached");
    let begun = json!({"filename": "a", "content_type": PNG, "size": 9, "item_id": item});
    let refused = seller.post(UPLOADS, begun).await;
    refused.expect_problem(409, "limit_reached");
    // What is deleted makes room.
    delete(&seller, urls[1].as_str().unwrap()).await.expect(204);
    add_images(&seller, &item, &more[..1]).await;
    let now = images_of(&seller, &item).await;
    let now = now.as_array().unwrap();
    assert_eq!((now.len(), &now[0], &now[1]), (5, &urls[0], &urls[2]));
    when_checked(&stage).await;
    check_settled(&stage, "five").await;
    assert_eq!(rows(&stage).await.len(), 5);
}

#[tokio::test]
async fn only_who_may_change_an_item_adds_images() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (seller, other) = (stage.user().await, stage.user().await);
    let item = sell(&seller, "Tent", json!({})).await;
    let draft = sell(&seller, "Secret", json!({"status": "draft"})).await;
    let before = stored(&stage).await;
    let form = Form::of_all(&[png(8, 8)]);
    let nowhere = Uuid::now_v7().to_string();
    for (actor, item, status, code) in [
        (&stage.anon(), &item, 401, "token_missing"),
        (&other, &item, 403, "insufficient_scope"),
        (&other, &draft, 404, "not_found"),
        (&other, &nowhere, 404, "not_found"),
        (&seller, &nowhere, 404, "not_found"),
        (&seller, &"no-uuid".to_owned(), 404, "not_found"),
    ] {
        let refused = send(actor, &images_path(item), &form).await;
        refused.expect_problem(status, code);
        if actor.email.is_empty() || item == "no-uuid" {
            continue;
        }
        let begun = json!({"filename": "a", "content_type": PNG, "size": 9, "item_id": item});
        let refused = actor.post(UPLOADS, begun).await;
        refused.expect_problem(status, code);
    }
    assert_eq!(stored(&stage).await, before);

    // What an administrator adds is the seller's too.
    let added = add_images(&admin, &item, &[png(8, 8)]).await;
    let url = added[0]["url"].as_str().unwrap();
    add_images(&seller, &draft, &[png(8, 8)]).await;
    assert_eq!(my_files(&admin).await, Vec::<Value>::new());
    assert_eq!(my_files(&seller).await.len(), 2);
    check_files(&stage, "added").await;
    delete(&other, url)
        .await
        .expect_problem(403, "insufficient_scope");
    delete(&seller, url).await.expect(204);
    assert_eq!(images_of(&seller, &item).await, json!([]));
}

#[tokio::test]
async fn images_are_added_together_or_not_at_all() {
    let stage = Stage::new().await;
    let seller = stage.user().await;
    let item = sell(&seller, "Tent", json!({})).await;
    let path = images_path(&item);
    add_images(&seller, &item, &[png(8, 8)]).await;
    let before = (stored(&stage).await, objects(&stage).await);
    let good = png(10, 10);
    let truncated = png(40, 40)[..60].to_vec();
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec();
    let cases: [(&[&Vec<u8>], Fields); 4] = [
        (
            &[&good, &good, &good, &svg],
            &[("files[3]", "unsupported_content")],
        ),
        (
            &[&truncated, &good, &svg],
            &[
                ("files[0]", "broken_image"),
                ("files[2]", "unsupported_content"),
            ],
        ),
        (&[&good, &Vec::new()], &[("files[1]", "empty")]),
        (
            &[&good, &good, &good, &good, &good, &good],
            &[("files", "too_many")],
        ),
    ];
    for (images, expected) in cases {
        let form = Form::of_all(images.iter().copied());
        let refused = send(&seller, &path, &form).await;
        let refused = refused.expect_problem(422, "validation_failed");
        let expected = expected.iter().map(|(f, c)| ((*f).into(), (*c).into()));
        let expected: Vec<(String, String)> = expected.collect();
        assert_eq!(refused.wrong_fields(), expected);
    }
    assert_eq!((stored(&stage).await, objects(&stage).await), before);
    assert_eq!(images_of(&seller, &item).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn images_that_come_at_the_same_time_are_never_more_than_five() {
    let stage = Stage::new().await;
    let seller = stage.user().await;
    let item = sell(&seller, "Tent", json!({})).await;
    let path = images_path(&item);
    let form = Form::of_all(&[png(8, 8), jpeg(9, 9)]);
    let answers = join_all((0..6).map(|_| send(&seller, &path, &form))).await;
    let mut urls = BTreeSet::new();
    for answer in answers {
        if answer.status == 201 {
            let files = answer.json()["uploaded_files"].clone();
            urls.extend(texts(files.as_array().unwrap(), "url"));
            continue;
        }
        let code = answer.expect(409).text("code");
        let codes = ["limit_reached", "stale", "busy"];
        assert!(codes.contains(&code.as_str()), "{code}");
    }
    let images = images_of(&seller, &item).await;
    let images: Vec<String> = serde_json::from_value(images).unwrap();
    assert!((2..=5).contains(&images.len()), "{images:?}");
    assert_eq!(images.iter().cloned().collect::<BTreeSet<_>>(), urls);
    check_files(&stage, "at once").await;
    when_checked(&stage).await;
    check_settled(&stage, "at once").await;
    assert_eq!(rows(&stage).await.len(), urls.len());
}

// ---- Uploads through the bucket.

#[tokio::test]
async fn a_document_goes_through_the_bucket_and_stays_as_it_is() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let text = "Grüße,\r\n\t1 < 2 & <3\n".as_bytes().to_vec();
    for (name, kind, bytes, disposition) in [
        (
            "Grüße.txt",
            TEXT,
            text,
            "attachment; filename=\"Gr__e.txt\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe.txt",
        ),
        (
            "the plan.pdf",
            PDF,
            pdf(),
            "attachment; filename=\"the plan.pdf\"",
        ),
    ] {
        let now = stage.app.clock.seconds();
        let begun = ada.post(UPLOADS, announced(name, kind, bytes.len())).await;
        let begun = begun.expect(201);
        assert_eq!(
            members(&begun.json()),
            ["expires_at", "fields", "id", "url"]
        );
        let until: jiff::Timestamp = begun.text("expires_at").parse().unwrap();
        let seconds = until.as_second() - now;
        assert!((FORM_SECONDS..FORM_SECONDS + 5).contains(&seconds));
        let upload = Upload::of(begun);
        let path = file_path(&upload.id);

        // Nobody sees it before it is complete.
        upload.expect_posted(&bytes);
        for path in [&path, &info_path(&upload.id)] {
            ada.get(path).await.expect_problem(404, "not_found");
        }
        delete(&ada, &path).await.expect_problem(404, "not_found");
        check_files(&stage, "pending").await;
        let completed = complete(&ada, &upload.id).await.expect(200);
        let file = completed.json();
        assert_eq!(members(&file), MEMBERS);
        for (member, value) in [
            ("id", json!(upload.id)),
            ("filename", json!(name)),
            ("content_type", json!(kind)),
            ("size", json!(bytes.len())),
            ("url", json!(path)),
            ("variants", json!({})),
            ("is_public", json!(false)),
        ] {
            assert_eq!(file[member], value, "{member}");
        }
        let again = complete(&ada, &upload.id).await.expect(200);
        assert_eq!(again.json(), file);
        assert_eq!(again.header("etag"), completed.header("etag"));
        assert_eq!(info(&ada, &upload.id).await, file);

        let found = follow(&ada, &path).await;
        assert_eq!(found.body, bytes);
        assert_eq!(found.header("content-type"), kind);
        assert_eq!(found.header("content-disposition"), disposition);
    }
    work(&stage).await;
    check_settled(&stage, "complete").await;
    let pending = objects(&stage).await.into_keys();
    assert_eq!(pending.filter(|key| key.starts_with("pending/")).count(), 0);
    when_checked(&stage).await;
    check_settled(&stage, "an hour later").await;
    assert_eq!(rows(&stage).await.len(), 2);
}

#[tokio::test]
async fn an_image_goes_through_the_bucket_for_oneself_or_for_an_item() {
    let stage = Stage::new().await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    let item = sell(&ada, "Tent", json!({})).await;
    // More than a request can hold: what is behind the image counts, and is not stored.
    let mut bytes = noted_jpeg(&jpeg(96, 64), 6);
    bytes.resize(MOST_BYTES as usize, 0);
    let file = upload(&ada, "large.jpg", JPEG, &bytes).await;
    assert_eq!(file["is_public"], false);
    assert_eq!((&file["width"], &file["height"]), (&json!(64), &json!(96)));
    assert!(file["size"].as_u64().unwrap() < 50_000, "{file}");
    let found = follow(&ada, file["url"].as_str().unwrap()).await;
    assert_eq!(quarters(&found.image()), "BRYG");
    assert_bare(&found.body, "uploaded");
    check_files(&stage, "uploaded").await;

    let bytes = gif(300, 100);
    let mut new = announced("tent.gif", GIF, bytes.len());
    new["item_id"] = json!(item);
    let upload = Upload::of(ada.post(UPLOADS, new).await);
    upload.expect_posted(&bytes);
    assert_eq!(images_of(&ada, &item).await, json!([]));
    let refused = complete(&bob, &upload.id).await;
    refused.expect_problem(404, "not_found");
    let file = complete(&ada, &upload.id).await.expect(200).json();
    assert_eq!(file["content_type"], PNG);
    assert_eq!(file["filename"], "tent.png");
    assert_eq!(file["is_public"], true);
    assert_eq!(images_of(&ada, &item).await, json!([file["url"]]));
    work(&stage).await;
    let variants = info(&stage.anon(), &upload.id).await["variants"].clone();
    assert_eq!(members(&variants), ["1024", "256"]);
    check_settled(&stage, "of an item").await;

    // Where five are begun beside each other, no more become the item's than it can have.
    let mut begun = Vec::new();
    for _ in 0..5 {
        let mut new = announced("tent.gif", GIF, bytes.len());
        new["item_id"] = json!(item);
        let upload = Upload::of(ada.post(UPLOADS, new).await);
        upload.expect_posted(&bytes);
        begun.push(upload.id);
    }
    let (last, others) = begun.split_last().unwrap();
    for id in others {
        complete(&ada, id).await.expect(200);
    }
    complete(&ada, last)
        .await
        .expect_problem(409, "limit_reached");
    assert_eq!(images_of(&ada, &item).await.as_array().unwrap().len(), 5);
    when_checked(&stage).await;
    check_settled(&stage, "five").await;
    assert_eq!(rows(&stage).await.len(), 6);
}

/// What S3 tells of an object that has come, as the bucket's notification puts it into the queue.
fn s3_event(stage: &Stage, key: &str) -> String {
    let bucket = &stage.variables()["FILES_BUCKET"];
    let record = json!({
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Post",
        "userIdentity": {"principalId": "AWS:EXAMPLE"},
        "requestParameters": {"sourceIPAddress": "192.0.2.1"},
        "responseElements": {"x-amz-request-id": "EXAMPLE"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "Uploads",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "EXAMPLE"},
                "arn": format!("arn:aws:s3:::{bucket}"),
            },
            "object": {"key": key, "size": 5, "eTag": "e", "sequencer": "0055AED6DCD90281E5"},
        },
    });
    json!({"Records": [record]}).to_string()
}

#[tokio::test]
async fn the_bucket_completes_an_upload_too() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let first = begin(&ada, "notes.txt", TEXT, b"notes").await;
    first.expect_posted(b"notes");
    let key = first.field("key").to_owned();
    stage.post_message(&s3_event(&stage, &key)).await;
    work(&stage).await;
    let file = info(&ada, &first.id).await;
    assert_eq!(file["filename"], "notes.txt");
    assert_eq!(follow(&ada, &file_path(&first.id)).await.body, b"notes");
    // Whoever completes it after that gets the same, and the event may come again.
    assert_eq!(complete(&ada, &first.id).await.expect(200).json(), file);
    stage.post_message(&s3_event(&stage, &key)).await;
    work(&stage).await;
    assert_eq!(info(&ada, &first.id).await, file);

    // At the same time, one of them does.
    let second = begin(&ada, "more.txt", TEXT, b"notes").await;
    second.expect_posted(b"notes");
    let event = s3_event(&stage, second.field("key"));
    stage.post_message(&event).await;
    let (completed, worked) = join(complete(&ada, &second.id), stage.work()).await;
    completed.expect(200);
    assert_eq!(worked.1, 0);

    // What is not to be taken is not, and nobody waits for it.
    let third = begin(&ada, "page.txt", TEXT, b"<html").await;
    third.expect_posted(b"<html");
    stage
        .post_message(&s3_event(&stage, third.field("key")))
        .await;
    let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"});
    stage.post_message(&test.to_string()).await;
    let nowhere = Uuid::now_v7();
    for key in [
        format!("pending/{nowhere}"),
        "pending/nonsense".to_owned(),
        format!("files/{}/hash", first.id),
        format!("work/{}", first.id),
        "elsewhere".to_owned(),
    ] {
        stage.post_message(&s3_event(&stage, &key)).await;
    }
    work(&stage).await;
    assert_eq!(stage.dead_letters().await, 0);
    ada.get(&info_path(&third.id))
        .await
        .expect_problem(404, "not_found");
    assert_eq!(my_files(&ada).await.len(), 2);
    when_checked(&stage).await;
    check_settled(&stage, "by events").await;
    assert_eq!(rows(&stage).await.len(), 2);
}

/// The answer to whoever publishes a file may be lost: what they discard then is not what they have published.
#[tokio::test]
async fn a_published_file_is_not_discarded() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let upload = begin(&ada, "notes.txt", TEXT, b"notes").await;
    let id = upload.id.parse().unwrap();
    let pending = stage.app.store.file(id).await.unwrap().unwrap();
    upload.expect_posted(b"notes");
    complete(&ada, &upload.id).await.expect(200);
    let bucket = Bucket::new(&stage.app).unwrap();
    let discarded = shared::files::discard(&stage.app, &bucket, &pending).await;
    discarded.unwrap();
    check_files(&stage, "discarded").await;
    assert_eq!(follow(&ada, &file_path(&upload.id)).await.body, b"notes");
}

#[tokio::test]
async fn the_form_of_an_upload_is_for_one_object_of_one_type_and_size() {
    let stage = Stage::new().await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    let bytes = b"notes";
    let upload = begin(&ada, "notes.txt", TEXT, bytes).await;
    let other = begin(&bob, "notes.txt", TEXT, bytes).await;
    let mut story = 0;
    let mut refused = |form: &Upload, bytes: &[u8]| {
        story += 1;
        let status = form.post(bytes);
        assert!((400..500).contains(&status), "case {story}: {status}");
    };
    let key = upload.field("key").to_owned();
    let altered = |text: &str| {
        let first = if text.starts_with('a') { "b" } else { "a" };
        format!("{first}{}", &text[1..])
    };
    // Another size.
    refused(&upload, b"notes!");
    refused(&upload, b"note");
    refused(&upload, b"");
    // Another key, or another's.
    for other_key in [
        other.field("key"),
        "pending/",
        "elsewhere",
        &key.replace("pending/", "files/"),
        &format!("{key}/more"),
    ] {
        refused(&upload.with("key", Some(other_key)), bytes);
    }
    refused(&upload.with("key", None), bytes);
    // Another type, or none.
    refused(&upload.with("content-type", Some("text/html")), bytes);
    refused(&upload.with("content-type", None), bytes);
    // Another's policy, or an altered one.
    let policy = other.field("policy");
    refused(&upload.with("policy", Some(policy)), bytes);
    let wider = {
        use base64::Engine;
        use base64::engine::general_purpose::STANDARD;
        let policy = STANDARD.decode(upload.field("policy")).unwrap();
        let policy = String::from_utf8(policy).unwrap();
        assert!(policy.contains("content-length-range"), "{policy}");
        let wider = policy.replace(&format!("{0},{0}", bytes.len()), "0,10000000");
        assert_ne!(wider, policy);
        STANDARD.encode(wider)
    };
    // Other times and rights.
    refused(&upload.with("x-amz-date", Some("20200101T000000Z")), bytes);
    refused(&upload.with("acl", Some("public-read")), bytes);
    refused(&upload.with("x-amz-meta-a", Some("b")), bytes);
    // Without a signature, or with another.
    let signature = altered(upload.field("x-amz-signature"));
    let bare = Upload {
        fields: BTreeMap::from([("key".to_owned(), key.clone())]),
        ..upload.clone()
    };
    if s3_wants_signatures() {
        refused(&bare, bytes);
        refused(&upload.with("x-amz-signature", None), bytes);
        refused(&upload.with("x-amz-signature", Some(&signature)), bytes);
        refused(&upload.with("policy", Some(&wider)), b"notes and more");
        refused(&upload.with("policy", None), bytes);
    }
    assert_eq!(objects(&stage).await, BTreeMap::new());

    // As it is, it is taken; and what comes after it is complete changes nothing.
    upload.expect_posted(bytes);
    upload.expect_posted(b"NOTES");
    complete(&ada, &upload.id).await.expect(200);
    upload.expect_posted(b"lates");
    complete(&ada, &upload.id).await.expect(200);
    assert_eq!(follow(&ada, &file_path(&upload.id)).await.body, b"NOTES");
}

#[tokio::test]
async fn the_form_of_an_upload_expires_and_so_does_the_upload() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    // S3 has a clock of its own: what was begun before that time is over for it.
    stage.app.clock.advance(-(FORM_SECONDS + 300));
    let early = again(&stage, &ada).await;
    let over = begin(&early, "notes.txt", TEXT, b"notes").await;
    let status = over.post(b"notes");
    assert!((400..500).contains(&status), "{status}");
    stage.app.clock.advance(FORM_SECONDS + 300);
    let refused = complete(&ada, &over.id).await;
    refused.expect_problem(409, "upload_missing");

    // 45 minutes after its beginning nobody completes an upload, though it is there.
    let late = begin(&ada, "notes.txt", TEXT, b"notes").await;
    late.expect_posted(b"notes");
    let in_time = begin(&ada, "notes.txt", TEXT, b"notes").await;
    in_time.expect_posted(b"notes");
    stage.app.clock.advance(44 * 60);
    let ada = again(&stage, &ada).await;
    complete(&ada, &in_time.id).await.expect(200);
    stage.app.clock.advance(61);
    let refused = complete(&ada, &late.id).await;
    refused.expect_problem(404, "not_found");
    stage
        .post_message(&s3_event(&stage, late.field("key")))
        .await;
    work(&stage).await;
    check_files(&stage, "late").await;
    when_checked(&stage).await;
    check_settled(&stage, "late").await;
    let ids: Vec<_> = rows(&stage)
        .await
        .iter()
        .map(|f| f.id.to_string())
        .collect();
    assert_eq!(ids, [in_time.id]);
    let left = objects(&stage).await.into_keys();
    let left: Vec<_> = left.filter(|key| key.starts_with("pending/")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn an_upload_is_completed_once_by_whoever_has_begun_it() {
    let stage = Stage::new().await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    let upload = begin(&ada, "notes.txt", TEXT, b"notes").await;
    // Before anything has come, and then.
    for _ in 0..2 {
        let missing = complete(&ada, &upload.id).await;
        missing.expect_problem(409, "upload_missing");
    }
    upload.expect_posted(b"notes");
    let anon = stage.anon();
    complete(&anon, &upload.id)
        .await
        .expect_problem(401, "token_missing");
    for id in [upload.id.as_str(), &Uuid::now_v7().to_string(), "nonsense"] {
        let refused = complete(&bob, id).await;
        refused.expect_problem(404, "not_found");
    }
    // Many at the same time, by one form.
    let answers = join_all((0..8).map(|_| complete(&ada, &upload.id))).await;
    let files: BTreeSet<String> = answers
        .into_iter()
        .map(|answer| answer.expect(200).json().to_string())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    work(&stage).await;
    check_settled(&stage, "at once").await;
    assert_eq!(rows(&stage).await.len(), 1);
    assert_eq!(my_files(&ada).await.len(), 1);
    // What was not begun by a form is not completed by one.
    let avatar = set_avatar(&ada, &png(8, 8)).await;
    let refused = complete(&ada, avatar["id"].as_str().unwrap()).await;
    refused.expect_problem(404, "not_found");
    // Nor what was deleted.
    delete(&ada, &file_path(&upload.id)).await.expect(204);
    let refused = complete(&ada, &upload.id).await;
    refused.expect_problem(404, "not_found");
    work(&stage).await;
    let refused = complete(&ada, &upload.id).await;
    refused.expect_problem(404, "not_found");
    // Nobody can complete an upload under another's id by naming it.
    let mut new = announced("notes.txt", TEXT, 5);
    new["id"] = json!(upload.id);
    let refused = bob.post(UPLOADS, new).await;
    assert_eq!(
        refused.expect(422).wrong_fields(),
        [("id".to_owned(), "unknown_field".to_owned())]
    );
}

#[tokio::test]
async fn every_mistake_in_what_is_announced_is_named() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let item = sell(&ada, "Tent", json!({})).await;
    let before = stored(&stage).await;
    let good = announced("notes.txt", TEXT, 5);
    let changed = |field: &str, value: Value| {
        let mut new = good.clone();
        new[field] = value;
        new
    };
    let mut cases = vec![
        ("size", changed("size", json!(0))),
        ("size", changed("size", json!(-1))),
        ("size", changed("size", json!(1.5))),
        ("size", changed("size", json!("5"))),
        ("size", changed("size", Value::Null)),
        ("size", changed("size", json!(MOST_BYTES + 1))),
        ("size", changed("size", json!(u64::MAX))),
        ("filename", changed("filename", json!(7))),
        ("filename", changed("filename", Value::Null)),
        ("item_id", changed("item_id", json!("no-uuid"))),
        ("content_type", changed("item_id", json!(item))),
        ("owner_id", changed("owner_id", json!(Uuid::now_v7()))),
        ("purpose", changed("purpose", json!("avatar"))),
        ("key", changed("key", json!("files/a"))),
    ];
    for kind in [
        "",
        "png",
        "image/svg+xml",
        "image/bmp",
        "image/tiff",
        "image/avif",
        "text/html",
        "text/plain,text/html",
        "application/zip",
        "application/octet-stream",
        "application/javascript",
    ] {
        cases.push(("content_type", changed("content_type", json!(kind))));
    }
    for (field, new) in cases {
        let refused = ada.post(UPLOADS, new.clone()).await;
        let refused = refused.expect_problem(422, "validation_failed");
        let fields: Vec<_> = refused.wrong_fields().into_iter().map(|(f, _)| f).collect();
        assert_eq!(fields, [field], "{new}");
    }
    let refused = ada.post(UPLOADS, json!({})).await;
    let refused = refused.expect_problem(422, "validation_failed");
    let fields: BTreeSet<_> = refused.wrong_fields().into_iter().map(|(f, _)| f).collect();
    let expected = ["content_type", "filename", "size"].map(str::to_owned);
    assert_eq!(fields, expected.into());
    assert_eq!(stored(&stage).await, before);
    // The largest of all can be announced.
    let largest = changed("size", json!(MOST_BYTES));
    ada.post(UPLOADS, largest).await.expect(201);
}

// ---- What is refused.

/// The codes that something may be refused with.
type Codes = &'static [&'static str];

const EMPTY: Codes = &["empty"];
const UNSUPPORTED: Codes = &["unsupported_content"];
const BROKEN: Codes = &["broken_image"];
const TOO_MANY: Codes = &["too_many_pixels"];

/// The beginning of something, and zeros.
fn begun(magic: &[u8]) -> Vec<u8> {
    joined(&[magic, &[0; 100]])
}

/// What is no image that we take, and why.
fn no_images() -> Vec<(&'static str, Vec<u8>, Codes)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>";
    let bom = text(&format!("\u{feff}{svg}"));
    let xml = text(&format!("<?xml version=\"1.0\"?>{svg}"));
    let page = text("<!doctype html><script>alert(1)</script>");
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() * 6 / 10].to_vec();
    let late = joined(&[b"GET / ", &jpeg(8, 8)]);
    let nonsense = joined(&[b"\xff\xd8\xff\xe0", &[7; 500]]);
    let mut wrong_sum = png(40, 40);
    // In the data behind the header.
    wrong_sum[50] ^= 0xff;
    vec![
        ("nothing", Vec::new(), EMPTY),
        ("SVG", text(svg), UNSUPPORTED),
        ("SVG with a BOM", bom, UNSUPPORTED),
        ("SVG after XML", xml, UNSUPPORTED),
        ("HTML", page, UNSUPPORTED),
        ("a script", text("<script>alert(1)</script>"), UNSUPPORTED),
        ("text", text("Just a text."), UNSUPPORTED),
        ("PDF", pdf(), UNSUPPORTED),
        (
            "BMP",
            begun(b"BM\x8a\0\0\0\0\0\0\0\x36\0\0\0\x28"),
            UNSUPPORTED,
        ),
        ("TIFF", begun(b"II*\0\x08\0\0\0"), UNSUPPORTED),
        (
            "TIFF of another order",
            begun(b"MM\0*\0\0\0\x08"),
            UNSUPPORTED,
        ),
        ("ICO", begun(b"\0\0\x01\0\x01\0\x10\x10"), UNSUPPORTED),
        ("AVIF", begun(b"\0\0\0\x1cftypavif"), UNSUPPORTED),
        ("HEIC", begun(b"\0\0\0\x1cftypheic"), UNSUPPORTED),
        ("MP4", begun(b"\0\0\0\x1cftypisom"), UNSUPPORTED),
        ("WAVE", begun(b"RIFF\x24\0\0\0WAVEfmt \x10"), UNSUPPORTED),
        ("PSD", begun(b"8BPS\0\x01"), UNSUPPORTED),
        ("an archive", zip(), UNSUPPORTED),
        ("gzip", begun(b"\x1f\x8b\x08"), UNSUPPORTED),
        ("a program for Windows", begun(b"MZ\x90\0"), UNSUPPORTED),
        (
            "a program for Linux",
            begun(b"\x7fELF\x02\x01\x01"),
            UNSUPPORTED,
        ),
        ("a JPEG behind something", late, UNSUPPORTED),
        ("zeros", begun(b""), UNSUPPORTED),
        ("a JPEG of nonsense", nonsense, BROKEN),
        (
            "a JPEG of zeros",
            begun(b"\xff\xd8\xff\xe0\0\x10JFIF\0"),
            BROKEN,
        ),
        ("a PNG of zeros", begun(b"\x89PNG\r\n\x1a\n"), BROKEN),
        ("a GIF of zeros", begun(b"GIF89a"), BROKEN),
        ("a WebP of zeros", begun(b"RIFF\x64\0\0\0WEBP"), BROKEN),
        ("the beginning of a JPEG", b"\xff\xd8\xff".to_vec(), BROKEN),
        (
            "the beginning of a PNG",
            b"\x89PNG\r\n\x1a\n".to_vec(),
            BROKEN,
        ),
        ("the beginning of a GIF", b"GIF89a".to_vec(), BROKEN),
        ("a cut JPEG", cut(jpeg(200, 200)), BROKEN),
        ("a cut PNG", cut(png(200, 200)), BROKEN),
        ("a cut GIF", cut(gif(200, 200)), BROKEN),
        ("a cut WebP", cut(webp(200, 200)), BROKEN),
        ("a PNG with a wrong sum", wrong_sum, BROKEN),
        ("a PNG without width", enlarged_png(0, 4), BROKEN),
        ("a PNG of 60,000", enlarged_png(60_000, 60_000), TOO_MANY),
        ("a PNG of most", enlarged_png(u32::MAX, u32::MAX), TOO_MANY),
        ("a PNG of 48 million", enlarged_png(8_000, 6_000), TOO_MANY),
        ("a PNG with a long side", png(16_385, 1), TOO_MANY),
        ("a JPEG of 60,000", enlarged_jpeg(60_000, 60_000), TOO_MANY),
        (
            "a JPEG of 48 million",
            enlarged_jpeg(8_000, 6_000),
            TOO_MANY,
        ),
        ("a GIF of 60,000", enlarged_gif(60_000, 60_000), TOO_MANY),
        ("a WebP of 60,000", enlarged_webp(60_000, 60_000), TOO_MANY),
    ]
}

#[tokio::test]
async fn what_is_no_image_is_refused_wherever_one_is_wanted() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let item = sell(&ada, "Tent", json!({})).await;
    let images = images_path(&item);
    let before = stored(&stage).await;
    for (story, bytes, codes) in no_images() {
        let file = Form::default().file("file", "photo.jpg", &bytes);
        let files = Form::default().file("files", "photo.jpg", &bytes);
        for (path, form, field) in [
            (AVATAR, &file, "file"),
            (images.as_str(), &files, "files[0]"),
            (PROCESS, &file, "file"),
        ] {
            let refused = send(&ada, path, form).await;
            assert_eq!(refused.status, 422, "{story} to {path}: {refused:?}");
            let refused = refused.expect_problem(422, "validation_failed");
            let wrong = refused.wrong_fields();
            let [(found, code)] = &wrong[..] else {
                panic!("{story}: {refused:?}")
            };
            assert_eq!(found, field, "{story} to {path}");
            assert!(codes.contains(&code.as_str()), "{story} to {path}: {code}");
        }
    }
    assert_eq!(stored(&stage).await, before);
    check_empty(&stage, "refused").await;
}

#[tokio::test]
async fn a_request_holds_four_megabytes_of_an_image() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let mut bytes = png(8, 8);
    bytes.resize(MOST_DIRECT_BYTES, 0);
    let file = set_avatar(&ada, &bytes).await;
    assert!(file["size"].as_u64().unwrap() < 1_000, "{file}");
    bytes.push(0);
    for path in [AVATAR, PROCESS] {
        let refused = send(&ada, path, &Form::of(&bytes)).await;
        let refused = refused.expect_problem(422, "validation_failed");
        let expected = ("file".to_owned(), "too_large".to_owned());
        assert_eq!(refused.wrong_fields(), [expected]);
    }
    bytes.resize(4_400_001, 0);
    for path in [AVATAR, PROCESS] {
        let refused = send(&ada, path, &Form::of(&bytes)).await;
        refused.expect_problem(413, "body_too_large");
    }
    let item = sell(&ada, "Tent", json!({})).await;
    bytes.truncate(2_500_000);
    let two = [bytes.clone(), bytes.clone()];
    let refused = send(&ada, &images_path(&item), &Form::of_all(&two)).await;
    refused.expect_problem(413, "body_too_large");
    assert_eq!(images_of(&ada, &item).await, json!([]));
    // Elsewhere a body is as small as ever.
    let long = json!({"first_name": "x".repeat(1_100_000)});
    ada.patch(ME, long)
        .await
        .expect_problem(413, "body_too_large");
}

#[tokio::test]
async fn what_is_not_what_was_announced_is_refused() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let text = |text: &str| text.as_bytes().to_vec();
    let page = text("<html>");
    let script = text("<script>alert(1)</script>");
    let late = text(" \r\n\t<!DOCTYPE html>");
    let cases = [
        ("a page", TEXT, page.clone()),
        ("a script", TEXT, script.clone()),
        ("a page behind blanks", TEXT, late),
        ("a page behind a BOM", TEXT, text("\u{feff}<svg/>")),
        ("XML", TEXT, text("<?xml version=\"1.0\"?><a/>")),
        ("a text with a zero", TEXT, text("a\0b")),
        ("a text with an escape", TEXT, text("a\u{1b}[2Jb")),
        ("a text in Latin-1", TEXT, b"Gr\xfc\xdfe".to_vec()),
        ("a text in UTF-16", TEXT, b"\xff\xfea\0b\0".to_vec()),
        ("a program", TEXT, b"MZ\x90\0\x03\0".to_vec()),
        ("a PDF and an archive", PDF, [pdf(), zip()].concat()),
        ("a PDF and a script", PDF, [pdf(), script].concat()),
        ("a PDF behind a page", PDF, [page, pdf()].concat()),
        ("a PDF behind a blank", PDF, [text("\n"), pdf()].concat()),
        ("a PDF without an end", PDF, text("%PDF-1.7\n1 0 obj\n")),
        ("a PDF of no version", PDF, text("%PDF-9.9\n%%EOF")),
        ("an archive as a PDF", PDF, zip()),
        ("a PNG as a JPEG", JPEG, png(8, 8)),
        ("a JPEG as a PNG", PNG, jpeg(8, 8)),
        ("a GIF as a WebP", WEBP, gif(8, 8)),
        ("a WebP as a GIF", GIF, webp(8, 8)),
        ("a PNG as a PDF", PDF, png(8, 8)),
        ("a PDF as a text", TEXT, pdf()),
        ("a text as a PDF", PDF, text("a text")),
        ("a text as a PNG", PNG, text("a text")),
        ("an SVG as a PNG", PNG, text("<svg/>")),
    ];
    let cases = cases.into_iter();
    let cases = cases.map(|(story, kind, bytes)| (story, kind, bytes, UNSUPPORTED));
    let mut cases: Vec<_> = cases.collect();
    // And all that is no image, under a type that we take.
    let images = no_images().into_iter();
    let images = images.filter(|(_, bytes, _)| !bytes.is_empty());
    cases.extend(images.map(|(story, bytes, codes)| {
        let kinds: [(&[u8], &str); 3] = [(b"\x89PNG", PNG), (b"GIF", GIF), (b"RIFF", WEBP)];
        let mut kinds = kinds.into_iter();
        let told = kinds.find(|(magic, _)| bytes.starts_with(magic));
        let kind = told.map_or(JPEG, |(_, kind)| kind);
        (story, kind, bytes, codes)
    }));
    for (story, kind, bytes, codes) in cases {
        let upload = begin(&ada, "photo.jpg", kind, &bytes).await;
        upload.expect_posted(&bytes);
        let refused = complete(&ada, &upload.id).await;
        assert_eq!(refused.status, 422, "{story}: {refused:?}");
        let refused = refused.expect_problem(422, "validation_failed");
        let wrong = refused.wrong_fields();
        let [(field, code)] = &wrong[..] else {
            panic!("{story}: {refused:?}")
        };
        assert_eq!(field, "file", "{story}");
        assert!(codes.contains(&code.as_str()), "{story}: {code}");
        // And it stays refused.
        let again = complete(&ada, &upload.id).await;
        let is_refused = matches!(again.status.as_u16(), 404 | 409 | 422);
        assert!(is_refused, "{story}: {again:?}");
        ada.get(&file_path(&upload.id))
            .await
            .expect_problem(404, "not_found");
    }
    check_files(&stage, "refused").await;
    assert_eq!(my_files(&ada).await, Vec::<Value>::new());
    when_checked(&stage).await;
    check_empty(&stage, "refused").await;
}

#[tokio::test]
async fn what_is_no_form_is_refused() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let item = sell(&ada, "Tent", json!({})).await;
    let before = stored(&stage).await;
    let images = images_path(&item);
    let bytes = png(8, 8);
    let kind = Form::kind();
    for path in [AVATAR, PROCESS, &images] {
        let body = Form::of(&bytes).body();
        for other in [
            None,
            Some("application/json"),
            Some("application/x-www-form-urlencoded"),
            Some("multipart/mixed; boundary=a"),
            Some(PNG),
        ] {
            let refused = ada.send("POST", path, other, &body).await;
            refused.expect_problem(415, "unsupported_media_type");
        }
        let end = body.len() - 10;
        let spoilt: [(&str, &[u8]); 6] = [
            ("multipart/form-data", &body),
            ("multipart/form-data; boundary=another", &body),
            (&kind, b""),
            (&kind, b"nonsense"),
            (&kind, &body[..end]),
            (&kind, &body[..100]),
        ];
        for (kind, body) in spoilt {
            let refused = ada.send("POST", path, Some(kind), body).await;
            refused.expect_problem(400, "malformed_body");
        }
    }
    let file = Form::of(&bytes);
    let cases: [(&str, Form, Fields); 9] = [
        (AVATAR, Form::default(), &[("file", "required")]),
        (
            AVATAR,
            Form::default().file("files", "a", &bytes),
            &[("file", "required"), ("files", "unknown_field")],
        ),
        (
            AVATAR,
            file.clone().file("file", "b", &bytes),
            &[("file", "too_many")],
        ),
        (
            AVATAR,
            file.clone().text("user_id", "1"),
            &[("user_id", "unknown_field")],
        ),
        (
            AVATAR,
            file.clone().text("quality", "85"),
            &[("quality", "unknown_field")],
        ),
        (&images, Form::default(), &[("files", "required")]),
        (
            &images,
            file.clone(),
            &[("files", "required"), ("file", "unknown_field")],
        ),
        (
            &images,
            Form::of_all([&bytes, &bytes, &bytes, &bytes, &bytes, &bytes]),
            &[("files", "too_many")],
        ),
        (
            PROCESS,
            file.text("width", "5"),
            &[("width", "unknown_field")],
        ),
    ];
    for (path, form, expected) in cases {
        let refused = send(&ada, path, &form).await;
        let refused = refused.expect_problem(422, "validation_failed");
        let expected = expected.iter().map(|(f, c)| ((*f).into(), (*c).into()));
        let expected: Vec<(String, String)> = expected.collect();
        assert_eq!(refused.wrong_fields(), expected, "{path}");
    }
    assert_eq!(stored(&stage).await, before);
}

#[tokio::test]
async fn who_is_not_signed_in_uploads_nothing() {
    let stage = Stage::new().await;
    let anon = stage.anon();
    let id = Uuid::now_v7();
    let form = Form::of(&png(8, 8));
    for path in [AVATAR, PROCESS, &images_path(&id.to_string())] {
        let refused = send(&anon, path, &form).await;
        refused.expect_problem(401, "token_missing");
    }
    for (method, path) in [
        ("GET", FILES.to_owned()),
        ("POST", complete_path(&id.to_string())),
        ("DELETE", file_path(&id.to_string())),
    ] {
        let refused = anon.send(method, &path, None, b"").await;
        refused.expect_problem(401, "token_missing");
    }
    let refused = anon.post(UPLOADS, announced("a.txt", TEXT, 5)).await;
    refused.expect_problem(401, "token_missing");
    // And what is not there is there for nobody.
    for actor in [&anon, &stage.user().await, &stage.admin().await] {
        for id in [id.to_string(), "nonsense".to_owned()] {
            for path in [file_path(&id), info_path(&id)] {
                actor.get(&path).await.expect_problem(404, "not_found");
            }
        }
    }
}

// ---- Who sees what.

#[tokio::test]
async fn a_private_file_is_for_its_owner_and_for_administrators() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (ada, bob, anon) = (stage.user().await, stage.user().await, stage.anon());
    let file = upload(&ada, "notes.txt", TEXT, b"notes").await;
    let id = file["id"].as_str().unwrap();
    let (path, about) = (file_path(id), info_path(id));
    for stranger in [&bob, &anon] {
        for path in [&path, &about, &format!("{path}?variant=64")] {
            stranger.get(path).await.expect_problem(404, "not_found");
        }
    }
    delete(&bob, &path).await.expect_problem(404, "not_found");
    for reader in [&ada, &admin] {
        assert_eq!(reader.get(&about).await.expect(200).json(), file);
        let sent = reader.get(&path).await.expect(302);
        assert_eq!(sent.body, b"");
        assert_eq!(sent.header("cache-control"), "no-store");
        assert_eq!(sent.header("x-content-type-options"), "nosniff");
        let link = sent.header("location");
        assert!(link.contains("X-Amz-Expires=300"), "{link}");
        let found = fetch(link).expect(200);
        assert_eq!(found.body, b"notes");
        assert_eq!(found.header("content-type"), TEXT);
        assert_eq!(found.header("cache-control"), "private, no-store");
        assert_eq!(
            found.header("content-disposition"),
            "attachment; filename=\"notes.txt\""
        );
        // The link is for this object, and for what it says of it.
        for (from, to) in [
            (id, Uuid::now_v7().to_string().as_str()),
            ("attachment", "inline"),
            ("text%2Fplain", "text%2Fhtml"),
            ("X-Amz-Expires=300", "X-Amz-Expires=3000"),
        ] {
            let altered = link.replacen(from, to, 1);
            assert_ne!(altered, link, "{from}");
            assert_eq!(fetch(&altered).status, 403, "{from}");
        }
    }
    // Nobody has an object without a link.
    let link = ada.get(&path).await.header("location").to_owned();
    let bare = link.split('?').next().unwrap();
    if s3_wants_signatures() {
        assert_eq!(fetch(bare).status, 403);
    }

    // A link ends after five minutes: S3 has a clock of its own, for which it was signed in the past.
    stage.app.clock.advance(-420);
    let early = again(&stage, &ada).await;
    let sent = early.get(&path).await.expect(302);
    assert_eq!(fetch(sent.header("location")).status, 403);
    stage.app.clock.advance(180);
    let early = again(&stage, &ada).await;
    let sent = early.get(&path).await.expect(302);
    fetch(sent.header("location")).expect(200);
}

#[tokio::test]
async fn a_public_image_is_for_anybody_and_may_be_kept() {
    let stage = Stage::new().await;
    let (ada, anon) = (stage.user().await, stage.anon());
    let item = sell(&ada, "Tent", json!({})).await;
    let avatar = set_avatar(&ada, &noted_jpeg(&jpeg(300, 300), 1)).await;
    let image = add_images(&ada, &item, &[png(300, 300)]).await[0].clone();
    work(&stage).await;
    for (file, kind) in [(&avatar, JPEG), (&image, PNG)] {
        let id = file["id"].as_str().unwrap();
        let path = file_path(id);
        for path in [path.clone(), format!("{path}?variant=256")] {
            let sent = anon.get(&path).await.expect(302);
            let now = stage.app.clock.seconds();
            let kept = sent.header("cache-control").to_owned();
            let seconds = kept.strip_prefix("public, max-age=").unwrap();
            let seconds: i64 = seconds.parse().unwrap();
            let left = 600 - now % 600;
            assert!((left..=left + 2).contains(&seconds), "{kept} at {now}");
            assert_eq!(sent.header("x-content-type-options"), "nosniff");
            let link = sent.header("location");
            assert!(link.contains("X-Amz-Expires=1200"), "{link}");
            let found = fetch(link).expect(200);
            let disposition = found.header("content-disposition");
            assert!(
                disposition.starts_with("inline; filename=\"picture."),
                "{disposition}"
            );
            assert!(
                found
                    .header("cache-control")
                    .starts_with("public, max-age=")
            );
            if !path.contains('?') {
                assert_eq!(found.header("content-type"), kind);
            }
            // All get the same, whoever they are.
            let other = ada.get(&path).await.expect(302);
            assert_eq!(other.header("location"), link);
        }
        let read = anon.get(&info_path(id)).await.expect(200);
        let tag = read.header("etag").to_owned();
        let knowing = anon.clone().with_header("if-none-match", &tag);
        assert_eq!(knowing.get(&info_path(id)).await.expect(304).body, b"");
        for name in ["", "1", "65", "256x", "../256", "large"] {
            let path = format!("{path}?variant={name}");
            anon.get(&path).await.expect_problem(404, "not_found");
        }
    }
    // Ten minutes later there is another link, and each is good for ten minutes longer than it is handed on.
    let path = avatar["url"].as_str().unwrap();
    let sent = anon.get(path).await.expect(302);
    stage.app.clock.advance(600);
    let next = anon.get(path).await.expect(302);
    assert_ne!(next.header("location"), sent.header("location"));
    stage.app.clock.advance(-600 - 1_400);
    let old = anon.get(path).await.expect(302);
    assert_eq!(fetch(old.header("location")).status, 403);
}

#[tokio::test]
async fn my_files_are_listed_the_newest_first() {
    let stage = Stage::new().await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    let item = sell(&ada, "Tent", json!({})).await;
    let mut ids = Vec::new();
    for n in 0..6 {
        let file = upload(&ada, &format!("{n}.txt"), TEXT, b"notes").await;
        ids.push(file["id"].as_str().unwrap().to_owned());
    }
    ids.push(id_of(&set_avatar(&ada, &png(8, 8)).await["url"]));
    for file in add_images(&ada, &item, &[png(8, 8), png(9, 9)]).await {
        ids.push(id_of(&file["url"]));
    }
    upload(&bob, "b.txt", TEXT, b"notes").await;
    ids.sort();
    ids.reverse();
    assert_eq!(texts(&my_files(&ada).await, "id"), ids);
    let page = ada.get(&format!("{FILES}?skip=2&limit=3")).await;
    let page = page.expect(200).json();
    assert_eq!(texts(page["items"].as_array().unwrap(), "id"), ids[2..5]);
    // Not what nobody has completed.
    begin(&ada, "a.txt", TEXT, b"notes").await;
    assert_eq!(texts(&my_files(&ada).await, "id"), ids);
    for file in my_files(&ada).await {
        assert_eq!(info(&ada, file["id"].as_str().unwrap()).await, file);
    }
    ada.get(&format!("{FILES}?limit=0"))
        .await
        .expect_problem(422, "validation_failed");
    ada.get(&format!("{FILES}?cursor=nonsense"))
        .await
        .expect_problem(400, "invalid_cursor");
    // Nor what is deleted.
    delete(&ada, &file_path(&ids[3])).await.expect(204);
    ids.remove(3);
    assert_eq!(texts(&my_files(&ada).await, "id"), ids);
    assert_eq!(my_files(&bob).await.len(), 1);
}

// ---- The end of a file.

#[tokio::test]
async fn a_deleted_file_is_gone_at_once_and_its_bytes_soon() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (ada, bob, anon) = (stage.user().await, stage.user().await, stage.anon());
    let item = sell(&ada, "Tent", json!({})).await;
    let avatar = set_avatar(&ada, &png(300, 300)).await;
    let images = add_images(&ada, &item, &[png(8, 8), png(9, 9), png(10, 10)]).await;
    let note = upload(&ada, "notes.txt", TEXT, b"notes").await;
    work(&stage).await;
    check_settled(&stage, "before").await;
    let url = |file: &Value| file["url"].as_str().unwrap().to_owned();
    let urls = [url(&avatar), url(&images[1]), url(&note)];

    // Another's: what they see is forbidden, what they do not is not there.
    for (url, status) in urls.iter().zip([403, 403, 404]) {
        assert_eq!(delete(&bob, url).await.status, status);
    }
    let stale = ada.clone().with_header("if-match", "\"1\"");
    let refused = delete(&stale, &urls[0]).await;
    refused.expect_problem(412, "precondition_failed");
    assert_eq!(rows(&stage).await.len(), 5);

    for (url, actor) in urls.iter().zip([&ada, &admin, &ada]) {
        delete(actor, url).await.expect(204);
        for reader in [&ada, &admin, &anon] {
            for path in [url.clone(), format!("{url}/info")] {
                reader.get(&path).await.expect_problem(404, "not_found");
            }
        }
        delete(actor, url).await.expect_problem(404, "not_found");
        check_files(&stage, url).await;
    }
    assert_eq!(avatar_url(&ada).await, Value::Null);
    let left = json!([images[0]["url"], images[2]["url"]]);
    assert_eq!(images_of(&anon, &item).await, left);
    assert_eq!(my_files(&ada).await.len(), 2);
    work(&stage).await;
    check_settled(&stage, "after").await;
    assert_eq!(rows(&stage).await.len(), 2);
    // Who did what is in the trail.
    let trail = all_of(&ada, "/api/v1/users/me/activity?limit=100").await;
    let deleted = trail
        .iter()
        .filter(|entry| entry["action"] == "file.deleted");
    let about: BTreeSet<_> = deleted.map(|e| e["about_id"].to_string()).collect();
    for file in [&avatar, &note] {
        assert!(about.contains(&file["id"].to_string()), "{about:?}");
    }
    // With its tag.
    let file = ada
        .get(&format!("{}/info", url(&images[0])))
        .await
        .expect(200);
    let careful = ada.clone().with_header("if-match", file.header("etag"));
    delete(&careful, &url(&images[0])).await.expect(204);
    when_checked(&stage).await;
    check_settled(&stage, "the end").await;
    assert_eq!(rows(&stage).await.len(), 1);
}

#[tokio::test]
async fn a_file_that_is_deleted_while_its_variants_are_made_leaves_nothing() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    for round in 0..5 {
        let avatar = set_avatar(&ada, &png(300 + round, 300)).await;
        let url = avatar["url"].as_str().unwrap();
        let (deleted, _) = join(delete(&ada, url), stage.work()).await;
        deleted.expect(204);
    }
    when_checked(&stage).await;
    check_empty(&stage, "deleted").await;
}

#[tokio::test]
async fn the_images_of_an_item_go_with_it() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let item = sell(&ada, "Tent", json!({})).await;
    let other = sell(&ada, "Lamp", json!({})).await;
    let images = add_images(&ada, &item, &[png(8, 8), png(9, 9)]).await;
    let kept = add_images(&ada, &other, &[png(8, 8)]).await;
    let mut pending = announced("tent.png", PNG, 9);
    pending["item_id"] = json!(item);
    let pending = Upload::of(ada.post(UPLOADS, pending).await);
    pending.expect_posted(b"123456789");
    work(&stage).await;
    delete(&ada, &item_path(&item)).await.expect(204);
    check_files(&stage, "deleted").await;
    work(&stage).await;
    for file in &images {
        let url = file["url"].as_str().unwrap();
        ada.get(url).await.expect_problem(404, "not_found");
    }
    let late = complete(&ada, &pending.id).await;
    assert!(late.status.is_client_error(), "{late:?}");
    when_checked(&stage).await;
    check_settled(&stage, "deleted").await;
    let left: Vec<_> = rows(&stage)
        .await
        .iter()
        .map(|f| f.id.to_string())
        .collect();
    assert_eq!(left, [id_of(&kept[0]["url"])]);
}

#[tokio::test]
async fn the_files_of_a_deleted_user_are_erased() {
    let stage = Stage::new().await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    for user in [&ada, &bob] {
        let item = sell(user, "Tent", json!({})).await;
        set_avatar(user, &png(300, 300)).await;
        add_images(user, &item, &[png(8, 8), jpeg(9, 9)]).await;
        let name = match user.id == ada.id {
            true => "zebediah.txt",
            false => "notes.txt",
        };
        upload(user, name, TEXT, b"notes").await;
        begin(user, "a.txt", TEXT, b"notes")
            .await
            .expect_posted(b"notes");
        let large = Form::of(&png(2_001, 2_000));
        send(user, PROCESS, &large).await.expect(202);
    }
    work(&stage).await;
    check_files(&stage, "before").await;
    // One more, whose task is still to run.
    send(&ada, PROCESS, &Form::of(&png(2_001, 2_000)))
        .await
        .expect(202);
    delete(&ada, ME).await.expect(204);
    when_checked(&stage).await;
    check_settled(&stage, "erased").await;
    let rows = rows(&stage).await;
    assert!(rows.iter().all(|file| file.owner_id.to_string() == bob.id));
    assert_eq!(rows.len(), 5);
    let left = stage.all_items().await;
    assert!(left.iter().all(|item| !item.contains("zebediah")));
}

// ---- Quotas.

#[tokio::test]
async fn nobody_has_more_files_than_they_may() {
    let stage = Stage::with(&[("MAX_FILES", "3")]).await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    let item = sell(&ada, "Tent", json!({})).await;
    let first = upload(&ada, "a.txt", TEXT, b"notes").await;
    set_avatar(&ada, &png(8, 8)).await;
    // Two more would be four.
    let before = (stored(&stage).await, objects(&stage).await);
    let two = Form::of_all(&[png(8, 8), png(9, 9)]);
    let refused = send(&ada, &images_path(&item), &two).await;
    refused.expect_problem(409, "quota_exceeded");
    assert_eq!((stored(&stage).await, objects(&stage).await), before);
    // What is only announced counts.
    let pending = begin(&ada, "b.txt", TEXT, b"notes").await;
    for _ in 0..2 {
        let refused = ada.post(UPLOADS, announced("c.txt", TEXT, 5)).await;
        refused.expect_problem(409, "quota_exceeded");
    }
    let refused = send(&ada, PROCESS, &Form::of(&png(2_001, 2_000))).await;
    refused.expect_problem(409, "quota_exceeded");
    // What is not kept does not.
    send(&ada, PROCESS, &Form::of(&png(8, 8))).await.expect(200);
    upload(&bob, "a.txt", TEXT, b"notes").await;

    // Deleting gives room at once; so does what nobody has completed, an hour later.
    delete(&ada, first["url"].as_str().unwrap())
        .await
        .expect(204);
    upload(&ada, "c.txt", TEXT, b"notes").await;
    let refused = ada.post(UPLOADS, announced("d.txt", TEXT, 5)).await;
    refused.expect_problem(409, "quota_exceeded");
    check_files(&stage, "full").await;
    when_checked(&stage).await;
    let ada = again(&stage, &ada).await;
    complete(&ada, &pending.id)
        .await
        .expect_problem(404, "not_found");
    ada.post(UPLOADS, announced("d.txt", TEXT, 5))
        .await
        .expect(201);
    check_files(&stage, "an hour later").await;
}

#[tokio::test]
async fn nobody_has_more_bytes_than_they_may() {
    let stage = Stage::with(&[("QUOTA_MB", "1")]).await;
    let ada = stage.user().await;
    let text = "notes\n".repeat(100_000).into_bytes();
    let first = upload(&ada, "a.txt", TEXT, &text).await;
    let refused = ada.post(UPLOADS, announced("b.txt", TEXT, text.len()));
    refused.await.expect_problem(409, "quota_exceeded");
    let too_much = ada.post(UPLOADS, announced("b.txt", TEXT, MOST_BYTES as usize));
    too_much.await.expect_problem(409, "quota_exceeded");
    // What is stored counts, and not what was sent: this image is small without what is behind it.
    let mut image = png(8, 8);
    image.resize(300_000, 0);
    for _ in 0..3 {
        set_avatar(&ada, &image).await;
        upload(&ada, "image.png", PNG, &image).await;
    }
    check_files(&stage, "full").await;
    delete(&ada, first["url"].as_str().unwrap())
        .await
        .expect(204);
    upload(&ada, "b.txt", TEXT, &text).await;
    when_checked(&stage).await;
    check_settled(&stage, "full again").await;
}

#[tokio::test]
async fn what_comes_at_the_same_time_stays_within_the_quota() {
    let stage = Stage::with(&[("MAX_FILES", "4")]).await;
    let ada = stage.user().await;
    let announce = || ada.post(UPLOADS, announced("a.txt", TEXT, 5));
    let answers = join_all((0..12).map(|_| announce())).await;
    let mut begun = 0;
    for answer in answers {
        if answer.status == 201 {
            begun += 1;
            continue;
        }
        let code = answer.expect(409).text("code");
        let codes = ["quota_exceeded", "stale", "busy"];
        assert!(codes.contains(&code.as_str()), "{code}");
    }
    assert!((1..=4).contains(&begun), "{begun}");
    check_files(&stage, "at once").await;
    for _ in begun..4 {
        announce().await.expect(201);
    }
    announce().await.expect_problem(409, "quota_exceeded");
    // What is given back is given back once, however often it is deleted.
    let stage = Stage::with(&[("MAX_FILES", "4")]).await;
    let ada = stage.user().await;
    let file = upload(&ada, "a.txt", TEXT, b"notes").await;
    let url = file["url"].as_str().unwrap();
    for answer in join_all((0..5).map(|_| delete(&ada, url))).await {
        let is_done = matches!(answer.status.as_u16(), 204 | 404);
        assert!(is_done, "{answer:?}");
    }
    check_files(&stage, "deleted").await;
    when_checked(&stage).await;
    check_empty(&stage, "deleted").await;
}

// ---- Images made smaller.

#[tokio::test]
async fn a_small_image_is_processed_at_once() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let before = stored(&stage).await;
    let photo = noted_jpeg(&jpeg(600, 400), 6);
    let cases: [(Fields, (u32, u32)); 8] = [
        (&[], (400, 600)),
        (&[("resize_width", "200")], (200, 300)),
        (&[("resize_height", "200")], (133, 200)),
        (
            &[("resize_width", "200"), ("resize_height", "200")],
            (133, 200),
        ),
        (
            &[("resize_width", "100"), ("resize_height", "8192")],
            (100, 150),
        ),
        (&[("resize_width", "8192")], (400, 600)),
        (&[("resize_height", "1")], (1, 1)),
        (&[("quality", "100"), ("resize_width", "40")], (40, 60)),
    ];
    for (numbers, size) in cases {
        let form = Form::default().file("file", "Grüße.png", &photo);
        let form = numbers
            .iter()
            .fold(form, |form, (name, number)| form.text(name, number));
        let made = send(&ada, PROCESS, &form).await.expect(200);
        assert_eq!(made.header("content-type"), JPEG, "{numbers:?}");
        assert_eq!(made.header("cache-control"), "no-store");
        assert_eq!(made.header("x-content-type-options"), "nosniff");
        assert_eq!(
            made.header("content-disposition"),
            "inline; filename=\"Gr__e.jpg\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe.jpg"
        );
        assert_bare(&made.body, "made smaller");
        let format = image::guess_format(&made.body).unwrap();
        assert_eq!(format, ImageFormat::Jpeg);
        let image = image::load_from_memory(&made.body).unwrap();
        let (width, height) = (image.width(), image.height());
        let is_near = width.abs_diff(size.0) <= 1 && height.abs_diff(size.1) <= 1;
        assert!(is_near, "{numbers:?}: {width} x {height}");
        if size.0 > 10 {
            assert_eq!(quarters(&image), "BRYG", "{numbers:?}");
        }
    }
    // Less quality is fewer bytes.
    let noisy = {
        let mut random = fastrand::Rng::with_seed(8);
        let noise = RgbImage::from_fn(300, 300, |_, _| Rgb([0; 3].map(|_: u8| random.u8(..))));
        encoded(DynamicImage::ImageRgb8(noise), ImageFormat::Png)
    };
    let mut sizes = Vec::new();
    for quality in ["1", "30", "85", "100"] {
        let form = Form::of(&noisy).text("quality", quality);
        sizes.push(send(&ada, PROCESS, &form).await.expect(200).body.len());
    }
    assert!(sizes.is_sorted() && sizes[0] * 2 < sizes[3], "{sizes:?}");
    let usual = send(&ada, PROCESS, &Form::of(&noisy)).await.expect(200);
    assert_eq!(usual.body.len(), sizes[2]);
    // What is transparent becomes white, and every type is taken.
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let half = half_transparent(64, 64, format);
        let made = send(&ada, PROCESS, &Form::of(&half)).await.expect(200);
        let image = image::load_from_memory(&made.body).unwrap();
        assert_eq!(quarters(&image), "WGWG", "{format:?}");
    }
    send(&ada, PROCESS, &Form::of(&gif(8, 8))).await.expect(200);
    // Nothing of it is kept.
    assert_eq!(stored(&stage).await, before);
    check_empty(&stage, "at once").await;
}

#[tokio::test]
async fn a_large_image_is_processed_by_a_task() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let (ada, bob) = (stage.user().await, stage.user().await);
    let large = noted_png(&png(2_500, 2_000), 6);
    let form = Form::default().file("file", "wall.png", &large);
    let form = form.text("resize_width", "300").text("quality", "70");
    let asked = send(&ada, PROCESS, &form).await.expect(202);
    assert_eq!(members(&asked.json()), ["file_id", "task_id"]);
    let (task, id) = (asked.text("task_id"), asked.text("file_id"));
    let task = format!("/api/v1/tasks/{task}");
    assert_eq!(asked.header("location"), task);
    // The task is the caller's, and the file is not there yet.
    assert_eq!(ada.get(&task).await.expect(200).text("status"), "pending");
    bob.get(&task).await.expect_problem(404, "not_found");
    ada.get(&file_path(&id))
        .await
        .expect_problem(404, "not_found");
    check_files(&stage, "asked").await;
    work(&stage).await;
    let done = ada.get(&task).await.expect(200).json();
    assert_eq!(done["status"], "succeeded", "{done}");
    assert_eq!(
        done["result"],
        json!({"file_id": id, "url": file_path(&id)})
    );
    let file = info(&ada, &id).await;
    assert_eq!(members(&file), IMAGE_MEMBERS);
    for (member, value) in [
        ("filename", json!("wall.jpg")),
        ("content_type", json!(JPEG)),
        ("width", json!(300)),
        ("height", json!(375)),
        ("is_public", json!(false)),
        ("variants", json!({})),
    ] {
        assert_eq!(file[member], value, "{member}");
    }
    let found = follow(&ada, &file_path(&id)).await;
    assert_eq!(quarters(&found.image()), "BRYG");
    assert_bare(&found.body, "by a task");
    assert_eq!(found.body.len() as u64, file["size"].as_u64().unwrap());
    bob.get(&file_path(&id))
        .await
        .expect_problem(404, "not_found");
    follow(&admin, &file_path(&id)).await;
    assert_eq!(texts(&my_files(&ada).await, "id"), [id]);
    check_settled(&stage, "done").await;
    let left = objects(&stage).await.into_keys();
    assert_eq!(left.filter(|key| key.starts_with("work/")).count(), 0);

    // Few pixels of which too many bytes come are for a task too.
    let noise = {
        let mut random = fastrand::Rng::with_seed(8);
        let noise = RgbImage::from_fn(1_999, 1_999, |_, _| Rgb([random.u8(..); 3]));
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 80);
        encoder.encode_image(&noise).unwrap();
        bytes
    };
    assert!(noise.len() < MOST_DIRECT_BYTES, "{}", noise.len());
    let form = Form::of(&noise).text("quality", "100");
    let asked = send(&ada, PROCESS, &form).await.expect(202);
    work(&stage).await;
    let file = info(&ada, &asked.text("file_id")).await;
    let size = file["size"].as_u64().unwrap();
    assert!(size >= MOST_DIRECT_BYTES as u64, "{size}");
    // Whether one is whole shows only then; what is refused leaves nothing.
    let cut = png(2_500, 2_000);
    let cut = Form::of(&cut[..cut.len() / 2]);
    let asked = send(&ada, PROCESS, &cut).await.expect(202);
    work(&stage).await;
    let task = format!("/api/v1/tasks/{}", asked.text("task_id"));
    let done = ada.get(&task).await.expect(200).json();
    assert_eq!(done["status"], "succeeded", "{done}");
    assert_eq!(done["result"]["refused"]["code"], "broken_image");
    let path = file_path(&asked.text("file_id"));
    ada.get(&path).await.expect_problem(404, "not_found");
    check_settled(&stage, "refused").await;
    when_checked(&stage).await;
    check_settled(&stage, "the end").await;
}

#[tokio::test]
async fn numbers_that_are_none_are_refused_by_name() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let file = Form::of(&png(8, 8));
    let wrong = ["", "0", "-1", "1.5", "NaN", "1e3", "ten", "4294967297"];
    let sides = ["resize_width", "resize_height"];
    let mut cases: Vec<(&str, &str)> = Vec::new();
    for number in wrong {
        cases.extend(sides.map(|side| (side, number)));
        cases.push(("quality", number));
    }
    cases.extend(sides.map(|side| (side, "8193")));
    cases.push(("quality", "101"));
    for (field, number) in cases {
        let form = file.clone().text(field, number);
        let refused = send(&ada, PROCESS, &form).await;
        let refused = refused.expect_problem(422, "validation_failed");
        let expected = (field.to_owned(), "out_of_range".to_owned());
        assert_eq!(refused.wrong_fields(), [expected], "{number:?}");
    }
    // All of them at once, with what else is wrong.
    let form = Form::default()
        .text("resize_width", "a")
        .text("quality", "0");
    let form = form.text("resize_height", "-1").text("width", "5");
    let refused = send(&ada, PROCESS, &form).await;
    let fields: BTreeSet<_> = refused.wrong_fields().into_iter().map(|(f, _)| f).collect();
    let expected = ["file", "quality", "resize_height", "resize_width", "width"];
    assert_eq!(fields, expected.map(str::to_owned).into());
    let form = file.text("quality", "80").text("quality", "90");
    let refused = send(&ada, PROCESS, &form).await.expect(422);
    let expected = ("quality".to_owned(), "too_many".to_owned());
    assert_eq!(refused.wrong_fields(), [expected]);
}

// ---- What it costs, and what may happen.

#[tokio::test]
async fn what_a_request_costs() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let anon = stage.anon();
    let item = sell(&ada, "Tent", json!({})).await;
    // The budgets, in round trips to DynamoDB: the caller; what is read; a transaction before the bytes are stored, and
    // after them what points to the file and another transaction. Calls to S3 do not count.
    let first = send(&ada, AVATAR, &Form::of(&png(8, 8))).await;
    first.expect(201).expect_round_trips(4);
    let replaced = send(&ada, AVATAR, &Form::of(&png(8, 8))).await;
    replaced.expect(201).expect_round_trips(4);
    let form = Form::of_all(&[png(8, 8), png(8, 8), png(8, 8)]);
    let added = send(&ada, &images_path(&item), &form).await;
    added.expect(201).expect_round_trips(5);
    let begun = ada.post(UPLOADS, announced("a.txt", TEXT, 5)).await;
    let upload = Upload::of(begun.expect(201).expect_round_trips(2));
    upload.expect_posted(b"notes");
    let completed = complete(&ada, &upload.id).await;
    completed.expect(200).expect_round_trips(3);
    let again = complete(&ada, &upload.id).await;
    again.expect(200).expect_round_trips(2);
    let url = file_path(&upload.id);
    ada.get(&url).await.expect(302).expect_round_trips(2);
    let avatar = avatar_url(&ada).await;
    let avatar = avatar.as_str().unwrap();
    // The first request of an address leases some more.
    anon.get("/api/v1/tags").await.expect(200);
    anon.get(avatar).await.expect(302).expect_round_trips(1);
    let about = format!("{avatar}/info");
    anon.get(&about).await.expect(200).expect_round_trips(1);
    ada.get(FILES).await.expect(200).expect_round_trips(3);
    delete(&ada, &url).await.expect(204).expect_round_trips(4);
    delete(&ada, avatar).await.expect(204).expect_round_trips(5);
    let small = send(&ada, PROCESS, &Form::of(&png(8, 8))).await;
    small.expect(200).expect_round_trips(1);
    let large = send(&ada, PROCESS, &Form::of(&png(2_001, 2_000))).await;
    large.expect(202).expect_round_trips(3);
}

/// What somebody asks for before their instance dies.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Avatar,
    Images,
    Begin,
    Complete,
    Delete,
    Process,
}

impl Deed {
    const ALL: [Self; 6] = [
        Self::Avatar,
        Self::Images,
        Self::Begin,
        Self::Complete,
        Self::Delete,
        Self::Process,
    ];

    async fn done_by(self, actor: &Actor<'_>, item: &str, upload: &str, avatar: &str) -> Answer {
        match self {
            Self::Avatar => send(actor, AVATAR, &Form::of(&jpeg(20, 20))).await,
            Self::Images => {
                let images = Form::of_all(&[png(8, 8), jpeg(9, 9)]);
                send(actor, &images_path(item), &images).await
            }
            Self::Begin => actor.post(UPLOADS, announced("b.txt", TEXT, 5)).await,
            Self::Complete => complete(actor, upload).await,
            Self::Delete => delete(actor, avatar).await,
            Self::Process => {
                let large = Form::of(&png(2_001, 2_000)).text("resize_width", "40");
                send(actor, PROCESS, &large).await
            }
        }
    }
}

/// Asserts that what refers to files refers to those that are there.
async fn check_references(stage: &Stage, user: &Actor<'_>, item: &str, story: &str) {
    let user = again(stage, user).await;
    let rows = rows(stage).await;
    let of = |wanted: &dyn Fn(&Purpose) -> bool| -> BTreeSet<String> {
        let rows = rows.iter().filter(|file| wanted(&file.purpose));
        rows.map(|file| file_path(&file.id.to_string())).collect()
    };
    let avatar = avatar_url(&user).await;
    let avatar: BTreeSet<_> = avatar.as_str().into_iter().map(str::to_owned).collect();
    let expected = of(&|purpose| *purpose == Purpose::Avatar);
    assert_eq!(avatar, expected, "{story}");
    let images: BTreeSet<String> = serde_json::from_value(images_of(&user, item).await).unwrap();
    let expected = of(&|purpose| matches!(purpose, Purpose::ItemImage { .. }));
    assert_eq!(images, expected, "{story}");
}

#[tokio::test]
async fn an_instance_may_die_at_any_of_its_calls() {
    // Also when only the answer is lost, to each of the tries: what was done must stay done.
    let faults = [Fault::DiesAfter, Fault::AnswerLost];
    for (deed, fault) in Deed::ALL
        .into_iter()
        .flat_map(|deed| faults.map(|fault| (deed, fault)))
    {
        for number in calls() {
            let stage = Stage::new().await;
            let ada = stage.user().await;
            let item = sell(&ada, "Tent", json!({})).await;
            let avatar = set_avatar(&ada, &png(8, 8)).await;
            let avatar = avatar["url"].as_str().unwrap();
            let upload = begin(&ada, "a.txt", TEXT, b"notes").await;
            upload.expect_posted(b"notes");
            work(&stage).await;

            let faults = Faults::new(Schedule::Call(number, fault));
            let instance = stage.beside(faults.instance(&stage.app));
            let dying = ada.at(&instance);
            let doing = deed.done_by(&dying, &item, &upload.id, avatar);
            faults.survive(doing).await;
            let story = format!("{deed:?}: {fault:?} at call {number}");
            check_files(&stage, &story).await;
            stage.work().await;
            check_files(&stage, &story).await;
            when_checked(&stage).await;
            check_settled(&stage, &story).await;
            check_references(&stage, &ada, &item, &story).await;
            let calls = faults.take_calls();
            if calls.iter().all(|(_, fault)| *fault == Fault::None) {
                assert!(number >= 2, "{deed:?}: {calls:?}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_worker_may_die_at_any_of_its_calls_with_files_in_hand() {
    for number in calls() {
        let stage = Stage::new().await;
        let ada = stage.user().await;
        let item = sell(&ada, "Tent", json!({})).await;
        set_avatar(&ada, &png(40, 40)).await;
        work(&stage).await;
        // An avatar whose variants are to be made, one that is to go, an image to be processed, and an upload of which
        // only the bucket tells.
        set_avatar(&ada, &png(50, 50)).await;
        let large = Form::of(&png(2_001, 2_000)).text("resize_width", "40");
        let asked = send(&ada, PROCESS, &large).await.expect(202);
        let upload = begin(&ada, "a.txt", TEXT, b"notes").await;
        upload.expect_posted(b"notes");
        stage
            .post_message(&s3_event(&stage, upload.field("key")))
            .await;

        let mut batch = SqsEvent::default();
        batch.records = stage.receive().await;
        assert!(batch.records.len() >= 4, "{:?}", batch.records);
        let faults = Faults::new(Schedule::Call(number, Fault::DiesAfter));
        let worker = Worker::new(faults.instance(&stage.app)).unwrap();
        faults.survive(worker::handle(worker, batch)).await;
        let story = format!("the worker dies at call {number}");
        check_files(&stage, &story).await;
        stage.later(31).await;
        settle(&stage).await;
        for id in [&asked.text("file_id"), &upload.id] {
            let ada = again(&stage, &ada).await;
            let file = ada.get(&info_path(id)).await;
            assert_eq!(file.status, 200, "{story}");
        }
        when_checked(&stage).await;
        check_settled(&stage, &story).await;
        check_references(&stage, &ada, &item, &story).await;
        assert_eq!(rows(&stage).await.len(), 3, "{story}");
        let calls = faults.take_calls();
        if calls.iter().all(|(_, fault)| *fault == Fault::None) {
            assert!(number >= 12, "{calls:?}");
            break;
        }
    }
}
