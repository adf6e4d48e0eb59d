//! Stories of what is sent, and what becomes of it.

use image::metadata::Orientation;
use image::{DynamicImage, ImageFormat, Rgb, Rgba, RgbaImage};
use jpeg_encoder::{ColorType, SamplingFactor};
use moxcms::ColorProfile;

use super::samples::*;
use super::*;

use ImageFormat::{Gif, Jpeg, Png, WebP};

fn shown(checked: &Checked) -> DynamicImage {
    image::load_from_memory(&checked.bytes).unwrap()
}

#[track_caller]
fn stored(story: &str, bytes: Vec<u8>) -> (Checked, DynamicImage) {
    let checked = check_image(bytes).unwrap_or_else(|refusal| panic!("{story}: {refusal:?}"));
    let image = shown(&checked);
    let size = (checked.width, checked.height);
    assert_eq!(size, (Some(image.width()), Some(image.height())), "{story}");
    (checked, image)
}

#[track_caller]
fn refused(story: &str, bytes: &[u8], expected: Refusal) {
    let found = check_image(bytes.to_vec()).map(|_| ());
    assert_eq!(found, Err(expected), "{story}");
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

// ---- What is stored.

#[test]
fn a_document_stays_as_it_is() {
    for (bytes, content_type) in [
        (&b"Just a text.\r\n"[..], ContentType::Text),
        (b"%PDF-1.7\n1 0 obj\n%%EOF\n", ContentType::Pdf),
    ] {
        let checked = check(bytes.to_vec()).unwrap();
        assert_eq!(checked.content_type, content_type);
        assert_eq!(checked.bytes, bytes);
        assert_eq!((checked.width, checked.height), (None, None));
        assert_eq!(
            check_image(bytes.to_vec()),
            Err(Refusal::UnsupportedContent)
        );
    }
    let text = check(b"abc".to_vec()).unwrap().stored();
    assert_eq!(text.size, 3);
    assert_eq!(text.hash, "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
}

#[test]
fn each_type_becomes_one_that_keeps_what_is_seen() {
    let (whole, half) = (quarters(40, 32), half(40, 32));
    let grey = DynamicImage::from(whole.to_luma8());
    let frames = [quarters(40, 32).to_rgba8(), RgbaImage::new(40, 32)];
    for (story, bytes, expected, letters_expected) in [
        ("JPEG", jpeg(&whole), ContentType::Jpeg, "RGBY"),
        ("PNG", file(&whole, Png), ContentType::Png, "RGBY"),
        ("GIF", file(&whole, Gif), ContentType::Png, "RGBY"),
        ("WebP", file(&whole, WebP), ContentType::Jpeg, "RGBY"),
        ("lossy WebP", LOSSY_WEBP.to_vec(), ContentType::Jpeg, "BRBR"),
        ("half a PNG", file(&half, Png), ContentType::Png, "_G_Y"),
        ("half a GIF", file(&half, Gif), ContentType::Png, "_G_Y"),
        ("half a WebP", file(&half, WebP), ContentType::Png, "_G_Y"),
        (
            "half a lossy WebP",
            LOSSY_WEBP_HALF.to_vec(),
            ContentType::Png,
            "_R_R",
        ),
        ("a GIF that moves", gif(frames), ContentType::Png, "RGBY"),
        ("a grey JPEG", file(&grey, Jpeg), ContentType::Jpeg, "????"),
        ("a grey PNG", file(&grey, Png), ContentType::Png, "????"),
    ] {
        let (checked, image) = stored(story, bytes.clone());
        assert_eq!(checked.content_type, expected, "{story}");
        assert_eq!(letters(&image), letters_expected, "{story}");
        assert_eq!(content_of(&checked.bytes), Ok(expected), "{story}");
        assert_eq!(checked.hash, super::hash(&checked.bytes), "{story}");
        assert_eq!(
            image.color().has_alpha(),
            story.starts_with("half"),
            "{story}"
        );
        assert_eq!(
            image.color().has_color(),
            !story.contains("grey"),
            "{story}"
        );
        assert_eq!(check(bytes).as_ref(), Ok(&checked), "{story}");
        // What was stored can be stored again.
        let again = check_image(checked.bytes).unwrap();
        assert_eq!(again.content_type, expected, "{story}");
    }
}

#[test]
fn every_way_to_store_colours_is_read() {
    let whole = quarters(40, 32);
    let deep = [
        ("grey", DynamicImage::from(whole.to_luma16())),
        ("grey with alpha", whole.to_luma_alpha16().into()),
        ("colours", whole.to_rgb16().into()),
        ("colours with alpha", whole.to_rgba16().into()),
    ];
    for (story, deep) in deep {
        let (_, image) = stored(story, file(&deep, Png));
        // Nothing shines through, so that no alpha is left of it.
        let expected = match deep.color().has_color() {
            true => DynamicImage::from(whole.to_rgb8()),
            false => whole.to_luma8().into(),
        };
        assert_eq!(image, expected, "{story}");
    }
    let palette = [RED, GREEN, BLUE, YELLOW].concat();
    // Two by two pixels, of two bits each: rows with a filter, packed without being compressed.
    let rows = [0, 0b0001_0000, 0, 0b1011_0000];
    let adler = rows
        .iter()
        .fold((1_u32, 0), |(a, b), row| (a + row, b + a + row));
    let packed = [
        &[0x78, 0x01, 1, 4, 0, 0xfb, 0xff],
        &rows.map(|row| row as u8)[..],
        &(adler.1 << 16 | adler.0).to_be_bytes(),
    ];
    let chunks = |more: &[u8]| {
        let header = [0, 0, 0, 2, 0, 0, 0, 2, 2, 3, 0, 0, 0];
        [
            b"\x89PNG\r\n\x1a\n",
            &chunk(b"IHDR", &header)[..],
            &chunk(b"PLTE", &palette),
            more,
            &chunk(b"IDAT", &packed.concat()),
            &chunk(b"IEND", b""),
        ]
        .concat()
    };
    let (_, image) = stored("a palette", chunks(b""));
    let of = |pixels: [[u8; 4]; 4]| RgbaImage::from_raw(2, 2, pixels.concat()).unwrap();
    let opaque = |[red, green, blue]: [u8; 3]| [red, green, blue, 255];
    let expected = of([opaque(RED), opaque(GREEN), opaque(BLUE), opaque(YELLOW)]);
    assert_eq!(image.to_rgba8(), expected);
    // The second colour is half transparent.
    let (_, image) = stored("with alpha", chunks(&chunk(b"tRNS", &[255, 128])));
    let green = [GREEN[0], GREEN[1], GREEN[2], 128];
    assert_eq!(
        image.to_rgba8(),
        of([opaque(RED), green, opaque(BLUE), opaque(YELLOW)])
    );

    for kind in [ColorType::Cmyk, ColorType::CmykAsYcck] {
        let (checked, image) = stored("inks", cmyk_jpeg(&whole, kind));
        assert_eq!(letters(&image), "RGBY", "{kind:?}");
        assert_eq!(checked.content_type, ContentType::Jpeg);
    }
}

#[test]
fn every_way_to_code_a_jpeg_is_read() {
    for (width, height) in [(64, 48), (33, 49), (24, 24), (129, 65)] {
        let whole = quarters(width, height);
        for sampling in [
            SamplingFactor::F_1_1,
            SamplingFactor::F_1_2,
            SamplingFactor::F_2_1,
            SamplingFactor::F_2_2,
        ] {
            for (progressive, restart) in [(false, 0), (false, 3), (true, 0), (true, 3)] {
                let file = jpeg_with(&whole, |encoder| {
                    encoder.set_sampling_factor(sampling);
                    encoder.set_progressive(progressive);
                    encoder.set_restart_interval(restart);
                });
                let story = format!("{width} by {height}, {sampling:?}, {progressive}, {restart}");
                assert_eq!(letters(&stored(&story, file).1), "RGBY", "{story}");
            }
        }
    }
}

#[test]
fn a_jpeg_keeps_the_resolution_of_its_colours() {
    for (sampling, expected) in [
        (SamplingFactor::F_1_1, false),
        (SamplingFactor::F_2_1, false),
        (SamplingFactor::F_2_2, true),
    ] {
        let sent = jpeg_with(&quarters(40, 32), |encoder| {
            encoder.set_sampling_factor(sampling)
        });
        let (checked, _) = stored("JPEG", sent);
        assert_eq!(
            outline::jpeg_has_half_colors(&checked.bytes),
            expected,
            "{sampling:?}"
        );
    }
    let (grey, _) = stored("grey", file(&quarters(40, 32).to_luma8().into(), Jpeg));
    assert!(!outline::jpeg_has_half_colors(&grey.bytes));
}

#[test]
fn a_jpeg_that_would_be_read_wrongly_is_refused() {
    let apart = jpeg_with(&quarters(64, 48), |encoder| {
        encoder.set_optimized_huffman_tables(true);
    });
    refused("channels apart", &apart, Refusal::UnsupportedContent);
}

#[test]
fn an_image_is_stored_upright() {
    let (whole, size) = (quarters(48, 32), (48, 32));
    for orientation in 1..=8 {
        let mut expected = whole.clone();
        expected.apply_orientation(Orientation::from_exif(orientation).unwrap());
        for (story, bytes) in [
            ("JPEG", noted_jpeg(&jpeg(&whole), orientation)),
            ("PNG", noted_png(&file(&whole, Png), orientation)),
            ("WebP", noted_webp(&file(&whole, WebP), size, orientation)),
        ] {
            let (_, image) = stored(story, bytes.clone());
            assert_eq!(letters(&image), letters(&expected), "{story} {orientation}");
            assert_eq!(image.width(), expected.width(), "{story} {orientation}");
            // Made of what was sent, it is upright too.
            let (most, quality) = (Some(24), 85);
            let resize = Resize {
                width: most,
                height: most,
                quality,
            };
            let processed = shown(&process(bytes, &resize).unwrap());
            assert_eq!(
                letters(&processed),
                letters(&expected),
                "{story} {orientation}"
            );
        }
    }
    // As they were sent, if a camera makes no sense.
    for orientation in [0, 9, 255] {
        let (_, image) = stored("odd", noted_jpeg(&jpeg(&whole), orientation));
        assert_eq!(letters(&image), "RGBY");
    }
}

#[test]
fn nothing_is_stored_of_what_was_noted() {
    let (whole, size) = (quarters(48, 32), (48, 32));
    let profile = ColorProfile::new_display_p3().encode().unwrap();
    let profiled = insert(&jpeg(&whole), 2, &jpeg_profile(&profile));
    let (kind, vp8l) = (b"VP8L", file(&half(48, 32), WebP));
    let (_, pixels) = webp_pixels(&vp8l);
    let marks: [&[u8]; 8] = [
        CAMERA,
        b"Exif",
        b"eXIf",
        b"EXIF",
        b"adobe",
        b"ICC_PROFILE",
        b"iCCP",
        b"tIME",
    ];
    for (story, bytes) in [
        ("JPEG", noted_jpeg(&profiled, 1)),
        ("PNG", noted_png(&file(&whole, Png), 1)),
        ("GIF", noted_gif(&file(&whole, Gif), CAMERA)),
        ("WebP", noted_webp(&file(&whole, WebP), size, 1)),
        (
            "WebP with a profile",
            riff(&[
                (b"VP8X", &vp8x(0x30, size)),
                (b"ICCP", &profile),
                (kind, pixels),
            ]),
        ),
    ] {
        let (checked, _) = stored(story, bytes);
        let quality = 85;
        let processed = process(
            checked.bytes.clone(),
            &Resize {
                width: None,
                height: None,
                quality,
            },
        );
        for (made, bytes) in [
            ("stored", &checked.bytes),
            ("processed", &processed.unwrap().bytes),
        ] {
            for mark in marks {
                let mark_told = String::from_utf8_lossy(mark);
                assert!(!holds(bytes, mark), "{story}: {made} with {mark_told}");
            }
            // Only what an image has at least. A JPEG's first segment tells that it is one.
            let parts = match content_of(bytes).unwrap() {
                ContentType::Jpeg => bytes
                    .windows(2)
                    .filter(|w| matches!(w, [0xff, 0xe1..=0xef | 0xfe]))
                    .count(),
                _ => holds(bytes, b"tEXt").into(),
            };
            assert_eq!(parts, 0, "{story}: {made}");
        }
    }
}

#[test]
fn what_is_hidden_in_an_image_is_gone() {
    let whole = quarters(24, 24);
    let script = b"<script>alert(1)</script><?php phpinfo();";
    // An archive is read from its end.
    let archive = [
        &b"PK\x03\x04\x14\0"[..],
        &[0; 24],
        b"PK\x05\x06",
        &[0; 18],
        script,
    ]
    .concat();
    let behind = |bytes: Vec<u8>| [bytes, archive.clone()].concat();
    let text = chunk(b"tEXt", &[b"Comment\0", &script[..]].concat());
    for (story, bytes) in [
        (
            "JPEG",
            behind(insert(&jpeg(&whole), 2, &segment(0xfe, script))),
        ),
        (
            "PNG",
            behind(insert(&file(&whole, Png), BEHIND_IHDR, &text)),
        ),
        ("GIF", behind(noted_gif(&file(&whole, Gif), script))),
        ("WebP", behind(file(&whole, WebP))),
    ] {
        let (checked, image) = stored(story, bytes);
        assert_eq!(letters(&image), "RGBY", "{story}");
        for mark in [&b"<script"[..], b"<?php", b"PK\x03\x04", b"PK\x05\x06"] {
            assert!(!holds(&checked.bytes, mark), "{story}");
        }
    }
    // Where the size of the image's picture begins, a GIF can hold the beginning of a comment of a script.
    let script = [
        b"GIF89a/*\x01\0\0\0\0",
        &file(&whole, Gif)[13..],
        b"*/=alert(1)",
    ]
    .concat();
    refused("a GIF that is a script", &script, Refusal::BrokenImage);
}

#[test]
fn wide_colours_are_turned_into_narrower_ones() {
    let square =
        |color: [u8; 3]| DynamicImage::from(image::RgbImage::from_pixel(16, 16, Rgb(color)));
    let color_of = |bytes: Vec<u8>| stored("profile", bytes).1.to_rgb8().get_pixel(8, 8).0;
    let near = |found: [u8; 3], expected: [u8; 3]| {
        found
            .into_iter()
            .zip(expected)
            .all(|(a, b)| a.abs_diff(b) < 4)
    };
    let profile = ColorProfile::new_display_p3().encode().unwrap();
    // A green of a telephone is more of a green to those that know no profiles.
    let (sent, meant) = ([100, 200, 100], [45, 203, 86]);
    let with = |profile: &[u8]| insert(&jpeg(&square(sent)), 2, &jpeg_profile(profile));
    let found = color_of(with(&profile));
    assert!(near(found, meant), "{found:?}");
    let mut webp_square = square(sent).to_rgba8();
    webp_square[(0, 0)][3] = 0;
    let webp = file(&webp_square.into(), WebP);
    let webp = riff(&[
        (b"VP8X", &vp8x(0x30, (16, 16))),
        (b"ICCP", &profile),
        webp_pixels(&webp),
    ]);
    let found = color_of(webp);
    assert!(near(found, meant), "{found:?}");

    let srgb = ColorProfile::new_srgb().encode().unwrap();
    let grey = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
    for (story, profile) in [
        ("the same", &srgb[..]),
        ("of greys", &grey),
        ("cut", &profile[..profile.len() / 2]),
        ("nonsense", &[7; 600]),
    ] {
        let found = color_of(with(profile));
        assert!(near(found, sent), "{story}: {found:?}");
    }
}

#[test]
fn of_what_moves_the_first_picture_stays() {
    let (first, second) = (quarters(32, 32), quarters(32, 32).rotate180());
    let (width, height) = (32, 32);
    let moving_gif = gif([first.to_rgba8(), second.to_rgba8()]);
    let animation = [0, 0, 0, 2, 0, 0, 0, 0];
    let frame = |number: u8| {
        [
            0, 0, 0, number, 0, 0, 0, 32, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 10, 0, 0,
        ]
    };
    let (one, other) = (file(&first, Png), file(&second, Png));
    let idat = &other[BEHIND_IHDR + 8..other.len() - 12 - 4];
    let apng = [
        &one[..BEHIND_IHDR],
        &chunk(b"acTL", &animation),
        &chunk(b"fcTL", &frame(0)),
        &one[BEHIND_IHDR..one.len() - 12],
        &chunk(b"fcTL", &frame(1)),
        &chunk(b"fdAT", &[&[0, 0, 0, 2], idat].concat()),
        &chunk(b"IEND", b""),
    ]
    .concat();
    let moving_webp = riff(&[
        (b"VP8X", &vp8x(0x02, (width, height))),
        (b"ANIM", &[0; 6]),
        (b"ANMF", &webp_frame(&file(&first, WebP), (width, height))),
        (b"ANMF", &webp_frame(&file(&second, WebP), (width, height))),
    ]);
    for (story, bytes) in [("GIF", moving_gif), ("PNG", apng), ("WebP", moving_webp)] {
        assert_eq!(letters(&stored(story, bytes).1), "RGBY", "{story}");
    }
}

// ---- What is refused.

#[test]
fn a_refusal_has_a_code_and_a_message() {
    use Refusal::{BrokenImage, Empty, TooLarge, TooManyPixels, UnsupportedContent};
    for refusal in [
        UnsupportedContent,
        TooLarge,
        TooManyPixels,
        BrokenImage,
        Empty,
    ] {
        assert!(
            refusal
                .code()
                .chars()
                .all(|c| c.is_ascii_lowercase() || c == '_')
        );
        assert!(!refusal.message().ends_with('.'));
    }
    assert_eq!(check(Vec::new()), Err(Empty));
    assert_eq!(check_image(Vec::new()), Err(Empty));
    let most = MOST_BYTES as usize;
    assert!(check(vec![b'a'; most]).is_ok());
    assert_eq!(check(vec![b'a'; most + 1]), Err(TooLarge));
    let mut png = file(&quarters(8, 8), Png);
    png.resize(most, 0);
    assert!(check_image(png.clone()).is_ok());
    png.push(0);
    assert_eq!(check_image(png), Err(TooLarge));
}

#[test]
fn half_an_image_is_none() {
    let (whole, size) = (quarters(24, 16), (24, 16));
    let progressive = jpeg_with(&whole, |encoder| encoder.set_progressive(true));
    for (story, bytes) in [
        ("JPEG", jpeg(&whole)),
        ("progressive JPEG", progressive),
        ("noted JPEG", noted_jpeg(&jpeg(&whole), 6)),
        ("PNG", file(&whole, Png)),
        ("noted PNG", noted_png(&file(&whole, Png), 6)),
        ("GIF", file(&whole, Gif)),
        ("GIF that moves", gif([whole.to_rgba8(), whole.to_rgba8()])),
        ("WebP", file(&whole, WebP)),
        ("lossy WebP", LOSSY_WEBP.to_vec()),
        ("WebP with alpha", LOSSY_WEBP_HALF.to_vec()),
        ("noted WebP", noted_webp(&file(&whole, WebP), size, 6)),
    ] {
        for end in 1..bytes.len() {
            let found = check_image(bytes[..end].to_vec()).map(|_| ());
            // The first few bytes could be the beginning of anything.
            let expected: &[_] = match end {
                ..12 => &[Refusal::BrokenImage, Refusal::UnsupportedContent],
                _ => &[Refusal::BrokenImage],
            };
            let found = found.expect_err(story);
            assert!(
                expected.contains(&found),
                "{end} bytes of {story}: {found:?}"
            );
        }
        assert!(check_image(bytes).is_ok(), "{story}");
    }
}

/// An image of each type that says that it is so large.
fn resized((width, height): (u16, u16)) -> [(&'static str, Vec<u8>); 4] {
    let small = quarters(4, 4);
    let (w, h) = (u32::from(width), u32::from(height));
    [
        ("JPEG", resized_jpeg(&jpeg(&small), width, height)),
        ("PNG", resized_png(&file(&small, Png), w, h)),
        ("GIF", resized_gif(&file(&small, Gif), width, height)),
        ("WebP", noted_webp(&file(&small, WebP), (w, h), 1)),
    ]
}

#[test]
fn pixels_are_counted_by_the_header() {
    use Refusal::TooManyPixels;
    for (size, expected) in [
        ((4, 4), Ok(16)),
        ((8_000, 5_000), Ok(40_000_000)),
        ((8_000, 5_001), Err(TooManyPixels)),
        ((16_384, 2_441), Ok(39_993_344)),
        ((16_385, 1), Err(TooManyPixels)),
        ((1, 16_384), Ok(16_384)),
        ((1, 16_385), Err(TooManyPixels)),
        ((60_000, 60_000), Err(TooManyPixels)),
        ((65_535, 65_535), Err(TooManyPixels)),
    ] {
        for (story, bytes) in resized(size) {
            assert_eq!(pixels_of(&bytes), expected, "{story} of {size:?}");
        }
    }
    let whole = quarters(31, 17);
    for (story, bytes) in [
        ("JPEG", jpeg(&whole)),
        ("PNG", file(&whole, Png)),
        ("GIF", file(&whole, Gif)),
        ("WebP", file(&whole, WebP)),
    ] {
        assert_eq!(pixels_of(&bytes), Ok(31 * 17), "{story}");
    }
    assert_eq!(pixels_of(LOSSY_WEBP), Ok(256));
    let most = resized_png(&file(&whole, Png), u32::MAX, u32::MAX);
    assert_eq!(pixels_of(&most), Err(TooManyPixels));
    for (width, height) in [(0, 4), (4, 0)] {
        let none = resized_png(&file(&whole, Png), width, height);
        assert_eq!(pixels_of(&none), Err(Refusal::BrokenImage));
    }
    assert_eq!(pixels_of(b"Just a text."), Err(Refusal::UnsupportedContent));
    assert_eq!(pixels_of(b""), Err(Refusal::Empty));
}

/// Small files that ask for much, with what they get.
fn greedy() -> Vec<(&'static str, Vec<u8>, Result<(), Refusal>)> {
    let broken = Err(Refusal::BrokenImage);
    let small = quarters(4, 4);
    let png = file(&small, Png);
    let zeros = packed_zeros(100_000_000);
    let packed = |kind, name: &[u8]| {
        let content = [name, b"\0\0", &zeros].concat();
        insert(&png, BEHIND_IHDR, &chunk(kind, &content))
    };
    let one = resized_png(&png, 1, 1);
    let long = [
        &one[..BEHIND_IHDR],
        &chunk(b"IDAT", &zeros),
        &chunk(b"IEND", b""),
    ]
    .concat();
    let texts = chunk(b"zTXt", &[b"a\0\0", &zeros[..1_000]].concat()).repeat(3_000);
    // A frame of a GIF may be larger than what is seen of it.
    let gif = file(&small, Gif);
    let frame = gif.iter().rposition(|byte| *byte == 0x2c).unwrap();
    let mut large_frame = gif.clone();
    large_frame[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    let piece = &gif[frame..gif.len() - 1];
    let frames = [&gif[..gif.len() - 1], &piece.repeat(50_000), b"\x3b"].concat();
    // A lossy WebP within a smaller one, and chunks that are longer than their file.
    let mut large = LOSSY_WEBP.to_vec();
    large[26..30].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    let (kind, pixels) = webp_pixels(&large);
    let within = riff(&[(b"VP8X", &vp8x(0, (16, 16))), (kind, pixels)]);
    let large_frame_of_webp = riff(&[
        (b"VP8X", &vp8x(0x02, (16, 16))),
        (b"ANIM", &[0; 6]),
        (b"ANMF", &webp_frame(&large, (16, 16))),
    ]);
    // What is opaque has a size of its own within one with alpha.
    let mut other = LOSSY_WEBP_HALF.to_vec();
    let at = other
        .windows(3)
        .rposition(|w| w == b"\x9d\x01\x2a")
        .unwrap();
    other[at + 3] = 15;
    let frame = [&webp_frame(LOSSY_WEBP, (16, 16))[..16], &other[30..]].concat();
    let other_size = riff(&[
        (b"VP8X", &vp8x(0x12, (16, 16))),
        (b"ANIM", &[0; 6]),
        (b"ANMF", &frame),
    ]);
    let mut long_exif = noted_webp(&file(&small, WebP), (4, 4), 1);
    let at = long_exif.windows(4).position(|w| w == b"EXIF").unwrap();
    long_exif[at + 4..at + 8].copy_from_slice(&u32::MAX.to_le_bytes());
    // Behind the end, and still looked at by its decoder.
    let (kind, pixels) = webp_pixels(LOSSY_WEBP);
    let mut behind = riff(&[(b"VP8X", &vp8x(0x08, (16, 16))), (kind, pixels)]);
    behind.extend_from_slice(b"EXIF\xff\xff\xff\xf0");
    let nested = (0..2_000).fold(Vec::new(), |chunks, _| {
        webp_chunk(b"ANMF", &[&[0; 16], &chunks[..]].concat())
    });
    let nested = riff(&[
        (b"VP8X", &vp8x(0x02, (16, 16))),
        (b"ANIM", &[0; 6]),
        (b"ANMF", &nested),
    ]);
    vec![
        ("a PNG with more pixels than it says", long, Ok(())),
        (
            "a PNG with a long text",
            packed(b"zTXt", b"Comment"),
            Ok(()),
        ),
        ("a PNG with a long profile", packed(b"iCCP", b"ICC"), Ok(())),
        (
            "a PNG with texts",
            insert(&png, BEHIND_IHDR, &texts),
            Ok(()),
        ),
        (
            "a GIF with a large frame",
            large_frame,
            Err(Refusal::TooManyPixels),
        ),
        ("a GIF with many frames", frames, Ok(())),
        ("a WebP with a larger one in it", within, broken),
        ("a WebP with a large frame", large_frame_of_webp, broken),
        ("a WebP with a frame of another size", other_size, broken),
        ("a WebP with a long chunk", long_exif, broken),
        ("a WebP with a long chunk behind it", behind, broken),
        ("a WebP in a WebP in a WebP", nested, broken),
    ]
}

#[test]
fn greedy_files_get_what_they_deserve() {
    for (story, bytes, expected) in greedy() {
        assert!(bytes.len() < 4_000_000, "{story} has {}", bytes.len());
        let begun = std::time::Instant::now();
        assert_eq!(check_image(bytes).map(|_| ()), expected, "{story}");
        let took = begun.elapsed();
        assert!(took.as_secs() < 5, "{story} took {took:?}");
    }
    // Of sixteen bits a channel fewer pixels are taken, because more memory goes to each.
    let deep = quarters(4, 4).to_rgba16().into();
    let deep = resized_png(&file(&deep, Png), 7_000, 4_000);
    refused("many bits", &deep, Refusal::TooManyPixels);
}

#[test]
fn what_would_be_stored_has_a_limit() {
    let noise = noise(2_700, 2_700, 1);
    assert_eq!(picture::png(&noise), Err(Refusal::TooLarge));
}

/// The most memory that this process has had so far, in bytes.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1_024
}

/// In a process of its own, because those of other tests use memory too.
#[test]
fn what_is_refused_by_its_header_costs_no_memory() {
    let this = std::env::current_exe().unwrap();
    let alone = "media::tests::alone_what_is_refused_costs_no_memory";
    let mut child = std::process::Command::new(this);
    let output = child
        .args([alone, "--exact", "--ignored"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[test]
#[ignore = "runs by itself, as another test says"]
fn alone_what_is_refused_costs_no_memory() {
    let all = [(60_000, 60_000), (16_384, 16_384), (8_000, 5_001)].map(resized);
    let before = most_memory();
    for (story, bytes) in all.into_iter().flatten() {
        refused(story, &bytes, Refusal::TooManyPixels);
        // Some of our own code is read from the disk for the first time meanwhile.
        let grown = most_memory() - before;
        assert!(grown < 8 << 20, "{story} took {grown} bytes");
    }
    let all = greedy();
    let before = most_memory();
    for (story, bytes, _) in all {
        let _ = check_image(bytes);
        let grown = most_memory() - before;
        assert!(grown < 64 << 20, "{story} took {grown} bytes");
    }
}

// ---- What is made of images.

#[test]
fn variants_are_no_larger_than_their_image() {
    let square = |side| VariantKind {
        name: "",
        side,
        is_square: true,
    };
    let fitting = |side| VariantKind {
        name: "",
        side,
        is_square: false,
    };
    for (size, kind, expected) in [
        ((200, 100), square(64), (64, 64)),
        ((100, 200), square(64), (64, 64)),
        ((200, 100), square(100), (100, 100)),
        ((200, 100), square(512), (100, 100)),
        ((64, 64), square(64), (64, 64)),
        ((1, 1), square(64), (1, 1)),
        ((200, 100), fitting(64), (64, 32)),
        ((100, 200), fitting(64), (32, 64)),
        ((200, 100), fitting(256), (200, 100)),
        ((301, 200), fitting(256), (256, 170)),
        ((300, 2), fitting(64), (64, 1)),
        ((300, 1), fitting(64), (64, 1)),
    ] {
        let stored = file(&quarters(size.0, size.1), Png);
        let made = make_variant(&stored, &kind).unwrap();
        let variant = &made.variant;
        let story = format!("{size:?} in {kind:?}");
        assert_eq!((variant.width, variant.height), expected, "{story}");
        assert_eq!(variant.content_type, ContentType::Jpeg, "{story}");
        assert_eq!(variant.size, made.bytes.len() as u64, "{story}");
        let image = image::load_from_memory_with_format(&made.bytes, Jpeg).unwrap();
        assert_eq!((image.width(), image.height()), expected, "{story}");
        if expected.0 > 8 && expected.1 > 8 {
            assert_eq!(letters(&image), "RGBY", "{story}");
        }
    }
    // What is cut off is what is at the sides.
    let mut striped = quarters(90, 30).into_rgb8();
    for (x, _, pixel) in striped.enumerate_pixels_mut() {
        *pixel = Rgb([RED, GREEN, BLUE][x as usize / 30]);
    }
    let striped = file(&striped.into(), Png);
    let middle = make_variant(&striped, &square(64)).unwrap();
    assert_eq!(
        letters(&image::load_from_memory(&middle.bytes).unwrap()),
        "GGGG"
    );
    assert_eq!(
        make_variant(b"", &square(64)).map(|_| ()),
        Err(Refusal::Empty)
    );
}

#[test]
fn what_is_transparent_stays_so_without_a_seam() {
    let kind = VariantKind {
        name: "",
        side: 64,
        is_square: true,
    };
    let made = make_variant(&file(&half(256, 256), Png), &kind).unwrap();
    assert_eq!(made.variant.content_type, ContentType::Png);
    let image = image::load_from_memory(&made.bytes).unwrap();
    assert_eq!(letters(&image), "_G_Y");
    // On the edge there is green, and nothing of the red that cannot be seen.
    let image = image.to_rgba8();
    for pixel in image.enumerate_pixels().filter(|(_, y, _)| *y == 8) {
        let (x, _, Rgba([red, green, _, alpha])) = pixel;
        assert!(
            *alpha < 32 || *red < 60 && *green > 130,
            "at {x}: {pixel:?}"
        );
    }
    // Of an image that is transparent only where it is cut off, a photograph can be made.
    let mut edge = quarters(90, 30).into_rgba8();
    edge[(0, 0)][3] = 0;
    let made = make_variant(&file(&edge.into(), Png), &kind).unwrap();
    assert_eq!(made.variant.content_type, ContentType::Jpeg);
}

#[test]
fn processing_makes_a_jpeg_of_anything() {
    let resize = |width, height, quality| Resize {
        width,
        height,
        quality,
    };
    let whole = quarters(80, 60);
    for (story, bytes, expected) in [
        ("JPEG", jpeg(&whole), "RGBY"),
        ("PNG", file(&whole, Png), "RGBY"),
        ("GIF", file(&whole, Gif), "RGBY"),
        ("WebP", file(&whole, WebP), "RGBY"),
        ("half a PNG", file(&half(80, 60), Png), "WGWY"),
        (
            "half a grey PNG",
            file(&half(80, 60).to_luma_alpha8().into(), Png),
            "W?W?",
        ),
    ] {
        for (width, height, size) in [
            (None, None, (80, 60)),
            (Some(40), None, (40, 30)),
            (None, Some(20), (27, 20)),
            (Some(40), Some(15), (20, 15)),
            (Some(200), Some(100), (80, 60)),
            (Some(8_192), Some(30), (40, 30)),
            (Some(1), None, (1, 1)),
        ] {
            let made = process(bytes.clone(), &resize(width, height, 85)).unwrap();
            let story = format!("{story} within {width:?} and {height:?}");
            assert_eq!(made.content_type, ContentType::Jpeg, "{story}");
            assert_eq!(
                (made.width, made.height),
                (Some(size.0), Some(size.1)),
                "{story}"
            );
            assert_eq!(made.hash, super::hash(&made.bytes), "{story}");
            let image = image::load_from_memory_with_format(&made.bytes, Jpeg).unwrap();
            assert_eq!((image.width(), image.height()), size, "{story}");
            if size.0 > 16 {
                assert_eq!(letters(&image), expected, "{story}");
            }
        }
    }
    let photograph = jpeg(&noise(64, 64, 2));
    let length = |quality| {
        process(photograph.clone(), &resize(None, None, quality))
            .unwrap()
            .bytes
            .len()
    };
    let lengths = [1, 30, 85, 100].map(length);
    assert!(lengths.is_sorted_by(|a, b| a < b), "{lengths:?}");
    let nothing = resize(None, None, 85);
    assert_eq!(
        process(b"a text".to_vec(), &nothing),
        Err(Refusal::UnsupportedContent)
    );
}

#[test]
fn a_resize_is_kept_as_it_was_asked_for() {
    let resize = Resize {
        width: Some(640),
        height: None,
        quality: 85,
    };
    let kept = serde_json::to_value(resize).unwrap();
    assert_eq!(kept, serde_json::json!({"width": 640, "quality": 85}));
    assert_eq!(serde_json::from_value::<Resize>(kept).unwrap(), resize);
}

// ---- Whatever is sent.

/// Whatever becomes of a file on its way: it is taken or refused, and what is taken can be shown.
#[test]
fn whatever_happens_to_a_file_is_survived() {
    const TIMES: u64 = 60;
    let (whole, size) = (quarters(24, 16), (24, 16));
    let png = file(&whole, Png);
    let profile = ColorProfile::new_display_p3().encode().unwrap();
    let moving_webp = riff(&[
        (b"VP8X", &vp8x(0x02, size)),
        (b"ANIM", &[0; 6]),
        (b"ANMF", &webp_frame(&file(&whole, WebP), size)),
    ]);
    let progressive = jpeg_with(&whole, |encoder| {
        encoder.set_progressive(true);
        encoder.set_restart_interval(2);
    });
    let files = [
        jpeg(&whole),
        noted_jpeg(&jpeg(&whole), 6),
        insert(&jpeg(&whole), 2, &jpeg_profile(&profile)),
        progressive,
        cmyk_jpeg(&whole, ColorType::CmykAsYcck),
        file(&whole.to_luma8().into(), Jpeg),
        noted_png(&png, 6),
        file(&half(24, 16).to_rgba16().into(), Png),
        file(&half(24, 16), Gif),
        gif([whole.to_rgba8(), whole.to_rgba8()]),
        file(&half(24, 16), WebP),
        noted_webp(&file(&whole, WebP), size, 6),
        moving_webp,
        LOSSY_WEBP.to_vec(),
        LOSSY_WEBP_HALF.to_vec(),
    ];
    let kind = VariantKind {
        name: "",
        side: 8,
        is_square: true,
    };
    let resize = Resize {
        width: Some(8),
        height: None,
        quality: 50,
    };
    let mut taken = 0;
    for (number, file) in files.iter().enumerate() {
        for time in 0..TIMES {
            let mut random = fastrand::Rng::with_seed(number as u64 * TIMES + time);
            let bytes = mutated(file, &mut random);
            let story = format!("file {number}, time {time}");
            let _ = pixels_of(&bytes);
            let checked = check(bytes.clone());
            let (made, processed) = (make_variant(&bytes, &kind), process(bytes, &resize));
            if let Ok(checked) = checked
                && checked.content_type.is_image()
            {
                taken += 1;
                assert!(image::load_from_memory(&checked.bytes).is_ok(), "{story}");
                assert!(made.is_ok() && processed.is_ok(), "{story}");
            }
        }
    }
    // Most are refused, but not all: otherwise nothing but headers would have been tried.
    assert!(
        (50..files.len() as u64 * TIMES).contains(&taken),
        "{taken} taken"
    );
}

/// Changes some bytes, or takes some away, or adds some. The checksums of a PNG are made right again.
fn mutated(file: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(..bytes.len());
        let end = (at + random.usize(1..=16)).min(bytes.len());
        match random.u8(..8) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.insert(at, random.u8(..)),
            2 => bytes.extend_from_within(at..end),
            3 => bytes[at..end].fill(random.u8(..)),
            4 => bytes[at] = *random.choice([0, 1, 0x7f, 0x80, 0xff].iter()).unwrap(),
            _ => bytes[at] ^= 1 << random.u8(..8),
        }
        if bytes.is_empty() {
            return file.to_vec();
        }
    }
    match bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        true => with_right_checksums(&bytes),
        false => bytes,
    }
}

fn with_right_checksums(png: &[u8]) -> Vec<u8> {
    let mut right = png[..8].to_vec();
    let mut rest = &png[8..];
    while let Some((head, tail)) = rest.split_first_chunk::<8>() {
        let length = u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
        let kind: &[u8; 4] = head[4..].try_into().unwrap();
        let Some((content, behind)) = tail.split_at_checked(length).filter(|(_, b)| b.len() >= 4)
        else {
            break;
        };
        right.extend_from_slice(&chunk(kind, content));
        rest = &behind[4..];
    }
    [&right, rest].concat()
}
