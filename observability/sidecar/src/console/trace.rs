//! `/traces/{id}`: one trace as a waterfall, with its logs, the chosen span's details beside it, and the error path open.
//!
//! What is open, chosen, searched for and shown is in the URL. Of a large trace at most [`ROWS`] rows are sent at once.

mod detail;
mod strip;
mod tree;
mod view;
mod waterfall;

use std::collections::BTreeMap;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use maud::{Markup, html};

pub(super) use self::detail::pairs;
use self::tree::{Line, Place, Tree};
use self::view::View;
use super::Console;
use super::error::Error;
use super::format::{clip, count, counted, duration, rfc3339};
use super::layout::{Nav, Palette};
use super::params::{Link, Params, shown};
use crate::store::{LogQuery, LogRecord, Span, Trace, TraceId};

/// Rows of the waterfall in one answer, log lines included.
const ROWS: usize = 300;
/// Log lines of a trace that are read; a trace with more has a link to all of them.
const LOGS: usize = 10_000;

/// A stored trace, ready to be drawn.
struct Shown {
    trace: Trace,
    logs: Vec<LogRecord>,
    tree: Tree,
    palette: Palette,
}

/// `GET /traces/{id}`, and `GET /traces/{id}.json`.
pub(super) async fn show(
    State(console): State<Console>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Error> {
    let Path(name) = path.map_err(|_| Error::no_page())?;
    let (text, as_json) = match name.strip_suffix(".json") {
        Some(text) => (text, true),
        None => (name.as_str(), false),
    };
    let id: TraceId = text.parse().map_err(|_| {
        Error::bad(format!(
            "“{}” is no trace id. It has 32 hexadecimal digits (0-9, a-f), not all of them 0.",
            shown(text)
        ))
    })?;
    if as_json {
        params.only(&[])?;
        return json(&console, id).await;
    }
    let view = View::read(&params)?;
    // One address per trace: capital letters and left out zeros lead to it.
    if id.to_string() != text {
        return Ok(Redirect::to(&params.link(&format!("/traces/{id}")).to_string()).into_response());
    }
    let palette = console.palette();
    let found = console
        .ask(move |store| {
            let trace = store.trace(id)?;
            let mut logs = store.find_logs(&LogQuery {
                trace_id: Some(id),
                limit: LOGS,
                ..LogQuery::default()
            });
            logs.sort_by_key(|log| (log.time_ns, log.sequence));
            let shown = Shown::new(trace, logs, palette);
            let chosen = view.choose(&shown); // reads every span where something is searched for
            Some((shown, view, chosen))
        })
        .await?;
    let Some((shown, view, chosen)) = found else {
        return Err(Error::no_trace(&id.to_string()));
    };
    let peers = match chosen.span {
        Some(at) => Some(detail::Peers::ask(&console, &shown.trace.spans[at]).await?),
        None => None,
    };
    let title = shown.title();
    let body = html! {
        (header(console.surroundings.seen_from(&headers).jaeger.as_deref(), &shown, &title))
        (warnings(&shown))
        div data-swap {
            (strip::draw(&shown, &chosen))
            (waterfall::draw(&shown, &view, &chosen, peers.as_ref()))
        }
    };
    Ok(console.page(&title, Nav::Traces, &body).into_response())
}

/// The spans as OTLP JSON, to be saved, sent on or attached to a report.
async fn json(console: &Console, id: TraceId) -> Result<Response, Error> {
    let answer = console
        .ask(move |store| {
            store.trace(id).map(|trace| crate::jaeger::otlp_json(&[trace]).to_string())
        })
        .await?;
    let Some(body) = answer else { return Err(Error::no_trace(&id.to_string())) };
    let headers = [
        (CONTENT_TYPE, "application/json".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"trace-{id}.json\"")),
    ];
    Ok((headers, body).into_response())
}

impl Shown {
    fn new(trace: Trace, logs: Vec<LogRecord>, palette: Palette) -> Self {
        let number = |id: crate::store::SpanId| u64::from_be_bytes(id.0);
        let places = trace.spans.iter().map(|span| Place {
            id: number(span.span_id),
            parent: span.parent.map(number),
            start: span.start_ns,
            end: span.end_ns.max(span.start_ns),
            failed: span.is_error(),
        });
        let lines =
            logs.iter().map(|log| Line { span: log.span_id.map(number), time: log.time_ns });
        let tree = Tree::new(places.collect(), lines.collect());
        Self { trace, logs, tree, palette }
    }

    /// The root's name, or what there is of it.
    fn title(&self) -> String {
        let root = tree::spans(&self.tree.roots).find(|at| !self.tree.nodes[*at].orphan);
        match root.or_else(|| tree::spans(&self.tree.roots).next()) {
            Some(at) => clip(&self.trace.spans[at].name, 200),
            None => "Trace".to_owned(),
        }
    }

    fn address(&self) -> Link {
        Link::to(format!("/traces/{}", self.trace.id))
    }

    /// Spans and failed spans per service, by name.
    fn services(&self) -> BTreeMap<&str, (u64, u64)> {
        let mut services = BTreeMap::new();
        for span in &self.trace.spans {
            let (spans, errors): &mut (u64, u64) = services.entry(&*span.service).or_default();
            *spans += 1;
            *errors += u64::from(span.is_error());
        }
        services
    }

    fn span(&self, at: usize) -> &Span {
        &self.trace.spans[at]
    }
}

fn header(jaeger: Option<&str>, shown: &Shown, title: &str) -> Markup {
    let id = shown.trace.id;
    let errors = shown.trace.spans.iter().filter(|span| span.is_error()).count() as u64;
    let start = rfc3339(shown.tree.start);
    html! {
        p.crumb {
            a href="/" { "Traces" }
            span aria-hidden="true" { "/" }
            code { (id) }
            button.small.quiet data-copy=(id) type="button" hidden { "Copy id" }
        }
        div.head {
            h1 { (title) }
            div.end {
                a.button.small href=(Link::to("/logs").set("trace", id)) { "Logs" }
                a.button.small href=(format!("/traces/{id}.json")) download=(format!("trace-{id}.json")) { "Download JSON" }
                @if let Some(jaeger) = jaeger { a.button.small href=(format!("{jaeger}/api/traces/{id}")) rel="noreferrer" { "Jaeger API" } }
            }
        }
        dl.facts {
            div { dt { "Duration" } dd { (duration(shown.tree.end - shown.tree.start)) } }
            div {
                dt { "Started" }
                dd { time datetime=(start) { (start[11..23]) } " " small { (start[..10]) " UTC" } " " small data-ago=(shown.tree.start / 1_000_000) {} }
            }
            div { dt { "Services" } dd { (shown.services().len()) } }
            div { dt { "Depth" } dd { (shown.tree.levels()) } }
            div { dt { "Spans" } dd { (count(shown.trace.spans.len() as u64)) } }
            div { dt { "Errors" } dd.bad[errors > 0] { (count(errors)) } }
            div { dt { "Log lines" } dd { (count(shown.logs.len() as u64)) @if shown.logs.len() == LOGS { "+" } } }
        }
    }
}

fn warnings(shown: &Shown) -> Markup {
    let orphans = shown.tree.nodes.iter().filter(|node| node.orphan).count() as u64;
    let backwards =
        shown.trace.spans.iter().filter(|span| span.end_ns < span.start_ns).count() as u64;
    html! {
        @if orphans > 0 {
            p.note role="note" {
                span {
                    strong { (counted(orphans, "span names a parent that is", "spans name a parent that is")) " not here. " }
                    "It may still be on its way, was not sampled, or has left the store. What is below it stands at the root."
                }
            }
        }
        @if backwards > 0 {
            p.note role="note" {
                span { strong { (counted(backwards, "span ends", "spans end")) " before the start. " } "Shown with no duration; the sender’s clock was set back." }
            }
        }
    }
}
