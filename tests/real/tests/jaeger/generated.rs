//! Traces with everything that OTLP allows in a span, always the same ones.
//!
//! What Jaeger 2.13 alters on arrival is left to tests of its own: spans without a duration, services without a name.

use serde_json::{Value, json};

/// 2026-01-05 00:00:00 UTC.
pub(super) const BEGIN_NS: u64 = 1_767_571_200_000_000_000;
/// Traces begin that far from each other, and each is shorter.
const APART_NS: u64 = 60_000_000_000;

const SERVICES: [&str; 5] = ["shop", "bank/eu", "größe", "queue worker", "mail"];
const OPERATIONS: [&str; 6] = ["GET /", "POST /pay", "SELECT musics", "send ✉", "a&b=c", "poll"];

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// `count` requests to `/v1/traces`, a trace in each, the later ones later; some come in two requests.
pub(super) fn requests(count: usize) -> Vec<Value> {
    let mut dice = Dice(7);
    let mut requests = Vec::new();
    for number in 0..count {
        let mut senders = trace(number, &mut dice);
        let late = if senders.len() > 1 && dice.one_in(4) { senders.pop() } else { None };
        requests.push(json!({ "resourceSpans": senders }));
        requests.extend(late.map(|it| json!({ "resourceSpans": [it] })));
    }
    requests
}

/// Every fifth has an id of 64 bits, as old clients make them.
fn trace_id(number: usize) -> String {
    let high = if number.is_multiple_of(5) { 0 } else { 0xfeed_0000_0000_0000 + number as u64 };
    format!("{high:016x}{:016x}", 0xa000_0000_0000_0000 + number as u64)
}

fn span_id(trace: usize, number: usize) -> String {
    format!("{:08x}{:08x}", trace + 1, number + 1)
}

/// The spans of a trace by sender.
fn trace(number: usize, dice: &mut Dice) -> Vec<Value> {
    let begin = BEGIN_NS + number as u64 * APART_NS;
    let count = 1 + dice.below(12);
    // A child begins after its parent and ends before it, so that no clock looks wrong.
    let mut periods = vec![(begin + dice.below(999) as u64, begin + 20_000_000_000)];
    let mut senders: Vec<Vec<Value>> = vec![Vec::new(); 1 + dice.below(SERVICES.len())];
    for position in 0..count {
        let parent = if position == 0 { 0 } else { dice.below(position) };
        if position > 0 {
            let (start, end) = periods[parent];
            let quarter = (end - start) / 4;
            let early = dice.below(1000) as u64 * quarter / 1000;
            let late = dice.below(1000) as u64 * quarter / 1000;
            periods.push((start + early, end - late - 1));
        }
        let mut span = content(number, position, dice);
        let (start, end) = periods[position];
        span["startTimeUnixNano"] = start.to_string().into();
        span["endTimeUnixNano"] = end.to_string().into();
        if position > 0 {
            span["parentSpanId"] = span_id(number, parent).into();
        }
        events(&mut span, start, dice);
        let sender = dice.below(senders.len());
        senders[sender].push(span);
    }
    let spans = senders.into_iter().enumerate().filter(|(_, spans)| !spans.is_empty());
    spans.map(|(at, spans)| sender(number, at, spans, dice)).collect()
}

/// A resource whose spans are of two scopes.
fn sender(number: usize, at: usize, mut spans: Vec<Value>, dice: &mut Dice) -> Value {
    let mut attributes = vec![
        attribute("zone", json!({ "stringValue": "eu-1" })),
        attribute("service.name", json!({ "stringValue": SERVICES[at] })),
        attribute("host.name", json!({ "stringValue": format!("host-{}", number % 3) })),
    ];
    if number.is_multiple_of(4) {
        attributes.push(attribute("ip", json!({ "intValue": "2130706433" })));
        attributes.push(attribute("process.pid", json!({ "intValue": (number + 1).to_string() })));
    }
    let rest = spans.split_off(spans.len() / 2);
    let mut scopes = vec![json!({ "scope": {}, "spans": rest })];
    if !spans.is_empty() {
        let mut scope = json!({ "name": "lib", "version": "1.2" });
        if dice.one_in(2) {
            scope["attributes"] = json!([
                attribute("scope.team", json!({ "stringValue": "blue" })),
                attribute("scope.level", json!({ "intValue": "3" })),
            ]);
        }
        scopes.insert(0, json!({ "scope": scope, "spans": spans }));
    }
    json!({ "resource": { "attributes": attributes }, "scopeSpans": scopes })
}

fn content(trace: usize, position: usize, dice: &mut Dice) -> Value {
    let mut span = json!({
        "traceId": trace_id(trace),
        "spanId": span_id(trace, position),
        "name": OPERATIONS[dice.below(OPERATIONS.len())],
    });
    if dice.below(6) > 0 {
        span["kind"] = (1 + dice.below(5)).into();
    }
    span["status"] = match dice.below(5) {
        0 => json!({ "code": 2, "message": "the card was refused" }),
        1 => json!({ "code": 2 }),
        2 => json!({ "code": 1 }),
        _ => json!({}),
    };
    if dice.one_in(5) {
        span["traceState"] = "vendor=1,other=ö".into();
    }
    if dice.one_in(3) {
        span["flags"] = 257.into();
    }
    if dice.one_in(6) {
        span["droppedAttributesCount"] = 3.into();
        span["droppedEventsCount"] = 1.into();
        span["droppedLinksCount"] = 2.into();
    }
    span["attributes"] = attributes(dice);
    if dice.one_in(4) {
        span["links"] = links(trace, position, dice);
    }
    span
}

fn attribute(key: &str, value: Value) -> Value {
    json!({ "key": key, "value": value })
}

/// Of every type, in no order.
fn attributes(dice: &mut Dice) -> Value {
    let all = [
        ("url.path", json!({ "stringValue": "/pay?a=1&b=ü" })),
        ("empty", json!({ "stringValue": "" })),
        ("zero", json!({ "intValue": "0" })),
        ("http.response.status_code", json!({ "intValue": "503" })),
        ("large", json!({ "intValue": "9007199254740993" })),
        ("exact", json!({ "intValue": "9007199254740991" })),
        ("least", json!({ "intValue": "-9223372036854775808" })),
        ("yes", json!({ "boolValue": true })),
        ("no", json!({ "boolValue": false })),
        ("half", json!({ "doubleValue": 0.5 })),
        ("whole", json!({ "doubleValue": 72.0 })),
        ("huge", json!({ "doubleValue": 1e300 })),
        ("tiny", json!({ "doubleValue": 1.5e-9 })),
        ("third", json!({ "doubleValue": 1.0 / 3.0 })),
        ("round", json!({ "doubleValue": 1e21 })),
        ("bytes", json!({ "bytesValue": "AAECA/8=" })),
        ("peer.ipv4", json!({ "intValue": "3232235777" })),
        ("list", json!({ "arrayValue": { "values": [
            { "stringValue": "a \"quoted\" <one>" }, { "intValue": "7" }, { "boolValue": true }, { "doubleValue": 2.5 },
        ] } })),
        ("map", json!({ "kvlistValue": { "values": [
            attribute("z", json!({ "intValue": "1" })),
            attribute("a", json!({ "arrayValue": { "values": [{ "stringValue": "deep & far" }] } })),
            attribute("m", json!({ "kvlistValue": { "values": [attribute("k", json!({ "bytesValue": "AQI=" }))] } })),
        ] } })),
        ("nothing", json!({})),
    ];
    let mut chosen: Vec<_> = all.into_iter().filter(|_| dice.one_in(3)).collect();
    for at in (1..chosen.len()).rev() {
        chosen.swap(at, dice.below(at + 1));
    }
    chosen.into_iter().map(|(key, value)| attribute(key, value)).collect()
}

fn events(span: &mut Value, start: u64, dice: &mut Dice) {
    if !dice.one_in(3) {
        return;
    }
    let at = |offset: u64| (start + offset).to_string();
    span["events"] = json!([
        { "timeUnixNano": at(900), "name": "retry", "attributes": [
            attribute("attempt", json!({ "intValue": "2" })),
            attribute("after", json!({ "doubleValue": 0.25 })),
        ] },
        { "timeUnixNano": at(1_500), "name": "exception", "droppedAttributesCount": 1, "attributes": [
            attribute("exception.type", json!({ "stringValue": "Refused" })),
            attribute("exception.message", json!({ "stringValue": "no\nmoney" })),
        ] },
        { "timeUnixNano": at(2_500), "name": "named twice", "attributes": [
            attribute("cause", json!({ "stringValue": "x" })),
            attribute("event", json!({ "stringValue": "named by an attribute" })),
        ] },
        { "timeUnixNano": at(2_500) },
    ]);
}

/// To its parent, to other traces, of both kinds.
fn links(trace: usize, position: usize, dice: &mut Dice) -> Value {
    let mut links = vec![json!({
        "traceId": trace_id(trace + 5), "spanId": span_id(trace + 5, 0), "traceState": "a=b",
        "attributes": [
            attribute("why", json!({ "stringValue": "batch" })),
            attribute("link.count", json!({ "intValue": "4" })),
        ],
    })];
    if dice.one_in(2) {
        let child = attribute("opentracing.ref_type", json!({ "stringValue": "child_of" }));
        links.push(json!({ "traceId": trace_id(trace + 1), "spanId": span_id(trace + 1, 0), "attributes": [child] }));
    }
    if position > 0 && dice.one_in(2) {
        // Perhaps the parent: then it says what kind of parent.
        links.push(json!({ "traceId": trace_id(trace), "spanId": span_id(trace, 0), "flags": 1 }));
    }
    links.into()
}
