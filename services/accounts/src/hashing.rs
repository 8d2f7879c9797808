//! Passwords as Argon2id hashes, a bounded number at once.
//!
//! A hash takes a core and 19 MiB for tens of milliseconds: unbounded, a hundred sign-ins would starve everything else. Who waits longer
//! than a second is told to come back; who has gone leaves the queue before anything is hashed.

mod argon;

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use platform::problem::Problem;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::{Instant, timeout},
};
use tracing::Instrument;

use self::argon::Memory;
pub(crate) use self::argon::Verdict;
use crate::meter;

/// How long a password waits for its turn; architecture.md §8.
pub(crate) const QUEUE: Duration = Duration::from_secs(1);

/// The right to hash, shared by all requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hashers {
    permits: Arc<Semaphore>,
    /// Of those who are not at work.
    memory: Arc<Mutex<Vec<Memory>>>,
    meter: meter::Hashing,
}

impl Hashers {
    pub(crate) fn new(limit: NonZeroUsize) -> Hashers {
        Hashers {
            permits: Arc::new(Semaphore::new(limit.get())),
            memory: Arc::default(),
            meter: meter::Hashing::new(limit),
        }
    }

    /// A hash of `password` with the parameters of today, as a PHC string.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, Problem> {
        let hashed = self
            .work(move |memory| argon::hash(password.expose_secret().as_bytes(), memory))
            .instrument(tracing::info_span!("hash password"));
        hashed.await?.map_err(Problem::internal)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        self.place().await?.work(work).await
    }

    /// A place at a hasher, after those that came before; 503 after a second.
    pub(crate) async fn place(&self) -> Result<Place, Problem> {
        let begun = Instant::now();
        let permit = timeout(QUEUE, Arc::clone(&self.permits).acquire_owned()).await;
        self.meter.waited.record(begun.elapsed());
        let Ok(Ok(permit)) = permit else {
            return Err(busy());
        };
        Ok(Place { hashers: self.clone(), permit })
    }
}

/// The right to hash once.
pub(crate) struct Place {
    hashers: Hashers,
    permit: OwnedSemaphorePermit,
}

impl Place {
    /// Whether `password` is the one of `stored`; without one it is not, after the same work.
    pub(crate) async fn verify(
        self,
        password: SecretString,
        stored: Option<String>,
    ) -> Result<Verdict, Problem> {
        let verified = self.work(move |memory| {
            argon::verify(password.expose_secret().as_bytes(), stored.as_deref(), memory)
        });
        verified.await?.map_err(Problem::internal)
    }

    async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        // The permit goes with the work: what blocks is not cancelled with its request, so it must go on counting.
        let busy = Busy::begin(self);
        let task = spawn_blocking(move || busy.run(work));
        task.await.map_err(Problem::internal)
    }
}

/// The answer to whoever waited in vain.
pub(crate) fn busy() -> Problem {
    let detail = "Too many people are signing in right now. Try again in a second.";
    Problem::unavailable("sign-in-busy", detail, QUEUE)
}

/// A hash of `password` outside of the service, for its operators.
pub(crate) async fn hash_alone(password: SecretString) -> anyhow::Result<String> {
    let hash = move || argon::hash(password.expose_secret().as_bytes(), &mut Memory::default());
    spawn_blocking(hash).await?
}

/// A hasher at work.
struct Busy {
    hashers: Hashers,
    /// Returned after the gauge is down, so that it never shows more than there may be.
    _permit: OwnedSemaphorePermit,
}

impl Busy {
    fn begin(Place { hashers, permit }: Place) -> Busy {
        hashers.meter.busy.increment(1);
        Busy { hashers, _permit: permit }
    }

    fn run<T>(self, work: impl FnOnce(&mut Memory) -> T) -> T {
        let begun = std::time::Instant::now();
        let lock = || self.hashers.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = lock().pop().unwrap_or_default();
        let result = work(&mut memory);
        lock().push(memory);
        self.hashers.meter.took.record(begun.elapsed());
        result
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.hashers.meter.busy.decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::{task::yield_now, time::advance};

    use super::*;

    fn hashers(limit: usize) -> Hashers {
        Hashers::new(NonZeroUsize::new(limit).unwrap())
    }

    /// A job that works until the sender is dropped, and says when it has begun.
    fn occupy(hashers: &Hashers, begun: &mpsc::Sender<()>) -> mpsc::Sender<()> {
        let (hold, held) = mpsc::channel::<()>();
        let (hashers, begun) = (hashers.clone(), begun.clone());
        tokio::spawn(async move {
            let job = hashers.work(move |_| {
                begun.send(()).unwrap();
                let _ = held.recv();
            });
            job.await.unwrap();
        });
        hold
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_hashed_at_once_than_may_and_who_waited_a_second_is_told_to_come_back() {
        let hashers = hashers(2);
        let (begun, begins) = mpsc::channel();
        let holds = [(); 3].map(|()| occupy(&hashers, &begun));
        for _ in 0..2 {
            while begins.try_recv().is_err() {
                yield_now().await;
            }
        }
        assert_eq!(hashers.permits.available_permits(), 0);
        // The third one has its turn when one of the first two is done.
        let [first, second, third] = holds;
        drop(first);
        while begins.try_recv().is_err() {
            yield_now().await;
        }

        let waiting = tokio::spawn({
            let hashers = hashers.clone();
            async move { hashers.work(|_| panic!("there was no hasher for this one")).await }
        });
        yield_now().await;
        advance(QUEUE - Duration::from_millis(1)).await;
        yield_now().await;
        assert!(!waiting.is_finished());
        advance(Duration::from_millis(2)).await;
        let refused = waiting.await.unwrap().unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.kind()), (503, "sign-in-busy"));
        drop((second, third));
    }

    #[tokio::test]
    async fn who_has_gone_is_not_hashed() {
        let hashers = hashers(1);
        let held = Arc::clone(&hashers.permits).acquire_owned().await.unwrap();
        let gone = tokio::spawn({
            let hashers = hashers.clone();
            async move { hashers.work(|_| panic!("hashed for somebody who has gone")).await }
        });
        yield_now().await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        drop(held);
        hashers.work(|_| ()).await.unwrap();
    }

    #[tokio::test]
    async fn who_goes_while_being_hashed_still_counts_until_it_is_done() {
        let hashers = hashers(1);
        let (hold, held) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let gone = tokio::spawn({
            let hashers = hashers.clone();
            async move {
                let job = hashers.work(move |_| {
                    begun.send(()).unwrap();
                    let _ = held.recv();
                });
                job.await
            }
        });
        while begins.try_recv().is_err() {
            yield_now().await;
        }
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        assert_eq!(hashers.permits.available_permits(), 0);
        drop(hold);
        hashers.work(|_| ()).await.unwrap();
    }

    #[tokio::test]
    async fn a_hasher_that_panics_is_a_500_and_there_for_the_next() {
        let hashers = hashers(1);
        let died = hashers.work(|_| panic!("as asked for")).await;
        assert_eq!(died.map(|()| 0).unwrap_err().status(), 500);
        hashers.work(|_| ()).await.unwrap();
    }
}
