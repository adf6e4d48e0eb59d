//! Password hashes: argon2id with 19 MiB, two passes, one lane (OWASP's first choice), as PHC strings. bcrypt hashes of an
//! imported database verify too, and are replaced at the next login.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization;

use crate::config::Hidden;
use crate::error::{Context, Result};

/// Each hash takes 19 MiB and a core; more at once would take memory and end no sooner.
static HASHING: Semaphore = Semaphore::const_new(2);

/// Verified against where there is no user, so that a login takes as long as with one. It is no password's hash.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdCBpcyBmaXhlZA$\
                      bm8gcGFzc3dvcmQgaGFzIHRoaXMgaGFzaCwgZXZlciE";

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

fn hash_now(password: &str) -> Result<String> {
    let hash: PasswordHash = argon2()
        .hash_password(password.as_bytes())
        .map_err(|error| anyhow::anyhow!("{error}"))
        .context("hash a password")?;
    Ok(hash.to_string())
}

/// The same characters, however a keyboard composes them, are the same password.
fn normalized(password: &str) -> Hidden {
    Hidden::new(password.nfc().collect::<String>())
}

/// Hashes a password with a fresh salt.
pub async fn hash(password: &str) -> Result<String> {
    let password = normalized(password);
    in_turn(move || hash_now(password.reveal())).await?
}

/// Whether `password` is the one that `hash` was made of. Without a hash the answer is no, and takes as long.
pub async fn verify(password: &str, hash: Option<Hidden>) -> Result<bool> {
    let password = normalized(password);
    in_turn(move || {
        let known = hash.is_some();
        let hash = hash.as_ref().map_or(NOBODY, Hidden::reveal);
        if hash.starts_with("$2") {
            return bcrypt::verify(password.reveal(), hash).unwrap_or(false);
        }
        let Ok(hash) = PasswordHash::new(hash) else {
            return false;
        };
        let same = argon2().verify_password(password.reveal().as_bytes(), &hash);
        known && same.is_ok()
    })
    .await
}

/// Whether a hash is not of the kind that is made today.
pub fn is_outdated(hash: &Hidden) -> bool {
    !hash.reveal().starts_with("$argon2id$v=19$m=19456,t=2,p=1$")
}

/// The most that a hash made elsewhere may cost to verify: memory in KiB, passes, lanes, and the cost of bcrypt. Within
/// it a login takes a few seconds at worst, and fits into the function.
const MOST_MEMORY: u32 = 131_072;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;
const MOST_COST: u32 = 14;

/// Whether a hash that was made elsewhere can be kept: bcrypt, or argon2id as a PHC string, whole, and not too dear to
/// verify.
pub fn can_be_kept(hash: &str) -> bool {
    if let Some(rest) = ["$2a$", "$2b$", "$2y$"]
        .iter()
        .find_map(|mark| hash.strip_prefix(mark))
    {
        let cost = rest.get(..2).and_then(|cost| cost.parse().ok());
        let is_cheap = cost.is_some_and(|cost: u32| (4..=MOST_COST).contains(&cost));
        let digits = rest.get(2..).and_then(|rest| rest.strip_prefix('$'));
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
        return is_cheap && digits.is_some_and(|d| d.len() == 53 && d.bytes().all(is_digit));
    }
    let Ok(hash) = PasswordHash::new(hash) else {
        return false;
    };
    let is_whole = hash.salt.is_some() && hash.hash.is_some();
    let is_cheap = Params::try_from(&hash).is_ok_and(|params| {
        params.m_cost() <= MOST_MEMORY
            && params.t_cost() <= MOST_PASSES
            && params.p_cost() <= MOST_LANES
    });
    is_whole && is_cheap && hash.algorithm == Algorithm::Argon2id.ident()
}

/// Runs a hash off the runtime's thread, a few at a time.
async fn in_turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let _turn = HASHING.acquire().await.context("wait for a turn to hash")?;
    let done = tokio::task::spawn_blocking(work).await;
    done.context("hash a password")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn verifies_what_it_hashed_and_nothing_else() {
        let hash = hash("Correct-horse-7").await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let hash = Some(Hidden::new(hash));
        assert!(verify("Correct-horse-7", hash.clone()).await.unwrap());
        assert!(!verify("correct-horse-7", hash).await.unwrap());
        assert!(!verify("Correct-horse-7", None).await.unwrap());
        assert!(!verify("x", Some(Hidden::new("nonsense"))).await.unwrap());
    }

    #[tokio::test]
    async fn bcrypt_hashes_verify_and_are_outdated() {
        let hash = Hidden::new(bcrypt::hash("Correct-horse-7", 4).unwrap());
        assert!(is_outdated(&hash));
        // Other libraries mark the same hash otherwise.
        for mark in ["$2a$", "$2b$", "$2y$"] {
            let hash = Some(Hidden::new(hash.reveal().replacen("$2b$", mark, 1)));
            assert!(verify("Correct-horse-7", hash.clone()).await.unwrap());
            assert!(!verify("Wrong-horse-7", hash).await.unwrap());
        }
        let spoilt = Some(Hidden::new("$2b$nonsense"));
        assert!(!verify("Correct-horse-7", spoilt).await.unwrap());
        let today = Hidden::new(super::hash("Correct-horse-7").await.unwrap());
        assert!(!is_outdated(&today));
    }

    #[test]
    fn hashes_from_elsewhere_are_kept_if_they_are_of_a_known_kind() {
        let bcrypt = bcrypt::hash("Correct-horse-7", 4).unwrap();
        let argon2id = hash_now("Correct-horse-7").unwrap();
        // As argon2-cffi makes it.
        let dearer = argon2id.replacen("m=19456,t=2,p=1", "m=65536,t=3,p=4", 1);
        for kept in [
            &bcrypt,
            &bcrypt.replacen("$2b$", "$2a$", 1),
            &bcrypt.replacen("$2b$", "$2y$", 1),
            &argon2id,
            &dearer,
        ] {
            assert!(can_be_kept(kept), "{kept}");
        }
        for refused in [
            "",
            "Correct-horse-7",
            "$2b$04$short",
            &bcrypt.replacen("$2b$", "$2x$", 1),
            &bcrypt.replacen("$04$", "$31$", 1),
            &format!("{bcrypt}x"),
            "$argon2id$v=19$m=19456,t=2,p=1",
            &argon2id.replacen("argon2id", "argon2i", 1),
            &argon2id.replacen("m=19456", "m=4194304", 1),
            "pbkdf2_sha256$600000$salt$hash",
            "$pbkdf2-sha256$29000$c2FsdA$aGFzaA",
            "5f4dcc3b5aa765d61d8327deb882cf99",
        ] {
            assert!(!can_be_kept(refused), "{refused}");
        }
    }

    #[tokio::test]
    async fn composed_and_decomposed_are_the_same() {
        let hash = Some(Hidden::new(hash("Pässwörd-1").await.unwrap()));
        assert!(verify("Pa\u{308}sswo\u{308}rd-1", hash).await.unwrap());
    }

    #[test]
    fn nobodys_hash_costs_as_much_as_anybodys() {
        let (nobody, anybody) = (NOBODY.to_owned(), hash_now("Correct-horse-7").unwrap());
        let parameters = |hash: &str| {
            hash.split('$')
                .take(4)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(parameters(&nobody), parameters(&anybody));
        assert!(PasswordHash::new(&nobody).is_ok());
    }
}
