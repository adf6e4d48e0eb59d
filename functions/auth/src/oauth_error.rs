//! Errors as OAuth has them (RFC 6749, section 5.2): what token endpoints answer instead of problem documents.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use shared::Error;
use shared::http::OwnBody;
use utoipa::ToSchema;

/// Why a request of OAuth is refused.
#[derive(Debug)]
pub(crate) enum OauthError {
    InvalidRequest(String),
    /// No client, an unknown one, a wrong secret: nobody is told which.
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    UnauthorizedClient,
    UnsupportedGrantType,
    /// RFC 7009, section 2.2.1.
    UnsupportedTokenType,
    /// RFC 6750, section 3.1.
    InsufficientScope(&'static str),
    /// What OAuth has no word for: too many requests, a service that does not answer.
    House(Error),
}

/// An error of OAuth.
#[derive(Serialize, ToSchema)]
pub(crate) struct OauthProblem {
    /// The word to branch on.
    #[schema(example = "invalid_client")]
    error: &'static str,
    /// For whoever reads the log of a client.
    #[schema(example = "The client is unknown, or its secret is wrong.")]
    error_description: String,
}

impl OauthError {
    fn status(&self) -> StatusCode {
        match self {
            Self::InvalidRequest(_)
            | Self::InvalidGrant
            | Self::InvalidScope
            | Self::UnauthorizedClient
            | Self::UnsupportedGrantType
            | Self::UnsupportedTokenType => StatusCode::BAD_REQUEST,
            Self::InvalidClient => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope(_) => StatusCode::FORBIDDEN,
            Self::House(error) => error.status(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::InsufficientScope(_) => "insufficient_scope",
            // RFC 8628 has the first of these words, RFC 6749 the others, for another endpoint.
            Self::House(error) => match error.status() {
                StatusCode::TOO_MANY_REQUESTS => "slow_down",
                StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
                status if status.is_server_error() => "server_error",
                _ => "invalid_request",
            },
        }
    }

    fn description(&self) -> String {
        match self {
            Self::InvalidRequest(why) => why.clone(),
            Self::InvalidClient => "The client is unknown, or its secret is wrong.".to_owned(),
            Self::InvalidGrant => "What was sent is wrong, has ended, or was used.".to_owned(),
            Self::InvalidScope => "The client may not have this scope.".to_owned(),
            Self::UnauthorizedClient => {
                "A service client gets tokens of its own only: client_credentials.".to_owned()
            }
            Self::UnsupportedGrantType => "This grant is not offered here.".to_owned(),
            Self::UnsupportedTokenType => {
                "The token of a service cannot be revoked; it ends by itself.".to_owned()
            }
            Self::InsufficientScope(scope) => format!("The client needs the scope {scope}."),
            Self::House(error) => error.to_string(),
        }
    }

    /// Who authenticates with a client's id and secret is challenged by the scheme that takes them.
    fn challenge(&self) -> Option<HeaderValue> {
        let challenge = match self {
            Self::InvalidClient => "Basic realm=\"sheaf\"".to_owned(),
            Self::InsufficientScope(scope) => {
                format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"")
            }
            _ => return None,
        };
        HeaderValue::from_str(&challenge).ok()
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::House(Error::RateLimited(limit)) => Some(limit.retry_after),
            Self::House(Error::Unavailable(_)) => Some(1),
            _ => None,
        }
    }
}

impl From<Error> for OauthError {
    fn from(error: Error) -> Self {
        Self::House(error)
    }
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        let code = self.code();
        let body = Json(OauthProblem {
            error: code,
            error_description: self.description(),
        });
        let caching = [(CACHE_CONTROL, "no-store")];
        let mut response = (self.status(), caching, body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        let extensions = response.extensions_mut();
        extensions.insert(OwnBody(code));
        if let Self::House(error) = self {
            // The wrapper tells its cause to the log.
            extensions.insert(Arc::new(error));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::error::RateLimit;

    #[test]
    fn each_error_has_its_word_and_status() {
        let broken = || anyhow::Error::msg("the table is gone");
        let limit = RateLimit {
            limit: 60,
            remaining: 0,
            retry_after: 7,
        };
        let cases = [
            (
                OauthError::InvalidRequest("No.".to_owned()),
                400,
                "invalid_request",
                None,
            ),
            (OauthError::InvalidClient, 401, "invalid_client", None),
            (
                OauthError::InsufficientScope("tokens:introspect"),
                403,
                "insufficient_scope",
                None,
            ),
            (OauthError::InvalidGrant, 400, "invalid_grant", None),
            (
                OauthError::House(Error::RateLimited(limit)),
                429,
                "slow_down",
                Some("7"),
            ),
            (
                OauthError::House(Error::Unavailable(broken())),
                503,
                "temporarily_unavailable",
                Some("1"),
            ),
            (
                OauthError::House(Error::Internal(broken())),
                500,
                "server_error",
                None,
            ),
            (
                OauthError::House(Error::BodyTooLarge(1)),
                413,
                "invalid_request",
                None,
            ),
        ];
        for (error, status, code, retry_after) in cases {
            assert_eq!(error.code(), code);
            // RFC 6749 allows printable ASCII without quotes and backslashes.
            let plain = |b: u8| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\';
            let description = error.description();
            assert!(description.bytes().all(plain), "{description}");
            assert!(!description.contains("the table"), "{description}");
            let response = error.into_response();
            assert_eq!(response.status().as_u16(), status, "{code}");
            let header = response.headers().get(RETRY_AFTER);
            let header = header.map(|value| value.to_str().unwrap());
            assert_eq!(header, retry_after, "{code}");
            let challenged = response.headers().contains_key(WWW_AUTHENTICATE);
            assert_eq!(challenged, matches!(status, 401 | 403), "{code}");
        }
    }
}
