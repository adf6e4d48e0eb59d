//! Files to test with, made when they are wanted: good ones of every kind, and some that somebody has thought about.

use std::io::Cursor;

use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageFormat};
use image::{Rgb, RgbImage, Rgba, RgbaImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

pub(super) const RED: [u8; 3] = [220, 30, 30];
pub(super) const GREEN: [u8; 3] = [30, 160, 60];
pub(super) const BLUE: [u8; 3] = [30, 40, 220];
pub(super) const YELLOW: [u8; 3] = [230, 210, 40];

// ---- Pictures.

/// Red and green above blue and yellow.
pub(super) fn quarters(width: u32, height: u32) -> DynamicImage {
    let color = |x, y| match (x < width / 2, y < height / 2) {
        (true, true) => RED,
        (false, true) => GREEN,
        (true, false) => BLUE,
        (false, false) => YELLOW,
    };
    RgbImage::from_fn(width, height, |x, y| Rgb(color(x, y))).into()
}

/// The same, of which nothing is seen on the left.
pub(super) fn half(width: u32, height: u32) -> DynamicImage {
    let mut half = quarters(width, height).into_rgba8();
    for (x, _, pixel) in half.enumerate_pixels_mut() {
        pixel[3] = if x < width / 2 { 0 } else { 255 };
    }
    half.into()
}

pub(super) fn noise(width: u32, height: u32, seed: u64) -> DynamicImage {
    let mut pixels = vec![0; (width * height * 3) as usize];
    fastrand::Rng::with_seed(seed).fill(&mut pixels);
    RgbImage::from_raw(width, height, pixels).unwrap().into()
}

/// What is in the middle of each quarter, as letters: `RGBY` as they were made, `W` for white, `_` for nothing.
pub(super) fn letters(image: &DynamicImage) -> String {
    let image = image.to_rgba8();
    let at = |x, y| {
        let Rgba([red, green, blue, alpha]) =
            *image.get_pixel(image.width() * x / 4, image.height() * y / 4);
        let known = [
            ('R', RED),
            ('G', GREEN),
            ('B', BLUE),
            ('Y', YELLOW),
            ('W', [255; 3]),
        ];
        let far = |color: [u8; 3]| -> u32 {
            let both = color.into_iter().zip([red, green, blue]);
            both.map(|(a, b)| u32::from(a.abs_diff(b))).sum()
        };
        match known.into_iter().find(|(_, color)| far(*color) < 60) {
            _ if alpha == 0 => '_',
            Some((letter, _)) => letter,
            None => '?',
        }
    };
    [at(1, 1), at(3, 1), at(1, 3), at(3, 3)]
        .into_iter()
        .collect()
}

// ---- Files.

pub(super) fn file(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format).unwrap();
    file.into_inner()
}

pub(super) fn jpeg(image: &DynamicImage) -> Vec<u8> {
    jpeg_with(image, |_| ())
}

/// A JPEG of colours, with half the resolution of colours, and what else is set.
pub(super) fn jpeg_with(
    image: &DynamicImage,
    set: impl FnOnce(&mut Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 95);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    set(&mut encoder);
    let (width, height) = (image.width() as u16, image.height() as u16);
    let pixels = image.to_rgb8();
    encoder
        .encode(&pixels, width, height, ColorType::Rgb)
        .unwrap();
    file
}

/// As programs for print write it.
pub(super) fn cmyk_jpeg(image: &DynamicImage, kind: ColorType) -> Vec<u8> {
    let mut file = Vec::new();
    let (width, height) = (image.width() as u16, image.height() as u16);
    let inks: Vec<u8> = image
        .to_rgb8()
        .pixels()
        .flat_map(|p| [255 - p[0], 255 - p[1], 255 - p[2], 0])
        .collect();
    Encoder::new(&mut file, 95)
        .encode(&inks, width, height, kind)
        .unwrap();
    file
}

pub(super) fn gif(frames: impl IntoIterator<Item = RgbaImage>) -> Vec<u8> {
    let mut file = Vec::new();
    let frames = frames.into_iter().map(Frame::new);
    GifEncoder::new(&mut file).encode_frames(frames).unwrap();
    file
}

/// A lossy WebP of 16 by 16 pixels, blue and red side by side: the `image` crate writes none.
pub(super) const LOSSY_WEBP: &[u8] =
    b"RIFF>\0\0\0WEBPVP8 2\0\0\0\x90\x01\0\x9d\x01*\x10\0\x10\0\x01@&%\xa0\x02t\xba\0\
    \x03\x98\0\xfe\xf5j\xff\xfd\x89f\xff\xe0N\xf0k\xff\x81;P\x7f_\x7f\xf0'\n\xbf\xe1\x02\0\0\0";

/// The same, of which nothing is seen on the left.
pub(super) const LOSSY_WEBP_HALF: &[u8] = b"RIFFj\0\0\0WEBPVP8X\n\0\0\0\x10\0\0\0\x0f\0\0\x0f\0\0ALPH\x12\0\0\0\x01\
    \x0f0\xff\x11\x11B,\x98\xcc_\xba;\x83\x88\xfe\x87.VP8 2\0\0\0\x90\x01\0\x9d\x01*\x10\0\x10\0\x01@&%\xa0\x02t\xba\
    \0\x03\x98\0\xfe\xf5j\xff\xfd\x89f\xff\xe0N\xf0k\xff\x81;P\x7f_\x7f\xf0'\n\xbf\xe1\x02\0\0\0";

// ---- What is noted in files.

/// A name of a camera, and how it says where it was.
pub(super) const CAMERA: &[u8] = b"SheafCamera";

/// What a camera notes (EXIF 2.3): its name, and which way up it was held.
pub(super) fn exif(orientation: u8) -> Vec<u8> {
    [
        b"II*\0\x08\0\0\0\x02\0",
        // The name is behind the two entries.
        &b"\x0f\x01\x02\0\x0c\0\0\0\x26\0\0\0"[..],
        &[0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0],
        &[0; 4],
        CAMERA,
        &[0],
    ]
    .concat()
}

pub(super) fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len() as u16 + 2;
    [&[0xff, marker], &length.to_be_bytes()[..], content].concat()
}

pub(super) fn insert(file: &[u8], at: usize, more: &[u8]) -> Vec<u8> {
    [&file[..at], more, &file[at..]].concat()
}

/// A JPEG with all that cameras and programs note.
pub(super) fn noted_jpeg(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let xmp = [b"http://ns.adobe.com/xap/1.0/\0", CAMERA].concat();
    let notes = [
        segment(0xe1, &[b"Exif\0\0", &exif(orientation)[..]].concat()),
        segment(0xe1, &xmp),
        segment(0xed, &[b"Photoshop 3.0\0", CAMERA].concat()),
        segment(0xfe, CAMERA),
    ];
    insert(jpeg, 2, &notes.concat())
}

pub(super) fn jpeg_profile(profile: &[u8]) -> Vec<u8> {
    segment(0xe2, &[b"ICC_PROFILE\0\x01\x01", profile].concat())
}

/// The checksum of a PNG's chunk.
fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
        }
    }
    (!crc).to_be_bytes()
}

pub(super) fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let named = [kind, content].concat();
    [
        &(content.len() as u32).to_be_bytes(),
        &named[..],
        &crc(&named),
    ]
    .concat()
}

/// Where a PNG's chunks begin behind its header.
pub(super) const BEHIND_IHDR: usize = 33;

pub(super) fn noted_png(png: &[u8], orientation: u8) -> Vec<u8> {
    let notes = [
        chunk(b"eXIf", &exif(orientation)),
        chunk(b"tEXt", &[b"Comment\0", CAMERA].concat()),
        chunk(b"iTXt", &[b"XML:com.adobe.xmp\0\0\0\0\0", CAMERA].concat()),
        chunk(b"tIME", &[7, 234, 1, 2, 3, 4, 5]),
        chunk(b"pHYs", &[0, 0, 11, 19, 0, 0, 11, 19, 1]),
    ];
    insert(png, BEHIND_IHDR, &notes.concat())
}

pub(super) fn riff(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (kind, content) in chunks {
        body.extend_from_slice(&webp_chunk(kind, content));
    }
    [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat()
}

pub(super) fn webp_chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut chunk = [kind, &(content.len() as u32).to_le_bytes()[..], content].concat();
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    chunk
}

/// What a WebP with more than pixels begins with.
pub(super) fn vp8x(flags: u8, (width, height): (u32, u32)) -> Vec<u8> {
    let side = |side: u32| (side - 1).to_le_bytes();
    [&[flags, 0, 0, 0], &side(width)[..3], &side(height)[..3]].concat()
}

/// The pixels of a WebP that has nothing else.
pub(super) fn webp_pixels(webp: &[u8]) -> (&[u8; 4], &[u8]) {
    let length = u32::from_le_bytes(webp[16..20].try_into().unwrap()) as usize;
    (webp[12..16].try_into().unwrap(), &webp[20..20 + length])
}

pub(super) fn noted_webp(webp: &[u8], size: (u32, u32), orientation: u8) -> Vec<u8> {
    riff(&[
        // Says that there are EXIF and XMP.
        (b"VP8X", &vp8x(0x0c, size)),
        webp_pixels(webp),
        (b"EXIF", &exif(orientation)),
        (b"XMP ", CAMERA),
    ])
}

/// A picture within a WebP that moves.
pub(super) fn webp_frame(webp: &[u8], (width, height): (u32, u32)) -> Vec<u8> {
    let side = |side: u32| (side - 1).to_le_bytes();
    let (kind, pixels) = webp_pixels(webp);
    let place = [
        &[0; 6],
        &side(width)[..3],
        &side(height)[..3],
        &[100, 0, 0, 0],
    ]
    .concat();
    [place, webp_chunk(kind, pixels)].concat()
}

pub(super) fn noted_gif(gif: &[u8], comment: &[u8]) -> Vec<u8> {
    let palette = match gif[10] & 0x80 {
        0 => 0,
        _ => 3 << ((gif[10] & 7) + 1),
    };
    let block = [&[0x21, 0xfe, comment.len() as u8], comment, &[0]].concat();
    insert(gif, 13 + palette, &block)
}

// ---- What is wrong.

/// A PNG that says in its header that it is another size, with a checksum that is right.
pub(super) fn resized_png(png: &[u8], width: u32, height: u32) -> Vec<u8> {
    let header = [&width.to_be_bytes(), &height.to_be_bytes(), &png[24..29]].concat();
    [&png[..8], &chunk(b"IHDR", &header), &png[BEHIND_IHDR..]].concat()
}

pub(super) fn resized_jpeg(jpeg: &[u8], width: u16, height: u16) -> Vec<u8> {
    let is_frame = |window: &[u8]| matches!(window, [0xff, 0xc0..=0xc2, 0, 17, 8]);
    let at = jpeg.windows(5).position(is_frame).unwrap();
    let mut resized = jpeg.to_vec();
    resized[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
    resized[at + 7..at + 9].copy_from_slice(&width.to_be_bytes());
    resized
}

pub(super) fn resized_gif(gif: &[u8], width: u16, height: u16) -> Vec<u8> {
    let mut resized = gif.to_vec();
    resized[6..8].copy_from_slice(&width.to_le_bytes());
    resized[8..10].copy_from_slice(&height.to_le_bytes());
    resized
}

/// About as many zeros, packed as PNGs have it (RFC 1950): one, and then again and again the 258 that are behind it.
pub(super) fn packed_zeros(count: usize) -> Vec<u8> {
    let mut packed = vec![0x78, 0x01];
    let mut filled = 0;
    let mut write = |bits: &str| {
        for bit in bits.bytes() {
            if filled == 0 {
                packed.push(0);
            }
            *packed.last_mut().unwrap() |= (bit - b'0') << filled;
            filled = (filled + 1) % 8;
        }
    };
    // The last block, with the codes that everybody knows (RFC 1951, section 3.2.6).
    write("110");
    write("00110000");
    for _ in 0..count / 258 {
        write("1100010100000");
    }
    write("0000000");
    let sum = ((1 + count / 258 * 258) % 65_521) as u32;
    [packed, (sum << 16 | 1).to_be_bytes().to_vec()].concat()
}
