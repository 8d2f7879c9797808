//! Whether the service lives, has started, and wants requests.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// What the service awaits before it is ready, and whether it is stopping. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    awaited: Mutex<Vec<&'static str>>,
    started: AtomicBool,
    stopping: AtomicBool,
}

/// Something that has to be done before the service is ready: drop it when it is.
#[derive(Debug)]
#[must_use = "the service counts as ready once its latches are dropped"]
pub struct Latch {
    health: Health,
    name: &'static str,
}

impl Health {
    /// Of a service that awaits nothing yet.
    pub fn new() -> Health {
        Health::default()
    }

    /// The service is not ready before the latch is dropped. `name` is what `/health/ready` calls it.
    pub fn latch(&self, name: &'static str) -> Latch {
        self.awaited().push(name);
        Latch { health: self.clone(), name }
    }

    /// From now on the service asks to be left out: it is about to stop.
    pub fn stop_ready(&self) {
        self.inner.stopping.store(true, Ordering::Relaxed);
    }

    fn awaited(&self) -> std::sync::MutexGuard<'_, Vec<&'static str>> {
        self.inner.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        let mut awaited = self.health.awaited();
        if let Some(at) = awaited.iter().position(|name| *name == self.name) {
            awaited.swap_remove(at);
        }
        if awaited.is_empty() {
            self.health.inner.started.store(true, Ordering::Relaxed);
        }
    }
}
