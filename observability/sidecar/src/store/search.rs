//! Which traces fit a query, and what their outlines are.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{
    Attributes, ServiceCount, Span, SpanId, SpanKind, Status, TraceId, TraceQuery, TraceSummary,
    fragment::{Entry, distinct},
    memory::Fragments,
    value_text,
};

/// The latest of the candidates that fit, as `show` shows them. Content is decoded only for tags, and only until there are enough.
pub(super) fn find<T>(
    mut candidates: Vec<(u64, TraceId, Fragments)>,
    query: &TraceQuery,
    show: impl Fn(TraceId, &Fragments) -> Option<T>,
) -> Vec<T> {
    candidates.retain(|(start, id, _)| query.after.is_none_or(|after| (*start, *id) < after));
    candidates.sort_unstable_by_key(|(start, id, _)| Reverse((*start, *id)));
    let fitting = candidates.iter().filter(|(_, _, fragments)| {
        query.tags.is_empty()
            || fragments.iter().any(|fragment| {
                let spans = fragment.decode();
                let pairs = fragment.index.iter().zip(&spans);
                pairs
                    .into_iter()
                    .any(|(entry, span)| may_fit(entry, query) && has_tags(span, query))
            })
    });
    fitting.filter_map(|(_, id, fragments)| show(*id, fragments)).take(query.limit).collect()
}

/// Whether a span fits all of the query but its tags.
pub(super) fn may_fit(entry: &Entry, query: &TraceQuery) -> bool {
    (query.start_min..=query.start_max).contains(&entry.start)
        && (query.duration_min..=query.duration_max).contains(&entry.duration())
        && (!query.errors_only || entry.error)
        && query.service.as_ref().is_none_or(|it| **it == *entry.op.service)
        && query.operation.as_ref().is_none_or(|it| **it == *entry.op.name)
}

fn has_tags(span: &Span, query: &TraceQuery) -> bool {
    query.tags.iter().all(|(key, value)| has_tag(span, key, value))
}

fn has_tag(span: &Span, key: &str, value: &str) -> bool {
    let special = match (key, value) {
        // Instrumentation sets the status; an attribute of this name says nothing.
        ("error", "true") => return span.is_error(),
        ("error", "false") => return !span.is_error(),
        ("span.kind", _) => match SpanKind::from_name(value) {
            Some(kind) => span.kind == kind,
            None => span.kind == SpanKind::Unspecified && value.eq_ignore_ascii_case("unspecified"),
        },
        ("span.status", _) => value.eq_ignore_ascii_case(match span.status {
            Status::Unset => "unset",
            Status::Ok => "ok",
            Status::Error(_) => "error",
        }),
        ("scope.name", _) => span.scope.name == value,
        ("scope.version", _) => span.scope.version == value,
        _ => key
            .strip_prefix("resource.")
            .is_some_and(|key| has_attribute(&span.resource.attributes, key, value)),
    };
    special
        || has_attribute(&span.attributes, key, value)
        || has_attribute(&span.scope.attributes, key, value)
        || has_attribute(&span.resource.attributes, key, value)
        || span.events.iter().any(|it| has_attribute(&it.attributes, key, value))
        || span.links.iter().any(|it| has_attribute(&it.attributes, key, value))
}

fn has_attribute(attributes: &Attributes, key: &str, value: &str) -> bool {
    attributes.iter().any(|(name, it)| name == key && value_text(it) == value)
}

/// The outline of a trace, from the index alone.
pub(super) fn summary(id: TraceId, fragments: &Fragments) -> TraceSummary {
    let entries: Vec<&Entry> = distinct(fragments).map(|(_, _, entry)| entry).collect();
    let known: HashSet<SpanId> = entries.iter().map(|it| it.span_id).collect();
    let mut services: BTreeMap<&Arc<str>, ServiceCount> = BTreeMap::new();
    for entry in &entries {
        let name = &entry.op.service;
        let count = services.entry(name).or_insert_with(|| ServiceCount {
            name: Arc::clone(name),
            spans: 0,
            errors: 0,
        });
        count.spans += 1;
        count.errors += usize::from(entry.error);
    }
    let root =
        entries.iter().filter(|it| it.parent.is_none()).min_by_key(|it| (it.start, it.span_id));
    TraceSummary {
        id,
        root_service: root.map_or_else(|| "".into(), |it| Arc::clone(&it.op.service)),
        root_operation: root.map_or_else(|| "".into(), |it| Arc::clone(&it.op.name)),
        start_ns: entries.iter().map(|it| it.start).min().unwrap_or(0),
        end_ns: entries.iter().map(|it| it.end.max(it.start)).max().unwrap_or(0),
        spans: entries.len(),
        errors: entries.iter().filter(|it| it.error).count(),
        orphans: entries
            .iter()
            .filter(|it| it.parent.is_some_and(|id| !known.contains(&id)))
            .count(),
        services: services.into_values().collect(),
    }
}

/// Tells each call between two services in a trace that starts in `start..=end`.
pub(super) fn calls(
    fragments: &Fragments,
    start: u64,
    end: u64,
    mut call: impl FnMut(Arc<str>, Arc<str>),
) {
    let entries: Vec<&Entry> = distinct(fragments).map(|(_, _, entry)| entry).collect();
    let starts = entries.iter().map(|it| it.start).min();
    if !starts.is_some_and(|it| (start..=end).contains(&it)) {
        return;
    }
    let services: HashMap<SpanId, &Arc<str>> =
        entries.iter().map(|it| (it.span_id, &it.op.service)).collect();
    for entry in entries {
        let Some(parent) = entry.parent.and_then(|id| services.get(&id)) else { continue };
        if **parent != entry.op.service {
            call(Arc::clone(parent), Arc::clone(&entry.op.service));
        }
    }
}
