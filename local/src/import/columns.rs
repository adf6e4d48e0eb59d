//! What the tables and columns of an application are usually called.

use std::collections::BTreeSet;

use serde::Serialize;

/// The tables that are brought over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    Users,
    Items,
}

impl Table {
    /// In the order in which they come: items have owners.
    pub const ALL: [Self; 2] = [Self::Users, Self::Items];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Items => "items",
        }
    }

    /// What it may be called in a source, the usual name first.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Users => &["users", "user", "accounts", "account"],
            Self::Items => &["items", "item", "products", "product"],
        }
    }

    fn fields(self) -> &'static [(&'static str, &'static [&'static str])] {
        match self {
            Self::Users => USERS,
            Self::Items => ITEMS,
        }
    }
}

/// What is known of a user, and what else its column may be called, beside the same in other spelling.
const USERS: &[(&str, &[&str])] = &[
    ("id", &["user_id", "uuid"]),
    ("email", &["email_address", "mail"]),
    ("username", &["login"]),
    ("hashed_password", &["password_hash", "password"]),
    ("first_name", &["given_name", "forename"]),
    ("last_name", &["family_name", "surname"]),
    ("full_name", &["name", "display_name"]),
    ("desired_name", &["nickname", "preferred_name"]),
    ("phone", &["phone_number", "telephone", "mobile"]),
    ("website", &["homepage", "url"]),
    ("role", &["user_role"]),
    ("is_superuser", &["superuser", "is_admin"]),
    ("is_active", &["active", "enabled"]),
    ("is_disabled", &["disabled"]),
    (
        "is_verified",
        &["verified", "email_verified", "is_email_verified"],
    ),
    ("created_at", &["created", "created_on", "date_joined"]),
    ("updated_at", &["updated", "updated_on", "modified_at"]),
    ("deleted_at", &["deleted", "is_deleted"]),
];

const ITEMS: &[(&str, &[&str])] = &[
    ("id", &["item_id", "uuid"]),
    ("owner_id", &["user_id", "owner", "seller_id"]),
    ("title", &["name"]),
    ("description", &[]),
    ("price", &["unit_price"]),
    ("discount_price", &["discounted_price", "sale_price"]),
    ("tax", &["tax_rate", "vat"]),
    ("status", &["state"]),
    ("is_active", &["active", "enabled"]),
    ("stock", &["quantity", "stock_quantity"]),
    ("tags", &["labels", "keywords"]),
    ("created_at", &["created", "created_on"]),
    ("updated_at", &["updated", "updated_on", "modified_at"]),
    ("deleted_at", &["deleted", "is_deleted"]),
];

/// Which columns are read, and as what; and which are left out.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Columns {
    /// The place of each column that is read among all of them, and its field.
    pub(super) read: Vec<(usize, &'static str)>,
    pub(super) left_out: BTreeSet<String>,
}

impl Columns {
    /// Of several columns that mean the same, the one with the more usual name is read.
    pub(super) fn choose<S: AsRef<str>>(table: Table, columns: &[S]) -> Self {
        let spelt: Vec<String> = columns.iter().map(|c| bare(c.as_ref())).collect();
        let find = |name: &str| spelt.iter().position(|column| *column == bare(name));
        let of_field = |(field, others): &(&'static str, &[&str])| {
            let at = find(field).or_else(|| others.iter().find_map(|other| find(other)))?;
            Some((at, *field))
        };
        let read: Vec<_> = table.fields().iter().filter_map(of_field).collect();
        let is_read = |at: usize| read.iter().any(|(read, _)| *read == at);
        let left_out = columns.iter().enumerate().filter(|(at, _)| !is_read(*at));
        Self {
            left_out: left_out.map(|(_, name)| name.as_ref().to_owned()).collect(),
            read,
        }
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.read.iter().any(|(_, read)| *read == field)
    }
}

/// A name without what differs by taste: `createdAt` is `created_at`.
fn bare(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_known_by_usual_names() {
        let columns = ["ID", "name", "createdAt", "title", "User-Id", "colour"];
        let chosen = Columns::choose(Table::Items, &columns);
        assert_eq!(
            chosen.read,
            [(0, "id"), (4, "owner_id"), (3, "title"), (2, "created_at")]
        );
        assert_eq!(Vec::from_iter(chosen.left_out), ["colour", "name"]);

        let chosen = Columns::choose(Table::Users, &["password", "hashed_password", "name"]);
        assert_eq!(chosen.read, [(1, "hashed_password"), (2, "full_name")]);
        assert!(chosen.has("full_name") && !chosen.has("email"));
    }
}
