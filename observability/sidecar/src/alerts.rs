//! What Alertmanager tells of alerts: which fire, what has changed, and when the watchdog was last heard of.
//!
//! `webhook.rs` reads its notifications, `board.rs` keeps them, in memory and within limits. Nobody is called from here: it is a place to look at.

mod board;
mod webhook;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::Router;
use platform::service::{Policy, RouteLimits};

pub(crate) use board::{Alert, Board, Change, Forgotten};

use crate::host::only_known_hosts;

/// The alert that always fires. Its notifications are the heartbeat of all that is between Prometheus and here.
const WATCHDOG: &str = "Watchdog";

/// For so long the watchdog may be silent. Its notification comes each minute or so, and one may be late.
pub(crate) const SILENCE: Duration = Duration::from_secs(5 * 60);

/// The record of alerts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Alerts(Arc<Mutex<Board>>);

impl Alerts {
    /// Where notifications arrive, and their limits: for the internal port, because only Alertmanager has something to say there. It asks
    /// for this machine, or for one of `allowed_hosts`.
    pub fn webhook(&self, allowed_hosts: &[String]) -> (Router, Policy) {
        const NOTIFICATION: RouteLimits =
            RouteLimits { body: webhook::LARGEST, ..RouteLimits::DEFAULT };
        let policy = Policy { overrides: &[("/alerts", NOTIFICATION)], ..Policy::default() };
        (only_known_hosts(webhook::router(self.clone()), allowed_hosts), policy)
    }

    pub(crate) fn board(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
