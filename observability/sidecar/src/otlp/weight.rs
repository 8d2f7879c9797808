//! What a request takes once it is decoded, known before it is decoded.
//!
//! Two bytes of protobuf (`12 00`) make an empty span of some hundred bytes, so the size of a request says nothing. The walk over the wire
//! format allocates nothing and knows what each list is made of. Everything is rounded up: lists begin with four places and then double.

use std::mem::size_of;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, EntityRef, KeyValue},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, SummaryDataPoint, summary_data_point::ValueAtQuantile,
    },
    trace::v1::{
        ResourceSpans, ScopeSpans, Span,
        span::{Event, Link},
    },
};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::{
    loki::{Entry, Stream},
    status::Refusal,
};

/// Messages within messages; prost has the same limit.
const DEPTH: usize = 100;

/// What the allocator adds to a text, and the place of a number in a list, doubled.
const SMALLEST: usize = 16;

/// What the store makes of a span beside its content: its place in the index, its operation, its trace.
const INDEX: usize = 256;

/// The fields of a message that are more than a number or a text.
pub(super) struct Shape(&'static [(u32, Field)]);

enum Field {
    /// A message inside of its parent.
    One(&'static Shape),
    /// A list of messages, each of so many bytes.
    List(usize, &'static Shape),
    /// Numbers of 8 bytes, on the wire of 1 at least.
    Numbers,
}

use Field::{List, Numbers, One};

const fn list<T>(shape: &'static Shape) -> Field {
    List(size_of::<T>(), shape)
}

pub(super) static TRACES: Shape = Shape(&[(1, list::<ResourceSpans>(&RESOURCE_SPANS))]);
static RESOURCE_SPANS: Shape = Shape(&[(1, One(&RESOURCE)), (2, list::<ScopeSpans>(&SCOPE_SPANS))]);
static SCOPE_SPANS: Shape = Shape(&[(1, One(&SCOPE)), (2, List(size_of::<Span>() + INDEX, &SPAN))]);
static SPAN: Shape = Shape(&[
    (9, list::<KeyValue>(&KEY_VALUE)),
    (11, list::<Event>(&EVENT)),
    (13, list::<Link>(&LINK)),
    (15, One(&FLAT)),
]);
static EVENT: Shape = Shape(&[(3, list::<KeyValue>(&KEY_VALUE))]);
static LINK: Shape = Shape(&[(4, list::<KeyValue>(&KEY_VALUE))]);

pub(super) static LOGS: Shape = Shape(&[(1, list::<ResourceLogs>(&RESOURCE_LOGS))]);
static RESOURCE_LOGS: Shape = Shape(&[(1, One(&RESOURCE)), (2, list::<ScopeLogs>(&SCOPE_LOGS))]);
static SCOPE_LOGS: Shape = Shape(&[(1, One(&SCOPE)), (2, list::<LogRecord>(&LOG_RECORD))]);
static LOG_RECORD: Shape = Shape(&[(5, One(&ANY_VALUE)), (6, list::<KeyValue>(&KEY_VALUE))]);

pub(super) static METRICS: Shape = Shape(&[(1, list::<ResourceMetrics>(&RESOURCE_METRICS))]);
static RESOURCE_METRICS: Shape =
    Shape(&[(1, One(&RESOURCE)), (2, list::<ScopeMetrics>(&SCOPE_METRICS))]);
static SCOPE_METRICS: Shape = Shape(&[(1, One(&SCOPE)), (2, list::<Metric>(&METRIC))]);
static METRIC: Shape = Shape(&[
    (5, One(&NUMBERS)),
    (7, One(&NUMBERS)),
    (9, One(&HISTOGRAM)),
    (10, One(&EXPONENTIAL_HISTOGRAM)),
    (11, One(&SUMMARY)),
    (12, list::<KeyValue>(&KEY_VALUE)),
]);
static NUMBERS: Shape = Shape(&[(1, list::<NumberDataPoint>(&NUMBER_POINT))]);
static NUMBER_POINT: Shape =
    Shape(&[(5, list::<Exemplar>(&EXEMPLAR)), (7, list::<KeyValue>(&KEY_VALUE))]);
static HISTOGRAM: Shape = Shape(&[(1, list::<HistogramDataPoint>(&HISTOGRAM_POINT))]);
static HISTOGRAM_POINT: Shape = Shape(&[
    (6, Numbers),
    (7, Numbers),
    (8, list::<Exemplar>(&EXEMPLAR)),
    (9, list::<KeyValue>(&KEY_VALUE)),
]);
static EXPONENTIAL_HISTOGRAM: Shape =
    Shape(&[(1, list::<ExponentialHistogramDataPoint>(&EXPONENTIAL_POINT))]);
static EXPONENTIAL_POINT: Shape = Shape(&[
    (1, list::<KeyValue>(&KEY_VALUE)),
    (8, One(&BUCKETS)),
    (9, One(&BUCKETS)),
    (11, list::<Exemplar>(&EXEMPLAR)),
]);
static BUCKETS: Shape = Shape(&[(2, Numbers)]);
static SUMMARY: Shape = Shape(&[(1, list::<SummaryDataPoint>(&SUMMARY_POINT))]);
static SUMMARY_POINT: Shape =
    Shape(&[(6, list::<ValueAtQuantile>(&FLAT)), (7, list::<KeyValue>(&KEY_VALUE))]);
static EXEMPLAR: Shape = Shape(&[(7, list::<KeyValue>(&KEY_VALUE))]);

/// Of Loki's push, as the log records that it becomes.
pub(super) static PUSH: Shape = Shape(&[(1, List(STREAM, &PUSH_STREAM))]);
const STREAM: usize = size_of::<Stream>() + size_of::<ResourceLogs>() + size_of::<ScopeLogs>();
static PUSH_STREAM: Shape =
    Shape(&[(2, List(size_of::<Entry>() + size_of::<LogRecord>(), &PUSH_ENTRY))]);
static PUSH_ENTRY: Shape = Shape(&[(1, One(&FLAT)), (3, List(2 * size_of::<KeyValue>(), &FLAT))]);

static RESOURCE: Shape =
    Shape(&[(1, list::<KeyValue>(&KEY_VALUE)), (3, list::<EntityRef>(&ENTITY))]);
static ENTITY: Shape = Shape(&[(3, list::<String>(&FLAT)), (4, list::<String>(&FLAT))]);
static SCOPE: Shape = Shape(&[(3, list::<KeyValue>(&KEY_VALUE))]);
static KEY_VALUE: Shape = Shape(&[(2, One(&ANY_VALUE))]);
static ANY_VALUE: Shape = Shape(&[(5, One(&ARRAY)), (6, One(&MAP))]);
static ARRAY: Shape = Shape(&[(1, list::<AnyValue>(&ANY_VALUE))]);
static MAP: Shape = Shape(&[(1, list::<KeyValue>(&KEY_VALUE))]);
/// Not looked into: a text, or a message of numbers and texts only.
static FLAT: Shape = Shape(&[]);

/// The bytes that a message of protobuf takes once it is decoded, at most.
pub(super) fn of_protobuf(message: &[u8], shape: &Shape) -> Result<usize, Refusal> {
    weigh(message, shape, 0)
}

fn weigh(mut rest: &[u8], shape: &Shape, depth: usize) -> Result<usize, Refusal> {
    if depth > DEPTH {
        return Err(Refusal::BadData(format!("more than {DEPTH} messages are in each other")));
    }
    let bad = |error: prost::DecodeError| Refusal::BadData(error.to_string());
    let mut sum = 0;
    let mut seen = 0_u32; // a bit for each list that has begun
    while !rest.is_empty() {
        let (tag, wire_type) = decode_key(&mut rest).map_err(bad)?;
        if wire_type != WireType::LengthDelimited {
            skip_field(wire_type, tag, &mut rest, DecodeContext::default()).map_err(bad)?;
            sum += SMALLEST;
            continue;
        }
        let length = usize::try_from(decode_varint(&mut rest).map_err(bad)?).ok();
        let Some((content, after)) = length.and_then(|length| rest.split_at_checked(length)) else {
            return Err(Refusal::BadData("it ends within a field".to_owned()));
        };
        rest = after;
        let at = shape.0.iter().position(|(known, _)| *known == tag);
        sum += match at.map(|at| (at, &shape.0[at].1)) {
            Some((_, One(inner))) => weigh(content, inner, depth + 1)?,
            Some((at, List(size, inner))) => {
                let places = if seen & 1 << at == 0 { 4 } else { 2 };
                seen |= 1 << at;
                let inside = if inner.0.is_empty() {
                    content.len()
                } else {
                    weigh(content, inner, depth + 1)?
                };
                size * places + inside
            }
            Some((_, Numbers)) => SMALLEST * content.len(),
            None => SMALLEST + content.len(),
        };
    }
    Ok(sum)
}

/// The largest message that can be in a list.
const ELEMENT: usize = {
    let (span, point) = (size_of::<Span>() + INDEX, size_of::<ExponentialHistogramDataPoint>());
    if span > point { span } else { point }
};

/// An object within another while serde looks for its variant: four pairs of serde's own kind.
const OBJECT: usize = 256;

/// A member or an element while serde looks for a variant; also a text or number in a list.
const MEMBER: usize = 64;

/// The bytes that JSON takes once it is decoded, roughly and at most: what comes after `[` or `,` may be a place in a list.
pub(crate) fn of_json(text: &[u8]) -> usize {
    let mut sum = text.len();
    let mut before = b'[';
    for byte in text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()) {
        sum += match (byte, before) {
            (b'{', b'[') => 4 * ELEMENT,
            (b'{', b',') => 2 * ELEMENT,
            (b'{', _) => OBJECT,
            (b',' | b'[', _) => MEMBER,
            _ => 0,
        };
        before = byte;
    }
    sum
}

/// The same of Loki's push, with the log records that it becomes: a list in a list is a line.
pub(super) fn of_json_push(text: &[u8]) -> usize {
    const LINE: usize = size_of::<Entry>() + size_of::<LogRecord>();
    let mut sum = of_json(text);
    let mut before = b' ';
    for byte in text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()) {
        sum += match (byte, before) {
            (b'[', b'[') => 4 * LINE,
            (b'[', b',') => 2 * LINE,
            _ => 0,
        };
        before = byte;
    }
    sum
}

/// What [`of_json`] weighs, while it is a tree of [`serde_json::Value`], in addition.
pub(crate) fn of_json_tree(text: &[u8]) -> usize {
    /// A node of the map behind an object: eleven keys and values.
    const NODE: usize = 11 * (size_of::<String>() + size_of::<serde_json::Value>()) + 24;
    let mut sum = text.len();
    for byte in text {
        sum += match byte {
            b'{' => NODE,
            b'[' => 4 * MEMBER,
            b',' => MEMBER + MEMBER,
            _ => 0,
        };
    }
    sum
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
        common::v1::any_value::Value,
    };
    use prost::Message;

    use super::*;

    fn field(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut field = vec![tag << 3 | 2];
        prost::encoding::encode_varint(content.len() as u64, &mut field);
        field.extend(content);
        field
    }

    #[test]
    fn two_bytes_that_become_a_span_weigh_what_a_span_does() {
        const COUNT: usize = 10_000;
        let spans = [0x12, 0].repeat(COUNT);
        let message = field(1, &field(2, &spans));
        let decoded = ExportTraceServiceRequest::decode(&*message).unwrap();
        let list = &decoded.resource_spans[0].scope_spans[0].spans;
        assert_eq!(list.len(), COUNT);
        let weight = of_protobuf(&message, &TRACES).unwrap();
        assert!(weight >= list.capacity() * size_of::<Span>(), "{weight}");
    }

    #[test]
    fn lists_in_lists_weigh_what_their_places_take() {
        let mut value = AnyValue::default();
        for _ in 0..20 {
            let array = opentelemetry_proto::tonic::common::v1::ArrayValue { values: vec![value] };
            value = AnyValue { value: Some(Value::ArrayValue(array)) };
        }
        let record = LogRecord { body: Some(value), ..LogRecord::default() };
        let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
        let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
        let message = ExportLogsServiceRequest { resource_logs }.encode_to_vec();
        let weight = of_protobuf(&message, &LOGS).unwrap();
        assert!(weight >= 20 * 4 * size_of::<AnyValue>(), "{weight}");
    }

    #[test]
    fn what_is_no_protobuf_or_too_deep_is_bad_data() {
        for message in [&[0xff; 100][..], &[0x0a, 5, 1], &[0x0a]] {
            assert!(matches!(of_protobuf(message, &TRACES), Err(Refusal::BadData(_))));
        }
        let mut value = Vec::new();
        for _ in 0..200 {
            value = field(5, &field(1, &value));
        }
        let message = field(1, &field(2, &field(2, &field(5, &value))));
        assert!(matches!(of_protobuf(&message, &LOGS), Err(Refusal::BadData(_))));
    }

    #[test]
    fn json_weighs_its_lists_and_not_its_blanks() {
        let empty = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{}, {}, {}]}]}]}"#;
        assert!(of_json(empty) >= 8 * size_of::<Span>());
        assert!(of_json(&b" ".repeat(1000)) < 2000);
    }
}
