//! Alertmanager's webhook at the sidecar's internal port, and what becomes of it on the page.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::harness::{App, Reply, Shape, in_both_shapes};

/// A notification as Alertmanager 0.34 sends it.
fn notification(alerts: &[Value]) -> Value {
    json!({
        "receiver": "console",
        "status": "firing",
        "alerts": alerts,
        "groupLabels": {"alertname": "TargetDown"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "version": "4",
        "groupKey": "{}:{alertname=\"TargetDown\"}",
        "truncatedAlerts": 0,
    })
}

fn alert(name: &str, severity: &str, id: &str, status: &str) -> Value {
    json!({
        "status": status,
        "labels": {"alertname": name, "severity": severity, "service_name": "catalog"},
        "annotations": {"summary": format!("{name} it is."), "runbook_url": "https://example.org/runbook"},
        "startsAt": "2026-11-26T03:29:32.821Z",
        "endsAt": if status == "resolved" { "2026-11-26T03:39:32.821Z" } else { "0001-01-01T00:00:00Z" },
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
        "fingerprint": id,
    })
}

fn post(app: &App, kind: &str, body: impl Into<reqwest::blocking::Body>) -> Reply {
    let url = format!("{}/alerts", app.url("sidecar", "internal"));
    let request = app.client().post(url).body(body);
    Reply::to(if kind.is_empty() { request } else { request.header("content-type", kind) })
}

fn tell(app: &App, alerts: &[Value]) {
    let reply = post(app, "application/json", notification(alerts).to_string());
    assert_eq!(reply.status, 204, "{reply:?}");
}

fn record(app: &App) -> Value {
    let reply = app.console("/alerts.json");
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json
}

#[test]
fn an_alert_is_on_the_page_from_its_first_notification_to_its_end() {
    in_both_shapes(|app| {
        assert!(app.console("/alerts").text.contains("told nothing yet"));
        let heartbeat = "sidecar_alerts_watchdog_timestamp_seconds";
        assert_eq!(app.metric("sidecar", heartbeat), Some(0.0));
        tell(app, &[alert("Watchdog", "none", "aa", "firing")]);
        tell(
            app,
            &[alert("Slow", "ticket", "bb", "firing"), alert("TargetDown", "page", "cc", "firing")],
        );
        tell(app, &[alert("Slow", "ticket", "bb", "firing")]); // Alertmanager repeats what goes on
        let told = record(app);
        let names: Vec<_> =
            told["alerts"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
        assert_eq!(names, ["TargetDown", "Slow"]);
        assert_eq!(told["history"].as_array().unwrap().len(), 2);
        assert_eq!(told["watchdog"]["silent"], false);
        let page = app.console("/alerts").text;
        for shown in
            ["TargetDown it is.", r#"<a href="https://example.org/runbook">"#, "Last heartbeat"]
        {
            assert!(page.contains(shown), "{shown}: {page}");
        }
        tell(app, &[alert("TargetDown", "page", "cc", "resolved")]);
        let told = record(app);
        let state =
            |at: usize| (told["alerts"][at]["name"].clone(), told["alerts"][at]["state"].clone());
        assert_eq!(state(0), (json!("Slow"), json!("firing")));
        assert_eq!(state(1), (json!("TargetDown"), json!("resolved")));
        assert_eq!(told["alerts"][1]["resolved"], "2026-11-26T03:39:32.821Z");
        assert_eq!(told["history"][0]["state"], "resolved");
        let received = |status| {
            app.metric("sidecar", &format!("sidecar_alerts_received_total{{status=\"{status}\"}}"))
        };
        assert_eq!((received("firing"), received("resolved")), (Some(4.0), Some(1.0)));
        assert!(app.metric("sidecar", heartbeat) > Some(1.7e9));
    });
}

#[test]
fn a_hostile_notification_is_refused_with_the_name_of_the_field() {
    let app = App::start(Shape::One);
    let json = "application/json";
    for (body, pointer) in [
        (String::new(), ""),
        ("[]".to_owned(), ""),
        ("{\"version\":\"4\"".to_owned(), ""),
        (r#"{"version":"4"}"#.to_owned(), "/alerts"),
        (r#"{"alerts":[]}"#.to_owned(), "/version"),
        (r#"{"version":"3","alerts":[]}"#.to_owned(), "/version"),
        (r#"{"version":"4","alerts":{}}"#.to_owned(), "/alerts"),
        (r#"{"version":"4","alerts":[],"truncatedAlerts":-1}"#.to_owned(), "/truncatedAlerts"),
    ] {
        let reply = post(&app, json, body.clone());
        assert_eq!(reply.is_problem(400, "invalid-input").pointers(), [pointer], "{body}");
    }
    let edit = |field: &str, value: Value| {
        let mut wrong = alert("Slow", "ticket", "bb", "resolved");
        wrong[field] = value;
        notification(&[alert("Slow", "ticket", "bb", "firing"), wrong]).to_string()
    };
    for (field, value) in [
        ("status", json!("suppressed")),
        ("status", json!(1)),
        ("labels", json!([])),
        ("startsAt", json!("yesterday")),
        ("startsAt", json!("9999-01-01T00:00:00Z")),
        ("startsAt", Value::Null),
        ("endsAt", json!("0001-01-01T00:00:00Z")),
        ("fingerprint", json!("")),
        ("fingerprint", json!("../x")),
        ("fingerprint", json!("a".repeat(65))),
    ] {
        let reply = post(&app, json, edit(field, value.clone()));
        let pointer = format!("/alerts/1/{field}");
        assert_eq!(reply.is_problem(400, "invalid-input").pointers(), [pointer], "{value}");
    }
    let many = notification(&vec![
        json!({"status": "firing", "fingerprint": "a", "labels": {}, "startsAt": "2026-11-26T03:29:32Z"});
        1_001
    ]);
    let reply = post(&app, json, many.to_string());
    assert_eq!(reply.is_problem(400, "invalid-input").json["errors"][0]["limit"], 1_000);
    post(&app, json, " ".repeat((1 << 20) + 1)).is_problem(413, "body-too-large");
    for kind in ["", "text/plain", "application/x-www-form-urlencoded"] {
        post(&app, kind, "{}").is_problem(415, "unsupported-media-type");
    }
    assert_eq!(app.internal("sidecar", "/alerts").status, 405);
    let elsewhere = app.client().post(format!("{}/alerts", app.url("gateway", "internal")));
    assert_eq!(Reply::to(elsewhere).status, 404, "only the sidecar is told");
    let told = record(&app);
    assert_eq!(
        (&told["heard"], &told["alerts"], &told["history"]),
        (&json!(false), &json!([]), &json!([]))
    );
}

#[test]
fn only_who_asks_by_a_known_name_tells_of_alerts() {
    let app = App::start_with(Shape::One, &[("CONSOLE_ALLOWED_HOSTS", "sidecar")]);
    let tell = |host: &str| {
        let url = format!("{}/alerts", app.url("sidecar", "internal"));
        let request = app.client().post(url).header("host", host);
        let body = notification(&[alert("Slow", "ticket", "bb", "firing")]).to_string();
        Reply::to(request.header("content-type", "application/json").body(body))
    };
    // A page of a stranger whose name leads to this machine.
    for host in ["stranger.example:9185", "sidecar.stranger.example"] {
        let refused = tell(host);
        let told = refused.is_problem(421, "unknown-host").json["detail"].as_str().unwrap();
        assert!(told.contains("CONSOLE_ALLOWED_HOSTS"), "{told}");
    }
    assert_eq!(record(&app)["heard"], false);
    for host in ["sidecar:9185", "localhost:9185"] {
        assert_eq!(tell(host).status, 204, "{host}");
    }
    assert_eq!(record(&app)["heard"], true);
    // Whoever scrapes and asks for health may do so by any name.
    let url = format!("{}/health/ready", app.url("sidecar", "internal"));
    let health = app.client().get(url).header("host", "sidecar.example");
    assert_eq!(Reply::to(health).status, 200);
}

#[test]
fn what_is_remembered_is_bounded_and_what_is_forgotten_is_counted() {
    let app = App::start(Shape::One);
    for part in 0..3 {
        let alerts: Vec<Value> = (0..500)
            .map(|n| {
                let mut alert = alert("Slow", "ticket", &format!("{:x}", part * 500 + n), "firing");
                alert["labels"]["text"] = "ä".repeat(500).into();
                alert
            })
            .collect();
        tell(&app, &alerts);
    }
    let told = record(&app);
    let count = |name: &str| told[name].as_array().unwrap().len() as u64;
    assert_eq!((count("alerts"), count("history")), (500, 1_000));
    assert_eq!(told["forgotten"], json!({"alerts": 1_000, "changes": 500}));
    let forgotten = |record: &str| {
        app.metric("sidecar", &format!("sidecar_alerts_forgotten_total{{record=\"{record}\"}}"))
    };
    assert_eq!((forgotten("alerts"), forgotten("changes")), (Some(1_000.0), Some(500.0)));
    let page = app.console("/alerts").text;
    assert!(page.contains("had to leave for newer ones") && page.contains("/alerts.json"));
}

#[test]
fn prometheus_that_is_away_is_told_and_nothing_else_suffers() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let app = App::start_with(Shape::One, &[("CONSOLE_PROMETHEUS", &format!("http://{closed}"))]);
    tell(&app, &[alert("Slow", "ticket", "bb", "firing")]);
    let page = app.console("/alerts");
    assert_eq!(page.status, 200);
    assert!(page.text.contains("It cannot be reached") && page.text.contains("Slow it is."));
    assert!(record(&app)["objectives"]["trouble"].as_str().unwrap().contains("refused"));
}
