//! The metrics of the sidecar, a function each. They are declared in `observability/schema`.

use std::{sync::Arc, time::Duration};

use metrics::{counter, describe_counter, describe_gauge, gauge};
use spool::Reason;
use tokio_util::sync::CancellationToken;

use crate::{
    Store,
    agent::{Agent, Pipeline},
    alerts::Board,
    store::Stats,
};

const RECEIVED: &str = "sidecar_received_items_total";
const PUSHED: &str = "sidecar_pushed_lines_total";
const REJECTED: &str = "sidecar_rejected_items_total";
const REFUSED: &str = "sidecar_refused_requests_total";
const EVICTED: &str = "sidecar_evicted_items_total";
const SPOOLED: &str = "sidecar_spool_received_items_total";
const DELIVERED: &str = "sidecar_delivered_items_total";
const DROPPED: &str = "sidecar_dropped_items_total";
const REDELIVERED: &str = "sidecar_redelivered_items_total";
const WAITING: &str = "sidecar_spool_items";
const SPOOL_BYTES: &str = "sidecar_spool_bytes";
const SPOOL_LIMIT: &str = "sidecar_spool_limit_bytes";
const UNACCOUNTED: &str = "sidecar_unaccounted_items";
const BYTES: &str = "sidecar_store_bytes";
const LIMIT: &str = "sidecar_store_limit_bytes";
const ALERTS: &str = "sidecar_alerts_received_total";
const FORGOTTEN: &str = "sidecar_alerts_forgotten_total";
const HEARTBEAT: &str = "sidecar_alerts_watchdog_timestamp_seconds";

/// Why a whole request is refused.
const REASONS: [&str; 8] =
    ["too_large", "bad_data", "content_type", "encoding", "full", "spool", "slow", "address"];

/// Describes all, and begins every counter at 0, so that its first event is an increase.
pub(crate) fn start() {
    describe_counter!(RECEIVED, "Spans, log records and data points that arrived and are kept");
    describe_counter!(PUSHED, "Log records among them that arrived by Loki's push API");
    describe_counter!(
        REJECTED,
        "Spans, log records and data points refused in a request that was accepted"
    );
    describe_counter!(REFUSED, "Requests to the receivers that were refused as a whole");
    describe_counter!(EVICTED, "Spans and log records that had to leave for newer ones");
    describe_counter!(SPOOLED, "Items that were put into the spool, since the spool began");
    describe_counter!(DELIVERED, "Items of the spool that the destination has acknowledged");
    describe_counter!(DROPPED, "Items of the spool that were given up");
    describe_counter!(
        REDELIVERED,
        "Items that were sent again after an attempt with an unknown end, which the destination may have twice"
    );
    describe_gauge!(WAITING, "Items that wait in the spool");
    describe_gauge!(SPOOL_BYTES, "Bytes that the spool takes");
    describe_gauge!(SPOOL_LIMIT, "Bytes that the spool may take");
    describe_gauge!(
        UNACCOUNTED,
        "Received less delivered, dropped and waiting items of the spool: not 0 when somebody took segments away"
    );
    describe_gauge!(BYTES, "Memory that the kept spans and log records take");
    describe_gauge!(LIMIT, "Memory that the kept spans and log records may take");
    describe_counter!(ALERTS, "Alerts that Alertmanager has told of, each time that it did");
    describe_counter!(FORGOTTEN, "Alerts and changes that had to leave for newer ones");
    describe_gauge!(HEARTBEAT, "When the watchdog was heard last, in Unix time; 0 before that");
    for signal in ["traces", "logs", "metrics"] {
        counter!(RECEIVED, "signal" => signal).increment(0);
        counter!(REJECTED, "signal" => signal).increment(0);
    }
    for status in ["firing", "resolved"] {
        counter!(ALERTS, "status" => status).increment(0);
    }
    pushed(0);
    for reason in REASONS {
        counter!(REFUSED, "reason" => reason).increment(0);
    }
    stored(&Stats::default());
}

pub(crate) fn received(signal: &'static str, accepted: u64, rejected: u64) {
    counter!(RECEIVED, "signal" => signal).increment(accepted);
    counter!(REJECTED, "signal" => signal).increment(rejected);
}

/// Lines of Loki's push API; [`received`] counts them, too.
pub(crate) fn pushed(lines: u64) {
    counter!(PUSHED).increment(lines);
}

/// `reason` is one of [`REASONS`].
pub(crate) fn refused(reason: &'static str) {
    counter!(REFUSED, "reason" => reason).increment(1);
}

/// Alertmanager has told of an alert.
pub(crate) fn alert_received(resolved: bool) {
    let status = if resolved { "resolved" } else { "firing" };
    counter!(ALERTS, "status" => status).increment(1);
}

/// What the record of alerts says about itself.
pub(crate) fn alerts(board: &Board) {
    let forgotten = board.forgotten();
    counter!(FORGOTTEN, "record" => "alerts").absolute(forgotten.alerts);
    counter!(FORGOTTEN, "record" => "changes").absolute(forgotten.changes);
    gauge!(HEARTBEAT).set(board.heartbeat().map_or(0.0, |at| at as f64 / 1e9));
}

/// Absolute, because the books are older than the process.
fn booked(pipeline: &Pipeline) {
    let (signal, books) = (pipeline.signal(), pipeline.books());
    counter!(SPOOLED, "signal" => signal).absolute(books.received);
    counter!(DELIVERED, "signal" => signal).absolute(books.delivered);
    counter!(REDELIVERED, "signal" => signal).absolute(books.redelivered);
    for reason in Reason::ALL {
        counter!(DROPPED, "signal" => signal, "reason" => reason.as_str())
            .absolute(books.dropped(reason));
    }
    gauge!(WAITING, "signal" => signal).set(books.in_spool.units as f64);
    gauge!(SPOOL_BYTES, "signal" => signal).set(books.disk_bytes as f64);
    gauge!(SPOOL_LIMIT, "signal" => signal).set(pipeline.limit() as f64);
    gauge!(UNACCOUNTED, "signal" => signal).set(books.unaccounted() as f64);
}

fn stored(stats: &Stats) {
    for (signal, bytes, limit, evicted) in [
        ("traces", stats.span_bytes, stats.span_limit, stats.evicted_spans),
        ("logs", stats.log_bytes, stats.log_limit, stats.evicted_logs),
    ] {
        gauge!(BYTES, "signal" => signal).set(bytes as f64);
        gauge!(LIMIT, "signal" => signal).set(limit as f64);
        counter!(EVICTED, "signal" => signal).absolute(evicted);
    }
}

/// Keeps the books of the agent fresh, until its last.
pub(crate) async fn watch_agent(agent: Agent, ending: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    while ending.run_until_cancelled(tick.tick()).await.is_some() {
        agent.pipelines().iter().for_each(booked);
    }
}

/// Keeps the figures of the store fresh, and says once when it is full for the first time. Ends with `stopping`.
pub(crate) async fn watch(store: Arc<dyn Store>, stopping: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut told = [false; 2];
    while stopping.run_until_cancelled(tick.tick()).await.is_some() {
        let stats = store.stats();
        stored(&stats);
        let kinds = [
            ("spans", stats.evicted_spans, "SIDECAR_TRACES_MEMORY"),
            ("log records", stats.evicted_logs, "SIDECAR_LOGS_MEMORY"),
        ];
        for (told, (kind, evicted, setting)) in told.iter_mut().zip(kinds) {
            if evicted > 0 && !*told {
                *told = true;
                tracing::info!(
                    setting,
                    "the store is full: from now on the oldest {kind} leave for new ones"
                );
            }
        }
    }
}
