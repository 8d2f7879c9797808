//! One after the other: two attempts on one account are not under way at the same time.
//!
//! An attempt counts as a failure until its password was found right. Without turns, the second of two people with the right password, or of
//! two requests of one, would be told to wait for the first.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use platform::problem::Problem;
use tokio::{
    sync::{Mutex as Lock, OwnedMutexGuard},
    time::timeout,
};

use crate::hashing;

type Waiting = Mutex<HashMap<Vec<u8>, Arc<Lock<()>>>>;

/// Who is at work and who waits, by subject. It holds no more subjects than there are requests.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Waiting>);

/// The turn of one attempt; dropped, the next one has it.
pub(crate) struct Turn {
    _guard: OwnedMutexGuard<()>,
    _place: Place,
}

impl Turns {
    /// Waits for those that came before, as long as for a hasher; then 503.
    pub(crate) async fn take(&self, subject: &[u8]) -> Result<Turn, Problem> {
        let lock = Arc::clone(locked(&self.0).entry(subject.to_owned()).or_default());
        let place = Place { turns: self.clone(), subject: subject.to_owned() };
        let guard =
            timeout(hashing::QUEUE, lock.lock_owned()).await.map_err(|_| hashing::busy())?;
        Ok(Turn { _guard: guard, _place: place })
    }
}

fn locked(waiting: &Waiting) -> MutexGuard<'_, HashMap<Vec<u8>, Arc<Lock<()>>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One who works or waits. Dropped after its own handle of the lock; the last one takes the lock with it.
struct Place {
    turns: Turns,
    subject: Vec<u8>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = locked(&self.turns.0);
        if waiting.get(&self.subject).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            waiting.remove(&self.subject);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_after_the_other_and_nothing_is_left_behind() {
        let turns = Turns::default();
        let first = turns.take(b"ada").await.unwrap();
        assert!(turns.take(b"ada").now_or_never().is_none(), "the second one waits");
        assert!(turns.take(b"ben").now_or_never().is_some(), "another one does not");
        let refused = turns.take(b"ada").await.err().unwrap();
        assert_eq!((refused.status().as_u16(), refused.kind()), (503, "sign-in-busy"));
        let mut second = Box::pin(turns.take(b"ada"));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        drop(second.await.unwrap());
        assert!(locked(&turns.0).is_empty());
    }
}
