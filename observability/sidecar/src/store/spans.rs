//! All fragments: by trace, and in the order of their arrival.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    mem::size_of,
    sync::Arc,
};

use super::{
    Operation, SpanKind, Stats, TraceId, TraceQuery,
    fragment::{Fragment, Op},
    memory::Fragments,
    search,
};

/// What a trace takes beside its fragments: its slot in the table.
const TRACE_BYTES: usize = size_of::<(TraceId, VecDeque<Arc<Fragment>>)>() + size_of::<usize>();

/// Traces in fragments. The bytes are those of all fragments, traces and operations that are here.
#[derive(Debug)]
pub(super) struct Spans {
    limit: usize,
    bytes: usize,
    spans: usize,
    evicted: u64,
    traces: HashMap<TraceId, VecDeque<Arc<Fragment>>>,
    /// A place for each fragment, the oldest first; within a trace the order is the same.
    queue: VecDeque<TraceId>,
    /// With the number of spans that have it.
    ops: HashMap<Arc<Op>, usize>,
}

impl Spans {
    pub(super) fn new(limit: usize) -> Spans {
        Spans {
            limit,
            bytes: 0,
            spans: 0,
            evicted: 0,
            traces: HashMap::new(),
            queue: VecDeque::new(),
            ops: HashMap::new(),
        }
    }

    /// Adds fragments, then lets the oldest go until all fits. These are given back, so that the caller frees them.
    pub(super) fn add(&mut self, fragments: Vec<(TraceId, Fragment)>) -> Fragments {
        for (id, mut fragment) in fragments {
            fragment.intern(|op| self.intern(op));
            self.bytes += fragment.bytes();
            self.spans += fragment.index.len();
            let trace = self.traces.entry(id).or_insert_with(|| {
                self.bytes += TRACE_BYTES;
                VecDeque::new()
            });
            trace.push_back(Arc::new(fragment));
            self.queue.push_back(id);
        }
        let mut gone = Vec::new();
        while self.bytes > self.limit
            && let Some(fragment) = self.pop()
        {
            self.evicted += fragment.index.len() as u64;
            gone.push(fragment);
        }
        gone
    }

    fn intern(&mut self, op: &Arc<Op>) -> Arc<Op> {
        if let Some((known, _)) = self.ops.get_key_value(op) {
            let known = Arc::clone(known);
            if let Some(uses) = self.ops.get_mut(op) {
                *uses += 1;
            }
            return known;
        }
        self.bytes += op.bytes();
        self.ops.insert(Arc::clone(op), 1);
        Arc::clone(op)
    }

    fn pop(&mut self) -> Option<Arc<Fragment>> {
        let id = self.queue.pop_front()?;
        let trace = self.traces.get_mut(&id)?;
        let fragment = trace.pop_front()?;
        if trace.is_empty() {
            self.traces.remove(&id);
            self.bytes -= TRACE_BYTES;
        }
        self.bytes -= fragment.bytes();
        self.spans -= fragment.index.len();
        for entry in &fragment.index {
            let Some(uses) = self.ops.get_mut(&entry.op) else { continue };
            *uses -= 1;
            if *uses == 0 {
                self.ops.remove(&entry.op);
                self.bytes -= entry.op.bytes();
            }
        }
        Some(fragment)
    }

    pub(super) fn services(&self) -> Vec<String> {
        let names: BTreeSet<&str> = self.ops.keys().map(|op| &*op.service).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    pub(super) fn operations(&self, service: &str, kind: Option<SpanKind>) -> Vec<Operation> {
        let fits = |op: &&Arc<Op>| &*op.service == service && kind.is_none_or(|it| it == op.kind);
        let found = self.ops.keys().filter(fits);
        let mut operations: Vec<Operation> =
            found.map(|op| Operation { name: op.name.to_string(), kind: op.kind }).collect();
        operations.sort();
        operations
    }

    pub(super) fn fragments(&self, id: TraceId) -> Option<Fragments> {
        self.traces.get(&id).map(|it| it.iter().cloned().collect())
    }

    /// The traces in which the index does not exclude a match, with their starts; in no order.
    pub(super) fn candidates(&self, query: &TraceQuery) -> Vec<(u64, TraceId, Fragments)> {
        let traces = self.traces.iter().filter(|(_, fragments)| {
            let mut entries = fragments.iter().flat_map(|it| &it.index);
            entries.any(|entry| search::may_fit(entry, query))
        });
        let with_start = |(id, fragments): (&TraceId, &VecDeque<Arc<Fragment>>)| {
            let starts = fragments.iter().flat_map(|it| &it.index).map(|entry| entry.start);
            (starts.min().unwrap_or(0), *id, fragments.iter().cloned().collect())
        };
        traces.map(with_start).collect()
    }

    pub(super) fn all(&self) -> Vec<Fragments> {
        self.traces.values().map(|it| it.iter().cloned().collect()).collect()
    }

    pub(super) fn stats(&self, stats: &mut Stats) {
        stats.traces = self.traces.len();
        stats.spans = self.spans;
        stats.span_bytes = self.bytes;
        stats.span_limit = self.limit;
        stats.evicted_spans = self.evicted;
    }
}
