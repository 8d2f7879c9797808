//! Log records: in batches, in the order of their arrival.

use std::{collections::VecDeque, mem::size_of, sync::Arc};

use opentelemetry_proto::tonic::{
    common::v1::any_value::Value,
    logs::v1::{LogRecord as WireRecord, ResourceLogs},
};
use prost::Message;

use super::{
    AnyValue, Attributes, KeyValue, LogQuery, LogRecord, Resource, Scope, SpanId, Stats, TraceId,
    decode,
};

/// The records of one sender and logger that arrived together.
#[derive(Debug)]
pub(super) struct Batch {
    service: Arc<str>,
    resource: Arc<Resource>,
    scope: Arc<Scope>,
    /// Sequence number of the first; given when it is added.
    first: u64,
    entries: Box<[Entry]>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    severity: u8,
    trace_id: Option<TraceId>,
    span_id: Option<SpanId>,
    /// OTLP's `LogRecord`.
    data: Box<[u8]>,
}

/// All batches, the oldest first.
#[derive(Debug)]
pub(super) struct Logs {
    limit: usize,
    bytes: usize,
    records: usize,
    evicted: u64,
    next: u64,
    queue: VecDeque<Arc<Batch>>,
}

/// Encodes what arrived; how many records there are.
pub(super) fn batches(logs: Vec<ResourceLogs>) -> (Vec<Batch>, u64) {
    let mut batches: Vec<Batch> = Vec::new();
    let mut accepted = 0;
    for ResourceLogs { resource, scope_logs, schema_url } in logs {
        let service: Arc<str> = decode::service(resource.as_ref()).into();
        let resource = decode::resource(resource, schema_url);
        let before = batches.len();
        for scope_logs in scope_logs {
            let entries: Box<[Entry]> = scope_logs.log_records.into_iter().map(entry).collect();
            if entries.is_empty() {
                continue;
            }
            accepted += entries.len() as u64;
            let scope = decode::scope(scope_logs.scope, scope_logs.schema_url);
            let content: usize = entries.iter().map(|it| size_of::<Entry>() + it.data.len()).sum();
            batches.push(Batch {
                service: Arc::clone(&service),
                resource: Arc::clone(&resource),
                first: 0,
                entries,
                bytes: size_of::<Batch>() + size_of::<usize>() + scope_bytes(&scope) + content,
                scope,
            });
        }
        // The last one to leave takes it along.
        if let Some(last) = batches[before..].last_mut() {
            last.bytes += service.len() + resource_bytes(&resource);
        }
    }
    (batches, accepted)
}

fn resource_bytes(resource: &Resource) -> usize {
    size_of::<Resource>() + resource.schema_url.capacity() + attribute_bytes(&resource.attributes)
}

fn scope_bytes(scope: &Scope) -> usize {
    let texts = scope.name.capacity() + scope.version.capacity() + scope.schema_url.capacity();
    size_of::<Scope>() + texts + attribute_bytes(&scope.attributes)
}

fn attribute_bytes(attributes: &Attributes) -> usize {
    let content = attributes.iter().map(|(key, value)| key.capacity() + value_bytes(value));
    attributes.capacity() * size_of::<(String, AnyValue)>() + content.sum::<usize>()
}

/// What a value takes beside itself.
fn value_bytes(value: &AnyValue) -> usize {
    match &value.value {
        Some(Value::StringValue(text)) => text.capacity(),
        Some(Value::BytesValue(bytes)) => bytes.capacity(),
        Some(Value::ArrayValue(list)) => {
            let content = list.values.iter().map(value_bytes).sum::<usize>();
            list.values.capacity() * size_of::<AnyValue>() + content
        }
        Some(Value::KvlistValue(map)) => {
            let pair = |it: &KeyValue| it.key.capacity() + it.value.as_ref().map_or(0, value_bytes);
            map.values.capacity() * size_of::<KeyValue>()
                + map.values.iter().map(pair).sum::<usize>()
        }
        _ => 0,
    }
}

fn entry(record: WireRecord) -> Entry {
    Entry {
        severity: decode::severity(&record),
        trace_id: TraceId::from_bytes(&record.trace_id),
        span_id: SpanId::from_bytes(&record.span_id),
        data: record.encode_to_vec().into(),
    }
}

impl Logs {
    pub(super) fn new(limit: usize) -> Logs {
        Logs { limit, bytes: 0, records: 0, evicted: 0, next: 1, queue: VecDeque::new() }
    }

    /// Adds batches, then lets the oldest go until all fits. These are given back, so that the caller frees them.
    pub(super) fn add(&mut self, batches: Vec<Batch>) -> Vec<Arc<Batch>> {
        for mut batch in batches {
            batch.first = self.next;
            self.next += batch.entries.len() as u64;
            self.records += batch.entries.len();
            self.bytes += batch.bytes;
            self.queue.push_back(Arc::new(batch));
        }
        let mut gone = Vec::new();
        while self.bytes > self.limit
            && let Some(batch) = self.queue.pop_front()
        {
            self.bytes -= batch.bytes;
            self.records -= batch.entries.len();
            self.evicted += batch.entries.len() as u64;
            gone.push(batch);
        }
        gone
    }

    /// All of them, the latest first.
    pub(super) fn batches(&self) -> Vec<Arc<Batch>> {
        self.queue.iter().rev().cloned().collect()
    }

    pub(super) fn stats(&self, stats: &mut Stats) {
        stats.logs = self.records;
        stats.log_bytes = self.bytes;
        stats.log_limit = self.limit;
        stats.evicted_logs = self.evicted;
    }
}

/// The latest records that fit. Content is decoded only of those that the index does not exclude.
pub(super) fn find(batches: &[Arc<Batch>], query: &LogQuery) -> Vec<LogRecord> {
    let text = query.text.as_ref().map(|it| it.to_lowercase());
    let fits = |batch: &&Arc<Batch>| query.service.as_ref().is_none_or(|it| **it == *batch.service);
    let entries = batches.iter().filter(fits).flat_map(|batch| {
        let numbered = (batch.first..).zip(&batch.entries);
        let numbered: Vec<(u64, &Entry)> = numbered.collect();
        numbered.into_iter().rev().map(move |(sequence, entry)| (batch, sequence, entry))
    });
    entries
        .filter(|(_, sequence, entry)| {
            query.before.is_none_or(|it| *sequence < it)
                && entry.severity >= query.severity
                && query.trace_id.is_none_or(|id| entry.trace_id == Some(id))
                && query.span_id.is_none_or(|id| entry.span_id == Some(id))
        })
        .filter_map(|(batch, sequence, entry)| {
            let record = WireRecord::decode(&*entry.data).ok()?; // we encoded it
            let (service, resource, scope) = (&batch.service, &batch.resource, &batch.scope);
            let record = decode::log_record(
                record,
                sequence,
                Arc::clone(service),
                Arc::clone(resource),
                Arc::clone(scope),
            );
            let found = text.as_ref().is_none_or(|it| record.body.to_lowercase().contains(it));
            found.then_some(record)
        })
        .take(query.limit)
        .collect()
}
