//! New ids: UUIDs of version 7 (RFC 9562), which sort by the time they were made.

use std::cell::Cell;
use std::future::Future;

use uuid::Uuid;

tokio::task_local! {
    static SEEDED: Cell<u64>;
}

/// An id that nothing else has.
pub fn new() -> Uuid {
    let seeded = SEEDED.try_with(|next| {
        let number = next.get();
        next.set(number.wrapping_add(1));
        number
    });
    seeded.map_or_else(|_| Uuid::now_v7(), numbered)
}

/// Runs `work`, in which ids come from a seed instead: a test that is played again has the same ones.
pub async fn seeded<F: Future>(seed: u64, work: F) -> F::Output {
    SEEDED.scope(Cell::new(seed << 32), work).await
}

/// Later numbers sort later; the rest of the id is made of the number too.
fn numbered(number: u64) -> Uuid {
    let random = fastrand::Rng::with_seed(number).u128(..).to_be_bytes();
    let mut tail = [0; 10];
    tail.copy_from_slice(&random[..10]);
    uuid::Builder::from_unix_timestamp_millis(number, &tail).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn seeded_ids_come_again_and_in_order() {
        let three = || async { [new(), new(), new()] };
        let first = seeded(7, three()).await;
        assert_eq!(seeded(7, three()).await, first);
        assert_ne!(seeded(8, three()).await, first);
        assert!(first.is_sorted());
        assert_ne!(three().await, three().await);
    }
}
