//! The receivers over real sockets, as OpenTelemetry's exporters meet them.

mod loki;

use std::{io::Write, sync::Arc};

use flate2::{Compression, write::GzEncoder};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
        metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_client::TraceServiceClient,
        },
    },
    common::v1::{AnyValue, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use reqwest::{Client, Response, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tonic::{Code, codec::CompressionEncoding};

use super::{LARGEST, Receiver, budget::Budget, grpc, http, status::RpcStatus};
use crate::{Store, agent::Agent, store::MemoryStore};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

struct Receivers {
    store: Arc<dyn Store>,
    http: String,
    grpc: String,
    client: Client,
    budget: Budget,
}

/// Enough for requests of some spans.
const ROOM: usize = 16 << 20;

async fn start(budget: usize) -> Receivers {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1 << 20, 1 << 20));
    let budget = Budget::new(budget);
    let serve = async |router: axum::Router| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, router).await });
        url
    };
    let agent = Agent::default();
    let receiver = Receiver { store: store.clone(), agent, budget: budget.clone() };
    let http = serve(http(receiver.clone()).merge(super::loki(receiver.clone()))).await;
    let grpc = serve(grpc(receiver)).await;
    let client = Client::builder().no_proxy().build().unwrap();
    Receivers { store, http, grpc, client, budget }
}

impl Receivers {
    async fn post(&self, signal: &str, kind: &str, body: Vec<u8>) -> Response {
        let url = format!("{}/v1/{signal}", self.http);
        self.client.post(url).header(CONTENT_TYPE, kind).body(body).send().await.unwrap()
    }

    async fn post_packed(&self, kind: &str, body: Vec<u8>) -> Response {
        let url = format!("{}/v1/traces", self.http);
        let request = self.client.post(url).header(CONTENT_TYPE, kind);
        request.header("content-encoding", "gzip").body(body).send().await.unwrap()
    }

    fn spans(&self) -> usize {
        self.store.stats().spans
    }
}

fn resource() -> Option<Resource> {
    let value = any_value::Value::StringValue("shop".to_owned());
    let name = KeyValue {
        key: "service.name".to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    };
    Some(Resource { attributes: vec![name], ..Resource::default() })
}

fn span(id: u8) -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: vec![id; 8],
        name: "pay".to_owned(),
        start_time_unix_nano: 1_000_000_000,
        end_time_unix_nano: 2_000_000_000,
        ..Span::default()
    }
}

fn traces(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans =
        vec![ResourceSpans { resource: resource(), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

fn logs() -> ExportLogsServiceRequest {
    let record = LogRecord { time_unix_nano: 1, ..LogRecord::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
    let resource_logs =
        vec![ResourceLogs { resource: resource(), scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }
}

fn metrics() -> ExportMetricsServiceRequest {
    let gauge = Gauge { data_points: vec![NumberDataPoint::default(); 3] };
    let metric = Metric { data: Some(Data::Gauge(gauge)), ..Metric::default() };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The answer's status, content type and body.
async fn parts(response: Response) -> (u16, String, Vec<u8>) {
    let kind = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    (response.status().as_u16(), kind, response.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn protobuf_and_json_plain_and_packed_are_kept() {
    let receivers = start(ROOM).await;
    let protobuf = traces(vec![span(1)]).encode_to_vec();
    let answer = parts(receivers.post("traces", PROTOBUF, protobuf).await).await;
    assert_eq!(answer, (200, PROTOBUF.to_owned(), Vec::new()));
    let packed = gzip(&traces(vec![span(2)]).encode_to_vec());
    assert_eq!(receivers.post_packed(PROTOBUF, packed).await.status(), 200);

    // As the specification writes it: hexadecimal ids of any case, numbers as text, fields that nobody knows.
    let json = json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeSpans": [{"spans": [{
            "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174",
            "name": "pay", "kind": 2, "startTimeUnixNano": "1544712660000000000",
            "endTimeUnixNano": 1_544_712_661_000_000_000_u64, "future": {"field": [1]},
            "attributes": [{"key": "n", "value": {"intValue": "7"}}],
        }]}],
    }], "unknown": true});
    let charset = "application/json; charset=utf-8";
    let answer = receivers.post("traces", charset, json.to_string().into_bytes()).await;
    assert_eq!(parts(answer).await, (200, JSON.to_owned(), b"{}".to_vec()));
    let packed = gzip(json.to_string().as_bytes());
    assert_eq!(receivers.post_packed(JSON, packed).await.status(), 200);
    assert_eq!(receivers.spans(), 4);
    assert_eq!(receivers.store.services(), ["shop"]);
    let kept = "5b8efff798038103d269b633813fc60c".parse().unwrap();
    assert_eq!(receivers.store.trace(kept).unwrap().spans.len(), 1, "the repeated one counts once");

    for body in [&b"{}"[..], b"{\"resourceSpans\":[]}"] {
        assert_eq!(receivers.post("traces", JSON, body.to_vec()).await.status(), 200);
    }
    assert_eq!(receivers.post("logs", PROTOBUF, logs().encode_to_vec()).await.status(), 200);
    assert_eq!(receivers.store.stats().logs, 1);
}

#[tokio::test]
async fn grpc_is_kept_plain_and_packed() {
    let receivers = start(ROOM).await;
    let mut plain = TraceServiceClient::connect(receivers.grpc.clone()).await.unwrap();
    let answer = plain.export(traces(vec![span(1)])).await.unwrap().into_inner();
    assert_eq!(answer, ExportTraceServiceResponse { partial_success: None });
    let packed = LogsServiceClient::connect(receivers.grpc.clone()).await.unwrap();
    let mut packed = packed
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    assert_eq!(packed.export(logs()).await.unwrap().into_inner().partial_success, None);
    let mut meter = MetricsServiceClient::connect(receivers.grpc.clone()).await.unwrap();
    let refused = meter.export(metrics()).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!(refused.rejected_data_points, 3);
    let stats = receivers.store.stats();
    assert_eq!((stats.spans, stats.logs), (1, 1));
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_by_partial_success() {
    let receivers = start(ROOM).await;
    let nobody = Span { trace_id: vec![0; 16], ..span(1) };
    let short = Span { span_id: vec![1; 3], ..span(1) };
    let body = traces(vec![nobody, span(2), short]).encode_to_vec();
    let (status, _, body) = parts(receivers.post("traces", PROTOBUF, body).await).await;
    let answer = ExportTraceServiceResponse::decode(body.as_slice()).unwrap();
    let partial = answer.partial_success.unwrap();
    assert_eq!((status, partial.rejected_spans), (200, 2));
    assert!(!partial.error_message.is_empty());
    assert_eq!(receivers.spans(), 1);

    let body = metrics().encode_to_vec();
    assert_eq!(receivers.post("metrics", PROTOBUF, body).await.status(), 200);
    let json = serde_json::to_vec(&metrics()).unwrap();
    let (status, _, body) = parts(receivers.post("metrics", JSON, json).await).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &body["partialSuccess"]["rejectedDataPoints"]), (200, &json!("3")));
    assert!(body["partialSuccess"]["errorMessage"].as_str().unwrap().contains("scrape"));
}

#[tokio::test]
async fn a_refused_request_is_answered_with_a_status_in_its_own_format() {
    let receivers = start(ROOM).await;
    for (kind, body, code) in [
        (PROTOBUF, vec![0xff; 100], 400),
        (JSON, b"{\"resourceSpans\":7}".to_vec(), 400),
        (JSON, b"{".to_vec(), 400),
        ("text/plain", b"hello".to_vec(), 415),
    ] {
        let (status, answered, body) = parts(receivers.post("traces", kind, body).await).await;
        assert_eq!(status, code, "{kind}");
        if kind == PROTOBUF {
            let status = RpcStatus::decode(body.as_slice()).unwrap();
            assert_eq!(status.code, Code::InvalidArgument as i32);
            assert!(!status.message.is_empty());
        } else {
            assert_eq!(answered, JSON);
            let status: Value = serde_json::from_slice(&body).unwrap();
            assert!(status["message"].as_str().is_some_and(|message| !message.is_empty()));
        }
    }
    assert_eq!(receivers.post_packed(PROTOBUF, b"not packed".to_vec()).await.status(), 400);
    let url = format!("{}/v1/traces", receivers.http);
    let strange = receivers.client.post(url).header(CONTENT_TYPE, PROTOBUF);
    let strange = strange.header("content-encoding", "br").body("x").send().await.unwrap();
    assert_eq!(strange.status(), 415);
    assert_eq!(receivers.spans(), 0);
}

#[tokio::test]
async fn the_limit_holds_before_and_after_unpacking() {
    let receivers = start(8 * LARGEST).await;
    let large = vec![0; LARGEST + 1];
    let bomb = gzip(&large);
    assert!(bomb.len() < 1 << 20);
    let (status, _, body) = parts(receivers.post_packed(PROTOBUF, bomb).await).await;
    let told = RpcStatus::decode(body.as_slice()).unwrap();
    assert_eq!((status, told.code), (413, Code::ResourceExhausted as i32));
    assert!(told.message.contains("64 MiB"), "{}", told.message);
    assert_eq!(receivers.post("traces", PROTOBUF, large).await.status(), 413);

    let mut client = TraceServiceClient::connect(receivers.grpc.clone()).await.unwrap();
    let named = Span { name: "x".repeat(LARGEST), ..span(1) };
    let refused = client.export(traces(vec![named])).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    let details = RpcStatus::decode(refused.details()).unwrap().details;
    assert!(details.is_empty(), "who is told when to come back does so: {details:?}");
}

#[tokio::test]
async fn who_finds_the_budget_spent_is_told_when_to_come_back() {
    let receivers = start(1 << 20).await;
    let mut others = receivers.budget.share();
    others.grow((1 << 20) - (64 << 10)).unwrap();
    let named = || traces(vec![Span { name: "x".repeat(64 << 10), ..span(1) }]);
    let full = receivers.post("traces", PROTOBUF, named().encode_to_vec()).await;
    assert_eq!(full.headers()["retry-after"], "1");
    let (status, _, body) = parts(full).await;
    let told = RpcStatus::decode(body.as_slice()).unwrap();
    assert_eq!((status, told.code), (503, Code::Unavailable as i32));
    assert_eq!(told.details[0].type_url, "type.googleapis.com/google.rpc.RetryInfo");
    let packed = gzip(&named().encode_to_vec());
    assert_eq!(receivers.post_packed(PROTOBUF, packed).await.status(), 503);

    let mut client = TraceServiceClient::connect(receivers.grpc.clone()).await.unwrap();
    let refused = client.export(named()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(RpcStatus::decode(refused.details()).unwrap().details.len(), 1);
    // What was refused gave its part back.
    client.export(traces(vec![span(2)])).await.unwrap();
}

/// Few bytes that become much more once they are decoded.
fn empty_spans(count: usize) -> Vec<u8> {
    let scope = [0x12, 0].repeat(count);
    let mut message = Vec::new();
    for (tag, length) in [(1, scope.len() + 1 + varint_len(scope.len())), (2, scope.len())] {
        prost::encoding::encode_key(tag, prost::encoding::WireType::LengthDelimited, &mut message);
        prost::encoding::encode_varint(length as u64, &mut message);
    }
    message.extend(scope);
    message
}

fn varint_len(number: usize) -> usize {
    prost::encoding::encoded_len_varint(number as u64)
}

#[tokio::test]
async fn what_a_request_becomes_is_weighed_before_it_is_decoded() {
    let receivers = start(64 << 20).await;
    let bomb = gzip(&empty_spans(1 << 20));
    assert!(bomb.len() < 64 << 10);
    assert_eq!(receivers.post_packed(PROTOBUF, bomb).await.status(), 413);
    let empty = "{},".repeat(1 << 20);
    let json = format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{empty}{{}}]}}]}}]}}");
    assert_eq!(receivers.post_packed(JSON, gzip(json.as_bytes())).await.status(), 413);

    let resource_spans = ExportTraceServiceRequest::decode(&*empty_spans(1 << 20)).unwrap();
    let client = TraceServiceClient::connect(receivers.grpc.clone()).await.unwrap();
    let mut client = client.send_compressed(CompressionEncoding::Gzip);
    let refused = client.export(resource_spans).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert_eq!(receivers.store.stats().spans, 0);
}

#[tokio::test]
async fn ten_thousand_ordinary_spans_fit_in_either_format() {
    let receivers = start(4 * LARGEST).await;
    let attributes: Vec<KeyValue> = (0..8)
        .map(|n| KeyValue {
            key: format!("http.request.header.{n}"),
            value: Some(AnyValue {
                value: Some(any_value::Value::StringValue("a value of some length".to_owned())),
            }),
            ..KeyValue::default()
        })
        .collect();
    let spans = (1..=10_000_u64).map(|id| Span {
        span_id: id.to_be_bytes().to_vec(),
        attributes: attributes.clone(),
        ..span(1)
    });
    let request = traces(spans.collect());
    let protobuf = gzip(&request.encode_to_vec());
    assert_eq!(receivers.post_packed(PROTOBUF, protobuf).await.status(), 200);
    let json = serde_json::to_vec(&request).unwrap();
    assert_eq!(receivers.post_packed(JSON, gzip(&json)).await.status(), 200);
    let mut client = TraceServiceClient::connect(receivers.grpc.clone()).await.unwrap();
    let answer = client.export(request).await.unwrap().into_inner();
    assert_eq!(answer.partial_success, None);
}

/// What a call of gRPC is answered with: its code.
async fn call(receivers: &Receivers, path: &str, encoding: &str, frame: Vec<u8>) -> i32 {
    let request = receivers.client.post(format!("{}{path}", receivers.grpc));
    let request =
        request.header(CONTENT_TYPE, "application/grpc").header("grpc-encoding", encoding);
    let answer = request.body(frame).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.headers()["grpc-status"].to_str().unwrap().parse().unwrap()
}

fn frame(packed: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![packed];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    frame
}

#[tokio::test]
async fn a_call_that_cannot_be_understood_is_an_invalid_argument() {
    let receivers = start(ROOM).await;
    let export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    for (encoding, body, code) in [
        ("identity", frame(0, &[0xff; 100]), Code::InvalidArgument),
        ("gzip", frame(1, b"not packed"), Code::InvalidArgument),
        ("identity", frame(1, &gzip(b"")), Code::InvalidArgument),
        ("identity", frame(0, b"")[..3].to_vec(), Code::InvalidArgument),
        ("identity", [frame(0, b""), frame(0, b"")].concat(), Code::InvalidArgument),
        ("zstd", frame(1, b""), Code::Unimplemented),
        ("gzip", frame(1, &gzip(&vec![0; LARGEST + 1])), Code::ResourceExhausted),
    ] {
        assert_eq!(call(&receivers, export, encoding, body).await, code as i32, "{encoding}");
    }
    let nowhere = call(&receivers, "/some.Service/Method", "identity", frame(0, b"")).await;
    assert_eq!(nowhere, Code::Unimplemented as i32);
    assert_eq!(receivers.spans(), 0);
}

#[tokio::test]
async fn json_may_leave_lists_out_and_write_doubles_as_text() {
    let receivers = start(ROOM).await;
    let attribute = |key: &str, value: Value| json!({"key": key, "value": value});
    let json = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{
        "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174", "name": "pay",
        "attributes": [
            attribute("list", json!({"arrayValue": {}})),
            attribute("map", json!({"kvlistValue": {}})),
            attribute("nested", json!({"arrayValue": {"values": [{"arrayValue": {}}]}})),
            attribute("nan", json!({"doubleValue": "NaN"})),
            attribute("least", json!({"doubleValue": "-Infinity"})),
            attribute("half", json!({"doubleValue": "0.5"})),
        ],
    }]}]}]});
    let answer = receivers.post("traces", JSON, json.to_string().into_bytes()).await;
    assert_eq!(parts(answer).await, (200, JSON.to_owned(), b"{}".to_vec()));
    let id = "5b8efff798038103d269b633813fc60c".parse().unwrap();
    let trace = receivers.store.trace(id).unwrap();
    let shown: Vec<String> =
        trace.spans[0].attributes.iter().map(|(_, it)| crate::store::value_text(it)).collect();
    assert_eq!(shown, ["[]", "{}", "[[]]", "NaN", "-Infinity", "0.5"]);

    let wrong = json.to_string().replace("0.5", "half");
    let (status, _, body) = parts(receivers.post("traces", JSON, wrong.into_bytes()).await).await;
    let told: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 400);
    assert!(told["message"].as_str().unwrap().contains("column"), "{told}");
}

#[tokio::test]
async fn every_error_is_a_status_that_a_page_may_read() {
    let receivers = start(ROOM).await;
    let send = async |method: &str, path: &str, kind: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = receivers.client.request(method, format!("{}{path}", receivers.http));
        let request = request.header(CONTENT_TYPE, kind).header("origin", "http://localhost:3000");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        parts(answer).await
    };
    for (method, path, code) in [("POST", "/v1/profiles", 404), ("GET", "/v1/traces", 405)] {
        let (status, kind, body) = send(method, path, PROTOBUF).await;
        assert_eq!((status, kind.as_str()), (code, PROTOBUF));
        assert!(!RpcStatus::decode(body.as_slice()).unwrap().message.is_empty());
        let (status, kind, body) = send(method, path, JSON).await;
        assert_eq!((status, kind.as_str()), (code, JSON));
        let told: Value = serde_json::from_slice(&body).unwrap();
        assert!(told["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
}

#[tokio::test]
async fn a_page_of_a_browser_may_send() {
    let receivers = start(ROOM).await;
    let url = format!("{}/v1/traces", receivers.http);
    let preflight = receivers
        .client
        .request(reqwest::Method::OPTIONS, url)
        .header("origin", "http://localhost:3000")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), 200);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    assert!(
        preflight.headers()["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("content-type")
    );
}
