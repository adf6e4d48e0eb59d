//! Every way a request can fail, and the status and code a client sees for it.
//!
//! Handlers answer an [`Error`]; `http::wrapper` turns it into an `application/problem+json` document
//! (RFC 9457). A client sees a variant's message only; the cause of an internal error goes to the log.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("The request has fields that are not valid.")]
    Invalid(Vec<FieldError>),
    #[error("The body is not {0}.")]
    MalformedBody(&'static str),
    #[error("{0}")]
    BadRequest(String),
    #[error("Send the body as {0}.")]
    UnsupportedMediaType(&'static str),
    #[error("The body is larger than {0} bytes.")]
    BodyTooLarge(usize),
    #[error("The cursor is not one that a page of this list has answered.")]
    InvalidCursor,
    #[error("Only {0} can be skipped; go on with the cursor of the page before.")]
    SkipTooDeep(u32),
    #[error("There is no {0} here.")]
    NotFound(&'static str),
    #[error("This path does not know that method.")]
    MethodNotAllowed,
    #[error("Send an access token as 'Authorization: Bearer …'.")]
    TokenMissing,
    #[error("The access token {0}.")]
    TokenInvalid(&'static str),
    #[error("The login or the password is wrong.")]
    InvalidCredentials,
    #[error("The refresh token is not valid; log in again.")]
    InvalidRefreshToken,
    #[error("The current password is wrong.")]
    WrongPassword,
    #[error("The link has been used, has expired, or was never valid; ask for a new one.")]
    InvalidLink,
    #[error("The login with the provider was refused: {0}.")]
    OidcRefused(&'static str),
    #[error("This account is not active.")]
    AccountInactive,
    #[error("Verify your e-mail address first.")]
    EmailNotVerified,
    #[error("This needs the scope {0}.")]
    InsufficientScope(&'static str),
    #[error("This e-mail address is taken.")]
    EmailTaken,
    #[error("This user name is taken.")]
    UsernameTaken,
    #[error("The resource has changed meanwhile; read it again.")]
    Stale,
    #[error("There can be no more {0}.")]
    LimitReached(&'static str),
    #[error("{0}")]
    IllegalTransition(&'static str),
    #[error("Nobody else could administrate then; make somebody else an administrator first.")]
    LastAdmin,
    #[error("There would be less than what is reserved by orders.")]
    StockReserved,
    /// Each line of an order that asks for more than there is.
    #[error("There is not enough of some of the items.")]
    InsufficientInventory(Vec<FieldError>),
    #[error("This idempotency key was sent with another request before.")]
    IdempotencyKeyReused,
    #[error("Many ask for the same just now; try again.")]
    Busy,
    #[error("Nothing was uploaded yet.")]
    UploadMissing,
    #[error("There is no room for more files; delete some.")]
    QuotaExceeded,
    #[error("The signature is missing, wrong, or too old.")]
    InvalidSignature,
    #[error("The amount or the currency is not that of the order.")]
    AmountMismatch,
    #[error("The category is in use: it has items or categories below it.")]
    CategoryInUse,
    #[error("Another category has this name.")]
    NameTaken,
    #[error("Another category has this slug.")]
    SlugTaken,
    #[error("A category cannot be below itself.")]
    CategoryCycle,
    #[error("A setting keeps its type; delete it first.")]
    SettingTypeFixed,
    #[error("Delete yourself at /users/me.")]
    CannotDeleteSelf,
    #[error("The resource is not the one that If-Match names.")]
    PreconditionFailed,
    #[error("Too many requests; try again in {} seconds.", .0.retry_after)]
    RateLimited(RateLimit),
    #[error("A service that this needs does not answer; try again.")]
    Unavailable(#[source] anyhow::Error),
    /// A service has answered that it will not do this, however often it is asked.
    #[error("A service that this needs has refused it.")]
    Refused(#[source] anyhow::Error),
    #[error("Something went wrong on our side.")]
    Internal(#[from] anyhow::Error),
}

/// A field that is not valid, by its path in the body (`items[2].quantity`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    #[schema(example = "email")]
    pub field: String,
    #[schema(example = "must be an e-mail address")]
    pub message: String,
    #[schema(example = "invalid_email")]
    pub code: String,
}

/// A limit and what is left of it, for the `x-ratelimit-*` headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many requests the window allows.
    pub limit: u32,
    /// How many of them are left.
    pub remaining: u32,
    /// Seconds until the window ends.
    pub retry_after: u64,
}

impl Error {
    /// One field that is not valid.
    pub fn invalid(field: &str, code: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError {
            field: field.to_owned(),
            message: message.into(),
            code: code.to_owned(),
        }])
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) | Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::MalformedBody(_)
            | Self::BadRequest(_)
            | Self::InvalidCursor
            | Self::SkipTooDeep(_)
            | Self::WrongPassword
            | Self::InvalidLink
            | Self::CannotDeleteSelf
            | Self::InvalidSignature
            | Self::AmountMismatch
            | Self::OidcRefused(_) => StatusCode::BAD_REQUEST,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TokenMissing
            | Self::TokenInvalid(_)
            | Self::InvalidCredentials
            | Self::InvalidRefreshToken => StatusCode::UNAUTHORIZED,
            Self::AccountInactive | Self::EmailNotVerified | Self::InsufficientScope(_) => {
                StatusCode::FORBIDDEN
            }
            Self::EmailTaken
            | Self::UsernameTaken
            | Self::Stale
            | Self::IllegalTransition(_)
            | Self::LastAdmin
            | Self::StockReserved
            | Self::InsufficientInventory(_)
            | Self::Busy
            | Self::UploadMissing
            | Self::QuotaExceeded
            | Self::CategoryInUse
            | Self::NameTaken
            | Self::SlugTaken
            | Self::CategoryCycle
            | Self::SettingTypeFixed
            | Self::LimitReached(_) => StatusCode::CONFLICT,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused(_) | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The word a client branches on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "validation_failed",
            Self::MalformedBody(_) => "malformed_body",
            Self::BadRequest(_) => "bad_request",
            Self::UnsupportedMediaType(_) => "unsupported_media_type",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::InvalidCursor => "invalid_cursor",
            Self::SkipTooDeep(_) => "skip_too_deep",
            Self::NotFound(_) => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TokenMissing => "token_missing",
            Self::TokenInvalid(_) => "invalid_token",
            Self::InvalidCredentials => "invalid_credentials",
            Self::InvalidRefreshToken => "invalid_refresh_token",
            Self::WrongPassword => "wrong_password",
            Self::InvalidLink => "invalid_token",
            Self::OidcRefused(_) => "oidc_refused",
            Self::AccountInactive => "account_inactive",
            Self::EmailNotVerified => "email_not_verified",
            Self::InsufficientScope(_) => "insufficient_scope",
            Self::EmailTaken => "email_taken",
            Self::UsernameTaken => "username_taken",
            Self::Stale => "stale",
            Self::LimitReached(_) => "limit_reached",
            Self::IllegalTransition(_) => "illegal_transition",
            Self::LastAdmin => "last_admin",
            Self::StockReserved => "stock_reserved",
            Self::InsufficientInventory(_) => "insufficient_inventory",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::Busy => "busy",
            Self::UploadMissing => "upload_missing",
            Self::QuotaExceeded => "quota_exceeded",
            Self::InvalidSignature => "invalid_signature",
            Self::AmountMismatch => "amount_mismatch",
            Self::CategoryInUse => "category_in_use",
            Self::NameTaken => "name_taken",
            Self::SlugTaken => "slug_taken",
            Self::CategoryCycle => "category_cycle",
            Self::SettingTypeFixed => "setting_type_fixed",
            Self::CannotDeleteSelf => "cannot_delete_self",
            Self::PreconditionFailed => "precondition_failed",
            Self::RateLimited(_) => "rate_limited",
            Self::Unavailable(_) => "unavailable",
            Self::Refused(_) => "refused",
            Self::Internal(_) => "internal",
        }
    }

    /// Whether the same request may succeed later without being changed.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Stale
            | Self::Busy
            | Self::RateLimited(_)
            | Self::Unavailable(_)
            | Self::Internal(_) => true,
            Self::Invalid(_)
            | Self::MalformedBody(_)
            | Self::BadRequest(_)
            | Self::InvalidCursor
            | Self::SkipTooDeep(_)
            | Self::UnsupportedMediaType(_)
            | Self::BodyTooLarge(_)
            | Self::NotFound(_)
            | Self::MethodNotAllowed
            | Self::TokenMissing
            | Self::TokenInvalid(_)
            | Self::InvalidCredentials
            | Self::InvalidRefreshToken
            | Self::WrongPassword
            | Self::InvalidLink
            | Self::OidcRefused(_)
            | Self::AccountInactive
            | Self::EmailNotVerified
            | Self::InsufficientScope(_)
            | Self::EmailTaken
            | Self::UsernameTaken
            | Self::LimitReached(_)
            | Self::IllegalTransition(_)
            | Self::LastAdmin
            | Self::StockReserved
            | Self::InsufficientInventory(_)
            | Self::IdempotencyKeyReused
            | Self::UploadMissing
            | Self::QuotaExceeded
            | Self::InvalidSignature
            | Self::AmountMismatch
            | Self::CategoryInUse
            | Self::NameTaken
            | Self::SlugTaken
            | Self::CategoryCycle
            | Self::SettingTypeFixed
            | Self::CannotDeleteSelf
            | Self::PreconditionFailed
            | Self::Refused(_) => false,
        }
    }

    /// The challenge for `WWW-Authenticate`, where a token would help (RFC 6750, section 3). A wrong password gets the
    /// bare scheme, because every 401 must name one.
    pub fn challenge(&self) -> Option<String> {
        match self {
            Self::TokenMissing | Self::InvalidCredentials | Self::InvalidRefreshToken => {
                Some("Bearer".to_owned())
            }
            Self::TokenInvalid(why) => Some(format!(
                "Bearer error=\"invalid_token\", error_description=\"The access token {why}\""
            )),
            Self::InsufficientScope(scope) => Some(format!(
                "Bearer error=\"insufficient_scope\", scope=\"{scope}\""
            )),
            _ => None,
        }
    }
}

/// The response carries the error as an extension; `http::wrapper` knows the request and writes the body.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(std::sync::Arc::new(self));
        response
    }
}

/// Says what was being done when a dependency failed.
pub trait Context<T> {
    fn context(self, doing: &'static str) -> Result<T>;
}

impl<T, E: Into<anyhow::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: &'static str) -> Result<T> {
        self.map_err(|error| Error::Internal(error.into().context(doing)))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, doing: &'static str) -> Result<T> {
        self.ok_or_else(|| Error::Internal(anyhow::Error::msg(doing)))
    }
}
