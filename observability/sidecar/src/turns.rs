//! Work that takes a thread and memory for a while: so many at once, the others wait.

use std::sync::Arc;

use tokio::{
    sync::Semaphore,
    task::{JoinError, spawn_blocking},
};

/// Questions to the store that are answered at once, by each of console and Jaeger's API. There are few people, and each answer can be large.
pub(crate) const AT_ONCE: usize = 2;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(crate) fn new(at_once: usize) -> Turns {
        Turns(Arc::new(Semaphore::new(at_once)))
    }

    /// Runs on a thread that may be busy. The turn lasts until the work ends, also when nobody waits for it any more.
    ///
    /// # Errors
    /// When the work panicked.
    pub(crate) async fn take<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let turn = Arc::clone(&self.0).acquire_owned().await; // never closed
        spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_turn_lasts_until_the_work_ends_whoever_has_gone() {
        let turns = Turns::new(1);
        let (began, begins) = channel();
        let (end, ends) = channel::<()>();
        let working = tokio::spawn({
            let turns = turns.clone();
            async move { turns.take(move || (began.send(()), ends.recv())).await }
        });
        tokio::task::block_in_place(|| begins.recv()).unwrap();
        working.abort();
        assert!(working.await.unwrap_err().is_cancelled());
        let mut next = Box::pin(turns.take(|| 7));
        assert!(next.as_mut().now_or_never().is_none());
        assert_eq!(turns.0.available_permits(), 0);
        end.send(()).unwrap();
        assert_eq!(next.await.unwrap(), 7);
    }
}
