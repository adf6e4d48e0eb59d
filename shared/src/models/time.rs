//! Times: RFC 3339 in UTC, to the millisecond.

use jiff::{Timestamp, Unit};

/// The time now, cut to milliseconds so that what is stored and what is sent are the same.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Millisecond).unwrap_or(now)
}
