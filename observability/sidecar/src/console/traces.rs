//! `/`: the newest traces, live, and what a search leaves of them. `/live` is the list alone, for the script that polls it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, StatusCode};
use maud::{Markup, html};

use super::error::Error;
use super::format::{clip, count, counted, duration, now, time};
use super::layout::{Nav, Palette, percentage, pill};
use super::params::{Link, Params, shown};
use super::{Addresses, Console};
use crate::store::{Operation, Stats, TraceQuery, TraceSummary};

/// Traces on one page.
const PAGE: usize = 50;
/// Services shown in a row; the others are counted.
const SERVICES_SHOWN: usize = 5;
const HOUR_NS: u64 = 3_600_000_000_000;
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
    before: Option<u64>,
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
            before: params.number("before", u64::MAX)?,
            params,
        })
    }

    /// The question to the store; one trace more than a page tells whether there are older ones.
    fn query(&self) -> TraceQuery {
        TraceQuery {
            service: self.service.clone(),
            operation: self.operation.clone(),
            tags: self.attributes.clone(),
            start_max: self.before.map_or(u64::MAX, |before| before.saturating_sub(1)),
            duration_min: self.min_ns.unwrap_or(0),
            errors_only: self.errors,
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
    let title = if filter.is_empty() { "Newest traces" } else { "Traces" };
    let live = filter.before.is_none();
    let body = html! {
        section data-live=[live.then(|| filter.link("/live").to_string())] data-mark=(mark) {
            div.head {
                h1 { (title) }
                p { (form.summary) }
                @if live {
                    div.end {
                        span.live hidden { "Live" }
                        button.small data-pause type="button" aria-pressed="false" hidden { "Pause" }
                    }
                } @else {
                    div.end { a.button.small href=(filter.link("/").without("before")) { "Back to the newest" } }
                }
            }
            (form.markup)
            div data-rows { (rows) }
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
        return Ok(first_run(&console.surroundings.seen_from(headers)));
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
                        th.num scope="col" { "Duration" }
                    }
                }
                tbody { @for summary in &found { (row(summary, slowest, &palette)) } }
            }
            @if more || filter.before.is_some() {
                div.pager {
                    span { (count(found.len() as u64)) " traces, the slowest took " (duration(slowest)) }
                    @if let Some(last) = found.last().filter(|_| more) {
                        a.button.small href=(filter.link("/").set("before", last.start_ns)) { "Older traces" }
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
                        rect.value width=(percentage((whole as f64 / slowest as f64).max(0.005))) height="100%" {}
                    }
                    b { (duration(whole)) }
                }
            }
        }
    }
}

/// The form with the filters, and what it knows beside them.
struct Form {
    markup: Markup,
    summary: String,
}

impl Form {
    async fn ask(console: &Console, filter: &Filter) -> Result<Self, Error> {
        let (service, operation) = (filter.service.clone(), filter.operation.clone());
        let (services, operations, slow) = console
            .ask(move |store| {
                let services = store.services();
                let operations: Vec<Operation> = match &service {
                    Some(service) => store.operations(service, None),
                    None => services
                        .iter()
                        .flat_map(|service| store.operations(service, None))
                        .collect(),
                };
                let slow = service.and_then(|service| p95(store, &service, operation.as_deref()));
                (services, operations, slow)
            })
            .await?;
        let mut names: Vec<&str> =
            operations.iter().map(|operation| operation.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let stats = console.store.stats();
        let summary = format!(
            "{} kept, with {}",
            counted(stats.traces as u64, "trace", "traces"),
            counted(stats.spans as u64, "span", "spans")
        );
        let markup = html! {
            (fields(filter, &services, &names))
            @if !filter.is_empty() || slow.is_some() { (applied(filter, slow)) }
        };
        Ok(Self { markup, summary })
    }
}

/// The duration that 95 % of the calls of the last hour stayed below: of an operation, else of what the service answers.
fn p95(store: &dyn crate::Store, service: &str, operation: Option<&str>) -> Option<u64> {
    let now = now();
    let rollups = store.red(now.saturating_sub(HOUR_NS), u64::MAX);
    let own = rollups.iter().filter(|rollup| &*rollup.service == service);
    let mut total = crate::store::Bucket::empty(0);
    for rollup in own {
        let counts = match operation {
            Some(operation) => &*rollup.operation == operation,
            None => super::services::answers(rollup.kind),
        };
        if counts {
            total.merge(&rollup.total());
        }
    }
    total.quantile_ns(0.95)
}

fn fields(filter: &Filter, services: &[String], operations: &[&str]) -> Markup {
    // A filter that is set stays visible, though its service may have left the store.
    let gone = filter.service.as_ref().filter(|service| !services.contains(service));
    html! {
        form.card.filters action="/" data-auto role="search" aria-label="Filter traces" {
            label.middle {
                "Service"
                select name="service" {
                    option value="" { "All services" }
                    @for service in services.iter().chain(gone) {
                        option value=(service) selected[filter.service.as_ref() == Some(service)] { (service) }
                    }
                }
            }
            label.wide {
                "Operation"
                input name="op" list="operations" value=[filter.operation.as_deref()] placeholder="GET /api/musics/" autocomplete="off";
            }
            datalist id="operations" { @for name in operations.iter().take(300) { option value=(name) {} } }
            // The field edits the last attribute; the others, added by clicking them, stay.
            @for other in filter.params.all("attr").take(filter.attributes.len().saturating_sub(1)) {
                input type="hidden" name="attr" value=(other);
            }
            label.wide {
                "Attribute"
                input name="attr" value=[filter.params.get("attr")] placeholder="http.response.status_code=500" autocomplete="off" spellcheck="false";
            }
            label.narrow {
                "At least"
                input name="min" value=[filter.params.get("min")] placeholder="250ms" autocomplete="off" size="8";
            }
            label.check {
                input type="checkbox" name="errors" value="1" checked[filter.errors];
                "Errors only"
            }
            div.act {
                button.primary type="submit" { "Search" }
            }
        }
    }
}

fn applied(filter: &Filter, slow: Option<u64>) -> Markup {
    let link = || filter.link("/").without("before");
    html! {
        div.applied {
            @if !filter.is_empty() { "One span of each trace has:" }
            @if let Some(service) = &filter.service { (pill(&format!("service {}", clip(service, 60)), &link().without("service"))) }
            @if let Some(operation) = &filter.operation { (pill(&format!("operation {}", clip(operation, 80)), &link().without("op"))) }
            @for text in filter.params.all("attr") { (pill(&clip(text, 120), &link().without_pair("attr", text))) }
            @if let Some(min) = filter.min_ns { (pill(&format!("{} or more", duration(min)), &link().without("min"))) }
            @if filter.errors { (pill("an error", &link().without("errors"))) }
            @if !filter.is_empty() { a href="/" { "Clear all" } }
            @if let Some(slow) = slow.filter(|slow| filter.min_ns != Some(*slow)) {
                a href=(link().set("min", format!("{}us", slow / 1_000))) { "Slower than 95 % (" (duration(slow)) ")" }
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

/// Nothing was ever received: how to send something.
fn first_run(at: &Addresses) -> Markup {
    let environment = format!(
        "export OTEL_EXPORTER_OTLP_ENDPOINT={http}\nexport OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\nexport OTEL_SERVICE_NAME=my-service",
        http = at.otlp_http
    );
    let trace = format!(
        "curl {http}/v1/traces -H 'content-type: application/json' -d '{{\"resourceSpans\":[{{\"resource\":{{\"attributes\":\
         [{{\"key\":\"service.name\",\"value\":{{\"stringValue\":\"hello\"}}}}]}},\"scopeSpans\":[{{\"spans\":[{{\"traceId\":\
         \"5b8efff798038103d269b633813fc60c\",\"spanId\":\"eee19b7ec3c1b174\",\"name\":\"say hello\",\"kind\":2,\
         \"startTimeUnixNano\":\"'$(date +%s)000000000'\",\"endTimeUnixNano\":\"'$(date +%s)250000000'\"}}]}}]}}]}}'",
        http = at.otlp_http
    );
    let log = format!(
        "curl {http}/v1/logs -H 'content-type: application/json' -d '{{\"resourceLogs\":[{{\"resource\":{{\"attributes\":\
         [{{\"key\":\"service.name\",\"value\":{{\"stringValue\":\"hello\"}}}}]}},\"scopeLogs\":[{{\"logRecords\":[{{\"timeUnixNano\":\
         \"'$(date +%s)100000000'\",\"severityNumber\":9,\"severityText\":\"INFO\",\"traceId\":\"5b8efff798038103d269b633813fc60c\",\
         \"spanId\":\"eee19b7ec3c1b174\",\"body\":{{\"stringValue\":\"hello from curl\"}}}}]}}]}}]}}'",
        http = at.otlp_http
    );
    let read = format!("curl {}/api/traces/5b8efff798038103d269b633813fc60c", at.jaeger);
    html! {
        div.start {
            section.card {
                h2 { "Waiting for the first trace" }
                p { "Nothing has arrived yet. Send OpenTelemetry here; this page shows it within a second." }
                dl.plain {
                    div { dt { "OTLP over HTTP" } dd { code { (at.otlp_http) } } }
                    div { dt { "OTLP over gRPC" } dd { code { (at.otlp_grpc) } } }
                    div { dt { "Jaeger’s query API" } dd { code { (at.jaeger) } } }
                }
            }
            section.card {
                h2 { "From any OpenTelemetry SDK" }
                p { "These variables are enough; MusicWallet’s own services are set up already." }
                (code_block(&environment))
            }
            section.card {
                h2 { "Or with three calls" }
                p { "A span, a log line during it, and both read back:" }
                (code_block(&trace))
                (code_block(&log))
                (code_block(&read))
            }
        }
    }
}

fn code_block(text: &str) -> Markup {
    html! {
        div.code {
            pre { code { (text) } }
            button.small data-copy=(text) type="button" hidden { "Copy" }
        }
    }
}
