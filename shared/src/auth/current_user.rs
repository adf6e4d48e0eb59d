//! The caller of a request, as an extractor: a handler that takes one is for signed-in users only.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use uuid::Uuid;

use super::tokens::{self, Claims, TokenKind};
use crate::App;
use crate::error::{Error, Result};
use crate::http::RequestInfo;
use crate::models::order::Order;
use crate::models::session::Session;
use crate::models::{Scope, User};
use crate::store::orders::Basket;

/// A signed-in, active user with a live session, read in one round trip: deactivating the user or ending the
/// session works at once, whatever the token's expiry says. Counts against the general rate limit of the user.
#[derive(Clone, Debug)]
pub struct CurrentUser {
    pub user: User,
    pub session: Session,
    pub claims: Arc<Claims>,
}

impl CurrentUser {
    /// Refuses a caller whose token lacks `scope`, or whose role has lost it since the token was issued.
    pub fn require(&self, scope: Scope) -> Result<()> {
        let issued = self.claims.scope.split(' ').any(|s| s == scope.as_str());
        match issued && self.user.role.scopes().contains(&scope) {
            true => Ok(()),
            false => Err(Error::InsufficientScope(scope.as_str())),
        }
    }
}

impl CurrentUser {
    /// The same for who wants to write what others see: with `REQUIRE_VERIFIED_EMAIL` the address must be verified.
    pub fn require_to_write(&self, app: &App, scope: Scope) -> Result<()> {
        self.require(scope)?;
        match app.config.require_verified_email && !self.user.is_verified {
            true => Err(Error::EmailNotVerified),
            false => Ok(()),
        }
    }
}

impl FromRequestParts<App> for CurrentUser {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let (user, session) = app.store.signed_in(caller.id(), caller.session).await?;
        caller.signed_in(app, user, session)
    }
}

/// Whose token is good, and of whom nothing has been read yet: for handlers that read the caller together with what they
/// need besides. Counts against the general rate limit of the user.
#[derive(Clone, Debug)]
pub struct Caller {
    claims: Arc<Claims>,
    session: Uuid,
    info: RequestInfo,
}

impl Caller {
    pub fn id(&self) -> Uuid {
        self.claims.sub
    }

    /// The caller and their own order of this id, in one round trip.
    pub async fn with_order(&self, app: &App, id: Uuid) -> Result<(CurrentUser, Option<Order>)> {
        let read = app.store.signed_in_with_order(self.id(), self.session, id);
        let (user, session, order) = read.await?;
        Ok((self.signed_in(app, user, session)?, order))
    }

    /// The caller and what an order of theirs is made of, in one round trip.
    pub async fn with_basket(
        &self,
        app: &App,
        items: &[Uuid],
        key: Option<&str>,
    ) -> Result<(CurrentUser, Basket)> {
        let read = app
            .store
            .signed_in_with_basket(self.id(), self.session, items, key);
        let (user, session, basket) = read.await?;
        Ok((self.signed_in(app, user, session)?, basket))
    }

    /// The caller, if what was read of them lets them in.
    fn signed_in(
        &self,
        app: &App,
        user: Option<User>,
        session: Option<Session>,
    ) -> Result<CurrentUser> {
        let ended = || Error::TokenInvalid("belongs to a session that has ended");
        let (user, session) = user.zip(session).ok_or_else(ended)?;
        if !session.is_live(app.clock.now()) || user.has_ended(session.id, session.epoch) {
            return Err(ended());
        }
        if !user.is_active {
            return Err(Error::TokenInvalid(
                "belongs to an account that is not active",
            ));
        }
        self.info.note_user(user.id);
        Ok(CurrentUser {
            user,
            session,
            claims: self.claims.clone(),
        })
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let info = RequestInfo::from_request_parts(parts, app).await?;
        let public_url = info.public_url(&app.config);
        let token = bearer(parts)?;
        let claims = tokens::verify_access(app, &public_url, token).await?;
        let (TokenKind::Access, Some(session)) = (claims.kind, claims.sid) else {
            return Err(Error::TokenInvalid("is not that of a user"));
        };
        info.note_limit(app.permit(&claims.sub.to_string()).await?);
        Ok(Self {
            claims,
            session,
            info,
        })
    }
}

/// The token of the `Authorization` header (RFC 6750, section 2.1); the scheme's case does not matter.
fn bearer(parts: &Parts) -> Result<&str> {
    let header = parts
        .headers
        .get(AUTHORIZATION)
        .ok_or(Error::TokenMissing)?;
    let malformed = || Error::TokenInvalid("is malformed");
    let header = header.to_str().map_err(|_| malformed())?;
    match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Error::TokenMissing),
    }
}
