//! What a service hands over arrives, with its ids; what cannot arrive is counted, to the unit, and nobody waits for it.

mod sink;

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, routing::get};
use http::{Method, Request};
use opentelemetry::trace::Status;
use sink::{Answer, Sink};
use telemetry::{Config, DbCall, Export, Sampling, ServerLayer, Stdout, Telemetry};
use tower::ServiceExt;

const QUEUE: usize = 600;

const STATEMENT: DbCall<'_> =
    DbCall { system: "sqlite", namespace: "test", summary: "SELECT x", text: "SELECT 1" };

fn start(service: &str, endpoint: &str) -> Telemetry {
    start_with(service, endpoint, Duration::from_secs(5), [true, true])
}

/// `signals`: whether it has traces, and logs.
fn start_with(
    service: &str,
    endpoint: &str,
    timeout: Duration,
    [traces, logs]: [bool; 2],
) -> Telemetry {
    let config = Config {
        service: service.to_owned(),
        version: "1".to_owned(),
        instance: "i".to_owned(),
        environment: "test".to_owned(),
        attributes: Vec::new(),
        export: Some(Export {
            endpoint: endpoint.to_owned(),
            timeout,
            delay: Duration::from_millis(20),
            trace_queue: QUEUE,
            log_queue: QUEUE,
            traces,
            logs,
        }),
        loki: None,
        sampling: Sampling { parent_based: true, ratio: 1.0 },
        filter: "info".parse().unwrap(),
        requests: true,
    };
    Telemetry::start(&config, &Stdout::none()).unwrap()
}

fn statement(telemetry: &Telemetry) {
    telemetry.db_span(&STATEMENT).end(None);
}

/// The value of a series, by the beginning of its line.
fn metric(telemetry: &Telemetry, series: &str) -> f64 {
    let (_, text) = telemetry.render(None);
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.unwrap_or_else(|| panic!("no {series} in:\n{text}")).trim().parse().unwrap()
}

fn total(telemetry: &Telemetry, family: &str) -> f64 {
    let (_, text) = telemetry.render(None);
    let series = text.lines().filter(|line| {
        line.starts_with(&format!("{family}{{")) && line.contains("signal=\"traces\"")
    });
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

fn assert_balanced(telemetry: &Telemetry) {
    let enqueued = total(telemetry, "telemetry_enqueued_items_total");
    let terms = [
        "telemetry_exported_items_total",
        "telemetry_dropped_items_total",
        "telemetry_failed_items_total",
        "telemetry_queue_items",
    ];
    let sum: f64 = terms.iter().map(|family| total(telemetry, family)).sum();
    assert_eq!(enqueued, sum, "{}", telemetry.render(None).1);
}

/// Polls, 10 s at most; the last state is in the panic.
fn until(telemetry: &Telemetry, series: &str, value: f64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while metric(telemetry, series) != value {
        assert!(Instant::now() < deadline, "{series} never {value}: {}", telemetry.render(None).1);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_request_its_statement_its_business_span_and_their_lines_are_one_trace() {
    let sink = Sink::start(Answer::Accept);
    let telemetry = start("orders", &sink.endpoint);
    let runtime = telemetry.runtime(1).unwrap();
    let handler = {
        let telemetry = telemetry.clone();
        async move || {
            let span = tracing::info_span!("place order", order.size = 2);
            let _entered = span.enter();
            statement(&telemetry);
            tracing::info!(order = 7, "placed");
        }
    };
    let app = Router::new()
        .route("/orders/{id}", get(handler))
        .layer(ServerLayer::new(&telemetry, false));
    let request = Request::get("/orders/7?q=secret")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .body(Body::empty())
        .unwrap();
    let answer = runtime.block_on(runtime.spawn(app.oneshot(request))).unwrap().unwrap();
    assert_eq!(answer.headers()["x-trace-id"], "0af7651916cd43dd8448eb211c80319c");
    telemetry.shutdown(Duration::from_secs(5));

    let (spans, logs) = (sink.spans(), sink.logs());
    let by_name = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let server = by_name("GET /orders/{id}");
    let (business, sql) = (by_name("place order"), by_name("SELECT x"));
    assert_eq!(spans.len(), 3);
    assert!(spans.iter().all(|span| span.service == "orders"));
    assert!(spans.iter().all(|span| span.trace == "0af7651916cd43dd8448eb211c80319c"));
    assert_eq!(server.parent, "b7ad6b7169203331");
    assert_eq!((&business.parent, &sql.parent), (&server.id, &business.id));
    assert!(!format!("{spans:?}").contains("secret"), "{spans:?}");
    let line = |body: &str| logs.iter().find(|line| line.body == body).unwrap();
    assert_eq!((&line("placed").trace, &line("placed").span), (&server.trace, &business.id));
    assert_eq!((&line("request").trace, &line("request").span), (&server.trace, &server.id));
    let (kind, text) = telemetry.render(Some("application/openmetrics-text"));
    assert!(kind.starts_with("application/openmetrics-text"));
    let bucket = text.lines().find(|line| line.contains("0af7651916cd43dd8448eb211c80319c"));
    let bucket = bucket.unwrap_or_else(|| panic!("no exemplar in:\n{text}"));
    assert!(bucket.contains("http_route=\"/orders/{id}\""), "{bucket}");
    assert!(text.ends_with("# EOF\n"));
    assert_eq!(metric(&telemetry, "telemetry_exported_items_total{signal=\"traces\"}"), 3.0);
    assert_balanced(&telemetry);
    runtime.shutdown_background();
}

#[test]
fn a_signal_that_nobody_wants_is_not_sent_and_lines_have_their_ids_all_the_same() {
    let request = async |telemetry: &Telemetry, runtime: &tokio::runtime::Runtime| {
        let app =
            Router::new().route("/", get(|| async {})).layer(ServerLayer::new(telemetry, false));
        let request = Request::get("/").body(Body::empty()).unwrap();
        let answer = runtime.spawn(app.oneshot(request)).await.unwrap().unwrap();
        answer.headers()["x-trace-id"].to_str().unwrap().to_owned()
    };
    for (traces, logs) in [(true, false), (false, true)] {
        let sink = Sink::start(Answer::Accept);
        let telemetry =
            start_with("orders", &sink.endpoint, Duration::from_secs(5), [traces, logs]);
        let runtime = telemetry.runtime(1).unwrap();
        let id = runtime.block_on(request(&telemetry, &runtime));
        telemetry.shutdown(Duration::from_secs(5));
        let spans: Vec<_> = sink.spans().into_iter().map(|span| span.trace).collect();
        let lines: Vec<_> = sink.logs().into_iter().map(|line| line.trace).collect();
        let expected = |there: bool| if there { vec![id.clone()] } else { Vec::new() };
        assert_eq!((spans, lines), (expected(traces), expected(logs)));
        runtime.shutdown_background();
    }
}

#[test]
fn a_traceparent_from_outside_is_a_link_and_never_a_parent() {
    let sink = Sink::start(Answer::Accept);
    let telemetry = start("edge", &sink.endpoint);
    let runtime = telemetry.runtime(1).unwrap();
    let app = Router::new().route("/", get(|| async {})).layer(ServerLayer::new(&telemetry, true));
    // Not sampled, says the stranger; that is not theirs to decide.
    let request = Request::get("/")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
        .body(Body::empty())
        .unwrap();
    runtime.block_on(runtime.spawn(app.oneshot(request))).unwrap().unwrap();
    telemetry.shutdown(Duration::from_secs(5));
    let spans = sink.spans();
    let [span] = spans.as_slice() else { panic!("{spans:?}") };
    assert_ne!(span.trace, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(span.parent, "");
    assert_eq!(span.links, ["0af7651916cd43dd8448eb211c80319c"]);
    runtime.shutdown_background();
}

#[test]
fn what_a_stranger_writes_makes_no_large_spans() {
    let (telemetry, captured) = telemetry::testing::capture("edge");
    let runtime = telemetry.runtime(1).unwrap();
    let app = Router::new().route("/", get(|| async {})).layer(ServerLayer::new(&telemetry, true));
    // hyper takes 64 KiB of each; the state is as long as the propagator bears.
    let state = (0..31).map(|at| format!("k{at}={}", "v".repeat(200))).collect::<Vec<_>>();
    let request = Request::get(format!("/{}", "p".repeat(60 << 10)))
        .header("host", format!("{}:80", "h".repeat(60 << 10)))
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("tracestate", state.join(","))
        .body(Body::empty())
        .unwrap();
    runtime.block_on(runtime.spawn(app.oneshot(request))).unwrap().unwrap();
    let spans = captured.take();
    let text = |key: &str| {
        let found = spans[0].attributes.iter().find(|it| it.key.as_str() == key);
        found.unwrap_or_else(|| panic!("no {key}")).value.as_str().into_owned()
    };
    assert_eq!(text("url.path").len(), 1 << 10);
    assert_eq!(text("server.address"), "h".repeat(1 << 10));
    let link = &spans[0].links[0].span_context;
    assert_eq!(link.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(link.trace_state().header(), "");
    runtime.shutdown_background();
}

#[test]
fn a_cancelled_request_and_a_failed_one_have_their_type_and_only_the_failed_one_is_an_error() {
    let sink = Sink::start(Answer::Accept);
    let telemetry = start("orders", &sink.endpoint);
    let runtime = telemetry.runtime(1).unwrap();
    let app = Router::new()
        .route("/slow", get(std::future::pending::<()>))
        .route("/broken", get(|| async { http::StatusCode::SERVICE_UNAVAILABLE }))
        .layer(ServerLayer::new(&telemetry, false));
    let slow = app.clone().oneshot(Request::get("/slow").body(Body::empty()).unwrap());
    let broken = app.oneshot(Request::get("/broken").body(Body::empty()).unwrap());
    runtime.block_on(async {
        assert!(tokio::time::timeout(Duration::from_millis(20), slow).await.is_err());
        broken.await.unwrap();
    });
    telemetry.shutdown(Duration::from_secs(5));
    let mut errors: Vec<_> =
        sink.spans().into_iter().map(|span| (span.name, span.error_type, span.failed)).collect();
    errors.sort();
    let expected = [("GET /broken", "503", true), ("GET /slow", "cancelled", false)];
    assert_eq!(errors, expected.map(|(name, error, bad)| (name.to_owned(), error.to_owned(), bad)));
    let labels = "{http_request_method=\"GET\",http_route=\"/slow\",http_response_status_code=\"\",error_type=\"cancelled\"}";
    let count = format!("http_server_request_duration_seconds_count{labels}");
    assert_eq!(metric(&telemetry, &count), 1.0);
    assert_eq!(metric(&telemetry, "http_server_active_requests"), 0.0);
    runtime.shutdown_background();
}

#[test]
fn what_a_sampler_records_against_the_parent_has_its_attributes() {
    let (telemetry, captured) = telemetry::testing::capture("all"); // `always_on`, not `parentbased_always_on`
    let runtime = telemetry.runtime(1).unwrap();
    let handler = {
        let telemetry = telemetry.clone();
        async move || statement(&telemetry)
    };
    let app = Router::new().route("/", get(handler)).layer(ServerLayer::new(&telemetry, false));
    let request = Request::get("/")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
        .body(Body::empty())
        .unwrap();
    runtime.block_on(runtime.spawn(app.oneshot(request))).unwrap().unwrap();
    let spans = captured.take();
    let has = |span: usize, key| spans[span].attributes.iter().any(|it| it.key.as_str() == key);
    assert!(has(0, "db.query.text") && has(1, "http.route"), "{spans:?}");
    runtime.shutdown_background();
}

#[test]
fn a_client_span_is_the_parent_that_the_next_service_sees() {
    let (telemetry, captured) = telemetry::testing::capture("caller");
    let url = reqwest::Url::parse("http://127.0.0.1:9/musics/7?search=private").unwrap();
    let mut headers = http::HeaderMap::new();
    let span = telemetry.client_span(&Method::GET, "/musics/{id}", &url);
    span.inject(&mut headers);
    span.end(Ok(http::StatusCode::NOT_FOUND));
    drop(telemetry.client_span(&Method::GET, "/musics/{id}", &url));
    drop(telemetry.db_span(&STATEMENT));
    let spans = captured.take();
    let parent = headers["traceparent"].to_str().unwrap();
    assert!(parent.contains(&spans[0].span_context.span_id().to_string()), "{parent}");
    assert_eq!(spans[0].name, "GET /musics/{id}");
    assert_eq!(spans[0].status, Status::error(""));
    assert_eq!([&spans[1].status, &spans[2].status], [&Status::Unset; 2], "given up is no error");
    let shown = format!("{spans:?}");
    assert!(!shown.contains("private") && shown.contains("404") && shown.contains("cancelled"));
}

#[test]
fn two_services_in_one_process_stay_themselves() {
    let sink = Sink::start(Answer::Accept);
    let services = ["one", "two"].map(|name| start(name, &sink.endpoint));
    let runtimes = services.each_ref().map(|it| it.runtime(2).unwrap());
    let work = |name: &'static str| async move {
        for _ in 0..100 {
            tracing::info!("from {name}");
            metrics::counter!("calls_total").increment(1);
            let blocking = tokio::task::spawn_blocking(move || {
                tracing::info!("from {name}");
                metrics::counter!("calls_total").increment(1);
            });
            blocking.await.unwrap();
        }
    };
    let tasks = [runtimes[0].spawn(work("one")), runtimes[1].spawn(work("two"))];
    for (runtime, task) in runtimes.iter().zip(tasks) {
        runtime.block_on(task).unwrap();
    }
    for service in &services {
        service.shutdown(Duration::from_secs(5));
        assert_eq!(metric(service, "calls_total"), 200.0);
    }
    let logs = sink.logs();
    assert_eq!(logs.len(), 400);
    assert!(logs.iter().all(|line| line.body == format!("from {}", line.service)), "{logs:?}");
    runtimes.into_iter().for_each(tokio::runtime::Runtime::shutdown_background);
}

#[test]
fn with_the_collector_refused_every_span_is_counted_as_failed() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let telemetry = start("orders", &endpoint);
    (0..100).for_each(|_| statement(&telemetry));
    let failed = "telemetry_failed_items_total{signal=\"traces\",reason=\"unreachable\"}";
    until(&telemetry, failed, 100.0);
    until(&telemetry, "telemetry_queue_items{signal=\"traces\"}", 0.0);
    assert_balanced(&telemetry);
    telemetry.shutdown(Duration::from_secs(2));
    assert_balanced(&telemetry);
}

#[test]
fn a_silent_collector_fills_the_queue_and_never_a_request() {
    let sink = Sink::start(Answer::Never);
    let timeout = Duration::from_millis(400);
    let telemetry = start_with("orders", &sink.endpoint, timeout, [true, true]);
    let begun = Instant::now();
    (0..5000).for_each(|_| statement(&telemetry));
    let took = begun.elapsed();
    let dropped = "telemetry_dropped_items_total{signal=\"traces\",reason=\"queue_full\"}";
    // One batch can fail by its timeout and make room while the loop still runs; waiting 400 ms for each would take minutes.
    assert!(took < Duration::from_secs(20), "5,000 spans took {took:?}");
    assert!(metric(&telemetry, dropped) >= 1.0);
    until(&telemetry, "telemetry_queue_items{signal=\"traces\"}", 0.0);
    assert!(
        metric(&telemetry, "telemetry_failed_items_total{signal=\"traces\",reason=\"timeout\"}")
            >= 1.0
    );
    assert_eq!(metric(&telemetry, "telemetry_enqueued_items_total{signal=\"traces\"}"), 5000.0);
    assert_balanced(&telemetry);
}

#[test]
fn a_slow_collector_gets_what_fits_and_the_rest_is_counted() {
    let sink = Sink::start(Answer::Slow(Duration::from_millis(50)));
    let telemetry = start("orders", &sink.endpoint);
    (0..5000).for_each(|_| statement(&telemetry));
    telemetry.shutdown(Duration::from_secs(5));
    assert_balanced(&telemetry);
    let exported = metric(&telemetry, "telemetry_exported_items_total{signal=\"traces\"}");
    assert_eq!(sink.spans().len() as f64, exported);
    assert_eq!(metric(&telemetry, "telemetry_queue_items{signal=\"traces\"}"), 0.0);
}

#[test]
fn what_the_receiver_refuses_in_a_success_is_not_counted_as_exported() {
    let sink = Sink::start(Answer::RefuseOne);
    let telemetry = start("orders", &sink.endpoint);
    (0..3).for_each(|_| statement(&telemetry));
    telemetry.shutdown(Duration::from_secs(5));
    let rejected = "telemetry_failed_items_total{signal=\"traces\",reason=\"rejected\"}";
    assert!(metric(&telemetry, rejected) >= 1.0);
    assert_balanced(&telemetry);
}

#[test]
fn what_is_measured_is_described_and_seconds_have_fractions() {
    let telemetry = start("orders", "http://127.0.0.1:1");
    let runtime = telemetry.runtime(1).unwrap();
    runtime.spawn(telemetry.clone().upkeep());
    until(&telemetry, "telemetry_stdout_dropped_lines", 0.0);
    let begun = Instant::now();
    while !telemetry.render(None).1.contains("tokio_runtime_workers ") {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    for accept in [None, Some("application/openmetrics-text")] {
        let (_, text) = telemetry.render(accept);
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = line.split(' ').next().unwrap();
            assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help in:\n{text}");
        }
        let cpu =
            if accept.is_some() { "process_cpu_seconds" } else { "process_cpu_seconds_total" };
        assert!(text.contains(&format!("# TYPE {cpu} counter\n")), "{text}");
    }
    // Whole seconds would never be between two of them.
    while metric(&telemetry, "process_cpu_seconds_total").fract() == 0.0 {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    runtime.shutdown_background();
}
