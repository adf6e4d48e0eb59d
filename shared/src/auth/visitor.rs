//! The caller of a route that is open to everybody, and may show more to those who are signed in.

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use uuid::Uuid;

use super::CurrentUser;
use crate::App;
use crate::error::{Error, Result};
use crate::http::RequestInfo;
use crate::models::Scope;

/// Somebody, signed in or not. A token that is sent must be good. Who is not signed in counts against the general rate
/// limit of their address.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub current: Option<CurrentUser>,
}

impl Visitor {
    /// Whether it is this user.
    pub fn is(&self, user: Uuid) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|current| current.user.id == user)
    }

    /// Whether they have a scope.
    pub fn can(&self, scope: Scope) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|current| current.require(scope).is_ok())
    }

    /// The user, where only one of them may go on.
    pub fn signed_in(&self) -> Result<&CurrentUser> {
        self.current.as_ref().ok_or(Error::TokenMissing)
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        if parts.headers.contains_key(AUTHORIZATION) {
            let current = CurrentUser::from_request_parts(parts, app).await?;
            let current = Some(current);
            return Ok(Self { current });
        }
        let info = RequestInfo::from_request_parts(parts, app).await?;
        info.note_limit(app.permit(&info.limit_subject()).await?);
        Ok(Self { current: None })
    }
}
