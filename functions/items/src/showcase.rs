//! Lists that are the same for everybody, and may be kept for a minute by whoever gets them.

use axum::response::Response;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};
use shared::http::{PageOf, etag};
use shared::models;
use shared::models::page::{From, Page, Slice, Total};
use shared::{App, Result};

use crate::item::Item;

/// All of a list of `most` items at most, with an `ETag`.
pub(crate) fn respond(
    app: &App,
    headers: &HeaderMap,
    items: &[models::Item],
    most: u32,
) -> Result<Response> {
    let slice = Slice {
        from: From::Skip(0),
        limit: most,
    };
    let page = Page {
        items: items.to_vec(),
        total: Total::Exactly(u32::try_from(items.len()).unwrap_or(most)),
        next: None,
    };
    let page = PageOf::new(&slice, page, |item| Item::public(app, item));
    let mut response = etag::respond_hashed(headers, &page)?;
    let kept = HeaderValue::from_static("public, max-age=60");
    response.headers_mut().insert(CACHE_CONTROL, kept);
    Ok(response)
}
