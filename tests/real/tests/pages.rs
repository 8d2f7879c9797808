//! Pages in a real browser: Chromium renders each with its script, and has nothing to complain about.

use std::process::Command;

use serde_json::json;

use crate::harness::{App, Reply, Shape};

/// The document as Chromium has it after its scripts ran, and what it wrote to its console.
fn open(url: &str, arguments: &[&str]) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--log-level=0", "--virtual-time-budget=3000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .args(["--dump-dom", url])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_real_browser_renders_every_page_of_the_console_without_a_complaint() {
    let app = App::start(Shape::One);
    let ada = app.someone("ada");
    let id = app.get("/api/musics/?search=river", &ada).trace_id().to_owned();
    app.trace_when(&id, |trace| {
        let there = |it: &str| trace.names().iter().any(|name| name == it);
        let whole = there("gateway: GET /api/musics") && there("catalog: GET /musics");
        if whole { Ok(()) } else { Err(format!("{:?}", trace.names())) }
    });
    let alert = json!({
        "status": "firing",
        "labels": {"alertname": "TargetDown", "severity": "page"},
        "annotations": {"summary": "The catalog does not answer.", "runbook_url": "https://example.org/runbook"},
        "startsAt": "2026-11-26T03:29:32.821Z",
        "fingerprint": "8bceae1616a48045",
    });
    let told = app.client().post(format!("{}/alerts", app.url("sidecar", "internal")));
    let told = Reply::to(told.json(&json!({"version": "4", "alerts": [alert]})));
    assert_eq!(told.status, 204, "{told:?}");
    let console = app.url("sidecar", "console");
    for (path, shown) in [
        ("/".to_owned(), "GET /api/musics"),
        (format!("/traces/{id}"), "catalog"),
        ("/logs".to_owned(), "request"),
        ("/services".to_owned(), "gateway"),
        ("/metrics".to_owned(), "http_server_request_duration_seconds"),
        ("/delivery".to_owned(), "From the services to here"),
        ("/alerts".to_owned(), "The catalog does not answer."),
    ] {
        shows(&format!("{console}{path}"), shown);
    }
}

#[test]
fn a_real_browser_renders_the_page_of_each_api_without_a_complaint() {
    let app = App::start(Shape::One);
    for (service, shown) in [
        ("gateway", "/api/users/{id}/add_fav_music"),
        ("accounts", "/credentials/exchange"),
        ("catalog", "/musics/batch"),
        ("wallet", "/users/{id}/favourites"),
    ] {
        shows(&format!("{}/docs", app.url(service, "api")), shown);
    }
}

/// A page has this text, and the browser's console nothing.
#[track_caller]
fn shows(url: &str, text: &str) {
    let (document, complaints) = open(url, &[]);
    // Long names may break at their underscores, paths at their slashes.
    let document = document.replace("<wbr>", "").replace('\u{200b}', "");
    assert!(document.contains(text), "{url}: {document}");
    let complaints: Vec<_> = complaints.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{url}: {complaints:#?}");
}
