//! Alerts in anger: faults are caused for real, one of each class, and each is followed through Prometheus and Alertmanager to the console and
//! to its end. The rules are the shipped ones, their durations divided by 60.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use real::stack::{Stack, tool};
use serde_json::Value;

use super::system::{Pace, System, now, traffic};
use crate::{
    harness::{App, databases::sql},
    ledger::sum,
    shipped::{list, text},
};

/// How long an alert may take until it has reached the console, or is over there: the longest window is 120 s.
const PATIENCE: Duration = Duration::from_secs(200);

/// What may fire by what is done here, and is not looked for: the one that always does, the one that only silences others, a spool that is
/// full, and a console that hears nothing for a while.
const FOLLOW: [&str; 4] =
    ["Watchdog", "DatabaseWasDown", "SidecarRequestsRefused", "WatchdogSilent"];

/// What is looked for: an alert by its name and some of its labels.
#[derive(Clone, Debug)]
struct Expected {
    name: &'static str,
    labels: Vec<(&'static str, &'static str)>,
    /// It has to last before it fires: so it is seen pending.
    pending: bool,
}

/// One that fires at once.
fn fires(name: &'static str, labels: &[(&'static str, &'static str)]) -> Expected {
    Expected { name, labels: labels.to_vec(), pending: false }
}

/// One whose rule says `for`.
fn pends(name: &'static str, labels: &[(&'static str, &'static str)]) -> Expected {
    Expected { pending: true, ..fires(name, labels) }
}

impl Expected {
    fn is(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(name, value)| labels.get(*name).is_some_and(|it| it == value))
    }

    fn selector(&self, state: &str) -> String {
        let labels: String =
            self.labels.iter().map(|(name, value)| format!(", {name}=\"{value}\"")).collect();
        format!("ALERTS{{alertname=\"{}\", alertstate=\"{state}\"{labels}}}", self.name)
    }
}

/// The whole of it.
struct Day {
    system: System,
    began: f64,
    /// What has fired so far, and must be over in the end.
    told: Vec<Expected>,
}

#[test]
fn every_class_of_alert_is_caused_fires_reaches_the_console_and_ends() {
    let begun = Instant::now();
    // As small as it may be, so that it can be filled.
    let system = System::start(Pace::Hurried, &[("SIDECAR_SPOOL_SIZE", "16MiB")]);
    let traffic = traffic(&system.app);
    let mut day = Day { system, began: now(), told: Vec::new() };

    day.is_calm();
    day.a_service_is_killed();
    day.a_service_is_frozen();
    day.a_service_says_nothing();
    day.the_destinations_are_dead();
    day.the_console_cannot_be_reached();
    day.the_database_is_slow();
    day.the_database_is_stopped();
    day.all_is_over();
    day.nobody_watches();
    drop(traffic);
    eprintln!("alerts in anger took {:.0} s", begun.elapsed().as_secs_f64());
}

impl Day {
    /// With traffic, and without a fault, nobody is told anything.
    fn is_calm(&mut self) {
        let heartbeat = || self.system.app.console("/alerts.json").json["watchdog"]["last"].clone();
        self.until("the watchdog is heard of", || heartbeat().is_string());
        let requests = "sum(increase(http_server_request_duration_seconds_count{service_name=\"gateway\"}[30s]))";
        self.until("there is half a minute of traffic", || {
            let found = self.system.stack.prometheus.query(requests).unwrap();
            found.first().is_some_and(|it| it.value > 400.0)
        });
        // A build for tests on a busy machine may well be slower than the objectives allow.
        let firing = "ALERTS{alertstate=\"firing\", alertname!~\"Watchdog|LatencyBurning\"}";
        let firing =
            self.system.stack.prometheus.query_range(firing, self.began, now(), 1.0).unwrap();
        assert!(firing.is_empty(), "nothing is wrong: {firing:#?}");
        let record = self.system.app.console("/alerts.json").json;
        let mut told = list(&record["alerts"]).filter(|it| it["name"] != "LatencyBurning");
        assert_eq!(told.next(), None);
    }

    fn a_service_is_killed(&mut self) {
        self.causes(
            |system| system.app.kill("wallet"),
            &[
                pends("TargetDown", &[("service_name", "wallet"), ("severity", "page")]),
                fires(
                    "AvailabilityBurning",
                    &[("service_name", "gateway"), ("journey", "write"), ("severity", "page")],
                ),
                pends("ProberFailing", &[("severity", "page")]),
            ],
        );
        self.system.app.restart("wallet");
    }

    /// Its port takes connections, and nobody answers.
    fn a_service_is_frozen(&mut self) {
        self.causes(
            |system| system.app.signal("catalog", "STOP"),
            &[
                pends("TargetDown", &[("service_name", "catalog"), ("severity", "page")]),
                fires(
                    "AvailabilityBurning",
                    &[("service_name", "gateway"), ("journey", "read"), ("severity", "page")],
                ),
            ],
        );
        self.system.app.signal("catalog", "CONT");
    }

    /// It is up and does its work, but its telemetry goes nowhere.
    fn a_service_says_nothing(&mut self) {
        let nowhere = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
        self.causes(
            |system| {
                system.app.kill("accounts");
                system.app.restart_with("accounts", &[nowhere]);
            },
            &[
                pends("ServiceSilent", &[("service_name", "accounts"), ("severity", "page")]),
                fires("TelemetryFailed", &[("service_name", "accounts"), ("severity", "ticket")]),
            ],
        );
        self.system.app.kill("accounts");
        self.system.app.restart("accounts");
    }

    /// What cannot be delivered waits in the spool, and then in no place.
    fn the_destinations_are_dead(&mut self) {
        self.causes(
            |system| {
                system.stack.loki.program.kill();
                system.stack.jaeger.program.kill();
            },
            &[
                pends("DestinationFailing", &[("signal", "traces"), ("severity", "ticket")]),
                pends("DestinationFailing", &[("signal", "logs"), ("severity", "ticket")]),
                pends("TargetDown", &[("job", "jaeger"), ("severity", "page")]),
            ],
        );
        // Somebody logs a lot.
        let mut flood = None;
        self.causes(
            |system| flood = Some(Flood::at(&system.app.url("sidecar", "otlp-http"))),
            &[
                pends("SpoolFilling", &[("signal", "logs"), ("severity", "ticket")]),
                fires(
                    "SidecarItemsDropped",
                    &[("signal", "logs"), ("reason", "spool_full"), ("severity", "ticket")],
                ),
            ],
        );
        drop(flood);
        self.system.stack.loki.program.start_again().unwrap();
        self.system.stack.jaeger.program.start_again().unwrap();
    }

    /// Nothing arrives where people look; it is told when it does again.
    fn the_console_cannot_be_reached(&mut self) {
        let expected = fires("NotificationsFailing", &[("severity", "ticket")]);
        self.are_over(std::slice::from_ref(&expected));
        let Stack { alertmanager, prometheus, .. } = &self.system.stack;
        alertmanager.tell("http://127.0.0.1:9").unwrap();
        self.until("Alertmanager has noticed", || {
            !prometheus.query(&expected.selector("firing")).unwrap().is_empty()
        });
        alertmanager.tell(&self.system.app.url("sidecar", "internal")).unwrap();
        self.are_told(&[expected]);
    }

    /// Somebody holds a lock on a table most of the time.
    fn the_database_is_slow(&mut self) {
        let database =
            self.system.server.sql("SELECT datname FROM pg_database WHERE datname LIKE 'catalog%'");
        let server = self.system.server.url();
        let (place, _) = server.rsplit_once('/').unwrap();
        let url = format!("{place}/{database}");
        sql(&url, &["BEGIN; LOCK TABLE musics; COMMIT"]); // so that it is no mistake of ours when nothing becomes slow
        let lock = "BEGIN; LOCK TABLE musics; SELECT pg_sleep(0.7); COMMIT; SELECT pg_sleep(0.05);";
        let script = format!("while psql -qXAt -d \"$0\" -c '{lock}'; do :; done");
        let mut command = Command::new("sh");
        command.args(["-c", &script, &url]).stdout(Stdio::null());
        let more = traffic(&self.system.app); // than have a connection each while they wait
        let mut holder = None;
        self.causes(
            |_| holder = command.spawn().ok(),
            &[
                fires(
                    "LatencyBurning",
                    &[("service_name", "catalog"), ("journey", "read"), ("severity", "page")],
                ),
                fires("PoolSaturated", &[("service_name", "catalog"), ("severity", "ticket")]),
            ],
        );
        end(&mut holder.expect("there is a shell"));
        drop(more);
    }

    /// One page says it; what follows from it is known, and not told.
    fn the_database_is_stopped(&mut self) {
        // Alertmanager does not tell the end of what it keeps back.
        let pages = self.told.iter().filter(|it| it.labels.contains(&("severity", "page")));
        self.are_over(&pages.cloned().collect::<Vec<_>>());
        self.until("nobody is paged for anything before", || {
            let pages = "ALERTS{severity=\"page\", alertname!=\"LatencyBurning\"}";
            self.system.stack.prometheus.query(pages).unwrap().is_empty() && self.pages().is_empty()
        });
        let down = pends("DatabaseDown", &[("severity", "page")]);
        self.causes(|system| system.server.stop(), std::slice::from_ref(&down));
        let symptom =
            fires("AvailabilityBurning", &[("service_name", "accounts"), ("severity", "page")]);
        self.until("its symptoms are known to Alertmanager, and silenced", || {
            let alerts = self.system.stack.alertmanager.alerts().unwrap();
            let mut symptoms = alerts
                .iter()
                .filter(|it| it.labels["alertname"] == symptom.name && symptom.is(&it.labels));
            symptoms.any(|it| it.status.state == "suppressed" && !it.status.inhibited_by.is_empty())
        });
        assert_eq!(self.pages(), [down.name], "who is paged once needs no more");
        self.system.server.start_again();
    }

    /// The names of the pages that the console shows as firing, but for what a slow machine may cause.
    fn pages(&self) -> Vec<String> {
        let record = self.system.app.console("/alerts.json").json;
        let firing = list(&record["alerts"])
            .filter(|it| it["severity"] == "page" && it["state"] == "firing")
            .filter(|it| it["name"] != "LatencyBurning");
        firing.map(|it| text(&it["name"])).collect()
    }

    /// Prometheus and Alertmanager are gone: the application does not notice, the console says what is missing, and it comes back by itself.
    fn nobody_watches(&mut self) {
        let text = |app: &App| app.internal("gateway", "/metrics").text;
        let family = "http_server_request_duration_seconds_count";
        let answered = |app: &App| sum(&text(app), family, "");
        let failed = |app: &App| sum(&text(app), family, "http_response_status_code=\"5");
        let before = failed(&self.system.app);
        self.system.stack.prometheus.program.kill();
        self.system.stack.alertmanager.program.kill();
        let budgets = || self.system.app.console("/alerts.json").json["objectives"].take();
        self.until("the console says that Prometheus is gone", || {
            budgets()["trouble"].as_str().is_some_and(|it| it.contains("cannot be reached"))
        });
        let page = self.system.app.console("/alerts").text;
        assert!(page.contains("cannot be reached"), "{page}");
        let heard = || self.system.app.console("/alerts.json").json["watchdog"]["last"].take();
        let last = heard();
        let so_far = answered(&self.system.app);
        self.until("200 requests more were answered", || {
            answered(&self.system.app) >= so_far + 200
        });
        assert_eq!(failed(&self.system.app), before, "requests do not notice");
        self.system.stack.alertmanager.program.start_again().unwrap();
        self.system.stack.prometheus.program.start_again().unwrap();
        self.until("the console has the objectives again", || {
            let budgets = budgets();
            budgets["trouble"].is_null() && list(&budgets["list"]).next().is_some()
        });
        self.until("the watchdog is heard of again", || heard() != last);
    }

    /// Causes a fault, once what is expected of it is not there for another reason, and waits until the console was told.
    fn causes(&mut self, fault: impl FnOnce(&mut System), expected: &[Expected]) {
        self.are_over(expected);
        fault(&mut self.system);
        self.are_told(expected);
    }

    fn are_over(&self, expected: &[Expected]) {
        for it in expected {
            self.until(&format!("{it:?} is over"), || !self.on_the_console(it, "firing"));
        }
    }

    /// Waits until the console was told of each of them.
    fn are_told(&mut self, expected: &[Expected]) {
        for it in expected {
            self.until(&format!("{it:?} is told"), || self.on_the_console(it, "firing"));
        }
        self.told.extend(expected.iter().cloned());
    }

    /// Each has come to its end, and has gone all of its way before; nothing else has fired.
    fn all_is_over(&self) {
        let prometheus = &self.system.stack.prometheus;
        for it in &self.told {
            self.are_over(std::slice::from_ref(it));
            assert!(self.on_the_console(it, "resolved"), "{it:?} has an end");
            for (state, is_asked) in [("pending", it.pending), ("firing", true)] {
                let seen =
                    prometheus.query_range(&it.selector(state), self.began, now(), 1.0).unwrap();
                assert!(!is_asked || !seen.is_empty(), "{it:?} was {state}");
            }
        }
        self.until("nothing fires any more", || {
            let firing = "ALERTS{alertstate=\"firing\", alertname!~\"Watchdog|LatencyBurning\"}";
            prometheus.query(firing).unwrap().is_empty()
        });
        let firing = "count by (alertname) (ALERTS{alertstate=\"firing\"})";
        let fired = prometheus.query_range(firing, self.began, now(), 1.0).unwrap();
        let caused: BTreeSet<&str> = self.told.iter().map(|it| it.name).chain(FOLLOW).collect();
        let others: Vec<_> = fired.iter().map(|it| &*it.labels["alertname"]).collect();
        let others: Vec<_> = others.iter().filter(|it| !caused.contains(**it)).collect();
        assert!(others.is_empty(), "nothing has caused {others:?}");
    }

    fn on_the_console(&self, expected: &Expected, state: &str) -> bool {
        let record = self.system.app.console("/alerts.json").json;
        let mut alerts = list(&record["alerts"])
            .filter(|it| it["name"] == expected.name && it["state"] == state);
        alerts.any(|it| {
            let mut labels: BTreeMap<String, String> =
                serde_json::from_value(it["labels"].clone()).unwrap();
            labels.insert("severity".to_owned(), text(&it["severity"]));
            expected.is(&labels)
        })
    }

    #[track_caller]
    fn until(&self, what: &str, is: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is() {
            if begun.elapsed() > PATIENCE {
                let firing = self.system.stack.prometheus.query("ALERTS").unwrap();
                let told: Value = self.system.app.console("/alerts.json").json;
                panic!("never: {what}; {firing:#?}\nthe console has {told:#}");
            }
            thread::sleep(Duration::from_millis(200));
        }
        eprintln!(
            "{:4.0} s  {what} after {:.1} s",
            now() - self.began,
            begun.elapsed().as_secs_f64()
        );
    }
}

/// A stranger that logs as much as it can.
struct Flood(Child);

impl Flood {
    fn at(url: &str) -> Flood {
        let mut command = Command::new(tool("telemetrygen").unwrap());
        command.args([
            "logs",
            "--otlp-http",
            "--otlp-insecure",
            "--otlp-endpoint",
            &url.replace("http://", ""),
        ]);
        command.args([
            "--duration",
            "10m",
            "--workers",
            "1",
            "--rate",
            "400",
            "--service",
            "flood",
        ]);
        command.args(["--body", &"x".repeat(2_000)]);
        Flood(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
