//! What Alertmanager has told, and what Prometheus says of objectives.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, body::Body, response::IntoResponse, routing::get};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::page::Console;

/// An alert as Alertmanager writes it.
pub(crate) fn alert(name: &str, severity: &str, summary: &str) -> Value {
    json!({
        "status": "firing",
        "labels": {"alertname": name, "severity": severity, "service_name": "catalog"},
        "annotations": {
            "summary": summary, "dashboard_url": "/d/service?var-service=catalog", "runbook_url": "docs/runbooks/x.md",
        },
        "startsAt": "2026-11-26T09:52:26.739266876+02:00",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph",
        "fingerprint": format!("{:x}", name.bytes().fold(7_u64, |id, it| id.wrapping_mul(31) ^ u64::from(it))),
    })
}

/// Tells the console's sidecar.
pub(crate) async fn tell(console: &Console, alerts: &[Value]) {
    let body = json!({"version": "4", "receiver": "console", "status": "firing", "alerts": alerts});
    let request = Request::post("http://127.0.0.1:9185/alerts");
    let request = request.header("content-type", "application/json");
    let request = request.body(Body::from(body.to_string())).unwrap();
    let answer = console.alerts.webhook(&[]).0.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn who_was_told_nothing_says_how_to_be_told() {
    let text = Console::new().page("/alerts").await.one("main").text();
    for told in
        ["told nothing yet", "webhook_configs", ":9185/alerts", "CONSOLE_PROMETHEUS is not set"]
    {
        assert!(text.contains(told), "{told}: {text}");
    }
}

#[tokio::test]
async fn links_lead_where_the_settings_say_or_are_no_links() {
    let settings = [("CONSOLE_GRAFANA", "https://grafana.example/x/")];
    let console = Console::with(&settings);
    let mut hostile = alert("Odd", "odd", "");
    hostile["annotations"] =
        json!({"dashboard_url": "javascript:alert(1)", "runbook_url": "//elsewhere.example/x"});
    tell(&console, &[alert("Slow", "ticket", "Slow."), alert("Down", "page", "Down."), hostile])
        .await;
    let page = console.page("/alerts").await;
    assert_eq!(page.follow("Dashboard"), "https://grafana.example/x/d/service?var-service=catalog");
    assert_eq!(page.link("Runbook"), None);
    assert!(page.one("main").text().contains("Runbook docs/runbooks/x.md"));
    let rows: Vec<_> = page.find("tbody")[0].find("tr").iter().map(|it| it.text()).collect();
    let begin = |at: usize, text: &str| rows[at].starts_with(text);
    assert!(begin(0, "Down Down.") && begin(1, "Slow Slow.") && begin(2, "Odd"), "{rows:?}");
    assert!(page.find("a").iter().all(|it| !it.get("href").contains("script")));
    assert_eq!(console.get("/alerts?x=1").await.status, 400);
}

#[tokio::test]
async fn a_watchdog_that_was_never_heard_is_missed() {
    let console = Console::new();
    tell(&console, &[alert("Slow", "ticket", "Slow.")]).await;
    assert!(console.page("/alerts").await.one("main").text().contains("No heartbeat has come"));
    tell(&console, &[alert("Watchdog", "none", "")]).await;
    let text = console.page("/alerts").await.one("main").text();
    assert!(text.contains("Watchdog heard Last heartbeat"), "{text}");
    let told: Value = serde_json::from_str(&console.get("/alerts.json").await.body).unwrap();
    assert_eq!(
        (&told["watchdog"]["silent"], told["alerts"].as_array().unwrap().len()),
        (&json!(false), 1)
    );
}

/// A Prometheus that answers what it is told to, and counts the questions.
async fn prometheus() -> (String, Arc<Mutex<(StatusCode, String)>>, Arc<AtomicUsize>) {
    let answer = Arc::new(Mutex::new((StatusCode::OK, String::new())));
    let asked = Arc::new(AtomicUsize::new(0));
    let (says, count) = (answer.clone(), asked.clone());
    let query = async move || {
        count.fetch_add(1, Ordering::Relaxed);
        says.lock().unwrap().clone().into_response()
    };
    let router = Router::new().route("/api/v1/query", get(query));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, answer, asked)
}

#[tokio::test]
async fn objectives_are_shown_with_what_is_left_of_their_budgets() {
    let (address, answer, asked) = prometheus().await;
    let sample = |name: &str, value: &str| {
        let metric =
            json!({"__name__": name, "sloth_service": "catalog", "sloth_slo": "read-availability"});
        json!({"metric": metric, "value": [1_795_663_773.813, value]})
    };
    let result = [
        sample("slo:objective:ratio", "0.9995"),
        sample("slo:period_error_budget_remaining:ratio", "-0.125"),
        sample("slo:current_burn_rate:ratio", "14.4"),
    ];
    let told = json!({"status": "success", "data": {"resultType": "vector", "result": result}});
    *answer.lock().unwrap() = (StatusCode::OK, told.to_string());
    let console = Console::with(&[("CONSOLE_PROMETHEUS", &address)]);
    let row = console.page("/alerts").await.find("tbody")[0].text();
    assert_eq!(row, "catalog read-availability 99.95 % −12.5 % 14.4");
    console.page("/alerts").await;
    let told: Value = serde_json::from_str(&console.get("/alerts.json").await.body).unwrap();
    assert_eq!(told["objectives"]["list"][0]["burn_rate"], 14.4);
    assert_eq!(asked.load(Ordering::Relaxed), 1, "three readers within seconds are one question");
}

#[tokio::test]
async fn without_prometheus_the_page_says_so_and_works() {
    let huge = "x".repeat((1 << 20) + 1);
    for (status, body, expected) in [
        (StatusCode::BAD_GATEWAY, "", "It answered 502 Bad Gateway."),
        (StatusCode::OK, "<html>", "It answered what Prometheus does not answer."),
        (StatusCode::OK, &huge, "Its answer is larger than 1 MiB"),
        (
            StatusCode::OK,
            r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
            "Prometheus has no objectives yet",
        ),
    ] {
        let (address, answer, _) = prometheus().await;
        *answer.lock().unwrap() = (status, body.to_owned());
        let console = Console::with(&[("CONSOLE_PROMETHEUS", &address)]);
        tell(&console, &[alert("Slow", "ticket", "Slow.")]).await;
        let text = console.page("/alerts").await.one("main").text();
        assert!(text.contains(expected) && text.contains("Slow."), "{expected}: {text}");
    }
    let console = Console::with(&[("CONSOLE_PROMETHEUS", "http://127.0.0.1:1")]);
    let text = console.page("/alerts").await.one("main").text();
    assert!(text.contains("Prometheus: It cannot be reached: Connection refused"), "{text}");
}
