//! One-time tokens: what the links in mails carry. The vault holds their hashes only.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::{Error, Result};

/// 32 random bytes, in base64url.
pub struct OneTimeToken(String);

impl OneTimeToken {
    pub fn new() -> Result<Self> {
        let mut random = [0; 32];
        let filled = SystemRandom::new().fill(&mut random);
        filled.map_err(|_| Error::Internal(anyhow::Error::msg("the system has no randomness")))?;
        Ok(Self(URL_SAFE_NO_PAD.encode(random)))
    }

    /// What goes into the link.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored: the SHA-256 of the token. It needs no salt and no slow hash, for nobody can guess 256 bits.
    pub fn hash(&self) -> String {
        Self::hash_of(&self.0)
    }

    /// What would be stored of a token that somebody sends.
    pub fn hash_of(token: &str) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()))
    }
}
