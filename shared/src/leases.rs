//! The general rate limit: each instance leases a handful of permits per write, so that the limit is never exceeded and
//! costs a fraction of a write per request. What an instance does not use of its lease is lost with the minute.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::App;
use crate::error::{Error, RateLimit, Result};
use crate::store::rates::Rule;

/// The most subjects that an instance remembers. Forgetting one costs it a lease.
const MOST_SUBJECTS: usize = 1_000;

/// The most permits of one lease.
const MOST_PERMITS: u32 = 100;

/// What this instance may still let pass, by subject.
#[derive(Debug, Default)]
pub struct Leases(Mutex<HashMap<String, Lease>>);

#[derive(Clone, Copy, Debug)]
struct Lease {
    /// The number of the minute that it is for.
    minute: i64,
    permits: u32,
    /// What the table still had when it was leased.
    left_elsewhere: u32,
}

impl App {
    /// Lets one request of a subject (a user or an address) pass, or refuses it until the minute is over.
    pub async fn permit(&self, subject: &str) -> Result<RateLimit> {
        let now = self.clock.now();
        let minute = now.as_second() / 60;
        let rule = Rule {
            name: "all",
            limit: self.config.limits.per_minute,
            seconds: 60,
        };
        let window = rule.window(subject, now);
        let state = |lease: Lease| RateLimit {
            remaining: lease.permits.saturating_add(lease.left_elsewhere),
            ..window.state(0)
        };
        if let Some(lease) = self.leases.spend(subject, minute) {
            return Ok(state(lease));
        }
        // A tenth of the limit; near its end one by one, so that all of it can be used.
        let most = (rule.limit / 10).clamp(1, MOST_PERMITS);
        for permits in [most, 1] {
            match self.store.lease(&window, permits).await {
                Ok(left_elsewhere) => {
                    let lease = Lease {
                        minute,
                        permits: permits - 1,
                        left_elsewhere,
                    };
                    self.leases.keep(subject, lease);
                    return Ok(state(lease));
                }
                Err(Error::RateLimited(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::RateLimited(window.state(u32::MAX)))
    }
}

impl Leases {
    /// Takes a permit of this minute, if there is one.
    fn spend(&self, subject: &str, minute: i64) -> Option<Lease> {
        let mut leases = self.lock();
        let lease = leases.get_mut(subject)?;
        if lease.minute != minute || lease.permits == 0 {
            return None;
        }
        lease.permits -= 1;
        Some(*lease)
    }

    fn keep(&self, subject: &str, lease: Lease) {
        let mut leases = self.lock();
        if leases.len() >= MOST_SUBJECTS {
            leases.clear();
        }
        let known = leases.entry(subject.to_owned()).or_insert(lease);
        // Another request has leased at the same time: both leases are ours.
        if known.minute == lease.minute && known.left_elsewhere != lease.left_elsewhere {
            known.permits += lease.permits;
            known.left_elsewhere = known.left_elsewhere.min(lease.left_elsewhere);
        } else {
            *known = lease;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Lease>> {
        // A panic cannot leave a lease half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
