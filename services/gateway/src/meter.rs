//! The metrics of the gateway. They are declared in `observability/schema`.

use metrics::{counter, describe_counter};

const LOOKUPS: &str = "gateway_credential_lookups_total";
const DEGRADED: &str = "gateway_degraded_answers_total";

/// Describes all, and begins every counter at 0, so that its first event is an increase.
pub(crate) fn start() {
    describe_counter!(
        LOOKUPS,
        "Credentials that came with requests, by whether they were just exchanged"
    );
    describe_counter!(DEGRADED, "Answers that were given without a service that was away");
    for service in ["accounts", "catalog", "wallet"] {
        counter!(DEGRADED, "service" => service).increment(0);
    }
    for outcome in ["hit", "miss"] {
        counter!(LOOKUPS, "outcome" => outcome).increment(0);
    }
}

/// `outcome`: hit, miss.
pub(crate) fn looked_up(outcome: &'static str) {
    counter!(LOOKUPS, "outcome" => outcome).increment(1);
}

/// `service`: accounts, catalog, wallet.
pub(crate) fn degraded(service: &'static str) {
    counter!(DEGRADED, "service" => service).increment(1);
}
