//! The numbers of the README, measured here and now: `tests/real/numbers` builds a release and runs this.
//!
//! Nothing is asserted: times on a shared machine are no test. Each ratio compares runs of the same minute.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use real::stack::{Jaeger, Ports, Storage};
use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};

use self::databases::Databases;

#[expect(dead_code, reason = "the journeys use the rest of it")]
#[path = "../journeys/databases.rs"]
mod databases;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const ROUNDS: usize = 3;
const PASSWORD: &str = "seven brave otters sing";

fn main() -> Outcome<()> {
    machine()?;
    let client = Client::builder().timeout(Duration::from_secs(150)).no_proxy().build()?;
    let only: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |part: &str| only.is_empty() || only.iter().any(|it| it == part);
    if wanted("start") {
        starting(&client)?;
    }
    if wanted("import") {
        import(&client)?;
    }
    for postgres in [false, true] {
        if wanted("libraries") {
            libraries(&client, postgres)?;
        }
        if wanted("requests") {
            requests(&client, postgres)?;
        }
    }
    if wanted("search") {
        finding(&client)?;
    }
    if wanted("sign-ins") {
        signing_in(&client)?;
    }
    if wanted("agent") {
        for spool in ["./data/spool", "memory"] {
            forwarding(&client, spool)?;
        }
        waiting(&client)?;
        arriving(&client)?;
        paying(&client)?;
    }
    Ok(())
}

fn machine() -> Outcome<()> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("?");
    let cores = thread::available_parallelism()?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let memory = memory.lines().next().unwrap_or_default().to_owned();
    let run = |program: &str, argument: &str| -> Outcome<String> {
        let output = Command::new(program).arg(argument).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    say(&format!(
        "machine   {cores} cores,{}, {memory}",
        model.trim_start_matches(['\t', ' ', ':'])
    ));
    say(&format!("          Linux {}, {}", run("uname", "-r")?, run("rustc", "--version")?));
    Ok(())
}

/// MusicWallet in one process, its lines in a file: nobody's reading is part of what is measured.
struct Running {
    child: Child,
    directory: tempfile::TempDir,
    ready: Duration,
    /// Removed after the program.
    _databases: Option<Databases>,
}

impl Running {
    fn start(client: &Client, settings: &[(&str, &str)]) -> Outcome<Running> {
        Running::start_over(client, false, settings)
    }

    fn start_over(client: &Client, postgres: bool, settings: &[(&str, &str)]) -> Outcome<Running> {
        let directory = tempfile::tempdir()?;
        let mut databases = postgres.then(databases::server).flatten().map(Databases::on);
        if postgres && databases.is_none() {
            return Err("MUSICWALLET_TEST_POSTGRES names no server; tests/real/numbers does".into());
        }
        let places = databases.as_mut().map(|it| it.settings(directory.path())).unwrap_or_default();
        let binary = std::env::var("MUSICWALLET_BINARY")?;
        let begun = Instant::now();
        let mut command = Command::new(binary);
        for service in ["GATEWAY", "ACCOUNTS", "CATALOG", "WALLET", "SIDECAR"] {
            command.env(format!("{service}_LISTEN"), "127.0.0.1:0");
            command.env(format!("{service}_INTERNAL_LISTEN"), "127.0.0.1:0");
        }
        for variable in ["SIDECAR_OTLP_GRPC", "SIDECAR_OTLP_HTTP", "SIDECAR_JAEGER", "CONSOLE"] {
            command.env(format!("{variable}_LISTEN"), "127.0.0.1:0");
        }
        let child = command
            .envs(settings.iter().copied())
            .envs(places)
            .current_dir(directory.path())
            .stdout(File::create(directory.path().join("stdout"))?)
            .stderr(Stdio::null())
            .spawn()?;
        let mut running =
            Running { child, directory, ready: Duration::ZERO, _databases: databases };
        for service in ["sidecar", "accounts", "catalog", "wallet", "gateway"] {
            while !running.is_ready(client, service) {
                thread::sleep(Duration::from_millis(2));
            }
        }
        running.ready = begun.elapsed();
        Ok(running)
    }

    fn is_ready(&self, client: &Client, service: &str) -> bool {
        let Some(url) = self.url(service, "internal") else { return false };
        client.get(format!("{url}/health/ready")).send().is_ok_and(|it| it.status() == 200)
    }

    fn url(&self, service: &str, role: &str) -> Option<String> {
        let mut text = String::new();
        let path = self.directory.path().join("stdout");
        File::open(path).ok()?.take(64 << 10).read_to_string(&mut text).ok()?;
        text.lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let told = &line["listening"];
            let this = told["service"] == service && told["role"] == role;
            this.then(|| told["addr"].as_str().map(|addr| format!("http://{addr}")))?
        })
    }

    fn api(&self) -> Outcome<String> {
        Ok(self.url("gateway", "api").ok_or("the gateway has no address")?)
    }

    /// Signs Ada up and in.
    fn token(&self, client: &Client) -> Outcome<String> {
        self.person(client, "ada")
    }

    /// Signs somebody up and in, from an address of their own if the gateway believes that.
    fn person(&self, client: &Client, name: &str) -> Outcome<String> {
        let api = self.api()?;
        let address =
            format!("10.0.{}.{}", name.len(), name.bytes().map(u32::from).sum::<u32>() % 250);
        let post = |path: &str, body: &Value| {
            client
                .post(format!("{api}{path}"))
                .header("x-forwarded-for", &address)
                .json(body)
                .send()
        };
        let email = format!("{name}@example.org");
        let who = json!({"username": name, "email": email, "password": PASSWORD});
        post("/api/users/", &who)?.error_for_status()?;
        let answer = post("/api-token-auth/", &json!({"username": name, "password": PASSWORD}))?;
        let token: Value = answer.error_for_status()?.json()?;
        Ok(token["token"].as_str().ok_or("no token")?.to_owned())
    }

    /// Resident memory in megabytes.
    fn resident(&self) -> Outcome<f64> {
        self.memory("VmRSS:")
    }

    /// A line of the process's status, in megabytes.
    fn memory(&self, name: &str) -> Outcome<f64> {
        memory(self.child.id(), name)
    }

    fn get(&self, client: &Client, path: &str, token: &str) -> Outcome<Response> {
        let request = client.get(format!("{}{path}", self.api()?));
        let request = request.header("authorization", format!("Token {token}"));
        Ok(request.send()?.error_for_status()?)
    }

    /// Imports songs, and tells how many were new.
    fn import(&self, client: &Client, token: &str, csv: Vec<u8>) -> Outcome<u64> {
        let request = client.post(format!("{}/api/musics/import", self.api()?));
        let request = request.header("authorization", format!("Token {token}"));
        let answer = request.header("content-type", "text/csv").body(csv).send()?;
        let report: Value = answer.error_for_status()?.json()?;
        Ok(report["added"].as_u64().ok_or("no count")?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn starting(client: &Client) -> Outcome<()> {
    let (mut ready, mut visible, mut resident) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let running = Running::start(client, &[])?;
        ready.push(running.ready.as_secs_f64() * 1e3);
        let token = running.token(client)?;
        let begun = Instant::now();
        let answer = client
            .get(format!("{}/api/musics/?limit=3", running.api()?))
            .header("authorization", format!("Token {token}"))
            .send()?;
        let id = answer.headers()["x-trace-id"].to_str()?.to_owned();
        let jaeger = running.url("sidecar", "jaeger").ok_or("no jaeger")?;
        // Whole: the gateway's span, which ends last, and the catalog's statement.
        loop {
            let trace = client.get(format!("{jaeger}/api/traces/{id}")).send()?.text()?;
            if trace.contains("\"GET /api/musics\"") && trace.contains("\"SELECT musics\"") {
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        visible.push(begun.elapsed().as_secs_f64() * 1e3);
        thread::sleep(Duration::from_secs(5)); // at rest is when nothing has happened for a while
        resident.push(running.resident()?);
    }
    say(&format!("ready     {} after exec", list(&ready, "ms")));
    say(&format!("trace     {} after its request, complete", list(&visible, "ms")));
    say(&format!("resident  {} at rest", list(&resident, "MB")));
    Ok(())
}

fn import(client: &Client) -> Outcome<()> {
    let shared = PathBuf::from(std::env::var("MUSICWALLET_SHARED")?);
    let songs = fs::read(shared.join("data/songs.csv"))?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let running = Running::start(client, &[])?;
        let token = running.token(client)?;
        let begun = Instant::now();
        let added = running.import(client, &token, songs.clone())?;
        times.push(begun.elapsed().as_secs_f64());
        if added != 26_159 {
            return Err(format!("the import added {added}").into());
        }
    }
    say(&format!("import    songs.csv, 26,229 rows: {}", list(&times, "s")));
    Ok(())
}

/// 44 real playlists, each by a person of its own, one after the other, into a catalog that has songs.csv.
fn libraries(client: &Client, postgres: bool) -> Outcome<()> {
    let shared = PathBuf::from(std::env::var("MUSICWALLET_SHARED")?);
    let songs = fs::read(shared.join("data/songs.csv"))?;
    let mut files: BTreeMap<String, csv::Writer<Vec<u8>>> = BTreeMap::new();
    for record in csv::Reader::from_path(shared.join("data/playlists.csv"))?.records() {
        let record = record?;
        let file = files.entry(record[0].to_owned()).or_insert_with(|| {
            let mut file = csv::Writer::from_writer(Vec::new());
            let _ = file.write_record(["title", "artist"]); // to memory
            file
        });
        file.write_record([&record[1], &record[2]])?;
    }
    let files =
        files.into_values().map(csv::Writer::into_inner).collect::<Result<Vec<Vec<u8>>, _>>()?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let trusting = [("GATEWAY_TRUSTED_PROXIES", "127.0.0.1")];
        let running = Running::start_over(client, postgres, &trusting)?;
        let api = running.api()?;
        let upload = |path: &str, token: &str, file: Vec<u8>| -> Outcome<Value> {
            let request = client.post(format!("{api}{path}")).header("content-type", "text/csv");
            let request = request.header("authorization", format!("Token {token}")).body(file);
            Ok(request.send()?.error_for_status()?.json()?)
        };
        upload("/api/musics/import", &running.token(client)?, songs.clone())?;
        let mut people = Vec::new();
        for number in 0..files.len() {
            people.push(running.person(client, &format!("person{number}"))?);
        }
        let begun = Instant::now();
        let mut kept = 0;
        for (token, file) in people.iter().zip(&files) {
            let report = upload("/api/import", token, file.clone())?;
            kept += report["added"].as_u64().ok_or("no count")?;
        }
        times.push(begun.elapsed().as_secs_f64());
        if (files.len(), kept) != (44, 24_214) {
            return Err(format!("{} libraries with {kept} songs", files.len()).into());
        }
    }
    let over = over(postgres);
    say(&format!("libraries 44 playlists, 25,061 rows, {over}: {}", list(&times, "s")));
    Ok(())
}

fn over(postgres: bool) -> &'static str {
    if postgres { "PostgreSQL (fsync off)" } else { "SQLite" }
}

fn requests(client: &Client, postgres: bool) -> Outcome<()> {
    let on: &[(&str, &str)] = &[];
    let off: &[(&str, &str)] = &[("OTEL_SDK_DISABLED", "true"), ("RUST_LOG", "warn")];
    let on = Running::start_over(client, postgres, on)?;
    let off = Running::start_over(client, postgres, off)?;
    let tokens = [on.token(client)?, off.token(client)?];
    for path in ["/api/musics/7/", "/api/musics/?limit=100", "/api/users/1/"] {
        for (running, token) in [&on, &off].into_iter().zip(&tokens) {
            if path.contains("limit") {
                more_songs(client, running, token)?;
            } else if path.contains("users") {
                fifty_favourites(client, running, token)?;
            }
        }
        let answer = client
            .get(format!("{}{path}", on.api()?))
            .header("authorization", format!("Token {}", tokens[0]))
            .send()?
            .error_for_status()?
            .bytes()?;
        let bytes = answer.len();
        let bare = bare(answer)?;
        let mut rates = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            rates[0].push(wrk(&format!("{bare}/"), "")?);
            rates[1].push(wrk(&format!("{}{path}", off.api()?), &tokens[1])?);
            rates[2].push(wrk(&format!("{}{path}", on.api()?), &tokens[0])?);
        }
        let [bare, off, on] =
            rates.each_ref().map(|rates| rates.iter().sum::<f64>() / ROUNDS as f64);
        say(&format!("requests  GET {path} ({bytes} bytes), wrk -t1 -c16, {}", over(postgres)));
        say(&format!("          bare handler {}", list(&rates[0], "/s")));
        say(&format!("          telemetry off {}", list(&rates[1], "/s")));
        say(&format!("          telemetry on  {}", list(&rates[2], "/s")));
        say(&format!(
            "          price of telemetry {:.0} %; off is {:.2} of bare, on {:.2}",
            (1.0 - on / off) * 100.0,
            off / bare,
            on / bare
        ));
    }
    say(&format!("resident  {:.0} MB after that load, telemetry on", on.resident()?));
    Ok(())
}

/// So many that a list of 100 is full.
fn more_songs(client: &Client, running: &Running, token: &str) -> Outcome<()> {
    let rows = (0..200).map(|n| format!("Song {n},Band {}\n", n % 20)).collect::<String>();
    running.import(client, token, format!("title,artist\n{rows}").into_bytes())?;
    Ok(())
}

fn fifty_favourites(client: &Client, running: &Running, token: &str) -> Outcome<()> {
    let api = running.api()?;
    for music in 41..91 {
        let request = client.post(format!("{api}/api/users/{music}/add_fav_music/"));
        request.header("authorization", format!("Token {token}")).send()?.error_for_status()?;
    }
    Ok(())
}

/// Searching, and turning pages, among 26,000 and among a million songs.
fn finding(client: &Client) -> Outcome<()> {
    let shared = PathBuf::from(std::env::var("MUSICWALLET_SHARED")?);
    let running = Running::start(client, &[])?;
    let token = running.token(client)?;
    let timed = |path: &str| -> Outcome<f64> {
        let mut times = Vec::new();
        for _ in 0..31 {
            let begun = Instant::now();
            running.get(client, path, &token)?.bytes()?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        Ok(median(&mut times))
    };
    running.import(client, &token, fs::read(shared.join("data/songs.csv"))?)?;
    let search = "/api/musics/?search=love+night&limit=20";
    say(&format!("search    two words among 26,199 songs: {:.1} ms, median of 31", timed(search)?));
    for part in 0..10 {
        let row = |n: u32| format!("Song {n} of part {part},Band {}\n", n % 5000);
        let rows: String = (0..100_000).map(row).collect();
        running.import(client, &token, format!("title,artist\n{rows}").into_bytes())?;
    }
    say(&format!("          the same among 1,026,199:     {:.1} ms", timed(search)?));
    let mut page = "/api/musics/?limit=100".to_owned();
    let first = timed(&page)?;
    for _ in 1..10_000 {
        let answer = running.get(client, &page, &token)?;
        let link = answer.headers().get("link").ok_or("no next page")?.to_str()?;
        let next = link.split_once('>').ok_or("no link")?.0;
        page = next.trim_start_matches('<').to_owned();
    }
    let last = timed(&page)?;
    say(&format!("pages     of 100: the first {first:.1} ms, the 10,000th {last:.1} ms"));
    Ok(())
}

/// Reads alone, and beside sign-ins that take half of what can be hashed.
fn signing_in(client: &Client) -> Outcome<()> {
    let running = Running::start(client, &[])?;
    let token = running.token(client)?;
    let api = running.api()?;
    let sign_in = || -> Outcome<()> {
        let who = json!({"username": "ada", "password": PASSWORD});
        let request = client.post(format!("{api}/api/session/")).json(&who);
        request.send()?.error_for_status()?;
        Ok(())
    };
    let begun = Instant::now();
    for _ in 0..10 {
        sign_in()?;
    }
    let one = begun.elapsed() / 10;
    let path = format!("{api}/api/musics/7/");
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(wrk(&path, &token)?);
        let done = AtomicBool::new(false);
        beside.push(thread::scope(|scope| {
            scope.spawn(|| {
                let mut due = Instant::now();
                while !done.load(Relaxed) && sign_in().is_ok() {
                    due += 2 * one; // one thread hashes where there are two cores
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
            });
            let rate = wrk(&path, &token);
            done.store(true, Relaxed);
            rate
        })?);
    }
    let ratio = beside.iter().sum::<f64>() / alone.iter().sum::<f64>();
    say(&format!("sign-ins  {} ms each; reads alone {}", one.as_millis(), list(&alone, "/s")));
    say(&format!("          reads beside them {}: {:.0} %", list(&beside, "/s"), ratio * 100.0));
    Ok(())
}

/// Requests of 400 spans through the agent to somebody who takes them all.
fn forwarding(client: &Client, spool: &str) -> Outcome<()> {
    const SPANS: u64 = 400;
    const SENDERS: usize = 4;
    let (sink, wire) = sink()?;
    let settings = [("SIDECAR_TRACES_ENDPOINT", sink.as_str()), ("SIDECAR_SPOOL", spool)];
    let running = Running::start(client, &settings)?;
    let rest = running.resident()?;
    let url = running.url("sidecar", "otlp-http").ok_or("no receiver")? + "/v1/traces";
    let (body, bytes) = spans(SPANS);
    let (begun, sent) = (Instant::now(), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                while begun.elapsed() < Duration::from_secs(10) {
                    let request =
                        client.post(&url).header("content-type", "application/x-protobuf");
                    if request.body(body.clone()).send().is_ok_and(|it| it.status() == 200) {
                        sent.fetch_add(SPANS, Relaxed);
                    }
                }
            });
        }
    });
    let sent = sent.into_inner();
    let books = running.url("sidecar", "console").ok_or("no console")? + "/delivery.json";
    loop {
        let told: Value = client.get(&books).send()?.json()?;
        let flow = &told["pipelines"][0];
        if flow["in_spool"] == 0 {
            // The services have some spans of their own.
            if flow["delivered"].as_u64().is_none_or(|delivered| delivered < sent) {
                return Err(format!("{sent} were sent: {flow}").into());
            }
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let rate = sent as f64 / begun.elapsed().as_secs_f64();
    let wire = wire.load(Relaxed) as f64 / sent as f64;
    say(&format!("agent     spool {spool}: {rate:.0} spans/s of {bytes} bytes, all delivered"));
    say(&format!(
        "          {wire:.0} bytes a span on the wire; resident {rest:.0} MB at rest, {:.0} MB at most (all services)",
        running.memory("VmHWM:")?
    ));
    Ok(())
}

/// What a span takes on disk while nobody takes it.
fn waiting(client: &Client) -> Outcome<()> {
    const REQUESTS: u64 = 50;
    let running = Running::start(client, &[("SIDECAR_TRACES_ENDPOINT", "http://127.0.0.1:1")])?;
    let url = running.url("sidecar", "otlp-http").ok_or("no receiver")? + "/v1/traces";
    let (body, bytes) = spans(400);
    for _ in 0..REQUESTS {
        let request = client.post(&url).header("content-type", "application/x-protobuf");
        request.body(body.clone()).send()?.error_for_status()?;
    }
    let mut disk = 0;
    for segment in fs::read_dir(running.directory.path().join("data/spool/traces"))? {
        let segment = segment?;
        if segment.path().extension().is_some_and(|it| it == "spool") {
            disk += segment.metadata()?.len();
        }
    }
    let each = disk as f64 / (REQUESTS * 400) as f64;
    say(&format!("          {each:.0} bytes on disk for a span of {bytes}"));
    Ok(())
}

/// How long a request's trace takes to the real Jaeger.
fn arriving(client: &Client) -> Outcome<()> {
    let data = tempfile::tempdir()?;
    let jaeger = Jaeger::start(Storage::Memory, Ports::Free, data.path())?;
    let running = Running::start(client, &[("SIDECAR_TRACES_ENDPOINT", &jaeger.otlp_url())])?;
    let token = running.token(client)?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let answer = running.get(client, "/api/musics/7/", &token)?;
        let id = answer.headers()["x-trace-id"].to_str()?.to_owned();
        while jaeger.trace(&id).is_err() {
            thread::sleep(Duration::from_millis(5));
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    say(&format!("          a trace is in Jaeger {} after its request", list(&times, "ms")));
    Ok(())
}

/// What requests pay for the agent, there and dead.
fn paying(client: &Client) -> Outcome<()> {
    let (sink, _) = sink()?;
    let cases: [(&str, &[(&str, &str)]); 3] = [
        ("telemetry off  ", &[("OTEL_SDK_DISABLED", "true"), ("RUST_LOG", "warn")]),
        ("with the agent ", &[("SIDECAR_TRACES_ENDPOINT", &sink)]),
        ("the agent dead ", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")]),
    ];
    say("          requests GET /api/musics/7/, wrk -t1 -c16");
    let mut all = Vec::new();
    for (name, settings) in cases {
        let running = Running::start(client, settings)?;
        let token = running.token(client)?;
        all.push((name, running, token, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (_, running, token, rates) in &mut all {
            rates.push(wrk(&format!("{}/api/musics/7/", running.api()?), token)?);
        }
    }
    for (name, _, _, rates) in &all {
        say(&format!("          {name} {}", list(rates, "/s")));
    }
    Ok(())
}

/// A request of so many spans, and what one of them takes.
fn spans(count: u64) -> (bytes::Bytes, usize) {
    let text = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    };
    let span = |number: u64| Span {
        trace_id: [number.to_be_bytes(), 7_u64.to_be_bytes()].concat(),
        span_id: (number + 1).to_be_bytes().to_vec(),
        name: "GET /api/musics/{id}".to_owned(),
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        attributes: vec![
            text("http.route", "/api/musics/{id}"),
            text("url.path", &format!("/api/musics/{number}")),
            text("user_agent.original", &"x".repeat(120)),
            text("server.address", "127.0.0.1"),
            text("db.query.text", &"y".repeat(100)),
        ],
        ..Span::default()
    };
    let scope = ScopeSpans { spans: (1..=count).map(span).collect(), ..ScopeSpans::default() };
    let resource =
        Resource { attributes: vec![text("service.name", "shop")], ..Resource::default() };
    let resource_spans = vec![ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![scope],
        ..ResourceSpans::default()
    }];
    let bytes = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    let each = bytes.len() / count as usize;
    (bytes.into(), each)
}

/// Takes everything, and counts its bytes.
fn sink() -> Outcome<(String, Arc<AtomicU64>)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let url = format!("http://{}", listener.local_addr()?);
    let taken = Arc::new(AtomicU64::new(0));
    let count = taken.clone();
    thread::spawn(move || {
        let take = async move |body: bytes::Bytes| {
            count.fetch_add(body.len() as u64, Relaxed);
        };
        let router =
            Router::new().route("/v1/traces", post(take)).layer(DefaultBodyLimit::disable());
        runtime.block_on(async { axum::serve(listener, router).await })
    });
    Ok((url, taken))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A server that does nothing but send these bytes.
fn bare(body: bytes::Bytes) -> Outcome<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        let router = Router::new().route("/", get(async move || body));
        runtime.block_on(async { axum::serve(listener, router).await })
    });
    Ok(url)
}

/// Requests per second; an answer that is no success is an error.
fn wrk(url: &str, token: &str) -> Outcome<f64> {
    let output = Command::new("wrk")
        .args(["-t1", "-c16", "-d5s", "-H", &format!("authorization: Token {token}"), url])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    if text.contains("Non-2xx") {
        return Err(text.into());
    }
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(rate.ok_or("wrk tells no rate")?.trim().parse()?)
}

/// A line of a process's status, in megabytes.
fn memory(process: u32, name: &str) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes: f64 = line.ok_or("no such line")?.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024.0)
}

fn list(values: &[f64], unit: &str) -> String {
    let digits = if values.iter().all(|value| *value < 10.0) { 2 } else { 0 };
    let all = values.iter().map(|value| format!("{value:.digits$}")).collect::<Vec<_>>();
    format!("{} {unit}", all.join(", "))
}

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn say(line: &str) {
    println!("{line}");
}
