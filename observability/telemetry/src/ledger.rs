//! The books of one signal: `enqueued = exported + dropped + failed + in queue`.
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
    lost_since_warning: AtomicU64,
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
            lost_since_warning: AtomicU64::new(0),
            status,
        }
    }

    /// Books one item, and says whether it may go on to the queue.
    fn admit(&self) -> bool {
        self.enqueued.inc();
        if self.in_queue.inc() >= self.capacity {
            self.in_queue.dec();
            self.dropped.reason("queue_full").inc();
            return false;
        }
        true
    }

    /// Books the end of a batch of `items`, of which the receiver may have refused some.
    fn settle(&self, items: usize, result: &OTelSdkResult, wire: &Wire) {
        let items = items as u64;
        let (rejected, reason) = wire.take_outcome();
        match result {
            Ok(()) => {
                let rejected = rejected.min(items);
                self.exported.inc_by(items - rejected);
                if rejected > 0 {
                    self.failed.reason("rejected").inc_by(rejected);
                }
                self.recovered();
            }
            Err(_) => {
                self.failed.reason(reason).inc_by(items);
                self.failing(items, reason, wire.endpoint());
            }
        }
        self.in_queue.dec_by(items as i64); // last: an item is never in two terms' absence
    }

    /// One line when exporting begins to fail, one when it is well again: an operator wants no more.
    fn failing(&self, items: u64, reason: &'static str, endpoint: &str) {
        self.lost_since_warning.fetch_add(items, Relaxed);
        if !self.failing.swap(true, Relaxed) {
            let signal = self.signal;
            with_default(&self.status, || {
                tracing::warn!(
                    signal,
                    reason,
                    endpoint,
                    "cannot deliver {signal} to {endpoint} ({reason}); losses are counted in telemetry_failed_items_total"
                );
            });
        }
    }

    fn recovered(&self) {
        if self.failing.swap(false, Relaxed) {
            let (signal, lost) = (self.signal, self.lost_since_warning.swap(0, Relaxed));
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
