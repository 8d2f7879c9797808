//! The metrics of accounts. They are declared in `observability/schema`.

use std::num::NonZeroUsize;

use metrics::{
    Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

/// How a check of a credential ends.
const RESULTS: [&str; 5] = ["success", "refused", "throttled", "busy", "error"];

/// Describes all, and begins every counter at 0, so that its first event is an increase.
pub(crate) fn start() {
    describe_counter!("accounts_sign_ups_total", "People who signed up");
    describe_counter!("accounts_sign_ins_total", "Passwords that were checked, by result");
    describe_counter!("accounts_throttled_total", "Attempts refused after too many, by scope");
    describe_counter!("accounts_sessions_started_total", "Browser sessions that began");
    describe_counter!(
        "accounts_sessions_ended_total",
        "Browser sessions ended by signing out or by another password"
    );
    describe_counter!("accounts_exchanges_total", "Credentials exchanged for assertions");
    describe_gauge!("accounts_tokens_ending", "Named tokens that end within 7 days");
    describe_gauge!("accounts_hashers_busy", "Passwords being hashed");
    describe_gauge!("accounts_hashers_limit", "Passwords that may be hashed at once");
    describe_histogram!("accounts_hash_duration_seconds", "Time that one password hash takes");
    describe_histogram!("accounts_hash_wait_seconds", "Time that a password waits for its hash");
    counter!("accounts_sign_ups_total").increment(0);
    counter!("accounts_sessions_started_total").increment(0);
    counter!("accounts_sessions_ended_total").increment(0);
    for scope in ["account", "address", "device", "sign_up"] {
        counter!("accounts_throttled_total", "scope" => scope).increment(0);
    }
    for result in RESULTS {
        counter!("accounts_sign_ins_total", "result" => result).increment(0);
    }
    for scheme in ["token", "session", "basic", "other"] {
        for result in RESULTS {
            let labels = [("scheme", scheme), ("result", result)];
            counter!("accounts_exchanges_total", &labels).increment(0);
        }
    }
}

/// Somebody signed up.
pub(crate) fn signed_up() {
    counter!("accounts_sign_ups_total").increment(1);
}

/// Something was refused after too many attempts. `scope`: account, address, device, `sign_up`.
pub(crate) fn throttled(scope: &'static str) {
    counter!("accounts_throttled_total", "scope" => scope).increment(1);
}

/// A browser session began.
pub(crate) fn session_started() {
    counter!("accounts_sessions_started_total").increment(1);
}

/// So many browser sessions were ended by their owner.
pub(crate) fn sessions_ended(count: u64) {
    counter!("accounts_sessions_ended_total").increment(count);
}

/// A password was to be checked. `result`: success, refused, throttled (429), busy (503), error.
pub(crate) fn signed_in(result: &'static str) {
    counter!("accounts_sign_ins_total", "result" => result).increment(1);
}

/// A credential came to be exchanged. `scheme`: token, session, basic, other; `result` as with [`signed_in`].
pub(crate) fn exchanged(scheme: &'static str, result: &'static str) {
    counter!("accounts_exchanges_total", "scheme" => scheme, "result" => result).increment(1);
}

/// So many tokens that people have named end within 7 days.
pub(crate) fn ending(tokens: i64) {
    gauge!("accounts_tokens_ending").set(tokens as f64);
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
