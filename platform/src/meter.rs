//! What the server counts about connections and itself: a function per metric. Requests are measured by `telemetry::ServerLayer`.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::serve::cut::Cut;

/// Describes all, and begins every counter of the listener of `role` at 0, so that its first event is an increase.
pub(crate) fn start(role: &'static str) {
    describe_gauge!("http_server_connections", "Open connections");
    describe_counter!(
        "http_server_connections_refused_total",
        "Connections closed at once because too many were open"
    );
    describe_counter!("http_server_accept_errors_total", "Connections that could not be accepted");
    describe_counter!("http_server_connections_cut_total", "Connections that the server ended");
    describe_counter!("http_server_panics_total", "Panics that were caught");
    connections(role, 0);
    counter!("http_server_connections_refused_total", "role" => role).increment(0);
    counter!("http_server_accept_errors_total", "role" => role).increment(0);
    for cut in Cut::ALL {
        let labels = [("role", role), ("reason", cut.reason())];
        counter!("http_server_connections_cut_total", &labels).increment(0);
    }
    for place in ["handler", "connection"] {
        counter!("http_server_panics_total", "place" => place).increment(0);
    }
}

/// `http_server_connections`: how many are open on the listener of `role`.
pub(crate) fn connections(role: &'static str, open: usize) {
    gauge!("http_server_connections", "role" => role).set(open as f64);
}

/// `http_server_connections_refused_total`: closed as soon as it was accepted, because as many were open as may be.
pub(crate) fn connection_refused(role: &'static str) {
    counter!("http_server_connections_refused_total", "role" => role).increment(1);
}

/// `http_server_accept_errors_total`: the system had no descriptor or no memory for a connection.
pub(crate) fn accept_failed(role: &'static str) {
    counter!("http_server_accept_errors_total", "role" => role).increment(1);
}

/// `http_server_connections_cut_total`: ended by the server for a `reason` of [`Cut`].
pub(crate) fn connection_cut(role: &'static str, reason: &'static str) {
    counter!("http_server_connections_cut_total", "role" => role, "reason" => reason).increment(1);
}

/// `http_server_panics_total`: a handler, or the body of an answer, panicked.
pub(crate) fn panicked(place: &'static str) {
    counter!("http_server_panics_total", "place" => place).increment(1);
}
