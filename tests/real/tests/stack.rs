//! The native stack: what it is sent is found, and is still there after a crash.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    process::Command,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use real::stack::{Jaeger, Loki, Ports, Prometheus, Stack, Storage, tool};
use serde_json::{Value, json};

use crate::harness::{App, Shape, eventually, root};

const TRACE: &str = "5b8efff798038103d269b633813fc60c";

#[test]
fn all_start_and_have_what_they_are_sent() {
    let data = tempfile::tempdir().unwrap();
    let mut stack = Stack::start(Ports::Free, data.path()).unwrap();

    stack.jaeger.send(&span(TRACE)).unwrap();
    let spans = eventually("Jaeger has the span", || stack.jaeger.trace(TRACE));
    assert_eq!((&*spans[0].service, &*spans[0].name, spans.len()), ("shop", "sell", 1));
    assert_eq!(stack.jaeger.services().unwrap(), BTreeSet::from(["shop".to_owned()]));

    stack.loki.send(&line("sold")).unwrap();
    let labels = [("service_name", "till"), ("deployment_environment_name", "test")];
    stack.loki.push(&labels, &[("counted", &[("trace_id", TRACE)])]).unwrap();
    for (service, text) in [("shop", "sold"), ("till", "counted")] {
        let found = found_by_trace(&stack.loki, service, text);
        assert_eq!(found.labels["service_name"], service);
        assert_eq!(found.metadata["trace_id"], TRACE);
    }
    let names = stack.loki.labels().unwrap();
    let expected = ["deployment_environment_name", "service_name"];
    assert_eq!(names, expected.map(str::to_owned).into(), "all else is metadata");

    let up = eventually("Prometheus answers", || stack.prometheus.query("vector(2)"));
    assert_eq!(up[0].value, 2.0);
    stack.prometheus.reload().unwrap();
    for job in ["alertmanager", "jaeger", "loki", "node", "prometheus"] {
        let query = format!("up{{job=\"{job}\"}}");
        eventually(&format!("{job} is watched"), || match &*stack.prometheus.query(&query)? {
            [up] if up.value == 1.0 => Ok(()),
            up => anyhow::bail!("{up:?}"),
        });
    }
    stack.check().unwrap();
    stack.stop();
    assert!(stack.check().is_err());
}

#[test]
fn prometheus_scrapes_every_service_in_both_shapes_and_knows_exemplars() {
    let data = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(Ports::Free, data.path()).unwrap();
    for shape in [Shape::One, Shape::Each] {
        let app = App::start(shape);
        let trace = app.post("/api/users/", "", json!({})).trace_id().to_owned();
        let services = ["gateway", "accounts", "catalog", "wallet", "sidecar"];
        let addresses = services.map(|it| app.url(it, "internal").replace("http://", ""));
        let targets: Vec<(&str, &str)> =
            services.into_iter().zip(addresses.iter().map(String::as_str)).collect();
        prometheus.scrape(&targets).unwrap();
        for (service, address) in targets {
            let target = eventually(&format!("{service} is scraped"), || {
                // The sample comes a bit after the target's health.
                let query = format!("up{{instance=\"{address}\"}}");
                let up = prometheus.query(&query).map_err(|it| it.to_string())?;
                if up.first().is_none_or(|it| it.value != 1.0) {
                    return Err(format!("{query}: {up:?}"));
                }
                let targets = prometheus.targets().map_err(|it| it.to_string())?;
                let up = |it: &&real::stack::Target| {
                    it.labels["instance"] == address && it.health == "up"
                };
                targets.iter().find(up).cloned().ok_or_else(|| format!("{targets:#?}"))
            });
            assert_eq!(target.labels["job"], format!("musicwallet/{service}"));
        }
        eventually("the exemplar of a request is there", || {
            let series = "http_server_request_duration_seconds_bucket{job=\"musicwallet/gateway\"}";
            let exemplars = prometheus.exemplars(series).map_err(|it| it.to_string())?;
            let found = exemplars.iter().any(|it| it.labels["trace_id"] == trace && it.value > 0.0);
            found.then_some(()).ok_or_else(|| format!("{trace} is not in {exemplars:#?}"))
        });
    }
}

#[test]
fn what_jaeger_has_accepted_outlives_its_crash() {
    let data = tempfile::tempdir().unwrap();
    let mut jaeger = Jaeger::start(Storage::Badger, Ports::Free, data.path()).unwrap();
    let address = jaeger.otlp_grpc().to_string();
    let sent = Command::new(tool("telemetrygen").unwrap())
        .args(["traces", "--otlp-insecure", "--otlp-endpoint", &address, "--traces", "500"])
        .args(["--child-spans", "3", "--service", "generated", "--workers", "1", "--rate", "0"])
        .output()
        .unwrap();
    assert!(sent.status.success(), "{sent:?}");
    let (place, id) = (jaeger.url(), jaeger.program.id());
    jaeger.program.kill();
    jaeger.program.start_again().unwrap();
    assert_eq!(jaeger.url(), place);
    assert_ne!(jaeger.program.id(), id);
    assert_eq!(jaeger.trace_ids("generated").unwrap().len(), 500);
}

#[test]
fn what_loki_has_accepted_outlives_its_crash() {
    let data = tempfile::tempdir().unwrap();
    let mut loki = Loki::start(Ports::Free, data.path()).unwrap();
    loki.send(&line("sold")).unwrap();
    loki.program.kill();
    loki.program.start_again().unwrap();
    found_by_trace(&loki, "shop", "sold");
}

#[test]
fn what_prometheus_has_scraped_outlives_its_crash() {
    let data = tempfile::tempdir().unwrap();
    let mut prometheus = Prometheus::start(Ports::Free, data.path()).unwrap();
    let itself = prometheus.url().replace("http://", "");
    prometheus.scrape(&[("itself", &itself)]).unwrap();
    let first = "min_over_time(timestamp(up)[5m:1s])";
    let before = eventually("it has scraped", || {
        prometheus.query(first).unwrap().first().map(|it| it.value).ok_or("nothing yet")
    });
    prometheus.program.kill();
    prometheus.program.start_again().unwrap();
    assert_eq!(prometheus.query(first).unwrap()[0].value, before);
}

#[test]
fn the_shipped_files_are_valid() {
    let data = tempfile::tempdir().unwrap();
    let jaeger = ["--config", "jaeger/jaeger.yaml"];
    let badger = ["--config", "jaeger/jaeger-badger.yaml"];
    let loki = ["-config.file=loki/loki.yaml", "-config.expand-env=true", "-verify-config"];
    let checks: [(&str, Vec<&str>); 4] = [
        ("jaeger", [&["validate"], &jaeger[..]].concat()),
        ("jaeger", [&["validate"], &jaeger[..], &badger[..]].concat()),
        ("loki", loki.to_vec()),
        ("promtool", vec!["check", "config", "prometheus/prometheus.yml"]),
    ];
    for (program, arguments) in checks {
        let mut command = Command::new(tool(program).unwrap());
        command.args(&arguments).current_dir(root());
        command.env("JAEGER_DATA", data.path()).env("LOKI_DATA", data.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    }
}

#[test]
fn a_usual_port_that_is_taken_is_named() {
    let data = tempfile::tempdir().unwrap();
    // Whether we get it or somebody else has it, it is taken.
    let _taken = TcpListener::bind("127.0.0.1:16686");
    let error = Jaeger::start(Storage::Memory, Ports::Usual, data.path()).err().unwrap();
    assert_eq!(
        format!("{error:#}"),
        "Jaeger cannot have port 16686 (queries by HTTP); end what uses it, or take free ports: \
         Address already in use (os error 98)"
    );
}

#[test]
fn each_waits_for_the_port_that_it_had() {
    let data = tempfile::tempdir().unwrap();
    let mut stack = Stack::start(Ports::Free, data.path()).unwrap();
    let urls =
        [stack.jaeger.url(), stack.loki.url(), stack.prometheus.url(), stack.alertmanager.url()];
    let [traces, logs, metrics, alerts] = urls;
    for (name, url, program) in [
        ("jaeger", traces, &mut stack.jaeger.program),
        ("loki", logs, &mut stack.loki.program),
        ("prometheus", metrics, &mut stack.prometheus.program),
        ("alertmanager", alerts, &mut stack.alertmanager.program),
    ] {
        program.kill();
        let taken = TcpListener::bind(url.replace("http://", "")).unwrap();
        thread::scope(|scope| {
            let started = scope.spawn(|| program.start_again());
            eventually(&format!("{name} finds its port taken"), || {
                let log = fs::read_to_string(data.path().join(format!("{name}.log"))).unwrap();
                if log.contains("address already in use") { Ok(()) } else { Err(log) }
            });
            drop(taken);
            started.join().unwrap().unwrap();
        });
    }
}

#[test]
fn data_that_another_stack_uses_is_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let _first = Prometheus::start(Ports::Free, data.path()).unwrap();
    let error = Prometheus::start(Ports::Free, data.path()).err().unwrap();
    let expected = format!(
        "Prometheus cannot have {}: another stack uses it",
        data.path().join("prometheus").display()
    );
    assert!(format!("{error:#}").starts_with(&expected), "{error:#}");
}

fn span(trace: &str) -> Value {
    let now = now();
    json!({ "resourceSpans": [{
        "resource": { "attributes": [text("service.name", "shop")] },
        "scopeSpans": [{ "spans": [{
            "traceId": trace, "spanId": "eee19b7ec3c1b174", "name": "sell", "kind": 2,
            "startTimeUnixNano": now, "endTimeUnixNano": now,
        }] }],
    }] })
}

fn line(body: &str) -> Value {
    let attributes = [
        ("service.name", "shop"),
        ("service.instance.id", "1"),
        ("deployment.environment.name", "test"),
    ];
    json!({ "resourceLogs": [{
        "resource": { "attributes": attributes.map(|(key, value)| text(key, value)) },
        "scopeLogs": [{ "logRecords": [{
            "timeUnixNano": now(), "severityNumber": 9, "body": { "stringValue": body },
            "traceId": TRACE, "spanId": "eee19b7ec3c1b174",
        }] }],
    }] })
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn now() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos().to_string()
}

fn found_by_trace(loki: &Loki, service: &str, text: &str) -> real::stack::Line {
    let query = format!("{{service_name=\"{service}\"}} | trace_id=\"{TRACE}\"");
    eventually("Loki has the line", || {
        let lines = loki.query(&query).map_err(|it| format!("{it:#}"))?;
        let found = lines.iter().find(|it| it.text == text).cloned();
        found.ok_or_else(|| format!("{query} finds {lines:#?}"))
    })
}
