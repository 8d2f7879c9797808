//! The sidecar as an agent: what the services say reaches the real Jaeger, Loki and Prometheus, through crashes of all of them.

use std::collections::BTreeSet;

use real::stack::{Jaeger, Loki, Ports, Prometheus, Storage};
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::harness::{App, PASSWORD, Shape, eventually};

/// The settings that hand on to these.
fn destinations(
    jaeger: &Jaeger,
    loki: &Loki,
    prometheus: &Prometheus,
) -> [(&'static str, String); 3] {
    [
        ("SIDECAR_TRACES_ENDPOINT", jaeger.otlp_url()),
        ("SIDECAR_LOGS_ENDPOINT", loki.otlp_url()),
        ("SIDECAR_METRICS_ENDPOINT", prometheus.otlp_url()),
    ]
}

fn start(shape: Shape, settings: &[(&'static str, String)]) -> App {
    let settings: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
    App::start_with(shape, &settings)
}

/// The books of a signal, once they balance and nothing waits.
fn settled(app: &App, signal: &str) -> Value {
    eventually("all is delivered, and the books balance", || {
        let all = app.console("/delivery.json").json;
        let flow = all["pipelines"].as_array().unwrap().iter().find(|it| it["signal"] == signal);
        let flow = flow.unwrap().clone();
        let done = flow["in_spool"] == 0 && flow["unaccounted"] == 0;
        if done { Ok(flow) } else { Err(flow.to_string()) }
    })
}

#[test]
fn a_request_is_a_trace_in_jaeger_and_a_line_of_each_service_in_loki() {
    let data = tempfile::tempdir().unwrap();
    let jaeger = Jaeger::start(Storage::Memory, Ports::Free, data.path()).unwrap();
    let loki = Loki::start(Ports::Free, data.path()).unwrap();
    let prometheus = Prometheus::start(Ports::Free, data.path()).unwrap();
    for shape in [Shape::One, Shape::Each] {
        let app = start(shape, &destinations(&jaeger, &loki, &prometheus));
        let ada = app.someone("ada");
        let id = app.get("/api/musics/1", &ada).trace_id().to_owned();
        let services = ["accounts", "catalog", "gateway"];
        eventually("the trace is in Jaeger, whole", || {
            let spans = jaeger.trace(&id).map_err(|it| it.to_string())?;
            let from: BTreeSet<&str> = spans.iter().map(|it| it.service.as_str()).collect();
            if from == services.into() { Ok(()) } else { Err(format!("{spans:?}")) }
        });
        for service in services {
            eventually("its line is in Loki", || {
                let query = format!("{{service_name=\"{service}\"}} | trace_id=\"{id}\"");
                let lines = loki.query(&query).map_err(|it| it.to_string())?;
                if lines.is_empty() { Err(query) } else { Ok(()) }
            });
        }
        for signal in ["traces", "logs"] {
            let flow = settled(&app, signal);
            assert_eq!(flow["received"], flow["delivered"], "{flow}");
            assert_ne!(flow["received"], 0, "{flow}");
        }
    }
}

#[test]
fn lines_that_come_by_lokis_push_are_found_as_those_that_come_by_otlp() {
    let data = tempfile::tempdir().unwrap();
    let loki = Loki::start(Ports::Free, data.path()).unwrap();
    let app = start(Shape::One, &[("SIDECAR_LOGS_ENDPOINT", loki.otlp_url())]);
    let id = "5b8efff798038103d269b633813fc60c";
    let push = format!("{}/loki/api/v1/push", app.url("sidecar", "otlp-http"));
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos().to_string();
    let body = json!({"streams": [{
        "stream": {"service_name": "till", "level": "warn"},
        "values": [
            [now, "by metadata", {"trace_id": id}],
            [now, format!("{{\"message\":\"inside\",\"trace_id\":\"{id}\"}}")],
        ],
    }]});
    let sent = Client::new().post(&push).json(&body).send().unwrap();
    assert_eq!(sent.status(), 204);
    eventually("both lines are found by their trace", || {
        let query = format!("{{service_name=\"till\"}} | trace_id=\"{id}\"");
        let lines = loki.query(&query).map_err(|it| it.to_string())?;
        if lines.len() == 2 { Ok(()) } else { Err(format!("{lines:?}")) }
    });
    let wrong = Client::new().post(&push).json(&json!({"streams": 1})).send().unwrap();
    assert_eq!(wrong.status(), 400);
}

/// `logproto.PushRequest` with a stream and a line, packed by snappy: its labels are a text, which JSON does not have.
fn pushed(labels: &str, line: &str) -> Vec<u8> {
    let bytes = |tag: u32, value: &[u8], message: &mut Vec<u8>| {
        prost::encoding::bytes::encode(tag, &value.to_vec(), message);
    };
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    let (mut time, mut entry, mut stream, mut push) = (vec![], vec![], vec![], vec![]);
    prost::encoding::uint64::encode(1, &now.as_secs(), &mut time);
    prost::encoding::uint32::encode(2, &now.subsec_nanos(), &mut time);
    bytes(1, &time, &mut entry);
    bytes(2, line.as_bytes(), &mut entry);
    bytes(1, labels.as_bytes(), &mut stream);
    bytes(2, &entry, &mut stream);
    bytes(1, &stream, &mut push);
    snap::raw::Encoder::new().compress_vec(&push).unwrap()
}

#[test]
fn labels_of_a_push_are_read_as_the_real_loki_reads_them() {
    let data = tempfile::tempdir().unwrap();
    let loki = Loki::start(Ports::Free, data.path()).unwrap();
    let app = start(Shape::One, &[("SIDECAR_LOGS_ENDPOINT", loki.otlp_url())]);
    let quoted = [
        r#""\x1b[31m \a\b\f\n\r\t\v\\\" \101\u00e9\U0001F600é'`""#,
        r#""\xc3\xa9""#,
        r#""\ud800""#,
        "`no \\x1b \"escapes\"`",
        r"'it\'s \\ \x41'",
        r#""\x1""#,
        r#""\400""#,
        r#""\u12""#,
        r#""\U00110000""#,
        r#""\'""#,
        r#"'\"'"#,
        r#""\q""#,
        "\"a\nb\"",
        "`a",
        "é",
    ];
    for (n, quoted) in quoted.into_iter().enumerate() {
        let sends = |url: String, line: &str| {
            let labels = format!("{{service_name=\"till\", place={quoted}, }}");
            let request = Client::new().post(format!("{url}/loki/api/v1/push"));
            let request = request.header("content-type", "application/x-protobuf");
            request.body(pushed(&labels, line)).send().unwrap().status().as_u16()
        };
        let (direct, by_agent) = (format!("direct {n}"), format!("by agent {n}"));
        let status = sends(loki.url(), &direct);
        assert_eq!(sends(app.url("sidecar", "otlp-http"), &by_agent), status, "{quoted}");
        if status != 204 {
            continue;
        }
        let found = |line: &str| {
            eventually("the line is in Loki", || {
                let query = format!("{{service_name=\"till\"}} |= \"{line}\"");
                let lines = loki.query(&query).map_err(|it| it.to_string())?;
                let line = lines.into_iter().find(|it| it.text == line);
                line.ok_or("not yet".to_owned())
            })
        };
        // A label there is structured metadata here: which attributes are labels, Loki's configuration says.
        let (direct, by_agent) = (found(&direct).labels, found(&by_agent).metadata);
        assert_eq!(by_agent["place"], direct["place"], "{quoted}");
    }
}

#[test]
fn one_query_finds_the_lines_of_a_request_whichever_way_they_came() {
    let data = tempfile::tempdir().unwrap();
    let loki = Loki::start(Ports::Free, data.path()).unwrap();
    let destination = ("SIDECAR_LOGS_ENDPOINT", loki.otlp_url());
    for shape in [Shape::One, Shape::Each] {
        let (mut app, ada) = App::start_shipping(shape, &[(destination.0, &destination.1)]);
        let id = app.get("/api/musics/?limit=1", &ada).trace_id().to_owned();
        // The environment is a label whichever way, too.
        let labels = "service_name=\"gateway\", deployment_environment_name=\"development\"";
        eventually("Loki has the access line of either way", || {
            let query = format!("{{{labels}}} | trace_id=\"{id}\"");
            let lines = loki.query(&query).map_err(|it| it.to_string())?;
            let texts: Vec<_> = lines.iter().map(|it| it.text.as_str()).collect();
            let library = texts.iter().filter(|it| it.contains("\"message\":\"request\"")).count();
            let otlp = texts.iter().filter(|it| **it == "request").count();
            if (library, otlp) == (1, 1) { Ok(()) } else { Err(format!("{texts:#?}")) }
        });
        app.stop();
    }
}

#[test]
fn a_real_loki_takes_lines_without_anything_beside_the_service() {
    let data = tempfile::tempdir().unwrap();
    let loki = Loki::start(Ports::Free, data.path()).unwrap();
    let url = loki.url();
    let app = App::start_with(Shape::One, &[("LOKI_URL", &url), ("OTEL_LOGS_EXPORTER", "none")]);
    let ada = app.someone("ada");
    let fed = || app.metric("gateway", "telemetry_loki_fed_lines_total");
    let id = eventually("a line is fed", || {
        let before = fed();
        let id = app.get("/api/musics/?limit=1", &ada).trace_id().to_owned();
        if fed() > before { Ok(id) } else { Err(format!("{before:?}")) }
    });
    eventually("the line is in Loki", || {
        let query = format!("{{service_name=\"gateway\"}} | json | trace_id=\"{id}\"");
        let lines = loki.query(&query).map_err(|it| it.to_string())?;
        if lines.len() == 1 { Ok(()) } else { Err(format!("{lines:?}")) }
    });
    eventually("all that was fed is acknowledged", || {
        let part = |term: &str| app.metric("gateway", &format!("telemetry_loki_{term}"));
        let books = [part("fed_lines_total"), part("acknowledged_lines_total")];
        if books[0] == books[1] { Ok(()) } else { Err(format!("{books:?}")) }
    });
}

/// What is larger than Loki takes, and older than Prometheus usually does: a spool holds both.
#[test]
fn a_large_request_and_points_of_yesterday_arrive() {
    let data = tempfile::tempdir().unwrap();
    let loki = Loki::start(Ports::Free, data.path()).unwrap();
    let prometheus = Prometheus::start(Ports::Free, data.path()).unwrap();
    let settings = [
        ("SIDECAR_LOGS_ENDPOINT", loki.otlp_url()),
        ("SIDECAR_METRICS_ENDPOINT", prometheus.otlp_url()),
    ];
    let app = start(Shape::One, &settings);
    let otlp = app.url("sidecar", "otlp-http");
    let send = |signal: &str, body: Value| {
        let sent = Client::new().post(format!("{otlp}/v1/{signal}")).json(&body).send().unwrap();
        assert_eq!(sent.status(), 200, "{sent:?}");
    };
    let resource =
        json!({"attributes": [{"key": "service.name", "value": {"stringValue": "bulk"}}]});
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    let line = |number: usize| {
        let time = (now.as_nanos() + number as u128).to_string();
        json!({"timeUnixNano": time, "body": {"stringValue": format!("{number} {}", "x".repeat(2000))}})
    };
    let lines: Vec<Value> = (0..3000).map(line).collect();
    send(
        "logs",
        json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": lines}]}]}),
    );
    eventually("all lines are in Loki", || {
        let short = "{service_name=\"bulk\"} | line_format `.`"; // 6 MB are no answer
        let found = loki.query(short).map_err(|it| format!("{it:#}"))?;
        if found.len() == 3000 { Ok(()) } else { Err(format!("{} lines", found.len())) }
    });

    let gauge = |hours: u64| {
        let then = now.as_secs() - hours * 3600;
        let point = json!({"timeUnixNano": (u128::from(then) * 1_000_000_000).to_string(), "asDouble": hours});
        let metric = json!({"name": "age", "gauge": {"dataPoints": [point]}});
        send(
            "metrics",
            json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]}),
        );
        then
    };
    for hours in [0, 23] {
        let then = gauge(hours);
        settled(&app, "metrics");
        let found = prometheus.query_at("age{job=\"bulk\"}", then as f64).unwrap();
        let values: Vec<f64> = found.iter().map(|it| it.value).collect();
        assert_eq!(values, [hours as f64], "{hours} hours ago: {found:?}");
    }
    for signal in ["logs", "metrics"] {
        let flow = settled(&app, signal);
        assert_eq!(flow["received"], flow["delivered"], "{flow}");
    }
}

#[test]
fn what_was_received_is_delivered_through_crashes_of_agent_and_destination() {
    let data = tempfile::tempdir().unwrap();
    let mut jaeger = Jaeger::start(Storage::Badger, Ports::Free, data.path()).unwrap();
    let mut app = start(Shape::Each, &[("SIDECAR_TRACES_ENDPOINT", jaeger.otlp_url())]);
    let ada = app.someone("ada");
    let mut ids = vec![app.get("/api/musics/1", &ada).trace_id().to_owned()];
    settled(&app, "traces");
    jaeger.program.kill();
    ids.push(app.get("/api/musics/2", &ada).trace_id().to_owned());
    let waits = |app: &App, items: u64| {
        eventually("spans wait in the spool", || {
            let all = app.console("/delivery.json").json;
            let flow = &all["pipelines"][0];
            let there = flow["in_spool"].as_u64() >= Some(items) && !flow["trouble"].is_null();
            if there { Ok(flow["in_spool"].as_u64().unwrap()) } else { Err(all.to_string()) }
        })
    };
    let waiting = waits(&app, 4);
    let (code, shown, told) = status(&app);
    assert!(code == Some(1) && told.contains("not all is well with traces"), "{shown}{told}");
    assert!(shown.contains("not delivering since") && shown.contains("refused"), "{shown}");
    app.kill("sidecar");
    app.restart("sidecar");
    assert!(waits(&app, waiting) >= waiting);
    jaeger.program.start_again().unwrap();
    ids.push(app.get("/api/musics/3", &ada).trace_id().to_owned());
    for id in &ids {
        eventually("the trace is in Jaeger", || {
            let spans = jaeger.trace(id).map_err(|it| it.to_string())?;
            if spans.len() >= 3 { Ok(()) } else { Err(format!("{spans:?}")) }
        });
    }
    let flow = settled(&app, "traces");
    assert_eq!(flow["received"], flow["delivered"], "{flow}");
    let (code, shown, told) = status(&app);
    assert_eq!(code, Some(0), "{shown}{told}");
}

/// What an operator sees: exit code, stdout, stderr.
fn status(app: &App) -> (Option<i32>, String, String) {
    let console = app.url("sidecar", "console").replace("http://", "--console-listen=");
    app.command(&["sidecar", "status", &console]).end()
}

#[test]
fn traces_that_failed_go_on_and_others_by_their_share() {
    let data = tempfile::tempdir().unwrap();
    let jaeger = Jaeger::start(Storage::Memory, Ports::Free, data.path()).unwrap();
    let settings = [
        ("SIDECAR_TRACES_ENDPOINT", jaeger.otlp_url()),
        ("SIDECAR_SAMPLING_RATIO", "0".to_owned()),
        ("SIDECAR_SAMPLING_SLOW", "1m".to_owned()),
        ("SIDECAR_SAMPLING_WAIT", "2s".to_owned()),
    ];
    let mut app = start(Shape::Each, &settings);
    let ada = app.someone("ada");
    let good = app.get("/api/musics/1", &ada).trace_id().to_owned();
    app.kill("catalog");
    let failed = app.get("/api/musics/1", &ada);
    assert_eq!(failed.status, 503);
    eventually("the failed trace is in Jaeger", || jaeger.trace(failed.trace_id()));
    let flow = settled(&app, "traces");
    assert!(jaeger.trace(&good).is_err(), "it was quick and did not fail");
    let number = |value: &Value| value.as_u64().unwrap();
    let sampled = number(&flow["dropped"]["sampled"]);
    assert_eq!(number(&flow["received"]), number(&flow["delivered"]) + sampled, "{flow}");
    assert!(sampled >= 4, "{flow}");
}

/// S9, where others look: in the stores themselves.
#[test]
fn no_secret_is_in_the_stores() {
    let data = tempfile::tempdir().unwrap();
    let jaeger = Jaeger::start(Storage::Memory, Ports::Free, data.path()).unwrap();
    let loki = Loki::start(Ports::Free, data.path()).unwrap();
    let prometheus = Prometheus::start(Ports::Free, data.path()).unwrap();
    let mut settings = destinations(&jaeger, &loki, &prometheus).to_vec();
    settings.push(("RUST_LOG", "trace".to_owned()));
    let app = start(Shape::Each, &settings);
    let services = ["gateway", "accounts", "catalog", "wallet", "sidecar"];
    let addresses = services.map(|it| app.url(it, "internal").replace("http://", ""));
    let targets: Vec<(&str, &str)> =
        services.into_iter().zip(addresses.iter().map(String::as_str)).collect();
    prometheus.scrape(&targets).unwrap();
    let token = app.someone("canary.username");
    let search = app.get("/api/musics/?search=canarysearch&created_by=canary.username", &token);
    assert_eq!(search.status, 200);
    let wrong = json!({"username": "canary.username", "password": "canary wrong password"});
    let last = app.post("/api-token-auth/", "", wrong);
    assert_eq!(last.status, 401);
    eventually("the last trace is in Jaeger", || jaeger.trace(last.trace_id()));
    let query = format!("{{service_name=\"gateway\"}} | trace_id=\"{}\"", last.trace_id());
    let lines = |query: &str| loki.query(query).map_err(|it| it.to_string());
    eventually("its line is in Loki", || match lines(&query)?.is_empty() {
        true => Err(query.clone()),
        false => Ok(()),
    });
    eventually("Prometheus has scraped all", || {
        let up = prometheus.query("sum(up)").map_err(|it| it.to_string())?;
        if up.iter().any(|it| it.value == 5.0) { Ok(()) } else { Err(format!("{up:?}")) }
    });
    let get = |url: String| Client::new().get(url).send().unwrap().text().unwrap();
    let mut everything = format!("{:?}", lines("{service_name=~\".+\"}").unwrap());
    for service in &services[..4] {
        everything += &get(format!("{}/api/traces?service={service}&limit=1000", jaeger.url()));
    }
    let series = format!("{}/api/v1/series?match[]=%7B__name__%3D~%22.%2B%22%7D", prometheus.url());
    everything += &get(series);
    assert!(
        everything.contains(last.trace_id()) && everything.contains("http_server_request_duration")
    );
    for secret in [&token, PASSWORD, "canary wrong password", "canary.username", "canarysearch"] {
        assert!(!everything.contains(secret), "{secret} is in a store");
    }
}
