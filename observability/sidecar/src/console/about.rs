//! `/about`: how full the store is, what it lost, where the ports are, which keys there are.

use axum::extract::State;
use maud::{Markup, html};

use super::Console;
use super::error::Error;
use super::format::{bytes, count, percent};
use super::layout::{Fill, Nav};
use super::params::Params;

const KEYS: [(&str, &str); 11] = [
    ("/", "search on this page, else the trace id box"),
    ("g", "the trace id box"),
    ("j", "next row"),
    ("k", "row before"),
    ("Enter", "open the row"),
    ("← →", "close or open a span in the waterfall"),
    ("n", "next match in a trace"),
    ("N", "match before"),
    ("e", "next error in a trace"),
    ("p", "pause or resume the live list"),
    ("Esc", "leave a field"),
];

/// `GET /about`.
pub(super) async fn show(
    State(console): State<Console>,
    headers: http::HeaderMap,
    params: Params,
) -> Result<Markup, Error> {
    params.only(&[])?;
    let stats = console.store.stats();
    let at = console.surroundings.seen_from(&headers);
    let part = |used: usize, capacity: usize, evicted| Fill {
        used: used as u64,
        capacity: capacity as u64,
        evicted,
    };
    let body = html! {
        div.head { h1 { "About this store" } }
        div.about {
            (fill("Spans", stats.spans as u64, &part(stats.span_bytes, stats.span_limit, stats.evicted_spans), Some(stats.traces as u64)))
            (fill("Log lines", stats.logs as u64, &part(stats.log_bytes, stats.log_limit, stats.evicted_logs), None))
            section.card {
                h2 { "Addresses" }
                dl.plain {
                    div { dt { "OTLP over HTTP" } dd { code { (at.otlp_http) } } }
                    div { dt { "OTLP over gRPC" } dd { code { (at.otlp_grpc) } } }
                    @if let Some(jaeger) = &at.jaeger { div { dt { "Jaeger’s query API" } dd { code { (jaeger) } } } }
                    div { dt { "Version" } dd { (env!("CARGO_PKG_VERSION")) } }
                }
            }
            section.card {
                h2 { "Keys" }
                dl.plain { @for (key, meaning) in KEYS { div { dt { kbd { (key) } } dd { (meaning) } } } }
            }
        }
    };
    Ok(console.page("About this store", Nav::About, &body))
}

fn fill(name: &str, kept: u64, fill: &Fill, traces: Option<u64>) -> Markup {
    html! {
        section.card {
            h2 { (name) }
            (fill.meter("meter"))
            dl.plain {
                div { dt { "Used" } dd { (bytes(fill.used)) " of " (bytes(fill.capacity)) " (" (percent(fill.share())) ")" } }
                div { dt { "Kept" } dd { (count(kept)) @if let Some(traces) = traces { " in " (count(traces)) " traces" } } }
                div { dt { "Evicted" } dd { (count(fill.evicted)) " since the start" } }
            }
            @if fill.evicted > 0 { p.muted { "The oldest arrivals leave first when it is full." } }
        }
    }
}
