//! Rate, errors and durations of spans, made as they arrive. They outlive the traces.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::{
    BUCKET_NS, Bucket, Rollup, SpanKind, TraceId,
    fragment::{Entry, Fragment, Op},
};

/// How long they are kept.
const KEPT_NS: u64 = 3_600_000_000_000;

/// How many (service, operation, kind) there are at most; what comes later counts as `(other)` of its service. All of them full: 20 MB.
const SERIES: usize = 256;

/// How many of them a single service has at most, so that one with ids in its names leaves room.
const OF_ONE_SERVICE: usize = 128;

/// How many (service, kind) have an `(other)` of their own; what comes later counts as `(other)` of `(other)`. All of them full: 5 MB.
const OTHERS: usize = 64;

/// The name of what has no room.
pub(crate) const OTHER: &str = "(other)";

/// Names longer than this count as `(other)` too.
const NAME_BYTES: usize = 200;

/// The rollups, each with its buckets by time.
#[derive(Debug, Default)]
pub(super) struct Red {
    series: HashMap<Arc<Op>, VecDeque<Bucket>>,
    /// How many of them each service has.
    counts: HashMap<Arc<str>, usize>,
    /// Of services that have no room, or none any more.
    others: HashMap<(Arc<str>, SpanKind), VecDeque<Bucket>>,
    other: HashMap<SpanKind, VecDeque<Bucket>>,
    /// Up to when everything has been forgotten.
    forgotten: u64,
}

impl Red {
    /// Counts spans by their end; those that ended more than an hour ago are left out, those of the future end now.
    pub(super) fn add(&mut self, fragments: &[(TraceId, Fragment)], now: u64) {
        self.forget(now);
        for entry in fragments.iter().flat_map(|(_, it)| &it.index) {
            let end = entry.end.max(entry.start).min(now);
            let bucket = end - end % BUCKET_NS;
            if bucket >= self.forgotten {
                add(self.buckets(entry), bucket, entry);
            }
        }
    }

    fn buckets(&mut self, entry: &Entry) -> &mut VecDeque<Bucket> {
        let op = &entry.op;
        if self.series.contains_key(op) || self.take_room(op) {
            return self.series.entry(Arc::clone(op)).or_default();
        }
        let key = (Arc::clone(&op.service), op.kind);
        let own = self.others.len() < OTHERS && op.service.len() <= NAME_BYTES;
        if own || self.others.contains_key(&key) {
            return self.others.entry(key).or_default();
        }
        self.other.entry(op.kind).or_default()
    }

    fn take_room(&mut self, op: &Op) -> bool {
        let short = op.name.len() <= NAME_BYTES && op.service.len() <= NAME_BYTES;
        if !short || self.series.len() >= SERIES {
            return false;
        }
        let count = self.counts.entry(Arc::clone(&op.service)).or_default();
        let room = *count < OF_ONE_SERVICE;
        *count += usize::from(room);
        room
    }

    /// What there is of `since..until`.
    pub(super) fn read(&mut self, since: u64, until: u64, now: u64) -> Vec<Rollup> {
        self.forget(now);
        let within = |buckets: &VecDeque<Bucket>| -> Vec<Bucket> {
            let fits = |it: &&Bucket| it.start_ns + BUCKET_NS > since && it.start_ns < until;
            buckets.iter().filter(fits).cloned().collect()
        };
        let named = self.series.iter().map(|(op, buckets)| Rollup {
            service: Arc::clone(&op.service),
            operation: Arc::clone(&op.name),
            kind: op.kind,
            buckets: within(buckets),
        });
        let others = self.others.iter().map(|((service, kind), buckets)| Rollup {
            service: Arc::clone(service),
            operation: OTHER.into(),
            kind: *kind,
            buckets: within(buckets),
        });
        let other = self.other.iter().map(|(kind, buckets)| Rollup {
            service: OTHER.into(),
            operation: OTHER.into(),
            kind: *kind,
            buckets: within(buckets),
        });
        let mut rollups: Vec<Rollup> =
            named.chain(others).chain(other).filter(|it| !it.buckets.is_empty()).collect();
        rollups.sort_by(|a, b| {
            (&a.service, &a.operation, a.kind).cmp(&(&b.service, &b.operation, b.kind))
        });
        rollups
    }

    /// Once in ten seconds, not with each span.
    fn forget(&mut self, now: u64) {
        let oldest = now.saturating_sub(KEPT_NS);
        let oldest = oldest - oldest % BUCKET_NS;
        if oldest <= self.forgotten {
            return;
        }
        self.forgotten = oldest;
        let forget = |buckets: &mut VecDeque<Bucket>| {
            while buckets.front().is_some_and(|it| it.start_ns < oldest) {
                buckets.pop_front();
            }
            !buckets.is_empty()
        };
        self.series.retain(|_, buckets| forget(buckets));
        self.counts.clear();
        for op in self.series.keys() {
            *self.counts.entry(Arc::clone(&op.service)).or_default() += 1;
        }
        self.others.retain(|_, buckets| forget(buckets));
        self.other.retain(|_, buckets| forget(buckets));
    }
}

fn add(buckets: &mut VecDeque<Bucket>, start: u64, entry: &Entry) {
    // Mostly the last one: spans arrive soon after their end.
    let at = buckets.iter().rposition(|it| it.start_ns <= start);
    let at = match at {
        Some(at) if buckets[at].start_ns == start => at,
        before => {
            let at = before.map_or(0, |it| it + 1);
            buckets.insert(at, Bucket::empty(start));
            at
        }
    };
    buckets[at].add(entry.duration(), entry.error);
}
