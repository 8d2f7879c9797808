//! The really started program, in both shapes, as its users meet it: over HTTP, on free ports, with a data folder of its own.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use reqwest::{Method, blocking::Client, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::databases::Databases;

// By its path, because `tests/real` has this file in another place of its modules.
#[path = "databases.rs"]
pub(crate) mod databases;

/// Longer than anything here takes on a busy machine; reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const PASSWORD: &str = "seven brave otters sing";

/// The variables that say where to listen, all set to any free port, and the roles of those sockets.
const LISTEN: [(&str, &[(&str, &str)]); 5] = [
    (
        "sidecar",
        &[
            ("SIDECAR_OTLP_GRPC_LISTEN", "otlp-grpc"),
            ("SIDECAR_OTLP_HTTP_LISTEN", "otlp-http"),
            ("SIDECAR_JAEGER_LISTEN", "jaeger"),
            ("CONSOLE_LISTEN", "console"),
            ("SIDECAR_INTERNAL_LISTEN", "internal"),
        ],
    ),
    ("accounts", &[("ACCOUNTS_LISTEN", "api"), ("ACCOUNTS_INTERNAL_LISTEN", "internal")]),
    ("catalog", &[("CATALOG_LISTEN", "api"), ("CATALOG_INTERNAL_LISTEN", "internal")]),
    ("wallet", &[("WALLET_LISTEN", "api"), ("WALLET_INTERNAL_LISTEN", "internal")]),
    ("gateway", &[("GATEWAY_LISTEN", "api"), ("GATEWAY_INTERNAL_LISTEN", "internal")]),
];

/// How a line begins that tells an address.
const LISTENING: &str = "{\"listening\"";

/// The same of the prober, which is a process of its own beside either shape.
const PROBER: (&str, &[(&str, &str)]) = ("prober", &[("PROBER_INTERNAL_LISTEN", "internal")]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Everything in one process.
    One,
    /// A process for each service.
    Each,
}

/// Runs a journey in both shapes.
pub(crate) fn in_both_shapes(journey: impl Fn(&App)) {
    for shape in [Shape::One, Shape::Each] {
        journey(&App::start(shape));
    }
}

/// MusicWallet, running.
pub(crate) struct App {
    pub(crate) processes: Vec<Process>,
    pub(crate) data: TempDir,
    /// What every process got.
    settings: Vec<(String, String)>,
    client: Client,
    /// Last, so that they are removed after the processes.
    _databases: Option<Databases>,
}

impl App {
    pub(crate) fn start(shape: Shape) -> App {
        App::start_with(shape, &[])
    }

    /// With more settings, which every process gets.
    pub(crate) fn start_with(shape: Shape, settings: &[(&str, &str)]) -> App {
        App::start_over(databases::server().map(Databases::on), shape, settings)
    }

    /// With `LOKI_URL` at the sidecar, whose port has to be known before it has one; and somebody's token. The gateway's gate is open.
    pub(crate) fn start_shipping(shape: Shape, settings: &[(&str, &str)]) -> (App, String) {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let url = format!("http://{port}");
        let mut all = vec![("SIDECAR_OTLP_HTTP_LISTEN", port.as_str()), ("LOKI_URL", &url)];
        all.extend(settings);
        let app = App::start_with(shape, &all);
        let token = app.someone("ada");
        eventually("a line is fed", || {
            app.get("/api/musics/?limit=1", &token);
            let fed = app.metric("gateway", "telemetry_loki_fed_lines_total");
            if fed > Some(0.0) { Ok(()) } else { Err(format!("{fed:?}")) }
        });
        (app, token)
    }

    /// Over files in any case: for what is about files.
    pub(crate) fn start_sqlite(shape: Shape) -> App {
        App::start_over(None, shape, &[])
    }

    /// Over databases on a server, or over files.
    pub(crate) fn start_over(
        mut databases: Option<Databases>,
        shape: Shape,
        settings: &[(&str, &str)],
    ) -> App {
        let data = tempfile::tempdir().unwrap();
        let mut settings: Vec<(String, String)> =
            settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        settings.extend(databases.iter_mut().flat_map(|it| it.settings(data.path())));
        let mut processes = Vec::new();
        match shape {
            Shape::One => processes.push(Process::start(&[], data.path(), &pairs(&settings))),
            Shape::Each => {
                settings.push(("CATALOG_SEED".into(), "true".into()));
                for (service, _) in LISTEN {
                    let process =
                        Process::start(&["serve", service], data.path(), &pairs(&settings));
                    let mut learn = |variable: &str, role: &str| {
                        let url = format!("http://{}", process.address(service, role));
                        settings.push((variable.to_owned(), url));
                    };
                    match service {
                        "sidecar" => learn("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp-http"),
                        "accounts" => {
                            learn("CATALOG_ACCOUNTS_URL", "api");
                            learn("WALLET_ACCOUNTS_URL", "api");
                            learn("GATEWAY_ACCOUNTS_URL", "api");
                        }
                        "catalog" => {
                            learn("WALLET_CATALOG_URL", "api");
                            learn("GATEWAY_CATALOG_URL", "api");
                        }
                        "wallet" => learn("GATEWAY_WALLET_URL", "api"),
                        _ => {}
                    }
                    processes.push(process);
                }
            }
        }
        // Servers close what is idle for 5 s; nobody uses a connection that is just being closed.
        let client = Client::builder()
            .timeout(PATIENCE)
            .pool_idle_timeout(Duration::from_secs(2))
            .user_agent("journeys")
            .no_proxy()
            .build()
            .unwrap();
        let app = App { processes, data, settings, client, _databases: databases };
        app.all_are_ready();
        app
    }

    /// Starts it again in one process, after [`App::stop`], with the same data.
    pub(crate) fn start_again(&mut self) {
        self.processes = vec![Process::start(&[], self.data.path(), &pairs(&self.settings))];
        self.all_are_ready();
    }

    /// Starts a prober beside it, which walks every second.
    pub(crate) fn start_prober(&mut self) {
        let (gateway, otlp) = (self.url("gateway", "api"), self.url("sidecar", "otlp-http"));
        let own = [
            ("PROBER_GATEWAY_URL", gateway.as_str()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &otlp),
            ("PROBER_INTERVAL", "1s"),
        ];
        let settings = [pairs(&self.settings), own.to_vec()].concat();
        let prober = Process::start(&["serve", PROBER.0], self.data.path(), &settings);
        self.processes.push(prober);
        self.is_ready(PROBER.0);
    }

    /// Another command of the program, with the same settings and in the same folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Process {
        Process::launch(arguments, self.data.path(), &pairs(&self.settings))
    }

    fn all_are_ready(&self) {
        for (service, _) in LISTEN {
            self.is_ready(service);
        }
    }

    fn is_ready(&self, service: &str) {
        let ready = || self.internal(service, "/health/ready").status == 200;
        eventually(&format!("{service} is ready"), || ready().then_some(()).ok_or("not yet"));
    }

    /// The process of a service; in one process, that one.
    pub(crate) fn process(&self, service: &str) -> &Process {
        let found =
            self.processes.iter().find(|process| process.find(service, "internal").is_some());
        found.unwrap_or_else(|| panic!("nobody serves {service}"))
    }

    pub(crate) fn signal(&self, service: &str, name: &str) {
        self.process(service).signal(name);
    }

    /// Ends the process of a service at once, as a crash does.
    pub(crate) fn kill(&mut self, service: &str) {
        let at = self.position(service);
        self.processes[at].signal("KILL");
        self.processes[at].wait();
    }

    /// Starts a service again at the addresses that it had, over its data.
    pub(crate) fn restart(&mut self, service: &str) {
        self.restart_with(service, &[]);
    }

    /// The same with other settings than it had.
    pub(crate) fn restart_with(&mut self, service: &str, more: &[(&str, &str)]) {
        let at = self.position(service);
        let (_, variables) = LISTEN.iter().find(|(name, _)| *name == service).unwrap();
        let mut settings = self.settings.clone();
        for (variable, role) in *variables {
            let had = self.processes[at].find(service, role);
            settings.extend(had.map(|address| ((*variable).to_owned(), address)));
        }
        settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.processes[at] =
            Process::start(&["serve", service], self.data.path(), &pairs(&settings));
        self.is_ready(service);
    }

    fn position(&self, service: &str) -> usize {
        let found = |process: &Process| process.find(service, "internal").is_some();
        self.processes.iter().position(found).unwrap()
    }

    /// The base address of a socket.
    pub(crate) fn url(&self, service: &str, role: &str) -> String {
        let find = |process: &Process| process.find(service, role);
        let address = self.processes.iter().find_map(find);
        format!("http://{}", address.unwrap_or_else(|| panic!("{service} has no {role}")))
    }

    /// A call of the public API. `token` empty: nobody is signed in.
    pub(crate) fn call(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> Reply {
        let mut request =
            self.client.request(method, format!("{}{path}", self.url("gateway", "api")));
        if !token.is_empty() {
            request = request.header("authorization", format!("Token {token}"));
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        Reply::to(request)
    }

    pub(crate) fn get(&self, path: &str, token: &str) -> Reply {
        self.call(Method::GET, path, token, None)
    }

    pub(crate) fn post(&self, path: &str, token: &str, body: Value) -> Reply {
        self.call(Method::POST, path, token, Some(body))
    }

    /// A CSV file for the catalog.
    pub(crate) fn import(&self, token: &str, csv: impl Into<reqwest::blocking::Body>) -> Reply {
        self.upload("/api/musics/import", token, csv)
    }

    /// A library for a person.
    pub(crate) fn import_library(
        &self,
        token: &str,
        csv: impl Into<reqwest::blocking::Body>,
    ) -> Reply {
        self.upload("/api/import", token, csv)
    }

    fn upload(&self, path: &str, token: &str, csv: impl Into<reqwest::blocking::Body>) -> Reply {
        let url = format!("{}{path}", self.url("gateway", "api"));
        let request = self.client.post(url).header("content-type", "text/csv").body(csv);
        Reply::to(
            request
                .header("authorization", format!("Token {token}"))
                .timeout(Duration::from_secs(150)),
        )
    }

    /// A page of a service's internal port.
    pub(crate) fn internal(&self, service: &str, path: &str) -> Reply {
        self.open(&format!("{}{path}", self.url(service, "internal")))
    }

    /// A page of the console.
    pub(crate) fn console(&self, path: &str) -> Reply {
        self.open(&format!("{}{path}", self.url("sidecar", "console")))
    }

    pub(crate) fn open(&self, url: &str) -> Reply {
        Reply::to(self.client.get(url))
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Signs up and in; the token.
    pub(crate) fn someone(&self, username: &str) -> String {
        let email = format!("{username}@example.org");
        let new = json!({"username": username, "email": email, "password": PASSWORD});
        let signed_up = self.post("/api/users/", "", new);
        assert_eq!(signed_up.status, 201, "{signed_up:?}");
        self.token(username)
    }

    pub(crate) fn token(&self, username: &str) -> String {
        let who = json!({"username": username, "password": PASSWORD});
        let reply = self.post("/api-token-auth/", "", who);
        reply.json["token"].as_str().unwrap_or_else(|| panic!("{reply:?}")).to_owned()
    }

    /// The value of a series of a service's metrics, by the beginning of its line; `None` where it is not there.
    pub(crate) fn metric(&self, service: &str, series: &str) -> Option<f64> {
        let text = self.internal(service, "/metrics").text;
        let rest = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        rest.parse().ok()
    }

    /// Waits until the sidecar has the whole trace: exactly `expected`, as `service: name` in any order, and no orphan.
    pub(crate) fn trace_is(&self, id: &str, expected: &[&str]) -> Trace {
        let mut expected: Vec<String> = expected.iter().map(|&it| it.to_owned()).collect();
        expected.sort();
        self.trace_when(id, |trace| {
            let names = trace.names();
            let orphans = trace.orphans();
            if names == expected && orphans.is_empty() {
                return Ok(());
            }
            Err(format!("spans {names:#?}, orphans {orphans:?}; expected {expected:#?}"))
        })
    }

    /// Waits until the trace is as `complete` wants it.
    pub(crate) fn trace_when(
        &self,
        id: &str,
        complete: impl Fn(&Trace) -> Result<(), String>,
    ) -> Trace {
        let url = format!("{}/api/traces/{id}", self.url("sidecar", "jaeger"));
        eventually(&format!("trace {id} is complete"), || {
            let reply = self.open(&url);
            let trace = Trace::from(&reply.json).ok_or_else(|| format!("{reply:?}"))?;
            complete(&trace)?;
            Ok::<Trace, String>(trace)
        })
    }

    /// Stops every process as an orchestrator does, callers first; all must end well.
    pub(crate) fn stop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            let status = process.terminate();
            assert!(status.success(), "{status:?}\n{}", process.output());
        }
    }
}

fn pairs(settings: &[(String, String)]) -> Vec<(&str, &str)> {
    settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// One process of the program.
pub(crate) struct Process {
    child: Child,
    stdout: Arc<Mutex<Vec<String>>>,
    stderr: Arc<Mutex<Vec<String>>>,
    /// Who has it keeps the readers from reading.
    reading: Arc<Mutex<()>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts it, and waits until it has told all its addresses.
    pub(crate) fn start(
        arguments: &[&str],
        directory: &Path,
        settings: &[(&str, &str)],
    ) -> Process {
        let mut process = Process::launch(arguments, directory, settings);
        // Beside a real Jaeger nobody else answers for it.
        let has_jaeger = settings.iter().any(|(name, _)| *name == "SIDECAR_TRACES_ENDPOINT");
        let alone = arguments.get(1).copied();
        let expected = LISTEN
            .into_iter()
            .chain(alone.map(|_| PROBER))
            .filter(|(service, _)| alone.is_none_or(|it| it == *service))
            .flat_map(|(_, variables)| variables)
            .filter(|(_, role)| !(has_jaeger && *role == "jaeger"))
            .count();
        eventually("the program listens", || {
            if let Some(status) = process.child.try_wait().unwrap() {
                panic!("it ended with {status}:\n{}", process.output());
            }
            let told = process.listening().len();
            if told == expected { Ok(()) } else { Err(format!("{told} of {expected} sockets")) }
        });
        process
    }

    /// Starts it; it may well fail.
    pub(crate) fn launch(
        arguments: &[&str],
        directory: &Path,
        settings: &[(&str, &str)],
    ) -> Process {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(directory).env_clear().envs(settings.iter().copied());
        for (variable, _) in LISTEN.iter().chain([&PROBER]).flat_map(|(_, variables)| *variables) {
            if !settings.iter().any(|(name, _)| name == variable) {
                command.env(variable, "127.0.0.1:0");
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let reading = Arc::default();
        let (stdout, first) = collect(child.stdout.take().unwrap(), &reading);
        let (stderr, second) = collect(child.stderr.take().unwrap(), &reading);
        Process { child, stdout, stderr, reading, readers: vec![first, second] }
    }

    /// Waits for its end: code, stdout and stderr.
    pub(crate) fn end(mut self) -> (Option<i32>, String, String) {
        let status = self.wait();
        let stdout = self.stdout.lock().unwrap().join("\n");
        let stderr = self.stderr.lock().unwrap().join("\n");
        (status.code(), stdout, stderr)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Nobody reads what it writes until this is dropped.
    pub(crate) fn unread(&self) -> MutexGuard<'_, ()> {
        self.reading.lock().unwrap()
    }

    /// Bytes of memory that it has now (`VmRSS`) or had at most (`VmHWM`).
    pub(crate) fn memory(&self, which: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap();
        let kibibytes = line.trim_matches(|it: char| !it.is_ascii_digit());
        kibibytes.parse::<u64>().unwrap() << 10
    }

    /// SIGTERM, and the end that it leads to.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        // The shell's own `kill`: not every system has the program.
        let script = ["-c", "kill -\"$0\" \"$1\"", name, &id];
        let sent = Command::new("sh").args(script).status().unwrap();
        assert!(sent.success(), "kill -{name} {id}");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let status = eventually("the process ends", || child.try_wait().unwrap().ok_or("it runs"));
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status
    }

    /// Forgets its log lines so far: hours have gigabytes of them.
    pub(crate) fn forget_logs(&self) {
        self.stdout.lock().unwrap().retain(|line| line.starts_with(LISTENING));
    }

    /// Its log lines so far.
    pub(crate) fn logs(&self) -> Vec<Value> {
        let lines = self.stdout.lock().unwrap();
        let parsed = lines.iter().map(|line| {
            serde_json::from_str(line)
                .unwrap_or_else(|_| panic!("stdout has a line that is no JSON: {line}"))
        });
        parsed.filter(|line: &Value| line["listening"].is_null()).collect()
    }

    pub(crate) fn output(&self) -> String {
        let (stdout, stderr) = (self.stdout.lock().unwrap(), self.stderr.lock().unwrap());
        format!("{}\n{}", stdout.join("\n"), stderr.join("\n"))
    }

    pub(crate) fn address(&self, service: &str, role: &str) -> String {
        self.find(service, role).unwrap_or_else(|| panic!("{service} {role}:\n{}", self.output()))
    }

    pub(crate) fn find(&self, service: &str, role: &str) -> Option<String> {
        self.listening().remove(&(service.to_owned(), role.to_owned()))
    }

    fn listening(&self) -> HashMap<(String, String), String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let lines = self.stdout.lock().unwrap();
        // Of some thousand lines, not all are worth reading at each request.
        let told = lines.iter().filter(|line| line.starts_with(LISTENING)).filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let told = line.get("listening")?;
            Some(((text(&told["service"]), text(&told["role"])), text(&told["addr"])))
        });
        told.collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let (stdout, stderr) = (self.stdout.lock().unwrap(), self.stderr.lock().unwrap());
            eprintln!("--- output of process {}:", self.id());
            essence(&stdout).chain(essence(&stderr)).for_each(|line| eprintln!("{line}"));
        }
    }
}

/// What helps to understand a failure, so short that what the test said is still in sight above it: the last warnings and errors, and the end.
fn essence(output: &[String]) -> impl Iterator<Item = String> {
    let (before, end) = output.split_at(output.len().saturating_sub(15));
    let told = before.iter().rev().filter(|line| !line.contains(r#""level":"INFO""#));
    let told: Vec<&String> = told.take(15).collect();
    let kept = told.into_iter().rev().chain(end);
    kept.map(|line| line.chars().take(500).collect())
}

fn collect(
    stream: impl std::io::Read + Send + 'static,
    reading: &Arc<Mutex<()>>,
) -> (Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (kept, reading) = (lines.clone(), Arc::clone(reading));
    let reader = thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            drop(reading.lock());
            kept.lock().unwrap().push(line);
        }
    });
    (lines, reader)
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Reply {
    pub(crate) fn to(request: reqwest::blocking::RequestBuilder) -> Reply {
        let response = request.send().unwrap_or_else(|error| panic!("{error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Reply { status, headers, text, json }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Every value of a header.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    pub(crate) fn trace_id(&self) -> &str {
        self.header("x-trace-id")
    }

    /// That it is a problem of this status and kind.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, kind: &str) -> &Reply {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.json["type"], format!("/problems/{kind}"), "{self:?}");
        self
    }

    /// The pointers of the mistakes that a problem names.
    pub(crate) fn pointers(&self) -> Vec<&str> {
        let errors = self.json["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect()
    }
}

/// A trace as Jaeger's API tells it.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) spans: Vec<Span>,
}

#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) tags: HashMap<String, Value>,
    /// Microseconds since 1970.
    pub(crate) start: u64,
    /// Microseconds.
    pub(crate) duration: u64,
}

impl Trace {
    /// The only trace in an answer of Jaeger's API v1.
    pub(crate) fn from(json: &Value) -> Option<Trace> {
        let trace = json["data"].get(0)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let span = |span: &Value| Span {
            id: text(&span["spanID"]),
            parent: span["references"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|it| it["refType"] == "CHILD_OF")
                .map(|it| text(&it["spanID"])),
            service: text(&trace["processes"][span["processID"].as_str().unwrap()]["serviceName"]),
            name: text(&span["operationName"]),
            tags: span["tags"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|tag| (text(&tag["key"]), tag["value"].clone()))
                .collect(),
            start: span["startTime"].as_u64().unwrap_or_default(),
            duration: span["duration"].as_u64().unwrap_or_default(),
        };
        Some(Trace { spans: trace["spans"].as_array()?.iter().map(span).collect() })
    }

    /// `service: name` of each span, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |span: &Span| format!("{}: {}", span.service, span.name);
        let mut names: Vec<String> = self.spans.iter().map(name).collect();
        names.sort();
        names
    }

    /// Spans whose parent is not in the trace; the root has none.
    pub(crate) fn orphans(&self) -> Vec<&Span> {
        let known = |id: &String| self.spans.iter().any(|span| span.id == *id);
        let roots = self.spans.iter().filter(|span| span.parent.is_none()).count();
        assert!(roots <= 1, "{roots} roots: {:#?}", self.names());
        self.spans.iter().filter(|span| span.parent.as_ref().is_some_and(|it| !known(it))).collect()
    }

    pub(crate) fn span(&self, name: &str) -> &Span {
        let found =
            self.spans.iter().find(|span| format!("{}: {}", span.service, span.name) == name);
        found.unwrap_or_else(|| panic!("no {name} in {:#?}", self.names()))
    }
}

/// Polls until there is an answer; panics after a while with what was there instead.
#[track_caller]
pub(crate) fn eventually<T, E: std::fmt::Display>(
    what: &str,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(instead) => assert!(Instant::now() < deadline, "never: {what}; {instead}"),
        }
        thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn binary() -> PathBuf {
    // `tests/real` is another package, for which cargo names no program; and `tests/real/endurance` means a release build.
    let named = std::env::var_os("MUSICWALLET_BINARY").map(PathBuf::from);
    let built = option_env!("CARGO_BIN_EXE_musicwallet").map(PathBuf::from);
    named.or(built).expect("MUSICWALLET_BINARY names the program")
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::canonicalize(package.join("../..")).unwrap()
}
