//! Who calls, and what they may do.
//!
//! `auth` alone signs tokens, with keys derived from the one secret; everyone verifies them with the published
//! public keys and need no secret. [`CurrentUser`] in a handler's signature is the policy.

pub mod current_user;
mod ed25519;
pub mod keys;
mod one_time;
pub mod passwords;
pub mod tokens;
mod visitor;

pub use current_user::{Caller, CurrentUser};
pub(crate) use ed25519::install as install_crypto;
pub use keys::{Freshness, Keyring, Signing, SigningKeys};
pub use one_time::OneTimeToken;
pub use tokens::RefreshToken;
pub use visitor::Visitor;
