//! Spans and logs as they are shown.

use std::{fmt, str::FromStr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
pub use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

/// Attributes in the order in which they were sent.
pub type Attributes = Vec<(String, AnyValue)>;

/// The id of a trace. Never zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub [u8; 16]);

/// The id of a span, unique in its trace. Never zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub [u8; 8]);

impl TraceId {
    /// `None` unless there are 16 bytes, not all zero.
    pub fn from_bytes(bytes: &[u8]) -> Option<TraceId> {
        let id = bytes.try_into().ok()?;
        (id != [0; 16]).then_some(TraceId(id))
    }
}

impl SpanId {
    /// `None` unless there are 8 bytes, not all zero.
    pub fn from_bytes(bytes: &[u8]) -> Option<SpanId> {
        let id = bytes.try_into().ok()?;
        (id != [0; 8]).then_some(SpanId(id))
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// 16 hexadecimal digits.
impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is no id: 1 to 32 (16 for a span) hexadecimal digits, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has 1 to {0} hexadecimal digits, not all of them 0")]
pub struct NoId(usize);

fn hex(text: &str, digits: usize) -> Result<u128, NoId> {
    let valid = (1..=digits).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let id = if valid { u128::from_str_radix(text, 16).unwrap_or(0) } else { 0 };
    if id == 0 { Err(NoId(digits)) } else { Ok(id) }
}

impl FromStr for TraceId {
    type Err = NoId;

    /// Leading zeros may be absent, as Jaeger leaves them out.
    fn from_str(text: &str) -> Result<TraceId, NoId> {
        hex(text, 32).map(|id| TraceId(id.to_be_bytes()))
    }
}

impl FromStr for SpanId {
    type Err = NoId;

    fn from_str(text: &str) -> Result<SpanId, NoId> {
        hex(text, 16).map(|id| SpanId((id as u64).to_be_bytes()))
    }
}

/// What a span does in its call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpanKind {
    /// Nobody said; also every value that OTLP does not define.
    #[default]
    Unspecified,
    /// Work inside a service.
    Internal,
    /// It answers a request.
    Server,
    /// It sends a request.
    Client,
    /// It puts a message on its way.
    Producer,
    /// It works on a message.
    Consumer,
}

impl SpanKind {
    /// All of them, in OTLP's order: the position is the number there.
    pub const ALL: [SpanKind; 6] = [
        SpanKind::Unspecified,
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ];

    /// From the number that OTLP has for it.
    pub fn from_number(number: i32) -> SpanKind {
        let index = usize::try_from(number).unwrap_or(0);
        SpanKind::ALL.get(index).copied().unwrap_or_default()
    }

    /// The name in lower case; empty for [`SpanKind::Unspecified`].
    pub fn name(self) -> &'static str {
        match self {
            SpanKind::Unspecified => "",
            SpanKind::Internal => "internal",
            SpanKind::Server => "server",
            SpanKind::Client => "client",
            SpanKind::Producer => "producer",
            SpanKind::Consumer => "consumer",
        }
    }

    /// From its name, in any case.
    pub fn from_name(name: &str) -> Option<SpanKind> {
        let named = |kind: &SpanKind| !name.is_empty() && kind.name().eq_ignore_ascii_case(name);
        SpanKind::ALL.into_iter().find(named)
    }
}

/// How a span ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nobody said.
    #[default]
    Unset,
    /// Well, says the application.
    Ok,
    /// Badly, and why (may be empty).
    Error(String),
}

/// Who sent it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// All attributes, `service.name` too.
    pub attributes: Attributes,
    /// How many the sender left out.
    pub dropped_attributes: u32,
    /// The schema of the attributes; mostly empty.
    pub schema_url: String,
}

/// The instrumentation that made it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// Its name; may be empty.
    pub name: String,
    /// Its version; may be empty.
    pub version: String,
    /// Its attributes.
    pub attributes: Attributes,
    /// How many the sender left out.
    pub dropped_attributes: u32,
    /// The schema of what it makes; mostly empty.
    pub schema_url: String,
}

/// One span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
    /// The span that it is part of; that one need not be here.
    pub parent: Option<SpanId>,
    /// `service.name` of the resource; `missing-service-name` where there is none.
    pub service: Arc<str>,
    /// The operation.
    pub name: String,
    /// Its role.
    pub kind: SpanKind,
    /// When it began.
    pub start_ns: u64,
    /// When it ended; may be before the start, if the sender says so.
    pub end_ns: u64,
    /// How it ended.
    pub status: Status,
    /// What is said about it.
    pub attributes: Attributes,
    /// What happened on the way.
    pub events: Vec<Event>,
    /// Other spans that it has to do with.
    pub links: Vec<Link>,
    /// W3C `tracestate`; mostly empty.
    pub trace_state: String,
    /// W3C trace flags in the low 8 bits, OTLP's own above.
    pub flags: u32,
    /// How many attributes, events, links the sender left out.
    pub dropped: [u32; 3],
    /// Who sent it.
    pub resource: Arc<Resource>,
    /// What made it.
    pub scope: Arc<Scope>,
}

impl Span {
    /// How long it took; 0 where the end is before the start.
    pub fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// Whether its status is an error.
    pub fn is_error(&self) -> bool {
        matches!(self.status, Status::Error(_))
    }
}

/// Something that happened during a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub time_ns: u64,
    /// What.
    pub name: String,
    /// Its details.
    pub attributes: Attributes,
    /// How many of them the sender left out.
    pub dropped_attributes: u32,
}

/// Another span that a span has to do with.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The other trace.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// W3C `tracestate` of the other; mostly empty.
    pub trace_state: String,
    /// What the link means.
    pub attributes: Attributes,
    /// How many attributes the sender left out.
    pub dropped_attributes: u32,
    /// As those of a span.
    pub flags: u32,
}

/// A trace: at least one span.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Its id.
    pub id: TraceId,
    /// By start, then in the order of arrival. A span that was sent twice is here once.
    pub spans: Vec<Span>,
}

/// One log record.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// Position among all records that ever arrived: pages continue `before` the last one shown.
    pub sequence: u64,
    /// When it happened; when it was observed, where nobody said.
    pub time_ns: u64,
    /// OTLP's: 1-4 trace, 5-8 debug, 9-12 info, 13-16 warn, 17-20 error, 21-24 fatal, 0 unknown.
    pub severity: u8,
    /// The level as the sender calls it; may be empty.
    pub severity_text: String,
    /// The message; JSON where it is not a plain value.
    pub body: String,
    /// What is said about it.
    pub attributes: Attributes,
    /// The name of the kind of event that it tells; mostly empty.
    pub event_name: String,
    /// `service.name` of the resource; `missing-service-name` where there is none.
    pub service: Arc<str>,
    /// The trace during which it was written.
    pub trace_id: Option<TraceId>,
    /// The span during which it was written.
    pub span_id: Option<SpanId>,
    /// Who sent it.
    pub resource: Arc<Resource>,
    /// What made it; the name is the logger's.
    pub scope: Arc<Scope>,
}

/// A value as text: strings as they are, bytes in base64, arrays and maps as JSON, nothing as an empty text.
pub fn value_text(value: &AnyValue) -> String {
    match &value.value {
        None => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BytesValue(bytes)) => STANDARD.encode(bytes),
        Some(Value::DoubleValue(number)) => double_text(*number),
        Some(_) => value_json(value).to_string(),
    }
}

/// As Go and JavaScript write it: with an exponent where it is very large or very small.
fn double_text(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 || !number.is_finite() || (1e-6..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    if size < 1.0 { text } else { text.replace('e', "e+") }
}

/// A number as JSON, a whole one without a fraction; as text where JSON has no such number.
pub(crate) fn double_json(number: f64) -> serde_json::Value {
    const EXACT: f64 = (1_u64 << 53) as f64;
    if number.fract() == 0.0 && number.abs() < EXACT {
        return (number as i64).into();
    }
    serde_json::Number::from_f64(number).map_or_else(|| double_text(number).into(), Into::into)
}

/// A value as JSON: maps keep their keys sorted, bytes become base64, numbers that JSON does not have become texts.
fn value_json(value: &AnyValue) -> serde_json::Value {
    use serde_json::Value as Json;
    match &value.value {
        None => Json::Null,
        Some(Value::StringValue(text)) => Json::from(text.as_str()),
        Some(Value::BoolValue(it)) => Json::from(*it),
        Some(Value::IntValue(number)) => Json::from(*number),
        Some(Value::DoubleValue(number)) => double_json(*number),
        Some(Value::BytesValue(bytes)) => Json::from(STANDARD.encode(bytes)),
        Some(Value::ArrayValue(array)) => array.values.iter().map(value_json).collect(),
        Some(Value::KvlistValue(map)) => {
            let pair =
                |it: &KeyValue| (it.key.clone(), it.value.as_ref().map_or(Json::Null, value_json));
            map.values.iter().map(pair).collect::<serde_json::Map<_, _>>().into()
        }
        // An index into a table that only OTLP's profiles have.
        Some(Value::StringValueStrindex(_)) => Json::Null,
    }
}
