//! Takes Swagger UI and Redoc out of the crates that ship them, and compresses them once. Nothing of theirs is in this
//! repository, and of those crates nothing but these bytes is in the function.
//!
//! An asset has a hash in its name, so that a browser may keep it for ever; the pages name it by that.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::DeflateDecoder;
use flate2::write::GzEncoder;
use flate2::{Compression, Crc};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells by it where to write"
)]
fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=pages");
    let assets = [
        ("swagger-ui.css", swagger_ui("swagger-ui.css")?),
        ("swagger-ui-bundle.js", swagger_ui("swagger-ui-bundle.js")?),
        ("swagger-ui-start.js", own("swagger-ui-start.js")?),
        ("redoc.standalone.js", redoc()?),
        ("redoc-start.js", own("redoc-start.js")?),
        ("page.css", own("page.css")?),
    ];

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut pages = [
        ("docs.html", own("docs.html")?),
        ("redoc.html", own("redoc.html")?),
    ];
    let mut list = String::new();
    for (name, text) in &assets {
        let (stem, extension) = name.rsplit_once('.').ok_or("an asset has an extension")?;
        let hashed = format!("{stem}.{:08x}.{extension}", hash(text));
        let file = out.join(format!("{name}.gz"));
        std::fs::write(&file, compressed(text)?)?;
        let kind = match extension {
            "css" => "text/css; charset=utf-8",
            _ => "text/javascript; charset=utf-8",
        };
        writeln!(
            list,
            "Asset {{ name: {hashed:?}, kind: {kind:?}, gzip: include_bytes!({file:?}) }},"
        )?;
        for (_, page) in &mut pages {
            *page = page.replace(&format!("{{{name}}}"), &format!("docs/{hashed}"));
        }
    }
    std::fs::write(out.join("assets.rs"), format!("&[{list}]"))?;
    for (name, page) in pages {
        std::fs::write(out.join(name), page)?;
    }
    Ok(())
}

/// A file of ours.
fn own(name: &str) -> Result<String> {
    Ok(std::fs::read_to_string(Path::new("pages").join(name))?)
}

/// The crate has it as the zip of a release (APPNOTE.TXT, section 4.3).
fn swagger_ui(name: &str) -> Result<String> {
    let zip = SWAGGER_UI_VENDORED;
    let short = |at: usize| usize::from(u16::from_le_bytes([zip[at], zip[at + 1]]));
    let long = |at: usize| short(at) + (short(at + 2) << 16);
    let wanted = format!("/dist/{name}");
    let end = zip.windows(4).rposition(|bytes| bytes == b"PK\x05\x06");
    let mut entry = long(end.ok_or("this is no zip")? + 16);
    while zip[entry..].starts_with(b"PK\x01\x02") {
        let (size, name_length, file) = (long(entry + 20), short(entry + 28), long(entry + 42));
        if zip[entry + 46..][..name_length].ends_with(wanted.as_bytes()) {
            let start = file + 30 + short(file + 26) + short(file + 28);
            let mut text = String::new();
            DeflateDecoder::new(&zip[start..][..size]).read_to_string(&mut text)?;
            return Ok(text);
        }
        entry += 46 + name_length + short(entry + 30) + short(entry + 32);
    }
    Err(format!("Swagger UI has no {name}").into())
}

/// The crate has it only in the middle of a page.
fn redoc() -> Result<String> {
    let page = aide::redoc::Redoc::new("").html();
    let script = page.split_once("<script>").map(|(_, rest)| rest);
    let script = script.and_then(|rest| Some(rest.rsplit_once("Redoc.init(")?.0));
    let script = script.ok_or("the page of Redoc has another layout now")?;
    // The one thing that it fetches from elsewhere; the link beside it stays.
    let logo = "https://cdn.redoc.ly/redoc/logo-mini.svg";
    match script.matches(logo).count() {
        1 => Ok(script.trim().replace(logo, "data:,")),
        _ => Err("Redoc has its logo in another place now".into()),
    }
}

fn hash(text: &str) -> u32 {
    let mut crc = Crc::new();
    crc.update(text.as_bytes());
    crc.sum()
}

fn compressed(text: &str) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes())?;
    Ok(encoder.finish()?)
}
