//! The answers of both APIs, to the letter.

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::store::MemoryStore;

/// A call from a shop to its bank, with everything that a span can have.
const SENT: &str = include_str!("fixtures/payment.otlp.json");
const TOLD_BY_V1: &str = include_str!("fixtures/payment.v1.json");
const TRACE: &str = "00000000000000000af7651916cd43dd";
/// Around the spans of the fixture.
const PERIOD: &str =
    "query.startTimeMin=2026-01-01T00:00:00Z&query.startTimeMax=2026-01-02T00:00:00Z";
const V1_PERIOD: &str = "start=1767225600000000&end=1767312000000000";

struct Answer {
    status: u16,
    content_type: String,
    text: String,
    json: Value,
}

fn stored() -> Router {
    let store = MemoryStore::new(1 << 20, 1 << 20);
    let sent: TracesData = serde_json::from_str(SENT).unwrap();
    assert_eq!(store.add_spans(sent.resource_spans).accepted, 3);
    router(Arc::new(store))
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").map_or("", |it| it.to_str().unwrap());
    let content_type = content_type.to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let json = serde_json::from_str(&text).unwrap_or_default();
    Answer { status, content_type, text, json }
}

async fn get(router: &Router, path: &str) -> Answer {
    send(router, Request::get(path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_trace_is_told_by_v1_exactly_so() {
    let told: Value = serde_json::from_str(TOLD_BY_V1).unwrap();
    let router = stored();
    for id in [TRACE, "af7651916cd43dd", "0AF7651916CD43DD", "AAAAAAAAAAAK92UZFs1D3Q=="] {
        let answer = get(&router, &format!("/api/traces/{id}")).await;
        assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/json"));
        assert_eq!(answer.json, told, "{}", answer.text);
    }
    // With the sender's order of attributes.
    let raw = get(&router, &format!("/api/traces/{TRACE}?raw=true")).await;
    assert_eq!(raw.json["data"][0]["spans"][0]["tags"][2]["key"], "zone");
}

#[tokio::test]
async fn otlp_is_transformed_without_being_kept() {
    let router = router(Arc::new(MemoryStore::new(1 << 20, 1 << 20)));
    let answer = send(&router, Request::post("/api/transform").body(SENT.into()).unwrap()).await;
    assert_eq!(answer.json["data"][0]["spans"].as_array().unwrap().len(), 3);
    assert_eq!(get(&router, "/api/services").await.json["data"], json!([]));
    let bad = send(&router, Request::post("/api/transform").body("{".into()).unwrap()).await;
    assert_eq!(bad.status, 400, "{}", bad.text);

    // As other programs write it: empty lists without their only field, infinity as a text.
    let mut terse: Value = serde_json::from_str(SENT).unwrap();
    let attributes = &mut terse["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"];
    *attributes = json!([{"key": "none", "value": {"arrayValue": {}}},
        {"key": "most", "value": {"doubleValue": "Infinity"}}]);
    let request = Request::post("/api/transform").body(terse.to_string().into()).unwrap();
    let answer = send(&router, request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.text.contains("Infinity"), "{}", answer.text);

    let empty = format!(r#"{{"resourceSpans":[{}{{}}]}}"#, "{},".repeat(600_000));
    let large = send(&router, Request::post("/api/transform").body(empty.into()).unwrap()).await;
    assert_eq!(large.status, 413, "{}", large.text);
}

#[tokio::test]
async fn v3_gives_back_the_otlp_that_came() {
    let router = stored();
    let answer = get(&router, &format!("/api/v3/traces/{TRACE}")).await;
    let sent: TracesData = serde_json::from_str(SENT).unwrap();
    let told: TracesData = serde_json::from_value(answer.json["result"].clone()).unwrap();
    let names = |data: &TracesData| -> Vec<String> {
        let scopes = data.resource_spans.iter().flat_map(|it| &it.scope_spans);
        scopes.flat_map(|it| &it.spans).map(|it| it.name.clone()).collect()
    };
    assert_eq!(names(&told), names(&sent));
    let raw = get(&router, &format!("/api/v3/traces/{TRACE}?rawTraces=true")).await;
    let raw: TracesData = serde_json::from_value(raw.json["result"].clone()).unwrap();
    assert_eq!(raw, sent);
}

#[tokio::test]
async fn services_and_operations_are_told_by_both() {
    let router = stored();
    let v1 = |data: Value| {
        let total = data.as_array().unwrap().len();
        json!({ "data": data, "total": total, "limit": 0, "offset": 0, "errors": null })
    };
    for (path, expected) in [
        ("/api/services", v1(json!(["bank/eu", "shop"]))),
        ("/api/services/bank%2Feu/operations", v1(json!(["charge"]))),
        ("/api/services/none/operations", v1(json!([]))),
        (
            "/api/operations?service=shop",
            v1(
                json!([{"name": "POST /pay", "spanKind": "client"}, {"name": "pay", "spanKind": ""}]),
            ),
        ),
        (
            "/api/operations?service=shop&spanKind=client",
            v1(json!([{"name": "POST /pay", "spanKind": "client"}])),
        ),
        ("/api/operations?service=shop&spanKind=odd", v1(json!([]))),
        ("/api/v3/services", json!({"services": ["bank/eu", "shop"]})),
        (
            "/api/v3/operations?service=shop",
            json!({"operations": [
                {"name": "POST /pay", "spanKind": "client"},
                {"name": "pay", "spanKind": "internal"},
            ]}),
        ),
        ("/api/v3/operations?service=shop&span_kind=server", json!({"operations": []})),
    ] {
        let answer = get(&router, path).await;
        assert_eq!((answer.status, answer.json), (200, expected), "{path}");
    }
}

#[tokio::test]
async fn searches_find_the_trace_and_only_that() {
    let router = stored();
    let found = |answer: Answer| answer.json["data"].as_array().map(Vec::len);
    for (query, count) in [
        ("service=shop", 1),
        ("service=shop&operation=pay", 1),
        ("service=shop&operation=charge", 0),
        ("service=bank/eu&tag=error:true", 1),
        ("service=shop&tag=error:true", 0),
        (
            "service=bank/eu&tags=%7B%22error%22:%22true%22,%22amount%22:%229007199254740993%22%7D",
            1,
        ),
        ("service=shop&tag=url:http://x:1/", 1),
        ("service=shop&minDuration=250ms&maxDuration=1s", 1),
        ("service=shop&minDuration=1s", 0),
        ("service=shop&maxDuration=1us", 0),
        ("service=none", 0),
    ] {
        let answer = get(&router, &format!("/api/traces?{V1_PERIOD}&{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        assert_eq!(found(answer), Some(count), "{query}");
    }
    let recent = get(&router, "/api/traces?service=shop").await;
    assert_eq!(recent.json["data"], json!([]), "two days are looked back");
}

#[tokio::test]
async fn traces_are_found_by_their_ids_and_the_missing_are_named() {
    let path = format!("/api/traces?traceID={TRACE}&traceID={TRACE}&traceID=ff");
    let answer = get(&stored(), &path).await;
    assert_eq!(answer.json["data"].as_array().unwrap().len(), 1, "once, however often it is named");
    assert_eq!(answer.json["data"][0]["traceID"], "0af7651916cd43dd");
    let missing = json!([{ "msg": "trace not found", "traceID": "00000000000000ff" }]);
    assert_eq!(answer.json["errors"], missing);
}

#[tokio::test]
async fn a_summary_is_told_as_the_page_checks_it() {
    let router = stored();
    let answer = get(&router, &format!("/api/v3/trace-summaries?{PERIOD}")).await;
    let expected = json!({"summaries": [{
        "traceId": TRACE,
        "rootServiceName": "shop",
        "rootOperationName": "pay",
        "minStartTimeUnixNano": "1767229200000000123",
        "maxEndTimeUnixNano": "1767229200300000000",
        "spanCount": 3,
        "errorSpanCount": 1,
        "orphanSpanCount": 0,
        "services": [
            {"name": "bank/eu", "spanCount": 1, "errorSpanCount": 1},
            {"name": "shop", "spanCount": 2, "errorSpanCount": 0},
        ],
    }]});
    assert_eq!(answer.json, expected, "{}", answer.text);
    for query in [
        "query.serviceName=shop&query.operationName=POST+%2Fpay&query.searchDepth=20",
        "query.service_name=shop&query.operation_name=POST+%2Fpay&query.num_traces=20",
        "query.durationMin=1ms&query.attributes=%7B%22error%22:%22true%22%7D",
    ] {
        let path = format!("/api/v3/trace-summaries?{PERIOD}&{query}");
        assert_eq!(get(&router, &path).await.json, expected, "{query}");
        let path = format!("/api/v3/traces?{PERIOD}&{query}");
        assert_eq!(get(&router, &path).await.status, 200, "{query}");
    }
    let none = get(&router, &format!("/api/v3/trace-summaries?{PERIOD}&query.serviceName=x")).await;
    assert_eq!((none.status, none.json), (200, json!({"summaries": []})));
}

#[tokio::test]
async fn dependencies_are_told_for_a_period_and_a_service() {
    let router = stored();
    let links = json!([{"parent": "shop", "child": "bank/eu", "callCount": 1}]);
    for (query, data) in [
        ("endTs=1767312000000&lookback=604800000", &links),
        ("endTs=1767312000000&lookback=604800000&service=shop", &links),
        ("endTs=1767312000000&lookback=604800000&service=x", &json!([])),
        ("endTs=1767312000000&lookback=1000", &json!([])),
        ("", &json!([])),
    ] {
        let answer = get(&router, &format!("/api/dependencies?{query}")).await;
        assert_eq!((answer.status, &answer.json["data"]), (200, data), "{query}");
    }
}

#[tokio::test]
async fn wrong_parameters_are_refused_with_their_names() {
    let router = stored();
    for (path, named) in [
        ("/api/operations", "service"),
        ("/api/traces", "service"),
        ("/api/traces?service=s&start=yesterday", "start"),
        ("/api/traces?service=s&end=1.5", "end"),
        ("/api/traces?service=s&minDuration=1", "minDuration"),
        ("/api/traces?service=s&maxDuration=-1s", "maxDuration"),
        ("/api/traces?service=s&minDuration=2s&maxDuration=1s", "maxDuration"),
        ("/api/traces?service=s&limit=ten", "limit"),
        ("/api/traces?service=s&limit=0", "limit"),
        ("/api/traces?service=s&limit=99999999999", "limit"),
        ("/api/traces?service=s&tag=error", "tag"),
        ("/api/traces?service=s&tags=%7B", "tags"),
        ("/api/traces?service=s&tags=%7B%22a%22:1%7D", "tags"),
        ("/api/traces?service=s&raw=perhaps", "raw"),
        ("/api/traces?traceID=xyz", "traceID"),
        ("/api/traces/xyz", "trace id"),
        ("/api/traces/123456789012345678901234567890123", "trace id"),
        ("/api/traces/1?start=x", "start"),
        ("/api/traces/1?raw=x", "raw"),
        ("/api/dependencies?endTs=x", "endTs"),
        ("/api/dependencies?lookback=-1", "lookback"),
    ] {
        let answer = get(&router, path).await;
        assert_eq!(
            (answer.status, answer.content_type.as_str()),
            (400, "text/plain; charset=utf-8")
        );
        let error = &answer.json["errors"][0];
        assert_eq!((&error["code"], &answer.json["data"]), (&json!(400), &Value::Null), "{path}");
        assert!(error["msg"].as_str().unwrap().contains(named), "{path}: {}", answer.text);
    }
    for (query, named) in [
        ("", "required"),
        ("query.startTimeMin=2026-01-01T00:00:00Z", "required"),
        ("query.startTimeMin=1&query.startTimeMax=2", "startTimeMin"),
        (
            "query.startTimeMin=2026-01-02T00:00:00Z&query.startTimeMax=2026-01-01T00:00:00Z",
            "before",
        ),
        (&format!("{PERIOD}&query.searchDepth=-1"), "searchDepth"),
        (&format!("{PERIOD}&query.num_traces=x"), "num_traces"),
        (&format!("{PERIOD}&query.durationMin=soon"), "durationMin"),
        (&format!("{PERIOD}&query.durationMin=2s&query.durationMax=1s"), "durationMax"),
        (&format!("{PERIOD}&query.attributes=no"), "attributes"),
        (&format!("{PERIOD}&query.rawTraces=no"), "rawTraces"),
    ] {
        for route in ["traces", "trace-summaries"] {
            let answer = get(&router, &format!("/api/v3/{route}?{query}")).await;
            let error = &answer.json["error"];
            assert_eq!((answer.status, &error["httpCode"]), (400, &json!(400)), "{route} {query}");
            assert!(error["message"].as_str().unwrap().contains(named), "{}", answer.text);
        }
    }
    for path in
        ["/api/v3/traces/xyz", "/api/v3/traces/1?startTime=x", "/api/v3/traces/1?rawTraces=x"]
    {
        assert_eq!(get(&router, path).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_404_in_the_words_of_its_api() {
    let router = stored();
    for (path, status, message) in [
        ("/api/traces/1", 404, "trace not found"),
        ("/api/traces/0", 404, "trace not found"),
        ("/api/nothing", 404, "page not found"),
        ("/nothing", 404, "page not found"),
        ("/api/metrics/calls?service=shop", 501, "metrics querying is currently disabled"),
        ("/api/transform", 405, "method not allowed"),
    ] {
        let answer = get(&router, path).await;
        let expected = json!({
            "data": null, "total": 0, "limit": 0, "offset": 0,
            "errors": [{ "code": status, "msg": message }],
        });
        assert_eq!((answer.status, answer.json), (status, expected), "{path}");
    }
    for (path, message) in [
        ("/api/v3/traces/1".to_owned(), "No traces found"),
        (format!("/api/v3/traces?{PERIOD}&query.serviceName=x"), "No traces found"),
        ("/api/v3/nothing".to_owned(), "page not found"),
    ] {
        let answer = get(&router, &path).await;
        let expected = json!({ "error": { "httpCode": 404, "message": message } });
        assert_eq!((answer.status, answer.json), (404, expected), "{path}");
    }
}

#[tokio::test]
async fn a_server_span_with_the_id_of_its_client_gets_one_of_its_own() {
    let text = r#"{"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": [
        {"traceId": "00000000000000000000000000000009", "spanId": "0000000000000001", "name": "call",
            "kind": 3, "startTimeUnixNano": "1", "endTimeUnixNano": "9"},
        {"traceId": "00000000000000000000000000000009", "spanId": "0000000000000001", "name": "answer",
            "kind": 2, "startTimeUnixNano": "2", "endTimeUnixNano": "8"},
        {"traceId": "00000000000000000000000000000009", "spanId": "0000000000000003", "name": "work",
            "parentSpanId": "0000000000000001", "startTimeUnixNano": "3", "endTimeUnixNano": "7"}
    ]}]}]}"#;
    let store = MemoryStore::new(1 << 20, 1 << 20);
    let sent: TracesData = serde_json::from_str(text).unwrap();
    store.add_spans(sent.resource_spans);
    let router = router(Arc::new(store));
    let ids = |answer: &Answer| -> Vec<(String, String)> {
        let spans = answer.json["data"][0]["spans"].as_array().unwrap();
        let text = |it: &Value| it.as_str().unwrap_or_default().trim_start_matches('0').to_owned();
        spans.iter().map(|it| (text(&it["spanID"]), text(&it["references"][0]["spanID"]))).collect()
    };
    let own = |pairs: [(&str, &str); 3]| pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
    let shown = get(&router, "/api/traces/9").await;
    assert_eq!(ids(&shown), own([("1", ""), ("2", "1"), ("3", "2")]));
    let raw = get(&router, "/api/traces/9?raw=1").await;
    assert_eq!(ids(&raw), own([("1", ""), ("1", ""), ("3", "1")]));
}
