//! Entity tags: strong, made of a resource's version (RFC 9110, sections 8.8.3 and 13.1).

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

use crate::auth::OneTimeToken;
use crate::error::{Context, Error, Result};

fn quoted(tag: &str) -> String {
    format!("\"{tag}\"")
}

/// A resource with the `ETag` of its version; 304 without a body if `If-None-Match` names that tag.
pub fn respond(headers: &HeaderMap, version: u64, body: impl Serialize) -> Response {
    respond_tagged(headers, &version.to_string(), body)
}

/// The same with any tag, which must not hold a quote.
pub fn respond_tagged(headers: &HeaderMap, tag: &str, body: impl Serialize) -> Response {
    let tag = quoted(tag);
    let mut response = match names(headers, IF_NONE_MATCH, &tag, Comparison::Weak) {
        Some(true) => StatusCode::NOT_MODIFIED.into_response(),
        _ => Json(body).into_response(),
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// The same with a tag that is a hash of the body.
pub fn respond_hashed(headers: &HeaderMap, body: &impl Serialize) -> Result<Response> {
    let json = serde_json::to_string(body).context("write a body")?;
    let tag = OneTimeToken::hash_of(&json);
    Ok(respond_tagged(headers, &tag, body))
}

/// Refuses with 412 if there is an `If-Match` that does not name this version.
pub fn check_if_match(headers: &HeaderMap, version: u64) -> Result<()> {
    check_if_match_tag(headers, &version.to_string())
}

/// The same with any tag.
pub fn check_if_match_tag(headers: &HeaderMap, tag: &str) -> Result<()> {
    match names(headers, IF_MATCH, &quoted(tag), Comparison::Strong) {
        Some(false) => Err(Error::PreconditionFailed),
        _ => Ok(()),
    }
}

/// Losing a race means 412 to whoever has sent `If-Match`: what they have named is gone.
pub fn lost_race(headers: &HeaderMap) -> impl FnOnce(Error) -> Error {
    let named = headers.contains_key(IF_MATCH);
    move |error| match error {
        Error::Stale if named => Error::PreconditionFailed,
        other => other,
    }
}

/// RFC 9110, section 8.8.3.2.
#[derive(Clone, Copy, PartialEq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether the header names `tag`; `None` without the header.
fn names(
    headers: &HeaderMap,
    header: http::HeaderName,
    tag: &str,
    comparison: Comparison,
) -> Option<bool> {
    let mut values = headers.get_all(header).iter().peekable();
    values.peek()?;
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut tags = texts.flat_map(|text| text.split(',')).map(str::trim);
    let weak = |t: &str| comparison == Comparison::Weak && t.strip_prefix("W/") == Some(tag);
    Some(tags.any(|t| t == "*" || t == tag || weak(t)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match() {
        let check = |value: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(IF_MATCH, HeaderValue::from_static(value));
            }
            check_if_match(&headers, 7).is_ok()
        };
        let cases = [
            (None, true),
            (Some("\"7\""), true),
            (Some("*"), true),
            (Some("\"6\", \"7\""), true),
            (Some("\"6\""), false),
            (Some("7"), false),
            (Some("W/\"7\""), false),
        ];
        for (value, expected) in cases {
            assert_eq!(check(value), expected, "for {value:?}");
        }
    }
}
