//! `/delivery`: the books, from a service to where its telemetry is kept. `/delivery.json` says the same to programs.

use axum::{Json, extract::State};
use maud::{Markup, html};
use serde::Serialize;

use super::{
    Console,
    error::Error,
    format::{bytes, clip, count},
    layout::{Nav, Palette},
    metrics::Exposition,
    params::Params,
};
use crate::agent::Flow;

/// All books at this moment.
#[derive(Debug, Serialize)]
pub(super) struct Delivery {
    /// What each service has done with its own telemetry, as it says itself.
    services: Vec<Sent>,
    /// Those that could not be asked, and why.
    absent: Vec<Absent>,
    /// What the sidecar has done with what it received, by signal.
    pipelines: Vec<Flow>,
}

/// The books of one signal of one service, in items: `enqueued = exported + dropped + failed + in queue`.
#[derive(Debug, Serialize)]
struct Sent {
    service: String,
    signal: &'static str,
    enqueued: u64,
    exported: u64,
    dropped: u64,
    failed: u64,
    in_queue: u64,
}

#[derive(Debug, Serialize)]
struct Absent {
    service: String,
    why: String,
}

impl Console {
    async fn delivery(&self) -> Delivery {
        let (mut services, mut absent) = (Vec::new(), Vec::new());
        for (target, answer) in self.metrics.all().await {
            let service = target.service;
            match answer {
                Ok(scraped) => services.extend(
                    ["traces", "logs"]
                        .iter()
                        .filter_map(|signal| Sent::of(&service, signal, &scraped.metrics)),
                ),
                Err(why) => absent.push(Absent { service, why }),
            }
        }
        let pipelines = self.agent.flows();
        Delivery { services, absent, pipelines }
    }
}

impl Sent {
    /// `None` for a service that exports nothing, as the sidecar itself.
    fn of(service: &str, signal: &'static str, metrics: &Exposition) -> Option<Sent> {
        let sum = |name: &str| {
            let family = metrics.families.iter().find(|it| {
                name.starts_with(it.name.as_str()) && it.samples.iter().any(|it| it.name == name)
            })?;
            let samples = family
                .samples
                .iter()
                .filter(|it| it.name == name && it.label("signal") == Some(signal));
            Some(samples.map(|it| it.value as u64).sum::<u64>())
        };
        Some(Sent {
            service: service.to_owned(),
            signal,
            enqueued: sum("telemetry_enqueued_items_total")?,
            exported: sum("telemetry_exported_items_total")?,
            dropped: sum("telemetry_dropped_items_total").unwrap_or(0),
            failed: sum("telemetry_failed_items_total").unwrap_or(0),
            in_queue: sum("telemetry_queue_items").unwrap_or(0),
        })
    }
}

/// `GET /delivery.json`.
pub(super) async fn json(State(console): State<Console>) -> Json<Delivery> {
    Json(console.delivery().await)
}

/// `GET /delivery`.
pub(super) async fn show(State(console): State<Console>, params: Params) -> Result<Markup, Error> {
    params.only(&[])?;
    let delivery = console.delivery().await;
    let palette = Palette::of(delivery.services.iter().map(|it| it.service.as_str()));
    let body = html! {
        div.head {
            h1 { "Delivery" }
            p { "Every span and line is delivered, waits, or is counted as lost. Read just now." }
            div.end { a.button.small href="/delivery" { "Read again" } }
        }
        (from_services(&delivery, &palette))
        (to_destinations(&delivery.pipelines))
    };
    Ok(console.page("Delivery", Nav::Delivery, &body))
}

fn from_services(delivery: &Delivery, palette: &Palette) -> Markup {
    html! {
        section.card.target {
            header { h2 { "From the services to here" } }
            @if delivery.services.is_empty() {
                p.pager { "No service could be asked. CONSOLE_SCRAPE lists them." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="What the services sent" {
                    table.ops {
                        thead { tr {
                            th scope="col" { "Service" }
                            th scope="col" { "Signal" }
                            th.num scope="col" { "Enqueued" }
                            th.num scope="col" { "Exported" }
                            th.num scope="col" { "Dropped" }
                            th.num scope="col" { "Failed" }
                            th.num scope="col" { "In queue" }
                        } }
                        tbody {
                            @for it in &delivery.services {
                                tr {
                                    td { (palette.chip(&it.service)) }
                                    td.muted { (it.signal) }
                                    td.num { (count(it.enqueued)) }
                                    td.num { (count(it.exported)) }
                                    (lost(it.dropped))
                                    (lost(it.failed))
                                    td.num { (count(it.in_queue)) }
                                }
                            }
                        }
                    }
                }
            }
            @for it in &delivery.absent {
                p.pager { span.badge.bad { "not available" } " " (clip(&it.service, 60)) ": " (it.why) }
            }
        }
    }
}

fn to_destinations(pipelines: &[Flow]) -> Markup {
    html! {
        section.card.target {
            header { h2 { "From here to where it is kept" } }
            @if pipelines.is_empty() {
                p.pager {
                    "No destination is set, so what arrives stays in this store, until it has to leave for what is newer. "
                    "SIDECAR_TRACES_ENDPOINT, SIDECAR_LOGS_ENDPOINT and SIDECAR_METRICS_ENDPOINT name destinations."
                }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="What the sidecar delivered" {
                    table.ops {
                        thead { tr {
                            th scope="col" { "Signal" }
                            th scope="col" { "Destination" }
                            th.num scope="col" { "Received" }
                            th.num scope="col" { "Delivered" }
                            th.num scope="col" { "Dropped" }
                            th.num scope="col" { "In spool" }
                            th.num scope="col" { "Sent again" }
                            th scope="col" { "State" }
                        } }
                        tbody { @for it in pipelines { (pipeline(it)) } }
                    }
                }
                p.pager { "received = delivered + dropped + in spool. What was sent again may be at the destination twice." }
            }
        }
    }
}

fn pipeline(it: &Flow) -> Markup {
    html! {
        tr {
            td { (it.signal) }
            td { code { (clip(&it.destination, 120)) } }
            td.num { (count(it.received)) }
            td.num { (count(it.delivered)) }
            td.num {
                @if it.dropped.is_empty() { span.muted { "0" } }
                @for (reason, items) in &it.dropped { div { span.bad { (count(*items)) } " " (reason) } }
            }
            td.num { (count(it.in_spool)) @if it.in_spool > 0 { " (" (bytes(it.waiting_bytes)) ")" } }
            td.num { (count(it.redelivered)) }
            td {
                @match &it.trouble {
                    Some(trouble) => { span.badge.bad { "not delivering" } " since " time { (trouble.since) } ": " (trouble.why) }
                    None if it.in_spool > 0 => span.badge { "delivering" },
                    None => span.badge { "nothing waits" },
                }
                @if it.unaccounted != 0 {
                    p { span.badge.bad { "unaccounted" } " " (it.unaccounted) " " (if it.unaccounted.abs() == 1 { "item" } else { "items" }) ": somebody changed the spool’s files" }
                }
            }
        }
    }
}

fn lost(items: u64) -> Markup {
    html! { td.num { @if items > 0 { span.bad { (count(items)) } } @else { span.muted { "0" } } } }
}
