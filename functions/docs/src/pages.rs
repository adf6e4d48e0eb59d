//! `GET /docs`, `GET /redoc`, and `GET /docs/{file}`, which both are made of.
//!
//! All of it comes from here and nothing from elsewhere: the pages work without the internet.

use std::io::Read;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use http::HeaderMap;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY,
};
use shared::http::RequestInfo;
use shared::{App, Context, Error, Result};

/// A script or a style. `build.rs` compresses it, and puts a hash of it into its name.
struct Asset {
    name: &'static str,
    kind: &'static str,
    gzip: &'static [u8],
}

static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Swagger UI
///
/// This document as a page that sends requests too: log in with *Authorize*, and choose *Try it out*.
#[utoipa::path(
    get, path = "/docs", tag = "docs",
    responses((status = 200, description = "The page", body = String, content_type = "text/html",
        example = "<!doctype html>…"))
)]
pub(crate) async fn get_docs(State(app): State<App>, info: RequestInfo) -> Response {
    let html = include_str!(concat!(env!("OUT_DIR"), "/docs.html"));
    page(html, &app, &info, "", "")
}

/// Redoc
///
/// This document as a page to read.
#[utoipa::path(
    get, path = "/redoc", tag = "docs",
    responses((status = 200, description = "The page", body = String, content_type = "text/html",
        example = "<!doctype html>…"))
)]
pub(crate) async fn get_redoc(State(app): State<App>, info: RequestInfo) -> Response {
    let html = include_str!(concat!(env!("OUT_DIR"), "/redoc.html"));
    // It writes its styles at run time, and searches in a worker that it writes too.
    page(html, &app, &info, " 'unsafe-inline'", "worker-src blob:; ")
}

/// What pages are made of
///
/// A script or a style. Its name has its hash in it, so that it may be kept for ever.
#[utoipa::path(
    get, path = "/docs/{file}", tag = "docs",
    params(("file" = String, Path, description = "As the pages name it", example = "page.0123abcd.css")),
    responses(
        (status = 200, description = "The file", content(
            (String = "text/css", example = json!("body { margin: 0; }")),
            (String = "text/javascript", example = json!("Redoc.init(…)")),
        )),
        (status = 404, description = "No file has this name", body = shared::http::Problem),
    )
)]
pub(crate) async fn get_docs_file(
    headers: HeaderMap,
    Path(file): Path<String>,
) -> Result<Response> {
    let asset = ASSETS.iter().find(|asset| asset.name == file);
    let asset = asset.ok_or(Error::NotFound("file of this name"))?;
    let kept = [
        (CONTENT_TYPE, asset.kind),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (VARY, "accept-encoding"),
    ];
    match takes_gzip(&headers) {
        true => Ok((kept, [(CONTENT_ENCODING, "gzip")], asset.gzip).into_response()),
        false => {
            let mut plain = Vec::new();
            let mut decoder = GzDecoder::new(asset.gzip);
            decoder.read_to_end(&mut plain).context("unpack a file")?;
            Ok((kept, plain).into_response())
        }
    }
}

/// A page, which may load from this origin only, and run nothing that stands in itself. `style` is what else may style
/// it, `more` what else it may do.
fn page(html: &'static str, app: &App, info: &RequestInfo, style: &str, more: &str) -> Response {
    // Requests go to where the document says that the API is, which need not be where the page was opened.
    let api = info.public_url(&app.config);
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'{style}; img-src 'self' data:; \
         connect-src 'self' {api}; {more}base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (CACHE_CONTROL, "no-cache".to_owned()),
        (CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, html).into_response()
}

/// Whether the client says that it does (RFC 9110, section 12.5.3). Every browser does.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight
            .trim()
            .strip_prefix("q=")
            .and_then(|weight| weight.parse().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.unwrap_or(1.0) > 0.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_whoever_takes_it() {
        for (header, takes) in [
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, GZIP;q=0.8", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            let headers = [(ACCEPT_ENCODING, header.parse().unwrap())];
            assert_eq!(
                takes_gzip(&HeaderMap::from_iter(headers)),
                takes,
                "{header}"
            );
        }
    }

    #[test]
    fn the_pages_name_files_that_are_there() {
        for html in [
            include_str!(concat!(env!("OUT_DIR"), "/docs.html")),
            include_str!(concat!(env!("OUT_DIR"), "/redoc.html")),
        ] {
            let named = html
                .split('"')
                .filter_map(|part| part.strip_prefix("docs/"));
            let named: Vec<_> = named.collect();
            assert!(named.len() >= 3, "{html}");
            for name in named {
                assert!(ASSETS.iter().any(|asset| asset.name == name), "{name}");
            }
            assert!(!html.contains('{'), "{html}");
        }
    }
}
