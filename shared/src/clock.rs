//! The clock of an instance.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

use crate::models::time;

/// What time it is. Only tests set it ahead, so that nothing has to be waited for; clones go together.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead_seconds: Arc<AtomicI64>,
}

impl Clock {
    pub fn now(&self) -> Timestamp {
        let ahead = self.ahead_seconds.load(Ordering::Relaxed);
        time::now() + SignedDuration::from_secs(ahead)
    }

    /// Seconds since the epoch.
    pub fn seconds(&self) -> i64 {
        self.now().as_second()
    }

    /// Sets the clock ahead.
    pub fn advance(&self, seconds: i64) {
        self.ahead_seconds.fetch_add(seconds, Ordering::Relaxed);
    }
}
