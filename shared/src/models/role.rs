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
}

impl Scope {
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
        }
    }
}

impl Role {
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
        use Scope::*;
        match self {
            Self::User => &[ItemsRead, ItemsWrite, OrdersWrite],
            Self::Moderator => &[
                ItemsRead,
                ItemsWrite,
                OrdersWrite,
                UsersRead,
                ItemsDelete,
                ItemsManage,
            ],
            Self::Manager => &[
                ItemsRead,
                ItemsWrite,
                OrdersWrite,
                UsersRead,
                ItemsDelete,
                ItemsManage,
                UsersWrite,
                OrdersRead,
                OrdersManage,
            ],
            Self::Admin => &[
                ItemsRead,
                ItemsWrite,
                OrdersWrite,
                UsersRead,
                ItemsDelete,
                ItemsManage,
                UsersWrite,
                OrdersRead,
                OrdersManage,
                UsersDelete,
                AdminAll,
            ],
        }
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
    fn each_role_has_the_scopes_of_the_one_before() {
        let roles = [Role::User, Role::Moderator, Role::Manager, Role::Admin];
        for pair in roles.windows(2) {
            let (lower, higher) = (pair[0].scopes(), pair[1].scopes());
            assert!(lower.iter().all(|scope| higher.contains(scope)), "{pair:?}");
            assert!(higher.len() > lower.len(), "{pair:?}");
        }
    }
}
