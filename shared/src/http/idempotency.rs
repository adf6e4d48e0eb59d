//! `Idempotency-Key`: a request that is sent again with the same key has happened once, and gets the answer of the first
//! (<https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>, and as Stripe does it).
//!
//! A key belongs to a user and a route, for [`KEPT`] seconds. Only what has happened is remembered: a refused request may
//! be sent again with its key, corrected.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use crate::App;
use crate::auth::OneTimeToken;
use crate::error::{Context, Error, Result};

/// How long an answer is remembered, in seconds.
pub const KEPT: i64 = 24 * 3_600;

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Says that an answer is that of an earlier request.
pub(super) const IDEMPOTENT_REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");

/// The longest key.
const MOST: usize = 255;

/// The header of a request, if it has one. 400 if it is not 1 to 255 visible ASCII characters, perhaps in quotes, or if
/// `REQUIRE_IDEMPOTENCY_KEY` asks for one.
#[derive(Clone, Debug)]
pub struct IdempotencyKey(Option<String>);

impl IdempotencyKey {
    pub fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl FromRequestParts<App> for IdempotencyKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let mut headers = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let refused = |message: &str| Err(Error::BadRequest(message.to_owned()));
        match (headers.next(), headers.next()) {
            (None, _) if app.config.require_idempotency_key => {
                refused("Send an Idempotency-Key, another for each request that is meant once.")
            }
            (None, _) => Ok(Self(None)),
            (Some(header), None) => match parse(header) {
                Some(key) => Ok(Self(Some(key.to_owned()))),
                None => refused("The Idempotency-Key is not 1 to 255 visible ASCII characters."),
            },
            (Some(_), Some(_)) => refused("There is more than one Idempotency-Key."),
        }
    }
}

/// The draft has a quoted string (RFC 9651), and most clients send none.
fn parse(header: &HeaderValue) -> Option<&str> {
    let text = header.to_str().ok()?.trim();
    let bare = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let key = bare.unwrap_or(text);
    let is_good = key.bytes().all(|byte| byte.is_ascii_graphic());
    (is_good && (1..=MOST).contains(&key.len())).then_some(key)
}

/// What was asked, by its hash, and what was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Of the request as it was understood, so that blanks and the order of fields do not matter.
    hash: String,
    status: u16,
    location: String,
    body: String,
}

impl Remembered {
    /// The answer 201 to a request.
    pub fn created(
        request: &impl Serialize,
        location: &str,
        body: &impl Serialize,
    ) -> Result<Self> {
        Ok(Self {
            hash: hash(request)?,
            status: StatusCode::CREATED.as_u16(),
            location: location.to_owned(),
            body: serde_json::to_string(body).context("write an answer")?,
        })
    }

    /// The answer, for the first time.
    pub fn answer(self) -> Result<Response> {
        let status = StatusCode::from_u16(self.status).context("read a status")?;
        let headers = [
            (CONTENT_TYPE, "application/json".to_owned()),
            (LOCATION, self.location),
        ];
        Ok((status, headers, self.body).into_response())
    }

    /// The same answer again, if this is the same request. Else 422 `idempotency_key_reused`.
    pub fn replay(self, request: &impl Serialize) -> Result<Response> {
        if self.hash != hash(request)? {
            return Err(Error::IdempotencyKeyReused);
        }
        let mut response = self.answer()?;
        let headers = response.headers_mut();
        headers.insert(IDEMPOTENT_REPLAY, HeaderValue::from_static("true"));
        Ok(response)
    }
}

fn hash(request: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string(request).context("write a request")?;
    Ok(OneTimeToken::hash_of(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_and_short_and_perhaps_in_quotes() {
        let long = "k".repeat(255);
        let too_long = "k".repeat(256);
        for (header, key) in [
            ("a-key_1", Some("a-key_1")),
            ("\"a-key_1\"", Some("a-key_1")),
            ("\"", Some("\"")),
            (" k ", Some("k")),
            (long.as_str(), Some(long.as_str())),
            (too_long.as_str(), None),
            ("", None),
            ("\"\"", None),
            ("two words", None),
        ] {
            let header = HeaderValue::from_str(header).unwrap();
            assert_eq!(parse(&header), key, "{header:?}");
        }
        assert_eq!(parse(&HeaderValue::from_bytes(b"k\xc3\xa4").unwrap()), None);
    }

    #[test]
    fn an_answer_is_for_the_same_request() {
        let remembered = Remembered::created(&[1, 2], "/there", &"body").unwrap();
        let replay = remembered.clone().replay(&[1, 2]).unwrap();
        assert_eq!(replay.status(), StatusCode::CREATED);
        assert_eq!(replay.headers()["idempotent-replay"], "true");
        assert_eq!(replay.headers()["location"], "/there");
        let answer = remembered.clone().answer().unwrap();
        assert!(!answer.headers().contains_key("idempotent-replay"));
        let other = remembered.replay(&[2, 1]);
        assert!(matches!(other, Err(Error::IdempotencyKeyReused)));
    }
}
