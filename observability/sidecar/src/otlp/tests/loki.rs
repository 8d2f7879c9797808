//! Loki's push: what its clients send becomes log records, and what makes no sense is refused before it costs anything.

use futures_util::{StreamExt, stream};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;
use reqwest::{
    Body, Response,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use serde_json::{Value, json};

use super::{JSON, LARGEST, PROTOBUF, ROOM, Receivers, gzip, start};
use crate::store::{Attributes, LogQuery, value_text};

const TRACE: &str = "5b8efff798038103d269b633813fc60c";
const SPAN: &str = "eee19b7ec3c1b174";

impl Receivers {
    async fn push(&self, kind: &str, encoding: Option<&str>, body: impl Into<Body>) -> Response {
        let url = format!("{}/loki/api/v1/push", self.http);
        let mut request = self.client.post(url).header(CONTENT_TYPE, kind);
        if let Some(encoding) = encoding {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        request.body(body).send().await.unwrap()
    }

    /// The status, and the sentence.
    async fn refused(
        &self,
        kind: &str,
        encoding: Option<&str>,
        body: impl Into<Body>,
    ) -> (u16, String) {
        let answer = self.push(kind, encoding, body).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

/// `logproto.PushRequest`, written a second time on purpose.
#[derive(Clone, PartialEq, Message)]
struct Push {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<Stream>,
}

#[derive(Clone, PartialEq, Message)]
struct Stream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<Entry>,
    #[prost(uint64, tag = "3")]
    hash: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
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

fn entry(line: &str, metadata: &[(&str, &str)]) -> Entry {
    let timestamp = Some(Timestamp { seconds: 1_700_000_000, nanos: 7 });
    let pair = |(name, value): &(&str, &str)| Pair { name: (*name).into(), value: (*value).into() };
    Entry { timestamp, line: line.to_owned(), metadata: metadata.iter().map(pair).collect() }
}

fn pushed(labels: &str, entries: Vec<Entry>) -> Vec<u8> {
    let streams = vec![Stream { labels: labels.to_owned(), entries, hash: 9 }];
    snappy(&Push { streams }.encode_to_vec())
}

fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

/// Of each record: service, time, severity, body, ids, and the attributes of the resource and its own, sorted.
fn told(receivers: &Receivers) -> Vec<String> {
    let pairs = |all: &Attributes| {
        let mut pairs: Vec<_> =
            all.iter().map(|(name, value)| format!("{name}={:?}", value_text(value))).collect();
        pairs.sort();
        pairs.join(",")
    };
    let records = receivers.store.find_logs(&LogQuery::default()).into_iter().map(|it| {
        let ids = (it.trace_id.map(|it| it.to_string()), it.span_id.map(|it| it.to_string()));
        let (resource, own) = (pairs(&it.resource.attributes), pairs(&it.attributes));
        let (service, time, severity, body) = (it.service, it.time_ns, it.severity, it.body);
        format!("{service} {time} {severity} {body} {ids:?} [{resource}] [{own}]")
    });
    let mut records: Vec<String> = records.collect();
    records.sort();
    records
}

#[tokio::test]
async fn json_and_snappy_become_the_same_records() {
    let labels = r#"{service_name="till", level="warn", place="say \"hi\"\\\n, {é}=\u00e9"}"#;
    let inside = format!(r#"{{"message":"inside","trace_id":"{TRACE}","span_id":"{SPAN}"}}"#);
    let ids: &[_] = &[("trace_id", TRACE), ("span_id", SPAN), ("who", "ada")];
    let snappy = pushed(
        labels,
        vec![
            entry("plain", &[]),
            entry("by metadata", ids),
            entry(&inside, &[("trace_id", "odd")]),
        ],
    );
    let time = "1700000000000000007";
    let json = json!({"streams": [{
        "stream": {"service_name": "till", "level": "warn", "place": "say \"hi\"\\\n, {é}=é"},
        "values": [
            [time, "plain"],
            [time, "by metadata", {"trace_id": TRACE, "span_id": SPAN, "who": "ada"}],
            [time, inside, {"trace_id": "odd"}],
        ],
    }]})
    .to_string();
    let mut all = Vec::new();
    for (kind, encoding, body) in [
        (PROTOBUF, None, snappy.clone()),
        (PROTOBUF, Some("snappy"), snappy),
        (JSON, None, json.clone().into_bytes()),
        ("application/json; charset=utf-8", Some("gzip"), gzip(json.as_bytes())),
    ] {
        let receivers = start(ROOM).await;
        let answer = receivers.push(kind, encoding, body).await;
        assert_eq!(answer.status(), 204, "{kind} {encoding:?}");
        all.push(told(&receivers));
    }
    assert_eq!(all[0].len(), 3);
    for other in &all[1..] {
        assert_eq!(other, &all[0]);
    }
    let found = |part: &str| all[0].iter().find(|it| it.contains(part)).unwrap().clone();
    let resource = r#"[place="say \"hi\"\\\n, {é}=é",service.name="till"]"#;
    let plain = format!("till 1700000000000000007 13 plain (None, None) {resource} []");
    assert_eq!(found("plain"), plain);
    let described = format!("(Some(\"{TRACE}\"), Some(\"{SPAN}\")) {resource} [who=\"ada\"]");
    assert!(found("by metadata").ends_with(&described), "{}", found("by metadata"));
    // What is no id stays what it was, and the line's own counts only where the metadata has none.
    assert!(found("inside").ends_with("[trace_id=\"odd\"]"), "{}", found("inside"));
}

/// As Loki 3.7 reads them, by Prometheus' parser; `tests/real` compares with the real one.
#[tokio::test]
async fn labels_are_quoted_as_in_go() {
    let receivers = start(ROOM).await;
    for (quoted, value) in [
        (r#""\x1b[31m red \x1b[0m""#, "\u{1b}[31m red \u{1b}[0m"),
        (r#""\a\b\f\n\r\t\v\\\"""#, "\u{7}\u{8}\u{c}\n\r\t\u{b}\\\""),
        (r#""\101\u00e9\U0001F600é'`""#, "Aé\u{1f600}é'`"),
        (r#""\xc3\xa9""#, "é"),
        (r#""\xff""#, "\u{fffd}"),
        ("`no \\x1b \"escapes\"`", "no \\x1b \"escapes\""),
        (r"'it\'s \\ \x41'", "it's \\ A"),
        ("'\"'", "\""),
        ("``", ""),
    ] {
        for labels in [
            format!("{{place={quoted}}}"),
            format!("{{ a=\"1\", place = {quoted} , service_name='till', }}"),
        ] {
            let body = pushed(&labels, vec![entry("line", &[])]);
            let (status, text) = receivers.refused(PROTOBUF, None, body).await;
            assert_eq!(status, 204, "{labels}: {text}");
            let last = receivers.store.find_logs(&LogQuery { limit: 1, ..LogQuery::default() });
            let mut attributes = last[0].resource.attributes.iter();
            let found = attributes.find(|it| it.0 == "place").map(|it| value_text(&it.1));
            assert_eq!(found.as_deref(), Some(value), "{labels}");
        }
    }
    for quoted in [
        r#""\x1""#,
        r#""\xg1""#,
        r#""\400""#,
        r#""\18""#,
        r#""\u12""#,
        r#""\U00110000""#,
        r#""\ud800""#,
        r#""\UFFFFFFFF""#,
        r#""\'""#,
        r#"'\"'"#,
        r#""\q""#,
        r#""\"#,
        "\"a\nb\"",
        "`a",
        "'a\"",
        "é",
        "",
    ] {
        let body = pushed(&format!("{{place={quoted}}}"), vec![entry("line", &[])]);
        let (status, text) = receivers.refused(PROTOBUF, None, body).await;
        assert_eq!(status, 400, "{quoted}: {text}");
        assert!(text.contains("labels have to look like"), "{quoted}: {text}");
    }
}

#[tokio::test]
async fn another_method_is_refused_with_a_sentence() {
    let receivers = start(ROOM).await;
    let url = format!("{}/loki/api/v1/push", receivers.http);
    let answer = receivers.client.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.headers()["allow"], "POST");
    assert_eq!(answer.text().await.unwrap(), "send it by POST");
}

#[tokio::test]
async fn ids_are_lifted_out_of_lines_that_are_json() {
    let receivers = start(ROOM).await;
    let lines = [
        (format!(r#"  {{"trace_id":"{TRACE}","span_id":"{SPAN}"}}"#), true),
        (format!(r#"{{"a":{{"trace_id":"{TRACE}"}}}}"#), false),
        (format!(r#"{{"trace_id":"{}"}}"#, "0".repeat(32)), false),
        (format!(r#"{{"trace_id":"+{}"}}"#, &TRACE[1..]), false),
        (r#"{"trace_id":7}"#.to_owned(), false),
        (format!(r#"{{"trace_id":"{TRACE}""#), false),
        (format!("{}1{}", r#"{"a":["#.repeat(100_000), "]}".repeat(100_000)), false),
        (format!("trace_id={TRACE}"), false),
    ];
    for (line, lifted) in &lines {
        let before = receivers.store.stats().logs;
        let answer = receivers.push(PROTOBUF, None, pushed("{}", vec![entry(line, &[])])).await;
        let shown = &line[..line.len().min(80)];
        assert_eq!(answer.status(), 204, "{shown}");
        assert_eq!(receivers.store.stats().logs, before + 1, "{shown}");
        let last = receivers.store.find_logs(&LogQuery { limit: 1, ..LogQuery::default() });
        assert_eq!(last[0].trace_id.is_some(), *lifted, "{shown}");
        assert_eq!(last[0].body, *line);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_sentence() {
    let receivers = start(ROOM).await;
    let json = |values: Value| json!({"streams": [{"stream": {}, "values": values}]}).to_string();
    let line = |labels: &str| pushed(labels, vec![entry("line", &[])]);
    let deep = format!("{{\"streams\":{}", "[".repeat(5_000));
    let deep_entry = json(json!([["1", "line"]])).replace("\"line\"", &"[".repeat(5_000));
    for (kind, encoding, body, status, words) in [
        ("text/plain", None, b"hello".to_vec(), 415, "send application/"),
        (JSON, Some("snappy"), b"{}".to_vec(), 415, "Content-Encoding"),
        (PROTOBUF, Some("gzip"), gzip(&line("{}")), 415, "Content-Encoding"),
        (JSON, Some("br"), b"{}".to_vec(), 415, "Content-Encoding"),
        (JSON, None, b"{".to_vec(), 400, "EOF"),
        (JSON, None, b"{\"streams\":7}".to_vec(), 400, "a sequence"),
        (JSON, None, b"{}".to_vec(), 400, "streams"),
        (JSON, None, deep.into_bytes(), 400, "understood"),
        (JSON, None, deep_entry.into_bytes(), 400, "recursion limit"),
        (JSON, None, json(json!([["now", "line"]])).into_bytes(), 400, "nanoseconds"),
        (JSON, None, json(json!([["-1", "line"]])).into_bytes(), 400, "nanoseconds"),
        (JSON, None, json(json!([["1e9", "line"]])).into_bytes(), 400, "nanoseconds"),
        (JSON, None, json(json!([[1, "line"]])).into_bytes(), 400, "variant"),
        (JSON, None, json(json!([["1"]])).into_bytes(), 400, "variant"),
        (JSON, None, json(json!([["1", "line", {"n": 1}]])).into_bytes(), 400, "variant"),
        (JSON, Some("gzip"), b"not packed".to_vec(), 400, "gzip"),
        (PROTOBUF, None, vec![0xff; 100], 400, "snappy"),
        (PROTOBUF, None, Vec::new(), 400, "snappy"),
        (PROTOBUF, None, snappy(&[0xff; 100]), 400, "understood"),
        (PROTOBUF, None, line("service_name=\"till\""), 400, "labels have to look like"),
        (PROTOBUF, None, line("{till}"), 400, "labels have to look like"),
        (PROTOBUF, None, line("{a=b}"), 400, "labels have to look like"),
        (PROTOBUF, None, line("{a=\"b\" c=\"d\"}"), 400, "labels have to look like"),
        (PROTOBUF, None, line("{a=\"b}"), 400, "labels have to look like"),
        (PROTOBUF, None, line("{=\"b\"}"), 400, "labels have to look like"),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let (answered, text) = receivers.refused(kind, encoding, body).await;
        assert_eq!(answered, status, "{kind} {shown}: {text}");
        assert!(text.contains(words) && !text.contains('\n'), "{kind} {shown}: {text}");
    }
    assert_eq!(receivers.store.stats().logs, 0, "nothing of a request that is refused is kept");
    // A time of no sense does not cost the line.
    let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
    let times = [None, at(-1, 0), at(i64::MAX, -1)];
    let entries = times.map(|timestamp| Entry { timestamp, ..entry("line", &[]) });
    let answer = receivers.push(PROTOBUF, None, pushed("{}", entries.to_vec())).await;
    assert_eq!((answer.status().as_u16(), receivers.store.stats().logs), (204, 3));
}

#[tokio::test]
async fn a_length_that_is_a_lie_is_not_believed() {
    let receivers = start(4 * LARGEST).await;
    let body = pushed("{}", vec![entry(&"long ".repeat(100), &[])]);
    let (length, rest) = (snap::raw::decompress_len(&body).unwrap(), &body[2..]);
    assert!((128..1 << 14).contains(&length), "two bytes of length: {length}");
    let lie = |length: u64| {
        let mut lie = Vec::new();
        prost::encoding::encode_varint(length, &mut lie);
        lie.extend(rest);
        lie
    };
    for (length, status) in [
        (u64::from(u32::MAX), 413),
        (LARGEST as u64 + 1, 413),
        (u64::MAX, 400),
        (LARGEST as u64, 400),
        (length as u64 + 1, 400),
        (length as u64 - 1, 400),
        (1, 400),
        (0, 400),
    ] {
        let (answered, text) = receivers.refused(PROTOBUF, None, lie(length)).await;
        assert_eq!(answered, status, "{length}: {text}");
    }
    assert_eq!(receivers.push(PROTOBUF, None, lie(length as u64)).await.status(), 204);
    receivers.budget.share().grow(4 * LARGEST).unwrap(); // all of it was given back
}

#[tokio::test]
async fn what_is_too_large_or_does_not_end_is_refused() {
    let receivers = start(4 * LARGEST).await;
    let blanks = vec![b' '; LARGEST + 1];
    assert_eq!(receivers.refused(JSON, Some("gzip"), gzip(&blanks)).await.0, 413);
    assert_eq!(receivers.refused(PROTOBUF, None, snappy(&blanks)).await.0, 413);
    assert_eq!(receivers.refused(JSON, None, blanks).await.0, 413);
    let endless = stream::repeat(vec![b' '; 64 << 10]).map(Ok::<_, std::io::Error>);
    assert_eq!(receivers.refused(JSON, None, Body::wrap_stream(endless)).await.0, 413);
    assert_eq!(receivers.store.stats().logs, 0);
}

#[tokio::test]
async fn what_a_push_becomes_is_weighed_before_it_is_decoded() {
    const LINES: usize = 1 << 17;
    // What it becomes is a list of records, which has had to double for the last one.
    const LEAST: usize = 2 * LINES * size_of::<LogRecord>();
    const STREAMS: usize = LINES * (2 * size_of::<ResourceLogs>() + size_of::<ScopeLogs>());
    let receivers = start(LEAST).await;
    let values = format!("{}[\"1\",\"\"]", "[\"1\",\"\"],".repeat(LINES));
    let json = format!("{{\"streams\":[{{\"stream\":{{}},\"values\":[{values}]}}]}}");
    assert!(json.len() < LEAST / 8);
    assert_eq!(receivers.refused(JSON, None, json.clone()).await.0, 413);
    assert_eq!(receivers.refused(JSON, Some("gzip"), gzip(json.as_bytes())).await.0, 413);
    let empty = Entry { timestamp: None, ..entry("", &[]) };
    let body = pushed("{}", vec![empty; LINES + 1]);
    assert_eq!(receivers.refused(PROTOBUF, None, body).await.0, 413);
    let receivers = start(STREAMS).await;
    let streams = vec![Stream { labels: "{}".to_owned(), ..Stream::default() }; LINES + 1];
    let body = snappy(&Push { streams }.encode_to_vec());
    assert_eq!(receivers.refused(PROTOBUF, None, body).await.0, 413);
    assert_eq!(receivers.store.stats().logs, 0);

    // An ordinary one of ten thousand lines fits.
    let receivers = start(4 * LARGEST).await;
    let line = "GET /api/musics/ 200, as lines are, with a number of words in it";
    let values: Vec<Value> =
        (0..10_000).map(|n| json!([n.to_string(), line, {"trace_id": TRACE}])).collect();
    let json =
        json!({"streams": [{"stream": {"service_name": "till"}, "values": values}]}).to_string();
    assert_eq!(receivers.push(JSON, None, json).await.status(), 204);
    let entries = vec![entry(line, &[("trace_id", TRACE)]); 10_000];
    assert_eq!(
        receivers.push(PROTOBUF, None, pushed("{service_name=\"till\"}", entries)).await.status(),
        204
    );
    receivers.budget.share().grow(4 * LARGEST).unwrap();
}

#[tokio::test]
async fn who_finds_the_budget_spent_by_others_is_told_when_to_come_back() {
    let receivers = start(1 << 20).await;
    let mut others = receivers.budget.share();
    others.grow((1 << 20) - (64 << 10)).unwrap();
    let body = pushed("{}", vec![entry(&"x".repeat(64 << 10), &[])]);
    let full = receivers.push(PROTOBUF, None, body.clone()).await;
    assert_eq!(
        (full.status().as_u16(), full.headers()["retry-after"].to_str().unwrap()),
        (503, "1")
    );
    drop(others);
    assert_eq!(receivers.push(PROTOBUF, None, body).await.status(), 204);
}
