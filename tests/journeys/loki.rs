//! Lines that leave by tracing-loki, too: found by the same trace, counted at both ends, and none about themselves.

use std::collections::BTreeMap;

use serde_json::json;

use crate::harness::{App, Shape, eventually};

const SERVICES: [&str; 4] = ["gateway", "accounts", "catalog", "wallet"];

/// MusicWallet that ships to its agent, and somebody's token; all gates are open.
fn start(shape: Shape, more: &[(&str, &str)]) -> (App, String) {
    let (app, ada) = App::start_shipping(shape, more);
    eventually("all gates are open", || {
        call(&app, &ada);
        let fed = SERVICES.map(|service| of(&app, service, "fed"));
        if fed.iter().all(|it| *it > 0.0) { Ok(()) } else { Err(format!("{fed:?}")) }
    });
    (app, ada)
}

/// Calls of which every service writes a line; the trace of the one that asks the catalog.
fn call(app: &App, token: &str) -> String {
    assert_eq!(app.get("/api/users/", token).status, 200);
    let songs = app.get("/api/musics/?limit=1", &app.token("ada"));
    assert_eq!(songs.status, 200);
    songs.trace_id().to_owned()
}

/// A term of the books of a service, of all its reasons.
fn of(app: &App, service: &str, term: &str) -> f64 {
    let text = app.internal(service, "/metrics").text;
    let family = format!("telemetry_loki_{term}_lines");
    let series = text.lines().filter(|line| line.starts_with(&family));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

fn total(app: &App, term: &str) -> f64 {
    SERVICES.iter().map(|service| of(app, service, term)).sum()
}

fn arrived(app: &App) -> f64 {
    app.metric("sidecar", "sidecar_pushed_lines_total").unwrap()
}

/// Waits until nothing is in flight: fed, acknowledged and failed lines of all services.
fn at_rest(app: &App) -> [f64; 3] {
    eventually("nothing is in flight", || {
        let waiting = total(app, "in_flight");
        if waiting == 0.0 { Ok(()) } else { Err(waiting) }
    });
    let books = ["fed", "acknowledged", "failed"].map(|term| total(app, term));
    assert_eq!(books[0], books[1] + books[2], "{books:?}");
    books
}

#[test]
fn a_line_is_found_by_its_trace_whichever_way_it_came_and_all_that_was_fed_arrives() {
    for shape in [Shape::One, Shape::Each] {
        let (mut app, ada) = start(shape, &[]);
        let id = call(&app, &ada);
        eventually("the console has lines of both ways of each service", || {
            let page = app.console(&format!("/logs?trace={id}")).text;
            let list = page.split_once("<ol>").map_or("", |(_, list)| list);
            let mut ways = BTreeMap::new();
            for line in list.split("<li").skip(1) {
                let service = SERVICES.iter().find(|it| line.contains(&format!(">{it}</span>")));
                let loki = line.contains("_target"); // of the library's JSON
                *ways.entry((service, loki)).or_insert(0) += 1;
            }
            // The gateway, the catalog, and accounts, by either way: once each at least, as often one way as the other.
            let same =
                ways.iter().all(|((it, loki), count)| ways.get(&(*it, !loki)) == Some(count));
            if ways.len() == 6 && same { Ok(()) } else { Err(format!("{ways:?}")) }
        });
        let lines = app.process("gateway").logs();
        let twice = lines.iter().filter(|line| {
            let message = line["message"].as_str().unwrap();
            line["service"] == "gateway" && message.starts_with("log lines leave twice")
        });
        assert_eq!(twice.count(), 1, "{lines:#?}");
        let of_request = lines.iter().find(|it| it["trace_id"] == json!(id)).unwrap();
        let keys: Vec<_> = of_request.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "duration_ms",
                "http.request.method",
                "http.response.status_code",
                "http.route",
                "level",
                "message",
                "service",
                "span_id",
                "target",
                "timestamp",
                "trace_id"
            ],
            "a line on stdout is what it is without LOKI_URL"
        );
        let [fed, acknowledged, failed] = at_rest(&app);
        assert_eq!((failed, acknowledged, arrived(&app)), (0.0, fed, fed), "{shape:?}");
        app.stop();
    }
}

#[test]
fn with_the_agent_killed_in_between_the_loss_is_what_the_services_say() {
    let (mut app, ada) = start(Shape::Each, &[("OTEL_LOGS_EXPORTER", "none")]);
    at_rest(&app);
    let before = arrived(&app);
    app.kill("sidecar");
    eventually("the gates close", || {
        call(&app, &ada);
        let withheld = SERVICES.map(|service| of(&app, service, "withheld"));
        if withheld.iter().all(|it| *it > 5.0) { Ok(()) } else { Err(format!("{withheld:?}")) }
    });
    app.restart("sidecar");
    let fed = total(&app, "fed");
    eventually("the gates open again", || {
        call(&app, &ada);
        let more = total(&app, "fed") - fed;
        if more > 8.0 { Ok(()) } else { Err(more) }
    });
    let [fed, _, failed] = at_rest(&app);
    let arrived = before + arrived(&app);
    // Counted from both ends. Nothing was under way when the agent died, so nothing arrived twice or unknown.
    assert_eq!(fed - arrived, failed);
    eprintln!("{fed} fed, {arrived} arrived, {failed} failed");
    let id = call(&app, &ada);
    eventually("a line is found by its trace", || {
        let page = app.console(&format!("/logs?trace={id}")).text;
        if page.contains("_target") { Ok(()) } else { Err(page) }
    });
    for service in SERVICES {
        let otlp = "telemetry_enqueued_items_total{signal=\"logs\"}";
        assert_eq!(app.metric(service, otlp), None, "{service} has no other way for lines");
    }
    app.stop();
}

#[test]
fn with_the_agent_gone_requests_are_served_and_the_end_does_not_wait_for_it() {
    let (mut app, ada) = start(Shape::Each, &[]);
    app.kill("sidecar");
    for _ in 0..20 {
        call(&app, &ada);
    }
    for process in app.processes[1..].iter_mut().rev() {
        assert!(process.terminate().success()); // within the harness's patience
    }
    let gateway = app.processes.last().unwrap().logs();
    let told = |line: &&serde_json::Value| line["fed"].is_u64() && line["in_flight"] == 0;
    let last = gateway.iter().find(told).unwrap_or_else(|| panic!("{gateway:#?}"));
    let term = |name: &str| last[name].as_u64().unwrap();
    assert_eq!(term("fed"), term("acknowledged") + term("failed"), "{last}");
    assert!(term("withheld") > 0, "{last}");
}

#[test]
fn shipping_lines_writes_none() {
    let (app, _) = start(Shape::One, &[("RUST_LOG", "trace")]);
    let fed = at_rest(&app);
    for _ in 0..20 {
        app.console("/");
        app.internal("gateway", "/health/ready");
    }
    assert_eq!(at_rest(&app), fed);
}

#[test]
fn a_push_by_another_method_is_counted_as_every_request_to_no_address() {
    let app = App::start(Shape::One);
    let url = format!("{}/loki/api/v1/push", app.url("sidecar", "otlp-http"));
    assert_eq!(app.open(&url).status, 405);
    let series = "sidecar_refused_requests_total{reason=\"address\"}";
    assert_eq!(app.metric("sidecar", series), Some(1.0));
}
