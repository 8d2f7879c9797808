//! `/services`: rate, errors and durations of each service and of what it does, from the rollups made at ingest. They count every span
//! that arrived, also those that have left the store.

use axum::extract::State;
use maud::{Markup, html};

use super::Console;
use super::error::Error;
use super::format::{clip, count, counted, digits, duration, now, percent};
use super::layout::{Nav, Palette};
use super::params::{Link, Params};
use crate::store::{BUCKET_NS, Bucket, OTHER, Rollup, SpanKind};

/// Operations shown of a service, the most called first.
const OPERATIONS: usize = 60;
/// What can be looked at: name, minutes, buckets of the store in one bar.
const RANGES: [(&str, (u64, u64)); 3] = [("5m", (5, 1)), ("15m", (15, 2)), ("1h", (60, 6))];

/// A stretch of time cut into bars.
#[derive(Clone, Copy)]
struct Range {
    name: &'static str,
    /// Begin of the first bar.
    start: u64,
    /// Nanoseconds of one bar.
    step: u64,
    bars: usize,
    now: u64,
}

impl Range {
    fn until_now(name: &'static str, minutes: u64, buckets: u64) -> Self {
        let step = buckets * BUCKET_NS;
        let bars = minutes * 60_000_000_000 / step;
        let now = now();
        // Whole steps, so that a bar does not change its members while it moves to the left.
        let start = (now / step + 1).saturating_sub(bars) * step;
        Self { name, start, step, bars: bars as usize, now }
    }

    /// The rollups of each bar.
    fn bars<'a>(&self, rollups: impl Iterator<Item = &'a Rollup>) -> Vec<Bucket> {
        let mut bars: Vec<Bucket> =
            (0..self.bars).map(|at| Bucket::empty(self.start + at as u64 * self.step)).collect();
        for bucket in rollups
            .flat_map(|rollup| &rollup.buckets)
            .filter(|bucket| bucket.start_ns >= self.start)
        {
            if let Some(bar) = bars.get_mut(((bucket.start_ns - self.start) / self.step) as usize) {
                bar.merge(bucket);
            }
        }
        bars
    }

    /// Per second, from the first call on: a service that just started is not slower for that.
    fn rate(&self, bars: &[Bucket], total: &Bucket) -> f64 {
        let first = bars.iter().find(|bar| bar.count > 0).map_or(self.start, |bar| bar.start_ns);
        total.count as f64 / (self.now.saturating_sub(first) as f64 / 1e9).max(1.0)
    }
}

/// Whether spans of this kind are what a service does for others, by which it is judged.
pub(super) fn answers(kind: SpanKind) -> bool {
    matches!(kind, SpanKind::Server | SpanKind::Consumer)
}

/// `GET /services`.
pub(super) async fn list(State(console): State<Console>, params: Params) -> Result<Markup, Error> {
    params.only(&["last"])?;
    let (minutes, buckets) = params.one_of("last", &RANGES)?.unwrap_or(RANGES[2].1);
    let name = RANGES.iter().find(|(_, range)| range.0 == minutes).map_or("1h", |(name, _)| name);
    let range = Range::until_now(name, minutes, buckets);
    let rollups = console.ask(move |store| store.red(range.start, u64::MAX)).await?;
    let mut services: Vec<&str> = rollups.iter().map(|rollup| &*rollup.service).collect();
    services.dedup();
    let palette = console.palette();
    let body = html! {
        div.head {
            h1 { "Services" }
            p { "Every span that arrived counts, also after it has left the store." }
            div.end {
                span.group role="group" aria-label="Time range" {
                    @for (name, _) in RANGES {
                        a.button.small href=(Link::to("/services").set("last", name)) aria-current=[(name == range.name).then_some("true")] { (name) }
                    }
                }
            }
        }
        @if services.is_empty() {
            div.card.empty {
                h2 { "No service has sent a span within " (range.name) }
                p { a href="/" { "The first page" } " tells how to send some." }
            }
        }
        @for service in services {
            @let own: Vec<&Rollup> = rollups.iter().filter(|rollup| &*rollup.service == service).collect();
            (card(service, &own, &range, &palette))
        }
    };
    Ok(console.page("Services", Nav::Services, &body))
}

fn card(service: &str, own: &[&Rollup], range: &Range, palette: &Palette) -> Markup {
    // A service that answers nobody, such as a batch job, is judged by all that it does.
    let serves = own.iter().any(|rollup| answers(rollup.kind));
    let bars = range.bars(own.iter().copied().filter(|rollup| !serves || answers(rollup.kind)));
    let total = sum(&bars);
    let traces = || Link::to("/").set("service", service);
    html! {
        section.card.service aria-label=(clip(service, 60)) {
            header {
                h2 { (palette.chip(service)) }
                div.end {
                    a href=(traces()) { "Traces" }
                    a href=(traces().set("errors", 1)) { "Errors" }
                    @if let Some(slow) = total.quantile_ns(0.95) {
                        a href=(traces().set("min", format!("{}us", slow / 1_000))) { "Slower than 95 %" }
                    }
                    a href=(Link::to("/logs").set("service", service)) { "Logs" }
                }
            }
            div.gauges {
                figure {
                    figcaption {
                        span { @if serves { "Requests answered" } @else { "Spans" } }
                        b { (digits(range.rate(&bars, &total))) "/s" }
                        small { (count(total.count)) " in the last " (range.name) }
                    }
                    (rate_bars(&bars, range))
                }
                figure {
                    figcaption {
                        span { "Failed" }
                        b.bad[total.errors > 0] { (percent(total.errors as f64 / total.count.max(1) as f64)) }
                        small { (counted(total.errors, "error", "errors")) }
                    }
                    (error_bars(&bars, range))
                }
                figure {
                    figcaption {
                        span { "Duration: median, 95 %, 99 %" }
                        b { (quantile(&total, 0.5)) }
                        small { (quantile(&total, 0.95)) " · " (quantile(&total, 0.99)) }
                    }
                    (duration_bars(&bars, range))
                }
            }
            (operations(service, own, range))
        }
    }
}

fn sum(bars: &[Bucket]) -> Bucket {
    let mut total = Bucket::empty(0);
    for bar in bars {
        total.merge(bar);
    }
    total
}

fn quantile(bucket: &Bucket, share: f64) -> String {
    bucket.quantile_ns(share).map_or_else(|| "–".to_owned(), duration)
}

fn operations(service: &str, own: &[&Rollup], range: &Range) -> Markup {
    let mut rows: Vec<(&Rollup, Vec<Bucket>, Bucket)> = own
        .iter()
        .map(|rollup| {
            let bars = range.bars(std::iter::once(*rollup));
            let total = sum(&bars);
            (*rollup, bars, total)
        })
        .filter(|(_, _, total)| total.count > 0)
        .collect();
    rows.sort_by_key(|(rollup, _, total)| (!answers(rollup.kind), std::cmp::Reverse(total.count)));
    let open = rows.len() <= 12;
    html! {
        details open[open] {
            summary { (counted(rows.len() as u64, "operation", "operations")) }
            div.scroll tabindex="0" role="region" aria-label=(format!("Operations of {}", clip(service, 60))) {
                table.ops {
                    thead {
                        tr {
                            th scope="col" { "Operation" }
                            th scope="col" { "Kind" }
                            th.num scope="col" { "Calls" }
                            th.num scope="col" { "Failed" }
                            th.num scope="col" { "Median" }
                            th.num scope="col" { "95 %" }
                            th.num scope="col" { "99 %" }
                            th scope="col" { "Calls over time" }
                        }
                    }
                    tbody {
                        @for (rollup, bars, total) in rows.iter().take(OPERATIONS) {
                            @let traces = Link::to("/").set("service", service).set("op", &rollup.operation);
                            tr {
                                td {
                                    @if &*rollup.operation == OTHER { span.muted title="Those for which there is no room" { (OTHER) } }
                                    @else { a href=(traces) { (clip(&rollup.operation, 160)) } }
                                }
                                td.muted { (rollup.kind.name()) }
                                td.num { (count(total.count)) }
                                td.num {
                                    @if total.errors > 0 {
                                        a.bad href=(traces.clone().set("errors", 1)) { (percent(total.errors as f64 / total.count as f64)) }
                                    } @else { span.muted { "0" } }
                                }
                                td.num { (quantile(total, 0.5)) }
                                td.num {
                                    @if let Some(slow) = total.quantile_ns(0.95) {
                                        a href=(traces.clone().set("min", format!("{}us", slow / 1_000))) title="Traces slower than this" { (duration(slow)) }
                                    }
                                }
                                td.num { (quantile(total, 0.99)) }
                                td { (rate_bars(bars, range)) }
                            }
                        }
                    }
                }
            }
            @if rows.len() > OPERATIONS { p.pager { "and " (count((rows.len() - OPERATIONS) as u64)) " that were called less" } }
        }
    }
}

/// Bars from the bottom, each of some parts on top of each other (height 0 to 1, class).
fn bars<const N: usize>(
    label: &str,
    all: impl Iterator<Item = [(f64, &'static str); N]>,
    number: usize,
) -> Markup {
    let mut parts = Vec::new();
    for (at, bar) in all.enumerate() {
        let mut y = 100.0;
        for (height, class) in bar.into_iter().filter(|(height, _)| *height > 0.0) {
            let height = (height * 96.0).max(3.0); // nothing that happened is too small to be seen
            y -= height;
            parts.push((at * 10 + 1, y, height, class));
        }
    }
    html! {
        svg.spark viewBox={ "0 0 " (number * 10) " 100" } preserveAspectRatio="none" role="img" aria-label=(label) {
            line.base x1="0" y1="99.5" x2=(number * 10) y2="99.5" {}
            @for (x, y, height, class) in parts {
                rect.(class) x=(x) y=(format!("{y:.1}")) width="8" height=(format!("{height:.1}")) {}
            }
        }
    }
}

fn rate_bars(all: &[Bucket], range: &Range) -> Markup {
    let most = all.iter().map(|bar| bar.count).max().unwrap_or(0).max(1) as f64;
    let parts = all.iter().map(|bar| {
        [
            (bar.errors as f64 / most, "bad"),
            ((bar.count - bar.errors.min(bar.count)) as f64 / most, "fine"),
        ]
    });
    let per_second = most / (range.step as f64 / 1e9);
    bars(
        &format!("Calls over {}, {} per second at most", range.name, digits(per_second)),
        parts,
        all.len(),
    )
}

fn error_bars(all: &[Bucket], range: &Range) -> Markup {
    let share = |bar: &Bucket| bar.errors as f64 / bar.count.max(1) as f64;
    let most = all.iter().map(share).fold(0.0, f64::max);
    let parts = all.iter().map(|bar| [(share(bar) / most.max(0.01), "bad")]);
    bars(&format!("Failed share over {}, {} at most", range.name, percent(most)), parts, all.len())
}

fn duration_bars(all: &[Bucket], range: &Range) -> Markup {
    let at = |bar: &Bucket, share| bar.quantile_ns(share).unwrap_or(0) as f64;
    let most = all.iter().map(|bar| at(bar, 0.95)).fold(1.0, f64::max);
    let parts = all.iter().map(|bar| {
        let middle = at(bar, 0.5) / most;
        [(middle, "fine"), ((at(bar, 0.95) / most - middle).max(0.0), "rest")]
    });
    bars(
        &format!("Median and 95 % over {}, {} at most", range.name, duration(most as u64)),
        parts,
        all.len(),
    )
}
