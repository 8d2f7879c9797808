//! A collector that is refused or silent: requests do not notice, and what could not be delivered is counted.

use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{App, Process, Shape, eventually},
    table::{Table, asked},
};

const SIGNALS: [&str; 2] = ["traces", "logs"];
const SERVICES: [&str; 4] = ["gateway", "accounts", "catalog", "wallet"];

/// Sum of the series of a family that belong to a signal.
fn sum(text: &str, family: &str, signal: &str) -> f64 {
    let label = format!("signal=\"{signal}\"");
    let series = text
        .lines()
        .filter(|line| line.starts_with(&format!("{family}{{")) && line.contains(&label));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// `enqueued = exported + dropped + failed + in queue`, for each service and signal; how much was lost.
fn balance(app: &App) -> Result<f64, String> {
    let mut lost = 0.0;
    for service in SERVICES {
        let text = app.internal(service, "/metrics").text;
        for signal in SIGNALS {
            let part = |family: &str| sum(&text, family, signal);
            let dropped = part("telemetry_dropped_items_total");
            let failed = part("telemetry_failed_items_total");
            let enqueued = part("telemetry_enqueued_items_total");
            let exported = part("telemetry_exported_items_total");
            let queue = part("telemetry_queue_items");
            if enqueued != exported + dropped + failed + queue {
                return Err(format!(
                    "{service} {signal}: {enqueued} of {exported} {dropped} {failed} {queue}"
                ));
            }
            lost += dropped + failed;
        }
    }
    Ok(lost)
}

/// Somebody's token, which has been used.
fn requests_are_served(app: &App) -> String {
    let ada = app.someone("ada");
    for _ in 0..20 {
        assert_eq!(app.get("/api/musics/?limit=1", &ada).status, 200);
    }
    assert_eq!(app.get("/api/users/", &ada).status, 200); // the wallet has something to tell, too
    ada
}

#[test]
fn with_the_collector_refused_requests_are_served_and_losses_counted() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{closed}");
    let mut app = App::start_with(Shape::One, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    requests_are_served(&app);
    eventually("losses are counted", || match balance(&app) {
        Ok(lost) if lost >= 60.0 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // One line a signal when it begins to fail, not one a batch.
    eventually("each service says so once a signal", || {
        let logs = app.processes[0].logs();
        let warned: Vec<_> = logs
            .iter()
            .filter(|line| {
                line["level"] == "WARN"
                    && line["endpoint"].as_str().is_some_and(|it| it.contains(&endpoint))
            })
            .map(|line| (line["service"].as_str().unwrap(), line["signal"].as_str().unwrap()))
            .collect();
        let once = |service| {
            SIGNALS
                .iter()
                .all(|signal| warned.iter().filter(|it| **it == (service, signal)).count() == 1)
        };
        if SERVICES.into_iter().all(once) { Ok(()) } else { Err(format!("{warned:?}")) }
    });
    app.stop();
}

#[test]
fn with_a_silent_collector_nobody_waits_and_the_program_still_ends() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap(); // accepts by its backlog, answers never
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "20"),
    ];
    let mut app = App::start_with(Shape::One, &settings);
    let ada = requests_are_served(&app);
    eventually("what has no place is dropped", || {
        flood(&app, &ada, 40);
        let text = app.internal("gateway", "/metrics").text;
        let dropped = sum(&text, "telemetry_dropped_items_total", "traces") > 0.0;
        if dropped { Ok(()) } else { Err(text) }
    });
    eventually("the books balance", || balance(&app));
    app.stop(); // fails when it takes longer than the harness's patience
}

/// T12.
#[test]
fn what_was_handed_over_before_sigterm_arrives() {
    let mut app = App::start(Shape::Each);
    let ada = app.someone("ada");
    let request = || app.get("/api/musics/?limit=1", &ada).trace_id().to_owned();
    let ids: Vec<String> = (0..100).map(|_| request()).collect();
    // At once, while spans are still in queues. All but the sidecar, callers first.
    for process in app.processes[1..].iter_mut().rev() {
        assert!(process.terminate().success());
    }
    for id in &ids {
        let trace = app.trace_when(id, |_| Ok(()));
        assert!(trace.orphans().is_empty(), "{:?}", trace.names());
        for name in ["gateway: GET /api/musics", "catalog: GET /musics"] {
            trace.span(name);
        }
    }
}

/// Many requests at once, which all have to be answered, and within the deadline of a request.
fn flood(app: &App, token: &str, requests: usize) {
    const CALLERS: usize = 8;
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                for _ in 0..requests / CALLERS {
                    let began = Instant::now();
                    assert_eq!(app.get("/api/musics/?limit=1", token).status, 200);
                    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
                }
            });
        }
    });
}

/// T4: once with the collector gone, and once as it accepts and never answers.
#[test]
fn without_a_collector_memory_is_bounded_losses_are_counted_and_the_end_is_near() {
    for fault in ["KILL", "STOP"] {
        // As much as the largest queue holds, and more than is exported before it is noticed.
        let requests = asked("T4_REQUESTS", 4000) as usize;
        let mut table =
            Table::new(&format!("T4, the collector gets SIG{fault}, {requests} requests"));
        let mut app = App::start(Shape::Each);
        let ada = app.someone("ada");
        flood(&app, &ada, requests / 10); // pools and caches are as large as they get
        app.signal("sidecar", fault);
        let memory = |app: &App| SERVICES.map(|it| app.process(it).memory("VmRSS:"));
        let before = memory(&app);
        flood(&app, &ada, requests);
        app.processes.iter().for_each(Process::forget_logs);
        for ((service, before), after) in SERVICES.iter().zip(before).zip(memory(&app)) {
            table.grew(&format!("resident, {service}"), 10, before, after);
        }
        let lost = eventually("the books balance", || balance(&app));
        table.row("items lost, and counted", "> 0", lost, lost > 0.0);
        let began = Instant::now();
        for service in SERVICES {
            app.signal(service, "TERM");
        }
        for process in &mut app.processes[1..] {
            assert!(process.wait().success());
        }
        let took = began.elapsed().as_secs_f64();
        table.row_of_speed("all have ended, s", "at most 6", format!("{took:.2}"), took <= 6.0);
        assert!(took <= 10.0, "{fault}: {took} s, however busy the machine is");
        table.judge();
    }
}

/// T14.
#[test]
fn with_a_reader_of_stdout_that_has_stopped_requests_are_served_and_lines_dropped() {
    let app = App::start_with(Shape::Each, &[("RUST_LOG", "trace")]);
    let ada = app.someone("ada");
    let dropped = || app.metric("gateway", "telemetry_stdout_dropped_lines").unwrap();
    let gateway = app.process("gateway");
    let unread = gateway.unread();
    assert_eq!(dropped(), 0.0);
    // What the pipe takes, and what may wait, fill up first.
    let full = (0..50).any(|_| {
        flood(&app, &ada, 200);
        dropped() > 0.0
    });
    assert!(full, "10,000 requests have not filled it");
    drop(unread);
    let before = dropped();
    let mut ids = Vec::new();
    eventually("lines are written again", || {
        ids.push(app.get("/api/musics/?limit=1", &ada).trace_id().to_owned());
        let output = gateway.output();
        let found = ids.iter().any(|it| output.contains(it));
        if found { Ok(()) } else { Err(format!("{} are dropped after {before}", dropped())) }
    });
}
