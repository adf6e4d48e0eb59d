//! Service clients: programs that act in their own name, with client credentials (RFC 6749, section 4.4).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Scope;
use super::text::{Invalid, Name};
use crate::ids;

/// A program that may fetch tokens. Its secrets are the store's; nothing of them is in here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceClient {
    pub id: Uuid,
    pub name: Name,
    /// The most that its tokens allow, each scope once. Kept as texts, so that a build that does not know one of them
    /// can still read the client.
    pub scopes: Vec<String>,
    pub is_active: bool,
    pub created_at: Timestamp,
    /// The administrator who made it.
    pub created_by: Uuid,
}

impl ServiceClient {
    /// A new, active client. It needs at least one scope, or its tokens would allow nothing.
    pub fn new(
        name: Name,
        scopes: &[ScopeName],
        created_by: Uuid,
        now: Timestamp,
    ) -> Result<Self, Invalid> {
        let mut names: Vec<String> = Vec::new();
        for ScopeName(scope) in scopes {
            if !names.iter().any(|name| name == scope.as_str()) {
                names.push(scope.as_str().to_owned());
            }
        }
        if names.is_empty() {
            return Err(Invalid::new("too_short", "must name at least one scope"));
        }
        Ok(Self {
            id: ids::new(),
            name,
            scopes: names,
            is_active: true,
            created_at: now,
            created_by,
        })
    }

    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|name| name == scope.as_str())
    }

    /// The scope of a token: what was asked for, or without a wish all that the client may have. `None` if it was more
    /// than that, or is malformed (RFC 6749, section 3.3).
    pub fn grant(&self, wish: Option<&str>) -> Option<String> {
        let Some(wish) = wish else {
            return Some(self.scopes.join(" "));
        };
        let wanted: Vec<_> = wish.split(' ').collect();
        let may = |name: &&str| self.scopes.iter().any(|scope| scope == name);
        if !wanted.iter().all(may) {
            return None;
        }
        let granted = self.scopes.iter().map(String::as_str);
        let granted: Vec<_> = granted.filter(|scope| wanted.contains(scope)).collect();
        Some(granted.join(" "))
    }
}

/// The name of a scope that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, example = "orders:read")]
pub struct ScopeName(pub Scope);

impl TryFrom<String> for ScopeName {
    type Error = Invalid;

    fn try_from(name: String) -> Result<Self, Invalid> {
        let scope = Scope::parse(&name);
        let unknown = || Invalid::new("unknown_scope", "must be a scope of this API");
        scope.map(Self).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(scopes: &[Scope]) -> Result<ServiceClient, Invalid> {
        let scopes: Vec<_> = scopes.iter().copied().map(ScopeName).collect();
        let name = Name::parse("billing").unwrap();
        ServiceClient::new(name, &scopes, Uuid::nil(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_client_has_each_scope_once_and_at_least_one() {
        let twice = client(&[Scope::OrdersRead, Scope::ItemsRead, Scope::OrdersRead]);
        let twice = twice.unwrap();
        assert_eq!(twice.scopes, ["orders:read", "items:read"]);
        assert!(twice.may(Scope::ItemsRead) && !twice.may(Scope::ItemsWrite));
        assert_eq!(client(&[]).unwrap_err().code, "too_short");
    }

    #[test]
    fn a_token_gets_what_was_asked_for_up_to_the_ceiling() {
        let client = client(&[Scope::OrdersRead, Scope::ItemsRead]).unwrap();
        let check = |wish: Option<&str>, expected: Option<&str>| {
            assert_eq!(client.grant(wish).as_deref(), expected, "for {wish:?}");
        };
        check(None, Some("orders:read items:read"));
        check(Some("items:read"), Some("items:read"));
        check(
            Some("items:read orders:read"),
            Some("orders:read items:read"),
        );
        check(Some("items:read items:read"), Some("items:read"));
        check(Some("items:write"), None);
        check(Some("items:read items:write"), None);
        check(Some("ITEMS:READ"), None);
        check(Some("items:read  orders:read"), None);
        check(Some(" items:read"), None);
        check(Some(" "), None);
    }

    #[test]
    fn every_scope_has_its_name_and_nothing_else_has() {
        for scope in Scope::all() {
            let parsed = ScopeName::try_from(scope.as_str().to_owned());
            assert_eq!(parsed, Ok(ScopeName(scope)));
        }
        for name in ["", "items:everything", "Items:Read", "items:read "] {
            let refused = ScopeName::try_from(name.to_owned()).unwrap_err();
            assert_eq!(refused.code, "unknown_scope", "for {name:?}");
        }
    }
}
