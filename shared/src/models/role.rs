//! Roles are stored; scopes are issued from them; handlers ask for scopes only.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a person is in this house. Each role has the scopes of the one before, and more.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    #[default]
    User,
    Moderator,
    Manager,
    Admin,
}

/// What a token allows, written `resource:action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    UsersRead,
    UsersWrite,
    UsersDelete,
    ItemsRead,
    ItemsWrite,
    ItemsDelete,
    ItemsManage,
    OrdersRead,
    OrdersWrite,
    OrdersManage,
    AdminAll,
    /// To ask what a token is worth (RFC 7662); no role's, for service clients only.
    TokensIntrospect,
}

/// Each role has the scopes of the one before, so one list serves them all: three for users, three more for
/// moderators, three more for managers, and the rest for administrators.
const BY_ROLE: [Scope; 11] = [
    Scope::ItemsRead,
    Scope::ItemsWrite,
    Scope::OrdersWrite,
    Scope::UsersRead,
    Scope::ItemsDelete,
    Scope::ItemsManage,
    Scope::UsersWrite,
    Scope::OrdersRead,
    Scope::OrdersManage,
    Scope::UsersDelete,
    Scope::AdminAll,
];

impl Scope {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        BY_ROLE.into_iter().chain([Self::TokensIntrospect])
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::all().find(|scope| scope.as_str() == name)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::UsersRead => "users:read",
            Self::UsersWrite => "users:write",
            Self::UsersDelete => "users:delete",
            Self::ItemsRead => "items:read",
            Self::ItemsWrite => "items:write",
            Self::ItemsDelete => "items:delete",
            Self::ItemsManage => "items:manage",
            Self::OrdersRead => "orders:read",
            Self::OrdersWrite => "orders:write",
            Self::OrdersManage => "orders:manage",
            Self::AdminAll => "admin:all",
            Self::TokensIntrospect => "tokens:introspect",
        }
    }
}

impl Role {
    pub const ALL: [Self; 4] = [Self::User, Self::Moderator, Self::Manager, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Moderator => "moderator",
            Self::Manager => "manager",
            Self::Admin => "admin",
        }
    }

    /// The scopes that a token of this role carries.
    pub fn scopes(self) -> &'static [Scope] {
        let count = match self {
            Self::User => 3,
            Self::Moderator => 6,
            Self::Manager => 9,
            Self::Admin => 11,
        };
        &BY_ROLE[..count]
    }

    /// The scopes as the `scope` claim has them: separated by spaces (RFC 6749, section 3.3).
    pub fn scope_claim(self) -> String {
        let names: Vec<_> = self.scopes().iter().map(|scope| scope.as_str()).collect();
        names.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_adds_what_it_is_for() {
        let has = |role: Role, scope| role.scopes().contains(&scope);
        assert!(has(Role::User, Scope::ItemsWrite) && !has(Role::User, Scope::UsersRead));
        assert!(
            has(Role::Moderator, Scope::ItemsManage) && !has(Role::Moderator, Scope::UsersWrite)
        );
        assert!(has(Role::Manager, Scope::OrdersManage) && !has(Role::Manager, Scope::UsersDelete));
        assert_eq!(Role::Admin.scopes().last(), Some(&Scope::AdminAll));
    }
}
