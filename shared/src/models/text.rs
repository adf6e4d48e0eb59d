//! Texts that keep a rule: once parsed, the type is the proof.
//!
//! Each type is made by `parse`, which trims and normalises to NFC first, and refuses with an [`Invalid`].
//! Deserializing calls `parse`, so a request body of these types is valid when it exists.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use utoipa::ToSchema;

/// Why a text was refused: a code to branch on, and a message that completes "the field …".
///
/// Printed as `[code] message`, so that it survives the way through serde; see `http::body`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub code: &'static str,
    pub message: String,
}

impl Invalid {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.code, self.message)
    }
}

impl std::error::Error for Invalid {}

/// Trimmed and in Unicode normal form C.
pub(super) fn clean(text: &str) -> String {
    text.trim().nfc().collect()
}

/// Refuses a text that is shorter or longer, counted in characters, or that holds control characters.
pub(super) fn check_length(text: &str, least: usize, most: usize) -> Result<(), Invalid> {
    let length = text.chars().count();
    if length < least {
        let message = match least {
            1 => "must not be empty".to_owned(),
            _ => format!("must have at least {least} characters"),
        };
        return Err(Invalid::new("too_short", message));
    }
    if length > most {
        let message = format!("must have at most {most} characters");
        return Err(Invalid::new("too_long", message));
    }
    if text.chars().any(char::is_control) {
        let message = "must not contain control characters";
        return Err(Invalid::new("invalid_character", message));
    }
    Ok(())
}

/// Gives a text type its conversions; the type itself only brings `parse`.
macro_rules! parsed_text {
    ($type:ident) => {
        impl $type {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::parse(&text)
            }
        }

        impl From<$type> for String {
            fn from(text: $type) -> String {
                text.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

pub(super) use parsed_text;

/// An e-mail address: at most 255 characters, kept in lower case, so that it is unique whatever its case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, format = "email", max_length = 255, example = "ada@example.com")]
pub struct Email(String);

parsed_text!(Email);

impl Email {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        // Lower-casing first, because it can undo the normal form.
        let text = clean(&text.to_lowercase());
        check_length(&text, 1, 255)?;
        let options = email_address::Options::default()
            .with_required_tld()
            .without_display_text()
            .without_domain_literal();
        match email_address::EmailAddress::parse_with_options(&text, options) {
            Ok(_) => Ok(Self(text)),
            Err(_) => Err(Invalid::new("invalid_email", "must be an e-mail address")),
        }
    }
}

/// A user name: 3 to 50 of `A-Z a-z 0-9 _ -`; unique whatever its case, shown as it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 3, max_length = 50, pattern = "^[A-Za-z0-9_-]+$", example = "ada")]
pub struct Username(String);

parsed_text!(Username);

impl Username {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = clean(text);
        check_length(&text, 3, 50)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !text.chars().all(allowed) {
            let message = "may hold letters A to Z, digits, '_' and '-' only";
            return Err(Invalid::new("invalid_character", message));
        }
        Ok(Self(text))
    }

    /// The form that must be unique.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

/// What a person signs in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginName {
    Email(Email),
    Username(Username),
}

impl LoginName {
    /// The form that is the same for all ways to write it.
    pub fn folded(&self) -> String {
        match self {
            Self::Email(email) => email.to_string(),
            Self::Username(username) => username.folded(),
        }
    }

    /// An e-mail address if it has an `@`, else a user name. `None` for what can be neither.
    pub fn parse(text: &str) -> Option<Self> {
        match text.contains('@') {
            true => Email::parse(text).ok().map(Self::Email),
            false => Username::parse(text).ok().map(Self::Username),
        }
    }
}

/// A person's name: 1 to 100 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 100, example = "Ada")]
pub struct Name(String);

parsed_text!(Name);

impl Name {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = clean(text);
        check_length(&text, 1, 100)?;
        Ok(Self(text))
    }

    /// "First Last", when at least one is known; cut to what a name may be.
    pub fn join(first: Option<&Name>, last: Option<&Name>) -> Option<Name> {
        let parts: Vec<_> = first.into_iter().chain(last).map(Name::as_str).collect();
        let full: String = parts.join(" ").chars().take(100).collect();
        Name::parse(&full).ok()
    }
}

/// A phone number: 7 to 15 digits (E.164) after separators are taken out; a leading `+` is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "+49 30 1234567")]
pub struct Phone(String);

parsed_text!(Phone);

impl Phone {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = clean(text);
        let separator = |c: char| matches!(c, ' ' | '-' | '.' | '/' | '(' | ')');
        let bare: String = text.chars().filter(|c| !separator(*c)).collect();
        let digits = bare.strip_prefix('+').unwrap_or(&bare);
        if !(7..=15).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            let message = "must be a phone number of 7 to 15 digits";
            return Err(Invalid::new("invalid_phone", message));
        }
        Ok(Self(bare))
    }
}

/// A web page over http or https, at most 2,048 characters; without a scheme it gets `https://`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, max_length = 2048, example = "https://example.com")]
pub struct Website(String);

parsed_text!(Website);

impl Website {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refused = || Invalid::new("invalid_url", "must be an http or https address");
        let mut text = clean(text);
        check_length(&text, 1, 2048)?;
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        if !scheme.is_some_and(|scheme| scheme.bytes().all(|b| b.is_ascii_alphanumeric())) {
            text = format!("https://{text}");
            check_length(&text, 1, 2048)?;
        }
        let url = url::Url::parse(&text).map_err(|_| refused())?;
        let named = url.host_str().is_some_and(|host| host.contains('.'));
        let plain = url.username().is_empty() && url.password().is_none();
        match matches!(url.scheme(), "http" | "https") && named && plain {
            true => Ok(Self(text)),
            false => Err(refused()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Each case is an input with what becomes of it: `Ok` text or `Err` code. What was parsed once must be
    /// parsed again as it is, because that is how it comes back from the table.
    pub(in crate::models) fn check<T: ToString>(
        parse: impl Fn(&str) -> Result<T, Invalid>,
        cases: &[(&str, Result<&str, &str>)],
    ) {
        for (input, expected) in cases {
            let found = parse(input).map(|t| t.to_string()).map_err(|e| e.code);
            assert_eq!(found, expected.map(str::to_owned), "for {input:?}");
            if let Ok(parsed) = found {
                let again = parse(&parsed).map(|t| t.to_string());
                assert_eq!(again.as_deref(), Ok(parsed.as_str()), "for {input:?}");
            }
        }
    }

    #[test]
    fn emails() {
        let long = format!("{}@example.com", "a".repeat(250));
        check(
            Email::parse,
            &[
                (" Ada@Example.COM ", Ok("ada@example.com")),
                ("J\u{30c}@example.com", Ok("\u{1f0}@example.com")),
                ("a+b@sub.example.org", Ok("a+b@sub.example.org")),
                ("", Err("too_short")),
                ("ada", Err("invalid_email")),
                ("ada@", Err("invalid_email")),
                ("ada@localhost", Err("invalid_email")),
                ("ada@[127.0.0.1]", Err("invalid_email")),
                ("Ada <ada@example.com>", Err("invalid_email")),
                ("a b@example.com", Err("invalid_email")),
                ("a\u{0}b@example.com", Err("invalid_character")),
                (&long, Err("too_long")),
            ],
        );
    }

    #[test]
    fn usernames() {
        let long = "a".repeat(51);
        check(
            Username::parse,
            &[
                ("Ada_L-1", Ok("Ada_L-1")),
                ("ab", Err("too_short")),
                (&long, Err("too_long")),
                ("ada lovelace", Err("invalid_character")),
                ("ädä", Err("invalid_character")),
            ],
        );
    }

    #[test]
    fn names_are_trimmed_and_composed() {
        check(
            Name::parse,
            &[
                ("  Ada  ", Ok("Ada")),
                ("Andre\u{301}", Ok("André")),
                ("李", Ok("李")),
                ("   ", Err("too_short")),
                ("a\nb", Err("invalid_character")),
            ],
        );
        let (ada, lovelace) = (
            Name::parse("Ada").unwrap(),
            Name::parse("Lovelace").unwrap(),
        );
        let full = Name::join(Some(&ada), Some(&lovelace)).unwrap();
        assert_eq!(full.as_str(), "Ada Lovelace");
        assert_eq!(Name::join(None, None), None);
    }

    #[test]
    fn phones() {
        check(
            Phone::parse,
            &[
                ("+49 (30) 123-45.67", Ok("+49301234567")),
                ("1234567", Ok("1234567")),
                ("123456", Err("invalid_phone")),
                ("1234567890123456", Err("invalid_phone")),
                ("12345678a", Err("invalid_phone")),
                ("1+2345678", Err("invalid_phone")),
            ],
        );
    }

    #[test]
    fn websites() {
        let long = "x.".repeat(1_022);
        check(
            Website::parse,
            &[
                ("example.com/me", Ok("https://example.com/me")),
                ("http://example.com", Ok("http://example.com")),
                ("javascript:alert(1)", Err("invalid_url")),
                ("ftp://example.com", Err("invalid_url")),
                ("https://user:pw@example.com", Err("invalid_url")),
                ("nowhere", Err("invalid_url")),
                (
                    "example.com/?u=http://x.org",
                    Ok("https://example.com/?u=http://x.org"),
                ),
                (&long, Err("too_long")),
                ("", Err("too_short")),
            ],
        );
    }
}
