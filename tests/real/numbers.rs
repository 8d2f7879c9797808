//! The numbers of the README, measured here and now: `tests/real/numbers` builds a release and runs this.
//!
//! Nothing is asserted: times on a shared machine are no test. Each ratio compares runs of the same minute.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use reqwest::blocking::Client;
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const ROUNDS: usize = 3;
const PASSWORD: &str = "seven brave otters sing";

fn main() -> Outcome<()> {
    machine()?;
    let client = Client::builder().timeout(Duration::from_secs(150)).no_proxy().build()?;
    starting(&client)?;
    import(&client)?;
    libraries(&client)?;
    requests(&client)?;
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
}

impl Running {
    fn start(client: &Client, settings: &[(&str, &str)]) -> Outcome<Running> {
        let directory = tempfile::tempdir()?;
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
            .current_dir(directory.path())
            .stdout(File::create(directory.path().join("stdout"))?)
            .stderr(Stdio::null())
            .spawn()?;
        let mut running = Running { child, directory, ready: Duration::ZERO };
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
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes: f64 = line.ok_or("no VmRSS")?.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes / 1024.0)
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
        let answer = client
            .post(format!("{}/api/musics/import", running.api()?))
            .header("authorization", format!("Token {token}"))
            .header("content-type", "text/csv")
            .body(songs.clone())
            .send()?
            .error_for_status()?;
        times.push(begun.elapsed().as_secs_f64());
        let report: Value = answer.json()?;
        if report["added"] != 26_159 {
            return Err(format!("the import reports {report}").into());
        }
    }
    say(&format!("import    songs.csv, 26,229 rows: {}", list(&times, "s")));
    Ok(())
}

/// 44 real playlists, each by a person of its own, one after the other, into a catalog that has songs.csv.
fn libraries(client: &Client) -> Outcome<()> {
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
        let running = Running::start(client, &[("GATEWAY_TRUSTED_PROXIES", "127.0.0.1")])?;
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
    say(&format!("libraries 44 playlists, 25,061 rows: {}", list(&times, "s")));
    Ok(())
}

fn requests(client: &Client) -> Outcome<()> {
    let on: &[(&str, &str)] = &[];
    let off: &[(&str, &str)] = &[("OTEL_SDK_DISABLED", "true"), ("RUST_LOG", "warn")];
    let (on, off) = (Running::start(client, on)?, Running::start(client, off)?);
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
        say(&format!("requests  GET {path} ({bytes} bytes), wrk -t1 -c16"));
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
    client
        .post(format!("{}/api/musics/import", running.api()?))
        .header("authorization", format!("Token {token}"))
        .header("content-type", "text/csv")
        .body(format!("title,artist\n{rows}"))
        .send()?
        .error_for_status()?;
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

fn list(values: &[f64], unit: &str) -> String {
    let digits = if values.iter().all(|value| *value < 10.0) { 2 } else { 0 };
    let all = values.iter().map(|value| format!("{value:.digits$}")).collect::<Vec<_>>();
    format!("{} {unit}", all.join(", "))
}

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn say(line: &str) {
    println!("{line}");
}
