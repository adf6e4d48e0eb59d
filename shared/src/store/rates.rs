//! Strict rate windows: a counter per rule, subject and window, never passed by concurrent requests.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use jiff::Timestamp;

use super::keys::{self, Key};
use super::transaction::Change;
use super::{Item, Store, Table, failed};
use crate::error::{Error, RateLimit, Result};

/// How often a subject (an address, an account) may do something within a window of whole seconds.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub name: &'static str,
    pub limit: u32,
    pub seconds: u64,
}

/// One window of a rule for one subject.
#[derive(Clone, Debug)]
pub struct Window {
    rule: Rule,
    key: Key,
    ends_at: u64,
    now: u64,
}

impl Rule {
    /// The window that `now` falls into.
    pub fn window(self, subject: &str, now: Timestamp) -> Window {
        let now = u64::try_from(now.as_second()).unwrap_or_default();
        let number = now / self.seconds;
        Window {
            rule: self,
            key: keys::rate(self.name, subject, number),
            ends_at: (number + 1) * self.seconds,
            now,
        }
    }
}

impl Window {
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// How the limit stands once `used` requests were counted.
    pub fn state(&self, used: u32) -> RateLimit {
        RateLimit {
            limit: self.rule.limit,
            remaining: self.rule.limit.saturating_sub(used),
            retry_after: self.ends_at.saturating_sub(self.now).max(1),
        }
    }

    pub(super) fn used(item: Option<&Item>) -> u32 {
        match item.and_then(|item| item.get("used")) {
            Some(AttributeValue::N(used)) => used.parse().unwrap_or(u32::MAX),
            _ => 0,
        }
    }

    /// Counts one request, unless the window is full.
    pub(super) fn count(&self) -> Change {
        let ttl = AttributeValue::N((self.ends_at + 3_600).to_string());
        Change::new()
            .add("used", 1)
            .set("ttl", ttl)
            .if_below("used", i64::from(self.rule.limit))
    }
}

impl Store {
    /// Counts one request in `window`, or refuses it with [`Error::RateLimited`]. One write.
    pub async fn take(&self, window: &Window) -> Result<RateLimit> {
        let change = window.count();
        let request = self.client.update_item().table_name(self.name(Table::App)?);
        let request = request
            .set_key(Some(window.key.attributes()))
            .update_expression(change.expression())
            .set_condition_expression(change.condition)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
            .return_values(ReturnValue::UpdatedNew);
        match request.send().await {
            Ok(output) => Ok(window.state(Window::used(output.attributes()))),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|e| e.is_conditional_check_failed_exception()) =>
            {
                Err(Error::RateLimited(window.state(u32::MAX)))
            }
            Err(error) => Err(failed("count a request")(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_on_the_clock() {
        let rule = Rule {
            name: "login",
            limit: 10,
            seconds: 60,
        };
        let at = |second| rule.window("a", Timestamp::from_second(second).unwrap());
        assert_eq!(at(59).key, at(0).key);
        assert_ne!(at(60).key, at(59).key);
        assert_eq!(at(59).state(3).remaining, 7);
        assert_eq!(at(59).state(3).retry_after, 1);
        assert_eq!(at(0).state(11).remaining, 0);
    }
}
