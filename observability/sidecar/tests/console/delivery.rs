//! The books of telemetry, with and without destinations.

use axum::{Router, body::Body};
use http::{Method, Request, StatusCode};
use platform::service::Parts;
use serde_json::{Value, json};
use sidecar::{Alerts, Config};
use telemetry::Telemetry;
use tower::ServiceExt;

use crate::{metrics, page::Console};

const BOOKS: [&str; 6] = [
    "telemetry_enqueued_items_total{signal=\"traces\"} 1200",
    "telemetry_exported_items_total{signal=\"traces\"} 1100",
    "telemetry_dropped_items_total{signal=\"traces\",reason=\"queue_full\"} 60",
    "telemetry_failed_items_total{signal=\"traces\",reason=\"timeout\"} 30",
    "telemetry_failed_items_total{signal=\"traces\",reason=\"refused\"} 5",
    "telemetry_queue_items{signal=\"traces\"} 5",
];

/// A service with these books, and one that is away.
async fn targets() -> String {
    let shop = metrics::endpoint(BOOKS.map(str::to_owned).to_vec()).await;
    format!("shop={shop},away=http://127.0.0.1:1/metrics")
}

#[tokio::test]
async fn what_services_did_with_their_telemetry_is_in_their_own_words() {
    let console = Console::with(&[("CONSOLE_SCRAPE", &targets().await)]);
    let page = console.page("/delivery").await;
    let rows = page.one("tbody").find("tr");
    assert!(rows[0].text().contains("shop traces 1,200 1,100 60 35 5"), "{}", rows[0].text());
    let text = page.one("main").text();
    for told in ["not available away: It cannot be reached", "No destination is set"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let told: Value = serde_json::from_str(&console.get("/delivery.json").await.body).unwrap();
    let expected = json!({
        "service": "shop", "signal": "traces",
        "enqueued": 1200, "exported": 1100, "dropped": 60, "failed": 35, "in_queue": 5,
    });
    assert_eq!(told["services"][0], expected);
    assert_eq!((&told["absent"][0]["service"], &told["pipelines"]), (&json!("away"), &json!([])));
    assert_eq!(console.get("/delivery?x=1").await.status, 400);
}

/// The page and the receiver of a sidecar that has nobody to hand on to.
fn agent(folder: &std::path::Path) -> (Router, Router) {
    let spool = folder.to_str().unwrap();
    let config = Config::from_pairs(&[
        ("SIDECAR_TRACES_ENDPOINT", "http://127.0.0.1:1"),
        ("SIDECAR_SPOOL", spool),
    ]);
    let parts = Parts::new(Telemetry::disabled("sidecar"));
    let endpoints = sidecar::endpoints(&config, &parts, Alerts::default()).unwrap();
    let of = |role: &str| endpoints.iter().find(|it| it.0 == role).map(|it| it.1.clone());
    assert!(of("jaeger").is_none(), "the destination's API is the one to ask");
    (of("console").unwrap(), of("otlp-http").unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_and_why_is_on_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let (console, receiver) = agent(folder.path());
    let span = json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "sell"});
    let wrong = json!({"traceId": "00", "spanId": "eee19b7ec3c1b174", "name": "sell"});
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span, wrong]}]}]});
    let request = Request::post("/v1/traces").header("content-type", "application/json");
    let answer =
        receiver.oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let console = Console::over(console);
    let flow = loop {
        let answer = console.ask(Method::GET, "/delivery.json", &[("host", "localhost")]).await;
        let told: Value = serde_json::from_str(&answer.body).unwrap();
        let flow = told["pipelines"].as_array().unwrap()[0].clone();
        if !flow["trouble"].is_null() {
            break flow;
        }
        tokio::task::yield_now().await;
    };
    let expected = json!({
        "signal": "traces", "destination": "http://127.0.0.1:1/v1/traces",
        "received": 1, "delivered": 0, "dropped": {}, "in_spool": 1, "redelivered": 0, "unaccounted": 0,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&flow[name], value, "{name}: {flow}");
    }
    assert_eq!(flow["trouble"]["reason"], "unreachable");
    let text = async |path: &str| {
        let answer = console.ask(Method::GET, path, &[("host", "localhost")]).await;
        answer.page().one("main").text()
    };
    let page = text("/delivery").await;
    assert!(page.contains("not delivering since") && page.contains("Connection refused"), "{page}");
    let about = text("/about").await;
    assert!(!about.contains("Jaeger"), "{about}");
}
