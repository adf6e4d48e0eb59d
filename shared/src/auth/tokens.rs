//! Tokens. Access tokens are JWTs by RFC 9068, signed with EdDSA; refresh tokens are opaque.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header, Validation};
use ring::hmac;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::{SigningKeys, base64url};
use crate::App;
use crate::error::{Context, Error, Result};
use crate::ids;
use crate::models::text::{Email, Name};
use crate::models::{Role, User};

/// How long an access token lives, in seconds.
pub const ACCESS_LIFETIME: i64 = 15 * 60;

/// How far clocks may differ, in seconds.
const LEEWAY: i64 = 5;

/// Longer than any token of ours; what is longer is not worth parsing.
const LONGEST: usize = 4_096;

/// What an access token says. `sub` is the user's id and `sid` the session's; for a service `sub` is the client's id, and
/// what is personal is absent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    pub sub: Uuid,
    pub iat: i64,
    pub exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    pub jti: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
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
    /// Of a user.
    Access,
    /// Of a service client.
    Service,
}

/// The length of a refresh token: 36 bytes of what it says and 32 of its HMAC, in base64url.
const REFRESH_LENGTH: usize = 91;

/// What a refresh token says, once its HMAC was found right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    pub user: Uuid,
    pub session: Uuid,
    pub generation: u32,
}

impl SigningKeys {
    /// An access token for `user` in session `session`.
    pub fn sign_access(
        &self,
        public_url: &str,
        user: &User,
        session: Uuid,
        now: i64,
    ) -> Result<String> {
        let scope = user.role.scope_claim();
        self.sign(&Claims {
            sid: Some(session),
            email: Some(user.email.clone()),
            role: Some(user.role),
            first_name: user.first_name.clone(),
            last_name: user.last_name.clone(),
            desired_name: user.desired_name.clone(),
            ..Claims::new(public_url, TokenKind::Access, user.id, scope, now)
        })
    }

    /// An access token for a service client.
    pub fn sign_service(
        &self,
        public_url: &str,
        client: Uuid,
        scope: &str,
        now: i64,
    ) -> Result<String> {
        let scope = scope.to_owned();
        self.sign(&Claims::new(
            public_url,
            TokenKind::Service,
            client,
            scope,
            now,
        ))
    }

    fn sign(&self, claims: &Claims) -> Result<String> {
        let header = Header {
            typ: Some("at+jwt".to_owned()),
            kid: Some(self.key_id.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        jsonwebtoken::encode(&header, claims, &self.signing).context("sign an access token")
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

    /// What a refresh token says; `None` if it is none of ours.
    pub fn read_refresh(&self, token: &str) -> Option<RefreshToken> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (said, tag) = bytes.split_at_checked(36)?;
        let mut keys = [Some(&self.refresh), self.refresh_before.as_ref()]
            .into_iter()
            .flatten();
        keys.find(|key| hmac::verify(key, said, tag).is_ok())?;
        Some(RefreshToken {
            user: Uuid::from_slice(&said[..16]).ok()?,
            session: Uuid::from_slice(&said[16..32]).ok()?,
            generation: u32::from_be_bytes(said[32..].try_into().ok()?),
        })
    }
}

/// Whether a text could be a refresh token of ours, of whatever secret.
pub fn is_like_refresh(token: &str) -> bool {
    token.len() == REFRESH_LENGTH
}

impl Claims {
    fn new(public_url: &str, kind: TokenKind, sub: Uuid, scope: String, now: i64) -> Self {
        Self {
            iss: public_url.to_owned(),
            aud: public_url.to_owned(),
            sub,
            iat: now,
            exp: now + ACCESS_LIFETIME,
            nbf: None,
            jti: ids::new(),
            sid: None,
            email: None,
            role: None,
            scope,
            first_name: None,
            last_name: None,
            desired_name: None,
            kind,
        }
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
    let now = app.clock.seconds();
    if claims.exp.saturating_add(LEEWAY) <= now {
        return Err(Error::TokenInvalid("has expired"));
    }
    if claims.iat > now + LEEWAY {
        return Err(Error::TokenInvalid("is from the future"));
    }
    if claims.nbf.is_some_and(|nbf| nbf > now + LEEWAY) {
        return Err(Error::TokenInvalid("is not valid yet"));
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
    // Nobody here understands an extension that must be understood (RFC 7515, section 4.1.11).
    if header.crit.is_some() {
        return Err(Error::TokenInvalid("has a critical header"));
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
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}

fn refusal(error: &jsonwebtoken::errors::Error) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature => "has a wrong signature",
        _ => "is malformed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    const URL: &str = "https://api.example.com";

    /// An instance that knows the key of `keys`, and needs no table for it.
    fn app(keys: &SigningKeys) -> App {
        let config = Config::from_lookup(|name| match name {
            "AWS_ENDPOINT_URL" => Some("http://127.0.0.1:1".to_owned()),
            name => ["AWS_", "APP_TABLE", "TASK_QUEUE_URL"]
                .iter()
                .any(|start| name.starts_with(start) && !name.ends_with("_BUNDLE"))
                .then(|| "http://x.example".to_owned()),
        });
        let app = App::new(config.unwrap()).unwrap();
        app.keyring.learn(&jsonwebtoken::jwk::JwkSet {
            keys: vec![keys.public_key().clone()],
        });
        app
    }

    fn claims() -> Claims {
        let now = crate::models::time::now().as_second();
        let scope = Role::User.scope_claim();
        Claims::new(URL, TokenKind::Access, Uuid::nil(), scope, now)
    }

    /// Each case spoils a good token in one way, and names what it is refused for.
    #[tokio::test]
    async fn a_spoilt_token_is_refused_though_its_signature_is_right() {
        type Spoil = fn(&mut Header, &mut Claims);
        let cases: [(Spoil, Option<&str>); 9] = [
            (|_, _| {}, None),
            (
                |_, c| c.iss = "https://other.example".into(),
                Some("is from another issuer"),
            ),
            (
                |_, c| c.aud = "https://other.example".into(),
                Some("is for another audience"),
            ),
            (|_, c| c.exp = c.iat - 60, Some("has expired")),
            (|_, c| c.iat += 60, Some("is from the future")),
            (
                |h, _| h.typ = Some("JWT".into()),
                Some("is not an access token"),
            ),
            (|h, _| h.typ = None, Some("is not an access token")),
            (|h, _| h.kid = None, Some("names no key")),
            (
                |h, _| h.jku = Some("https://evil.example/jwks.json".into()),
                None,
            ),
        ];
        let keys = SigningKeys::derive("a secret for the tests of this file").unwrap();
        let app = app(&keys);
        for (number, (spoil, expected)) in cases.into_iter().enumerate() {
            let (mut header, mut claims) = (Header::new(Algorithm::EdDSA), claims());
            header.typ = Some("at+jwt".to_owned());
            header.kid = Some(keys.key_id.clone());
            spoil(&mut header, &mut claims);
            let token = jsonwebtoken::encode(&header, &claims, &keys.signing).unwrap();
            // The second time the token's signature is known already, and the rest is checked all the same.
            for _ in 0..2 {
                let refusal = match verify_access(&app, URL, &token).await {
                    Ok(_) => None,
                    Err(Error::TokenInvalid(why)) => Some(why),
                    Err(other) => panic!("case {number}: {other:?}"),
                };
                assert_eq!(refusal, expected, "case {number}");
            }
        }
    }

    #[tokio::test]
    async fn a_remembered_token_expires_too() {
        let keys = SigningKeys::derive("a secret for the tests of this file").unwrap();
        let app = app(&keys);
        let expired = Claims {
            exp: crate::models::time::now().as_second() - LEEWAY,
            ..claims()
        };
        app.keyring.remember("a token", Arc::new(expired));
        let refused = verify_access(&app, URL, "a token").await;
        assert!(matches!(refused, Err(Error::TokenInvalid("has expired"))));
    }
}
