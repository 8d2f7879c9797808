//! The metrics of the gateway. They are declared in `observability/schema`.

use metrics::{counter, describe_counter};

const LOOKUPS: &str = "gateway_credential_lookups_total";

/// Describes all, and begins every counter at 0, so that its first event is an increase.
pub(crate) fn start() {
    describe_counter!(
        LOOKUPS,
        "Credentials that came with requests, by whether they were just exchanged"
    );
    for outcome in ["hit", "miss"] {
        counter!(LOOKUPS, "outcome" => outcome).increment(0);
    }
}

/// `outcome`: hit, miss.
pub(crate) fn looked_up(outcome: &'static str) {
    counter!(LOOKUPS, "outcome" => outcome).increment(1);
}
