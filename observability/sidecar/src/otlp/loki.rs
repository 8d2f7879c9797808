//! Loki's push API, for programs that ship their lines that way: `POST /loki/api/v1/push`, as JSON or as protobuf packed by snappy.
//!
//! What arrives becomes the log records that OTLP would have brought, and goes the same ways. A label is an attribute of the resource
//! (`service_name` is OTLP's `service.name`, `deployment_environment_name` its `deployment.environment.name`), `level` the severity, a line the body, structured metadata are attributes. `trace_id` and
//! `span_id` become those of the record, out of the metadata or out of a line that is a JSON object: so one query finds a line, however
//! it came.

use std::{collections::BTreeMap, str::Chars};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    resource::v1::Resource,
};
use prost::Message;
use serde::Deserialize;

use super::{
    LARGEST,
    budget::Share,
    receive::{Receiver, unpack},
    status::{RETRY_AFTER_SECONDS, Refusal},
    weight,
};
use crate::meter;

/// The labels that may name the service; Loki itself looks for them.
const SERVICE: [&str; 5] = ["service_name", "service", "app", "application", "job"];

/// `POST /loki/api/v1/push`. A client is given the address of OTLP over HTTP.
pub(crate) fn loki(receiver: Receiver) -> Router {
    Router::new()
        .route("/loki/api/v1/push", post(push))
        .method_not_allowed_fallback(async || refuse(&Refusal::Method))
        .with_state(receiver)
}

/// 204 when all lines are kept; an error is a sentence, as Loki's are.
async fn push(State(receiver): State<Receiver>, headers: HeaderMap, body: Body) -> Response {
    match receive(&receiver, &headers, body).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refuse(&refusal),
    }
}

fn refuse(refusal: &Refusal) -> Response {
    refusal.count();
    let mut response = (refusal.http(), refusal.message()).into_response();
    if refusal.may_be_tried_again() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    }
    response
}

async fn receive(receiver: &Receiver, headers: &HeaderMap, body: Body) -> Result<(), Refusal> {
    let header = |name: HeaderName| headers.get(name).and_then(|it| it.to_str().ok());
    let kind = header(CONTENT_TYPE).and_then(|it| it.split(';').next()).unwrap_or_default().trim();
    let json = match kind.to_ascii_lowercase().as_str() {
        "application/json" => true,
        "application/x-protobuf" => false,
        _ => return Err(Refusal::ContentType),
    };
    let gzip = match header(CONTENT_ENCODING) {
        None | Some("" | "identity") => false,
        Some("snappy") if !json => false, // it is, whether that is said or not
        Some("gzip") if json => true,
        Some(_) => return Err(Refusal::Encoding),
    };
    let arrived = receiver.read(body).await?;
    let decode = move |bytes: Bytes, share: &mut Share| {
        let pushed = match (json, gzip) {
            (true, true) => from_json(&unpack(&bytes, share)?, share)?,
            (true, false) => from_json(&bytes, share)?,
            (false, _) => from_snappy(&bytes, share)?,
        };
        Ok((pushed, None))
    };
    let added = receiver.keep_decoded::<ExportLogsServiceRequest>(arrived, false, decode).await?;
    meter::pushed(added.accepted);
    Ok(())
}

fn from_json(text: &[u8], share: &mut Share) -> Result<ExportLogsServiceRequest, Refusal> {
    share.grow(weight::of_json_push(text))?;
    let push: JsonPush =
        serde_json::from_slice(text).map_err(|error| Refusal::BadData(error.to_string()))?;
    let streams = push.streams.into_iter().map(|JsonStream { stream, values }| {
        let records = values.into_iter().map(|entry| {
            let (time, line, metadata) = match entry {
                JsonEntry::Plain(time, line) => (time, line, Labels::new()),
                JsonEntry::Described(time, line, metadata) => (time, line, metadata),
            };
            let time = time
                .parse()
                .map_err(|_| bad("a value has to begin with nanoseconds since 1970, as a text"))?;
            Ok(record(time, line, metadata))
        });
        Ok(resource_logs(stream, records.collect::<Result<_, Refusal>>()?))
    });
    Ok(ExportLogsServiceRequest { resource_logs: streams.collect::<Result<_, Refusal>>()? })
}

fn from_snappy(packed: &[u8], share: &mut Share) -> Result<ExportLogsServiceRequest, Refusal> {
    let snappy = |error: snap::Error| Refusal::BadData(format!("snappy: {error}"));
    // What it says about its length is not believed before there is room for it.
    let length = snap::raw::decompress_len(packed).map_err(snappy)?;
    if length > LARGEST {
        return Err(Refusal::TooLarge);
    }
    share.grow(length)?;
    let bytes = snap::raw::Decoder::new().decompress_vec(packed).map_err(snappy)?;
    share.grow(weight::of_protobuf(&bytes, &weight::PUSH)?)?;
    let push = Push::decode(&*bytes).map_err(|error| bad(&error.to_string()))?;
    let streams = push.streams.into_iter().map(|Stream { labels, entries }| {
        let records = entries.into_iter().map(|Entry { timestamp, line, metadata }| {
            let Timestamp { seconds, nanos } = timestamp.unwrap_or_default();
            let time = seconds.saturating_mul(1_000_000_000).saturating_add(nanos.into());
            let metadata = metadata.into_iter().map(|it| (it.name, it.value)).collect();
            record(u64::try_from(time).unwrap_or(0), line, metadata)
        });
        Ok(resource_logs(read_labels(&labels)?, records.collect()))
    });
    Ok(ExportLogsServiceRequest { resource_logs: streams.collect::<Result<_, Refusal>>()? })
}

fn bad(why: &str) -> Refusal {
    Refusal::BadData(why.to_owned())
}

type Labels = BTreeMap<String, String>;

/// The records of one stream.
fn resource_logs(mut labels: Labels, mut records: Vec<LogRecord>) -> ResourceLogs {
    if let Some(level) = labels.remove("level") {
        for record in &mut records {
            record.severity_number = severity(&level).into();
            record.severity_text.clone_from(&level);
        }
    }
    let service = SERVICE.iter().find_map(|name| labels.remove(*name));
    let service = service.map(|it| attribute("service.name".to_owned(), it));
    let environment = labels.remove("deployment_environment_name");
    let environment = environment.map(|it| attribute("deployment.environment.name".to_owned(), it));
    let others = labels.into_iter().map(|(name, value)| attribute(name, value));
    let attributes = service.into_iter().chain(environment).chain(others).collect();
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope_logs = vec![ScopeLogs { log_records: records, ..ScopeLogs::default() }];
    ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }
}

fn record(time: u64, line: String, mut metadata: Labels) -> LogRecord {
    let inside: Ids = match line.trim_start().starts_with('{') {
        true => serde_json::from_str(&line).unwrap_or_default(),
        false => Ids::default(),
    };
    let trace_id = id(metadata.get("trace_id").or(inside.trace_id.as_ref()), 16);
    let span_id = id(metadata.get("span_id").or(inside.span_id.as_ref()), 8);
    // What became an id is not told twice.
    for (name, id) in [("trace_id", &trace_id), ("span_id", &span_id)] {
        if !id.is_empty() {
            metadata.remove(name);
        }
    }
    let body = Some(AnyValue { value: Some(Value::StringValue(line)) });
    let attributes = metadata.into_iter().map(|(name, value)| attribute(name, value)).collect();
    LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time,
        body,
        attributes,
        trace_id,
        span_id,
        ..LogRecord::default()
    }
}

/// The bytes of an id in hexadecimal digits; none if it is something else.
fn id(text: Option<&String>, bytes: usize) -> Vec<u8> {
    let text = text.map(String::as_bytes).filter(|it| it.len() == 2 * bytes).unwrap_or_default();
    let digits = text.chunks_exact(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok().filter(|_| !pair.starts_with('+'))
    });
    digits
        .collect::<Option<Vec<u8>>>()
        .filter(|it| it.iter().any(|byte| *byte != 0))
        .unwrap_or_default()
}

fn attribute(key: String, value: String) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value)) });
    KeyValue { key, value, ..KeyValue::default() }
}

fn severity(level: &str) -> SeverityNumber {
    match level.to_ascii_lowercase().as_str() {
        "trace" => SeverityNumber::Trace,
        "debug" => SeverityNumber::Debug,
        "info" | "information" => SeverityNumber::Info,
        "warn" | "warning" => SeverityNumber::Warn,
        "error" | "err" => SeverityNumber::Error,
        "fatal" | "critical" | "crit" => SeverityNumber::Fatal,
        _ => SeverityNumber::Unspecified,
    }
}

/// `{name="value", other="value"}`; values are quoted as in Go, which is how Loki reads them and its clients write them.
fn read_labels(text: &str) -> Result<Labels, Refusal> {
    let wrong = || bad("labels have to look like {name=\"value\", other=\"value\"}");
    let inside = text.trim().strip_prefix('{').and_then(|it| it.strip_suffix('}'));
    let mut rest = inside.ok_or_else(wrong)?.trim();
    let mut labels = Labels::new();
    while !rest.is_empty() {
        let (name, quoted) = rest.split_once('=').ok_or_else(wrong)?;
        let (value, after) = unquote(quoted.trim_start()).ok_or_else(wrong)?;
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if after.is_empty() => after,
            None => return Err(wrong()),
        };
        let name = name.trim();
        if name.is_empty() {
            return Err(wrong());
        }
        labels.insert(name.to_owned(), value);
    }
    Ok(labels)
}

/// The text that a literal of Go at the beginning stands for, and what comes after it: as Loki has it, by `"`, `'` or a backtick.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut chars = text.chars();
    let quote = chars.next()?;
    match quote {
        '`' => chars.as_str().split_once('`').map(|(value, after)| (value.to_owned(), after)),
        '"' | '\'' => {
            let mut value = Vec::new();
            loop {
                match chars.next()? {
                    '\n' => return None,
                    '\\' => escaped(&mut chars, quote, &mut value)?,
                    it if it == quote => break,
                    it => value.extend(it.encode_utf8(&mut [0; 4]).bytes()),
                }
            }
            // `\xff` is a byte, and bytes need not be a text.
            Some((String::from_utf8_lossy(&value).into_owned(), chars.as_str()))
        }
        _ => None,
    }
}

/// What comes after a backslash.
fn escaped(chars: &mut Chars<'_>, quote: char, value: &mut Vec<u8>) -> Option<()> {
    let number = |chars: &mut Chars<'_>, digits: usize, radix: u32| {
        let digits = (0..digits).map(|_| chars.next()?.to_digit(radix));
        digits.into_iter().try_fold(0_u32, |sum, it| sum.checked_mul(radix)?.checked_add(it?))
    };
    match chars.next()? {
        'a' => value.push(0x07),
        'b' => value.push(0x08),
        'f' => value.push(0x0c),
        'n' => value.push(b'\n'),
        'r' => value.push(b'\r'),
        't' => value.push(b'\t'),
        'v' => value.push(0x0b),
        '\\' => value.push(b'\\'),
        it if it == quote => value.push(u8::try_from(it).ok()?),
        'x' => value.push(u8::try_from(number(chars, 2, 16)?).ok()?),
        first @ '0'..='7' => {
            let number = first.to_digit(8)? * 64 + number(chars, 2, 8)?;
            value.push(u8::try_from(number).ok()?);
        }
        long @ ('u' | 'U') => {
            let code = number(chars, if long == 'u' { 4 } else { 8 }, 16)?;
            let it = char::from_u32(code)?; // so not a half of a surrogate pair
            value.extend(it.encode_utf8(&mut [0; 4]).bytes());
        }
        _ => return None,
    }
    Some(())
}

/// The ids in a line that is a JSON object.
#[derive(Default, Deserialize)]
struct Ids {
    trace_id: Option<String>,
    span_id: Option<String>,
}

#[derive(Deserialize)]
struct JsonPush {
    streams: Vec<JsonStream>,
}

#[derive(Deserialize)]
struct JsonStream {
    stream: Labels,
    values: Vec<JsonEntry>,
}

/// Time, line, and structured metadata, which may be left out.
#[derive(Deserialize)]
#[serde(untagged)]
enum JsonEntry {
    Plain(String, String),
    Described(String, String, Labels),
}

/// `logproto.PushRequest`, as far as it is looked at. Five small messages do not make a dependency.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Push {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<Stream>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Stream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<Timestamp>,
    #[prost(string, tag = "2")]
    line: String,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}
