//! Traces as OTLP JSON: what Jaeger's v3 API and downloads contain.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use serde_json::{Map, Value, json};

use crate::store::{
    AnyValue, Attributes, Event, Link, Resource, Scope, Span, SpanKind, Status, Trace, double_json,
};

/// `{"resourceSpans": [...]}`: the spans grouped by who sent them and what made them. What is empty or zero is left out.
pub(crate) fn otlp_json(traces: &[Trace]) -> Value {
    let mut resources: Numbers<Resource> = Numbers::default();
    let mut groups: Vec<Group> = Vec::new();
    for span in traces.iter().flat_map(|it| &it.spans) {
        let at = resources.number(&span.resource);
        if at == groups.len() {
            groups.push(Group::default());
        }
        groups[at].add(span);
    }
    let resource_spans = resources.known.iter().zip(groups).map(|(it, group)| {
        let mut out = Map::new();
        out.insert("resource".into(), resource(it));
        out.insert("scopeSpans".into(), group.json());
        text(&mut out, "schemaUrl", &it.schema_url);
        Value::Object(out)
    });
    json!({ "resourceSpans": resource_spans.collect::<Value>() })
}

/// Numbers equal things alike, in the order of their first appearance.
pub(super) struct Numbers<T> {
    pub(super) known: Vec<Arc<T>>,
    /// Comparing contents once for each pointer is enough. The pointers are alive as long as whoever holds the spans.
    by_pointer: HashMap<*const T, usize>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Numbers { known: Vec::new(), by_pointer: HashMap::new() }
    }
}

impl<T: PartialEq> Numbers<T> {
    pub(super) fn number(&mut self, it: &Arc<T>) -> usize {
        *self.by_pointer.entry(Arc::as_ptr(it)).or_insert_with(|| {
            self.known.iter().position(|known| known == it).unwrap_or_else(|| {
                self.known.push(Arc::clone(it));
                self.known.len() - 1
            })
        })
    }
}

#[derive(Default)]
struct Group {
    scopes: Numbers<Scope>,
    spans: Vec<Vec<Value>>,
}

impl Group {
    fn add(&mut self, it: &Span) {
        let at = self.scopes.number(&it.scope);
        if at == self.spans.len() {
            self.spans.push(Vec::new());
        }
        self.spans[at].push(span(it));
    }

    fn json(self) -> Value {
        let scope_spans = self.scopes.known.iter().zip(self.spans).map(|(it, spans)| {
            let mut out = Map::new();
            out.insert("scope".into(), scope(it));
            out.insert("spans".into(), spans.into());
            text(&mut out, "schemaUrl", &it.schema_url);
            Value::Object(out)
        });
        scope_spans.collect()
    }
}

fn resource(resource: &Resource) -> Value {
    let mut out = Map::new();
    attributes(&mut out, &resource.attributes, resource.dropped_attributes);
    out.into()
}

fn scope(scope: &Scope) -> Value {
    let mut out = Map::new();
    text(&mut out, "name", &scope.name);
    text(&mut out, "version", &scope.version);
    attributes(&mut out, &scope.attributes, scope.dropped_attributes);
    out.into()
}

fn span(span: &Span) -> Value {
    let mut out = Map::new();
    out.insert("traceId".into(), span.trace_id.to_string().into());
    out.insert("spanId".into(), span.span_id.to_string().into());
    text(&mut out, "traceState", &span.trace_state);
    if let Some(parent) = span.parent {
        out.insert("parentSpanId".into(), parent.to_string().into());
    }
    number(&mut out, "flags", span.flags);
    text(&mut out, "name", &span.name);
    number(&mut out, "kind", kind(span.kind));
    time(&mut out, "startTimeUnixNano", span.start_ns);
    time(&mut out, "endTimeUnixNano", span.end_ns);
    let [dropped_attributes, dropped_events, dropped_links] = span.dropped;
    attributes(&mut out, &span.attributes, dropped_attributes);
    list(&mut out, "events", &span.events, event);
    number(&mut out, "droppedEventsCount", dropped_events);
    list(&mut out, "links", &span.links, link);
    number(&mut out, "droppedLinksCount", dropped_links);
    let status = match &span.status {
        Status::Unset => json!({}),
        Status::Ok => json!({ "code": 1 }),
        Status::Error(why) if why.is_empty() => json!({ "code": 2 }),
        Status::Error(why) => json!({ "code": 2, "message": why }),
    };
    out.insert("status".into(), status);
    out.into()
}

fn kind(kind: SpanKind) -> u32 {
    SpanKind::ALL.iter().position(|it| *it == kind).unwrap_or(0) as u32
}

fn event(event: &Event) -> Value {
    let mut out = Map::new();
    time(&mut out, "timeUnixNano", event.time_ns);
    text(&mut out, "name", &event.name);
    attributes(&mut out, &event.attributes, event.dropped_attributes);
    out.into()
}

fn link(link: &Link) -> Value {
    let mut out = Map::new();
    out.insert("traceId".into(), link.trace_id.to_string().into());
    out.insert("spanId".into(), link.span_id.to_string().into());
    text(&mut out, "traceState", &link.trace_state);
    attributes(&mut out, &link.attributes, link.dropped_attributes);
    number(&mut out, "flags", link.flags);
    out.into()
}

fn attributes(out: &mut Map<String, Value>, attributes: &Attributes, dropped: u32) {
    list(out, "attributes", attributes, |(key, it)| json!({ "key": key, "value": value(it) }));
    number(out, "droppedAttributesCount", dropped);
}

fn value(it: &AnyValue) -> Value {
    match &it.value {
        // The second is an index into a table that only OTLP's profiles have.
        None | Some(Any::StringValueStrindex(_)) => json!({}),
        Some(Any::StringValue(text)) => json!({ "stringValue": text }),
        Some(Any::BoolValue(it)) => json!({ "boolValue": it }),
        Some(Any::IntValue(number)) => json!({ "intValue": number.to_string() }),
        Some(Any::DoubleValue(number)) => json!({ "doubleValue": double_json(*number) }),
        Some(Any::BytesValue(bytes)) => json!({ "bytesValue": STANDARD.encode(bytes) }),
        Some(Any::ArrayValue(array)) => {
            json!({ "arrayValue": { "values": array.values.iter().map(value).collect::<Value>() } })
        }
        Some(Any::KvlistValue(map)) => {
            let pairs = map.values.iter().map(|it| {
                let inner = it.value.as_ref().map_or_else(|| json!({}), value);
                json!({ "key": it.key, "value": inner })
            });
            json!({ "kvlistValue": { "values": pairs.collect::<Value>() } })
        }
    }
}

fn text(out: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        out.insert(key.into(), text.into());
    }
}

fn number(out: &mut Map<String, Value>, key: &str, number: u32) {
    if number != 0 {
        out.insert(key.into(), number.into());
    }
}

/// 64-bit numbers are texts in OTLP JSON.
fn time(out: &mut Map<String, Value>, key: &str, time: u64) {
    if time != 0 {
        out.insert(key.into(), time.to_string().into());
    }
}

fn list<T>(out: &mut Map<String, Value>, key: &str, items: &[T], item: impl Fn(&T) -> Value) {
    if !items.is_empty() {
        out.insert(key.into(), items.iter().map(item).collect());
    }
}
