//! Questions to the store and their answers, apart from spans and logs themselves.

use std::sync::Arc;

use super::model::{SpanId, SpanKind, TraceId};

/// Which traces: those in which **one** span satisfies all of this, except the limit.
#[derive(Clone, Debug)]
pub struct TraceQuery {
    /// Its service; any, if `None`.
    pub service: Option<String>,
    /// Its name; any, if `None`.
    pub operation: Option<String>,
    /// Key and value as text, all of them. Looked up among the attributes of the span, its scope, its resource, its events and links;
    /// `error` (`true`, `false`), `span.kind`, `span.status` (`OK`, `ERROR`, `UNSET`), `scope.name`, `scope.version` mean these, and
    /// `resource.x` the resource's `x`.
    pub tags: Vec<(String, String)>,
    /// It starts then at the earliest.
    pub start_min: u64,
    /// It starts then at the latest.
    pub start_max: u64,
    /// It takes that long at least.
    pub duration_min: u64,
    /// It takes that long at most.
    pub duration_max: u64,
    /// It failed.
    pub errors_only: bool,
    /// Its trace comes after this one (start and id) in the list, whenever the span itself starts.
    pub after: Option<(u64, TraceId)>,
    /// How many traces at most, the latest.
    pub limit: usize,
}

impl Default for TraceQuery {
    /// The latest 100 traces.
    fn default() -> Self {
        TraceQuery {
            service: None,
            operation: None,
            tags: Vec::new(),
            start_min: 0,
            start_max: u64::MAX,
            duration_min: 0,
            duration_max: u64::MAX,
            errors_only: false,
            after: None,
            limit: 100,
        }
    }
}

/// The outline of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSummary {
    /// Its id.
    pub id: TraceId,
    /// Service of the earliest span without a parent (of several, that of the lowest id); empty where there is none.
    pub root_service: Arc<str>,
    /// Name of that span.
    pub root_operation: Arc<str>,
    /// When the first span starts.
    pub start_ns: u64,
    /// When the last span ends.
    pub end_ns: u64,
    /// How many spans.
    pub spans: usize,
    /// How many of them failed.
    pub errors: usize,
    /// How many of them have a parent that is not here.
    pub orphans: usize,
    /// The services in it, by name.
    pub services: Vec<ServiceCount>,
}

/// A service's part in a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceCount {
    /// The service.
    pub name: Arc<str>,
    /// How many spans.
    pub spans: usize,
    /// How many of them failed.
    pub errors: usize,
}

/// Something a service does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operation {
    /// The name of its spans.
    pub name: String,
    /// Their kind.
    pub kind: SpanKind,
}

/// Which log records; all of it has to be true.
#[derive(Clone, Debug)]
pub struct LogQuery {
    /// From this service.
    pub service: Option<String>,
    /// Of this severity at least (OTLP's number; 0 for all).
    pub severity: u8,
    /// With this text in the body, in any case.
    pub text: Option<String>,
    /// Written during this trace.
    pub trace_id: Option<TraceId>,
    /// Written during this span.
    pub span_id: Option<SpanId>,
    /// Arrived before the record of this sequence number.
    pub before: Option<u64>,
    /// How many at most, the latest.
    pub limit: usize,
}

impl Default for LogQuery {
    /// The latest 100.
    fn default() -> Self {
        LogQuery {
            service: None,
            severity: 0,
            text: None,
            trace_id: None,
            span_id: None,
            before: None,
            limit: 100,
        }
    }
}

/// A service that calls another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// The caller.
    pub parent: String,
    /// The called.
    pub child: String,
    /// Spans of the called whose parent is a span of the caller.
    pub calls: u64,
}

/// How full the store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Traces that are here, at least in part.
    pub traces: usize,
    /// Spans that are here, repeated ones counted each time.
    pub spans: usize,
    /// What they and their index take.
    pub span_bytes: usize,
    /// What they may take.
    pub span_limit: usize,
    /// Log records that are here.
    pub logs: usize,
    /// What they and their index take.
    pub log_bytes: usize,
    /// What they may take.
    pub log_limit: usize,
    /// Spans that had to leave since the start.
    pub evicted_spans: u64,
    /// Log records that had to leave since the start.
    pub evicted_logs: u64,
}

/// The width of a [`Bucket`]: 10 s.
pub const BUCKET_NS: u64 = 10_000_000_000;

/// How many classes of duration a [`Bucket`] has.
pub const LATENCY_BUCKETS: usize = 48;

/// The upper bound of a class of duration: 50 µs, each next one larger by the square root of 2; the last has no bound and tells its
/// lower one, about 7 minutes.
pub fn latency_bound_ns(class: usize) -> u64 {
    let class = class.min(LATENCY_BUCKETS - 2) as f64;
    (50_000.0 * (class / 2.0).exp2()) as u64
}

/// Rate, errors and durations of one kind of spans.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollup {
    /// The service; `(other)` for all those for which there is no room at all.
    pub service: Arc<str>,
    /// The name of the spans; `(other)` for those for which there is no room.
    pub operation: Arc<str>,
    /// Their kind.
    pub kind: SpanKind,
    /// By time; where nothing ended, there is none.
    pub buckets: Vec<Bucket>,
}

/// The spans of a [`Rollup`] that ended within 10 s.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// Where the 10 s begin: a multiple of [`BUCKET_NS`].
    pub start_ns: u64,
    /// How many.
    pub count: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How many are in each class of duration, see [`latency_bound_ns`].
    pub latency: [u32; LATENCY_BUCKETS],
}

impl Bucket {
    /// Nothing yet.
    pub fn empty(start_ns: u64) -> Bucket {
        Bucket { start_ns, count: 0, errors: 0, latency: [0; LATENCY_BUCKETS] }
    }

    /// Counts another span.
    pub fn add(&mut self, duration_ns: u64, error: bool) {
        self.count += 1;
        self.errors += u64::from(error);
        let fits = |class: &usize| duration_ns <= latency_bound_ns(*class);
        let class = (0..LATENCY_BUCKETS - 1).find(fits).unwrap_or(LATENCY_BUCKETS - 1);
        self.latency[class] = self.latency[class].saturating_add(1);
    }

    /// Counts all of another bucket; the start stays.
    pub fn merge(&mut self, other: &Bucket) {
        self.count += other.count;
        self.errors += other.errors;
        for (sum, more) in self.latency.iter_mut().zip(&other.latency) {
            *sum = sum.saturating_add(*more);
        }
    }

    /// The duration that a share (0 to 1) of the spans does not exceed, interpolated within its class; `None` without spans.
    pub fn quantile_ns(&self, share: f64) -> Option<u64> {
        let total: u64 = self.latency.iter().map(|&n| u64::from(n)).sum();
        if total == 0 {
            return None;
        }
        let rank = share.clamp(0.0, 1.0) * total as f64;
        let mut below = 0.0;
        for (class, &count) in self.latency.iter().enumerate() {
            let count = f64::from(count);
            if count > 0.0 && below + count >= rank {
                let lower = if class == 0 { 0 } else { latency_bound_ns(class - 1) };
                let width = latency_bound_ns(class).saturating_sub(lower) as f64;
                return Some(lower + (width * ((rank - below) / count).max(0.0)) as u64);
            }
            below += count;
        }
        None
    }
}

impl Rollup {
    /// All its buckets as one.
    pub fn total(&self) -> Bucket {
        let mut total = Bucket::empty(self.buckets.first().map_or(0, |it| it.start_ns));
        for bucket in &self.buckets {
            total.merge(bucket);
        }
        total
    }
}
