//! Strict rate windows: a counter per rule, subject and window, never passed by concurrent requests.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use jiff::Timestamp;

use super::change::{Change, Updated};
use super::keys::{self, Key};
use super::{Item, Store};
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
        self.count_many(1)
    }

    /// Counts so many, unless the window has not that much room.
    fn count_many(&self, number: u32) -> Change {
        let ttl = AttributeValue::N((self.ends_at + 3_600).to_string());
        let room = i64::from(self.rule.limit) - i64::from(number);
        Change::new()
            .add("used", number.into())
            .set("ttl", ttl)
            .versioned()
            .if_at_most("used", room)
    }
}

impl Store {
    /// Counts one request in `window`, or refuses it with [`Error::RateLimited`]. One write.
    pub async fn take(&self, window: &Window) -> Result<RateLimit> {
        let remaining = self.lease(window, 1).await?;
        Ok(RateLimit {
            remaining,
            ..window.state(0)
        })
    }

    /// Counts so many requests at once, or refuses them. Answers how many more there may be. One write.
    pub async fn lease(&self, window: &Window, number: u32) -> Result<u32> {
        // Without a limit, the condition could hold for an item that is not there.
        if number > window.rule.limit {
            return Err(Error::RateLimited(window.state(u32::MAX)));
        }
        let counted = self.update(
            &window.key,
            window.count_many(number),
            ReturnValue::UpdatedNew,
            "count requests",
        );
        match counted.await? {
            Updated::Done(item) => Ok(window.state(Window::used(Some(&item))).remaining),
            Updated::Refused(_) => Err(Error::RateLimited(window.state(u32::MAX))),
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
