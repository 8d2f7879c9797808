//! From OTLP's messages to what is shown.

use std::sync::Arc;

use opentelemetry_proto::tonic::{
    common::v1::{InstrumentationScope, any_value::Value},
    logs::v1 as logs,
    resource::v1::Resource as WireResource,
    trace::v1::{self as wire, ResourceSpans},
};

use super::{
    AnyValue, Attributes, Event, KeyValue, Link, LogRecord, Resource, Scope, Span, SpanId,
    SpanKind, Status, TraceId, value_text,
};

/// The attribute that names the service.
const SERVICE_NAME: &str = "service.name";

/// All spans with valid ids, in their order.
pub(crate) fn spans(resources: Vec<ResourceSpans>) -> Vec<Span> {
    let mut spans = Vec::new();
    for ResourceSpans { resource: origin, scope_spans, schema_url } in resources {
        let service: Arc<str> = service(origin.as_ref()).into();
        let origin = resource(origin, schema_url);
        for scope_spans in scope_spans {
            let maker = scope(scope_spans.scope, scope_spans.schema_url);
            let decoded = scope_spans.spans.into_iter().filter_map(|it| {
                span(it, Arc::clone(&service), Arc::clone(&origin), Arc::clone(&maker))
            });
            spans.extend(decoded);
        }
    }
    spans
}

/// The name of the service. Where there is none, it is called as Jaeger calls it.
pub(crate) fn service(resource: Option<&WireResource>) -> &str {
    let attributes = resource.map_or(&[][..], |it| &it.attributes);
    let Some(attribute) = attributes.iter().find(|it| it.key == SERVICE_NAME) else {
        return "missing-service-name";
    };
    match attribute.value.as_ref().and_then(|it| it.value.as_ref()) {
        Some(Value::StringValue(name)) if name.is_empty() => "empty-service-name",
        Some(Value::StringValue(name)) => name,
        _ => "service-name-wrong-type",
    }
}

/// The name of the service; a resource that has none gets it, so that it is the same wherever the resource is shown.
pub(super) fn name_service(resource: &mut Option<WireResource>) -> Arc<str> {
    let name: Arc<str> = service(resource.as_ref()).into();
    let attributes = &mut resource.get_or_insert_default().attributes;
    let value = Some(AnyValue { value: Some(Value::StringValue(name.to_string())) });
    match attributes.iter_mut().find(|it| it.key == SERVICE_NAME) {
        Some(attribute) => attribute.value = value,
        None => attributes.push(KeyValue { key: SERVICE_NAME.into(), value, ..Default::default() }),
    }
    name
}

pub(super) fn resource(resource: Option<WireResource>, schema_url: String) -> Arc<Resource> {
    let WireResource { attributes: list, dropped_attributes_count, .. } =
        resource.unwrap_or_default();
    Arc::new(Resource {
        attributes: attributes(list),
        dropped_attributes: dropped_attributes_count,
        schema_url,
    })
}

pub(super) fn scope(scope: Option<InstrumentationScope>, schema_url: String) -> Arc<Scope> {
    let scope = scope.unwrap_or_default();
    Arc::new(Scope {
        name: scope.name,
        version: scope.version,
        attributes: attributes(scope.attributes),
        dropped_attributes: scope.dropped_attributes_count,
        schema_url,
    })
}

fn attributes(list: Vec<KeyValue>) -> Attributes {
    list.into_iter().map(|it| (it.key, it.value.unwrap_or_default())).collect()
}

fn span(
    span: wire::Span,
    service: Arc<str>,
    resource: Arc<Resource>,
    scope: Arc<Scope>,
) -> Option<Span> {
    Some(Span {
        trace_id: TraceId::from_bytes(&span.trace_id)?,
        span_id: SpanId::from_bytes(&span.span_id)?,
        parent: SpanId::from_bytes(&span.parent_span_id),
        service,
        name: span.name,
        kind: SpanKind::from_number(span.kind),
        start_ns: span.start_time_unix_nano,
        end_ns: span.end_time_unix_nano,
        status: status(span.status),
        attributes: attributes(span.attributes),
        events: span.events.into_iter().map(event).collect(),
        links: span.links.into_iter().filter_map(link).collect(),
        trace_state: span.trace_state,
        flags: span.flags,
        dropped: [
            span.dropped_attributes_count,
            span.dropped_events_count,
            span.dropped_links_count,
        ],
        resource,
        scope,
    })
}

fn status(status: Option<wire::Status>) -> Status {
    let status = status.unwrap_or_default();
    match status.code() {
        wire::status::StatusCode::Unset => Status::Unset,
        wire::status::StatusCode::Ok => Status::Ok,
        wire::status::StatusCode::Error => Status::Error(status.message),
    }
}

fn event(event: wire::span::Event) -> Event {
    Event {
        time_ns: event.time_unix_nano,
        name: event.name,
        attributes: attributes(event.attributes),
        dropped_attributes: event.dropped_attributes_count,
    }
}

/// A link to nowhere is left out.
fn link(link: wire::span::Link) -> Option<Link> {
    Some(Link {
        trace_id: TraceId::from_bytes(&link.trace_id)?,
        span_id: SpanId::from_bytes(&link.span_id)?,
        trace_state: link.trace_state,
        attributes: attributes(link.attributes),
        dropped_attributes: link.dropped_attributes_count,
        flags: link.flags,
    })
}

/// The time of a record: when it happened, else when it was observed.
pub(super) fn log_time(record: &logs::LogRecord) -> u64 {
    if record.time_unix_nano == 0 { record.observed_time_unix_nano } else { record.time_unix_nano }
}

/// Its severity; 0 for every number that OTLP does not define.
pub(super) fn severity(record: &logs::LogRecord) -> u8 {
    u8::try_from(record.severity_number).ok().filter(|it| *it <= 24).unwrap_or(0)
}

/// Its message as text.
pub(super) fn body(body: Option<&AnyValue>) -> String {
    body.map(value_text).unwrap_or_default()
}

pub(super) fn log_record(
    record: logs::LogRecord,
    sequence: u64,
    service: Arc<str>,
    resource: Arc<Resource>,
    scope: Arc<Scope>,
) -> LogRecord {
    LogRecord {
        sequence,
        time_ns: log_time(&record),
        severity: severity(&record),
        body: body(record.body.as_ref()),
        trace_id: TraceId::from_bytes(&record.trace_id),
        span_id: SpanId::from_bytes(&record.span_id),
        severity_text: record.severity_text,
        attributes: attributes(record.attributes),
        event_name: record.event_name,
        service,
        resource,
        scope,
    }
}
