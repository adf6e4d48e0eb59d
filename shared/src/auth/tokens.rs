//! Tokens. Access tokens are JWTs by RFC 9068, signed with EdDSA; refresh tokens are opaque.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, Header, Validation};
use ring::hmac;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::{SigningKeys, base64url};
use crate::App;
use crate::error::{Context, Error, Result};
use crate::models::text::{Email, Name};
use crate::models::time;
use crate::models::{Role, User};

/// How long an access token lives, in seconds.
pub const ACCESS_LIFETIME: i64 = 15 * 60;

/// How far clocks may differ, in seconds.
const LEEWAY: i64 = 5;

/// Longer than any token of ours; what is longer is not worth parsing.
const LONGEST: usize = 4_096;

/// What an access token says. `sub` is the user's id, `sid` the session's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    pub sub: Uuid,
    pub iat: i64,
    pub exp: i64,
    pub jti: Uuid,
    pub sid: Uuid,
    pub email: Email,
    pub role: Role,
    pub scope: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_name: Option<Name>,
    #[serde(rename = "type")]
    pub kind: TokenKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    Access,
}

impl SigningKeys {
    /// An access token for `user` in session `session`.
    pub fn sign_access(&self, public_url: &str, user: &User, session: Uuid) -> Result<String> {
        let now = time::now().as_second();
        let claims = Claims {
            iss: public_url.to_owned(),
            aud: public_url.to_owned(),
            sub: user.id,
            iat: now,
            exp: now + ACCESS_LIFETIME,
            jti: Uuid::now_v7(),
            sid: session,
            email: user.email.clone(),
            role: user.role,
            scope: user.role.scope_claim(),
            first_name: user.first_name.clone(),
            last_name: user.last_name.clone(),
            desired_name: user.desired_name.clone(),
            kind: TokenKind::Access,
        };
        let header = Header {
            typ: Some("at+jwt".to_owned()),
            kid: Some(self.key_id.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        jsonwebtoken::encode(&header, &claims, &self.signing).context("sign an access token")
    }

    /// The refresh token of a session's `generation`: user, session and generation under an HMAC, so that a
    /// forged one costs no read of the table.
    pub fn sign_refresh(&self, user: Uuid, session: Uuid, generation: u32) -> String {
        let mut token = Vec::with_capacity(68);
        token.extend_from_slice(user.as_bytes());
        token.extend_from_slice(session.as_bytes());
        token.extend_from_slice(&generation.to_be_bytes());
        let tag = hmac::sign(&self.refresh, &token);
        token.extend_from_slice(tag.as_ref());
        base64url(&token)
    }
}

/// Verifies an access token: signature by a published key, algorithm pinned to EdDSA, `typ`, issuer,
/// audience and times. Keys that the token brings along (`jku`, `x5u`, `jwk`) are ignored.
pub async fn verify_access(app: &App, public_url: &str, token: &str) -> Result<Arc<Claims>> {
    let claims = match app.keyring.recall(token) {
        Some(claims) => claims,
        None => {
            let claims = Arc::new(verify_signature(app, token).await?);
            app.keyring.remember(token, claims.clone());
            claims
        }
    };
    if claims.iss != public_url {
        return Err(Error::TokenInvalid("is from another issuer"));
    }
    if claims.aud != public_url {
        return Err(Error::TokenInvalid("is for another audience"));
    }
    let now = time::now().as_second();
    if claims.exp + LEEWAY <= now {
        return Err(Error::TokenInvalid("has expired"));
    }
    if claims.iat > now + LEEWAY {
        return Err(Error::TokenInvalid("is from the future"));
    }
    Ok(claims)
}

async fn verify_signature(app: &App, token: &str) -> Result<Claims> {
    if token.len() > LONGEST {
        return Err(Error::TokenInvalid("is too long"));
    }
    let malformed = |_| Error::TokenInvalid("is malformed");
    let header = jsonwebtoken::decode_header(token).map_err(malformed)?;
    if header.alg != Algorithm::EdDSA {
        return Err(Error::TokenInvalid("is not signed with EdDSA"));
    }
    if header.typ.as_deref() != Some("at+jwt") {
        return Err(Error::TokenInvalid("is not an access token"));
    }
    let key_id = header.kid.ok_or(Error::TokenInvalid("names no key"))?;
    let key = app.keyring.find(&app.store, &key_id).await?;
    let key = key.ok_or(Error::TokenInvalid("is signed with an unknown key"))?;
    let data = jsonwebtoken::decode::<Claims>(token, &key, &app.validation);
    Ok(data
        .map_err(|error| Error::TokenInvalid(refusal(&error)))?
        .claims)
}

/// What the library checks of the claims. [`verify_access`] checks what may change between two requests with
/// one token.
pub fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.leeway = LEEWAY.unsigned_abs();
    validation.validate_nbf = true;
    validation.validate_aud = false;
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}

fn refusal(error: &jsonwebtoken::errors::Error) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::ExpiredSignature => "has expired",
        ErrorKind::ImmatureSignature => "is not valid yet",
        ErrorKind::InvalidSignature => "has a wrong signature",
        _ => "is malformed",
    }
}
