//! Nothing fails: every number there is says the same, and every id is in its place.

use real::stack::{Jaeger, Loki, Ports, Prometheus, Storage};

use super::{
    Own, SERVICES, SIGNALS,
    compare::{Sent, shown},
    load::{Load, all_are_idle, counted, request_lines},
    number, settled,
};
use crate::{
    harness::{App, Shape, eventually},
    table::Table,
};

#[test]
fn generator_counter_traces_and_lines_say_the_same_to_the_unit() {
    let data = tempfile::tempdir().unwrap();
    let jaeger = Jaeger::start(Storage::Memory, Ports::Free, data.path()).unwrap();
    let loki = Loki::start(Ports::Free, data.path()).unwrap();
    let prometheus = Prometheus::start(Ports::Free, data.path()).unwrap();
    let destinations = [
        ("SIDECAR_TRACES_ENDPOINT", &*jaeger.otlp_url()),
        ("SIDECAR_LOGS_ENDPOINT", &*loki.otlp_url()),
    ];
    let app = App::start_with(Shape::Each, &destinations);
    let gateway = app.url("gateway", "internal").replace("http://", "");
    prometheus.scrape(&[("gateway", &gateway)]).unwrap();
    let load = Load::start(&app, &["--rate", "40", "--duration", "6s", "--abort-share", "0.1"]);
    let load = load.ended();
    assert!(load.aborted > 5, "{}", load.report);
    let refused = ["401", "400", "404"].map(|it| load.report["statuses"][it].as_u64().unwrap_or(0));
    assert!(refused.iter().all(|it| *it > 0), "{}", load.report);

    let mut table = Table::new("Ledger, calm");
    all_are_idle(&app);
    let counted = counted(&app);
    let answered = load.statuses.len() as u64;
    table.between("requests that the gateway counted", answered, answered + load.aborted, counted);

    for signal in SIGNALS {
        let mut sum = 0;
        for service in SERVICES {
            let own = Own::settled(&app, service, signal);
            table.equal(&format!("{signal} that {service} lost"), 0, own.lost());
            sum += own.exported;
        }
        let flow = settled(|| app.console("/delivery.json").json, signal);
        table.equal(&format!("{signal} received by the agent"), sum, number(&flow, "received"));
        table.equal(&format!("{signal} delivered"), sum, number(&flow, "delivered"));
    }

    let traces = jaeger.traces_of("gateway").unwrap();
    table.equal("traces of the gateway in Jaeger", counted, traces.len() as u64);
    let lines = request_lines(&loki);
    table.equal("request lines of the gateway in Loki", counted, lines.len() as u64);
    let query = "sum(http_server_request_duration_seconds_count{job=\"musicwallet/gateway\"})";
    let scraped = eventually("Prometheus has scraped the end of the load", || {
        let samples = prometheus.query(query).map_err(|it| it.to_string())?;
        let value = samples.first().map_or(0, |it| it.value as u64);
        if value >= counted { Ok(value) } else { Err(format!("{value} of {counted}")) }
    });
    table.equal("requests that Prometheus knows", counted, scraped);

    // By ids, in both directions.
    let known = Sent { acknowledged: load.statuses.keys().cloned().collect(), ..Sent::default() };
    let in_jaeger = known.compare(&shown(traces.into_keys()));
    let in_loki = known.compare(&shown(lines.iter().map(|it| it.trace.clone())));
    table.equal("answered requests without a trace", 0, in_jaeger.lost.len() as u64);
    table.equal("answered requests without a line", 0, in_loki.lost.len() as u64);
    table.equal("requests with two lines", 0, in_loki.doubled.len() as u64);
    table.equal("traces that are no request", counted - answered, in_jaeger.strange.len() as u64);
    let same = in_jaeger.strange == in_loki.strange;
    table.row("those who left are the same in both", "yes", if same { "yes" } else { "no" }, same);
    let wrong = lines.iter().filter(|it| {
        load.statuses.get(&it.trace).is_some_and(|status| Some(status) != it.status.as_ref())
    });
    table.equal("lines with another status than was answered", 0, wrong.count() as u64);
    table.judge();
}
