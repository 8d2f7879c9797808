//! Bad days of the agent, with the real programs behind it: what holds for requests, memory and books on each of them, and that it is over
//! without a hand. `tests/real/endurance` has longer ones, and judges how quick requests are, too.

use std::{
    collections::BTreeMap,
    fs,
    mem::take,
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

use crate::{
    harness::{App, Process, Shape, eventually},
    table::{Table, asked},
};

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

/// Requests one after the other, which have to be answered well; the ids of their traces.
fn requests(app: &App, number: usize) -> Vec<String> {
    let token = app.token("ada");
    let one = |_| {
        let reply = app.get("/api/musics/?limit=1", &token);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.trace_id().to_owned()
    };
    (0..number).map(one).collect()
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

/// Fills the spool's disk until senders are told to come back, be it with ever so little.
fn until_full(app: &App) {
    let client = Client::new();
    for name in ["x".repeat(20 << 10), "x".repeat(20)] {
        let refused = eventually("the disk is full", || {
            let answer = send(&client, app.process("sidecar"), spans(1, 50, &name));
            if answer.status() == 200 { Err("there is room") } else { Ok(answer) }
        });
        assert_eq!(refused.status(), 503, "{refused:?}");
        assert_eq!(refused.headers()["retry-after"], "1");
    }
}

/// While the spool cannot be written: requests do not notice, senders are told to come back, what they cannot keep is counted by them. What
/// became of the requests.
fn nothing_can_be_written(app: &App, table: &mut Table) -> Ended {
    let before = lost_by_services(app);
    let load = people_for_a_while(app);
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
    table.between("resident at most, sidecar, MiB", 0, 400, most);
    load
}

/// A load on such a day, or on the day before or after it.
fn people_for_a_while(app: &App) -> Ended {
    let (seconds, rate) = day();
    let load = Load::start(app, rate, seconds);
    thread::sleep(Duration::from_secs(seconds)); // who waits for an end has less patience
    load.ended()
}

/// How long people are there, and their requests per second.
fn day() -> (u64, u64) {
    (asked("DAY_SECONDS", 5), asked("DAY_RATE", 10))
}

/// What requests have noticed of a fault.
fn tell_of_people(table: &mut Table, due: u64, during: &Ended, calm: [&Ended; 2]) {
    let [before, after] = calm;
    table.as_quick_as("99th percentile of requests", [before.p99(), after.p99()], during.p99());
    during.tell(table, due);
    // None, but on a machine that has too much to do in any case, which calm runs need not have had.
    let most = before.failures() + after.failures() + due / 50;
    table.between("answers 5xx, as many as in calm runs and one of 50", 0, most, during.failures());
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
    let mut table = Table::new("A full disk under the spool");
    let before = people_for_a_while(&app);
    jaeger.program.kill();
    until_full(&app);
    let during = nothing_can_be_written(&app, &mut table);
    jaeger.program.start_again().unwrap();
    all_is_well(&app, &jaeger);
    let after = people_for_a_while(&app);
    let (seconds, rate) = day();
    tell_of_people(&mut table, seconds * rate, &during, [&before, &after]);
    table.judge();
    app.stop();
}

#[test]
fn no_room_for_an_import() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::small(folder.path().join("disk"), "1m");
    let mut app = app(&[("TMPDIR", &at(&disk.0))]);
    let ada = app.someone("ada");
    let file = |songs: u32| {
        let rows =
            (0..songs).map(|it| format!("Song {it} of the day without room,The Full Disks\n"));
        format!("title,artist\n{}", rows.collect::<String>())
    };
    let refused = app.import_library(&ada, file(40_000));
    refused.is_problem(503, "import-no-room");
    assert_eq!(refused.header("retry-after"), "5");
    let taken = app.import_library(&ada, file(10));
    assert_eq!((taken.status, &taken.json["added"]), (200, &json!(10)), "{taken:?}");
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
    let mut table = Table::new("A spool folder that turns read-only");
    let before = people_for_a_while(&app);
    Disk::lock(&spool, true);
    let refused = send(&Client::new(), app.process("sidecar"), spans(1, 1, "x"));
    assert_eq!(
        (refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()),
        (503, "1")
    );
    let during = nothing_can_be_written(&app, &mut table);
    Disk::lock(&spool, false);
    all_is_well(&app, &jaeger);
    let after = people_for_a_while(&app);
    let (seconds, rate) = day();
    tell_of_people(&mut table, seconds * rate, &during, [&before, &after]);
    table.judge();
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
    let mut table = Table::new("A Jaeger that accepts and never answers");
    let before = people_for_a_while(&app);
    settled(app.process("sidecar"), "traces");
    jaeger.program.signal("STOP");
    let ids = requests(&app, 200);
    let during = people_for_a_while(&app);
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
    let whole = ids.iter().filter(|id| jaeger.trace(id).unwrap().len() >= 3).count();
    table.equal("whole traces in Jaeger afterwards", ids.len() as u64, whole as u64);
    let after = people_for_a_while(&app);
    let (seconds, rate) = day();
    tell_of_people(&mut table, seconds * rate, &during, [&before, &after]);
    table.judge();
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
    let mut table = Table::new("T3, Loki does not take one of three lines");
    table.equal("lines delivered", sent - 1, number(&books, "delivered"));
    table.equal("lines refused", 1, dropped(&books, "refused"));
    let lines = eventually("the others are in Loki", || {
        let lines = loki.query("{service_name=\"till\"}").map_err(|it| format!("{it:#}"))?;
        if lines.len() == 2 { Ok(lines) } else { Err(format!("{lines:?}")) }
    });
    assert!(lines.iter().all(|it| it.text != "ancient"), "{lines:?}");
    let told = sidecar.logs();
    let told: Vec<_> = told.iter().filter(|it| it["reason"] == "refused").collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["why"].as_str().unwrap().contains("too old"), "{told:?}");
    table.judge();
}

#[test]
fn many_lines_and_loki_is_gone() {
    many_lines_without_a_loki("T1, Loki is killed", "KILL");
}

#[test]
fn many_lines_and_loki_never_answers() {
    many_lines_without_a_loki("T2, Loki is stopped", "STOP");
}

/// T3: the rest of it. A Loki that takes 2 MiB a second gets 12 at once.
#[test]
fn a_loki_that_says_too_many() {
    const LINES: usize = 3_000; // of 4 KiB each
    let folder = tempfile::tempdir().unwrap();
    let mut loki = Loki::start_narrow(Ports::Free, folder.path()).unwrap();
    let logs = loki.otlp_url();
    let sidecar = sidecar(folder.path(), &[("SIDECAR_LOGS_ENDPOINT", &logs)]);
    let client = Client::new();
    let text = |n: usize| format!("line {n} {}", "x".repeat(4 << 10));
    let all: Vec<usize> = (0..LINES).collect();
    loki.program.kill(); // so that they come at once, however slowly they are sent
    for some in all.chunks(100) {
        let lines: Vec<_> = some.iter().map(|n| (SystemTime::now(), text(*n))).collect();
        push(&client, &sidecar, "till", &lines);
    }
    loki.program.start_again().unwrap();
    let began = Instant::now();
    let trouble = books_when(&sidecar, "logs", "Loki has had too many", |it| {
        it["trouble"]["reason"] == "overloaded"
    });
    assert!(trouble["trouble"]["why"].as_str().unwrap().starts_with("429"), "{trouble}");
    let books = settled(&sidecar, "logs");
    let took = began.elapsed();
    let mut table = Table::new("T3, Loki says 429");
    table.equal("lines delivered", LINES as u64, number(&books, "delivered"));
    table.equal("lines dropped", 0, books["dropped"].as_object().unwrap().len() as u64);
    table.equal("lines sent again to who had taken them", 0, number(&books, "redelivered"));
    let lines = eventually("all lines are in Loki", || {
        let query = "{service_name=\"till\"} | line_format `{{ __line__ | trunc 12 }}`";
        let lines = loki.query(query).map_err(|it| format!("{it:#}"))?;
        if lines.len() == LINES { Ok(lines) } else { Err(format!("{} lines", lines.len())) }
    });
    let number_of = |text: &str| text.split(' ').nth(1).unwrap().parse::<usize>().unwrap();
    let mut there: Vec<usize> = lines.iter().map(|it| number_of(&it.text)).collect();
    there.sort_unstable();
    table.row("there in Loki", "each once", there.len(), there == all);
    // As often as pauses of 100 ms and more, in what Loki needs for the rest, at least; a loop without pauses asks a hundred times a second.
    let refused = refused_as_too_many(&loki);
    let most = took.as_millis() as u64 / 100;
    table.between(&format!("answers 429 in {:.1} s", took.as_secs_f64()), 1, most, refused);
    table.judge();
}

/// How often it has answered so.
fn refused_as_too_many(loki: &Loki) -> u64 {
    let metrics = reqwest::blocking::get(format!("{}/metrics", loki.url())).unwrap();
    let metrics = metrics.text().unwrap();
    let is_ours = |it: &&str| {
        it.starts_with("loki_request_duration_seconds_count{") && it.contains("status_code=\"429\"")
    };
    let counts = metrics.lines().filter(is_ours).map(|it| it.rsplit(' ').next().unwrap());
    counts.map(|it| it.parse::<u64>().unwrap()).sum()
}

/// How many lines it has of the last hour, whoever wrote them.
fn all_lines(loki: &Loki) -> u64 {
    let query = [("query", "sum(count_over_time({service_name=~\".+\"}[1h]))")];
    let request = Client::new().get(format!("{}/loki/api/v1/query", loki.url())).query(&query);
    let answer: Value = request.send().unwrap().json().unwrap();
    answer["data"]["result"][0]["value"][1].as_str().map_or(0, |it| it.parse().unwrap())
}

/// T1 and T2: with as many lines as a busy machine has, and people at the gateway.
fn many_lines_without_a_loki(day: &str, fault: &str) {
    let (seconds, rate) = (asked("T1_SECONDS", 10), asked("T1_RATE", 10));
    let folder = tempfile::tempdir().unwrap();
    let mut loki = Loki::start(Ports::Free, folder.path()).unwrap();
    let logs = loki.otlp_url();
    let mut app = app(&[
        ("SIDECAR_LOGS_ENDPOINT", &logs),
        ("SIDECAR_SPOOL_SIZE", "4MiB"),
        // What is kept for the console is full before it is measured.
        ("SIDECAR_LOGS_MEMORY", "1MiB"),
        ("SIDECAR_TRACES_MEMORY", "1MiB"),
    ]);
    let mut table = Table::new(&format!("{day} for {seconds} s, at {LINES} lines/s"));
    let mut flood = Flood::new();

    let before = flood.beside_a_load(&app, rate, seconds / 2);
    settled(app.process("sidecar"), "logs");
    loki.program.signal(fault);
    let resident = take(&mut flood.most);
    let during = flood.beside_a_load(&app, rate, seconds);
    let most = take(&mut flood.most);
    let books = books(app.process("sidecar"), "logs");
    let lost = dropped(&books, "spool_full");
    table.row("lines dropped meanwhile", "> 0", lost, lost > 0);
    match fault {
        "KILL" => {
            loki.program.kill(); // waits for it
            loki.program.start_again().unwrap();
        }
        _ => loki.program.signal("CONT"),
    }
    settled(app.process("sidecar"), "logs");
    let after = flood.beside_a_load(&app, rate, seconds / 2);

    tell_of_people(&mut table, rate * seconds, &during, [&before, &after]);
    let per_second = flood.per_second.iter().min().unwrap();
    table.row_of_speed("lines/s, at least", LINES, per_second, *per_second >= LINES * 99 / 100);
    for (service, most) in &most {
        let mib = if *service == "sidecar" { 16 } else { 10 };
        table.grew(&format!("resident, {service}"), mib, resident[service], *most);
    }
    let pushed = app.metric("sidecar", "sidecar_pushed_lines_total").unwrap() as u64;
    table.equal("lines received, of those that were pushed", flood.sent, pushed);
    let books = settled(app.process("sidecar"), "logs");
    let (received, lost) = (number(&books, "received"), dropped(&books, "spool_full"));
    table.equal(
        "delivered + dropped, of those received",
        received,
        number(&books, "delivered") + lost,
    );
    // What was sent and not answered may be there all the same when the spool has no more place for it.
    let delivered = number(&books, "delivered");
    let shown = eventually("Loki has them all", || match all_lines(&loki) {
        shown if shown >= delivered => Ok(shown),
        shown => Err(format!("{shown} of {delivered}")),
    });
    table.between("there in Loki, of those delivered or dropped", delivered, received, shown);
    table.judge();
    app.stop();
}

/// Lines per second of a flood, and of each of its requests.
const LINES: u64 = 5_000;
const LINES_OF_A_REQUEST: u64 = 200;

/// A stranger who pushes lines.
struct Flood {
    client: Client,
    sent: u64,
    /// What was reached, each time.
    per_second: Vec<u64>,
    /// The most that each process has had resident meanwhile.
    most: BTreeMap<&'static str, u64>,
}

impl Flood {
    fn new() -> Flood {
        Flood { client: Client::new(), sent: 0, per_second: Vec::new(), most: BTreeMap::new() }
    }

    /// Both for so long.
    fn beside_a_load(&mut self, app: &App, rate: u64, seconds: u64) -> Ended {
        let load = Load::start(app, rate, seconds);
        let sidecar = app.process("sidecar");
        let (begun, before) = (Instant::now(), self.sent);
        let requests = seconds * LINES / LINES_OF_A_REQUEST;
        for request in 0..requests {
            let due = begun + Duration::from_secs(seconds) * request as u32 / requests as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let line = |n| {
                let text = format!("line {n} of request {request}, {}", "x".repeat(200));
                (SystemTime::now(), text)
            };
            let lines: Vec<_> = (0..LINES_OF_A_REQUEST).map(line).collect();
            self.sent += push(&self.client, sidecar, "till", &lines);
            if request % (LINES / LINES_OF_A_REQUEST) == 0 {
                app.processes.iter().for_each(Process::forget_logs);
                for service in SERVICES.into_iter().chain(["sidecar"]) {
                    let most = self.most.entry(service).or_default();
                    *most = app.process(service).memory("VmRSS:").max(*most);
                }
            }
        }
        let took = begun.elapsed().as_secs_f64().max(seconds as f64);
        self.per_second.push(((self.sent - before) as f64 / took).round() as u64);
        load.ended()
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
    let mut table = Table::new("More than a receiver can take");
    table.row(
        "spans taken, requests told to come back",
        "> 0",
        format!("{taken}, {refused}"),
        taken > 0 && refused > 0,
    );
    // What may be in flight (256 MiB), what is kept (96 MiB), and the program.
    table.between("resident at most, MiB", 0, 420, most);
    table.row(
        "slowest page of the console",
        format!("{DEADLINE:?} at most"),
        format!("{slowest:.1?}"),
        slowest < DEADLINE,
    );
    let books = books(&sidecar, "traces");
    let there = number(&books, "in_spool") + dropped(&books, "spool_full");
    table.equal("spans received, of those taken", taken, number(&books, "received"));
    table.equal("spans in the spool or dropped, of those", taken, there);
    table.judge();
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
    let mut table = Table::new("A clock that jumps an hour");
    table.equal("spans received", 50, number(&books, "received"));
    table.equal("spans delivered", 50, number(&books, "delivered"));
    // Who tells how long somebody was away looks at the other clock.
    let again = eventually("it tells how long that was", || {
        let logs = sidecar.logs();
        logs.iter().find_map(|it| it["seconds"].as_u64()).ok_or(format!("{logs:?}"))
    });
    table.between("seconds that Jaeger was away", 0, 60, again);
    // An age is one that passes: two hours make what waits too old, and are counted as that.
    jaeger.program.kill();
    sends(6);
    set("+10800");
    let books = books_when(&sidecar, "traces", "it is too old", |it| dropped(it, "expired") == 10);
    assert_eq!(number(&books, "in_spool"), 0, "{books}");
    table.equal("spans too old after two more", 10, dropped(&books, "expired"));
    table.judge();
}

/// T6: what is measured does not pile up where nobody asks for it. Nothing here asks a service for its metrics.
#[test]
fn metrics_that_nobody_asks_for() {
    let (seconds, rate) = (asked("T6_SECONDS", 60), asked("T6_RATE", 80));
    let mut table = Table::new(&format!("T6, {seconds} s without a scrape"));
    let app = app(&[]);
    let load = Load::start(&app, rate, seconds);
    let begun = Instant::now();
    // Pools and caches fill up in the first quarter.
    let quarters = [1, 2, 3, 4].map(|quarter| {
        until(begun + Duration::from_secs(seconds) * quarter / 4, || {
            app.processes.iter().for_each(Process::forget_logs);
        });
        let mut resident = SERVICES.map(|it| app.process(it).memory("VmRSS:")).to_vec();
        resident.push(app.process("sidecar").memory("VmRSS:"));
        resident
    });
    let ended = load.ended();
    ended.tell(&mut table, rate * seconds);
    table.row("answers 5xx, of a machine that has too much to do", "-", ended.failures(), true);
    for (at, service) in SERVICES.iter().enumerate() {
        let [first, second, third, last] = quarters.each_ref().map(|it| it[at]);
        let mb = |bytes: u64| bytes / 1_000_000;
        let what = format!("{service}, from {} by {} and {}", mb(first), mb(second), mb(third));
        table.grew(&what, 8, first, last);
    }
    let sidecar: Vec<u64> = quarters.iter().map(|it| it[4] / 1_000_000).collect();
    table.row("sidecar, which keeps what it shows, MB", "-", format!("{sidecar:?}"), true);
    table.judge();
}

/// Waits, and does something each second.
fn until(due: Instant, mut each_second: impl FnMut()) {
    loop {
        each_second();
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(Duration::from_secs(1)));
    }
}

/// People who load the gateway, as long as it takes.
struct Load {
    process: Process,
    report: PathBuf,
}

/// What became of a load.
struct Ended(Value);

impl Load {
    fn start(app: &App, rate: u64, seconds: u64) -> Load {
        let report = app.data.path().join("report.json");
        let (rate, duration) = (rate.to_string(), format!("{seconds}s"));
        let (url, path) = (app.url("gateway", "api"), at(&report));
        let load = ["loadtest", "--url", &url, "--rate", &rate, "--duration", &duration];
        let load = [&load[..], &["--people", "3", "--report", &path]].concat();
        Load { process: app.command(&load), report }
    }

    /// Once its time is over.
    fn ended(self) -> Ended {
        let (code, _, stderr) = self.process.end();
        assert_eq!(code, Some(0), "{stderr}");
        Ended(serde_json::from_slice(&fs::read(self.report).unwrap()).unwrap())
    }
}

impl Ended {
    /// How many answers said that the server had failed.
    fn failures(&self) -> u64 {
        let statuses = self.0["statuses"].as_object().unwrap();
        let failures = statuses.iter().filter(|it| it.0.starts_with('5'));
        failures.map(|it| it.1.as_u64().unwrap()).sum()
    }

    fn p99(&self) -> Duration {
        Duration::from_secs_f64(self.0["latency_ms"]["p99"].as_f64().unwrap() / 1e3)
    }

    /// All of them were answered, and in time.
    fn tell(&self, table: &mut Table, due: u64) {
        let Ended(report) = self;
        let requests = &report["requests"];
        table.row_of_speed(
            "requests that were sent",
            due,
            &requests["sent"],
            requests["sent"] == due,
        );
        table.equal("requests without an answer", 0, number(requests, "failed"));
        let slowest = report["latency_ms"]["max"].as_f64().unwrap();
        let deadline = DEADLINE.as_millis();
        table.row(
            "slowest answer, ms",
            format!("{deadline} at most"),
            slowest,
            slowest < deadline as f64,
        );
    }
}
