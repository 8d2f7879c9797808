//! All of MusicWallet beside all of the operators' stack, and a load.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use real::stack::{Exporter, Ports, Stack};
use serde::Deserialize;
use tempfile::TempDir;

use crate::{
    harness::{App, Process, Reply, Shape, databases::Databases, eventually},
    ledger::sum,
    postgres::Server,
};

/// Those whose metrics are scraped.
pub(super) const SERVICES: [&str; 6] =
    ["gateway", "accounts", "catalog", "wallet", "sidecar", "prober"];

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    Usual,
    /// Minutes of rules and routes are seconds, and the prober walks every two seconds.
    Hurried,
}

/// One at a time: several would be each other's load.
static ONE: Mutex<()> = Mutex::new(());

/// MusicWallet over PostgreSQL, a process each, and what is beside it. Dropped from the first field on: callers before those they call.
pub(super) struct System {
    pub(super) prober: Process,
    pub(super) app: App,
    pub(super) postgres: Exporter,
    pub(super) stack: Stack,
    pub(super) server: Server,
    _data: TempDir,
    _one: MutexGuard<'static, ()>,
}

impl System {
    pub(super) fn start(pace: Pace, more: &[(&str, &str)]) -> System {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let data = tempfile::tempdir().unwrap();
        let (stack, probes) = match pace {
            Pace::Usual => (Stack::start(Ports::Free, data.path()), "30s"),
            Pace::Hurried => (Stack::start_hurried(Ports::Free, data.path()), "2s"),
        };
        let stack = stack.unwrap();
        let server = Server::start();
        let postgres = Exporter::of_postgres(&server.url(), Ports::Free, data.path()).unwrap();
        let destinations = [
            ("SIDECAR_TRACES_ENDPOINT", stack.jaeger.otlp_url()),
            ("SIDECAR_LOGS_ENDPOINT", stack.loki.otlp_url()),
            ("SIDECAR_METRICS_ENDPOINT", stack.prometheus.otlp_url()),
            ("CONSOLE_PROMETHEUS", stack.prometheus.url()),
        ];
        let mut settings: Vec<(&str, &str)> =
            destinations.iter().map(|(name, value)| (*name, value.as_str())).collect();
        settings.extend(more);
        let databases = Databases::on(server.url());
        let app = App::start_over(Some(databases), Shape::Each, &settings);
        let prober = prober(&app, probes);
        let system = System { prober, app, postgres, stack, server, _data: data, _one: one };
        system.watch();
        system
    }

    /// Where the internal port of a service is: `address:port`.
    pub(super) fn internal(&self, service: &str) -> String {
        match service {
            "prober" => self.prober.address("prober", "internal"),
            other => self.app.url(other, "internal").replace("http://", ""),
        }
    }

    /// Prints what everything takes of the memory; nothing is asserted, because builds for tests are larger.
    pub(super) fn tell_costs(&self) {
        let own = SERVICES.into_iter().map(|service| match service {
            "prober" => (service, self.prober.id()),
            other => (other, self.app.process(other).id()),
        });
        let Stack { jaeger, loki, prometheus, alertmanager, node } = &self.stack;
        let others = [
            ("PostgreSQL", self.server.id().unwrap()),
            ("postgres_exporter", self.postgres.program.id()),
            ("Jaeger", jaeger.program.id()),
            ("Loki", loki.program.id()),
            ("Prometheus", prometheus.program.id()),
            ("Alertmanager", alertmanager.program.id()),
            ("node_exporter", node.program.id()),
        ];
        let tell = |(name, id): (&str, u32)| {
            let megabytes = memory(id) / 1e6;
            eprintln!("operators {name:20} {megabytes:6.0} MB at rest");
            megabytes
        };
        let own: f64 = own.map(tell).sum();
        let all: f64 = own + others.into_iter().map(tell).sum::<f64>();
        eprintln!(
            "operators ours {own:.0} MB (asked: 150), all but Grafana {all:.0} MB (asked: 700)"
        );
    }

    /// How many series Prometheus has of each service.
    pub(super) fn tell_series(&self) {
        let series = "scrape_samples_post_metric_relabeling{service_name!=\"\"}";
        for it in self.stack.prometheus.query(series).unwrap() {
            eprintln!("operators {:20} {:6} series", it.labels["service_name"], it.value);
        }
    }

    /// Has Prometheus scrape it all, and Alertmanager tell the console, and waits until all targets are up.
    fn watch(&self) {
        let prometheus = &self.stack.prometheus;
        let addresses = SERVICES.map(|it| (it, self.internal(it)));
        let targets: Vec<(&str, &str)> =
            addresses.iter().map(|(service, address)| (*service, address.as_str())).collect();
        prometheus.scrape(&targets).unwrap();
        prometheus.watch("postgres", self.postgres.address()).unwrap();
        self.stack.alertmanager.tell(&self.app.url("sidecar", "internal")).unwrap();
        self.stack.watch().unwrap();
        // Besides those of the stack.
        let expected = 5 + 1 + SERVICES.len();
        eventually("every target is up", || {
            let targets = prometheus.targets().map_err(|it| format!("{it:#}"))?;
            let up = targets.iter().filter(|it| it.health == "up").count();
            if up == expected && targets.len() == expected {
                Ok(())
            } else {
                Err(format!("{up} of {expected} are up: {targets:#?}"))
            }
        });
    }
}

/// The bytes of a process and those that it has started, where several share some each with its part.
fn memory(process: u32) -> f64 {
    let folder = format!("/proc/{process}");
    let text = fs::read_to_string(format!("{folder}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|it| it.strip_prefix("Pss:")).unwrap();
    let own: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    let children = fs::read_to_string(format!("{folder}/task/{process}/children")).unwrap();
    let children = children.split_whitespace().map(|it| memory(it.parse().unwrap()));
    own * 1024.0 + children.sum::<f64>()
}

fn prober(app: &App, interval: &str) -> Process {
    let password = app.data.path().join("prober-password");
    fs::write(&password, "a password of the prober\n").unwrap();
    let gateway = app.url("gateway", "api");
    let sidecar = app.url("sidecar", "otlp-http");
    Process::start(
        &["serve", "prober"],
        app.data.path(),
        &[
            ("PROBER_GATEWAY_URL", &gateway),
            ("PROBER_PASSWORD_FILE", password.to_str().unwrap()),
            ("PROBER_INTERVAL", interval),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &sidecar),
        ],
    )
}

/// An answer that the load generator got.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) latency_ms: f64,
    pub(super) ended_unix_ms: u64,
}

/// Requests per second of the load.
pub(super) const RATE: f64 = 40.0;
/// Long enough that the failures in its middle, and the calm at its end, are within what panels look back to, which is 20 s.
const SECONDS: u64 = 60;
/// The catalog is frozen when it has answered so many requests, a while after the load has begun, and so long, which is longer than its callers wait.
const SERVED: u64 = 200;
const FROZEN: Duration = Duration::from_secs(8);
/// So long after its thaw all failures are over.
const OVER: f64 = 12.0;

/// A load. In its first half the catalog does not answer for a while, and requests fail.
pub(super) struct Load {
    /// Seconds since 1970: when the very first request was sent, of the load before this one.
    pub(super) first: f64,
    pub(super) began: f64,
    pub(super) failed: f64,
    pub(super) ended: f64,
    pub(super) answers: Vec<Answer>,
}

impl Load {
    pub(super) fn run(system: &System) -> Load {
        let app = &system.app;
        // A series that begins with a failure does not show how many came before its first scrape. So each has failed once before.
        let first = now();
        let running = Running::start(app, RATE, 9);
        freeze(app, 20, Duration::from_secs(6));
        running.ended();
        let seen = "count(http_server_request_duration_seconds_count{service_name=\"gateway\", http_response_status_code=\"503\"})";
        eventually("the first failures are scraped", || {
            let found = system.stack.prometheus.query(seen).map_err(|it| format!("{it:#}"))?;
            if found.first().is_some_and(|it| it.value >= 3.0) {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        });

        let importer = app.someone("importer");
        let began = now();
        let running = Running::start(app, RATE, SECONDS);
        thread::scope(|scope| {
            let imports = scope.spawn(|| imports(app, &importer, began + SECONDS as f64));
            freeze(app, SERVED, FROZEN);
            let failed = now() + OVER;
            let mut answers = running.ended();
            answers.extend(imports.join().unwrap());
            Load { first, began, failed, ended: now(), answers }
        })
    }
}

/// A file for the catalog, a library and its export, again and again: the load generator has none of them.
fn imports(app: &App, token: &str, until: f64) -> Vec<Answer> {
    let songs = "title,artist\nHeath,Fen\nMire,Fen\n";
    let ways: [&dyn Fn() -> Reply; 3] =
        [&|| app.import(token, songs), &|| app.import_library(token, songs), &|| {
            app.get("/api/export", token)
        }];
    let mut answers = Vec::new();
    for way in ways.iter().cycle().take_while(|_| now() < until) {
        let begun = Instant::now();
        let reply = way();
        answers.push(Answer {
            status: reply.status,
            latency_ms: begun.elapsed().as_secs_f64() * 1e3,
            ended_unix_ms: (now() * 1e3) as u64,
        });
        thread::sleep(Duration::from_millis(400)); // so often; nothing is waited for
    }
    answers
}

/// Once it has answered so many more requests, the catalog answers none for a while.
fn freeze(app: &App, after: u64, time: Duration) {
    let family = "http_server_request_duration_seconds_count";
    let served = || sum(&app.internal("catalog", "/metrics").text, family, "route=\"/musics");
    let before = served();
    eventually("the catalog has answered some", || {
        let served = served() - before;
        if served >= after { Ok(()) } else { Err(format!("{served} so far")) }
    });
    app.signal("catalog", "STOP");
    thread::sleep(time); // so long is the fault; nothing is waited for
    app.signal("catalog", "CONT");
}

/// A load generator that runs.
struct Running {
    process: Process,
    answers: PathBuf,
    /// Written last.
    report: PathBuf,
    /// When it is over at the latest.
    deadline: Instant,
}

impl Running {
    fn start(app: &App, rate: f64, seconds: u64) -> Running {
        let [answers, report] = ["answers.jsonl", "report.json"].map(|it| app.data.path().join(it));
        fs::write(&report, "").unwrap(); // not that of the load before
        let (url, duration, rate) =
            (app.url("gateway", "api"), format!("{seconds}s"), rate.to_string());
        let mut arguments = vec!["loadtest", "--url", &url, "--people", "5", "--rate", &rate];
        arguments.extend(["--duration", &duration, "--trace-ids", answers.to_str().unwrap()]);
        arguments.extend(["--report", report.to_str().unwrap()]);
        let deadline = Instant::now() + Duration::from_secs(seconds + 30);
        Running { process: app.command(&arguments), answers, report, deadline }
    }

    fn ended(self) -> Vec<Answer> {
        let written = || fs::metadata(&self.report).is_ok_and(|it| it.len() > 0);
        while !written() && Instant::now() < self.deadline {
            thread::sleep(Duration::from_millis(100));
        }
        let (code, _, stderr) = self.process.end();
        assert_eq!(code, Some(0), "{stderr}");
        let text = fs::read_to_string(self.answers).unwrap();
        text.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
    }
}

/// People who go on until this is dropped.
pub(super) fn traffic(app: &App) -> impl Drop + use<> {
    Running::start(app, 20.0, 3_600).process
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}
