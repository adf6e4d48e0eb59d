//! Settings that are changed while everything runs, and feature flags: what they can be, and whom a flag is on for.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::item::Description;
use super::text::{Invalid, check_length, clean, parsed_text};
use super::{Role, User};

/// The most characters of a string.
const LONGEST_STRING: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    pub key: SettingKey,
    #[serde(flatten)]
    pub value: SettingValue,
    /// Whether everybody may see it.
    pub is_public: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    pub updated_at: Timestamp,
    pub updated_by: Uuid,
    /// Counts the changes.
    pub version: u64,
}

/// The name of a setting: 1 to 64 of `a-z 0-9 _ . -`, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 64, pattern = "^[a-z][a-z0-9_.-]*$")]
#[schema(example = "new_checkout")]
pub struct SettingKey(String);

parsed_text!(SettingKey);

impl SettingKey {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        check_length(text, 1, 64)?;
        let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '.' | '-');
        match text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(allowed) {
            true => Ok(Self(text.to_owned())),
            false => {
                let message =
                    "must begin with a letter, and may hold a to z, digits, '_', '.' and '-' only";
                Err(Invalid::new("invalid_character", message))
            }
        }
    }
}

/// What a setting is, which stays for as long as it is there: whoever reads it relies on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettingType {
    Boolean,
    /// From -2^53 to 2^53, so that JavaScript can read it.
    Integer,
    Number,
    /// Up to 1,000 characters.
    String,
    Flag,
}

/// A setting's type and value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum SettingValue {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    String(String),
    Flag(Flag),
}

/// A feature that is on for some: for nobody if it is not `enabled`; else for everybody in one of the `roles`, and for so
/// many percent of all users. A user who has it keeps it while the percentage grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Flag {
    pub enabled: bool,
    /// 100 without `roles`, and 0 with them, unless sent. Who is not signed in has what all have.
    #[schema(minimum = 0, maximum = 100, example = 25)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentage: Option<u8>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
}

const LARGEST_INTEGER: i64 = 1 << 53;

impl SettingValue {
    /// What was sent as a value of this type.
    pub fn of(kind: SettingType, value: Value) -> Result<Self, Invalid> {
        let wrong = |rule: &str| Invalid::new("invalid_type", format!("must be {rule}"));
        match kind {
            SettingType::Boolean => {
                let value = value.as_bool().ok_or_else(|| wrong("true or false"))?;
                Ok(Self::Boolean(value))
            }
            SettingType::Integer => {
                let value = value.as_i64().ok_or_else(|| wrong("a whole number"))?;
                match value.abs() <= LARGEST_INTEGER {
                    true => Ok(Self::Integer(value)),
                    false => Err(Invalid::new("out_of_range", "must be within 2^53")),
                }
            }
            SettingType::Number => {
                let value = value.as_f64().ok_or_else(|| wrong("a number"))?;
                Ok(Self::Number(value))
            }
            SettingType::String => {
                let value = value.as_str().ok_or_else(|| wrong("a string"))?;
                let value = clean(value);
                check_length(&value, 0, LONGEST_STRING)?;
                Ok(Self::String(value))
            }
            SettingType::Flag => {
                let flag: Flag = serde_json::from_value(value).map_err(|error| {
                    Invalid::new("invalid_value", format!("must be a flag: {error}"))
                })?;
                match flag.percentage {
                    Some(101..) => {
                        let message = "must have a percentage from 0 to 100";
                        Err(Invalid::new("out_of_range", message))
                    }
                    _ => Ok(Self::Flag(flag)),
                }
            }
        }
    }

    pub fn kind(&self) -> SettingType {
        match self {
            Self::Boolean(_) => SettingType::Boolean,
            Self::Integer(_) => SettingType::Integer,
            Self::Number(_) => SettingType::Number,
            Self::String(_) => SettingType::String,
            Self::Flag(_) => SettingType::Flag,
        }
    }

    /// The value alone, as JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Boolean(value) => json!(value),
            Self::Integer(value) => json!(value),
            Self::Number(value) => json!(value),
            Self::String(value) => json!(value),
            Self::Flag(flag) => json!(flag),
        }
    }
}

impl Flag {
    /// Whether it is on for this user, or for somebody who is not signed in. `key` is its name: each flag has other users
    /// among its first percent.
    pub fn is_on(&self, key: &SettingKey, user: Option<&User>) -> bool {
        if !self.enabled {
            return false;
        }
        let otherwise = if self.roles.is_empty() { 100 } else { 0 };
        let percentage = self.percentage.unwrap_or(otherwise);
        match user {
            None => percentage >= 100,
            Some(user) => self.roles.contains(&user.role) || bucket(key, user.id) < percentage,
        }
    }
}

/// Where a user stands among a hundred, for a flag.
fn bucket(key: &SettingKey, user: Uuid) -> u8 {
    let hash = digest(&SHA256, format!("{key}:{user}").as_bytes());
    let mut number = [0; 8];
    number.copy_from_slice(&hash.as_ref()[..8]);
    // Eight bytes are so many that no percent is likelier than another.
    u8::try_from(u64::from_be_bytes(number) % 100).unwrap_or_default()
}

/// All settings, as they were read.
#[derive(Clone, Debug, Default)]
pub struct Settings(BTreeMap<String, Setting>);

impl Settings {
    pub fn new(settings: Vec<Setting>) -> Self {
        let by_key = settings
            .into_iter()
            .map(|setting| (setting.key.to_string(), setting));
        Self(by_key.collect())
    }

    /// In the order of their names.
    pub fn all(&self) -> impl Iterator<Item = &Setting> {
        self.0.values()
    }

    /// Whether a flag is on for somebody. One that is not there is off, and so is what is no flag.
    pub fn is_on(&self, key: &str, user: Option<&User>) -> bool {
        match self.get(key) {
            Some(Setting {
                key,
                value: SettingValue::Flag(flag),
                ..
            }) => flag.is_on(key, user),
            _ => false,
        }
    }

    /// The setting of this name, if there is one.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.0.get(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::text::Email;

    fn key(text: &str) -> SettingKey {
        SettingKey::parse(text).unwrap()
    }

    fn user(role: Role) -> User {
        User {
            role,
            ..User::new(Email::parse("ada@example.com").unwrap())
        }
    }

    fn flag(json: Value) -> Flag {
        match SettingValue::of(SettingType::Flag, json) {
            Ok(SettingValue::Flag(flag)) => flag,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_value_is_of_its_type() {
        let check = |kind, value: Value, expected: Result<Value, &str>| {
            let found = SettingValue::of(kind, value.clone());
            let found = found
                .map(|value| value.to_json())
                .map_err(|wrong| wrong.code);
            assert_eq!(found, expected, "{kind:?} {value}");
        };
        check(SettingType::Boolean, json!(true), Ok(json!(true)));
        check(SettingType::Boolean, json!("true"), Err("invalid_type"));
        check(SettingType::Integer, json!(-7), Ok(json!(-7)));
        check(SettingType::Integer, json!(1.5), Err("invalid_type"));
        check(
            SettingType::Integer,
            json!(LARGEST_INTEGER + 1),
            Err("out_of_range"),
        );
        check(SettingType::Number, json!(1.5), Ok(json!(1.5)));
        check(SettingType::Number, json!(null), Err("invalid_type"));
        check(SettingType::String, json!(" a "), Ok(json!("a")));
        check(
            SettingType::String,
            json!("a\u{7}"),
            Err("invalid_character"),
        );
        check(
            SettingType::String,
            json!("a".repeat(1_001)),
            Err("too_long"),
        );
        let half = json!({"enabled": true, "percentage": 50});
        check(SettingType::Flag, half.clone(), Ok(half));
        check(SettingType::Flag, json!(true), Err("invalid_value"));
        check(
            SettingType::Flag,
            json!({"enabled": true, "percentage": 101}),
            Err("out_of_range"),
        );
        check(
            SettingType::Flag,
            json!({"enabled": true, "who": 1}),
            Err("invalid_value"),
        );
    }

    #[test]
    fn a_setting_is_read_as_it_was_stored() {
        for value in [
            SettingValue::Boolean(true),
            SettingValue::Integer(-3),
            SettingValue::Number(0.25),
            SettingValue::Number(2.0),
            SettingValue::String("x".to_owned()),
            SettingValue::Flag(flag(json!({"enabled": true, "roles": ["manager"]}))),
        ] {
            let setting = Setting {
                key: key("a"),
                value,
                is_public: true,
                description: None,
                updated_at: Timestamp::UNIX_EPOCH,
                updated_by: Uuid::nil(),
                version: 1,
            };
            let stored: serde_dynamo::Item = serde_dynamo::to_item(&setting).unwrap();
            assert_eq!(
                serde_dynamo::from_item::<_, Setting>(stored).unwrap(),
                setting
            );
        }
    }

    #[test]
    fn names_are_plain() {
        for good in ["a", "new_checkout", "ui.theme-2"] {
            assert!(SettingKey::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "1a", "a b", "a/b", "é", &"a".repeat(65)] {
            assert!(SettingKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_flag_is_on_for_some() {
        let (ada, boss) = (user(Role::User), user(Role::Manager));
        let check = |json: Value, expected: [bool; 3]| {
            let flag = flag(json.clone());
            let on = [None, Some(&ada), Some(&boss)].map(|user| flag.is_on(&key("f"), user));
            assert_eq!(on, expected, "{json}");
        };
        check(json!({"enabled": false}), [false, false, false]);
        check(
            json!({"enabled": false, "percentage": 100, "roles": ["manager"]}),
            [false, false, false],
        );
        check(json!({"enabled": true}), [true, true, true]);
        check(
            json!({"enabled": true, "percentage": 0}),
            [false, false, false],
        );
        check(
            json!({"enabled": true, "roles": ["manager"]}),
            [false, false, true],
        );
        check(
            json!({"enabled": true, "roles": ["manager"], "percentage": 100}),
            [true, true, true],
        );
    }

    #[test]
    fn a_percentage_is_of_users_and_grows() {
        let users: Vec<_> = (0..2_000).map(|_| user(Role::User)).collect();
        let on = |name: &str, percentage: u8| {
            let flag = flag(json!({"enabled": true, "percentage": percentage}));
            let on = users.iter().map(|user| flag.is_on(&key(name), Some(user)));
            on.collect::<Vec<_>>()
        };
        let (few, many) = (on("f", 25), on("f", 60));
        let count = few.iter().filter(|on| **on).count();
        assert!(
            (400..600).contains(&count),
            "{count} of 2000 are not a quarter"
        );
        assert!(
            few.iter().zip(&many).all(|(few, many)| !few || *many),
            "somebody has lost it"
        );
        assert_ne!(few, on("g", 25), "each flag has other users first");
        assert_eq!(few, on("f", 25), "and always the same");
    }
}
