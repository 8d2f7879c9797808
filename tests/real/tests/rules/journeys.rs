//! Which journey a request belongs to: the real Prometheus is asked about every operation of every document.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use real::stack::{Ports, Prometheus, Sample, tool};
use tokio::{net::TcpListener, runtime::Runtime};

use super::objectives::objectives;
use crate::harness::{App, Shape, eventually};

const SERVICES: [&str; 4] = ["gateway", "accounts", "catalog", "wallet"];
const HISTOGRAM: &str = "http_server_request_duration_seconds_count";

/// A metric with a series for each operation of a service.
fn exposition(app: &App, service: &str) -> String {
    let document = app.open(&format!("{}/openapi.json", app.url(service, "api"))).json;
    let mut lines = format!("# TYPE {HISTOGRAM} counter\n");
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let labels = format!("http_request_method=\"{method}\",http_route=\"{path}\"");
            writeln!(lines, "{HISTOGRAM}{{{labels}}} 1").unwrap();
        }
    }
    lines
}

#[test]
fn every_operation_belongs_to_a_journey_and_every_journey_has_objectives() {
    let app = App::start(Shape::One);
    let runtime = Runtime::new().unwrap();
    let mut operations = 0;
    let mut addresses = Vec::new();
    for service in SERVICES {
        let lines = exposition(&app, service);
        operations += lines.lines().count() - 1;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        addresses.push((service, listener.local_addr().unwrap().to_string()));
        let router = Router::new().route("/metrics", get(move || async { lines }));
        runtime.spawn(async { axum::serve(listener, router).await });
    }
    let data = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(Ports::Free, data.path()).unwrap();
    let targets: Vec<(&str, &str)> = addresses.iter().map(|(a, b)| (*a, b.as_str())).collect();
    prometheus.scrape(&targets).unwrap();

    let deadline = Instant::now() + Duration::from_secs(60);
    let series = loop {
        let series = prometheus.query(HISTOGRAM).unwrap();
        if series.len() == operations {
            break series;
        }
        let there = series.len();
        assert!(Instant::now() < deadline, "{there} series instead of {operations}");
        thread::sleep(Duration::from_millis(200));
    };
    let mut journeys: BTreeMap<(String, String), usize> = BTreeMap::new();
    for Sample { labels, .. } in series {
        let journey = labels.get("journey");
        let journey =
            journey.unwrap_or_else(|| panic!("prometheus.yml gives no journey to {labels:?}"));
        *journeys.entry((labels["service_name"].clone(), journey.clone())).or_default() += 1;
    }
    eprintln!("{operations} operations: {journeys:?}");
    let of = |kind: &str| -> BTreeSet<(String, String)> {
        let all = objectives().into_iter().filter(|it| it.kind == kind);
        all.map(|it| (it.service, it.journey)).collect()
    };
    assert_eq!(of("availability"), journeys.keys().cloned().collect());
    // Files take as long as they are.
    let timed = journeys.into_keys().filter(|(_, journey)| journey != "import");
    assert_eq!(of("latency"), timed.collect());
}

/// What promtool complains of, and why it stays.
const COMPLAINT: &str = "db_client_connection_count non-histogram and non-summary metrics should not have \"_count\" suffix";

#[test]
fn promtool_finds_nothing_in_our_metrics_but_a_name_of_the_semantic_conventions() {
    let mut app = App::start(Shape::One);
    let token = app.someone("metra");
    app.get("/api/musics", &token);
    app.start_prober();
    eventually("the prober has walked", || {
        app.metric("prober", "prober_success").ok_or("it is on its way")
    });
    for service in SERVICES.into_iter().chain(["sidecar", "prober"]) {
        let metrics = app.internal(service, "/metrics").text;
        assert!(metrics.lines().count() > 50, "{service}: {metrics}");
        let mut promtool = Command::new(tool("promtool").unwrap());
        promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut promtool = promtool.stdout(Stdio::null()).spawn().unwrap();
        promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
        let said = promtool.wait_with_output().unwrap().stderr;
        let said = String::from_utf8(said).unwrap();
        let wrong: Vec<_> = said.lines().filter(|it| *it != COMPLAINT).collect();
        assert!(wrong.is_empty(), "{service}: {wrong:#?}");
    }
}

#[test]
fn the_objectives_are_those_that_were_agreed() {
    for it in objectives() {
        let expected = match (it.kind.as_str(), it.journey.as_str()) {
            ("availability", _) => (99.9, None),
            ("latency", "read") => (99.0, Some(0.1)),
            ("latency", "write") => (99.0, Some(0.25)),
            ("latency", "sign_in") => (99.0, Some(0.5)),
            other => panic!("nobody has agreed to {other:?}"),
        };
        assert_eq!((it.percent, it.bound), expected, "{}", it.id);
    }
}
