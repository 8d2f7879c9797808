//! What time it is, for the age of records.

use std::time::{Instant, SystemTime};

/// Never goes back, and never stands still: a wall clock that is set back goes on from where it was, at the pace of the monotonic one.
/// One that is set forward is followed. Milliseconds since 1970.
pub(crate) struct Clock {
    read: Box<dyn Fn() -> Reading + Send + Sync>,
    /// What it told, and what the monotonic clock showed then.
    last: Reading,
}

/// Of both clocks, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) wall: u64,
    pub(crate) monotonic: u64,
}

impl Clock {
    pub(crate) fn system() -> Clock {
        let start = Instant::now();
        let millis = |it: std::time::Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
        Clock::reading(move || Reading {
            wall: SystemTime::UNIX_EPOCH.elapsed().map_or(0, millis),
            monotonic: millis(start.elapsed()),
        })
    }

    pub(crate) fn reading(read: impl Fn() -> Reading + Send + Sync + 'static) -> Clock {
        let last = Reading { wall: 0, monotonic: read().monotonic };
        Clock { read: Box::new(read), last }
    }

    /// What was stored at that time is not from the future, whatever the wall clock says after a restart.
    pub(crate) fn not_before(&mut self, time: u64) {
        self.last.wall = self.last.wall.max(time);
    }

    pub(crate) fn now(&mut self) -> u64 {
        let Reading { wall, monotonic } = (self.read)();
        let passed = monotonic.saturating_sub(self.last.monotonic);
        self.last = Reading { wall: self.last.wall.saturating_add(passed).max(wall), monotonic };
        self.last.wall
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({:?})", self.last)
    }
}
