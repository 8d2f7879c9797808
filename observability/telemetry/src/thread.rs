//! The only place where a thread learns which service it works for.
//!
//! Several services share a process (`cargo run`) and stay themselves because each has a runtime of its own: its threads, those for
//! tasks and those for blocking calls, get the service's subscriber and recorder when they start and lose them when they end. The
//! macros of `tracing` and `metrics` look there. Threads that no such runtime started (exporters, SQLite's workers, `main`) have
//! neither, which is why exporting never traces itself.

use std::{
    cell::RefCell,
    io,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use metrics::{LocalRecorderGuard, gauge, set_default_local_recorder};
use tokio::runtime::{Builder, Handle, Runtime};
use tracing::dispatcher::{DefaultGuard, set_default};

use crate::{Telemetry, schema};

thread_local! {
    static INSTALLED: RefCell<Option<(DefaultGuard, LocalRecorderGuard<'static>)>> =
        const { RefCell::new(None) };
}

pub(crate) fn install(telemetry: &Telemetry) {
    INSTALLED.with_borrow_mut(|installed| {
        // The old guards go first: each puts back what was there before it.
        *installed = None;
        let dispatch = set_default(&telemetry.inner.dispatch);
        let recorder = set_default_local_recorder(telemetry.inner.recorder);
        *installed = Some((dispatch, recorder));
    });
}

pub(crate) fn runtime(telemetry: &Telemetry, workers: usize) -> io::Result<Runtime> {
    let (name, started) = (telemetry.service().to_owned(), telemetry.clone());
    let number = AtomicUsize::new(0);
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .thread_name_fn(move || format!("{name}-{}", number.fetch_add(1, Relaxed)))
        .on_thread_start(move || install(&started))
        .on_thread_stop(|| INSTALLED.with_borrow_mut(|installed| *installed = None))
        .build()
}

/// The figures of the service's runtime: its saturation shows in the queue.
pub(crate) fn measure_runtime(runtime: &Handle) {
    let metrics = runtime.metrics();
    gauge!(schema::RUNTIME_WORKERS).set(metrics.num_workers() as f64);
    gauge!(schema::RUNTIME_TASKS).set(metrics.num_alive_tasks() as f64);
    gauge!(schema::RUNTIME_QUEUE).set(metrics.global_queue_depth() as f64);
}

/// `process_*`, as every Prometheus client has them. Services that share a process show the same figures.
pub(crate) fn measure_process() {
    let collector = metrics_process::Collector::default();
    collector.describe();
    collector.collect();
}
