//! How the parts of an image's file lie: how large the image is, whether it is whole, and what of it a decoder needs.
//!
//! A decoder makes room for what a header says before it looks at the rest, and some make do with half of an image. So
//! sizes are read here first, without making room for anything; and what is cut short, or hung on behind the end, never
//! gets to a decoder.

use std::borrow::Cow;
use std::iter;

use image::ImageFormat;

use super::Refusal;

/// The largest that an image may be, in pixels.
pub(super) const MOST_SIDE: u32 = 16_384;
pub(super) const MOST_PIXELS: u64 = 40_000_000;

/// The most bytes that a PNG's colour profile, or what its camera has noted, may have: that is read, the rest is not.
const MOST_NOTES: usize = 1 << 20;

/// Width and height by the header.
pub(super) fn size(bytes: &[u8], format: ImageFormat) -> Result<(u32, u32), Refusal> {
    let size = match format {
        ImageFormat::Jpeg => jpeg_size(bytes),
        ImageFormat::Png => png_size(bytes),
        ImageFormat::Gif => gif_size(bytes),
        ImageFormat::WebP => webp_size(bytes),
        _ => return Err(Refusal::UnsupportedContent),
    };
    let (width, height) = size.ok_or(Refusal::BrokenImage)?;
    let pixels = u64::from(width) * u64::from(height);
    if width > MOST_SIDE || height > MOST_SIDE || pixels > MOST_PIXELS {
        return Err(Refusal::TooManyPixels);
    }
    match pixels {
        0 => Err(Refusal::BrokenImage),
        _ => Ok((width, height)),
    }
}

/// What a decoder needs of the file: the image from its beginning to its end, if that is there.
pub(super) fn whole(bytes: &[u8], format: ImageFormat) -> Result<Cow<'_, [u8]>, Refusal> {
    let whole = match format {
        ImageFormat::Jpeg if jpeg_has_scans_apart(bytes) => {
            return Err(Refusal::UnsupportedContent);
        }
        ImageFormat::Jpeg => whole_jpeg(bytes).map(Cow::Borrowed),
        ImageFormat::Png => whole_png(bytes).map(Cow::Owned),
        ImageFormat::Gif => whole_gif(bytes).map(Cow::Borrowed),
        ImageFormat::WebP => whole_webp(bytes).map(Cow::Borrowed),
        _ => return Err(Refusal::UnsupportedContent),
    };
    whole.ok_or(Refusal::BrokenImage)
}

// ---- JPEG (ITU-T T.81, annex B): markers with segments, and pixels behind those that begin a scan.

const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

/// The markers of a JPEG with their segments, up to its end, with which comes all that is behind it.
fn jpeg_segments(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes;
    iter::from_fn(move || {
        loop {
            let begin = rest.iter().position(|byte| *byte == 0xff)?;
            rest = &rest[begin + 1..];
            let (&marker, behind) = rest.split_first()?;
            match marker {
                // Filling: the marker is still to come.
                0xff => {}
                // No marker but a byte of the pixels, or one without a segment.
                0x00 | 0x01 | 0xd0..=0xd8 => rest = behind,
                END_OF_IMAGE => {
                    rest = &[];
                    return Some((marker, behind));
                }
                _ => {
                    let length = usize::from(u16::from_be_bytes(*behind.first_chunk()?));
                    let segment = behind.get(2..length)?;
                    rest = &behind[length..];
                    return Some((marker, segment));
                }
            }
        }
    })
}

/// The segment that tells how large the image is, and its marker, which tells how it is coded.
fn jpeg_frame(bytes: &[u8]) -> Option<(u8, &[u8])> {
    // Among the markers of frames are those of two kinds of tables, and a reserved one.
    let is_frame =
        |marker: u8| matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
    jpeg_segments(bytes).find(|(marker, _)| is_frame(*marker))
}

fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let (_, frame) = jpeg_frame(bytes)?;
    let [height, width] = [1, 3].map(|at| frame.get(at..at + 2)?.try_into().ok());
    let side = |bytes: [u8; 2]| u32::from(u16::from_be_bytes(bytes));
    Some((side(width?), side(height?)))
}

/// Whether the channels of an image that is not progressive come one after the other. Few are made so, and our decoder
/// makes something else of them without a word (zune-image issues 422 and 448).
fn jpeg_has_scans_apart(bytes: &[u8]) -> bool {
    let Some((0xc0 | 0xc1, frame)) = jpeg_frame(bytes) else {
        return false;
    };
    let mut segments = jpeg_segments(bytes);
    let first = segments.find(|(marker, _)| *marker == START_OF_SCAN);
    // How many channels the image has, and how many its first scan.
    first.is_some_and(|(_, scan)| scan.first() < frame.get(5))
}

/// Whether a JPEG has half the resolution of colours, as most photographs have.
pub(super) fn jpeg_has_half_colors(bytes: &[u8]) -> bool {
    // How many samples of light there are for one of colour, across and down.
    jpeg_frame(bytes).is_some_and(|(_, frame)| frame.get(7) == Some(&0x22))
}

fn whole_jpeg(bytes: &[u8]) -> Option<&[u8]> {
    let end = jpeg_segments(bytes).find(|(marker, _)| *marker == END_OF_IMAGE);
    let (_, behind) = end?;
    Some(&bytes[..bytes.len() - behind.len()])
}

// ---- PNG (third edition, section 5): chunks.

const PNG_SIGNATURE: usize = 8;

fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = bytes.get(PNG_SIGNATURE..)?;
    let [_length, kind, width, height] = header.first_chunk::<16>()?.as_chunks::<4>().0 else {
        return None;
    };
    let is_header = kind == b"IHDR";
    is_header.then_some((u32::from_be_bytes(*width), u32::from_be_bytes(*height)))
}

/// Without the chunks that do not tell how the image looks: texts, which can be a thousand times as long as they are
/// when they are packed, and the other pictures of one that moves.
fn whole_png(bytes: &[u8]) -> Option<Vec<u8>> {
    let (signature, mut rest) = bytes.split_at_checked(PNG_SIGNATURE)?;
    let mut whole = signature.to_vec();
    loop {
        let ([length, kind], _) = rest.first_chunk::<8>()?.as_chunks::<4>() else {
            return None;
        };
        // Beside the content: length, kind and checksum.
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (chunk, behind) = rest.split_at_checked(length.checked_add(12)?)?;
        let is_needed = match kind {
            b"IHDR" | b"PLTE" | b"tRNS" | b"IDAT" | b"IEND" => true,
            b"iCCP" | b"eXIf" => length <= MOST_NOTES,
            _ => false,
        };
        if is_needed {
            whole.extend_from_slice(chunk);
        }
        if kind == b"IEND" {
            return Some(whole);
        }
        rest = behind;
    }
}

// ---- GIF (version 89a): blocks.

const GIF_HEADER: usize = 13;

fn gif_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = bytes.first_chunk::<GIF_HEADER>()?;
    let side = |at: usize| u32::from(u16::from_le_bytes([header[at], header[at + 1]]));
    Some((side(6), side(8)))
}

fn whole_gif(bytes: &[u8]) -> Option<&[u8]> {
    // A byte of flags tells whether there is a palette, and of how many colours.
    let palette = |flags: u8| match flags & 0x80 {
        0 => 0,
        _ => 3 << ((flags & 0x07) + 1),
    };
    let mut rest = bytes.get(GIF_HEADER..)?;
    rest = rest.get(palette(bytes[10])..)?;
    loop {
        let (kind, behind) = rest.split_first()?;
        rest = match kind {
            // A picture: its place, its palette, and how its pixels are packed.
            0x2c => behind.get(9 + palette(*behind.get(8)?) + 1..)?,
            // An extension, and of what kind.
            0x21 => behind.get(1..)?,
            0x3b => return Some(&bytes[..bytes.len() - behind.len()]),
            _ => return None,
        };
        // Either has its content in pieces, the last of which is empty.
        loop {
            let (length, piece) = rest.split_first()?;
            rest = piece.get(usize::from(*length)..)?;
            if *length == 0 {
                break;
            }
        }
    }
}

// ---- WebP (RFC 9649, section 2): chunks, some of which hold chunks.

/// What is in front of the chunks.
const WEBP_HEADER: usize = 12;

/// The kind of the first of some chunks, its content, and the chunks behind it.
type Chunk<'a> = (&'a [u8; 4], &'a [u8], &'a [u8]);

fn webp_chunk(chunks: &[u8]) -> Option<Chunk<'_>> {
    let (kind, rest) = chunks.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (content, behind) = rest.split_at_checked(length)?;
    // Filled up to an even length, except that the last one often is not.
    Some((kind, content, behind.get(length % 2..).unwrap_or_default()))
}

fn webp_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let chunk = bytes.get(WEBP_HEADER..)?;
    // Only its beginning is looked at, so that a header alone has a size too.
    let (kind, content) = (chunk.first_chunk::<4>()?, chunk.get(8..)?);
    match kind {
        b"VP8X" => {
            let [_, _, _, _, a, b, c, d, e, f] = *content.first_chunk()?;
            Some((webp_side([a, b, c]), webp_side([d, e, f])))
        }
        b"VP8L" => {
            let [_, bits @ ..] = *content.first_chunk::<5>()?;
            let bits = u32::from_le_bytes(bits);
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8 " => vp8_size(content),
        _ => None,
    }
}

fn vp8_size(content: &[u8]) -> Option<(u32, u32)> {
    let [.., a, b, c, d] = *content.first_chunk::<10>()?;
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    Some((side(a, b), side(c, d)))
}

fn whole_webp(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.get(4..8)?.try_into().ok()?;
    let length = usize::try_from(u32::from_le_bytes(length)).ok()?;
    let whole = bytes.get(..length.checked_add(8)?)?;
    let chunks = whole.get(WEBP_HEADER..)?;
    are_webp_chunks_sound(chunks, webp_size(bytes)?, true).then_some(whole)
}

/// Whether each chunk ends before the file does, and each picture has the size that was told before: a decoder makes
/// room by either.
fn are_webp_chunks_sound(mut chunks: &[u8], size: (u32, u32), may_move: bool) -> bool {
    while chunks.len() >= 8 {
        let Some((kind, content, behind)) = webp_chunk(chunks) else {
            return false;
        };
        let is_sound = match kind {
            b"VP8 " => vp8_size(content) == Some(size),
            b"ANMF" => may_move && is_webp_frame_sound(content, size),
            _ => true,
        };
        if !is_sound {
            return false;
        }
        chunks = behind;
    }
    true
}

/// The same of one of several pictures, which may be smaller than the whole.
fn is_webp_frame_sound(frame: &[u8], whole: (u32, u32)) -> bool {
    let Some(([_, _, _, _, _, _, a, b, c, d, e, f, ..], chunks)) = frame.split_first_chunk::<16>()
    else {
        return false;
    };
    let size = (webp_side([*a, *b, *c]), webp_side([*d, *e, *f]));
    size.0 <= whole.0 && size.1 <= whole.1 && are_webp_chunks_sound(chunks, size, false)
}

fn webp_side([low, middle, high]: [u8; 3]) -> u32 {
    u32::from_le_bytes([low, middle, high, 0]) + 1
}
