//! Pictures: read, resized, and written.

use std::io::{self, Cursor, Write};
use std::panic::{self, AssertUnwindSafe};

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{PixelType, ResizeOptions, Resizer};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::metadata::Orientation;
use image::{
    DynamicImage, GrayAlphaImage, GrayImage, ImageDecoder, ImageEncoder, ImageError, ImageFormat,
    ImageReader, Limits, RgbImage, RgbaImage,
};
use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use super::{Refusal, outline};

/// The most bytes that are stored of an image: sometimes more than were sent, because not every type packs as well.
pub const MOST_STORED_BYTES: u64 = 20 << 20;

/// The most memory for the pixels of an image as it is read; what a decoder needs beside them comes on top.
const MOST_MEMORY: u64 = 200 << 20;

/// The same for what is read before them: a colour profile is packed, and could be a thousand times as long.
const MOST_HEADER_MEMORY: u64 = 8 << 20;

/// Reads an image: upright, with 8 bits a channel in the colours of sRGB, and with an alpha channel only if something
/// shines through.
pub(super) fn read(bytes: &[u8], format: ImageFormat) -> Result<DynamicImage, Refusal> {
    let size = outline::size(bytes, format)?;
    let whole = outline::whole(bytes, format)?;
    caught(|| decode(&whole, format, size))
}

/// Refuses what a decoder panics at, which the log tells: some files are made for that.
fn caught<T>(work: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    // Of what is left half done, nothing is used again.
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or(Err(Refusal::BrokenImage))
}

fn decode(whole: &[u8], format: ImageFormat, size: (u32, u32)) -> Result<DynamicImage, Refusal> {
    let mut reader = ImageReader::with_format(Cursor::new(whole), format);
    reader.limits(limits(MOST_HEADER_MEMORY));
    let mut decoder = reader.into_decoder().map_err(refusal)?;
    if decoder.dimensions() != size {
        return Err(Refusal::BrokenImage);
    }
    let mut limits = limits(MOST_MEMORY);
    limits.reserve(decoder.total_bytes()).map_err(refusal)?;
    decoder.set_limits(limits).map_err(refusal)?;
    // Nobody notices if one of these cannot be read.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().ok().flatten();

    let image = DynamicImage::from_decoder(decoder).map_err(refusal)?;
    let mut image = in_eight_bits(image);
    if let Some(profile) = profile {
        to_srgb(&mut image, &profile);
    }
    let mut image = without_idle_alpha(image);
    image.apply_orientation(orientation);
    Ok(image)
}

fn limits(memory: u64) -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(outline::MOST_SIDE);
    limits.max_image_height = Some(outline::MOST_SIDE);
    limits.max_alloc = Some(memory);
    limits
}

fn refusal(error: ImageError) -> Refusal {
    match error {
        ImageError::Limits(_) => Refusal::TooManyPixels,
        ImageError::Unsupported(_) => Refusal::UnsupportedContent,
        _ => Refusal::BrokenImage,
    }
}

fn in_eight_bits(image: DynamicImage) -> DynamicImage {
    match image {
        DynamicImage::ImageLuma16(_) => image.into_luma8().into(),
        DynamicImage::ImageLumaA16(_) => image.into_luma_alpha8().into(),
        DynamicImage::ImageRgb16(_) => image.into_rgb8().into(),
        DynamicImage::ImageRgba16(_) => image.into_rgba8().into(),
        image => image,
    }
}

fn without_idle_alpha(image: DynamicImage) -> DynamicImage {
    match &image {
        DynamicImage::ImageLumaA8(pixels) if pixels.pixels().all(|p| p[1] == u8::MAX) => {
            image.into_luma8().into()
        }
        DynamicImage::ImageRgba8(pixels) if pixels.pixels().all(|p| p[3] == u8::MAX) => {
            image.into_rgb8().into()
        }
        _ => image,
    }
}

/// Turns colours by a profile into those that are meant where there is none. A photograph with wide colours would fade
/// if its profile were only taken away. One of greys or of inks stays as it is, as does one with a profile that makes
/// no sense.
fn to_srgb(image: &mut DynamicImage, profile: &[u8]) {
    let (layout, channels, samples): (_, _, &mut [u8]) = match image {
        DynamicImage::ImageRgb8(pixels) => (Layout::Rgb, 3, pixels),
        DynamicImage::ImageRgba8(pixels) => (Layout::Rgba, 4, pixels),
        _ => return,
    };
    let Ok(profile) = ColorProfile::new_from_slice(profile) else {
        return;
    };
    if profile.color_space != DataColorSpace::Rgb {
        return;
    }
    let (srgb, options) = (ColorProfile::new_srgb(), TransformOptions::default());
    let Ok(transform) = profile.create_transform_8bit(layout, &srgb, layout, options) else {
        return;
    };
    let mut before = Vec::new();
    // As much at a time as stays in the cache.
    for part in samples.chunks_mut(channels * 4_096) {
        before.clear();
        before.extend_from_slice(part);
        // Fails only if the parts are not made of whole pixels.
        let _ = transform.transform(&before, part);
    }
}

/// The square in the middle, no larger than that.
pub(super) fn square(image: DynamicImage, side: u32) -> Result<DynamicImage, Refusal> {
    let (width, height) = (image.width(), image.height());
    let edge = width.min(height);
    let middle = image.crop_imm((width - edge) / 2, (height - edge) / 2, edge, edge);
    drop(image);
    fitting(middle, (side, side))
}

/// The whole, with its ratio, in no more than so much width and height.
pub(super) fn fitting(image: DynamicImage, most: (u32, u32)) -> Result<DynamicImage, Refusal> {
    let size = (image.width(), image.height());
    let fitting = fitted(size, most);
    match fitting == size {
        true => Ok(without_idle_alpha(image)),
        false => resize(&image, fitting).ok_or(Refusal::BrokenImage),
    }
}

fn fitted((width, height): (u32, u32), most: (u32, u32)) -> (u32, u32) {
    let (w, h) = (u64::from(width), u64::from(height));
    let (most_w, most_h) = (u64::from(most.0).min(w), u64::from(most.1).min(h));
    // To the nearest pixel, and to none too few.
    let share = |side: u64, part: u64, of: u64| ((side * part * 2 + of) / (of * 2)).max(1);
    let (w, h) = match w * most_h > h * most_w {
        true => (most_w, share(h, most_w, w)),
        false => (share(w, most_h, h), most_h),
    };
    // No more than they were.
    (
        u32::try_from(w).unwrap_or(width),
        u32::try_from(h).unwrap_or(height),
    )
}

/// By Lanczos' filter over three lobes, which is what the resizer does if it is not told otherwise; transparent pixels
/// do not colour their neighbours.
fn resize(image: &DynamicImage, (width, height): (u32, u32)) -> Option<DynamicImage> {
    let kind = match image {
        DynamicImage::ImageLuma8(_) => PixelType::U8,
        DynamicImage::ImageLumaA8(_) => PixelType::U8x2,
        DynamicImage::ImageRgb8(_) => PixelType::U8x3,
        DynamicImage::ImageRgba8(_) => PixelType::U8x4,
        _ => return None,
    };
    let from = ImageRef::new(image.width(), image.height(), image.as_bytes(), kind).ok()?;
    let mut to = Image::new(width, height, kind);
    Resizer::new()
        .resize(&from, &mut to, &ResizeOptions::new())
        .ok()?;
    let bytes = to.into_vec();
    let resized = match kind {
        PixelType::U8 => GrayImage::from_raw(width, height, bytes)?.into(),
        PixelType::U8x2 => GrayAlphaImage::from_raw(width, height, bytes)?.into(),
        PixelType::U8x3 => RgbImage::from_raw(width, height, bytes)?.into(),
        _ => RgbaImage::from_raw(width, height, bytes)?.into(),
    };
    Some(without_idle_alpha(resized))
}

/// Lays what is transparent on white.
pub(super) fn on_white(image: DynamicImage) -> DynamicImage {
    let mix = |channel: u8, alpha: u8| {
        let (channel, alpha) = (u32::from(channel), u32::from(alpha));
        let white = u32::from(u8::MAX);
        let mixed = (channel * alpha + white * (white - alpha) + white / 2) / white;
        u8::try_from(mixed).unwrap_or(u8::MAX)
    };
    match image {
        DynamicImage::ImageLumaA8(mut pixels) => {
            for pixel in pixels.pixels_mut() {
                pixel[0] = mix(pixel[0], pixel[1]);
            }
            DynamicImage::from(pixels).into_luma8().into()
        }
        DynamicImage::ImageRgba8(mut pixels) => {
            for pixel in pixels.pixels_mut() {
                let [red, green, blue, alpha] = pixel.0;
                pixel.0 = [mix(red, alpha), mix(green, alpha), mix(blue, alpha), alpha];
            }
            DynamicImage::from(pixels).into_rgb8().into()
        }
        image => image,
    }
}

/// Writes an opaque image. With half the resolution of colours it takes two thirds of the time and fewer bytes, which
/// shows in drawings, but hardly in photographs.
pub(super) fn jpeg(
    image: &DynamicImage,
    quality: u8,
    with_half_colors: bool,
) -> Result<Vec<u8>, Refusal> {
    let colors = match image {
        DynamicImage::ImageLuma8(_) => ColorType::Luma,
        DynamicImage::ImageRgb8(_) => ColorType::Rgb,
        _ => return Err(Refusal::BrokenImage),
    };
    let [width, height] = [image.width(), image.height()].map(u16::try_from);
    let (Ok(width), Ok(height)) = (width, height) else {
        return Err(Refusal::TooManyPixels);
    };
    let mut file = Bounded::default();
    // Its optimised tables are not for us: it would write the channels one after the other (see `outline`).
    let mut encoder = Encoder::new(&mut file, quality.clamp(1, 100));
    encoder.set_sampling_factor(match with_half_colors {
        true => SamplingFactor::F_2_2,
        false => SamplingFactor::F_1_1,
    });
    // Rather than the colour of one of four pixels.
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    let written = encoder.encode(image.as_bytes(), width, height, colors);
    // What it is given is sound, so it can fail for nothing but its length.
    written.map_err(|_| Refusal::TooLarge)?;
    Ok(file.0)
}

/// Two to three times as fast as the usual compression, for a tenth more bytes at most.
const COMPRESSION: CompressionType = CompressionType::Level(3);

pub(super) fn png(image: &DynamicImage) -> Result<Vec<u8>, Refusal> {
    let mut file = Bounded::default();
    let encoder = PngEncoder::new_with_quality(&mut file, COMPRESSION, FilterType::Adaptive);
    let (width, height, colors) = (image.width(), image.height(), image.color());
    let written = encoder.write_image(image.as_bytes(), width, height, colors.into());
    written.map_err(|_| Refusal::TooLarge)?;
    Ok(file.0)
}

/// A file that does not grow beyond what is stored: what repeats from far away is packed a hundred times better in a
/// WebP than in a PNG.
#[derive(Default)]
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 > MOST_STORED_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_refusal() {
        assert_eq!(caught(|| Ok(1)), Ok(1));
        let broken = caught(|| -> Result<(), _> { panic!("as decoders do") });
        assert_eq!(broken, Err(Refusal::BrokenImage));
    }

    #[test]
    fn what_is_fitted_keeps_its_ratio() {
        const ANY: u32 = u32::MAX;
        for (size, most, expected) in [
            ((4_000, 3_000), (1_024, 1_024), (1_024, 768)),
            ((3_000, 4_000), (1_024, 1_024), (768, 1_024)),
            ((4_000, 3_000), (4_000, 3_000), (4_000, 3_000)),
            ((4_000, 3_000), (8_192, 8_192), (4_000, 3_000)),
            ((4_000, 3_000), (ANY, ANY), (4_000, 3_000)),
            ((4_000, 3_000), (ANY, 300), (400, 300)),
            ((4_000, 3_000), (8_192, 300), (400, 300)),
            ((4_000, 3_000), (40, ANY), (40, 30)),
            ((4_000, 3_000), (1, 1), (1, 1)),
            ((3, 2), (2, 2), (2, 1)),
            ((1_000, 667), (500, ANY), (500, 334)),
            ((16_384, 1), (256, 256), (256, 1)),
            ((1, 16_384), (256, 256), (1, 256)),
            ((1, 1), (256, 256), (1, 1)),
        ] {
            assert_eq!(fitted(size, most), expected, "{size:?} in {most:?}");
        }
    }

    #[test]
    fn a_file_does_not_grow_without_end() {
        let mut file = Bounded::default();
        let much = vec![0; MOST_STORED_BYTES as usize];
        assert!(file.write_all(&much).is_ok());
        assert!(file.write_all(&[0]).is_err());
        assert_eq!(file.0, much);
    }
}
