//! The second way for lines: nothing is lost in silence, nothing grows, and nobody waits, whatever the receiver does.

#[path = "sink/pushes.rs"]
mod pushes;
#[expect(dead_code, reason = "it can misbehave in more ways than are needed here")]
mod sink;

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, routing::get};
use http::Request;
use pushes::{Pushes, Takes};
use sink::{Answer, Sink};
use telemetry::{Config, Export, Sampling, ServerLayer, Stdout, Telemetry};
use tokio::runtime::Runtime;
use tower::ServiceExt;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn config(service: &str, loki: &str) -> Config {
    Config {
        service: service.to_owned(),
        version: "1".to_owned(),
        instance: "i".to_owned(),
        environment: "test".to_owned(),
        attributes: Vec::new(),
        export: None,
        loki: Some(loki.to_owned()),
        sampling: Sampling { parent_based: true, ratio: 1.0 },
        filter: "info".parse().unwrap(),
        requests: true,
    }
}

/// A service and its runtime.
fn start(config: &Config) -> (Telemetry, Runtime) {
    let telemetry = Telemetry::start(config, &Stdout::none()).unwrap();
    let runtime = telemetry.runtime(2).unwrap();
    (telemetry, runtime)
}

/// Writes lines, on a thread of the service.
fn write(runtime: &Runtime, count: u64) {
    let lines = runtime.spawn(async move { (0..count).for_each(|n| tracing::info!(n, "line")) });
    runtime.block_on(lines).unwrap();
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Books {
    fed: u64,
    acknowledged: u64,
    failed: u64,
    withheld: u64,
    in_flight: u64,
}

fn books(telemetry: &Telemetry) -> Books {
    let (_, text) = telemetry.render(None);
    let sum = |family: &str| -> u64 {
        let series =
            text.lines().filter(|line| line.starts_with(&format!("telemetry_loki_{family}")));
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    // What is in flight is read with the rest, but moves on meanwhile: only what has come to rest adds up.
    Books {
        fed: sum("fed"),
        acknowledged: sum("acknowledged"),
        failed: sum("failed"),
        withheld: sum("withheld"),
        in_flight: sum("in_flight"),
    }
}

fn failed(telemetry: &Telemetry, reason: &str) -> u64 {
    let (_, text) = telemetry.render(None);
    let series = format!("telemetry_loki_failed_lines_total{{reason=\"{reason}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&series));
    value.unwrap_or_else(|| panic!("no {series} in:\n{text}")).parse().unwrap()
}

/// Polls, 20 s at most.
fn until(what: &str, telemetry: &Telemetry, reached: impl Fn(&Books) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let books = books(telemetry);
        if reached(&books) {
            return;
        }
        assert!(Instant::now() < deadline, "never: {what}; {books:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Writes single lines until one is fed: then the gate is open.
fn opens(telemetry: &Telemetry, runtime: &Runtime) {
    let before = books(telemetry).fed;
    until("a line is fed", telemetry, |books| {
        let fed = books.fed > before;
        if !fed {
            write(runtime, 1);
        }
        fed
    });
}

/// Ends it; then nothing is in flight and the books balance.
fn end(telemetry: &Telemetry, runtime: Runtime) -> Books {
    let begun = Instant::now();
    telemetry.shutdown(Duration::from_secs(3));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "the end took {took:?}");
    runtime.shutdown_background();
    let books = books(telemetry);
    assert_eq!(books.fed, books.acknowledged + books.failed, "{books:?}");
    assert_eq!(books.in_flight, 0, "{books:?}");
    books
}

#[test]
fn the_lines_of_a_request_have_its_ids_and_the_other_way_does_not_change() {
    let (pushes, otlp) = (Pushes::start(Takes::All), Sink::start(Answer::Accept));
    let export = Export {
        endpoint: otlp.endpoint.clone(),
        timeout: Duration::from_secs(5),
        delay: Duration::from_millis(20),
        trace_queue: 600,
        log_queue: 600,
        traces: true,
        logs: true,
    };
    // A filter that lets through none of the lines' surroundings.
    let filter = "off,loki=info,http=info".parse().unwrap();
    let config = Config { export: Some(export), filter, ..config("orders", &pushes.url) };
    let (telemetry, runtime) = start(&config);
    opens(&telemetry, &runtime);
    let handler = async || {
        tokio::task::yield_now().await;
        let span = tracing::info_span!("place order", order.size = 2);
        span.in_scope(|| tracing::warn!(order = 7, "placed"));
    };
    let app = Router::new()
        .route("/orders/{id}", get(handler))
        .layer(ServerLayer::new(&telemetry, false));
    let request = Request::get("/orders/7")
        .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"))
        .body(Body::empty())
        .unwrap();
    runtime.block_on(runtime.spawn(app.oneshot(request))).unwrap().unwrap();
    let books = end(&telemetry, runtime);
    assert_eq!((books.failed, books.fed), (0, pushes.lines().len() as u64));

    let lines = pushes.lines();
    let line = |message: &str| lines.iter().find(|it| it.json["message"] == message).unwrap();
    let (placed, request) = (line("placed"), line("request"));
    assert_eq!(placed.json["trace_id"], TRACE);
    assert_eq!(placed.json["trace_id"], request.json["trace_id"]);
    assert_eq!(placed.json["span_id"], request.json["span_id"]);
    assert_eq!((&placed.json["order"], &placed.json["order.size"]), (&7.into(), &2.into()));
    assert_eq!(request.json["http.route"], "/orders/{id}");
    for part in
        [r#"service_name="orders""#, r#"deployment_environment_name="test""#, r#"level="warn""#]
    {
        assert!(placed.labels.contains(part), "{part} is not in {}", placed.labels);
    }

    let spans = otlp.spans();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["place order", "GET /orders/{id}"]);
    assert_eq!(spans[0].parent, spans[1].id);
    assert_eq!(request.json["span_id"], spans[1].id.as_str());
    let logs = otlp.logs();
    let line = |body: &str| logs.iter().find(|line| line.body == body).unwrap();
    assert_eq!((&line("placed").trace, &line("placed").span), (&spans[1].trace, &spans[0].id));
    assert_eq!((&line("request").trace, &line("request").span), (&spans[1].trace, &spans[1].id));
}

#[test]
fn of_a_burst_everything_arrives_that_was_fed_and_the_rest_is_counted() {
    let pushes = Pushes::start(Takes::All);
    let (telemetry, runtime) = start(&config("orders", &pushes.url));
    opens(&telemetry, &runtime);
    let before = books(&telemetry);
    write(&runtime, 40_000);
    let after = end(&telemetry, runtime);
    assert_eq!(after.fed + after.withheld - before.fed - before.withheld, 40_000);
    assert_eq!((after.failed, after.fed), (0, pushes.lines().len() as u64));
    eprintln!("of 40,000 lines at once {} were fed, and arrived", after.fed - before.fed);
}

#[test]
fn nothing_is_fed_before_the_receiver_answers() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let (telemetry, runtime) = start(&config("orders", &format!("http://{address}")));
    write(&runtime, 1000);
    let expected = Books { withheld: 1000, ..Books::default() };
    assert_eq!(books(&telemetry), expected);
    let pushes = Pushes::at(address, Takes::All);
    opens(&telemetry, &runtime);
    write(&runtime, 100);
    let books = end(&telemetry, runtime);
    assert_eq!((books.failed, books.fed), (0, pushes.lines().len() as u64));
    assert!(books.withheld >= 1000 && books.fed > 100, "{books:?}");
}

#[test]
fn a_receiver_that_never_answers_holds_a_bounded_number_of_lines_and_no_end_up() {
    let pushes = Pushes::start(Takes::Silent);
    let (telemetry, runtime) = start(&config("orders", &pushes.url));
    opens(&telemetry, &runtime);
    let begun = Instant::now();
    let mut most = 0;
    for _ in 0..100 {
        write(&runtime, 1000);
        most = most.max(books(&telemetry).in_flight);
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(30), "100,000 lines took {took:?}");
    assert!(most <= 4096, "{most} lines are in flight");
    let books = end(&telemetry, runtime);
    assert_eq!((books.acknowledged, books.failed), (0, books.fed));
    assert_eq!(failed(&telemetry, "timeout"), books.fed);
    assert!(books.fed <= 2 * 4096 && books.withheld > 80_000, "{books:?}");
    eprintln!("of 100,000 lines {most} at most were in flight, {} were fed", books.fed);
}

#[test]
fn what_a_receiver_refuses_for_a_while_is_tried_again_and_acknowledged() {
    let pushes = Pushes::start(Takes::None(503));
    let (telemetry, runtime) = start(&config("orders", &pushes.url));
    opens(&telemetry, &runtime);
    // The gate notices, and closes.
    until("lines are withheld", &telemetry, |books| {
        write(&runtime, 1);
        books.withheld >= 10 && books.in_flight > 0
    });
    pushes.now(Takes::All);
    opens(&telemetry, &runtime);
    until("all are acknowledged", &telemetry, |it| it.fed == it.acknowledged + it.failed);
    let books = end(&telemetry, runtime);
    assert_eq!(books.fed, pushes.lines().len() as u64 + books.failed, "{books:?}");
    assert!(books.acknowledged > 0, "{books:?}");
}

#[test]
fn a_line_that_is_refused_takes_its_shipment_with_it_and_not_the_next() {
    let pushes = Pushes::start(Takes::Not("poison"));
    let (telemetry, runtime) = start(&config("orders", &pushes.url));
    opens(&telemetry, &runtime);
    until("it is acknowledged", &telemetry, |books| books.in_flight == 0);
    runtime.block_on(runtime.spawn(async { tracing::info!("poison") })).unwrap();
    until("it is given up", &telemetry, |books| books.failed > 0);
    write(&runtime, 10);
    until("the next are acknowledged", &telemetry, |books| books.in_flight == 0);
    let books = end(&telemetry, runtime);
    assert_eq!(failed(&telemetry, "refused"), books.failed);
    assert_eq!((books.failed, books.acknowledged), (1, pushes.lines().len() as u64), "{books:?}");
}

#[test]
fn a_receiver_that_dies_costs_no_more_than_what_is_counted() {
    let pushes = Pushes::start(Takes::All);
    let (telemetry, runtime) = start(&config("orders", &pushes.url));
    opens(&telemetry, &runtime);
    write(&runtime, 200);
    until("some are acknowledged", &telemetry, |books| books.acknowledged > 0);
    let url = pushes.url.clone();
    write(&runtime, 200);
    let first = pushes.end();
    until("the gate closes", &telemetry, |books| {
        write(&runtime, 1);
        books.withheld > 100
    });
    let again = Pushes::at(url.trim_start_matches("http://").parse().unwrap(), Takes::All);
    opens(&telemetry, &runtime);
    until("all that can be is acknowledged", &telemetry, |books| books.in_flight == 0);
    let books = end(&telemetry, runtime);
    let arrived = (first.len() + again.lines().len()) as u64;
    // What failed may have arrived, and a line whose answer was lost can arrive twice; what is acknowledged has arrived.
    assert!(books.acknowledged <= arrived, "{books:?}, {arrived} arrived");
    eprintln!("{books:?}, {arrived} arrived");
}

#[test]
fn shipping_ships_nothing_about_itself() {
    let pushes = Pushes::start(Takes::All);
    let config = Config { filter: "trace".parse().unwrap(), ..config("orders", &pushes.url) };
    let (telemetry, runtime) = start(&config);
    opens(&telemetry, &runtime);
    until("they are acknowledged", &telemetry, |books| books.in_flight == 0);
    let before = books(&telemetry);
    let asked = pushes.asked();
    // What a service's own calls let hyper say is not shipped either.
    let url = format!("{}/loki/api/v1/push", pushes.url);
    let call = runtime.spawn(async move {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.post(url).header("content-type", "application/json").send().await.unwrap();
    });
    runtime.block_on(call).unwrap();
    assert_eq!(pushes.asked(), asked + 1);
    assert_eq!(books(&telemetry), before);
    let lines = pushes.lines();
    assert!(lines.iter().all(|line| line.json["message"] == "line"), "{lines:?}");
    end(&telemetry, runtime);
}

#[test]
fn two_services_of_a_process_ship_their_own_lines() {
    let pushes = Pushes::start(Takes::All);
    let services = ["one", "two"].map(|name| start(&config(name, &pushes.url)));
    for (telemetry, runtime) in &services {
        opens(telemetry, runtime);
        write(runtime, 50);
    }
    let fed = services.map(|(telemetry, runtime)| end(&telemetry, runtime).fed);
    let of = |name: &str| {
        let label = format!("service_name=\"{name}\"");
        pushes.lines().iter().filter(|line| line.labels.contains(&label)).count() as u64
    };
    assert_eq!(fed, [of("one"), of("two")]);
}
