//! Which traces are worth keeping, decided when they are complete: all with an error, all slow ones, a share of the rest.
//!
//! Spans go into the spool as they come, and are read behind: not before they are so old that the rest of their trace will be here. What was
//! seen of a trace meanwhile decides, once for all its spans; later ones follow the decision. Only what is unusual is remembered until then,
//! an id each. The share is taken by the id, so several agents decide alike, and a decision that had to be forgotten comes out the same,
//! unless an error or slowness made it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, Span, status::StatusCode},
};
use prost::Message;

use crate::store::TraceId;

/// Ids of unusual traces that are remembered, and decisions, each: 3 MB. The oldest are forgotten.
const REMEMBERED: usize = 64 << 10;

/// Decides about traces.
#[derive(Debug)]
pub(crate) struct Sampler {
    ratio: f64,
    slow: Duration,
    wait: Duration,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Traces with an error or a slow span.
    unusual: Remembered<()>,
    /// Traces that were decided about, and whether they are kept.
    decided: Remembered<bool>,
}

impl Sampler {
    /// Keeps every trace with an error or with a span of `slow` or more, and `ratio` of the others, `wait` after a span arrived.
    pub(crate) fn new(ratio: f64, slow: Duration, wait: Duration) -> Sampler {
        Sampler { ratio, slow, wait, seen: Mutex::default() }
    }

    /// How old a span has to be before its trace is decided about.
    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    /// Notes what is unusual in spans that arrive.
    pub(crate) fn observe(&self, spans: &[ResourceSpans]) {
        let scopes = spans.iter().flat_map(|it| &it.scope_spans);
        let unusual = scopes.flat_map(|it| &it.spans).filter(|it| self.is_unusual(it));
        let mut ids = unusual.filter_map(|it| TraceId::from_bytes(&it.trace_id)).peekable();
        if ids.peek().is_some() {
            let mut seen = self.seen();
            ids.for_each(|id| seen.unusual.remember(id, ()));
        }
    }

    /// Notes what is unusual in a request that waited in the spool when the agent started.
    pub(crate) fn observe_request(&self, request: &[u8]) {
        if let Ok(request) = ExportTraceServiceRequest::decode(request) {
            self.observe(&request.resource_spans);
        }
    }

    /// A request without the spans that are not kept, and how many those were. What is left may be empty.
    pub(crate) fn sample(&self, request: Bytes) -> (Bytes, u64) {
        // It was decoded before it went into the spool.
        let Ok(mut decoded) = ExportTraceServiceRequest::decode(request.clone()) else {
            return (request, 0);
        };
        // Of these spans nothing may have been forgotten, however many traces are unusual.
        self.observe(&decoded.resource_spans);
        let mut dropped = 0;
        let mut seen = self.seen();
        for resource in &mut decoded.resource_spans {
            for scope in &mut resource.scope_spans {
                scope.spans.retain(|span| {
                    let keep = TraceId::from_bytes(&span.trace_id)
                        .is_none_or(|id| self.decide(&mut seen, id));
                    dropped += u64::from(!keep);
                    keep
                });
            }
            resource.scope_spans.retain(|it| !it.spans.is_empty());
        }
        drop(seen);
        if dropped == 0 {
            return (request, 0);
        }
        decoded.resource_spans.retain(|it| !it.scope_spans.is_empty());
        (decoded.encode_to_vec().into(), dropped)
    }

    fn decide(&self, seen: &mut Seen, id: TraceId) -> bool {
        if let Some(keep) = seen.decided.get(&id) {
            return keep;
        }
        let keep = seen.unusual.get(&id).is_some() || self.is_in_share(id);
        seen.decided.remember(id, keep);
        keep
    }

    /// By the 56 bits that W3C's Trace Context says are random, as far as a float has place for them.
    fn is_in_share(&self, id: TraceId) -> bool {
        let random = id.0[9..].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        ((random >> 3) as f64) < self.ratio * (1_u64 << 53) as f64
    }

    fn is_unusual(&self, span: &Span) -> bool {
        let failed = span.status.as_ref().is_some_and(|it| it.code() == StatusCode::Error);
        let took = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
        failed || u128::from(took) >= self.slow.as_nanos()
    }

    /// Each change is complete before anything in it can panic: going on is right.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The latest so many ids with what is known of each.
#[derive(Debug)]
struct Remembered<T> {
    known: HashMap<TraceId, T>,
    order: VecDeque<TraceId>,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Remembered { known: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T: Copy> Remembered<T> {
    fn get(&self, id: &TraceId) -> Option<T> {
        self.known.get(id).copied()
    }

    fn remember(&mut self, id: TraceId, what: T) {
        if self.known.insert(id, what).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Status};

    use super::*;

    const SLOW: Duration = Duration::from_secs(1);

    fn span(trace: u8, failed: bool, took: Duration) -> Span {
        let mut trace_id = vec![0xff; 16];
        trace_id[0] = trace;
        let code = if failed { StatusCode::Error } else { StatusCode::Unset };
        Span {
            trace_id,
            span_id: vec![1; 8],
            start_time_unix_nano: 1,
            end_time_unix_nano: 1 + took.as_nanos() as u64,
            status: Some(Status { code: code.into(), ..Status::default() }),
            ..Span::default()
        }
    }

    fn request(spans: &[Span]) -> ExportTraceServiceRequest {
        let scope_spans = vec![ScopeSpans { spans: spans.to_vec(), ..ScopeSpans::default() }];
        let resource = ResourceSpans { scope_spans, ..ResourceSpans::default() };
        ExportTraceServiceRequest { resource_spans: vec![resource] }
    }

    /// The first bytes of the ids of the traces that are left.
    fn left(sampler: &Sampler, spans: &[Span]) -> (HashSet<u8>, u64) {
        let (rest, dropped) = sampler.sample(request(spans).encode_to_vec().into());
        let rest = ExportTraceServiceRequest::decode(rest).unwrap();
        let scopes = rest.resource_spans.iter().flat_map(|it| &it.scope_spans);
        (scopes.flat_map(|it| &it.spans).map(|it| it.trace_id[0]).collect(), dropped)
    }

    #[test]
    fn errors_and_slow_ones_are_kept_whole_and_late_spans_follow_the_decision() {
        let sampler = Sampler::new(0.0, SLOW, SLOW);
        let quick = |trace| span(trace, false, Duration::ZERO);
        let (failed, slow) = (span(1, true, Duration::ZERO), span(2, false, SLOW));
        let early = [quick(1), quick(2), quick(3)];
        // The parts that make them unusual come last.
        for part in [&early[..], &[failed.clone(), slow.clone()]] {
            sampler.observe(&request(part).resource_spans);
        }
        assert_eq!(left(&sampler, &early), ([1, 2].into(), 1));
        assert_eq!(left(&sampler, &[failed, slow]), ([1, 2].into(), 0));
        // Trace 3 was given up: an error that comes now would be a trace without its beginning.
        let late = [span(3, true, Duration::ZERO)];
        sampler.observe(&request(&late).resource_spans);
        assert_eq!(left(&sampler, &late), ([].into(), 1));
        assert_eq!(left(&sampler, &[quick(1)]), ([1].into(), 0));
    }

    /// A batch that has to be tried again is sampled again: of it nothing may be decided anew, whatever has been seen meanwhile.
    #[test]
    fn a_second_attempt_decides_as_the_first() {
        let sampler = Sampler::new(0.5, SLOW, SLOW);
        let span_of = |number: u64, failed| {
            let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let trace_id = [[1; 8], random.to_be_bytes()].concat();
            Span { trace_id, ..span(0, failed, Duration::ZERO) }
        };
        let batch: Vec<Span> = (0..8192).map(|it| span_of(it, it % 100 == 0)).collect(); // as many as go at once
        let batch = Bytes::from(request(&batch).encode_to_vec());
        let first = sampler.sample(batch.clone());
        assert!((3_000..5_000).contains(&first.1), "{}", first.1);
        for attempt in 0..3 {
            // Errors of all these traces, and so many of others that what was unusual is forgotten.
            let late = (0..8192).map(|it| span_of(it, true));
            let others =
                (0..REMEMBERED as u64).map(|it| span_of(10_000 * (attempt + 1) + it, true));
            let seen: Vec<Span> = late.chain(others).collect();
            sampler.observe(&request(&seen).resource_spans);
            assert!(sampler.sample(batch.clone()) == first, "attempt {attempt}");
        }
    }

    #[test]
    fn the_share_of_the_rest_is_taken_by_the_id_and_the_same_everywhere() {
        let (one, other) = (Sampler::new(0.25, SLOW, SLOW), Sampler::new(0.25, SLOW, SLOW));
        let id = |number: u64| {
            let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15); // as random as an id
            TraceId::from_bytes(&[[1; 8], random.to_be_bytes()].concat()).unwrap()
        };
        let kept = (0..40_000).filter(|number| one.is_in_share(id(*number))).count();
        assert!((9_500..10_500).contains(&kept), "{kept}");
        assert!((0..1000).all(|it| one.is_in_share(id(it)) == other.is_in_share(id(it))));
        let all = Sampler::new(1.0, SLOW, SLOW);
        assert!(all.is_in_share(TraceId::from_bytes(&[0xff; 16]).unwrap()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut remembered = Remembered::default();
        for number in 0..REMEMBERED as u128 + 10 {
            let id = TraceId::from_bytes(&(number + 1).to_be_bytes()).unwrap();
            remembered.remember(id, ());
            remembered.remember(id, ());
        }
        assert_eq!((remembered.known.len(), remembered.order.len()), (REMEMBERED, REMEMBERED));
        assert!(remembered.get(&TraceId::from_bytes(&1_u128.to_be_bytes()).unwrap()).is_none());
    }
}
