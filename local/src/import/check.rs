//! What a row means, by the same rules as a request of the API.

use std::collections::{HashMap, HashSet};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};
use ring::digest::{SHA256, digest};
use shared::FieldError;
use shared::auth::passwords;
use shared::config::Hidden;
use shared::models::item::{Description, Item, ItemStatus, Quantity, Tag, Tags, Title};
use shared::models::money::{Percent, Price};
use shared::models::text::{Email, Invalid, Name, Phone, Username, Website};
use shared::models::{Role, User};
use shared::store::import::Newcomer;
use uuid::{Builder, Uuid};

use super::columns::Table;
use super::source::Row;

/// What is known of the rows before: it grows with the source, by a few dozen bytes a row. That each run learns it anew
/// makes the first of two rows with the same name the same one each time.
pub(super) struct Checker {
    namespace: String,
    now: Timestamp,
    has_users: bool,
    /// The keys and the unique names of the rows so far, by their hashes.
    taken: HashSet<u128>,
    /// The users who have a key that is no UUID.
    users: HashMap<String, Uuid>,
}

/// A row that was read.
pub(super) struct Checked<T> {
    pub(super) key: String,
    /// Or every field that is wrong, and why.
    pub(super) thing: Result<T, Vec<FieldError>>,
    /// What it comes without.
    pub(super) lost: Vec<FieldError>,
}

impl Checker {
    pub(super) fn new(namespace: &str, now: Timestamp, has_users: bool) -> Self {
        Self {
            namespace: namespace.to_owned(),
            now: now.round(Unit::Millisecond).unwrap_or(now),
            has_users,
            taken: HashSet::new(),
            users: HashMap::new(),
        }
    }

    pub(super) fn user(&mut self, row: &Row) -> Checked<Newcomer> {
        let mut fields = Fields::of(row);
        let id = self.id(&mut fields, Table::Users);
        let email = fields.required("email", Email::parse);
        let username = fields.optional("username", Username::parse);
        let hash = row.values.get("hashed_password");
        let kept = hash.filter(|hash| passwords::can_be_kept(hash));
        let is_active = fields.optional("is_active", boolean);
        let is_disabled = fields.optional("is_disabled", boolean);
        let role = fields.optional("role", role).unwrap_or_default();
        let is_superuser = fields.optional("is_superuser", boolean);
        let created_at = fields.time("created_at").unwrap_or(self.now);
        // What is checked after this would be left out where an address is missing.
        let details = User {
            username,
            first_name: fields.optional("first_name", Name::parse),
            last_name: fields.optional("last_name", Name::parse),
            full_name: fields.optional("full_name", Name::parse),
            desired_name: fields.optional("desired_name", Name::parse),
            phone: fields.optional("phone", Phone::parse),
            website: fields.optional("website", Website::parse),
            role: match is_superuser {
                Some(true) => Role::Admin,
                _ => role,
            },
            is_active: is_active.unwrap_or(true) && is_disabled != Some(true),
            is_verified: fields.optional("is_verified", boolean).unwrap_or(false),
            created_at,
            updated_at: fields
                .time("updated_at")
                .unwrap_or(created_at)
                .max(created_at),
            ..User::new(email.clone().unwrap_or_else(nobody))
        };
        fields.refuse_deleted();
        let mut names = Vec::new();
        names.extend(email.as_ref().map(|email| ("email", email.to_string())));
        let username = details.username.as_ref();
        names.extend(username.map(|username| ("username", username.folded())));
        self.refuse_taken(&mut fields, Table::Users, &names);
        let (key, thing) = fields.end();
        let thing = thing.map(|()| {
            let id = id.unwrap_or_default();
            if Uuid::parse_str(&key).is_err() {
                self.users.insert(key.clone(), id);
            }
            self.take(Table::Users, &key, &names);
            let mut user = User { id, ..details };
            user.complete_full_name();
            Newcomer {
                user,
                password_hash: kept.cloned().map(Hidden::new),
            }
        });
        let lost = (hash.is_some() && kept.is_none()).then(|| FieldError {
            field: "hashed_password".to_owned(),
            code: "unknown_hash".to_owned(),
            message: "is neither bcrypt nor argon2id; who has it must set a new one".to_owned(),
        });
        Checked {
            key,
            thing,
            lost: lost.into_iter().collect(),
        }
    }

    pub(super) fn item(&mut self, row: &Row) -> Checked<Item> {
        let mut fields = Fields::of(row);
        let id = self.id(&mut fields, Table::Items);
        let owner = fields.required("owner_id", |key| self.owner(key));
        let title = fields.required("title", Title::parse);
        let price = fields.required("price", Price::parse_decimal);
        let description = fields.optional("description", Description::parse);
        let discount_price = fields.optional("discount_price", Price::parse_decimal);
        let tax = fields.optional("tax", Percent::parse_decimal);
        let status = fields.optional("status", status);
        let is_active = fields.optional("is_active", boolean);
        let stock = fields.optional("stock", quantity).unwrap_or_default();
        let tags = fields.optional("tags", tags).unwrap_or_default();
        let created_at = fields.time("created_at").unwrap_or(self.now);
        let updated_at = fields.time("updated_at").unwrap_or(created_at);
        fields.refuse_deleted();
        self.refuse_taken(&mut fields, Table::Items, &[]);
        let item = match (id, owner, title, price) {
            (Some(id), Some(owner), Some(title), Some(price)) => {
                let hidden = is_active == Some(false);
                let usual = if hidden {
                    ItemStatus::Inactive
                } else {
                    ItemStatus::Active
                };
                Some(Item {
                    id,
                    description,
                    discount_price,
                    tax: tax.unwrap_or_default(),
                    status: status.unwrap_or(usual),
                    stock: stock.get(),
                    tags: tags.into(),
                    created_at,
                    updated_at: updated_at.max(created_at),
                    ..Item::new(owner, title, price)
                })
            }
            _ => None,
        };
        let wrong = item.as_ref().map(Item::check);
        if let Some(Err(wrong)) = wrong {
            for (field, why) in wrong {
                fields.refuse(field, why);
            }
        }
        let (key, thing) = fields.end();
        let thing = match (thing, item) {
            (Ok(()), Some(item)) => {
                self.take(Table::Items, &key, &[]);
                Ok(item)
            }
            (Err(wrong), _) => Err(wrong),
            // One of the four is missing, which is told.
            (Ok(()), None) => Err(Vec::new()),
        };
        Checked {
            key,
            thing,
            lost: Vec::new(),
        }
    }

    /// A UUID stays what it is. Of another key, and the time at which the row was made, comes the same id each time.
    /// Without that time, it is older than all others.
    fn id(&self, fields: &mut Fields, table: Table) -> Option<Uuid> {
        let made = fields.time("created_at").unwrap_or(Timestamp::UNIX_EPOCH);
        fields.required("id", |key| match Uuid::parse_str(key) {
            Ok(id) if id.is_nil() || id.is_max() => Err(Invalid::new(
                "invalid_id",
                "must not be the same digit throughout",
            )),
            Ok(id) => Ok(id),
            Err(_) => {
                let millis = u64::try_from(made.as_millisecond()).unwrap_or_default();
                let mut tail = [0; 10];
                let hash = self.hash(table, "id", key).to_be_bytes();
                tail.copy_from_slice(&hash[..10]);
                Ok(Builder::from_unix_timestamp_millis(millis, &tail).into_uuid())
            }
        })
    }

    /// The id of a user by their key in the source.
    fn owner(&self, key: &str) -> Result<Uuid, Invalid> {
        let known = self.users.get(key).copied();
        let uuid = || Uuid::parse_str(key).ok();
        known.or_else(uuid).ok_or_else(|| {
            let message = match self.has_users {
                true => "must be the key of a user who has come over",
                false => "must be a UUID, because the source has no users",
            };
            Invalid::new("unknown_owner", message)
        })
    }

    fn refuse_taken(&self, fields: &mut Fields, table: Table, names: &[(&'static str, String)]) {
        let key = ("id", fields.key.clone());
        for (field, name) in names.iter().chain([&key]) {
            if self.taken.contains(&self.hash(table, field, name)) {
                let message = "is that of a row before";
                fields.refuse(field, Invalid::new("duplicate", message));
            }
        }
    }

    fn take(&mut self, table: Table, key: &str, names: &[(&'static str, String)]) {
        let key = ("id", key.to_owned());
        for (field, name) in names.iter().chain([&key]) {
            let hash = self.hash(table, field, name);
            self.taken.insert(hash);
        }
    }

    fn hash(&self, table: Table, field: &str, name: &str) -> u128 {
        let text = [&self.namespace, table.as_str(), field, name].join("\0");
        let mut start = [0; 16];
        start.copy_from_slice(&digest(&SHA256, text.as_bytes()).as_ref()[..16]);
        u128::from_be_bytes(start)
    }
}

/// The values of a row, and what is wrong with them.
struct Fields<'a> {
    row: &'a Row,
    /// In its usual form if it is a UUID, or where the row is if it has none.
    key: String,
    wrong: Vec<FieldError>,
}

impl<'a> Fields<'a> {
    fn of(row: &'a Row) -> Self {
        let key = row.values.get("id").unwrap_or(&row.place);
        let uuid = Uuid::parse_str(key).map(|id| id.to_string());
        let mut fields = Self {
            row,
            key: uuid.unwrap_or_else(|_| key.clone()),
            wrong: Vec::new(),
        };
        if let Some(why) = &row.broken {
            fields.refuse("", Invalid::new("unreadable", why));
        }
        fields
    }

    fn refuse(&mut self, field: &str, why: Invalid) {
        // A row that cannot be read misses nothing.
        let is_told = self
            .wrong
            .iter()
            .any(|e| e.field == field || e.code == "unreadable");
        if !is_told {
            self.wrong.push(FieldError {
                field: field.to_owned(),
                code: why.code.to_owned(),
                message: why.message,
            });
        }
    }

    fn optional<T>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        match parse(self.row.values.get(field)?) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                self.refuse(field, why);
                None
            }
        }
    }

    fn required<T>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        if !self.row.values.contains_key(field) {
            self.refuse(field, Invalid::new("required", "is required"));
        }
        self.optional(field, parse)
    }

    fn time(&mut self, field: &'static str) -> Option<Timestamp> {
        self.optional(field, time)
    }

    /// What was deleted in the source and is kept there all the same is not brought back.
    fn refuse_deleted(&mut self) {
        let deleted = self.row.values.get("deleted_at");
        if deleted.is_some_and(|deleted| boolean(deleted).unwrap_or(true)) {
            self.refuse(
                "deleted_at",
                Invalid::new("deleted", "says that it was deleted"),
            );
        }
    }

    fn end(self) -> (String, Result<(), Vec<FieldError>>) {
        let thing = match self.wrong.is_empty() {
            true => Ok(()),
            false => Err(self.wrong),
        };
        (self.key, thing)
    }
}

/// Stands in for an address that is missing, in what is never written.
fn nobody() -> Email {
    #[expect(clippy::expect_used, reason = "it is an address")]
    Email::parse("nobody@example.com").expect("an address")
}

fn boolean(text: &str) -> Result<bool, Invalid> {
    match text.to_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "y" => Ok(true),
        "false" | "f" | "0" | "no" | "n" => Ok(false),
        _ => Err(Invalid::new("invalid_type", "must be true or false")),
    }
}

fn role(text: &str) -> Result<Role, Invalid> {
    let text = text.to_lowercase();
    let known = Role::ALL.into_iter().find(|role| role.as_str() == text);
    known.ok_or_else(|| {
        let message = "must be user, moderator, manager or admin";
        Invalid::new("invalid_value", message)
    })
}

fn status(text: &str) -> Result<ItemStatus, Invalid> {
    let text = text.to_lowercase();
    let known = ItemStatus::ALL
        .into_iter()
        .find(|status| status.as_str() == text);
    known.ok_or_else(|| {
        let message = "must be active, inactive or draft";
        Invalid::new("invalid_value", message)
    })
}

fn quantity(text: &str) -> Result<Quantity, Invalid> {
    let number = text.parse::<i64>();
    let no_number = |_| Invalid::new("invalid_type", "must be a whole number");
    Quantity::parse(number.map_err(no_number)?)
}

/// A JSON list, or words between commas, in braces or not.
fn tags(text: &str) -> Result<Tags, Invalid> {
    let words: Vec<String> = if text.starts_with('[') {
        let no_list = |_| Invalid::new("invalid_type", "must be a list of texts");
        serde_json::from_str(text).map_err(no_list)?
    } else {
        let inside = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        let words = inside.unwrap_or(text).split(',');
        let words = words.map(|word| word.trim().trim_matches('"').to_owned());
        words.filter(|word| !word.is_empty()).collect()
    };
    let tags: Result<Vec<_>, _> = words.iter().map(|word| Tag::parse(word)).collect();
    Tags::try_from(tags?)
}

/// A time with its offset, or one of UTC without, or seconds or milliseconds since the epoch. Cut to the millisecond,
/// and not before the epoch, because ids cannot tell that.
fn time(text: &str) -> Result<Timestamp, Invalid> {
    let since_epoch = || {
        let number: i64 = text
            .split_once('.')
            .map_or(text, |(whole, _)| whole)
            .parse()
            .ok()?;
        match number.abs() < 100_000_000_000 {
            true => Timestamp::from_second(number).ok(),
            false => Timestamp::from_millisecond(number).ok(),
        }
    };
    let naive = || {
        let time: DateTime = text.parse().ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    let time = text.parse().ok().or_else(naive).or_else(since_epoch);
    let time = time.and_then(|time: Timestamp| time.round(Unit::Millisecond).ok());
    let Some(time) = time else {
        let message = "must be a time, as 2024-05-17T09:30:00Z";
        return Err(Invalid::new("invalid_time", message));
    };
    match time >= Timestamp::UNIX_EPOCH {
        true => Ok(time),
        false => Err(Invalid::new("out_of_range", "must not be before 1970")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[(&'static str, &str)]) -> Row {
        let mut row = Row::new("row 1".to_owned());
        for (field, value) in values {
            row.set(field, value);
        }
        row
    }

    fn checker() -> Checker {
        Checker::new("", "2025-01-01T00:00:00Z".parse().unwrap(), true)
    }

    fn wrong<T>(checked: Checked<T>) -> Vec<(String, String)> {
        let wrong = checked.thing.err().unwrap_or_default().into_iter();
        wrong.map(|error| (error.field, error.code)).collect()
    }

    #[test]
    fn an_id_comes_again_from_the_key_and_the_time() {
        let user = |values: &[_]| {
            let user = checker().user(&row(values)).thing;
            user.map(|newcomer| newcomer.user).unwrap()
        };
        let email = ("email", "ada@example.com");
        let at = ("created_at", "2024-05-17 09:30:00.123456+02");
        let (one, again) = (
            user(&[("id", "7"), email, at]),
            user(&[("id", " 7 "), email, at]),
        );
        assert_eq!(one.id, again.id);
        assert_eq!(one.created_at.to_string(), "2024-05-17T07:30:00.123Z");
        let told = one.id.get_timestamp().unwrap().to_unix();
        assert_eq!(told.0, u64::try_from(one.created_at.as_second()).unwrap());
        assert_ne!(user(&[("id", "8"), email, at]).id, one.id);

        let id = "0193F4D7-1F2B-4CC0-8A3C-5D2D5A6E7F80";
        let kept = user(&[("id", id), email]);
        assert_eq!(kept.id.to_string(), id.to_lowercase());
        assert_eq!(kept.created_at.to_string(), "2025-01-01T00:00:00Z");
        let nil = checker().user(&row(&[("id", &Uuid::nil().to_string()), email]));
        assert_eq!(wrong(nil), [("id".into(), "invalid_id".into())]);
    }

    #[test]
    fn times_are_read_in_several_forms() {
        let at = |text: &str| time(text).map(|time| time.to_string()).map_err(|e| e.code);
        for text in [
            "2024-05-17T09:30:00Z",
            "2024-05-17 09:30:00",
            "2024-05-17 09:30:00+00",
            "2024-05-17T11:30:00+02:00",
            "1715938200",
            "1715938200000",
            "1715938200.5",
        ] {
            assert_eq!(at(text), Ok("2024-05-17T09:30:00Z".to_owned()), "{text}");
        }
        assert_eq!(at("2024-05-17"), Ok("2024-05-17T00:00:00Z".to_owned()));
        assert_eq!(at("yesterday"), Err("invalid_time"));
        assert_eq!(at("infinity"), Err("invalid_time"));
        assert_eq!(at("1969-12-31"), Err("out_of_range"));
    }

    #[test]
    fn tags_are_read_in_several_forms() {
        let words = |text: &str| {
            Vec::from(tags(text).unwrap())
                .iter()
                .map(Tag::to_string)
                .collect::<Vec<_>>()
        };
        for text in [
            "[\"Oak\", \"big\"]",
            "{Oak,\"big\"}",
            "big, oak",
            "oak,big,oak,",
        ] {
            assert_eq!(words(text), ["big", "oak"], "{text}");
        }
        assert!(tags("[1]").is_err() && tags("a#b").is_err());
    }

    #[test]
    fn every_wrong_field_is_told() {
        let user = row(&[
            ("id", "1"),
            ("email", "nowhere"),
            ("username", "a b"),
            ("phone", "none"),
            ("is_active", "perhaps"),
            ("role", "king"),
            ("created_at", "yesterday"),
        ]);
        let told: Vec<_> = wrong(checker().user(&user))
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        let all = [
            "created_at",
            "email",
            "username",
            "is_active",
            "role",
            "phone",
        ];
        assert_eq!(told, all);

        let item = row(&[
            ("owner_id", "1"),
            ("price", "1.999"),
            ("stock", "-1"),
            ("tax", "101"),
        ]);
        let told: Vec<_> = wrong(checker().item(&item))
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        assert_eq!(told, ["id", "owner_id", "title", "price", "tax", "stock"]);
    }

    #[test]
    fn the_first_of_two_rows_has_the_name() {
        let mut checker = checker();
        let mut told = |id, email| wrong(checker.user(&row(&[("id", id), ("email", email)])));
        let duplicate = |field: &str| vec![(field.to_owned(), "duplicate".to_owned())];
        assert_eq!(told("1", "ada@example.com"), []);
        assert_eq!(told("2", "ADA@example.com"), duplicate("email"));
        assert_eq!(told("1", "eve@example.com"), duplicate("id"));
        // Who was refused has taken nothing.
        assert_eq!(told("2", "eve@example.com"), []);
    }
}
