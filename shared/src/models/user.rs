//! A user, as the house knows them. Holds no secret: the password hash lives in the vault table.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::text::{Email, Name, Phone, Username, Website};
use super::{Role, time};
use crate::ids;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    pub id: Uuid,
    pub email: Email,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<Username>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_name: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_name: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Phone>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub website: Option<Website>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_id: Option<Uuid>,
    pub role: Role,
    pub is_active: bool,
    pub is_verified: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The address that the user wants instead, until it is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_email: Option<Email>,
    /// When the user was deleted; what is left is being erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// How often all sessions were ended at once.
    #[serde(default)]
    pub session_epoch: u64,
    /// The one that was kept the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_kept: Option<Uuid>,
    /// Counts the changes; a writer names the version it has read, and loses if it is not the newest.
    pub version: u64,
}

impl User {
    /// A new, active, unverified user of the role `user`, known by an e-mail address only.
    pub fn new(email: Email) -> Self {
        let now = time::now();
        Self {
            id: ids::new(),
            email,
            username: None,
            first_name: None,
            last_name: None,
            full_name: None,
            desired_name: None,
            phone: None,
            website: None,
            avatar_id: None,
            role: Role::User,
            is_active: true,
            is_verified: false,
            created_at: now,
            updated_at: now,
            pending_email: None,
            deleted_at: None,
            session_epoch: 0,
            session_kept: None,
            version: 1,
        }
    }

    /// Whether a session has ended with all the others: it began in an epoch before this one. One write ends them all,
    /// and each request sees it, because it reads the user anyway. Counted and not timed, because clocks differ.
    pub fn has_ended(&self, session: Uuid, epoch: u64) -> bool {
        epoch < self.session_epoch && self.session_kept != Some(session)
    }

    pub fn is_deleted(&self) -> bool {
        self.deleted_at.is_some()
    }

    /// Whether this is one of those who can do everything, and of whom one must be left.
    pub fn is_active_admin(&self) -> bool {
        self.role == Role::Admin && self.is_active && !self.is_deleted()
    }

    /// Gives a user without a full name the one that first and last name make.
    pub fn complete_full_name(&mut self) {
        if self.full_name.is_none() {
            self.full_name = Name::join(self.first_name.as_ref(), self.last_name.as_ref());
        }
    }

    /// How to address this person in a mail.
    ///
    /// A mail goes to an address that may not be theirs: whoever registers it chooses the name. So a name that mail
    /// programs could make a link of, or that is longer than names are, is not repeated.
    pub fn greeting(&self) -> &str {
        let named = [&self.desired_name, &self.first_name, &self.full_name];
        let name = named.into_iter().flatten().next().map(Name::as_str);
        name.filter(|name| is_harmless(name)).unwrap_or("there")
    }
}

fn is_harmless(name: &str) -> bool {
    let is_short = name.chars().count() <= 50;
    // `evil.example`, but neither `Dr. Who` nor `J.R.`
    let like_a_domain = |word: &str| {
        let after = word.trim_end_matches('.').rsplit_once('.');
        after.is_some_and(|(_, after)| after.chars().count() > 1)
    };
    is_short && !name.contains(['/', ':', '@', '\\']) && !name.split(' ').any(like_a_domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_holds_no_link() {
        let greeting = |name: &str| {
            let mut user = User::new(Email::parse("ada@example.com").unwrap());
            user.first_name = Some(Name::parse(name).unwrap());
            user.greeting().to_owned()
        };
        for name in ["Ada", "Dr. Who", "J.R.R.", "Anne-Marie d'Arc", "Ада"] {
            assert_eq!(greeting(name), name);
        }
        let long = "you have won ".repeat(5);
        for name in [
            "https://evil.example",
            "see evil.example now",
            "evil.example.",
            "a@evil",
            long.trim(),
        ] {
            assert_eq!(greeting(name), "there", "{name}");
        }
    }
}
