//! Each kind of problem once, so that responses can show the document that a client gets.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::error::{Error, FieldError, RateLimit};
use shared::http::Problem;

/// One of each code and status, with the texts of a case that is told often.
fn samples() -> Vec<Error> {
    let cause = || anyhow::Error::msg("");
    let field = |field: &str, message: &str, code: &str| {
        vec![FieldError {
            field: field.to_owned(),
            message: message.to_owned(),
            code: code.to_owned(),
        }]
    };
    let invalid = field("email", "must be an e-mail address", "invalid_email");
    let short = field(
        "items[0].quantity",
        "must be at most 1",
        "insufficient_inventory",
    );
    let limit = RateLimit {
        limit: 100,
        remaining: 0,
        retry_after: 17,
    };
    vec![
        Error::MalformedBody("valid JSON"),
        Error::BadRequest("The request cannot be understood.".to_owned()),
        Error::InvalidCursor,
        Error::SkipTooDeep(10_000),
        Error::WrongPassword,
        Error::InvalidLink,
        Error::CannotDeleteSelf,
        Error::InvalidSignature,
        Error::AmountMismatch,
        Error::OidcRefused("it was not begun in this browser, or is over"),
        Error::TokenMissing,
        Error::TokenInvalid("has expired"),
        Error::InvalidCredentials,
        Error::InvalidRefreshToken,
        Error::InsufficientScope("users:read"),
        Error::AccountInactive,
        Error::EmailNotVerified,
        Error::NotFound("resource of this id"),
        Error::EmailTaken,
        Error::UsernameTaken,
        Error::Stale,
        Error::Busy,
        Error::LimitReached("of these"),
        Error::IllegalTransition("Only an unpaid order can be cancelled."),
        Error::LastAdmin,
        Error::StockReserved,
        Error::InsufficientInventory(short),
        Error::UploadMissing,
        Error::QuotaExceeded,
        Error::CategoryInUse,
        Error::NameTaken,
        Error::SlugTaken,
        Error::CategoryCycle,
        Error::SettingTypeFixed,
        Error::PreconditionFailed,
        Error::BodyTooLarge(shared::http::body::LIMIT),
        Error::UnsupportedMediaType("application/json"),
        Error::Invalid(invalid),
        Error::IdempotencyKeyReused,
        Error::RateLimited(limit),
        Error::Refused(cause()),
        Error::Internal(cause()),
        Error::Unavailable(cause()),
    ]
}

/// The codes between backticks in a description that a response of this status can have, in that order.
pub(crate) fn codes_in(description: &str, status: u16) -> Vec<&'static str> {
    let known = samples();
    let words = description.split('`').skip(1).step_by(2);
    let codes = words.filter_map(|word| find(&known, status, word).map(Error::code));
    codes.collect()
}

/// By what name the example of a problem is known.
pub(crate) fn name(status: u16, code: &str) -> String {
    format!("{status}.{code}")
}

/// All of them by their names.
pub(crate) fn examples() -> Vec<(String, Value)> {
    let all = samples().into_iter();
    let examples = all.map(|error| (name(error.status().as_u16(), error.code()), body(&error)));
    examples.collect()
}

fn body(error: &Error) -> Value {
    let problem = Problem {
        kind: "about:blank",
        title: error.status().canonical_reason().unwrap_or_default(),
        status: error.status().as_u16(),
        detail: error.to_string(),
        instance: "/api/v1/…".to_owned(),
        code: error.code(),
        request_id: "0198c8f5-6b1e-7c3a-9d52-2f0e8a41b7c6".to_owned(),
        errors: match error {
            Error::Invalid(fields) | Error::InsufficientInventory(fields) => fields.clone(),
            _ => Vec::new(),
        },
    };
    serde_json::to_value(problem).unwrap_or_default()
}

/// All codes by their status, for whoever reads the document from its beginning.
pub(crate) fn table() -> String {
    let mut by_status = BTreeMap::<u16, Vec<String>>::new();
    for error in samples() {
        let codes = by_status.entry(error.status().as_u16()).or_default();
        codes.push(format!("`{}`", error.code()));
    }
    let rows = by_status.into_iter();
    let rows = rows.map(|(status, codes)| format!("| {status} | {} |\n", codes.join(" ")));
    format!(
        "| status | `code` |\n|---|---|\n{}",
        rows.collect::<String>()
    )
}

/// What OAuth has words for (RFC 6749, section 5.2, and its relatives), and the status of each.
const OAUTH: [(&str, u16, &str); 12] = [
    (
        "invalid_request",
        400,
        "The parameter grant_type is missing.",
    ),
    (
        "invalid_grant",
        400,
        "What was sent is wrong, has ended, or was used.",
    ),
    ("invalid_scope", 400, "The client may not have this scope."),
    (
        "unauthorized_client",
        400,
        "A service client gets tokens of its own only: client_credentials.",
    ),
    (
        "unsupported_grant_type",
        400,
        "This grant is not offered here.",
    ),
    (
        "unsupported_token_type",
        400,
        "The token of a service cannot be revoked; it ends by itself.",
    ),
    (
        "invalid_client",
        401,
        "The client is unknown, or its secret is wrong.",
    ),
    (
        "insufficient_scope",
        403,
        "The client needs the scope tokens:introspect.",
    ),
    (
        "invalid_request",
        413,
        "The body is larger than 1048576 bytes.",
    ),
    (
        "slow_down",
        429,
        "Too many requests; try again in 17 seconds.",
    ),
    ("server_error", 500, "Something went wrong on our side."),
    (
        "temporarily_unavailable",
        503,
        "A service that this needs does not answer; try again.",
    ),
];

/// The words between backticks in a description that are OAuth's, with the body of each.
pub(crate) fn oauth_in(description: &str, status: u16) -> Vec<(&'static str, Value)> {
    let words = description.split('`').skip(1).step_by(2);
    let known = |word| {
        OAUTH
            .iter()
            .find(|(code, of, _)| *code == word && *of == status)
    };
    let found = words.filter_map(known);
    let body = |(code, _, why): &(&'static str, u16, &str)| {
        (*code, json!({"error": code, "error_description": why}))
    };
    found.map(body).collect()
}

fn find<'a>(known: &'a [Error], status: u16, code: &str) -> Option<&'a Error> {
    let mut known = known.iter();
    known.find(|error| error.code() == code && error.status().as_u16() == status)
}
