//! Which journey a request belongs to: the real Prometheus is asked about every operation of every document.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use real::stack::{Ports, Prometheus, Sample};
use tokio::{net::TcpListener, runtime::Runtime};

use super::objectives::objectives;
use crate::harness::{App, Shape};

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
