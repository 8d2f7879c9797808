//! Bad days of the agent, with the real programs behind it: what holds for requests, memory and books on each of them, and that it is over
//! without a hand.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant, SystemTime},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use real::stack::{Jaeger, Loki, Ports, Storage};
use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};

use crate::harness::{App, Process, Shape, eventually};

/// What a request has at the gateway.
const DEADLINE: Duration = Duration::from_secs(10);
const SERVICES: [&str; 4] = ["gateway", "accounts", "catalog", "wallet"];

fn app(settings: &[(&str, &str)]) -> App {
    App::start_with(Shape::Each, settings)
}

/// The books of a signal of a sidecar.
fn books(sidecar: &Process, signal: &str) -> Value {
    let console = sidecar.address("sidecar", "console");
    let client = Client::builder().timeout(DEADLINE).build().unwrap();
    let all: Value =
        client.get(format!("http://{console}/delivery.json")).send().unwrap().json().unwrap();
    let flows = all["pipelines"].as_array().unwrap();
    flows.iter().find(|it| it["signal"] == signal).unwrap().clone()
}

fn number(books: &Value, name: &str) -> u64 {
    books[name].as_u64().unwrap()
}

fn dropped(books: &Value, reason: &str) -> u64 {
    books["dropped"][reason].as_u64().unwrap_or(0)
}

/// The books, once they are like that. They balance.
fn books_when(sidecar: &Process, signal: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || {
        let books = books(sidecar, signal);
        assert_eq!(books["unaccounted"], 0, "{books}");
        if is(&books) { Ok(books) } else { Err(books.to_string()) }
    })
}

fn settled(sidecar: &Process, signal: &str) -> Value {
    books_when(sidecar, signal, "nothing waits", |books| books["in_spool"] == 0)
}

/// Requests from several callers, all of which have to be answered well and in time; the ids of their traces, and the 99th percentile.
fn requests(app: &App, number: usize) -> (Vec<String>, Duration) {
    const CALLERS: usize = 4;
    let token = app.token("ada");
    let one = || {
        let began = Instant::now();
        let reply = app.get("/api/musics/?limit=1", &token);
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
        (reply.trace_id().to_owned(), began.elapsed())
    };
    let mut all: Vec<(String, Duration)> = thread::scope(|scope| {
        let some = || (0..number / CALLERS).map(|_| one()).collect::<Vec<_>>();
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(some)).collect();
        callers.into_iter().flat_map(|it| it.join().unwrap()).collect()
    });
    all.sort_by_key(|it| it.1);
    let p99 = all[all.len() * 99 / 100].1;
    (all.into_iter().map(|it| it.0).collect(), p99)
}

/// A request with spans of a trace.
fn spans(trace: u128, spans: usize, name: &str) -> Vec<u8> {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let span = |id: usize| Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: (id as u64 + 1).to_be_bytes().to_vec(),
        name: name.to_owned(),
        start_time_unix_nano: now,
        end_time_unix_nano: now,
        ..Span::default()
    };
    let scope_spans =
        vec![ScopeSpans { spans: (0..spans).map(span).collect(), ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn send(client: &Client, sidecar: &Process, body: Vec<u8>) -> Response {
    let url = format!("http://{}/v1/traces", sidecar.address("sidecar", "otlp-http"));
    client.post(url).header("content-type", "application/x-protobuf").body(body).send().unwrap()
}

/// Lines by Loki's push, in order; how many.
fn push(client: &Client, sidecar: &Process, service: &str, lines: &[(SystemTime, String)]) -> u64 {
    let nanos = |it: &SystemTime| it.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    let values: Vec<Value> =
        lines.iter().map(|(time, line)| json!([nanos(time).to_string(), line])).collect();
    let body = json!({"streams": [{"stream": {"service_name": service}, "values": values}]});
    let otlp = sidecar.address("sidecar", "otlp-http");
    let answer = client.post(format!("http://{otlp}/loki/api/v1/push")).json(&body).send().unwrap();
    assert_eq!(answer.status(), 204, "{answer:?}");
    lines.len() as u64
}

fn sidecar(directory: &Path, settings: &[(&str, &str)]) -> Process {
    Process::start(&["serve", "sidecar"], directory, settings)
}

/// A file system of its own, as small as it is told to be. Needs root.
struct Disk(PathBuf);

impl Disk {
    /// In memory.
    fn small(path: PathBuf, size: &str) -> Disk {
        fs::create_dir_all(&path).unwrap();
        runs(
            "mount",
            &["-t", "tmpfs", "-o", &format!("size={size},mode=0755"), "tmpfs", &at(&path)],
        );
        Disk(path)
    }

    /// One whose files can be made unchangeable while they are open, which `mount -o remount,ro` refuses: ext4 in a file.
    fn lockable(path: PathBuf) -> Disk {
        fs::create_dir_all(&path).unwrap();
        let image = path.with_extension("img");
        fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
        runs("mkfs.ext4", &["-q", &at(&image)]);
        runs("mount", &["-o", "loop", &at(&image), &at(&path)]);
        Disk(path)
    }

    /// Nothing can be written, made or deleted in the folder, or it can again.
    fn lock(folder: &Path, locked: bool) {
        runs("chattr", &["-R", if locked { "+i" } else { "-i" }, &at(folder)]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Its files may still be locked, or in use by a process that is about to end.
        let _ = Command::new("chattr").args(["-R", "-i"]).arg(&self.0).output();
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn at(path: &Path) -> String {
    path.display().to_string()
}

fn runs(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// What the services themselves have counted as lost.
fn lost_by_services(app: &App) -> f64 {
    let lost = |service: &str| {
        let text = app.internal(service, "/metrics").text;
        let families = ["telemetry_dropped_items_total{", "telemetry_failed_items_total{"];
        let series = text.lines().filter(|line| families.iter().any(|it| line.starts_with(it)));
        series.map(|it| it.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum::<f64>()
    };
    SERVICES.into_iter().map(lost).sum()
}

/// Fills the spool's disk until senders are told to come back.
fn until_full(app: &App) {
    let client = Client::new();
    let refused = eventually("the disk is full", || {
        let answer = send(&client, app.process("sidecar"), spans(1, 50, &"x".repeat(20 << 10)));
        if answer.status() == 200 { Err("there is room") } else { Ok(answer) }
    });
    assert_eq!(refused.status(), 503, "{refused:?}");
    assert_eq!(refused.headers()["retry-after"], "1");
}

/// While the spool cannot be written: requests do not notice, senders are told to come back, what they cannot keep is counted by them.
fn nothing_can_be_written(app: &App, calm: Duration, day: &str) {
    let before = lost_by_services(app);
    let (_, p99) = requests(app, 400);
    eprintln!("{day}: p99 {p99:?}, {calm:?} on a day without a fault");
    eventually("the services count what they cannot hand over", || {
        let lost = lost_by_services(app) - before;
        if lost > 0.0 { Ok(()) } else { Err("nothing yet") }
    });
    let told = app.process("sidecar").logs();
    let told = told.iter().filter(|it| {
        it["message"]
            .as_str()
            .is_some_and(|it| it.contains("the spool of traces cannot be written"))
    });
    // On a disk that is full for large requests there may be room for small ones, until there is none.
    let told = told.count();
    assert!((1..10).contains(&told), "{told} lines");
    let most = app.process("sidecar").memory("VmHWM:") >> 20;
    eprintln!("{day}: the sidecar had {most} MiB at most");
    assert!(most < 400, "{most} MiB");
}

/// The trace of a new request is in Jaeger, and the books balance.
fn all_is_well(app: &App, jaeger: &Jaeger) {
    let token = app.token("ada");
    let mut ids = Vec::new();
    eventually("a new trace is in Jaeger", || {
        ids.push(app.get("/api/musics/?limit=1", &token).trace_id().to_owned());
        let found = ids.iter().rev().take(50).any(|id| jaeger.trace(id).is_ok());
        found.then_some(()).ok_or("none of them")
    });
    let books = settled(app.process("sidecar"), "traces");
    assert_eq!(number(&books, "received"), number(&books, "delivered"), "{books}");
}

#[test]
fn a_full_disk_under_the_spool() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::small(folder.path().join("disk"), "8m");
    let mut jaeger = Jaeger::start(Storage::Memory, Ports::Free, folder.path()).unwrap();
    let (traces, spool) = (jaeger.otlp_url(), at(&disk.0));
    let mut app = app(&[("SIDECAR_TRACES_ENDPOINT", &traces), ("SIDECAR_SPOOL", &spool)]);
    app.someone("ada");
    let (_, calm) = requests(&app, 400);
    jaeger.program.kill();
    until_full(&app);
    nothing_can_be_written(&app, calm, "full disk");
    jaeger.program.start_again().unwrap();
    all_is_well(&app, &jaeger);
    app.stop();
}

#[test]
fn a_spool_folder_that_turns_read_only() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::lockable(folder.path().join("disk"));
    let jaeger = Jaeger::start(Storage::Memory, Ports::Free, folder.path()).unwrap();
    let spool = disk.0.join("spool");
    let (traces, place) = (jaeger.otlp_url(), at(&spool));
    let mut app = app(&[("SIDECAR_TRACES_ENDPOINT", &traces), ("SIDECAR_SPOOL", &place)]);
    app.someone("ada");
    let (_, calm) = requests(&app, 400);
    Disk::lock(&spool, true);
    let refused = send(&Client::new(), app.process("sidecar"), spans(1, 1, "x"));
    assert_eq!(
        (refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()),
        (503, "1")
    );
    nothing_can_be_written(&app, calm, "read-only folder");
    Disk::lock(&spool, false);
    all_is_well(&app, &jaeger);
    app.stop();
}

#[test]
fn a_jaeger_that_accepts_and_never_answers() {
    let folder = tempfile::tempdir().unwrap();
    let mut jaeger = Jaeger::start(Storage::Memory, Ports::Free, folder.path()).unwrap();
    let loki = Loki::start(Ports::Free, folder.path()).unwrap();
    let (traces, logs) = (jaeger.otlp_url(), loki.otlp_url());
    let mut app = app(&[("SIDECAR_TRACES_ENDPOINT", &traces), ("SIDECAR_LOGS_ENDPOINT", &logs)]);
    app.someone("ada");
    let (_, calm) = requests(&app, 200);
    settled(app.process("sidecar"), "traces");
    jaeger.program.signal("STOP");
    let (ids, p99) = requests(&app, 200);
    eprintln!("silent Jaeger: p99 {p99:?}, {calm:?} on a day without a fault");
    // Lines do not wait for spans.
    eventually("the lines are in Loki", || {
        let query = format!("{{service_name=\"gateway\"}} | trace_id=\"{}\"", ids[0]);
        let lines = loki.query(&query).map_err(|it| format!("{it:#}"))?;
        if lines.is_empty() { Err(query) } else { Ok(()) }
    });
    let sidecar = app.process("sidecar");
    books_when(sidecar, "traces", "an attempt is given up", |it| {
        it["trouble"]["reason"] == "timeout"
    });
    assert_eq!(lost_by_services(&app), 0.0, "the agent takes everything meanwhile");
    jaeger.program.signal("CONT");
    let books = settled(sidecar, "traces");
    assert_eq!(number(&books, "received"), number(&books, "delivered"), "{books}");
    assert!(number(&books, "redelivered") > 0, "{books}");
    for id in &ids {
        let spans = jaeger.trace(id).unwrap();
        assert!(spans.len() >= 3, "{id}: {spans:?}");
    }
    app.stop();
}

#[test]
fn a_line_that_loki_does_not_take() {
    let folder = tempfile::tempdir().unwrap();
    let mut loki = Loki::start(Ports::Free, folder.path()).unwrap();
    let logs = loki.otlp_url();
    let sidecar = sidecar(folder.path(), &[("SIDECAR_LOGS_ENDPOINT", &logs)]);
    let client = Client::new();
    loki.program.kill(); // so that all are one batch
    let (now, day) = (SystemTime::now(), Duration::from_secs(24 * 3600));
    let mut sent = 0;
    for (time, line) in [(now, "first"), (now - 30 * day, "ancient"), (now, "last")] {
        sent += push(&client, &sidecar, "till", &[(time, line.to_owned())]);
    }
    loki.program.start_again().unwrap();
    let books = settled(&sidecar, "logs");
    assert_eq!((number(&books, "delivered"), dropped(&books, "refused")), (sent - 1, 1), "{books}");
    let lines = eventually("the others are in Loki", || {
        let lines = loki.query("{service_name=\"till\"}").map_err(|it| format!("{it:#}"))?;
        if lines.len() == 2 { Ok(lines) } else { Err(format!("{lines:?}")) }
    });
    assert!(lines.iter().all(|it| it.text != "ancient"), "{lines:?}");
    let told = sidecar.logs();
    let told: Vec<_> = told.iter().filter(|it| it["reason"] == "refused").collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["why"].as_str().unwrap().contains("too old"), "{told:?}");
}

/// T1 and T2: Loki is gone, or accepts and never answers, and many lines come.
#[test]
fn a_flood_of_lines_without_a_loki() {
    for fault in ["KILL", "STOP"] {
        let folder = tempfile::tempdir().unwrap();
        let mut loki = Loki::start(Ports::Free, folder.path()).unwrap();
        let logs = loki.otlp_url();
        let settings = [
            ("SIDECAR_LOGS_ENDPOINT", logs.as_str()),
            ("SIDECAR_SPOOL_SIZE", "4MiB"),
            ("SIDECAR_LOGS_MEMORY", "1MiB"), // full before it is measured
        ];
        let sidecar = sidecar(folder.path(), &settings);
        let client = Client::new();
        let flood = |requests: usize| -> u64 {
            let lines = |request: usize| {
                let line = |n: usize| {
                    (
                        SystemTime::now(),
                        format!("line {n} of request {request}, {}", "x".repeat(200)),
                    )
                };
                (0..200).map(line).collect::<Vec<_>>()
            };
            (0..requests).map(|it| push(&client, &sidecar, "till", &lines(it))).sum()
        };
        let mut sent = flood(50);
        settled(&sidecar, "logs");
        loki.program.signal(fault);
        let before = sidecar.memory("VmRSS:");
        let began = Instant::now();
        sent += flood(250); // 50,000 lines, 3 times what may wait
        let took = began.elapsed();
        let more = sidecar.memory("VmRSS:").saturating_sub(before) >> 10;
        eprintln!("{fault}: 50,000 lines in {took:?}, {more} KiB more");
        assert!(more <= 16 << 10, "{more} KiB");
        let books = books_when(&sidecar, "logs", "they are all received", |it| {
            number(it, "received") == sent
        });
        assert!(dropped(&books, "spool_full") > 0, "{books}");
        match fault {
            "KILL" => {
                loki.program.kill(); // waits for it
                loki.program.start_again().unwrap();
            }
            _ => loki.program.signal("CONT"),
        }
        let books = settled(&sidecar, "logs");
        let lost = dropped(&books, "spool_full");
        assert_eq!(number(&books, "delivered") + lost, sent, "{books}");
        push(&client, &sidecar, "till", &[(SystemTime::now(), "the end".to_owned())]);
        eventually("the newest line is in Loki", || {
            let found = loki.query("{service_name=\"till\"} |= \"the end\"");
            let found = found.map_err(|it| format!("{it:#}"))?;
            if found.len() == 1 { Ok(()) } else { Err(format!("{found:?}")) }
        });
    }
}

#[test]
fn more_than_a_receiver_can_take() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere =
        [("SIDECAR_TRACES_ENDPOINT", "http://127.0.0.1:1"), ("SIDECAR_SPOOL_SIZE", "64MiB")];
    let sidecar = sidecar(folder.path(), &nowhere);
    // Some 3 MB that become 90 MiB: three of them are as much as may be in flight.
    let body = spans(1, 80_000, "x");
    let (taken, refused, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let slowest = thread::scope(|scope| {
        let senders: Vec<_> = (0..12)
            .map(|_| {
                scope.spawn(|| {
                    let client =
                        Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
                    for _ in 0..3 {
                        let answer = send(&client, &sidecar, body.clone());
                        match answer.status().as_u16() {
                            200 => taken.fetch_add(80_000, Relaxed),
                            503 => {
                                assert_eq!(answer.headers()["retry-after"], "1");
                                refused.fetch_add(1, Relaxed)
                            }
                            other => panic!("{other}: {answer:?}"),
                        };
                    }
                })
            })
            .collect();
        let console = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            while !done.load(Relaxed) {
                let began = Instant::now();
                books(&sidecar, "traces"); // the console answers
                slowest = slowest.max(began.elapsed());
            }
            slowest
        });
        senders.into_iter().for_each(|it| it.join().unwrap());
        done.store(true, Relaxed);
        console.join().unwrap()
    });
    let most = sidecar.memory("VmHWM:") >> 20;
    let (taken, refused) = (taken.into_inner(), refused.into_inner());
    eprintln!(
        "flood: {taken} spans taken, {refused} requests refused, {most} MiB at most, console {slowest:?}"
    );
    assert!(taken > 0 && refused > 0);
    // What may be in flight (256 MiB), what is kept (96 MiB), and the program.
    assert!(most < 420, "{most} MiB");
    assert!(slowest < DEADLINE, "{slowest:?}");
    let books = books(&sidecar, "traces");
    let there = number(&books, "in_spool") + dropped(&books, "spool_full");
    assert_eq!(
        (number(&books, "received"), there, &books["unaccounted"]),
        (taken, taken, &json!(0)),
        "{books}"
    );
}

#[test]
fn a_clock_that_jumps_an_hour() {
    let folder = tempfile::tempdir().unwrap();
    let mut jaeger = Jaeger::start(Storage::Memory, Ports::Free, folder.path()).unwrap();
    let (traces, clock) = (jaeger.otlp_url(), folder.path().join("clock"));
    let set = |offset: &str| fs::write(&clock, offset).unwrap();
    set("+0");
    let mut libraries = fs::read_dir("/usr/lib").unwrap().map(|it| it.unwrap().path());
    let library = libraries.find_map(|it| {
        let library = it.join("faketime/libfaketime.so.1");
        library.exists().then_some(library)
    });
    let library = at(&library.expect("tests/real/install has libfaketime"));
    let settings = [
        ("SIDECAR_TRACES_ENDPOINT", traces.as_str()),
        ("SIDECAR_SPOOL_AGE", "90m"),
        ("LD_PRELOAD", &library),
        ("FAKETIME_TIMESTAMP_FILE", &at(&clock)),
        ("FAKETIME_NO_CACHE", "1"),
        // As on a machine: there the other clock does not jump.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let sidecar = sidecar(folder.path(), &settings);
    let client = Client::new();
    let sends =
        |trace: u128| assert_eq!(send(&client, &sidecar, spans(trace, 10, "x")).status(), 200);
    sends(1);
    settled(&sidecar, "traces");
    jaeger.program.kill();
    sends(2);
    books_when(&sidecar, "traces", "it is noticed", |it| !it["trouble"].is_null());
    set("+3600");
    sends(3);
    set("-3600");
    sends(4);
    set("+3600");
    sends(5);
    jaeger.program.start_again().unwrap();
    let books = settled(&sidecar, "traces");
    assert_eq!((number(&books, "received"), number(&books, "delivered")), (50, 50), "{books}");
    // Its clock did jump: what it tells about the absence shows that.
    let again = eventually("it tells how long that was", || {
        let logs = sidecar.logs();
        logs.iter().find_map(|it| it["seconds"].as_u64()).ok_or(format!("{logs:?}"))
    });
    assert!(again >= 3600, "{again} s");
    // An age is one that passes: two hours make what waits too old, and are counted as that.
    jaeger.program.kill();
    sends(6);
    set("+10800");
    let books = books_when(&sidecar, "traces", "it is too old", |it| dropped(it, "expired") == 10);
    assert_eq!(number(&books, "in_spool"), 0, "{books}");
}

/// T6, for a minute of its hour: what is measured does not pile up where nobody asks for it.
#[test]
fn metrics_that_nobody_asks_for() {
    let app = app(&[]);
    let url = app.url("gateway", "api");
    let load = || {
        let arguments =
            ["loadtest", "--url", &url, "--rate", "80", "--duration", "15s", "--people", "3"];
        let (code, _, stderr) = app.command(&arguments).end();
        assert_eq!(code, Some(0), "{stderr}");
    };
    let resident = || SERVICES.map(|it| app.process(it).memory("VmRSS:") >> 10);
    load();
    let before = resident();
    (0..3).for_each(|_| load());
    for ((service, before), after) in SERVICES.iter().zip(before).zip(resident()) {
        eprintln!("T6 {service}: {before} KiB after 15 s, {after} KiB after 60 s");
        assert!(after <= before + (8 << 10), "{service} grew from {before} to {after} KiB");
    }
}
