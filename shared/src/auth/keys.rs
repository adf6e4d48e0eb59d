//! Keys: derived from the one secret for those who sign, fetched from the table for those who verify.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm,
    OctetKeyPairParameters, OctetKeyPairType, PublicKeyUse,
};
use jsonwebtoken::{DecodingKey, EncodingKey};
use ring::signature::{Ed25519KeyPair, KeyPair};
use ring::{digest, hkdf, hmac};

use super::tokens::Claims;
use crate::error::{Context, Result};
use crate::store::Store;

/// What `auth` signs with. All of it comes from one secret by HKDF-SHA256 (RFC 5869), so there is nothing
/// else to store, back up or rotate.
pub struct SigningKeys {
    pub(super) key_id: String,
    pub(super) signing: EncodingKey,
    pub(super) refresh: hmac::Key,
    /// That of the secret before, whose refresh tokens go on.
    pub(super) refresh_before: Option<hmac::Key>,
    public: Jwk,
}

impl SigningKeys {
    /// Derives the keys. The secret must have at least 32 characters of randomness.
    pub fn derive(secret: &str) -> Result<Self> {
        let seed = expand(secret, b"sheaf access-token signing v1")?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok();
        let pair = pair.context("derive the signing key")?;
        let public = base64url(pair.public_key().as_ref());
        let key_id = thumbprint(&public);
        Ok(Self {
            signing: EncodingKey::from_ed_der(&seed),
            refresh: refresh_key(secret)?,
            refresh_before: None,
            public: jwk(&key_id, public),
            key_id,
        })
    }

    /// Takes refresh tokens of the secret before too, so that a rotation logs nobody out.
    pub fn after(mut self, secret_before: &str) -> Result<Self> {
        self.refresh_before = Some(refresh_key(secret_before)?);
        Ok(self)
    }

    /// The public half, as `/.well-known/jwks.json` shows it (RFC 7517, RFC 8037).
    pub fn public_key(&self) -> &Jwk {
        &self.public
    }
}

fn refresh_key(secret: &str) -> Result<hmac::Key> {
    let key = expand(secret, b"sheaf refresh-token v1")?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &key))
}

fn expand(secret: &str, purpose: &[u8]) -> Result<[u8; 32]> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"sheaf");
    let mut key = [0; 32];
    salt.extract(secret.as_bytes())
        .expand(&[purpose], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key))
        .ok()
        .context("derive a key")?;
    Ok(key)
}

/// The key's id: its thumbprint by RFC 7638, so that the same secret always gives the same id.
fn thumbprint(x: &str) -> String {
    let canonical = format!("{{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"{x}\"}}");
    base64url(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref())
}

fn jwk(key_id: &str, x: String) -> Jwk {
    Jwk {
        common: CommonParameters {
            public_key_use: Some(PublicKeyUse::Signature),
            key_algorithm: Some(KeyAlgorithm::EdDSA),
            key_id: Some(key_id.to_owned()),
            ..Default::default()
        },
        algorithm: AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            key_type: OctetKeyPairType::OctetKeyPair,
            curve: EllipticCurve::Ed25519,
            x,
        }),
    }
}

pub(super) fn base64url(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// The keys that an instance signs with, and when it has fetched them.
#[derive(Default)]
pub struct Signing {
    known: RwLock<Option<(Arc<SigningKeys>, i64)>>,
    /// When fetching the secret failed last, in seconds since the epoch.
    failed: AtomicI64,
}

/// Whether the keys of an instance may be behind the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// They are of the last minute.
    Fresh,
    /// It is time to fetch the secret again.
    Due,
    /// Fetching it has just failed.
    Unknown,
}

/// Made-up tokens must not make us fetch the secret for each of them. In seconds.
const FETCH_AGAIN_AFTER: i64 = 60;

/// The same where fetching has failed. In seconds.
const TRY_AGAIN_AFTER: i64 = 5;

impl Signing {
    pub(crate) fn take(&self, keys: SigningKeys, now: i64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        *known = Some((Arc::new(keys), now));
    }

    pub(crate) fn keys(&self) -> Option<Arc<SigningKeys>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|(keys, _)| keys.clone())
    }

    pub fn freshness(&self, now: i64) -> Freshness {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let fetched = known.as_ref().map(|(_, at)| *at);
        if fetched.is_some_and(|at| now - at < FETCH_AGAIN_AFTER) {
            Freshness::Fresh
        } else if now - self.failed.load(Ordering::Relaxed) < TRY_AGAIN_AFTER {
            Freshness::Unknown
        } else {
            Freshness::Due
        }
    }

    /// Notes that the secret could not be fetched.
    pub fn note_failure(&self, now: i64) {
        self.failed.store(now, Ordering::Relaxed);
    }
}

/// The public keys that this instance knows, fetched again when a token names one that it does not.
#[derive(Default)]
pub struct Keyring(RwLock<Known>);

#[derive(Default)]
struct Known {
    published: JwkSet,
    keys: Vec<(String, Arc<DecodingKey>)>,
    /// When the keys were read.
    read: Option<Instant>,
    /// When an unknown key was last looked for.
    searched: Option<Instant>,
    /// Tokens whose signature was found right by these keys.
    verified: HashMap<String, Arc<Claims>>,
}

/// Most tokens that an instance remembers; about a kilobyte each.
const MOST_VERIFIED: usize = 500;

/// After so long the keys are read again, so that one that was retired is not taken for ever.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// Tokens with made-up key ids must not make us read the table for each of them.
const SEARCH_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Keyring {
    /// The key of that id, if it is published.
    ///
    /// A key is published before the first token is signed with it, so looking once is enough: also for an
    /// instance that started before `auth` did.
    pub(super) async fn find(
        &self,
        store: &Store,
        key_id: &str,
    ) -> Result<Option<Arc<DecodingKey>>> {
        if self.is_stale() {
            self.fetch(store).await?;
        }
        if let Some(key) = self.known(key_id) {
            return Ok(Some(key));
        }
        if !self.may_search() {
            return Ok(None);
        }
        self.fetch(store).await?;
        Ok(self.known(key_id))
    }

    /// Reads the published keys. Done at start, where it also opens the connection to DynamoDB.
    pub async fn fetch(&self, store: &Store) -> Result<()> {
        self.learn(&store.published_keys().await?);
        Ok(())
    }

    /// Takes the keys of a set that can be used here.
    pub fn learn(&self, set: &JwkSet) {
        let usable = |jwk: &Jwk| {
            let id = jwk.common.key_id.clone()?;
            let AlgorithmParameters::OctetKeyPair(pair) = &jwk.algorithm else {
                return None;
            };
            let key = DecodingKey::from_ed_components(&pair.x).ok()?;
            Some((id, Arc::new(key)))
        };
        let keys = set.keys.iter().filter_map(usable).collect();
        let known = &mut *self.write();
        known.keys = keys;
        known.published = set.clone();
        known.read = Some(Instant::now());
        known.verified.clear();
    }

    /// The published keys, for whoever asks. Read again if that was long ago.
    pub async fn published(&self, store: &Store) -> Result<JwkSet> {
        if self.is_stale() {
            self.fetch(store).await?;
        }
        Ok(self.read().published.clone())
    }

    fn is_stale(&self) -> bool {
        let read = self.read().read;
        read.is_some_and(|at| at.elapsed() >= READ_AGAIN_AFTER)
    }

    /// The claims of a token whose signature was checked before: a client sends the same one for a quarter of
    /// an hour, and checking takes longer than all the rest that we do for a small request. Expiry and the rest
    /// of the claims are for the caller to check each time.
    pub(super) fn recall(&self, token: &str) -> Option<Arc<Claims>> {
        self.read().verified.get(token).cloned()
    }

    pub(super) fn remember(&self, token: &str, claims: Arc<Claims>) {
        let verified = &mut self.write().verified;
        if verified.len() >= MOST_VERIFIED {
            verified.clear();
        }
        verified.insert(token.to_owned(), claims);
    }

    fn known(&self, key_id: &str) -> Option<Arc<DecodingKey>> {
        let known = self.read();
        let found = known.keys.iter().find(|(id, _)| id == key_id);
        found.map(|(_, key)| key.clone())
    }

    /// Whether an unknown key may be looked for now; if so, the next one has to wait.
    fn may_search(&self) -> bool {
        let searched = &mut self.write().searched;
        let waited = searched.is_none_or(|at| at.elapsed() >= SEARCH_AGAIN_AFTER);
        if waited {
            *searched = Some(Instant::now());
        }
        waited
    }

    // A panic elsewhere cannot leave the ring half changed: it is only ever replaced or added to.
    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_secret_gives_the_same_keys() {
        let derive = |secret| SigningKeys::derive(secret).unwrap();
        let (a, again) = (derive("one secret"), derive("one secret"));
        assert_eq!(a.key_id, again.key_id);
        assert_eq!(a.public_key(), again.public_key());
        assert_ne!(a.key_id, derive("another secret").key_id);
    }
}
