//! The spans of one trace that arrived together: encoded as OTLP, with an index beside them.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    mem::size_of,
    sync::Arc,
};

use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as WireSpan, TracesData, status::StatusCode,
};
use prost::Message;

use super::{Added, Span, SpanId, SpanKind, Trace, TraceId, decode};

/// What a service does: the same for many spans, kept once.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Op {
    pub(super) service: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) kind: SpanKind,
}

impl Op {
    /// What it takes in the table of all of them.
    pub(super) fn bytes(&self) -> usize {
        /// Counters of the three `Arc`s, the slot in the table.
        const OVERHEAD: usize = 6 * size_of::<usize>() + 2 * size_of::<usize>();
        size_of::<Op>() + OVERHEAD + self.service.len() + self.name.len()
    }
}

/// What a search needs to know of a span.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) span_id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) op: Arc<Op>,
    pub(super) error: bool,
    /// Equal for equal spans of equal senders.
    digest: u64,
}

impl Entry {
    pub(super) fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// The spans of one trace that arrived together.
#[derive(Debug)]
pub(super) struct Fragment {
    /// In the order of `data`.
    pub(super) index: Box<[Entry]>,
    /// `TracesData`.
    data: Box<[u8]>,
}

impl Fragment {
    /// What it takes: content, index, and its places in queue and trace; operations are counted for themselves.
    pub(super) fn bytes(&self) -> usize {
        const PLACES: usize = size_of::<Fragment>() + 3 * size_of::<usize>() + size_of::<TraceId>();
        PLACES + self.data.len() + self.index.len() * size_of::<Entry>()
    }

    /// Its spans in the order of the index.
    pub(super) fn decode(&self) -> Vec<Span> {
        // We encoded it.
        TracesData::decode(&*self.data)
            .map(|it| decode::spans(it.resource_spans))
            .unwrap_or_default()
    }

    /// Points to operations that are kept already.
    pub(super) fn intern(&mut self, mut op: impl FnMut(&Arc<Op>) -> Arc<Op>) {
        for entry in &mut self.index {
            entry.op = op(&entry.op);
        }
    }
}

/// The positions of the spans that are no repetition of an earlier one, with their index entries.
pub(super) fn distinct(
    fragments: &[Arc<Fragment>],
) -> impl Iterator<Item = (usize, usize, &Entry)> {
    let mut seen = HashSet::new();
    let all = fragments.iter().enumerate().flat_map(|(at, fragment)| {
        fragment.index.iter().enumerate().map(move |(i, entry)| (at, i, entry))
    });
    all.filter(move |(_, _, entry)| seen.insert((entry.span_id, entry.digest)))
}

/// The whole trace; `None` without spans.
pub(super) fn trace(fragments: &[Arc<Fragment>]) -> Option<Trace> {
    let mut decoded: Vec<Vec<Option<Span>>> =
        fragments.iter().map(|it| it.decode().into_iter().map(Some).collect()).collect();
    let mut spans: Vec<Span> = distinct(fragments)
        .filter_map(|(at, i, _)| decoded.get_mut(at)?.get_mut(i)?.take())
        .collect();
    spans.sort_by_key(|span| span.start_ns);
    Some(Trace { id: spans.first()?.trace_id, spans })
}

/// Sorts what arrived by trace, in the order of the first spans; what has no valid ids is rejected.
pub(super) fn split(resources: Vec<ResourceSpans>) -> (Vec<(TraceId, Fragment)>, Added) {
    let mut split = Split::default();
    for (resource_number, mut resource) in resources.into_iter().enumerate() {
        let service = decode::name_service(&mut resource.resource);
        let scopes = std::mem::take(&mut resource.scope_spans);
        let sender = digest(0, &resource);
        for (scope_number, mut scope) in scopes.into_iter().enumerate() {
            let spans = std::mem::take(&mut scope.spans);
            let maker = digest(sender, &scope);
            let place = Place { resource: &resource, scope: &scope, resource_number, scope_number };
            for span in spans {
                split.add(span, &service, maker, &place);
            }
        }
    }
    let fragments = split.parts.into_iter().map(|part| {
        let data = TracesData { resource_spans: part.resources }.encode_to_vec();
        (part.id, Fragment { index: part.index.into(), data: data.into() })
    });
    (fragments.collect(), split.added)
}

fn digest(seed: u64, message: &impl Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, message.encode_to_vec()).hash(&mut hasher);
    hasher.finish()
}

#[derive(Default)]
struct Split {
    parts: Vec<Part>,
    known: HashMap<TraceId, usize>,
    added: Added,
}

struct Part {
    id: TraceId,
    resources: Vec<ResourceSpans>,
    index: Vec<Entry>,
    /// Where the last span came from: the next one from there joins it.
    last: (usize, usize),
}

struct Place<'a> {
    resource: &'a ResourceSpans,
    scope: &'a ScopeSpans,
    resource_number: usize,
    scope_number: usize,
}

impl Split {
    fn add(&mut self, span: WireSpan, service: &Arc<str>, maker: u64, place: &Place<'_>) {
        let parent = match span.parent_span_id.as_slice() {
            [] => Ok(None),
            id if id.len() == 8 => Ok(SpanId::from_bytes(id)), // all zero says: none
            _ => Err("the parent_span_id of a span has to have 8 bytes or none"),
        };
        let id = TraceId::from_bytes(&span.trace_id)
            .ok_or("the trace_id of a span has to have 16 bytes, not all zero");
        let span_id = SpanId::from_bytes(&span.span_id)
            .ok_or("the span_id of a span has to have 8 bytes, not all zero");
        let (id, span_id, parent) = match (id, span_id, parent) {
            (Ok(id), Ok(span_id), Ok(parent)) => (id, span_id, parent),
            (Err(reason), _, _) | (_, Err(reason), _) | (_, _, Err(reason)) => {
                self.added.rejected += 1;
                if self.added.reason.is_empty() {
                    self.added.reason = reason.to_owned();
                }
                return;
            }
        };
        self.added.accepted += 1;
        let entry = Entry {
            span_id,
            parent,
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            op: Arc::new(Op {
                service: Arc::clone(service),
                name: span.name.as_str().into(),
                kind: SpanKind::from_number(span.kind),
            }),
            error: span.status.as_ref().is_some_and(|it| it.code() == StatusCode::Error),
            digest: digest(maker, &span),
        };
        self.part(id).add(span, entry, place);
    }

    fn part(&mut self, id: TraceId) -> &mut Part {
        let at = *self.known.entry(id).or_insert_with(|| {
            let last = (usize::MAX, usize::MAX);
            self.parts.push(Part { id, resources: Vec::new(), index: Vec::new(), last });
            self.parts.len() - 1
        });
        &mut self.parts[at]
    }
}

impl Part {
    fn add(&mut self, span: WireSpan, entry: Entry, place: &Place<'_>) {
        if self.last.0 != place.resource_number {
            self.resources.push(place.resource.clone());
            self.last = (place.resource_number, usize::MAX);
        }
        let Some(resource) = self.resources.last_mut() else { return };
        if self.last.1 != place.scope_number {
            resource.scope_spans.push(place.scope.clone());
            self.last.1 = place.scope_number;
        }
        let Some(scope) = resource.scope_spans.last_mut() else { return };
        scope.spans.push(span);
        self.index.push(entry);
    }
}
