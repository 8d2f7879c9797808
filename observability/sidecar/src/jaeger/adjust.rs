//! What Jaeger does to a trace before it shows it, unless `raw` is asked for. (A span that was sent twice is once in the store's answer.)

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    sync::Arc,
};

use opentelemetry_proto::tonic::common::v1::any_value::Value;

use crate::store::{AnyValue, Attributes, Resource, Scope, SpanId, SpanKind, Trace};

/// Attributes sorted by name and events too, addresses as people write them, no id shared by the two sides of a call.
pub(super) fn adjusted(mut trace: Trace) -> Trace {
    split_shared_ids(&mut trace);
    // Many spans share one resource: each is copied once.
    let mut resources: HashMap<*const Resource, Arc<Resource>> = HashMap::new();
    let mut scopes: HashMap<*const Scope, Arc<Scope>> = HashMap::new();
    let spans = std::mem::take(&mut trace.spans);
    // The originals have to live as long as their addresses are keys.
    let mut originals = Vec::new();
    for mut span in spans {
        sort(&mut span.attributes);
        write_addresses(&mut span.attributes);
        span.events.sort_by(|a, b| a.name.cmp(&b.name));
        for event in &mut span.events {
            sort(&mut event.attributes);
        }
        for link in &mut span.links {
            sort(&mut link.attributes);
        }
        let resource = resources.entry(Arc::as_ptr(&span.resource)).or_insert_with(|| {
            let mut resource = Resource::clone(&span.resource);
            sort(&mut resource.attributes);
            write_addresses(&mut resource.attributes);
            Arc::new(resource)
        });
        let scope = scopes.entry(Arc::as_ptr(&span.scope)).or_insert_with(|| {
            let mut scope = Scope::clone(&span.scope);
            sort(&mut scope.attributes);
            Arc::new(scope)
        });
        let resource = std::mem::replace(&mut span.resource, Arc::clone(resource));
        let scope = std::mem::replace(&mut span.scope, Arc::clone(scope));
        originals.push((resource, scope));
        trace.spans.push(span);
    }
    trace
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
