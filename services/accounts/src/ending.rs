//! Credentials that end soon: so that whoever runs this knows before a program of somebody stands still.

use std::time::Duration;

use platform::storage::Db;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{meter, now, store};

/// How often they are counted.
const EVERY: Duration = Duration::from_secs(60);
/// 7 days in milliseconds.
const SOON: i64 = 7 * 24 * 60 * 60 * 1000;

/// Counts until the service stops.
pub(crate) async fn watch(db: Db, stopping: CancellationToken) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        let now = now();
        match store::ending_tokens(&db, now, now + SOON).await {
            Ok(tokens) => meter::ending(tokens),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "the tokens that end soon were not counted");
            }
        }
    }
}
