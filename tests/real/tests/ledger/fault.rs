//! Everything fails while there is load: what the agent acknowledged is in the stores all the same, or in a counter.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use real::stack::{Jaeger, Loki, Ports, Storage};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    Own, SERVICES, SIGNALS, agent,
    compare::{self, Sent, shown},
    load::{Ended, Load, all_are_idle, counted, request_lines},
    number,
    sender::{SERVICE, Sender},
    settled,
};
use crate::{
    harness::{App, Shape},
    table::{Table, asked},
};

/// In seconds of a round, what happens. The agent is started again at once, and the second time late enough for the services to lose
/// something, while Jaeger is away, too.
const ROUND: u64 = 45;
const SCRIPT: [(u64, Event); 10] = [
    (4, Event::LokiDies),
    (9, Event::LokiIsBack),
    (13, Event::AgentDies),
    (13, Event::AgentIsBack),
    (18, Event::JaegerDies),
    (22, Event::AgentDies),
    (24, Event::AgentIsBack),
    (28, Event::JaegerIsBack),
    (33, Event::CatalogDies),
    (37, Event::CatalogIsBack),
];
/// Requests per second of the load.
const RATE: &str = "20";
/// How often the independent sender sends, both signals each time.
const EVERY: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
enum Event {
    LokiDies,
    LokiIsBack,
    JaegerDies,
    JaegerIsBack,
    AgentDies,
    AgentIsBack,
    CatalogDies,
    CatalogIsBack,
}

#[test]
fn what_the_agent_acknowledged_is_in_the_stores_or_in_a_counter() {
    let seconds = asked("LEDGER_SECONDS", ROUND).next_multiple_of(ROUND);
    let after = After::load_under_fault(seconds);
    let mut table = Table::new(&format!("Ledger, {seconds} s under fault"));
    after.compare_the_senders_ids(&mut table);
    after.compare_all_that_was_received(&mut table);
    after.compare_what_the_services_exported(&mut table);
    after.compare_the_requests(&mut table);
    table.judge();
}

/// What is known when all is over, and nothing waits anywhere.
struct After {
    sender: Sender,
    load: Ended,
    /// Requests that the gateway counted.
    counted: u64,
    /// The agent's books, by signal.
    flows: [Value; 2],
    /// Of what it received, by signal, the units that came again; `None` when that can no longer be known.
    again: [Option<u64>; 2],
    /// The books of each service by signal; of the catalog, those of its second life.
    owns: Vec<(&'static str, &'static str, Own)>,
    loki: Loki,
    jaeger: Jaeger,
    /// All in Jaeger: trace, span and service.
    spans: BTreeSet<(String, String, String)>,
    /// How many there are in Loki, by service.
    lines: BTreeMap<&'static str, u64>,
    /// Last, so that it is removed after those who use it.
    _data: TempDir,
}

impl After {
    fn load_under_fault(seconds: u64) -> After {
        let data = tempfile::tempdir().unwrap();
        let mut jaeger = Jaeger::start(Storage::Badger, Ports::Free, data.path()).unwrap();
        let mut loki = Loki::start(Ports::Free, data.path()).unwrap();
        let destinations = [
            ("SIDECAR_TRACES_ENDPOINT", &*jaeger.otlp_url()),
            ("SIDECAR_LOGS_ENDPOINT", &*loki.otlp_url()),
        ];
        let mut app = App::start_with(Shape::Each, &destinations);

        let stop = AtomicBool::new(false);
        let sender = Sender::new(app.url("sidecar", "otlp-http"), 1);
        let duration = format!("{seconds}s");
        let load = ["--rate", RATE, "--duration", &duration, "--abort-share", "0.05"];
        let load = Load::start(&app, &load);
        let (sender, load) = thread::scope(|scope| {
            let sender = scope.spawn(|| sender.run(EVERY, &stop));
            let _stops = Stops(&stop);
            let begun = Instant::now();
            let until = |second| {
                let due = begun + Duration::from_secs(second);
                thread::sleep(due.saturating_duration_since(Instant::now()));
            };
            for round in 0..seconds / ROUND {
                for (at, event) in SCRIPT {
                    until(round * ROUND + at);
                    happen(event, &mut app, &mut jaeger, &mut loki);
                }
            }
            until(seconds);
            let load = load.ended();
            stop.store(true, Relaxed);
            (sender.join().unwrap(), load)
        });

        all_are_idle(&app);
        let own = |service, signal| (service, signal, Own::settled(&app, service, signal));
        let owns = SERVICES.into_iter().flat_map(|it| SIGNALS.map(|signal| own(it, signal)));
        let owns = owns.collect();
        let flows = SIGNALS.map(|signal| settled(|| app.console("/delivery.json").json, signal));
        let again = SIGNALS.map(|signal| received_again(&app, signal));
        let mut spans = BTreeSet::new();
        for service in jaeger.services().unwrap() {
            for (trace, of_trace) in jaeger.traces_of(&service).unwrap() {
                spans.extend(of_trace.into_iter().map(|it| (trace.clone(), it.id, it.service)));
            }
        }
        let services = [SERVICE].into_iter().chain(SERVICES);
        let lines = services.map(|it| (it, compare::all_lines(&loki, it))).collect();
        let counted = counted(&app);
        After { sender, load, counted, flows, again, owns, loki, jaeger, spans, lines, _data: data }
    }

    /// By ids: what the sender was told to be received is there.
    fn compare_the_senders_ids(&self, table: &mut Table) {
        let spans = ("spans", &self.sender.spans, compare::shown_by_jaeger(&self.jaeger));
        let lines = ("lines", &self.sender.lines, compare::shown_by_loki(&self.loki));
        for ((what, sent, shown), flow) in [spans, lines].into_iter().zip(&self.flows) {
            let verdict = sent.compare(&shown);
            let count = |ids: &BTreeSet<u64>| ids.len() as u64;
            let mut equal = |name: &str, asked: u64, measured: u64| {
                table.equal(&format!("sender's {what} {name}"), asked, measured);
            };
            equal("acknowledged and lost", 0, count(&verdict.lost));
            equal("never sent", 0, count(&verdict.strange));
            let (acknowledged, doubled) = (count(&sent.acknowledged), count(&verdict.doubled));
            let doubt = format!("{} of {}", verdict.arrived.len(), sent.in_doubt.len());
            let mut row = |name: &str, asked: &str, measured: String, holds: bool| {
                table.row(&format!("sender's {what} {name}"), asked, measured, holds);
            };
            row("acknowledged", "> 0", acknowledged.to_string(), acknowledged > 0);
            row("in doubt that arrived", "-", doubt, true);
            let redelivered = number(flow, "redelivered");
            table.between(&format!("sender's {what} shown twice"), 0, redelivered, doubled);
        }
    }

    /// Whoever sent it.
    fn compare_all_that_was_received(&self, table: &mut Table) {
        let shown = [("Jaeger", self.spans.len() as u64), ("Loki", self.lines.values().sum())];
        for (((store, shown), flow), again) in shown.into_iter().zip(&self.flows).zip(self.again) {
            let dropped = flow["dropped"].as_object().unwrap().values();
            let dropped: u64 = dropped.map(|it| it.as_u64().unwrap()).sum();
            let unaccounted = flow["unaccounted"].as_i64().unwrap().unsigned_abs();
            let received = number(flow, "received");
            table.equal(&format!("dropped on the way to {store}"), 0, dropped);
            table.equal(&format!("unaccounted on the way to {store}"), 0, unaccounted);
            table.equal(&format!("delivered to {store}"), received, number(flow, "delivered"));
            match again {
                Some(again) => {
                    let what = format!("there in {store}, {again} received again");
                    table.equal(&what, received - again, shown);
                }
                None => table.between(&format!("there in {store}"), 1, received, shown),
            }
        }
    }

    /// What their own books call exported is there; what they call failed may be.
    fn compare_what_the_services_exported(&self, table: &mut Table) {
        let mut all_lost = 0;
        for (service, signal, own) in &self.owns {
            let there = match *signal {
                "traces" => self.spans.iter().filter(|it| it.2 == *service).count() as u64,
                _ => self.lines[service],
            };
            let what = format!("{signal} of {service} there, {} failed", own.failed);
            match *service {
                // What its first life said of itself is gone with it.
                "catalog" => {
                    let holds = there >= own.exported;
                    table.row(&what, format!("{} or more", own.exported), there, holds);
                }
                _ => table.between(&what, own.exported, own.exported + own.failed, there),
            }
            all_lost += own.lost();
        }
        table.row("lost by the services, counted", "> 0", all_lost, all_lost > 0);
    }

    /// A request without a trace or a line is in the gateway's own books.
    fn compare_the_requests(&self, table: &mut Table) {
        let Ended { statuses, aborted, .. } = &self.load;
        let answered = statuses.len() as u64;
        let most = answered + aborted;
        table.between("requests that the gateway counted", answered, most, self.counted);
        let known = Sent { acknowledged: statuses.keys().cloned().collect(), ..Sent::default() };
        let spans = self.spans.iter().filter(|it| it.2 == "gateway");
        let traces: BTreeSet<String> = spans.map(|it| it.0.clone()).collect();
        let lines = request_lines(&self.loki).into_iter().map(|it| it.trace);
        for (what, signal, ids) in
            [("trace", "traces", shown(traces)), ("line", "logs", shown(lines))]
        {
            let own = self.owns.iter().find(|it| (it.0, it.1) == ("gateway", signal)).unwrap().2;
            let verdict = known.compare(&ids);
            let missing = verdict.lost.len() as u64;
            table.between(&format!("answered requests without a {what}"), 0, own.lost(), missing);
            let strange = verdict.strange.len() as u64;
            let most = self.counted - answered;
            table.between(&format!("{what}s of requests without an answer"), 0, most, strange);
        }
    }
}

/// The exporters of the services send a request again that got no answer, because the agent was killed. It is the same to the byte, and
/// the stores show its units once. Known for as long as the spool has deleted nothing, so not after minutes.
fn received_again(app: &App, signal: &str) -> Option<u64> {
    let segments = agent::segments(&app.data.path().join("data/spool").join(signal));
    let segments: Vec<_> = segments.iter().filter_map(|it| agent::read(it)).collect();
    let mut seen = BTreeSet::new();
    let records = segments.iter().flat_map(|it| &it.data);
    let again = records.filter(|(_, payload)| !seen.insert(payload)).map(|it| it.0).sum();
    (segments.first()?.number == 1).then_some(again)
}

fn happen(event: Event, app: &mut App, jaeger: &mut Jaeger, loki: &mut Loki) {
    match event {
        Event::LokiDies => loki.program.kill(),
        Event::LokiIsBack => loki.program.start_again().unwrap(),
        Event::JaegerDies => jaeger.program.kill(),
        Event::JaegerIsBack => jaeger.program.start_again().unwrap(),
        Event::AgentDies => app.kill("sidecar"),
        Event::AgentIsBack => app.restart("sidecar"),
        Event::CatalogDies => app.kill("catalog"),
        Event::CatalogIsBack => app.restart("catalog"),
    }
}

/// Lets the sender end, also when something panics.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}
