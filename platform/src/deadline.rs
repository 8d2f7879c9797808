//! Until when the caller waits: one moment per request, inherited by everything that is done for it.
//!
//! Between services it travels as the remaining milliseconds in [`HEADER`]; from outside the header is dropped.

use std::{future::Future, time::Duration};

use http::HeaderName;
use tokio::time::Instant;

/// The header between services: the remaining whole milliseconds.
pub const HEADER: HeaderName = HeaderName::from_static("x-deadline-ms");

tokio::task_local! {
    static CURRENT: Deadline;
}

/// The moment after which nobody waits for the answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The moment `time` from now.
    pub fn after(time: Duration) -> Deadline {
        Deadline(Instant::now() + time)
    }

    /// That of the request which the calling task works for. A task that was spawned has none, unless it is given one by [`scope`].
    pub fn current() -> Option<Deadline> {
        CURRENT.try_get().ok()
    }

    /// How long the caller still waits; zero when it does not.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// The moment itself, for `tokio::time::timeout_at`.
    pub fn instant(self) -> Instant {
        self.0
    }
}

/// Runs `future` with `deadline` as [`Deadline::current`]. It does not end the future: the server's layer does that.
pub fn scope<F: Future>(deadline: Deadline, future: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(deadline, future)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_counts_for_what_runs_in_its_scope_and_only_there() {
        assert_eq!(Deadline::current(), None);
        scope(Deadline::after(Duration::from_secs(2)), async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let left = Deadline::current().unwrap().remaining();
            assert_eq!(left, Duration::from_millis(1500));
            assert_eq!(tokio::spawn(async { Deadline::current() }).await.unwrap(), None);
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(Deadline::current().unwrap().remaining(), Duration::ZERO);
        })
        .await;
        assert_eq!(Deadline::current(), None);
    }
}
