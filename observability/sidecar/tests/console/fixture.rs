//! Spans and log lines as a sender sends them, put together one by one.

use std::{collections::BTreeMap, time::SystemTime};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link},
    },
};
use sidecar::Store;

pub(crate) const US: u64 = 1_000;
pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SERVER: i32 = 2;
pub(crate) const CLIENT: i32 = 3;
pub(crate) const INTERNAL: i32 = 1;

/// What is to be sent, put together span by span.
pub(crate) struct Sender {
    trace: u128,
    begin: u64,
    next: u64,
    spans: BTreeMap<&'static str, Vec<Span>>,
    logs: BTreeMap<&'static str, Vec<LogRecord>>,
}

/// A span that was begun, for its children.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    id: u64,
    service: &'static str,
    start: u64,
}

impl Begun {
    /// The span's id.
    pub(crate) fn id(self) -> u64 {
        self.id
    }
}

impl Sender {
    /// A trace that begins at `begin` (Unix nanoseconds).
    pub(crate) fn new(trace: u128, begin: u64) -> Self {
        Self {
            trace,
            begin,
            next: (trace as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            spans: BTreeMap::new(),
            logs: BTreeMap::new(),
        }
    }

    fn id(&mut self) -> u64 {
        self.next = self.next.wrapping_add(0x1_0001_0001);
        self.next
    }

    /// A span `offset` after its parent's start that takes `took`, both in nanoseconds.
    pub(crate) fn span(
        &mut self,
        parent: Option<Begun>,
        service: &'static str,
        kind: i32,
        name: &str,
        (offset, took): (u64, u64),
        attributes: &[(&str, &str)],
    ) -> Begun {
        let id = self.id();
        let start = parent.map_or(self.begin, |parent| parent.start) + offset;
        self.spans.entry(service).or_default().push(Span {
            trace_id: self.trace.to_be_bytes().to_vec(),
            span_id: id.to_be_bytes().to_vec(),
            parent_span_id: parent.map_or(Vec::new(), |parent| parent.id.to_be_bytes().to_vec()),
            name: name.to_owned(),
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: start + took,
            attributes: pairs(attributes),
            ..Span::default()
        });
        Begun { id, service, start }
    }

    fn change(&mut self, span: Begun, change: impl FnOnce(&mut Span)) {
        let bytes = span.id.to_be_bytes();
        let spans = self.spans.get_mut(span.service).unwrap();
        change(spans.iter_mut().find(|other| other.span_id == bytes).unwrap());
    }

    pub(crate) fn fail(&mut self, span: Begun, why: &str) {
        self.change(span, |span| span.status = Some(Status { code: 2, message: why.to_owned() }));
    }

    pub(crate) fn event(
        &mut self,
        span: Begun,
        offset: u64,
        name: &str,
        attributes: &[(&str, &str)],
    ) {
        let event = Event {
            time_unix_nano: span.start + offset,
            name: name.to_owned(),
            attributes: pairs(attributes),
            dropped_attributes_count: 0,
        };
        self.change(span, |span| span.events.push(event));
    }

    pub(crate) fn link(&mut self, span: Begun, trace: u128, other: u64) {
        let link = Link {
            trace_id: trace.to_be_bytes().to_vec(),
            span_id: other.to_be_bytes().to_vec(),
            ..Link::default()
        };
        self.change(span, |span| span.links.push(link));
    }

    /// Makes the span name a parent that is never sent.
    pub(crate) fn orphan(&mut self, span: Begun) {
        self.change(span, |span| span.parent_span_id = 0xdead_beef_u64.to_be_bytes().to_vec());
    }

    /// A log line of a span; severity is OTLP's number.
    pub(crate) fn log(
        &mut self,
        span: Begun,
        offset: u64,
        severity: i32,
        body: &str,
        attributes: &[(&str, &str)],
    ) {
        let text = match severity {
            17.. => "ERROR",
            13.. => "WARN",
            9.. => "INFO",
            _ => "DEBUG",
        };
        self.logs.entry(span.service).or_default().push(LogRecord {
            time_unix_nano: span.start + offset,
            severity_number: severity,
            severity_text: text.to_owned(),
            body: Some(string(body)),
            attributes: pairs(attributes),
            trace_id: self.trace.to_be_bytes().to_vec(),
            span_id: span.id.to_be_bytes().to_vec(),
            ..LogRecord::default()
        });
    }

    /// Sends it, a service at a time.
    pub(crate) fn send(self, store: &dyn Store) {
        let spans = self.spans.into_iter().map(|(service, spans)| ResourceSpans {
            resource: Some(resource(service)),
            scope_spans: vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        });
        let logs = self.logs.into_iter().map(|(service, log_records)| ResourceLogs {
            resource: Some(resource(service)),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        });
        store.add_spans(spans.collect());
        store.add_logs(logs.collect());
    }
}

fn string(text: &str) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(text.to_owned())) }
}

fn pairs(attributes: &[(&str, &str)]) -> Vec<KeyValue> {
    let value = |text: &str| match text.parse() {
        Ok(number) => AnyValue { value: Some(Value::IntValue(number)) },
        Err(_) => string(text),
    };
    attributes
        .iter()
        .map(|(key, text)| KeyValue {
            key: (*key).to_owned(),
            value: Some(value(text)),
            ..KeyValue::default()
        })
        .collect()
}

fn resource(service: &str) -> Resource {
    let attributes = [
        ("service.name", service),
        ("service.namespace", "musicwallet"),
        ("service.version", "0.1.0"),
        ("service.instance.id", "6f1f0f0e-8f5c-4c36-9f43-0a4b2c1d8e7f"),
        ("deployment.environment.name", "development"),
    ];
    Resource { attributes: pairs(&attributes), ..Resource::default() }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "musicwallet".to_owned(),
        version: "0.1.0".to_owned(),
        ..InstrumentationScope::default()
    }
}

/// The moment `seconds` ago.
pub(crate) fn ago(seconds: u64) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    now.as_nanos() as u64 - seconds * 1_000 * MS
}
