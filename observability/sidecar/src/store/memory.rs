//! The store in memory. Bytes are counted, the oldest arrivals leave first.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::SystemTime,
};

use opentelemetry_proto::tonic::{logs::v1::ResourceLogs, trace::v1::ResourceSpans};
use tokio::sync::broadcast;

use super::{
    Added, Dependency, LogQuery, LogRecord, Operation, Rollup, SpanKind, Stats, Store, Trace,
    TraceId, TraceQuery, TraceSummary,
    fragment::{self, Fragment},
    logs::{self, Logs},
    red::Red,
    search,
    spans::Spans,
};

/// How many ids a slow subscriber may be behind before it misses some.
const ARRIVALS: usize = 1024;

/// Traces and logs in memory, each within its own limit.
///
/// Work on content (encoding, decoding, comparing) happens outside of the locks: these guard moves of pointers, and scans of an index of
/// 56 bytes a span.
#[derive(Debug)]
pub struct MemoryStore {
    spans: RwLock<Spans>,
    logs: RwLock<Logs>,
    red: Mutex<Red>,
    arrivals: broadcast::Sender<TraceId>,
    clock: fn() -> u64,
}

impl MemoryStore {
    /// An empty store that keeps `span_bytes` of spans and `log_bytes` of logs, what is needed to find them included.
    pub fn new(span_bytes: usize, log_bytes: usize) -> MemoryStore {
        MemoryStore::with_clock(span_bytes, log_bytes, now)
    }

    /// With a clock that tells the nanoseconds since 1970.
    pub(crate) fn with_clock(span_bytes: usize, log_bytes: usize, clock: fn() -> u64) -> Self {
        MemoryStore {
            spans: RwLock::new(Spans::new(span_bytes)),
            logs: RwLock::new(Logs::new(log_bytes)),
            red: Mutex::default(),
            arrivals: broadcast::Sender::new(ARRIVALS),
            clock,
        }
    }

    // No lock is held across anything that panics by itself, and each change keeps the books before it can: going on is right.

    fn spans(&self) -> RwLockReadGuard<'_, Spans> {
        self.spans.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn spans_mut(&self) -> RwLockWriteGuard<'_, Spans> {
        self.spans.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn logs(&self) -> RwLockReadGuard<'_, Logs> {
        self.logs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn red_mut(&self) -> MutexGuard<'_, Red> {
        self.red.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn add_spans(&self, spans: Vec<ResourceSpans>) -> Added {
        let (fragments, added) = fragment::split(spans);
        self.red_mut().add(&fragments, (self.clock)());
        let ids: Vec<TraceId> = fragments.iter().map(|(id, _)| *id).collect();
        let evicted = self.spans_mut().add(fragments);
        drop(evicted); // after the lock: it can be much
        for id in ids {
            let _ = self.arrivals.send(id); // an error says that nobody listens
        }
        added
    }

    fn add_logs(&self, logs: Vec<ResourceLogs>) -> Added {
        let (batches, accepted) = logs::batches(logs);
        let evicted = self.logs.write().unwrap_or_else(PoisonError::into_inner).add(batches);
        drop(evicted);
        Added { accepted, ..Added::default() }
    }

    fn services(&self) -> Vec<String> {
        self.spans().services()
    }

    fn operations(&self, service: &str, kind: Option<SpanKind>) -> Vec<Operation> {
        self.spans().operations(service, kind)
    }

    fn find_traces(&self, query: &TraceQuery) -> Vec<Trace> {
        let candidates = self.spans().candidates(query);
        search::find(candidates, query, |_, fragments| fragment::trace(fragments))
    }

    fn summaries(&self, query: &TraceQuery) -> Vec<TraceSummary> {
        let candidates = self.spans().candidates(query);
        search::find(candidates, query, |id, fragments| Some(search::summary(id, fragments)))
    }

    fn trace(&self, id: TraceId) -> Option<Trace> {
        let fragments = self.spans().fragments(id)?;
        fragment::trace(&fragments)
    }

    fn find_logs(&self, query: &LogQuery) -> Vec<LogRecord> {
        let batches = self.logs().batches();
        logs::find(&batches, query)
    }

    fn red(&self, since: u64, until: u64) -> Vec<Rollup> {
        self.red_mut().read(since, until, (self.clock)())
    }

    fn dependencies(&self, start: u64, end: u64) -> Vec<Dependency> {
        let mut calls: HashMap<_, u64> = HashMap::new();
        let traces = self.spans().all();
        for fragments in traces {
            search::calls(&fragments, start, end, |parent, child| {
                *calls.entry((parent, child)).or_default() += 1;
            });
        }
        let mut dependencies: Vec<Dependency> = calls
            .into_iter()
            .map(|((parent, child), calls)| Dependency {
                parent: parent.to_string(),
                child: child.to_string(),
                calls,
            })
            .collect();
        dependencies.sort();
        dependencies
    }

    fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.spans().stats(&mut stats);
        self.logs().stats(&mut stats);
        stats
    }

    fn subscribe(&self) -> broadcast::Receiver<TraceId> {
        self.arrivals.subscribe()
    }
}

/// Spans of one trace, in the order of their arrival.
pub(super) type Fragments = Vec<std::sync::Arc<Fragment>>;

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
