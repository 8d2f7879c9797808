//! The metrics of accounts. They are declared in `observability/schema`.

use std::num::NonZeroUsize;

use metrics::{
    Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

/// Describes all, and begins every counter at 0, so that its first event is an increase.
pub(crate) fn start() {
    describe_counter!("accounts_sign_ups_total", "People who signed up");
    describe_counter!("accounts_sign_ins_total", "Passwords that were checked, by result");
    describe_counter!("accounts_exchanges_total", "Credentials exchanged for assertions");
    describe_gauge!("accounts_hashers_busy", "Passwords being hashed");
    describe_gauge!("accounts_hashers_limit", "Passwords that may be hashed at once");
    describe_histogram!("accounts_hash_duration_seconds", "Time that one password hash takes");
    describe_histogram!("accounts_hash_wait_seconds", "Time that a password waits for its hash");
    counter!("accounts_sign_ups_total").increment(0);
    for result in ["success", "refused", "busy", "error"] {
        counter!("accounts_sign_ins_total", "result" => result).increment(0);
    }
    for scheme in ["token", "basic", "other"] {
        for result in ["success", "refused", "busy", "error"] {
            let labels = [("scheme", scheme), ("result", result)];
            counter!("accounts_exchanges_total", &labels).increment(0);
        }
    }
}

/// Somebody signed up.
pub(crate) fn signed_up() {
    counter!("accounts_sign_ups_total").increment(1);
}

/// A password was checked. `result`: success, refused, busy (503), error.
pub(crate) fn signed_in(result: &'static str) {
    counter!("accounts_sign_ins_total", "result" => result).increment(1);
}

/// A credential came to be exchanged. `scheme`: token, basic, other; `result`: success, refused, busy (503), error.
pub(crate) fn exchanged(scheme: &'static str, result: &'static str) {
    counter!("accounts_exchanges_total", "scheme" => scheme, "result" => result).increment(1);
}

/// The handles of what is measured about hashing: taken once, because it happens on threads for blocking work.
#[derive(Clone)]
pub(crate) struct Hashing {
    /// How many are at work.
    pub(crate) busy: Gauge,
    /// Time in the queue, also of those who were refused in the end.
    pub(crate) waited: Histogram,
    /// Time of the work.
    pub(crate) took: Histogram,
}

impl Hashing {
    pub(crate) fn new(limit: NonZeroUsize) -> Hashing {
        gauge!("accounts_hashers_limit").set(limit.get() as f64);
        Hashing {
            busy: gauge!("accounts_hashers_busy"),
            waited: histogram!("accounts_hash_wait_seconds"),
            took: histogram!("accounts_hash_duration_seconds"),
        }
    }
}
