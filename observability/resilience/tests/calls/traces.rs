//! What the calls look like from outside: spans and `traceparent`.

use axum::{Router, body::Bytes, http::HeaderMap, routing::get};
use futures_util::stream;
use http_body_util::BodyExt;
use resilience::{Error, Route};
use telemetry::testing::capture;

use crate::server::{answering, serving_to};

const MUSIC: Route<1> = Route::new("/musics/{id}");

/// The value of an attribute of the span, empty when it has none.
fn attribute(span: &opentelemetry_sdk::trace::SpanData, key: &str) -> String {
    let found = span.attributes.iter().find(|it| it.key.as_str() == key);
    found.map(|it| it.value.to_string()).unwrap_or_default()
}

#[tokio::test]
async fn an_attempt_is_one_span_and_its_id_is_the_parent_that_the_other_side_sees() {
    let (telemetry, captured) = capture("test");
    let echo = get(async |headers: HeaderMap| headers["traceparent"].as_bytes().to_vec());
    let peer = serving_to(Router::new().route("/musics/{id}", echo), &telemetry).await;
    let answer = peer.get(MUSIC.at([17])).query("username", "somebody").send().await.unwrap();
    let spans = captured.take();
    let [span] = spans.as_slice() else { panic!("{spans:?}") };
    let (trace, id) = (span.span_context.trace_id(), span.span_context.span_id());
    assert_eq!(answer.body, format!("00-{trace}-{id}-01"));
    assert_eq!(span.name, "GET /musics/{id}");
    assert_eq!(attribute(span, "http.response.status_code"), "200");
    assert!(!format!("{span:?}").contains("somebody"), "{span:?}");
}

#[tokio::test]
async fn an_attempt_that_fails_has_its_reason() {
    let (telemetry, captured) = capture("test");
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";
    let peer = answering(cut, &telemetry).await;
    peer.get(MUSIC.at([1])).send().await.unwrap_err();
    assert_eq!(attribute(&captured.take()[0], "error.type"), "unreachable");
    let long = b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n{";
    let peer = answering(long, &telemetry).await;
    assert!(matches!(peer.get(MUSIC.at([1])).send().await, Err(Error::BadAnswer { .. })));
    assert_eq!(attribute(&captured.take()[0], "error.type"), "bad_answer");
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_is_cancelled() {
    let (telemetry, captured) = capture("test");
    let (arrived, arrival) = tokio::sync::oneshot::channel();
    let arrived = std::sync::Mutex::new(Some(arrived));
    let arrived = std::sync::Arc::new(arrived);
    let never = get(async move || {
        arrived.lock().unwrap().take().unwrap().send(()).unwrap();
        std::future::pending::<()>().await
    });
    let peer = serving_to(Router::new().route("/musics/{id}", never), &telemetry).await;
    tokio::select! {
        answer = peer.get(MUSIC.at([1])).send() => panic!("{answer:?}"),
        _ = arrival => {}
    }
    assert_eq!(attribute(&captured.take()[0], "error.type"), "cancelled");
}

#[tokio::test]
async fn the_span_of_a_stream_ends_with_its_body() {
    let (telemetry, captured) = capture("test");
    let echo = axum::routing::post(async |body: Bytes| body);
    let peer = serving_to(Router::new().route("/musics/{id}", echo), &telemetry).await;
    let body = || stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"line\n"))]);
    let answer = peer.post(MUSIC.at([1])).forward(body()).await.unwrap();
    assert!(captured.take().is_empty());
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "line\n");
    assert_eq!(attribute(&captured.take()[0], "error.type"), "");
    drop(peer.post(MUSIC.at([1])).forward(body()).await.unwrap());
    assert_eq!(attribute(&captured.take()[0], "error.type"), "cancelled");
}
