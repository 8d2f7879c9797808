//! The names that this crate emits. `observability/schema` declares them; a test compares both.

use metrics::Unit;

/// Bounds of request durations in seconds: OpenTelemetry's advice for HTTP, which has every objective of ours (100, 250, 500 ms) on a bound.
pub const BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Bounds of database operations in seconds: OpenTelemetry's advice.
pub(crate) const DB_BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

pub(crate) const DB_DURATION: &str = "db_client_operation_duration_seconds";
pub(crate) const STDOUT_DROPPED: &str = "telemetry_stdout_dropped_lines";
pub(crate) const RUNTIME_WORKERS: &str = "tokio_runtime_workers";
pub(crate) const RUNTIME_TASKS: &str = "tokio_runtime_alive_tasks";
pub(crate) const RUNTIME_QUEUE: &str = "tokio_runtime_global_queue_depth";

/// What `/metrics` says about the gauges above.
pub(crate) const HELP: [(&str, Unit, &str); 5] = [
    (DB_DURATION, Unit::Seconds, "Time that a statement takes, the wait for a connection included"),
    (
        STDOUT_DROPPED,
        Unit::Count,
        "Lines for stdout that were dropped because nobody read it or it could not be written, of all services of the process",
    ),
    (RUNTIME_WORKERS, Unit::Count, "Threads that run the service's tasks"),
    (RUNTIME_TASKS, Unit::Count, "Tasks of the service that have not ended"),
    (
        RUNTIME_QUEUE,
        Unit::Count,
        "Tasks of the service that wait for a thread, besides those in the threads' own queues",
    ),
];
