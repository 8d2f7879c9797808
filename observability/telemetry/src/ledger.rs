//! The books of one signal: `enqueued = exported + dropped + failed + in queue`, whenever nothing is just on its way from one to the other.
//!
//! The SDK's batch processors drop silently when their queue is full and say nothing of what an exporter lost. So a gate stands in
//! front of them that lets in no more than they hold (their own queue is never full), and a wrapper around the exporter settles
//! each batch. Each term is counted where it happens; none is computed from the others.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter, LogProcessor, SdkLogRecord},
    trace::{Span, SpanData, SpanExporter, SpanProcessor},
};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use tracing::{Dispatch, dispatcher::with_default};

use crate::{
    export::Wire,
    metrics::{ByReason, Signals},
};

pub(crate) struct Ledger {
    signal: &'static str,
    capacity: i64,
    failing: AtomicBool,
    enqueued: Counter,
    exported: Counter,
    in_queue: Gauge,
    dropped: ByReason,
    failed: ByReason,
    lost_since_delivery: AtomicU64,
    /// Writes to stdout only: a line about the exporters must not go through them.
    status: Dispatch,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({})", self.signal)
    }
}

impl Ledger {
    pub(crate) fn new(
        signal: &'static str,
        capacity: usize,
        signals: &Signals,
        status: Dispatch,
    ) -> Ledger {
        signals.capacity(signal).set(capacity as i64);
        Ledger {
            signal,
            capacity: capacity as i64,
            failing: AtomicBool::new(false),
            enqueued: signals.enqueued(signal),
            exported: signals.exported(signal),
            in_queue: signals.in_queue(signal),
            dropped: signals.dropped(signal),
            failed: signals.failed(signal),
            lost_since_delivery: AtomicU64::new(0),
            status,
        }
    }

    /// Books one item, and says whether it may go on to the queue.
    fn admit(&self) -> bool {
        self.enqueued.inc();
        if self.in_queue.inc() >= self.capacity {
            self.in_queue.dec();
            self.dropped.reason("queue_full").inc();
            self.lost_since_delivery.fetch_add(1, Relaxed);
            return false;
        }
        true
    }

    /// Books the end of a batch of `items`, of which the receiver may have refused some.
    fn settle(&self, items: usize, result: &OTelSdkResult, wire: &Wire) {
        let items = items as u64;
        let (rejected, reason) = wire.take_outcome();
        let (lost, reason) = match result {
            Ok(()) => (rejected.min(items), "rejected"),
            Err(_) => (items, reason),
        };
        self.exported.inc_by(items - lost);
        if lost > 0 {
            self.failed.reason(reason).inc_by(lost);
            self.lost_since_delivery.fetch_add(lost, Relaxed);
        }
        // After the counters: an item is never in none of the terms. Before the lines, which take their time.
        self.in_queue.dec_by(items as i64);
        match result {
            Ok(()) => self.delivered(),
            Err(_) => self.failing(reason, wire.endpoint()),
        }
    }

    /// One line when exporting begins to fail, one when it is well again: an operator wants no more.
    fn failing(&self, reason: &'static str, endpoint: &str) {
        if !self.failing.swap(true, Relaxed) {
            let signal = self.signal;
            with_default(&self.status, || {
                tracing::warn!(
                    signal,
                    reason,
                    endpoint,
                    "cannot deliver {signal} to {endpoint} ({reason}); losses are counted in telemetry_failed_items_total and telemetry_dropped_items_total"
                );
            });
        }
    }

    fn delivered(&self) {
        let lost = self.lost_since_delivery.swap(0, Relaxed);
        if self.failing.swap(false, Relaxed) {
            let signal = self.signal;
            with_default(&self.status, || {
                tracing::info!(
                    signal,
                    lost,
                    "{signal} are delivered again; {lost} were lost meanwhile"
                );
            });
        }
    }

    /// The last word about this signal, where something was lost.
    pub(crate) fn report(&self) {
        let (signal, enqueued, exported) = (self.signal, self.enqueued.get(), self.exported.get());
        let (dropped, failed, left) =
            (self.dropped.total(), self.failed.total(), self.in_queue.get());
        if dropped + failed > 0 || left > 0 {
            with_default(&self.status, || {
                tracing::warn!(
                    signal,
                    enqueued,
                    exported,
                    dropped,
                    failed,
                    left,
                    "{signal} were lost: of {enqueued} enqueued {exported} were exported, {dropped} dropped, {failed} failed, {left} left in the queue"
                );
            });
        }
    }
}

/// The gate before a batch processor.
#[derive(Debug)]
pub(crate) struct Gate<P> {
    pub(crate) inner: P,
    pub(crate) ledger: Arc<Ledger>,
}

impl<P: SpanProcessor> SpanProcessor for Gate<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.ledger.admit() {
            self.inner.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: std::time::Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<P: LogProcessor> LogProcessor for Gate<P> {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if self.ledger.admit() {
            self.inner.emit(record, scope);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: std::time::Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// An exporter whose batches are booked.
#[derive(Debug)]
pub(crate) struct Booked<E> {
    pub(crate) inner: E,
    pub(crate) wire: Arc<Wire>,
    pub(crate) ledger: Arc<Ledger>,
}

impl<E: SpanExporter> SpanExporter for Booked<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let items = batch.len();
        let result = self.inner.export(batch).await;
        self.ledger.settle(items, &result, &self.wire);
        result
    }

    fn shutdown_with_timeout(&self, timeout: std::time::Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Booked<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let items = batch.iter().count();
        let result = self.inner.export(batch).await;
        self.ledger.settle(items, &result, &self.wire);
        result
    }

    fn shutdown_with_timeout(&self, timeout: std::time::Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt, sync::Mutex, time::Duration};

    use opentelemetry_sdk::error::OTelSdkError;
    use tracing::{Event, Subscriber, field::Field, field::Visit};
    use tracing_subscriber::{Layer, layer::Context as LayerContext, layer::SubscriberExt};

    use super::*;
    use crate::{config::Export, export};

    /// The text of each line.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
            event.record(&mut self.clone());
        }
    }

    impl Visit for Lines {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            if field.name() == "message" {
                self.0.lock().unwrap().push(format!("{value:?}"));
            }
        }
    }

    #[test]
    fn the_line_about_the_end_of_a_failure_counts_what_was_dropped_and_rejected_too() {
        let lines = Lines::default();
        let status = Dispatch::new(tracing_subscriber::registry().with(lines.clone()));
        let ledger = Ledger::new("traces", 2, &Signals::default(), status);
        let to = Export {
            endpoint: "http://127.0.0.1:1".to_owned(),
            timeout: Duration::from_secs(1),
            delay: Duration::from_secs(1),
            trace_queue: 2,
            log_queue: 2,
            traces: true,
            logs: true,
        };
        let wire = Wire::new(&export::http_client(&to).unwrap(), &to, "traces");
        let admit = |items| (0..items).filter(|_| ledger.admit()).count();
        // A burst that was over before the failure began has nothing to do with it.
        assert_eq!(admit(3), 2);
        ledger.settle(2, &Ok(()), &wire);
        assert_eq!(admit(5), 2);
        ledger.settle(2, &Err(OTelSdkError::InternalFailure(String::new())), &wire);
        assert_eq!(admit(2), 2);
        wire.rejects(1);
        ledger.settle(2, &Ok(()), &wire);
        assert_eq!(
            (ledger.dropped.total(), ledger.failed.total(), ledger.in_queue.get()),
            (4, 3, 0)
        );
        let lines = lines.0.lock().unwrap();
        assert_eq!(lines[1..], ["traces are delivered again; 6 were lost meanwhile"], "{lines:?}");
    }
}
