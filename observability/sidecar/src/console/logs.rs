//! `/logs`: log lines across traces, the latest arrival first; each leads to its trace and span.

use axum::extract::State;
use maud::{Markup, html};

use super::Console;
use super::error::Error;
use super::format::{clip, count, now, rfc3339, time};
use super::layout::{Nav, Palette, pill};
use super::params::{LONGEST, Link, Params, shown};
use super::trace::pairs;
use crate::Store;
use crate::store::{LogQuery, LogRecord, SpanId, TraceId};

/// Lines on one page.
const PAGE: usize = 200;
/// How often the store is asked for one page at most: a search by time reads past what is too old.
const ROUNDS: usize = 25;
/// Columns of the picture above the lines.
const COLUMNS: usize = 80;
/// Bytes of a line that stand open; more is folded.
const BODY: usize = 2_000;

/// Levels by their lowest number in OTLP.
const LEVELS: [(&str, u8); 5] =
    [("trace", 1), ("debug", 5), ("info", 9), ("warn", 13), ("error", 17)];
/// Spans of time in seconds.
const LAST: [(&str, u64); 5] =
    [("5m", 300), ("15m", 900), ("1h", 3_600), ("6h", 21_600), ("24h", 86_400)];

/// How a level is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) name: &'static str,
    pub(super) class: &'static str,
}

/// The level of a record: by its number, else by its name.
pub(super) fn level(severity: u8, text: &str) -> Level {
    let (name, class) = match severity {
        1..=4 => ("TRACE", ""),
        5..=8 => ("DEBUG", ""),
        9..=12 => ("INFO", "info"),
        13..=16 => ("WARN", "warn"),
        17..=20 => ("ERROR", "bad"),
        21..=24 => ("FATAL", "bad"),
        _ => match text.to_ascii_lowercase().get(..4) {
            Some("trac") => ("TRACE", ""),
            Some("debu") => ("DEBUG", ""),
            Some("info") => ("INFO", "info"),
            Some("warn") => ("WARN", "warn"),
            Some("erro") => ("ERROR", "bad"),
            Some("fata" | "crit") => ("FATAL", "bad"),
            _ => ("–", ""),
        },
    };
    Level { name, class }
}

/// What the reader asked for.
struct Filter {
    params: Params,
    query: LogQuery,
    since: Option<u64>,
}

impl Filter {
    fn read(params: Params) -> Result<Self, Error> {
        params.only(&["service", "level", "q", "last", "trace", "span", "before"])?;
        let last = params.one_of("last", &LAST)?;
        let query = LogQuery {
            service: params.get("service").map(str::to_owned),
            severity: params.one_of("level", &LEVELS)?.unwrap_or(0),
            text: params.get("q").map(str::to_owned),
            trace_id: params
                .get("trace")
                .map(|text| id::<TraceId>("trace", text, 32))
                .transpose()?,
            span_id: params.get("span").map(|text| id::<SpanId>("span", text, 16)).transpose()?,
            before: params.number("before", u64::MAX)?,
            limit: PAGE + 1,
        };
        Ok(Self {
            since: last.map(|seconds| now().saturating_sub(seconds * 1_000_000_000)),
            query,
            params,
        })
    }

    fn is_empty(&self) -> bool {
        ["service", "level", "q", "last", "trace", "span"]
            .iter()
            .all(|key| self.params.get(key).is_none())
    }

    fn link(&self) -> Link {
        self.params.link("/logs").without("before")
    }
}

fn id<T: std::str::FromStr>(key: &str, text: &str, digits: u8) -> Result<T, Error> {
    text.parse().map_err(|_| {
        Error::bad(format!("“{key}” is “{}”, but it has to be {digits} hexadecimal digits (0-9, a-f), not all of them 0.", shown(text)))
    })
}

/// `GET /logs`.
pub(super) async fn list(State(console): State<Console>, params: Params) -> Result<Markup, Error> {
    let filter = Filter::read(params)?;
    let (query, since) = (filter.query.clone(), filter.since);
    let (mut lines, mut services) =
        console.ask(move |store| (collect(store, query, since), store.services())).await?;
    services.retain(|service| service.len() <= LONGEST); // what is longer could not be asked for
    let older =
        if lines.len() > PAGE { lines.get(PAGE - 1).map(|line| line.sequence) } else { None };
    lines.truncate(PAGE);
    let palette = Palette::of(
        services.iter().map(String::as_str).chain(lines.iter().map(|line| &*line.service)),
    );
    let kept = console.store.stats().logs as u64;
    let body = html! {
        div.head {
            h1 { "Logs" }
            p { (count(kept)) " lines kept, the latest first" }
            @if filter.query.before.is_some() {
                div.end { a.button.small href=(filter.link()) { "Back to the newest" } }
            }
        }
        (fields(&filter, &services))
        @if !filter.is_empty() { (applied(&filter)) }
        @if lines.is_empty() {
            (nothing(kept, &filter))
        } @else {
            (volume(&lines))
            div.card.logs {
                ol { @for line in &lines { (row(line, &palette, filter.query.text.as_deref())) } }
                @if let Some(last) = older {
                    div.pager {
                        span { (count(lines.len() as u64)) " lines" }
                        a.button.small href=(filter.link().set("before", last)) { "Older lines" }
                    }
                }
            }
        }
    };
    Ok(console.page("Logs", Nav::Logs, &body))
}

/// A page and one more. The store finds by arrival, so a page since a certain time goes on until a whole answer is older.
fn collect(store: &dyn Store, mut query: LogQuery, since: Option<u64>) -> Vec<LogRecord> {
    let since = since.unwrap_or(0);
    let mut lines = Vec::new();
    for _ in 0..ROUNDS {
        let found = store.find_logs(&query);
        let (all, last) = (found.len(), found.last().map(|line| line.sequence));
        let before = lines.len();
        lines.extend(found.into_iter().filter(|line| line.time_ns >= since));
        if lines.len() > PAGE || all < query.limit || lines.len() == before {
            break;
        }
        query.before = last;
    }
    lines.truncate(PAGE + 1);
    lines
}

fn fields(filter: &Filter, services: &[String]) -> Markup {
    let chosen = filter.params.get("service");
    let gone = chosen.filter(|chosen| !services.iter().any(|service| service == chosen));
    html! {
        form.card.filters action="/logs" data-auto role="search" aria-label="Filter log lines" {
            @for key in ["trace", "span"] {
                @if let Some(value) = filter.params.get(key) { input type="hidden" name=(key) value=(value); }
            }
            label.wide {
                "Text"
                input name="q" type="search" data-find value=[filter.params.get("q")] placeholder="Words of the message" autocomplete="off";
            }
            label.middle {
                "Level"
                select name="level" {
                    option value="" { "All levels" }
                    @for (name, _) in LEVELS {
                        option value=(name) selected[filter.params.get("level") == Some(name)] { (name) @if name != "error" { " and above" } }
                    }
                }
            }
            label.middle {
                "Service"
                select name="service" {
                    option value="" { "All services" }
                    @for service in services.iter().map(String::as_str).chain(gone) {
                        option value=(service) selected[chosen == Some(service)] { (clip(service, 60)) }
                    }
                }
            }
            label.narrow {
                "Within"
                select name="last" {
                    option value="" { "Any time" }
                    @for (name, _) in LAST { option value=(name) selected[filter.params.get("last") == Some(name)] { (name) } }
                }
            }
            div.act { button.primary type="submit" { "Search" } }
        }
    }
}

fn applied(filter: &Filter) -> Markup {
    html! {
        div.applied {
            @for (key, words) in [("q", "text"), ("level", "level from"), ("service", "service"), ("last", "within"), ("trace", "trace"), ("span", "span")] {
                @if let Some(value) = filter.params.get(key) {
                    (pill(&format!("{words} {}", clip(value, 80)), &filter.link().without(key)))
                }
            }
            a href="/logs" { "Clear all" }
            @if let Some(trace) = filter.query.trace_id { a href=(format!("/traces/{trace}")) { "Open the trace" } }
        }
    }
}

fn nothing(kept: u64, filter: &Filter) -> Markup {
    html! {
        div.card.empty {
            @if kept == 0 {
                h2 { "No log line has arrived yet" }
                p { "Lines sent by OTLP appear here, with the trace they were written in. " a href="/" { "The first page" } " tells how." }
            } @else if filter.query.before.is_some() {
                h2 { "Nothing older is kept" }
                p { a href=(filter.link()) { "Back to the newest" } }
            } @else {
                h2 { "No line fits" }
                p { "Take a filter away, or " a href="/logs" { "look at all lines" } "." }
            }
        }
    }
}

fn row(line: &LogRecord, palette: &Palette, text: Option<&str>) -> Markup {
    let level = level(line.severity, &line.severity_text);
    let body = clip(&line.body, BODY);
    html! {
        li.(level.class) {
            (time(line.time_ns))
            span.sev.(level.class) { (level.name) }
            (palette.chip(&line.service))
            @if line.attributes.is_empty() && line.scope.name.is_empty() {
                div.body { (marked(&body, text)) }
            } @else {
                details.body {
                    summary { (marked(&body, text)) }
                    @if !line.scope.name.is_empty() { p.muted { "Logger " code { (clip(&line.scope.name, 200)) } } }
                    (pairs(&line.attributes, false))
                }
            }
            @if let Some(trace) = line.trace_id {
                a.to href=(to_trace(trace, line.span_id)) title=(trace) { (trace.to_string()[..8]) span.unseen { " (trace)" } }
            } @else {
                span.to.muted { "no trace" }
            }
        }
    }
}

fn to_trace(trace: TraceId, span: Option<SpanId>) -> String {
    match span {
        Some(span) => format!("/traces/{trace}?span={span}#s-{span}"),
        None => format!("/traces/{trace}"),
    }
}

/// The searched words marked. Only where upper and lower case have the same length is the place of a match certain.
fn marked(body: &str, text: Option<&str>) -> Markup {
    let lower = body.to_lowercase();
    let needle = text.unwrap_or_default().to_lowercase();
    if needle.is_empty() || lower.len() != body.len() {
        return html! { (body) };
    }
    let mut rest = 0;
    let mut parts = Vec::new();
    for (at, _) in lower.match_indices(&needle) {
        let end = at + needle.len();
        if let (Some(before), Some(hit)) = (body.get(rest..at), body.get(at..end)) {
            parts.push((before, hit));
            rest = end;
        }
    }
    html! {
        @for (before, hit) in parts { (before) mark { (hit) } }
        (body[rest..])
    }
}

/// How many of these lines were written when, by the worst level.
fn volume(lines: &[LogRecord]) -> Markup {
    let times = || lines.iter().map(|line| line.time_ns);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return html! {} };
    let width = ((last - first) / COLUMNS as u64 + 1).max(1);
    let mut columns = [[0_usize; 3]; COLUMNS];
    for line in lines {
        let at = (((line.time_ns - first) / width) as usize).min(COLUMNS - 1);
        let kind = match level(line.severity, &line.severity_text).class {
            "bad" => 0,
            "warn" => 1,
            _ => 2,
        };
        columns[at][kind] += 1;
    }
    let most =
        columns.iter().map(|column| column.iter().sum::<usize>()).max().unwrap_or(1).max(1) as f64;
    html! {
        div.card.volume.logs {
            svg.hist viewBox={ "0 0 " (COLUMNS * 10) " 100" } preserveAspectRatio="none" role="img" aria-label="These lines over time" {
                @for (at, column) in columns.iter().enumerate() {
                    @let heights = column.map(|lines| lines as f64 / most * 100.0);
                    @let bad = (100.0 - heights[0], heights[0], "bad");
                    @let warn = (bad.0 - heights[1], heights[1], "warn");
                    @let fine = (warn.0 - heights[2], heights[2], "fine");
                    @for (y, height, class) in [bad, warn, fine] {
                        @if height > 0.0 {
                            rect.(class) x=(at * 10 + 1) y=(format!("{y:.1}")) width="8" height=(format!("{height:.1}")) {}
                        }
                    }
                }
            }
            div.ends { span { (rfc3339(first)[11..19]) } span { (rfc3339(last)[11..19]) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_marked_and_escaped() {
        assert_eq!(
            marked("Say <b>HELLO</b>", Some("hello")).into_string(),
            "Say &lt;b&gt;<mark>HELLO</mark>&lt;/b&gt;"
        );
        assert_eq!(marked("aaa", Some("aa")).into_string(), "<mark>aa</mark>a");
        assert_eq!(marked("İstanbul", Some("stan")).into_string(), "İstanbul");
        assert_eq!(marked("x", None).into_string(), "x");
    }

    #[test]
    fn a_level_is_known_by_number_or_by_name() {
        assert_eq!(level(17, "").name, "ERROR");
        assert_eq!(level(0, "Warning").name, "WARN");
        assert_eq!(level(0, "").name, "–");
        assert_eq!(level(255, "é").name, "–");
    }
}
