//! What the store promises to those who write and read it.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord as WireLog, ResourceLogs, ScopeLogs},
    resource::v1::Resource as WireResource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span as WireSpan, Status as WireStatus,
        span::{Event, Link},
    },
};

use super::*;

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_800_000_000 * SECOND;
const LARGE: usize = 64 << 20;

fn store(span_bytes: usize, log_bytes: usize) -> MemoryStore {
    MemoryStore::with_clock(span_bytes, log_bytes, || NOW)
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

/// A span of a second's length that began some seconds ago.
fn span(trace: u128, id: u64, parent: u64, name: &str, ago: u64) -> WireSpan {
    WireSpan {
        trace_id: trace.to_be_bytes().into(),
        span_id: id.to_be_bytes().into(),
        parent_span_id: if parent == 0 { Vec::new() } else { parent.to_be_bytes().into() },
        name: name.into(),
        kind: 2,
        start_time_unix_nano: NOW - ago * SECOND,
        end_time_unix_nano: NOW - ago * SECOND + SECOND,
        ..Default::default()
    }
}

fn failed(mut span: WireSpan) -> WireSpan {
    span.status = Some(WireStatus { code: 2, message: "why".into() });
    span
}

fn from(service: &str, spans: Vec<WireSpan>) -> Vec<ResourceSpans> {
    vec![ResourceSpans {
        resource: Some(WireResource {
            attributes: vec![text("service.name", service), text("region", "north")],
            ..Default::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "lib".into(),
                version: "1.2".into(),
                attributes: vec![text("scoped", "yes")],
                ..Default::default()
            }),
            spans,
            ..Default::default()
        }],
        ..Default::default()
    }]
}

fn id(trace: u128) -> TraceId {
    TraceId(trace.to_be_bytes())
}

fn ids(traces: &[Trace]) -> Vec<TraceId> {
    traces.iter().map(|it| it.id).collect()
}

fn tagged(tags: &[(&str, &str)]) -> TraceQuery {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    TraceQuery { tags: tags.iter().map(own).collect(), ..TraceQuery::default() }
}

#[test]
fn spans_without_valid_ids_are_rejected_and_the_others_kept() {
    let store = store(LARGE, LARGE);
    let mut short = span(1, 1, 0, "a", 9);
    short.trace_id.pop();
    let mut no_span = span(1, 1, 0, "a", 9);
    no_span.span_id = vec![0; 8];
    let mut odd_parent = span(1, 3, 0, "a", 9);
    odd_parent.parent_span_id = vec![1; 7];
    let good = span(1, 2, 0, "a", 9);
    let added = store.add_spans(from("s", vec![short, no_span, odd_parent, good]));
    assert_eq!((added.accepted, added.rejected), (1, 3));
    assert_eq!(added.reason, "the trace_id of a span has to have 16 bytes, not all zero");
    assert_eq!(store.trace(id(1)).unwrap().spans.len(), 1);
    assert_eq!(store.add_spans(Vec::new()), Added::default());
}

#[test]
fn what_is_shown_is_what_was_sent() {
    let store = store(LARGE, LARGE);
    let mut sent = failed(span(7, 1, 2, "get", 9));
    sent.attributes = vec![attribute("n", Value::IntValue(5)), text("t", "x")];
    sent.trace_state = "a=b".into();
    sent.flags = 257;
    sent.dropped_events_count = 3;
    sent.events = vec![Event { time_unix_nano: 5, name: "e".into(), ..Default::default() }];
    let to = (vec![9; 16], vec![8; 8]);
    let nowhere = Link::default();
    sent.links = vec![Link { trace_id: to.0, span_id: to.1, ..Default::default() }, nowhere];
    store.add_spans(from("s", vec![sent]));
    let trace = store.trace(id(7)).unwrap();
    let span = &trace.spans[0];
    assert_eq!((&*span.service, span.name.as_str(), span.kind), ("s", "get", SpanKind::Server));
    assert_eq!(span.parent, Some(SpanId(2_u64.to_be_bytes())));
    assert_eq!(span.status, Status::Error("why".into()));
    assert_eq!((span.start_ns, span.duration_ns()), (NOW - 9 * SECOND, SECOND));
    assert_eq!((span.trace_state.as_str(), span.flags, span.dropped), ("a=b", 257, [0, 3, 0]));
    let shown: Vec<_> = span.attributes.iter().map(|(k, v)| (k.as_str(), value_text(v))).collect();
    assert_eq!(shown, [("n", "5".to_owned()), ("t", "x".to_owned())]);
    assert_eq!((span.events[0].name.as_str(), span.events[0].time_ns), ("e", 5));
    assert_eq!(span.links.len(), 1, "the link to nowhere is left out");
    assert_eq!((span.scope.name.as_str(), span.scope.version.as_str()), ("lib", "1.2"));
    assert_eq!(span.resource.attributes.len(), 2);
}

#[test]
fn late_spans_join_their_trace_in_the_order_of_their_starts() {
    let store = store(LARGE, LARGE);
    store.add_spans(from("b", vec![span(1, 2, 1, "child", 8)]));
    store.add_spans(from("x", vec![span(2, 1, 0, "other", 5)]));
    store.add_spans(from("a", vec![span(1, 1, 0, "root", 9)]));
    let trace = store.trace(id(1)).unwrap();
    let names: Vec<_> = trace.spans.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["root", "child"]);
    assert_eq!(store.stats().traces, 2);
}

#[test]
fn a_span_that_was_sent_twice_is_shown_once_and_one_that_differs_is_not_the_same() {
    let store = store(LARGE, LARGE);
    let twice = span(1, 1, 0, "a", 9);
    let mut changed = twice.clone();
    changed.attributes.push(text("more", "yes"));
    store.add_spans(from("s", vec![twice.clone(), twice.clone()]));
    store.add_spans(from("s", vec![twice, changed]));
    assert_eq!(store.trace(id(1)).unwrap().spans.len(), 2);
    assert_eq!(store.summaries(&TraceQuery::default())[0].spans, 2);
    assert_eq!(store.stats().spans, 4, "what is kept is counted as it is kept");
}

#[test]
fn the_bytes_of_what_left_are_free_again_to_the_last_one() {
    let store = store(40_000, 40_000);
    for number in 1..=1_000 {
        store.add_spans(from(&format!("s{}", number % 7), vec![span(number, 1, 0, "op", 9)]));
        let stats = store.stats();
        assert!(stats.span_bytes <= stats.span_limit, "{stats:?}");
        assert_eq!(stats.spans as u64 + stats.evicted_spans, number as u64);
    }
    assert!(store.stats().spans > 10 && store.stats().evicted_spans > 10);
    // One that is larger than everything pushes out everything, itself too.
    let mut huge = span(5_000, 1, 0, "huge", 1);
    huge.attributes = vec![text("x", &"x".repeat(50_000))];
    store.add_spans(from("s", vec![huge]));
    let stats = store.stats();
    assert_eq!((stats.traces, stats.spans, stats.span_bytes), (0, 0, 0));
    assert_eq!(stats.evicted_spans, 1_001);
    assert_eq!(store.services(), Vec::<String>::new());
}

#[test]
fn the_oldest_arrivals_leave_first_whatever_their_times_say() {
    let store = store(LARGE, LARGE);
    store.add_spans(from("s", vec![span(1, 1, 0, "op", 1)]));
    let one = store.stats().span_bytes;
    let store = self::store(3 * one, LARGE);
    for (trace, ago) in [(1, 1), (2, 500), (3, 100), (4, 1_000)] {
        store.add_spans(from("s", vec![span(trace, 1, 0, "op", ago)]));
    }
    assert!(store.trace(id(1)).is_none());
    for trace in 2..=4 {
        assert!(store.trace(id(trace)).is_some(), "{trace}");
    }
}

#[test]
fn a_trace_of_ten_thousand_spans_is_shown_whole() {
    let store = store(LARGE, LARGE);
    for part in 0..10_u64 {
        let spans = (1..=1_000).map(|n| {
            let number = part * 1_000 + n;
            span(1, number, number / 2, "op", 20_000 - number)
        });
        store.add_spans(from("s", spans.collect()));
    }
    let trace = store.trace(id(1)).unwrap();
    assert_eq!(trace.spans.len(), 10_000);
    assert!(trace.spans.is_sorted_by_key(|it| it.start_ns));
    let summary = &store.summaries(&TraceQuery::default())[0];
    assert_eq!((summary.spans, summary.orphans), (10_000, 0));
}

#[test]
fn one_span_has_to_satisfy_the_whole_query() {
    let store = store(LARGE, LARGE);
    let mut tagged_span = span(1, 2, 1, "child", 8);
    tagged_span.attributes = vec![text("k", "v")];
    store.add_spans(from("a", vec![span(1, 1, 0, "root", 9), tagged_span]));
    let find = |operation: &str| {
        let query = TraceQuery { operation: Some(operation.into()), ..tagged(&[("k", "v")]) };
        store.find_traces(&query).len()
    };
    assert_eq!((find("root"), find("child")), (0, 1));
    let short = TraceQuery { duration_max: SECOND - 1, ..TraceQuery::default() };
    assert!(store.find_traces(&short).is_empty());
    let exact = TraceQuery {
        duration_min: SECOND,
        duration_max: SECOND,
        start_min: NOW - 9 * SECOND,
        start_max: NOW - 9 * SECOND,
        ..TraceQuery::default()
    };
    assert_eq!(store.find_traces(&exact).len(), 1);
    let elsewhere = TraceQuery { service: Some("b".into()), ..TraceQuery::default() };
    assert!(store.find_traces(&elsewhere).is_empty());
}

#[test]
fn a_tag_is_found_wherever_it_is_by_its_text() {
    let store = store(LARGE, LARGE);
    let mut it = failed(span(1, 1, 0, "op", 9));
    it.attributes = vec![
        attribute("int", Value::IntValue(123)),
        attribute("double", Value::DoubleValue(72.5)),
        attribute("bool", Value::BoolValue(true)),
        attribute("bytes", Value::BytesValue(vec![0, 0, 48, 57])),
    ];
    let attributes = vec![text("where", "event")];
    it.events = vec![Event { attributes, ..Default::default() }];
    let (trace_id, span_id) = (vec![9; 16], vec![8; 8]);
    let attributes = vec![text("linked", "yes")];
    it.links = vec![Link { trace_id, span_id, attributes, ..Default::default() }];
    store.add_spans(from("s", vec![it]));
    for (key, value) in [
        ("int", "123"),
        ("double", "72.5"),
        ("bool", "true"),
        ("bytes", "AAAwOQ=="),
        ("where", "event"),
        ("linked", "yes"),
        ("scoped", "yes"),
        ("region", "north"),
        ("resource.region", "north"),
        ("error", "true"),
        ("span.kind", "server"),
        ("span.status", "ERROR"),
        ("scope.name", "lib"),
        ("scope.version", "1.2"),
    ] {
        assert_eq!(store.find_traces(&tagged(&[(key, value)])).len(), 1, "{key}={value}");
        assert!(store.find_traces(&tagged(&[(key, "no")])).is_empty(), "{key}=no");
    }
    assert!(store.find_traces(&tagged(&[("error", "false")])).is_empty());
    assert!(store.find_traces(&tagged(&[("resource.int", "123")])).is_empty());
    assert!(store.find_traces(&tagged(&[("int", "123"), ("bool", "false")])).is_empty());
}

#[test]
fn unset_counts_as_no_error() {
    let store = store(LARGE, LARGE);
    store.add_spans(from("s", vec![span(1, 1, 0, "op", 9)]));
    assert_eq!(store.find_traces(&tagged(&[("error", "false")])).len(), 1);
    assert!(store.find_traces(&tagged(&[("error", "true")])).is_empty());
    let errors = TraceQuery { errors_only: true, ..TraceQuery::default() };
    assert!(store.find_traces(&errors).is_empty());
}

#[test]
fn the_latest_traces_come_first_and_the_limit_cuts_the_others() {
    let store = store(LARGE, LARGE);
    for (trace, ago) in [(1, 50), (2, 10), (3, 30)] {
        store.add_spans(from("s", vec![span(trace, 1, 0, "op", ago)]));
    }
    let query = TraceQuery { limit: 2, ..tagged(&[("region", "north")]) };
    assert_eq!(ids(&store.find_traces(&query)), [id(2), id(3)]);
    let summaries: Vec<_> = store.summaries(&query).iter().map(|it| it.id).collect();
    assert_eq!(summaries, [id(2), id(3)]);
}

#[test]
fn a_summary_says_what_the_trace_says() {
    let store = store(LARGE, LARGE);
    store.add_spans(from("a", vec![span(1, 1, 0, "root", 9), span(1, 2, 1, "call", 8)]));
    store.add_spans(from("b", vec![failed(span(1, 3, 2, "answer", 8)), span(1, 4, 99, "lost", 5)]));
    let summary = store.summaries(&TraceQuery::default()).remove(0);
    assert_eq!((&*summary.root_service, &*summary.root_operation), ("a", "root"));
    assert_eq!((summary.start_ns, summary.end_ns), (NOW - 9 * SECOND, NOW - 4 * SECOND));
    assert_eq!((summary.spans, summary.errors, summary.orphans), (4, 1, 1));
    let services: Vec<_> =
        summary.services.iter().map(|it| (&*it.name, it.spans, it.errors)).collect();
    assert_eq!(services, [("a", 2, 0), ("b", 2, 1)]);
}

#[test]
fn services_and_operations_are_those_of_the_spans_that_are_here() {
    let store = store(LARGE, LARGE);
    let mut client = span(1, 2, 1, "b", 8);
    client.kind = 3;
    store.add_spans(from("two", vec![span(1, 1, 0, "b", 9), span(1, 3, 1, "a", 9), client]));
    store.add_spans(vec![ResourceSpans {
        scope_spans: vec![ScopeSpans { spans: vec![span(2, 1, 0, "x", 9)], ..Default::default() }],
        ..Default::default()
    }]);
    assert_eq!(store.services(), ["missing-service-name", "two"]);
    let operation = |name: &str, kind| Operation { name: name.into(), kind };
    let (server, client) = (SpanKind::Server, SpanKind::Client);
    assert_eq!(
        store.operations("two", None),
        [operation("a", server), operation("b", server), operation("b", client)]
    );
    assert_eq!(store.operations("two", Some(client)), [operation("b", client)]);
    assert!(store.operations("three", None).is_empty());
}

#[test]
fn the_rates_outlive_the_traces() {
    let store = store(1_000, LARGE);
    for number in 1..=20 {
        let it = span(number, 1, 0, "op", 9);
        store.add_spans(from("s", vec![if number % 4 == 0 { failed(it) } else { it }]));
    }
    assert!(store.stats().evicted_spans > 0);
    let rollups = store.red(0, u64::MAX);
    assert_eq!(rollups.len(), 1);
    let total = rollups[0].total();
    assert_eq!((total.count, total.errors), (20, 5));
    let median = total.quantile_ns(0.5).unwrap();
    assert!((SECOND / 2..SECOND * 3 / 2).contains(&median), "{median}");
    assert!(store.red(0, NOW - 60 * SECOND).is_empty());
}

#[test]
fn rates_are_kept_for_an_hour_and_for_so_many_operations() {
    let store = store(LARGE, LARGE);
    store.add_spans(from("s", vec![span(1, 1, 0, "old", 3_700), span(1, 2, 0, "young", 3_000)]));
    let names = |rollups: Vec<Rollup>| -> Vec<String> {
        rollups.iter().map(|it| it.operation.to_string()).collect()
    };
    assert_eq!(names(store.red(0, u64::MAX)), ["young"]);
    let many = |service: &str, count: u64| {
        let spans = (0..count).map(|n| span(2, n + 1, 0, &format!("op{n}"), 5)).collect();
        store.add_spans(from(service, spans));
    };
    many("s", 1_000);
    let rollups = store.red(0, u64::MAX);
    assert_eq!(rollups.len(), 129);
    let other = |rollups: &[Rollup], service: &str| {
        let found =
            rollups.iter().find(|it| &*it.service == service && &*it.operation == "(other)");
        found.map_or(0, |it| it.total().count)
    };
    assert_eq!(other(&rollups, "s"), 1_001 - 128);

    // One with ids in its names hides no other; when all places are taken, each is still counted by its name.
    many("calm", 1);
    many("also busy", 1_000);
    many("late", 3);
    let rollups = store.red(0, u64::MAX);
    assert!(rollups.iter().any(|it| (&*it.service, &*it.operation) == ("calm", "op0")));
    assert_eq!(other(&rollups, "also busy"), 1_000 - 127);
    assert_eq!(other(&rollups, "late"), 3);
    for n in 0..100 {
        many(&format!("service{n}"), 1);
    }
    let rollups = store.red(0, u64::MAX);
    assert_eq!(rollups.len(), 256 + 64 + 1);
    assert_eq!(other(&rollups, "(other)"), 100 - (64 - 3));
}

#[test]
fn copies_of_a_resource_for_many_traces_are_bounded() {
    let store = store(LARGE, LARGE);
    let spans = (1..=300).map(|trace| span(trace, 1, 0, "op", 9)).collect();
    let mut request = from("s", spans);
    let large = text("large", &"x".repeat(1 << 20));
    request[0].resource.as_mut().unwrap().attributes.push(large);
    let added = store.add_spans(request);
    assert_eq!((added.accepted, added.rejected), (63, 237));
    assert!(added.reason.contains("64 MiB"), "{}", added.reason);
    let last = store.trace(id(63)).unwrap();
    assert_eq!(last.spans[0].resource.attributes.len(), 3);
    assert_eq!(store.trace(id(64)), None);
}

#[test]
fn a_trace_keeps_the_resource_and_scope_of_each_of_its_spans() {
    let store = store(LARGE, LARGE);
    let mut request = from("a", vec![span(1, 1, 0, "a1", 9), span(2, 1, 0, "other", 9)]);
    let mut scope = request[0].scope_spans[0].clone();
    scope.scope.as_mut().unwrap().name = "second".into();
    scope.schema_url = "schema".into();
    scope.spans = vec![span(1, 2, 1, "a2", 8), span(1, 3, 1, "a3", 7)];
    request[0].scope_spans.push(scope);
    request.extend(from("b", vec![span(1, 4, 1, "b1", 6)]));
    request.extend(from("a", vec![span(1, 5, 1, "a4", 5)]));
    assert_eq!(store.add_spans(request).accepted, 6);
    let trace = store.trace(id(1)).unwrap();
    let shown: Vec<_> = trace
        .spans
        .iter()
        .map(|it| {
            (&*it.service, it.name.as_str(), it.scope.name.as_str(), it.scope.schema_url.as_str())
        })
        .collect();
    let second = |name| ("a", name, "second", "schema");
    assert_eq!(
        shown,
        [
            ("a", "a1", "lib", ""),
            second("a2"),
            second("a3"),
            ("b", "b1", "lib", ""),
            ("a", "a4", "lib", "")
        ]
    );
}

#[test]
fn quantiles_are_within_their_class() {
    let mut bucket = Bucket::empty(0);
    assert_eq!(bucket.quantile_ns(0.5), None);
    for milliseconds in 1..=100 {
        bucket.add(milliseconds * 1_000_000, false);
    }
    for (share, exact) in [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0)] {
        let told = bucket.quantile_ns(share).unwrap() as f64 / 1e6;
        assert!(told / exact < 1.42 && exact / told < 1.42, "{share}: {told} for {exact}");
    }
    bucket.add(u64::MAX, true);
    assert_eq!(bucket.quantile_ns(1.0), Some(latency_bound_ns(LATENCY_BUCKETS - 1)));
}

#[test]
fn dependencies_count_calls_between_services_and_none_within_one() {
    let store = store(LARGE, LARGE);
    store.add_spans(from("a", vec![span(1, 1, 0, "root", 9), span(1, 2, 1, "inner", 8)]));
    store.add_spans(from("b", vec![span(1, 3, 2, "x", 8), span(1, 4, 2, "y", 8)]));
    store.add_spans(from("b", vec![span(1, 5, 77, "orphan", 8)]));
    let expected = Dependency { parent: "a".into(), child: "b".into(), calls: 2 };
    assert_eq!(store.dependencies(0, NOW), [expected]);
    assert!(store.dependencies(NOW - 8 * SECOND, NOW).is_empty());
}

#[test]
fn subscribers_hear_of_each_trace_that_gets_spans() {
    let store = store(LARGE, LARGE);
    let mut arrivals = store.subscribe();
    store.add_spans(from("s", vec![span(1, 1, 0, "a", 9), span(2, 1, 0, "b", 9)]));
    assert_eq!(arrivals.try_recv(), Ok(id(1)));
    assert_eq!(arrivals.try_recv(), Ok(id(2)));
    assert!(arrivals.try_recv().is_err());
}

fn log(severity: i32, body: &str, trace: u128) -> WireLog {
    WireLog {
        observed_time_unix_nano: NOW,
        severity_number: severity,
        body: Some(AnyValue { value: Some(Value::StringValue(body.into())) }),
        trace_id: if trace == 0 { Vec::new() } else { trace.to_be_bytes().into() },
        span_id: if trace == 0 { Vec::new() } else { 5_u64.to_be_bytes().into() },
        ..Default::default()
    }
}

fn logs_from(service: &str, log_records: Vec<WireLog>) -> Vec<ResourceLogs> {
    vec![ResourceLogs {
        resource: Some(WireResource {
            attributes: vec![text("service.name", service)],
            ..Default::default()
        }),
        scope_logs: vec![ScopeLogs { log_records, ..Default::default() }],
        ..Default::default()
    }]
}

fn bodies(records: &[LogRecord]) -> Vec<&str> {
    records.iter().map(|it| it.body.as_str()).collect()
}

#[test]
fn logs_are_found_by_service_severity_text_trace_and_page() {
    let store = store(LARGE, LARGE);
    let first = vec![log(9, "one", 1), log(17, "Two ÄRGER", 2), log(9, "three", 0)];
    let added = store.add_logs(logs_from("a", first));
    assert_eq!((added.accepted, added.rejected), (3, 0));
    store.add_logs(logs_from("b", vec![log(13, "four", 1)]));
    let find = |query: LogQuery| store.find_logs(&query);
    let all = find(LogQuery::default());
    assert_eq!(bodies(&all), ["four", "three", "Two ÄRGER", "one"]);
    assert_eq!((&*all[0].service, all[0].time_ns, all[0].severity), ("b", NOW, 13));
    let query = LogQuery { service: Some("a".into()), limit: 2, ..LogQuery::default() };
    let page = find(query.clone());
    assert_eq!(bodies(&page), ["three", "Two ÄRGER"]);
    let next = LogQuery { before: Some(page[1].sequence), ..query };
    assert_eq!(bodies(&find(next)), ["one"]);
    let loud = LogQuery { severity: 13, ..LogQuery::default() };
    assert_eq!(bodies(&find(loud)), ["four", "Two ÄRGER"]);
    let angry = LogQuery { text: Some("ärger".into()), ..LogQuery::default() };
    assert_eq!(bodies(&find(angry)), ["Two ÄRGER"]);
    let traced = LogQuery { trace_id: Some(id(1)), ..LogQuery::default() };
    assert_eq!(bodies(&find(traced)), ["four", "one"]);
    let other_span = LogQuery { span_id: Some(SpanId([1; 8])), ..LogQuery::default() };
    assert!(find(other_span).is_empty());
}

#[test]
fn the_oldest_logs_leave_first_and_are_counted() {
    let store = store(LARGE, 20_000);
    for number in 0..500 {
        store.add_logs(logs_from("s", vec![log(9, &format!("line {number}"), 0)]));
        assert!(store.stats().log_bytes <= store.stats().log_limit);
    }
    let stats = store.stats();
    assert_eq!(stats.logs as u64 + stats.evicted_logs, 500);
    let query = LogQuery { limit: usize::MAX, ..LogQuery::default() };
    let records = store.find_logs(&query);
    assert_eq!(records.len(), stats.logs);
    assert_eq!(records[0].body, "line 499");
    store.add_logs(logs_from("s", vec![log(9, &"x".repeat(30_000), 0)]));
    assert_eq!((store.stats().logs, store.stats().log_bytes), (0, 0));
}

#[test]
fn logs_count_what_their_resources_take_and_count_it_once() {
    let store = store(LARGE, LARGE);
    let mut request = logs_from("s", vec![log(9, "one", 1)]);
    let attributes = &mut request[0].resource.as_mut().unwrap().attributes;
    attributes.extend(std::iter::repeat_n(KeyValue::default(), 10_000));
    let scope = request[0].scope_logs[0].clone();
    request[0].scope_logs.extend(std::iter::repeat_n(scope, 9));
    store.add_logs(request);
    let held = 10_000 * size_of::<(String, AnyValue)>();
    let counted = store.stats().log_bytes;
    assert!((held..2 * held).contains(&counted), "{counted} for {held}");
}

#[test]
fn values_read_as_jaeger_writes_them() {
    let list = |values: Vec<Value>| {
        let values = values.into_iter().map(|it| AnyValue { value: Some(it) }).collect();
        Value::ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue { values })
    };
    for (value, text) in [
        (Value::DoubleValue(1.0), "1"),
        (Value::DoubleValue(1e21), "1e+21"),
        (Value::DoubleValue(1e-7), "1e-7"),
        (Value::DoubleValue(0.1), "0.1"),
        (Value::IntValue(-3), "-3"),
        (list(vec![Value::IntValue(1), Value::DoubleValue(2.0)]), "[1,2]"),
        (list(vec![Value::StringValue("a\"b".into())]), "[\"a\\\"b\"]"),
    ] {
        assert_eq!(value_text(&AnyValue { value: Some(value) }), text);
    }
}
