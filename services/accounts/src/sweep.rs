//! What has become meaningless leaves the database.

use std::time::Duration;

use platform::storage::{Db, Error};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::{now, store, throttle::DAY};

/// How often. Within a day no more is booked than is hashed: some hundred bytes each.
const EVERY: Duration = Duration::from_secs(600);

/// Sweeps until the service stops.
pub(crate) async fn run(db: Db, stopping: CancellationToken) {
    let mut ticks = interval_at(Instant::now() + EVERY, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // A tick that is dropped is lost, and nothing with it: the next start sweeps again.
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = once(&db, now()).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "failed sign-ins of the days before were not swept");
        }
    }
}

/// Removes the failed sign-ins of the days before. Those of yesterday stay for a minute, because the last may still have to be waited for.
async fn once(db: &Db, now: i64) -> Result<(), Error> {
    let day = (now - 60_000).div_euclid(DAY);
    while store::sweep_failures(db, day).await? {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use platform::storage::testing::TestDatabase;
    use telemetry::Telemetry;

    use super::*;
    use crate::throttle::Failures;

    #[tokio::test]
    async fn failures_of_the_days_before_are_swept_and_those_of_today_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let database = TestDatabase::new(folder.path(), "accounts");
        let telemetry = Telemetry::disabled("test");
        let db = Db::open(database.location(), None, &store::MIGRATIONS, &telemetry).await.unwrap();
        for (subject, day) in [(b"old", 6), (b"now", 7)] {
            let booked = Failures { count: 1, day, next_at: 0 };
            assert!(store::book_failure(&db, subject, Failures::default(), booked).await.unwrap());
        }
        let kept = async |now| {
            once(&db, now).await.unwrap();
            let kept = async |subject| store::failures(&db, subject).await.unwrap().is_some();
            (kept(b"old").await, kept(b"now").await)
        };
        assert_eq!(kept(7 * DAY + 59_999).await, (true, true));
        assert_eq!(kept(7 * DAY + 60_000).await, (false, true));
    }
}
