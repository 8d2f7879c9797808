//! The metrics of accounts, a function each. They are declared in `observability/schema`.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

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
    for result in ["success", "refused", "busy"] {
        counter!("accounts_sign_ins_total", "result" => result).increment(0);
    }
    for scheme in ["token", "basic", "other"] {
        for result in ["success", "refused", "error"] {
            let labels = [("scheme", scheme), ("result", result)];
            counter!("accounts_exchanges_total", &labels).increment(0);
        }
    }
}

pub(crate) fn signed_up() {
    counter!("accounts_sign_ups_total").increment(1);
}

/// `result`: success, refused, busy.
pub(crate) fn signed_in(result: &'static str) {
    counter!("accounts_sign_ins_total", "result" => result).increment(1);
}

/// `scheme`: token, basic, other; `result`: success, refused, error.
pub(crate) fn exchanged(scheme: &'static str, result: &'static str) {
    counter!("accounts_exchanges_total", "scheme" => scheme, "result" => result).increment(1);
}

pub(crate) fn hashers(busy: usize, limit: usize) {
    gauge!("accounts_hashers_busy").set(busy as f64);
    gauge!("accounts_hashers_limit").set(limit as f64);
}

pub(crate) fn hashed(took: Duration) {
    histogram!("accounts_hash_duration_seconds").record(took);
}

pub(crate) fn hash_waited(waited: Duration) {
    histogram!("accounts_hash_wait_seconds").record(waited);
}
