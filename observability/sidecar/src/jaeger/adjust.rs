//! What Jaeger does to a trace before it shows it, unless `raw` is asked for. (A span that was sent twice is once in the store's answer.)

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    sync::Arc,
};

use opentelemetry_proto::tonic::common::v1::any_value::Value;

use crate::store::{AnyValue, Attributes, Resource, Scope, SpanId, SpanKind, Trace};

/// Attributes by name, addresses as people write them, no id shared by the two sides of a call.
pub(super) fn adjusted(mut trace: Trace) -> Trace {
    split_shared_ids(&mut trace);
    // Many spans share one resource: each is copied once. The originals live as long as their addresses are keys.
    let mut resources: HashMap<*const Resource, Adjusted<Resource>> = HashMap::new();
    let mut scopes: HashMap<*const Scope, Adjusted<Scope>> = HashMap::new();
    for span in &mut trace.spans {
        sort(&mut span.attributes);
        write_addresses(&mut span.attributes);
        for event in &mut span.events {
            sort(&mut event.attributes);
        }
        for link in &mut span.links {
            sort(&mut link.attributes);
        }
        let resource = resources.entry(Arc::as_ptr(&span.resource));
        let resource = resource.or_insert_with(|| {
            Adjusted::of(&span.resource, |it| {
                sort(&mut it.attributes);
                write_addresses(&mut it.attributes);
            })
        });
        span.resource = Arc::clone(&resource.new);
        let scope = scopes.entry(Arc::as_ptr(&span.scope));
        let scope =
            scope.or_insert_with(|| Adjusted::of(&span.scope, |it| sort(&mut it.attributes)));
        span.scope = Arc::clone(&scope.new);
    }
    trace
}

/// The events of each span by name: so v3 tells them, v1 leaves them as they were sent.
pub(super) fn sort_events(trace: &mut Trace) {
    for span in &mut trace.spans {
        span.events.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

struct Adjusted<T> {
    _original: Arc<T>,
    new: Arc<T>,
}

impl<T: Clone> Adjusted<T> {
    fn of(original: &Arc<T>, adjust: impl FnOnce(&mut T)) -> Adjusted<T> {
        let mut new = T::clone(original);
        adjust(&mut new);
        Adjusted { _original: Arc::clone(original), new: Arc::new(new) }
    }
}

fn sort(attributes: &mut Attributes) {
    attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
}

/// Old clients pack IPv4 addresses into numbers.
fn write_addresses(attributes: &mut Attributes) {
    for (key, value) in attributes {
        if key != "ip" && key != "peer.ipv4" {
            continue;
        }
        let packed = match value.value {
            Some(Value::IntValue(number)) => number as u32,
            Some(Value::DoubleValue(number)) => number as u32,
            _ => continue,
        };
        let text = Ipv4Addr::from(packed).to_string();
        *value = AnyValue { value: Some(Value::StringValue(text)) };
    }
}

/// Zipkin's clients let the server reuse the id of the client's span. The server's gets a new one and becomes a child of the other; what
/// was part of both becomes part of it.
fn split_shared_ids(trace: &mut Trace) {
    let of_kind =
        |kind: SpanKind| trace.spans.iter().filter(move |it| it.kind == kind).map(|it| it.span_id);
    let clients: HashSet<SpanId> = of_kind(SpanKind::Client).collect();
    if !of_kind(SpanKind::Server).any(|id| clients.contains(&id)) {
        return;
    }
    let used: HashSet<SpanId> = trace.spans.iter().map(|it| it.span_id).collect();
    let mut unused = (1_u64..).map(|id| SpanId(id.to_be_bytes())).filter(|id| !used.contains(id));
    let mut renamed: HashMap<SpanId, SpanId> = HashMap::new();
    for span in &mut trace.spans {
        if span.kind == SpanKind::Server
            && clients.contains(&span.span_id)
            && let Some(new) = unused.next()
        {
            renamed.insert(span.span_id, new);
            span.parent = Some(span.span_id);
            span.span_id = new;
        }
    }
    for span in &mut trace.spans {
        let new = span.parent.and_then(|parent| renamed.get(&parent));
        if let Some(new) = new.filter(|new| **new != span.span_id) {
            span.parent = Some(*new);
        }
    }
}
