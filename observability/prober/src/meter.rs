//! The metrics of the prober. They are declared in `observability/schema`.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const RUNS: &str = "prober_runs_total";
const FAILURES: &str = "prober_step_failures_total";
const DURATION: &str = "prober_step_duration_seconds";
const SUCCESS: &str = "prober_success";

/// The steps of a run, in order.
pub(crate) const STEPS: [&str; 5] = ["sign_in", "search", "keep", "list", "drop"];

/// Describes all, and begins every counter at 0, so that its first event is an increase.
pub(crate) fn start() {
    describe_counter!(RUNS, "Walks through the public API, by how they ended");
    describe_counter!(FAILURES, "Steps that failed; a run ends with the first");
    describe_histogram!(DURATION, "Time that a step took, with all its requests");
    describe_gauge!(SUCCESS, "Whether the last run went through: 1 or 0");
    for result in ["success", "failure"] {
        counter!(RUNS, "result" => result).increment(0);
    }
    for step in STEPS {
        counter!(FAILURES, "step" => step).increment(0);
    }
}

/// A run has ended.
pub(crate) fn ran(success: bool) {
    let result = if success { "success" } else { "failure" };
    counter!(RUNS, "result" => result).increment(1);
    gauge!(SUCCESS).set(f64::from(u8::from(success)));
}

/// A step has ended; `step` is one of [`STEPS`].
pub(crate) fn step(step: &'static str, took: Duration, failed: bool) {
    histogram!(DURATION, "step" => step).record(took);
    counter!(FAILURES, "step" => step).increment(u64::from(failed));
}
