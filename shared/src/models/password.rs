//! What a password may be. Hashing is in `auth::passwords`.

use serde::Deserialize;
use utoipa::ToSchema;

use super::text::{Email, Invalid};

/// A password that a person may choose: 8 to 128 characters with an upper-case letter, a lower-case letter
/// and a digit, and not one of the common passwords that ship with the code. Never printed.
#[derive(Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, format = "password", min_length = 8, max_length = 128, example = "Correct-horse-7")]
pub struct NewPassword(String);

impl NewPassword {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let length = text.chars().count();
        if length < 8 {
            return Err(Invalid::new("too_short", "must have at least 8 characters"));
        }
        if length > 128 {
            return Err(Invalid::new("too_long", "must have at most 128 characters"));
        }
        let has = |kind: fn(char) -> bool| text.chars().any(kind);
        if !(has(char::is_uppercase) && has(char::is_lowercase) && has(|c| c.is_ascii_digit())) {
            return Err(Invalid::new(
                "too_simple",
                "must have an upper-case letter, a lower-case letter and a digit",
            ));
        }
        if is_common(text) {
            return Err(Invalid::new(
                "too_common",
                "is one of the most used passwords",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Refuses a password that is the account's own e-mail address.
    pub fn differs_from(&self, email: &Email) -> Result<(), Invalid> {
        match self.0.trim().to_lowercase() == email.as_str() {
            true => Err(Invalid::new("too_simple", "must not be the e-mail address")),
            false => Ok(()),
        }
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NewPassword {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl std::fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewPassword(***)")
    }
}

/// The list is sorted and in lower case, and holds only what the other rules would let through.
static COMMON: &str = include_str!("common_passwords.txt");

fn is_common(password: &str) -> bool {
    let password = password.to_lowercase();
    COMMON.lines().any(|common| common == password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let long = format!("Aa1{}", "x".repeat(126));
        let cases = [
            ("Correct-horse-7", Ok(())),
            ("Pässwörd-αβγ-1", Ok(())),
            ("Short-1", Err("too_short")),
            (&long, Err("too_long")),
            ("all-lower-case-1", Err("too_simple")),
            ("ALL-UPPER-CASE-1", Err("too_simple")),
            ("No-digits-here", Err("too_simple")),
            ("Password1", Err("too_common")),
            ("PassWord123", Err("too_common")),
        ];
        for (input, expected) in cases {
            let found = NewPassword::parse(input).map(drop).map_err(|e| e.code);
            assert_eq!(found, expected, "for {input:?}");
        }
    }

    #[test]
    fn is_not_the_email() {
        let email = Email::parse("Ada1@example.com").unwrap();
        let password = NewPassword::parse("Ada1@Example.com").unwrap();
        assert!(password.differs_from(&email).is_err());
    }

    #[test]
    fn is_not_printed() {
        let password = NewPassword::parse("Correct-horse-7").unwrap();
        assert_eq!(format!("{password:?}"), "NewPassword(***)");
    }
}
