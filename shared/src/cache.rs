//! What an instance keeps in memory for a while, because many ask for it and it seldom changes.
//!
//! A cache never makes a request fail that would not fail without it: if something cannot be read again, what was read
//! before is answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Mutex as Turn;

use crate::error::Result;
use crate::models::Item;
use crate::models::category::Tree;
use crate::models::setting::Settings;
use crate::ready::Ready;

/// How long lists and categories are kept, in seconds.
const KEPT: i64 = 60;

/// How long settings are kept: as long as a feature may take to be off everywhere.
const SETTINGS_KEPT: i64 = 30;

/// How long a look at the services behind is kept, so that many who ask ask them once.
const READINESS_KEPT: i64 = 1;

/// How long it is kept on if it cannot be read again, so that not each request waits for what does not answer. In
/// seconds.
const KEPT_ON: i64 = 5;

/// What the instance keeps.
pub struct Caches {
    /// All categories, with the version of their tree.
    pub categories: Cache<(Tree, u64)>,
    pub popular: Cache<Vec<Item>>,
    pub featured: Cache<Vec<Item>>,
    pub settings: Cache<Settings>,
    pub database: Cache<Ready>,
    pub queue: Cache<Ready>,
}

impl Default for Caches {
    fn default() -> Self {
        Self {
            categories: Cache::for_seconds(KEPT),
            popular: Cache::for_seconds(KEPT),
            featured: Cache::for_seconds(KEPT),
            settings: Cache::for_seconds(SETTINGS_KEPT),
            database: Cache::for_seconds(READINESS_KEPT),
            queue: Cache::for_seconds(READINESS_KEPT),
        }
    }
}

/// One thing that is kept. Several requests at once read it once.
pub struct Cache<T> {
    /// For how many seconds.
    kept: i64,
    state: Mutex<State<T>>,
    /// Whose turn it is to read.
    turn: Turn<()>,
}

struct State<T> {
    value: Option<Arc<T>>,
    /// In seconds since the epoch.
    fresh_until: i64,
    /// How often it was cleared.
    cleared: u64,
}

impl<T> Cache<T> {
    fn for_seconds(kept: i64) -> Self {
        let state = State {
            value: None,
            fresh_until: 0,
            cleared: 0,
        };
        Self {
            kept,
            state: Mutex::new(state),
            turn: Turn::default(),
        }
    }

    /// What is kept, or what `load` reads if that is too old. `now` is in seconds since the epoch. Fails
    /// only if `load` does and nothing was read before.
    pub async fn get(&self, now: i64, load: impl Future<Output = Result<T>>) -> Result<Arc<T>> {
        if let Some(value) = self.fresh(now) {
            return Ok(value);
        }
        let _turn = self.turn.lock().await;
        // Another has read it meanwhile.
        if let Some(value) = self.fresh(now) {
            return Ok(value);
        }
        let cleared = self.lock().cleared;
        match load.await {
            Ok(value) => Ok(self.keep(Arc::new(value), now, cleared)),
            Err(error) => match self.keep_on(now) {
                Some(value) => {
                    tracing::warn!(cause = ?error, "what was read before is answered");
                    Ok(value)
                }
                None => Err(error),
            },
        }
    }

    /// Forgets what is kept, because it has changed: who asks after this gets nothing that was read before.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.value = None;
        state.cleared += 1;
    }

    fn fresh(&self, now: i64) -> Option<Arc<T>> {
        let state = self.lock();
        state.value.clone().filter(|_| now < state.fresh_until)
    }

    /// Keeps what was read, unless that may have been before a change that it was cleared for.
    fn keep(&self, value: Arc<T>, now: i64, cleared: u64) -> Arc<T> {
        let mut state = self.lock();
        if state.cleared == cleared {
            state.value = Some(value.clone());
            state.fresh_until = now + self.kept;
        }
        value
    }

    /// Keeps what there is a little longer.
    fn keep_on(&self, now: i64) -> Option<Arc<T>> {
        let mut state = self.lock();
        state.fresh_until = now + KEPT_ON;
        state.value.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A panic cannot leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use futures_util::future::{join, join_all};
    use tokio::sync::oneshot;

    use super::*;
    use crate::error::Error;

    fn gone() -> Result<u32> {
        Err(Error::Unavailable(anyhow::Error::msg("gone")))
    }

    async fn get(cache: &Cache<u32>, now: i64, read: Result<u32>) -> Option<u32> {
        cache.get(now, ready(read)).await.ok().map(|value| *value)
    }

    #[tokio::test]
    async fn it_is_kept_for_a_minute() {
        let cache = Cache::for_seconds(KEPT);
        assert_eq!(get(&cache, 1_000, Ok(1)).await, Some(1));
        assert_eq!(get(&cache, 1_059, Ok(2)).await, Some(1));
        assert_eq!(get(&cache, 1_060, Ok(3)).await, Some(3));
        assert_eq!(get(&cache, 1_119, Ok(4)).await, Some(3));
    }

    #[tokio::test]
    async fn what_was_read_before_is_answered_if_it_cannot_be_read() {
        let cache = Cache::for_seconds(KEPT);
        assert_eq!(get(&cache, 1_000, gone()).await, None);
        assert_eq!(get(&cache, 1_000, Ok(1)).await, Some(1));
        assert_eq!(get(&cache, 2_000, gone()).await, Some(1));
        // Nobody has to wait for the next attempt.
        assert_eq!(get(&cache, 2_004, Ok(2)).await, Some(1));
        assert_eq!(get(&cache, 2_005, gone()).await, Some(1));
        assert_eq!(get(&cache, 2_010, Ok(3)).await, Some(3));
    }

    #[tokio::test]
    async fn what_was_cleared_is_read_again() {
        let cache = Cache::for_seconds(KEPT);
        assert_eq!(get(&cache, 1_000, Ok(1)).await, Some(1));
        cache.clear();
        assert_eq!(get(&cache, 1_000, gone()).await, None);
        assert_eq!(get(&cache, 1_000, Ok(2)).await, Some(2));
        assert_eq!(get(&cache, 1_001, Ok(3)).await, Some(2));
    }

    #[tokio::test]
    async fn what_was_read_before_a_change_is_not_kept() {
        let cache = Cache::for_seconds(KEPT);
        let (answer, answered) = oneshot::channel();
        let load = async { answered.await.map_err(|_| Error::MethodNotAllowed) };
        let slow = cache.get(1_000, load);
        let change = async {
            cache.clear();
            answer.send(1_u32).unwrap();
        };
        let (slow, ()) = join(slow, change).await;
        assert_eq!(*slow.unwrap(), 1);
        assert_eq!(get(&cache, 1_000, Ok(2)).await, Some(2));
    }

    #[tokio::test]
    async fn several_at_once_read_it_once() {
        let cache = Cache::for_seconds(KEPT);
        let reads = Mutex::new(0);
        let asked = (0..50).map(|_| {
            cache.get(1_000, async {
                *reads.lock().unwrap() += 1;
                tokio::task::yield_now().await;
                Ok(7)
            })
        });
        let found = join_all(asked).await;
        assert!(found.into_iter().all(|found| *found.unwrap() == 7));
        assert_eq!(*reads.lock().unwrap(), 1);
    }
}
