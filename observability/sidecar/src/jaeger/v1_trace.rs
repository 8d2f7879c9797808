//! A trace as v1 tells it.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use serde::Serialize;
use serde_json::Value;

use super::otlp::Numbers;
use crate::store::{
    AnyValue, Attributes, Event, Link, Resource, Span, SpanId, Status, Trace, TraceId, double_json,
    value_text,
};

/// Beyond this, JavaScript loses digits: such numbers are told as texts.
const EXACT: u64 = (1 << 53) - 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct V1Trace {
    #[serde(rename = "traceID")]
    trace_id: String,
    spans: Vec<V1Span>,
    processes: BTreeMap<String, Process>,
    warnings: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct V1Span {
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
    operation_name: String,
    references: Vec<Reference>,
    start_time: u64,
    duration: u64,
    tags: Vec<Tag>,
    logs: Vec<Log>,
    #[serde(rename = "processID")]
    process_id: String,
    warnings: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    ref_type: &'static str,
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    service_name: String,
    tags: Vec<Tag>,
}

#[derive(Serialize)]
struct Log {
    timestamp: u64,
    fields: Vec<Tag>,
}

#[derive(Serialize)]
struct Tag {
    key: String,
    r#type: &'static str,
    value: Value,
}

impl From<&Trace> for V1Trace {
    fn from(trace: &Trace) -> V1Trace {
        let mut resources: Numbers<Resource> = Numbers::default();
        let mut services: Vec<Arc<str>> = Vec::new();
        let spans = trace.spans.iter().map(|it| {
            let at = resources.number(&it.resource);
            if at == services.len() {
                services.push(Arc::clone(&it.service));
            }
            span(it, process_id(at))
        });
        let spans = spans.collect();
        let processes = resources.known.iter().zip(&services).enumerate();
        let processes = processes.map(|(at, (it, service))| (process_id(at), process(it, service)));
        let trace_id = id(trace.id);
        V1Trace { trace_id, spans, processes: processes.collect(), warnings: None }
    }
}

impl V1Trace {
    /// Tags and fields by name (but the event's first), and the reference that is most like a parent first, as Jaeger shows them.
    pub(super) fn sorted(mut self) -> V1Trace {
        for process in self.processes.values_mut() {
            process.tags.sort_by(|a, b| a.key.cmp(&b.key));
        }
        for span in &mut self.spans {
            span.tags.sort_by(|a, b| a.key.cmp(&b.key));
            for log in &mut span.logs {
                log.fields
                    .sort_by(|a, b| (a.key != "event", &a.key).cmp(&(b.key != "event", &b.key)));
            }
            let here = |it: &Reference| it.trace_id == span.trace_id;
            let parent = span.references.iter().position(|it| here(it) && it.ref_type == CHILD_OF);
            if let Some(first) = parent.or_else(|| span.references.iter().position(here)) {
                span.references.swap(0, first);
            }
        }
        self
    }
}

/// v1 leaves out the high half of an id where it is zero.
pub(super) fn id(id: TraceId) -> String {
    let digits = id.to_string();
    digits.strip_prefix("0000000000000000").map(str::to_owned).unwrap_or(digits)
}

fn process_id(at: usize) -> String {
    format!("p{}", at + 1)
}

fn process(resource: &Resource, service: &str) -> Process {
    let others = resource.attributes.iter().filter(|(key, _)| key != "service.name");
    let tags = others.map(|(key, value)| tag(key, value)).collect();
    Process { service_name: service.to_owned(), tags }
}

fn span(span: &Span, process_id: String) -> V1Span {
    let mut tags: Vec<Tag> = text_tag("otel.scope.name", &span.scope.name)
        .chain(text_tag("otel.scope.version", &span.scope.version))
        .chain(all_tags(&span.attributes))
        .chain(text_tag("span.kind", span.kind.name()))
        .collect();
    match &span.status {
        Status::Unset => {}
        Status::Ok => tags.extend(text_tag("otel.status_code", "OK")),
        Status::Error(why) => {
            tags.extend(text_tag("otel.status_code", "ERROR"));
            tags.push(Tag { key: "error".into(), r#type: "bool", value: true.into() });
            tags.extend(text_tag("otel.status_description", why));
        }
    }
    tags.extend(text_tag("w3c.tracestate", &span.trace_state));
    V1Span {
        trace_id: id(span.trace_id),
        span_id: span.span_id.to_string(),
        operation_name: span.name.clone(),
        references: references(span),
        start_time: span.start_ns / 1_000,
        duration: span.duration_ns() / 1_000,
        tags,
        logs: span.events.iter().map(log).collect(),
        process_id,
        warnings: None,
    }
}

/// The parent first. A link to it only says what kind of parent it is.
fn references(span: &Span) -> Vec<Reference> {
    let parent = span.parent.map(|parent| (span.trace_id, parent));
    let is_parent = |link: &&Link| Some((link.trace_id, link.span_id)) == parent;
    let parent_type = span.links.iter().rfind(is_parent).map_or(CHILD_OF, ref_type);
    let first = parent.map(|(trace, id)| reference(parent_type, trace, id));
    let others = span.links.iter().filter(|it| !is_parent(it));
    let others = others.map(|it| reference(ref_type(it), it.trace_id, it.span_id));
    first.into_iter().chain(others).collect()
}

const CHILD_OF: &str = "CHILD_OF";

fn ref_type(link: &Link) -> &'static str {
    let said = link.attributes.iter().find(|(key, _)| key == "opentracing.ref_type");
    if said.is_some_and(|(_, it)| value_text(it) == "child_of") { CHILD_OF } else { "FOLLOWS_FROM" }
}

fn reference(ref_type: &'static str, trace: TraceId, span: SpanId) -> Reference {
    Reference { ref_type, trace_id: id(trace), span_id: span.to_string() }
}

fn log(event: &Event) -> Log {
    let named = event.attributes.iter().any(|(key, _)| key == "event");
    let name = if named { "" } else { event.name.as_str() };
    let fields = text_tag("event", name).chain(all_tags(&event.attributes)).collect();
    Log { timestamp: event.time_ns / 1_000, fields }
}

/// None where there is no text.
fn text_tag(key: &str, value: &str) -> impl Iterator<Item = Tag> {
    let tag = || Tag { key: key.to_owned(), r#type: "string", value: value.into() };
    (!value.is_empty()).then(tag).into_iter()
}

fn all_tags(attributes: &Attributes) -> impl Iterator<Item = Tag> {
    attributes.iter().map(|(key, value)| tag(key, value))
}

fn tag(key: &str, value: &AnyValue) -> Tag {
    let (r#type, value) = match &value.value {
        Some(Any::BoolValue(it)) => ("bool", (*it).into()),
        Some(Any::IntValue(it)) if it.unsigned_abs() > EXACT => ("int64", it.to_string().into()),
        Some(Any::IntValue(it)) => ("int64", (*it).into()),
        Some(Any::DoubleValue(it)) => ("float64", double_json(*it)),
        Some(Any::BytesValue(bytes)) => ("binary", STANDARD.encode(bytes).into()),
        _ => ("string", value_text(value).into()),
    };
    Tag { key: key.to_owned(), r#type, value }
}
