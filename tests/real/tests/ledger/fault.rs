//! Everything fails while there is load: what the agent acknowledged is in the stores all the same, or in a counter.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use real::stack::{Jaeger, Loki, Ports, Storage};

use super::{
    Own, SERVICES, SIGNALS, Table, asked,
    compare::{self, Sent, shown},
    load::{Load, counted, request_lines},
    number,
    sender::Sender,
    settled,
};
use crate::harness::{App, Shape};

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
    let seconds = asked("MUSICWALLET_LEDGER_SECONDS", ROUND).next_multiple_of(ROUND);
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
        for round in 0..seconds / ROUND {
            for (at, event) in SCRIPT {
                let due = begun + Duration::from_secs(round * ROUND + at);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                happen(event, &mut app, &mut jaeger, &mut loki);
            }
        }
        let due = begun + Duration::from_secs(seconds);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let load = load.ended();
        stop.store(true, Relaxed);
        (sender.join().unwrap(), load)
    });

    let mut table = Table::new(&format!("Ledger, {seconds} s under fault"));
    let survivors = SERVICES.into_iter().filter(|it| *it != "catalog");
    let owns: Vec<_> = survivors
        .flat_map(|service| SIGNALS.map(|signal| (service, signal)))
        .map(|(service, signal)| (service, signal, Own::settled(&app, service, signal)))
        .collect();
    Own::settled(&app, "catalog", "traces"); // its second life has told all, too
    Own::settled(&app, "catalog", "logs");
    let flows = SIGNALS.map(|signal| settled(|| app.console("/delivery.json").json, signal));

    // By ids: what the sender was told to be received is there.
    let by_jaeger = (&sender.spans, compare::shown_by_jaeger(&jaeger));
    let by_loki = (&sender.lines, compare::shown_by_loki(&loki));
    for ((what, (sent, shown)), flow) in
        [("spans", by_jaeger), ("lines", by_loki)].into_iter().zip(&flows)
    {
        let verdict = sent.compare(&shown);
        let dropped: u64 =
            flow["dropped"].as_object().unwrap().values().map(|it| it.as_u64().unwrap()).sum();
        let acknowledged = sent.acknowledged.len() as u64;
        table.row(&format!("sender's {what} acknowledged"), "> 0", acknowledged, acknowledged > 0);
        let doubt = format!("{} of {}", verdict.arrived.len(), sent.in_doubt.len());
        table.row(&format!("sender's {what} in doubt that arrived"), "-", doubt, true);
        table.equal(&format!("sender's {what} lost"), 0, verdict.lost.len() as u64);
        table.equal(&format!("sender's {what} never sent"), 0, verdict.strange.len() as u64);
        let doubled = verdict.doubled.len() as u64;
        table.between(
            &format!("sender's {what} shown twice"),
            0,
            number(flow, "redelivered"),
            doubled,
        );
        table.row(&format!("{what} redelivered at most"), "-", &flow["redelivered"], true);
        table.equal(
            &format!("{what} unaccounted"),
            0,
            flow["unaccounted"].as_i64().unwrap().unsigned_abs(),
        );
        table.equal(&format!("{what} dropped"), 0, dropped);
        table.equal(
            &format!("{what} delivered"),
            number(flow, "received"),
            number(flow, "delivered"),
        );
    }

    // Everything that was received, whoever sent it: nobody sends anything twice, so each unit has an id of its own.
    let mut spans = BTreeSet::new();
    for service in jaeger.services().unwrap() {
        for (trace, of_trace) in jaeger.traces_of(&service).unwrap() {
            spans.extend(of_trace.into_iter().map(|it| (trace.clone(), it.id, it.service)));
        }
    }
    let lines =
        ["sender"].into_iter().chain(SERVICES).map(|it| (it, compare::all_lines(&loki, it)));
    let lines: Vec<_> = lines.collect();
    table.equal("spans in Jaeger", number(&flows[0], "received"), spans.len() as u64);
    let in_loki = lines.iter().map(|it| it.1).sum();
    table.equal("lines in Loki", number(&flows[1], "received"), in_loki);

    // The services' own books: what they call exported is there, what they call failed may be.
    for (service, signal, own) in &owns {
        let there = match *signal {
            "traces" => spans.iter().filter(|it| it.2 == *service).count() as u64,
            _ => lines.iter().find(|it| it.0 == *service).unwrap().1,
        };
        let most = own.exported + own.failed;
        table.between(&format!("{signal} of {service} there"), own.exported, most, there);
        let lost = format!("{} dropped, {} failed of {}", own.dropped, own.failed, own.enqueued);
        table.row(&format!("{signal} of {service} lost and counted"), "-", lost, own.is_balanced());
    }

    let lost = owns.iter().map(|it| it.2.dropped + it.2.failed).sum::<u64>();
    table.row("lost by the services and counted", "> 0", lost, lost > 0);

    // The load: a request without a trace or a line is in the gateway's own books.
    let counted = counted(&app);
    let answered = load.statuses.len() as u64;
    table.between("requests that the gateway counted", answered, answered + load.aborted, counted);
    let own = |signal| owns.iter().find(|it| (it.0, it.1) == ("gateway", signal)).unwrap().2;
    let known = Sent { acknowledged: load.statuses.keys().cloned().collect(), ..Sent::default() };
    let traces = spans.iter().filter(|it| it.2 == "gateway").map(|it| it.0.clone());
    let traces: BTreeSet<String> = traces.collect();
    let request_lines = request_lines(&loki).into_iter().map(|it| it.trace);
    for (what, signal, ids) in
        [("trace", "traces", shown(traces)), ("line", "logs", shown(request_lines))]
    {
        let lost = own(signal).dropped + own(signal).failed;
        let missing = known.compare(&ids).lost.len() as u64;
        table.between(&format!("answered requests without a {what}"), 0, lost, missing);
        let strange = known.compare(&ids).strange.len() as u64;
        table.between(&format!("{what}s that nobody was answered"), 0, counted - answered, strange);
    }
    table.judge();
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
