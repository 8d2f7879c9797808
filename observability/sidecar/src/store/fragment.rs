//! The spans of one trace that arrived together: encoded as OTLP, with an index beside them.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    mem::size_of,
    sync::Arc,
};

use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, Span as WireSpan, TracesData, status::StatusCode,
};
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint},
};

use super::{Added, Span, SpanId, SpanKind, Trace, TraceId, decode};

/// What the resources and scopes of one request may take in bytes, repeated for each of its traces.
const COPIES: usize = 64 << 20;

/// The numbers of OTLP's fields: of `TracesData`, `ResourceSpans` and `ScopeSpans`.
const RESOURCE_SPANS: u32 = 1;
const SCOPE_SPANS: u32 = 2;
const SPANS: u32 = 2;

/// Where no span comes from.
const NOWHERE: (usize, usize) = (usize::MAX, usize::MAX);

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

/// Trace, span and parent; an error says which of them is not valid.
pub(crate) fn ids(span: &WireSpan) -> Result<(TraceId, SpanId, Option<SpanId>), &'static str> {
    let id = TraceId::from_bytes(&span.trace_id)
        .ok_or("the trace_id of a span has to have 16 bytes, not all zero")?;
    let span_id = SpanId::from_bytes(&span.span_id)
        .ok_or("the span_id of a span has to have 8 bytes, not all zero")?;
    let parent = match span.parent_span_id.as_slice() {
        [] => None,
        id if id.len() == 8 => SpanId::from_bytes(id), // all zero says: none
        _ => return Err("the parent_span_id of a span has to have 8 bytes or none"),
    };
    Ok((id, span_id, parent))
}

/// Sorts what arrived by trace, in the order of the first spans; what has no valid ids is rejected, and what comes after so many traces
/// that the copies of resource and scope exceed [`COPIES`].
pub(super) fn split(resources: Vec<ResourceSpans>) -> (Vec<(TraceId, Fragment)>, Added) {
    let mut split = Split::default();
    for (resource_number, mut resource) in resources.into_iter().enumerate() {
        let service = decode::name_service(&mut resource.resource);
        let scopes = std::mem::take(&mut resource.scope_spans);
        let resource = resource.encode_to_vec();
        let sender = digest(0, &resource);
        for (scope_number, mut scope) in scopes.into_iter().enumerate() {
            let spans = std::mem::take(&mut scope.spans);
            let scope = scope.encode_to_vec();
            let maker = digest(sender, &scope);
            let place = Place { resource: &resource, scope: &scope, resource_number, scope_number };
            for span in spans {
                split.add(&span, &service, maker, &place);
            }
        }
    }
    let fragments = split.parts.into_iter().map(Part::finish);
    (fragments.collect(), split.added)
}

fn digest(seed: u64, encoded: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, encoded).hash(&mut hasher);
    hasher.finish()
}

#[derive(Default)]
struct Split {
    parts: Vec<Part>,
    known: HashMap<TraceId, usize>,
    /// Bytes of the resources and scopes in all parts.
    copied: usize,
    added: Added,
}

/// A fragment that grows: encoded from the inside, each message when nothing more comes into it.
struct Part {
    id: TraceId,
    index: Vec<Entry>,
    /// `TracesData` as far as it is complete.
    data: Vec<u8>,
    /// The `ResourceSpans` that the last span came with, as far as it is complete.
    resource: Vec<u8>,
    /// The `ScopeSpans` that the last span came with.
    scope: Vec<u8>,
    /// Where the last span came from: the next one from there joins it.
    last: (usize, usize),
}

/// Where a span came from: its resource and scope, encoded without what is in them.
struct Place<'a> {
    resource: &'a [u8],
    scope: &'a [u8],
    resource_number: usize,
    scope_number: usize,
}

/// Appends a message as a field of another one.
fn append(to: &mut Vec<u8>, tag: u32, message: &[u8]) {
    encode_key(tag, WireType::LengthDelimited, to);
    encode_varint(message.len() as u64, to);
    to.extend_from_slice(message);
}

impl Split {
    fn add(&mut self, span: &WireSpan, service: &Arc<str>, maker: u64, place: &Place<'_>) {
        let (id, span_id, parent) = match ids(span) {
            Ok(ids) => ids,
            Err(reason) => return self.reject(reason),
        };
        let known = self.known.get(&id).copied();
        let last = known.map_or(NOWHERE, |at| self.parts[at].last);
        let copied = self.copied + place.copied_after(last);
        if copied > COPIES {
            return self.reject(
                "resource and scope are kept with each trace, and for those of this request that takes more than \
                 64 MiB; send fewer traces at once",
            );
        }
        self.copied = copied;
        self.added.accepted += 1;
        let encoded = span.encode_to_vec();
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
            digest: digest(maker, &encoded),
        };
        let at = known.unwrap_or_else(|| {
            self.known.insert(id, self.parts.len());
            self.parts.push(Part::new(id));
            self.parts.len() - 1
        });
        self.parts[at].add(&encoded, entry, place);
    }

    fn reject(&mut self, reason: &str) {
        self.added.rejected += 1;
        if self.added.reason.is_empty() {
            reason.clone_into(&mut self.added.reason);
        }
    }
}

impl Place<'_> {
    /// The bytes of resource and scope that are copied for a span whose trace had its last one elsewhere.
    fn copied_after(&self, last: (usize, usize)) -> usize {
        match last {
            (resource, scope) if resource == self.resource_number => {
                if scope == self.scope_number {
                    0
                } else {
                    self.scope.len()
                }
            }
            _ => self.resource.len() + self.scope.len(),
        }
    }
}

impl Part {
    fn new(id: TraceId) -> Part {
        let (data, resource, scope) = (Vec::new(), Vec::new(), Vec::new());
        Part { id, index: Vec::new(), data, resource, scope, last: NOWHERE }
    }

    fn add(&mut self, span: &[u8], entry: Entry, place: &Place<'_>) {
        if self.last != (place.resource_number, place.scope_number) {
            self.close_scope();
            if self.last.0 != place.resource_number {
                self.close_resource();
                self.resource.extend_from_slice(place.resource);
            }
            self.scope.extend_from_slice(place.scope);
            self.last = (place.resource_number, place.scope_number);
        }
        append(&mut self.scope, SPANS, span);
        self.index.push(entry);
    }

    fn close_scope(&mut self) {
        if self.last != NOWHERE {
            append(&mut self.resource, SCOPE_SPANS, &self.scope);
            self.scope.clear();
        }
    }

    fn close_resource(&mut self) {
        if self.last != NOWHERE {
            append(&mut self.data, RESOURCE_SPANS, &self.resource);
            self.resource.clear();
        }
    }

    fn finish(mut self) -> (TraceId, Fragment) {
        self.close_scope();
        self.close_resource();
        (self.id, Fragment { index: self.index.into(), data: self.data.into() })
    }
}
