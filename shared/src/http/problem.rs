//! Problem documents (RFC 9457): the body of every error.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::RequestInfo;
use crate::error::{Error, FieldError};

/// An error, as `application/problem+json`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status and `code` say what kind of problem it is.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    pub kind: &'static str,
    #[schema(example = "Not Found")]
    pub title: &'static str,
    #[schema(example = 404)]
    pub status: u16,
    #[schema(example = "There is no user here.")]
    pub detail: String,
    /// The path of the request.
    #[schema(example = "/api/v1/users/me")]
    pub instance: String,
    /// The word to branch on.
    #[schema(example = "not_found")]
    pub code: &'static str,
    /// To quote when asking for help; also in `x-request-id` and in the log.
    #[schema(example = "0198c8f5-6b1e-7c3a-9d52-2f0e8a41b7c6")]
    pub request_id: String,
    /// With 422: every field that is not valid. With `insufficient_inventory`: every line that is short.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    pub fn new(error: &Error, info: &RequestInfo) -> Self {
        let errors = match error {
            Error::Invalid(fields) | Error::InsufficientInventory(fields) => fields.clone(),
            _ => Vec::new(),
        };
        Self {
            kind: "about:blank",
            title: title(error.status()),
            status: error.status().as_u16(),
            detail: error.to_string(),
            instance: info.path().to_owned(),
            code: error.code(),
            request_id: info.id().to_owned(),
            errors,
        }
    }
}

fn title(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

/// The whole response to an error. `headers` are those that the router has set already, as `Allow`.
pub(super) fn respond(error: &Error, info: &RequestInfo, headers: HeaderMap) -> Response {
    let body = serde_json::to_vec(&Problem::new(error, info)).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = error.status();
    *response.headers_mut() = headers;
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/problem+json");
    headers.insert(CONTENT_TYPE, kind);
    headers.remove(http::header::CONTENT_LENGTH);
    if let Some(challenge) = error
        .challenge()
        .and_then(|c| HeaderValue::from_str(&c).ok())
    {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    match error {
        Error::RateLimited(limit) => {
            info.note_limit(*limit);
            headers.insert(RETRY_AFTER, HeaderValue::from(limit.retry_after));
        }
        Error::Unavailable(_) => {
            headers.insert(RETRY_AFTER, HeaderValue::from(1));
        }
        _ => {}
    }
    response
}
