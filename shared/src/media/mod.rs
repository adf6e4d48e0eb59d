//! What may be stored of what is sent: a picture is read and written anew, a document stays as it is. Media do no I/O.
//!
//! Nothing of a sent picture is stored but what can be seen: no place where it was taken, no script behind its end.
//! That is work for a processor: up to a second for ten megapixels, and half a gigabyte of memory for the largest that
//! are taken. An instance does one thing at a time, so nobody else waits for it.

mod content;
mod outline;
mod picture;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use image::{DynamicImage, ImageFormat};
use ring::digest;
use serde::{Deserialize, Serialize};

use crate::models::file::{ContentType, MOST_BYTES, Stored, Variant, VariantKind};

pub use content::content_of;
pub use picture::MOST_STORED_BYTES;

/// The quality of the JPEGs that take the place of those that were sent, and of what is made of them: what was sent was
/// compressed once already, and its variants are never compressed again.
const STORED_QUALITY: u8 = 90;
const VARIANT_QUALITY: u8 = 85;

/// Why something is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is none of the types that we take, or not the one that it is said to be.
    UnsupportedContent,
    TooLarge,
    TooManyPixels,
    /// It says that it is an image, and is none, or only the beginning of one.
    BrokenImage,
    Empty,
}

impl Refusal {
    /// The word a client branches on.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnsupportedContent => "unsupported_content",
            Self::TooLarge => "too_large",
            Self::TooManyPixels => "too_many_pixels",
            Self::BrokenImage => "broken_image",
            Self::Empty => "empty",
        }
    }

    /// Completes "the field …".
    pub fn message(self) -> &'static str {
        match self {
            Self::UnsupportedContent => "must hold a type of content that is taken here",
            Self::TooLarge => "is too large",
            Self::TooManyPixels => "must have at most 16,384 pixels a side, and 40 million in all",
            Self::BrokenImage => "must be a whole image",
            Self::Empty => "must not be empty",
        }
    }
}

/// What is stored of what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub content_type: ContentType,
    pub bytes: Vec<u8>,
    /// The SHA-256 of the bytes, in base64url.
    pub hash: String,
    pub width: Option<u32>,
    pub height: Option<u32>,
}

impl Checked {
    pub fn stored(&self) -> Stored {
        Stored {
            content_type: self.content_type,
            size: self.bytes.len() as u64,
            hash: self.hash.clone(),
            width: self.width,
            height: self.height,
        }
    }

    fn document(content_type: ContentType, bytes: Vec<u8>) -> Self {
        Self {
            content_type,
            hash: hash(&bytes),
            bytes,
            width: None,
            height: None,
        }
    }

    fn image(content_type: ContentType, bytes: Vec<u8>, image: &DynamicImage) -> Self {
        Self {
            width: Some(image.width()),
            height: Some(image.height()),
            ..Self::document(content_type, bytes)
        }
    }
}

/// Checks what may be of any type that we take.
pub fn check(bytes: Vec<u8>) -> Result<Checked, Refusal> {
    let content_type = content_of(&bytes)?;
    if content_type.is_image() {
        return check_image(bytes);
    }
    check_size(&bytes)?;
    Ok(Checked::document(content_type, bytes))
}

/// Checks what must be an image, and makes of it what is stored: upright, in 8 bits a channel and the colours of sRGB,
/// and only the first picture if it moves. What came as a photograph becomes a JPEG; the rest, and what is transparent,
/// a PNG.
pub fn check_image(bytes: Vec<u8>) -> Result<Checked, Refusal> {
    check_size(&bytes)?;
    let format = format_of(&bytes)?;
    let image = picture::read(&bytes, format)?;
    let is_photograph = matches!(format, ImageFormat::Jpeg | ImageFormat::WebP);
    let has_half_colors = format == ImageFormat::Jpeg && outline::jpeg_has_half_colors(&bytes);
    // The pixels are enough to hold in memory.
    drop(bytes);
    if is_photograph && !image.color().has_alpha() {
        let bytes = picture::jpeg(&image, STORED_QUALITY, has_half_colors)?;
        return Ok(Checked::image(ContentType::Jpeg, bytes, &image));
    }
    let bytes = picture::png(&image)?;
    Ok(Checked::image(ContentType::Png, bytes, &image))
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub bytes: Vec<u8>,
    pub variant: Variant,
}

/// Makes a variant of an image, as it was stored.
pub fn make_variant(image: &[u8], kind: &VariantKind) -> Result<Made, Refusal> {
    let image = picture::read(image, format_of(image)?)?;
    let image = match kind.is_square {
        true => picture::square(image, kind.side)?,
        false => picture::fitting(image, (kind.side, kind.side))?,
    };
    let (content_type, bytes) = match image.color().has_alpha() {
        false => (
            ContentType::Jpeg,
            picture::jpeg(&image, VARIANT_QUALITY, true)?,
        ),
        true => (ContentType::Png, picture::png(&image)?),
    };
    let variant = Variant {
        content_type,
        width: image.width(),
        height: image.height(),
        size: bytes.len() as u64,
    };
    Ok(Made { bytes, variant })
}

/// How many pixels an image has by its header, so that somebody can tell how long it will take. It may still be broken.
pub fn pixels_of(image: &[u8]) -> Result<u64, Refusal> {
    let (width, height) = outline::size(image, format_of(image)?)?;
    Ok(u64::from(width) * u64::from(height))
}

/// The largest width and height that an image may come out with, and its quality as a JPEG, from 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    pub quality: u8,
}

/// Makes a JPEG of an image. It keeps its ratio and is never enlarged; what is transparent becomes white.
pub fn process(image: Vec<u8>, resize: &Resize) -> Result<Checked, Refusal> {
    check_size(&image)?;
    let read = picture::read(&image, format_of(&image)?)?;
    drop(image);
    let [width, height] = [resize.width, resize.height].map(|most| most.unwrap_or(u32::MAX));
    let image = picture::on_white(picture::fitting(read, (width, height))?);
    let bytes = picture::jpeg(&image, resize.quality, resize.quality < STORED_QUALITY)?;
    Ok(Checked::image(ContentType::Jpeg, bytes, &image))
}

fn check_size(bytes: &[u8]) -> Result<(), Refusal> {
    match bytes.len() as u64 > MOST_BYTES {
        true => Err(Refusal::TooLarge),
        false => Ok(()),
    }
}

/// What format an image has. Something else is refused, though it may be a document that we take.
fn format_of(bytes: &[u8]) -> Result<ImageFormat, Refusal> {
    match content_of(bytes)? {
        ContentType::Jpeg => Ok(ImageFormat::Jpeg),
        ContentType::Png => Ok(ImageFormat::Png),
        ContentType::Gif => Ok(ImageFormat::Gif),
        ContentType::Webp => Ok(ImageFormat::WebP),
        ContentType::Pdf | ContentType::Text => Err(Refusal::UnsupportedContent),
    }
}

fn hash(bytes: &[u8]) -> String {
    BASE64.encode(digest::digest(&digest::SHA256, bytes))
}
