//! How often items are looked at: each instance counts for itself, and adds what it has counted to the items now and
//! then. So a look costs no write. For that it is an estimate: what an instance has not told when it ends is lost, and
//! what fails halfway is told again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::App;

/// How long views wait, in seconds.
const EVERY: i64 = 10;

/// How many items may wait: one that is looked at then is told sooner.
const MANY: usize = 100;

/// The most items that wait while they cannot be told. Looks at others are not counted then.
const MOST: usize = 1_000;

/// What this instance has counted and not told yet.
#[derive(Debug, Default)]
pub struct Views(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    views: HashMap<Uuid, u64>,
    /// When views were told last, or first waited, in seconds since the epoch.
    told: Option<i64>,
    /// Whether that has failed.
    has_failed: bool,
}

impl App {
    /// Adds what was counted to the items, if ten seconds have passed since the last time or if a hundred items wait. A
    /// failure is logged and not returned: the views wait for the next time.
    pub async fn flush_views(&self) {
        let Some(views) = self.views.take_due(self.clock.seconds()) else {
            return;
        };
        if let Err(error) = self.store.add_views(&views).await {
            tracing::warn!(cause = ?error, "views will be counted later");
            self.views.put_back(views);
        }
    }
}

impl Views {
    /// Counts a look at an item.
    pub fn count(&self, item: Uuid) {
        self.lock().add(item, 1);
    }

    /// Takes what waits, if it is time to tell it.
    fn take_due(&self, now: i64) -> Option<HashMap<Uuid, u64>> {
        let mut waiting = self.lock();
        let told = *waiting.told.get_or_insert(now);
        let is_late = now - told >= EVERY;
        // Not again at once what could not be told just now.
        let is_much = waiting.views.len() >= MANY && !waiting.has_failed;
        if waiting.views.is_empty() || !(is_late || is_much) {
            return None;
        }
        waiting.told = Some(now);
        waiting.has_failed = false;
        Some(std::mem::take(&mut waiting.views))
    }

    /// Lets wait again what could not be told.
    fn put_back(&self, views: HashMap<Uuid, u64>) {
        let mut waiting = self.lock();
        waiting.has_failed = true;
        for (item, views) in views {
            waiting.add(item, views);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic cannot leave a count half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn add(&mut self, item: Uuid, views: u64) {
        if self.views.len() < MOST || self.views.contains_key(&item) {
            *self.views.entry(item).or_default() += views;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(number: usize) -> Uuid {
        Uuid::from_u128(number as u128)
    }

    #[test]
    fn views_are_told_every_ten_seconds() {
        let views = Views::default();
        assert_eq!(views.take_due(1_000), None);
        for (at, number) in [(1_000, 1), (1_004, 2), (1_009, 1)] {
            views.count(item(number));
            assert_eq!(views.take_due(at), None);
        }
        let told = HashMap::from([(item(1), 2), (item(2), 1)]);
        assert_eq!(views.take_due(1_010), Some(told));
        assert_eq!(views.take_due(1_030), None, "nothing waits");
        views.count(item(3));
        let told = HashMap::from([(item(3), 1)]);
        assert_eq!(views.take_due(1_030), Some(told));
        views.count(item(3));
        assert_eq!(views.take_due(1_039), None);
    }

    #[test]
    fn a_hundred_items_do_not_wait() {
        let views = Views::default();
        for number in 1..MANY {
            views.count(item(number));
            views.count(item(number));
            assert_eq!(views.take_due(1_000), None);
        }
        views.count(item(MANY));
        let told = views.take_due(1_000).unwrap();
        assert_eq!(told.len(), MANY);
        assert_eq!(told.values().sum::<u64>(), 2 * MANY as u64 - 1);
    }

    #[test]
    fn what_could_not_be_told_waits_with_the_rest() {
        let views = Views::default();
        for number in 0..MANY {
            views.count(item(number));
        }
        let taken = views.take_due(1_000).unwrap();
        views.count(item(0));
        views.put_back(taken);
        assert_eq!(views.take_due(1_009), None, "not again at once");
        let told = views.take_due(1_010).unwrap();
        assert_eq!((told.len(), told[&item(0)]), (MANY, 2));
    }

    #[test]
    fn what_waits_has_an_end() {
        let views = Views::default();
        for number in 0..2 * MOST {
            views.count(item(number));
        }
        views.count(item(0));
        let told = views.take_due(1_000).unwrap();
        assert_eq!((told.len(), told[&item(0)]), (MOST, 2));
    }
}
