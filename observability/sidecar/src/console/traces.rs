//! `/`: the newest traces, live, and what a search leaves of them. `/live` is the list alone, for the script that polls it.

mod first_run;
mod form;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, StatusCode};
use maud::{Markup, html};

use self::form::Form;
use super::Console;
use super::error::Error;
use super::format::{clip, count, counted, duration, time};
use super::layout::{Nav, Palette, percentage};
use super::params::{Link, Params, shown};
use crate::store::{Stats, TraceId, TraceQuery, TraceSummary};

/// Traces on one page.
const PAGE: usize = 50;
/// Services shown in a row; the others are counted.
const SERVICES_SHOWN: usize = 5;
const MARK: HeaderName = HeaderName::from_static("x-mark");

/// What the reader asked for.
#[derive(Debug, Clone)]
struct Filter {
    params: Params,
    service: Option<String>,
    operation: Option<String>,
    errors: bool,
    min_ns: Option<u64>,
    attributes: Vec<(String, String)>,
    /// Start and id of the last trace of the page before.
    before: Option<(u64, TraceId)>,
}

impl Filter {
    fn read(params: Params) -> Result<Self, Error> {
        params.only(&["service", "op", "attr", "min", "errors", "before", "mark"])?;
        let attributes = params.all("attr").map(attribute).collect::<Result<_, _>>()?;
        Ok(Self {
            service: params.get("service").map(str::to_owned),
            operation: params.get("op").map(str::to_owned),
            errors: params.one_of("errors", &[("1", true), ("0", false)])?.unwrap_or(false),
            min_ns: params.duration("min")?,
            attributes,
            before: params.get("before").map(place).transpose()?,
            params,
        })
    }

    /// The question to the store; one trace more than a page tells whether there are older ones.
    fn query(&self) -> TraceQuery {
        TraceQuery {
            service: self.service.clone(),
            operation: self.operation.clone(),
            tags: self.attributes.clone(),
            duration_min: self.min_ns.unwrap_or(0),
            errors_only: self.errors,
            after: self.before,
            limit: PAGE + 1,
            ..TraceQuery::default()
        }
    }

    fn is_empty(&self) -> bool {
        self.service.is_none()
            && self.operation.is_none()
            && !self.errors
            && self.min_ns.is_none()
            && self.attributes.is_empty()
    }

    fn link(&self, path: &str) -> Link {
        self.params.link(path).without("mark")
    }
}

fn attribute(text: &str) -> Result<(String, String), Error> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(Error::bad(format!(
            "“attr” is “{}”, but it has to be a key and a value, for example http.route=/api/musics/.",
            shown(text)
        ))),
    }
}

/// A trace's place in the list: two may have started at the same time.
fn place(text: &str) -> Result<(u64, TraceId), Error> {
    let read = |text: &str| {
        let (start, id) = text.split_once('-')?;
        Some((start.parse().ok()?, id.parse().ok()?))
    };
    read(text).ok_or_else(|| {
        Error::bad(format!(
            "“before” is “{}”, but it has to be a trace’s start in nanoseconds, a dash and its id.",
            shown(text)
        ))
    })
}

/// `GET /`.
pub(super) async fn list(
    State(console): State<Console>,
    headers: HeaderMap,
    params: Params,
) -> Result<Markup, Error> {
    let filter = Filter::read(params)?;
    let form = Form::ask(&console, &filter).await?;
    let mark = mark(&console.store.stats());
    let rows = rows(&console, &headers, &filter).await?;
    let waiting = console.store.stats().spans == 0;
    let title = if filter.is_empty() { "Newest traces" } else { "Traces" };
    let live = filter.before.is_none();
    let body = html! {
        section data-live=[live.then(|| filter.link("/live").to_string())] data-mark=(mark) {
            div.head {
                h1 { (title) }
                @if !waiting { p { (form.summary) } }
                @if live {
                    div.end {
                        span.live hidden { "Live" }
                        button.small data-pause type="button" aria-pressed="false" hidden { "Pause" }
                    }
                } @else {
                    div.end { a.button.small href=(filter.link("/").without("before")) { "Back to the newest" } }
                }
            }
            @if !waiting { (form.markup) }
            div data-rows data-first[waiting] { (rows) }
        }
    };
    Ok(console.page(title, Nav::Traces, &body))
}

/// `GET /live`: the rows, or 204 as long as nothing has arrived since `mark`.
pub(super) async fn live(
    State(console): State<Console>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Error> {
    let filter = Filter::read(params)?;
    let mark = mark(&console.store.stats());
    if filter.params.get("mark") == Some(&mark) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(([(MARK, mark)], rows(&console, &headers, &filter).await?).into_response())
}

/// Changes with every span that arrives or leaves.
fn mark(stats: &Stats) -> String {
    format!("{}-{}", stats.evicted_spans, stats.spans)
}

async fn rows(console: &Console, headers: &HeaderMap, filter: &Filter) -> Result<Markup, Error> {
    if console.store.stats().spans == 0 {
        return Ok(first_run::draw(&console.surroundings.seen_from(headers)));
    }
    let query = filter.query();
    let mut found = console.ask(move |store| store.summaries(&query)).await?;
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    if found.is_empty() {
        return Ok(nothing(filter));
    }
    let palette = console.palette();
    let slowest = found.iter().map(took).max().unwrap_or(0).max(1);
    Ok(html! {
        div.card {
            table.traces {
                caption.unseen { "Traces, the latest start first" }
                thead {
                    tr {
                        th scope="col" { "Started (UTC)" }
                        th scope="col" { "Trace" }
                        th.services scope="col" { "Services" }
                        th.num scope="col" { "Spans" }
                        th.num scope="col" title="The bars grow with the square root of the duration, so that one slow trace leaves the others visible" { "Duration" }
                    }
                }
                tbody { @for summary in &found { (row(summary, slowest, &palette)) } }
            }
            @if more || filter.before.is_some() {
                div.pager {
                    span { (count(found.len() as u64)) " traces, the slowest took " (duration(slowest)) }
                    @if let Some(last) = found.last().filter(|_| more) {
                        a.button.small href=(filter.link("/").set("before", format!("{}-{}", last.start_ns, last.id))) { "Older traces" }
                    }
                }
            }
        }
    })
}

fn took(summary: &TraceSummary) -> u64 {
    summary.end_ns.saturating_sub(summary.start_ns)
}

fn row(summary: &TraceSummary, slowest: u64, palette: &Palette) -> Markup {
    let whole = took(summary);
    let failed = summary.errors > 0;
    // Where the root is missing the first service stands for it.
    let rooted = !summary.root_operation.is_empty();
    let service = if summary.root_service.is_empty() {
        summary.services.first().map_or("", |service| &service.name)
    } else {
        &summary.root_service
    };
    html! {
        tr.row data-key=(summary.id) {
            td.when {
                (time(summary.start_ns))
                " "
                small data-ago=(summary.start_ns / 1_000_000) {}
            }
            td.root {
                a.whole data-row href=(format!("/traces/{}", summary.id)) {
                    @if rooted { (clip(&summary.root_operation, 200)) } @else { "Root not here" }
                }
                small {
                    (palette.chip(service))
                    @if failed { span.badge.bad { (counted(summary.errors as u64, "error", "errors")) } }
                    @if summary.orphans > 0 { span.badge.warn { "incomplete" } }
                }
            }
            td.services {
                div.chips {
                    @for part in summary.services.iter().take(SERVICES_SHOWN) {
                        span.chip.(palette.class(&part.name)) {
                            (clip(&part.name, 40)) " "
                            small.bad[part.errors > 0] title=(counted(part.spans as u64, "span", "spans")) { (count(part.spans as u64)) }
                        }
                    }
                    @if summary.services.len() > SERVICES_SHOWN {
                        span.muted { "+" (summary.services.len() - SERVICES_SHOWN) }
                    }
                }
            }
            td.num.spans { (count(summary.spans as u64)) span.unseen { " spans" } }
            td.took {
                div.(palette.class(service)) {
                    svg.bad[failed] aria-hidden="true" preserveAspectRatio="none" {
                        rect.track width="100%" height="100%" {}
                        rect.value width=(percentage((whole as f64 / slowest as f64).sqrt().max(0.005))) height="100%" {}
                    }
                    b { (duration(whole)) }
                }
            }
        }
    }
}

fn nothing(filter: &Filter) -> Markup {
    html! {
        div.card.empty {
            h2 { "No trace fits" }
            @if filter.before.is_some() {
                p { "Nothing older is kept. " a href=(filter.link("/").without("before")) { "Back to the newest" } "." }
            } @else {
                p { "One span has to fit all filters at once. Take one away, or " a href="/" { "look at the newest traces" } "." }
            }
        }
    }
}
