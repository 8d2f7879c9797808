//! An independent sender: spans and lines whose ids are numbers, by OTLP in protobuf over HTTP. It has no code of the services.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use reqwest::blocking::Client;

use super::compare::Sent;

/// What it calls itself.
pub(super) const SERVICE: &str = "sender";
/// Spans or lines of a request.
pub(super) const ITEMS: u64 = 5;
/// Above all numbers of items, so that its traces are known as its own.
const TRACES: u128 = 0x5e4d << 112;

/// What it sent, and what it was told.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) to: String,
    pub(super) spans: Sent<u64>,
    pub(super) lines: Sent<u64>,
    next: u64,
    /// Signal and body of the last request.
    last: (&'static str, Vec<u8>),
    client: Client,
}

impl Sender {
    /// To an OTLP address; its numbers begin here, for where several send.
    pub(super) fn new(to: String, first: u64) -> Sender {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        let (spans, lines) = (Sent::default(), Sent::default());
        Sender { to, spans, lines, next: first, last: Default::default(), client }
    }

    /// Both signals at a steady pace, until somebody says so.
    pub(super) fn run(mut self, every: Duration, stop: &AtomicBool) -> Sender {
        let begun = Instant::now();
        for number in 0.. {
            thread::sleep((begun + every * number).saturating_duration_since(Instant::now()));
            if stop.load(Relaxed) {
                break;
            }
            self.send_spans(0);
            self.send_lines();
        }
        self
    }

    /// A request of spans with so many more bytes; whether it was acknowledged. Nothing is sent again: the next one has other numbers.
    pub(super) fn send_spans(&mut self, padding: usize) -> bool {
        let (numbers, trace, now) = self.numbers();
        let span = |number: &u64| Span {
            trace_id: trace.into(),
            span_id: number.to_be_bytes().into(),
            name: "count".into(),
            start_time_unix_nano: now,
            end_time_unix_nano: now + 1000,
            ..Span::default()
        };
        let mut spans: Vec<Span> = numbers.iter().map(span).collect();
        if padding > 0 {
            spans[0].attributes = vec![text("padding", &"x".repeat(padding))];
        }
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let resource_spans =
            vec![ResourceSpans { resource: resource(), scope_spans, ..ResourceSpans::default() }];
        let outcome =
            self.post("traces", ExportTraceServiceRequest { resource_spans }.encode_to_vec());
        self.spans.note(numbers, outcome)
    }

    /// The same with lines.
    pub(super) fn send_lines(&mut self) -> bool {
        let (numbers, trace, now) = self.numbers();
        let line = |number: &u64| LogRecord {
            time_unix_nano: now + number % ITEMS,
            observed_time_unix_nano: now,
            severity_number: 9,
            body: Some(AnyValue { value: Some(Value::StringValue(format!("line {number}"))) }),
            trace_id: trace.into(),
            span_id: number.to_be_bytes().into(),
            ..LogRecord::default()
        };
        let log_records = numbers.iter().map(line).collect();
        let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
        let resource_logs =
            vec![ResourceLogs { resource: resource(), scope_logs, ..ResourceLogs::default() }];
        let outcome = self.post("logs", ExportLogsServiceRequest { resource_logs }.encode_to_vec());
        self.lines.note(numbers, outcome)
    }

    fn numbers(&mut self) -> (Vec<u64>, [u8; 16], u64) {
        let first = self.next;
        self.next += ITEMS;
        let trace = (TRACES | u128::from(first)).to_be_bytes();
        let now = u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap();
        ((first..self.next).collect(), trace, now)
    }

    /// The last request once more; whether it was acknowledged.
    pub(super) fn send_last_again(&self) -> bool {
        self.send() == Outcome::Acknowledged
    }

    fn post(&mut self, signal: &'static str, body: Vec<u8>) -> Outcome {
        self.last = (signal, body);
        self.send()
    }

    fn send(&self) -> Outcome {
        let (signal, body) = &self.last;
        let request = self.client.post(format!("{}/v1/{signal}", self.to));
        let request = request.header("content-type", "application/x-protobuf");
        match request.body(body.clone()).send() {
            Ok(answer) if answer.status().is_success() => Outcome::Acknowledged,
            Err(error) if error.is_connect() => Outcome::NotSent,
            _ => Outcome::InDoubt,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Acknowledged,
    InDoubt,
    NotSent,
}

impl Sent<u64> {
    fn note(&mut self, numbers: Vec<u64>, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Acknowledged => self.acknowledged.extend(numbers),
            Outcome::InDoubt => self.in_doubt.extend(numbers),
            Outcome::NotSent => {}
        }
        outcome == Outcome::Acknowledged
    }
}

/// The numbers of the spans in a request.
pub(super) fn numbers(request: &[u8]) -> Vec<u64> {
    let request = ExportTraceServiceRequest::decode(request).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|it| it.scope_spans);
    let spans = scopes.flat_map(|it| it.spans);
    spans.map(|it| u64::from_be_bytes(it.span_id.try_into().unwrap())).collect()
}

fn resource() -> Option<Resource> {
    Some(Resource { attributes: vec![text("service.name", SERVICE)], ..Resource::default() })
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}
