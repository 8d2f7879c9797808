//! Passwords as Argon2id hashes, a bounded number at once.
//!
//! A hash takes a core and 19 MiB for tens of milliseconds: unbounded, a hundred sign-ins would starve everything else. Who waits longer
//! than a second is told to come back; who has gone leaves the queue before anything is hashed.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use platform::problem::Problem;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::{Instant, timeout},
};

use crate::meter;

/// How long a password waits for its turn.
const QUEUE: Duration = Duration::from_secs(1);

/// A hash that no password has, made with the parameters of today: for names that nobody has, so that a wrong name costs and answers
/// what a wrong password does.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlzIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The right to hash, shared by all requests. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Hashers {
    permits: Arc<Semaphore>,
    limit: usize,
}

impl Hashers {
    pub(crate) fn new(limit: NonZeroUsize) -> Hashers {
        let limit = limit.get();
        meter::hashers(0, limit);
        Hashers { permits: Arc::new(Semaphore::new(limit)), limit }
    }

    /// A hash of `password` with the parameters of today (m=19456 KiB, t=2, p=1, the minimum of OWASP) and a salt of its own.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Problem> {
        let hashed = self.work(move || {
            Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string())
        });
        hashed.await?.map_err(|error| Problem::internal(anyhow::anyhow!("hashing: {error}")))
    }

    /// Whether `password` is the one of `hash`; without a hash it is not, after the same work.
    pub(crate) async fn verify(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, Problem> {
        self.work(move || {
            let known = hash.is_some();
            let hash = hash.as_deref().unwrap_or(NOBODY);
            let matches = PasswordHash::new(hash).is_ok_and(|hash| {
                Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
            });
            known && matches
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let begun = Instant::now();
        let permit = timeout(QUEUE, self.permits.clone().acquire_owned()).await;
        meter::hash_waited(begun.elapsed());
        let Ok(Ok(permit)) = permit else {
            let detail = "Too many people are signing in right now. Try again in a second.";
            return Err(Problem::unavailable("sign-in-busy", detail, QUEUE));
        };
        // The permit goes with the work: a blocking task is not cancelled when the request is, so it must go on counting.
        let busy = Busy { _permit: permit, permits: self.permits.clone(), limit: self.limit };
        meter::hashers(self.limit.saturating_sub(self.permits.available_permits()), self.limit);
        let task = spawn_blocking(move || {
            let _busy = busy;
            let begun = std::time::Instant::now();
            let result = work();
            meter::hashed(begun.elapsed());
            result
        });
        task.await.map_err(Problem::internal)
    }
}

/// A hasher at work.
struct Busy {
    _permit: OwnedSemaphorePermit,
    permits: Arc<Semaphore>,
    limit: usize,
}

impl Drop for Busy {
    fn drop(&mut self) {
        // This one's permit is returned a moment later, so it is counted out by hand.
        meter::hashers(self.limit.saturating_sub(self.permits.available_permits() + 1), self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashers(limit: usize) -> Hashers {
        Hashers::new(NonZeroUsize::new(limit).unwrap())
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let hashers = hashers(1);
        let hash = hashers.hash("seven brave otters".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hashers.verify("seven brave otters".into(), Some(hash.clone())).await.unwrap());
        assert!(!hashers.verify("seven brave otter".into(), Some(hash)).await.unwrap());
        assert!(
            PasswordHash::new(NOBODY).is_ok(),
            "the hash of nobody has to cost what others cost"
        );
        assert!(!hashers.verify("seven brave otters".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn who_cannot_be_hashed_in_time_is_told_to_come_back() {
        let hashers = hashers(1);
        let _held = hashers.permits.clone().acquire_owned().await.unwrap();
        let refused = hashers.verify("x".into(), None).await.unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.kind()), (503, "sign-in-busy"));
    }

    #[tokio::test]
    async fn never_more_hash_at_once_than_may_and_who_has_gone_is_not_hashed() {
        let hashers = hashers(2);
        let (running, most) = (
            Arc::new(std::sync::atomic::AtomicUsize::new(0)),
            Arc::new(std::sync::atomic::AtomicUsize::new(0)),
        );
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (hashers, running, most) = (hashers.clone(), running.clone(), most.clone());
                tokio::spawn(async move {
                    hashers
                        .work(move || {
                            use std::sync::atomic::Ordering::SeqCst;
                            most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                            std::thread::yield_now();
                            running.fetch_sub(1, SeqCst);
                        })
                        .await
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert!((1..=2).contains(&most.load(std::sync::atomic::Ordering::SeqCst)));

        let held = hashers.permits.clone().acquire_many_owned(2).await.unwrap();
        let gone = tokio::spawn({
            let hashers = hashers.clone();
            async move { hashers.work(|| panic!("hashed for somebody who has gone")).await }
        });
        tokio::task::yield_now().await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        drop(held);
        hashers.work(|| ()).await.unwrap();
    }
}
