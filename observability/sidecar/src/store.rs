//! What the sidecar keeps: spans and logs as they arrived, and rates made of them.
//!
//! Receivers add, the query APIs and the console read, all through [`Store`]; [`MemoryStore`] is the one there is. Times are nanoseconds
//! since 1970 (UTC), durations nanoseconds, sizes bytes.

mod decode;
mod fragment;
mod logs;
mod memory;
mod model;
mod query;
mod red;
mod search;
mod spans;

pub use memory::MemoryStore;
pub use model::{
    AnyValue, Attributes, Event, KeyValue, Link, LogRecord, Resource, Scope, Span, SpanId,
    SpanKind, Status, Trace, TraceId, value_text,
};
pub use query::{
    BUCKET_NS, Bucket, Dependency, LATENCY_BUCKETS, LogQuery, Operation, Rollup, ServiceCount,
    Stats, TraceQuery, TraceSummary, latency_bound_ns,
};

pub(crate) use decode::spans as decode_spans;
pub(crate) use fragment::ids;
pub(crate) use model::double_json;
pub(crate) use red::OTHER;

use opentelemetry_proto::tonic::{logs::v1::ResourceLogs, trace::v1::ResourceSpans};
use tokio::sync::broadcast;

/// Traces and logs.
///
/// The calls neither block on I/O nor wait for each other for long, but a search may decode a great deal: call `find_traces`, `summaries`,
/// `find_logs` and `dependencies` on a thread that may be busy for some milliseconds.
pub trait Store: Send + Sync + 'static {
    /// Keeps spans. Those without a valid trace and span id are rejected, each for itself; the others become visible at once.
    fn add_spans(&self, spans: Vec<ResourceSpans>) -> Added;

    /// Keeps log records. Ids that are not valid are dropped from the record, the record is kept.
    fn add_logs(&self, logs: Vec<ResourceLogs>) -> Added;

    /// The services that have spans here, sorted.
    fn services(&self) -> Vec<String>;

    /// The operations of a service, sorted by name, then kind.
    fn operations(&self, service: &str, kind: Option<SpanKind>) -> Vec<Operation>;

    /// The traces in which one span fits the whole query, the latest start first.
    fn find_traces(&self, query: &TraceQuery) -> Vec<Trace>;

    /// The outlines of the traces that `find_traces` finds, in the same order. Much cheaper than these.
    fn summaries(&self, query: &TraceQuery) -> Vec<TraceSummary>;

    /// A trace, as far as it is (still) here.
    fn trace(&self, id: TraceId) -> Option<Trace>;

    /// Log records, the latest arrival first.
    fn find_logs(&self, query: &LogQuery) -> Vec<LogRecord>;

    /// Rate, errors and duration per service, operation and kind, of spans that ended in `since..until`; the last hour is kept, also of
    /// spans that are not. Sorted by service, operation, kind.
    fn red(&self, since: u64, until: u64) -> Vec<Rollup>;

    /// Who calls whom how often, from the traces that start in `start..=end`. A service that calls itself is left out.
    fn dependencies(&self, start: u64, end: u64) -> Vec<Dependency>;

    /// How full it is.
    fn stats(&self) -> Stats;

    /// The ids of traces that get spans, as they arrive. Who reads too slowly misses some.
    fn subscribe(&self) -> broadcast::Receiver<TraceId>;
}

/// What became of one export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Spans or records that are kept.
    pub accepted: u64,
    /// Spans or records that are not.
    pub rejected: u64,
    /// Why the first of the rejected is not kept; empty if none was.
    pub reason: String,
}

#[cfg(test)]
mod tests;
