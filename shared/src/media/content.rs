//! What something is, told by its bytes: neither by its name nor by what is said of it.

use image::ImageFormat;

use super::Refusal;
use crate::models::file::ContentType;

/// Where the end of a PDF is looked for, as its readers do.
const TAIL: usize = 1_024;

/// The type of a content that we take. An image may still be broken.
pub fn content_of(bytes: &[u8]) -> Result<ContentType, Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::Empty);
    }
    match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => Ok(ContentType::Jpeg),
        Ok(ImageFormat::Png) => Ok(ContentType::Png),
        Ok(ImageFormat::Gif) => Ok(ContentType::Gif),
        Ok(ImageFormat::WebP) => Ok(ContentType::Webp),
        // Some formats are told by two letters, with which a text may begin too.
        _ if bytes.starts_with(b"%PDF-") && is_pdf(bytes) => Ok(ContentType::Pdf),
        _ if !bytes.starts_with(b"%PDF-") && is_text(bytes) => Ok(ContentType::Text),
        _ => Err(Refusal::UnsupportedContent),
    }
}

/// Whether it is a PDF from the first byte to the last: what stands before or behind one could be something else too.
fn is_pdf(bytes: &[u8]) -> bool {
    const END: &[u8] = b"%%EOF";
    let begins = bytes.starts_with(b"%PDF-1.") || bytes.starts_with(b"%PDF-2.");
    let tail = &bytes[bytes.len().saturating_sub(TAIL)..];
    let end = tail.windows(END.len()).rposition(|window| window == END);
    // To a PDF, zeros are white space too.
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
    begins && end.is_some_and(|end| tail[end + END.len()..].iter().all(is_space))
}

/// Whether it is a text in UTF-8 that nobody takes for a page: a browser that guesses does so by the first tag.
fn is_text(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else {
        return false;
    };
    let lays_out = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{c}');
    if text.chars().any(|c| c.is_control() && !lays_out(c)) {
        return false;
    }
    let begun = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let tag = begun.strip_prefix('<');
    let opens = |c: char| c.is_alphabetic() || matches!(c, '!' | '?');
    !tag.is_some_and(|tag| tag.starts_with(opens))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cases: &[(&[u8], Result<ContentType, Refusal>)]) {
        for (bytes, expected) in cases {
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(content_of(bytes), *expected, "for {shown:?}");
        }
    }

    const UNSUPPORTED: Result<ContentType, Refusal> = Err(Refusal::UnsupportedContent);
    const TEXT: Result<ContentType, Refusal> = Ok(ContentType::Text);
    const PDF: Result<ContentType, Refusal> = Ok(ContentType::Pdf);

    #[test]
    fn images_are_told_by_how_they_begin() {
        check(&[
            (b"", Err(Refusal::Empty)),
            (b"\xff\xd8\xff\xe0", Ok(ContentType::Jpeg)),
            (b"\x89PNG\r\n\x1a\n", Ok(ContentType::Png)),
            (b"GIF87a", Ok(ContentType::Gif)),
            (b"GIF89a", Ok(ContentType::Gif)),
            (b"RIFF\x1a\0\0\0WEBPVP8L", Ok(ContentType::Webp)),
            (b"RIFF\x1a\0\0\0WAVEfmt ", UNSUPPORTED),
            (b"\xff\xd8", UNSUPPORTED),
            (b"\x89PNG\n\x1a\n\0", UNSUPPORTED),
            // What begins a byte late is something else.
            (b" \xff\xd8\xff\xe0", UNSUPPORTED),
        ]);
    }

    #[test]
    fn what_is_not_taken() {
        check(&[
            (b"BM\x8a\0\0\0", UNSUPPORTED),
            (b"II*\0\x08\0\0\0", UNSUPPORTED),
            (b"MM\0*\0\0\0\x08", UNSUPPORTED),
            (b"\0\0\x01\0\x01\0", UNSUPPORTED),
            (b"\0\0\0\x1cftypavif", UNSUPPORTED),
            (b"\0\0\0\x1cftypheic", UNSUPPORTED),
            (b"PK\x03\x04\x14\0", UNSUPPORTED),
            (b"\x1f\x8b\x08\0", UNSUPPORTED),
            (b"\x7fELF\x02\x01\x01\0", UNSUPPORTED),
            (b"MZ\x90\0\x03", UNSUPPORTED),
            (b"{\\rtf1 \x01}", UNSUPPORTED),
            (&[0; 100], UNSUPPORTED),
        ]);
    }

    #[test]
    fn texts() {
        check(&[
            (b"a", TEXT),
            (b" \n", TEXT),
            (b"\xef\xbb\xbfWith a BOM", TEXT),
            ("Zeilen\r\n\tund Größe, 毛布 🧶\u{c}".as_bytes(), TEXT),
            // To those who guess by two letters, these are images and programs.
            (b"BMW, GIFs and MZ", TEXT),
            (b"II*, MM*, P1", TEXT),
            (b"1 < 2, and 3 <4", TEXT),
            (b"< no tag", TEXT),
            (b"<3", TEXT),
            (b"see <script>", TEXT),
            (b"a\0b", UNSUPPORTED),
            (b"a\x1b[2Jb", UNSUPPORTED),
            (b"a\x7fb", UNSUPPORTED),
            ("a\u{85}b".as_bytes(), UNSUPPORTED),
            // Latin-1, and UTF-16 with its BOM.
            (b"Gr\xf6\xdfe", UNSUPPORTED),
            (b"\xff\xfea\0b\0", UNSUPPORTED),
            (b"cut \xe6\xaf", UNSUPPORTED),
        ]);
    }

    #[test]
    fn a_page_is_no_text() {
        check(&[
            (b"<html>", UNSUPPORTED),
            (b"<!DOCTYPE html>", UNSUPPORTED),
            (b"<?xml version=\"1.0\"?>", UNSUPPORTED),
            (b"<svg onload=\"alert(1)\"/>", UNSUPPORTED),
            (b" \r\n\t\x0c<script>", UNSUPPORTED),
            (b"\xef\xbb\xbf<svg/>", UNSUPPORTED),
            (b"\n\xef\xbb\xbf \xef\xbb\xbf<b>", UNSUPPORTED),
            ("\u{a0}<b>".as_bytes(), UNSUPPORTED),
            (b"<!-- a comment -->", UNSUPPORTED),
        ]);
    }

    #[test]
    fn a_pdf_begins_and_ends_as_one() {
        check(&[
            (b"%PDF-1.7\n1 0 obj\n%%EOF", PDF),
            (b"%PDF-2.0\n\xe2\xe3\xcf\xd3\n%%EOF \r\n\0\n", PDF),
            (b"%PDF-1.4\n%%EOF\nupdated\n%%EOF\n", PDF),
            (b"%PDF-1.4\n", UNSUPPORTED),
            (b"%PDF-3.0\n%%EOF", UNSUPPORTED),
            (b"%PDF-\n%%EOF", UNSUPPORTED),
            (b"\n%PDF-1.4\xff\n%%EOF", UNSUPPORTED),
            (b"%PDF-1.4\n%%EOF<script>alert(1)</script>", UNSUPPORTED),
            (b"%PDF-1.4\n%%EOFPK\x05\x06\0\0", UNSUPPORTED),
        ]);
        let far = [b"%PDF-1.4\n%%EOF", &[b' '; TAIL][..]].concat();
        check(&[(&far, UNSUPPORTED)]);
    }
}
