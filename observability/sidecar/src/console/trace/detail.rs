//! The chosen span: what it did, why it failed, what it logged, and what it was told about itself.

use maud::{Markup, html};

use super::Shown;
use super::view::Links;
use crate::console::Console;
use crate::console::error::Error;
use crate::console::format::{bytes, clip, count, counted, duration, now, percent};
use crate::console::logs::level;
use crate::console::params::{LONGEST, Link};
use crate::store::{AnyValue, Bucket, Event, Link as SpanLink, Span, Status, value_text};

/// Characters of one value; the JSON has all of them.
const VALUE: usize = 4_000;
/// Attributes, events, links and log lines of one list.
const LISTED: usize = 100;
/// Of fewer calls nothing can be said about the slowest of them.
const FEW: u64 = 20;
const HOUR_NS: u64 = 3_600_000_000_000;

/// How long other spans of the same operation took in the last hour.
pub(super) struct Peers(Bucket);

impl Peers {
    pub(super) async fn ask(console: &Console, span: &Span) -> Result<Self, Error> {
        let (service, name, kind) = (span.service.clone(), span.name.clone(), span.kind);
        let total = console
            .ask(move |store| {
                let rollups = store.red(now().saturating_sub(HOUR_NS), u64::MAX);
                let same = |it: &&crate::store::Rollup| {
                    it.service == service && *it.operation == *name && it.kind == kind
                };
                rollups.iter().find(same).map(crate::store::Rollup::total)
            })
            .await?;
        Ok(Self(total.unwrap_or_else(|| Bucket::empty(0))))
    }

    fn draw(&self, span: &Span) -> Markup {
        let Some((middle, slow)) =
            self.0.quantile_ns(0.5).zip(self.0.quantile_ns(0.95)).filter(|_| self.0.count >= FEW)
        else {
            return html! {};
        };
        let all = Link::to("/").set("service", &span.service).set("op", &span.name);
        html! {
            p.muted {
                a href=(all) { (counted(self.0.count, "call", "calls")) } " like this in the last hour: half took about "
                (duration(middle)) " or less, 95 % " (duration(slow)) " or less."
                @if span.duration_ns() > slow { " " span.badge.warn { "slower than 95 %" } }
            }
        }
    }
}

pub(super) fn draw(shown: &Shown, links: &Links<'_>, at: usize, peers: Option<&Peers>) -> Markup {
    let (tree, span) = (&shown.tree, shown.span(at));
    let whole = (tree.end - tree.start).max(1);
    let (errors, events): (Vec<&Event>, Vec<&Event>) =
        span.events.iter().partition(|event| event.name == "exception");
    html! {
        article.detail aria-label="Chosen span" tabindex="0" {
            p.chips {
                (shown.palette.chip(&span.service))
                @if !span.kind.name().is_empty() { span.badge { (span.kind.name()) } }
                @if span.is_error() { span.badge.bad { "error" } }
                @if span.status == Status::Ok { span.badge { "ok" } }
            }
            h2 { (clip(&span.name, VALUE)) }
            dl.facts {
                div { dt { "Duration" } dd { (duration(span.duration_ns())) " " small { (percent(span.duration_ns() as f64 / whole as f64)) } } }
                div { dt { "Own work" } dd { (duration(tree.own_time(at))) } }
                div { dt { "Starts at" } dd { (duration(span.start_ns.saturating_sub(tree.start))) } }
                div { dt { "Span id" } dd { code { (span.span_id) } " " button.small.quiet data-copy=(span.span_id) type="button" hidden { "Copy" } } }
            }
            @if let Status::Error(why) = &span.status {
                @if !why.is_empty() { p.why { (clip(why, VALUE)) } }
            }
            @if tree.nodes[at].orphan {
                @if let Some(parent) = span.parent { p.muted { "Its parent " code { (parent) } " is not here." } }
            }
            @if let Some(peers) = peers { (peers.draw(span)) }
            @if !errors.is_empty() { h3 { "Exceptions" } (event_list(shown, &errors)) }
            (logs(shown, at))
            @if !events.is_empty() { h3 { "Events " small { (count(events.len() as u64)) } } (event_list(shown, &events)) }
            h3 { "Attributes " small { (count(span.attributes.len() as u64)) (left_out(span.dropped[0])) } }
            @if span.attributes.is_empty() { p.muted { "None." } }
            (pairs(&span.attributes, true))
            @if !span.links.is_empty() {
                h3 { "Links " small { (count(span.links.len() as u64)) (left_out(span.dropped[2])) } }
                ul.events { @for link in span.links.iter().take(LISTED) { (link_to(shown, links, link)) } }
            }
            details {
                summary { "Resource and scope " small { (clip(&span.scope.name, 60)) } }
                (pairs(&span.resource.attributes, true))
                dl.pairs {
                    @for (name, value) in [("scope", &span.scope.name), ("scope version", &span.scope.version), ("trace state", &span.trace_state)] {
                        @if !value.is_empty() { div { dt { (name) } dd { (clip(value, VALUE)) } } }
                    }
                }
                (pairs(&span.scope.attributes, false))
            }
        }
    }
}

fn left_out(dropped: u32) -> String {
    if dropped == 0 {
        String::new()
    } else {
        format!(", {} left out by the sender", count(dropped.into()))
    }
}

/// The span's own log lines, by time.
fn logs(shown: &Shown, at: usize) -> Markup {
    let own: Vec<_> = shown.tree.own_lines(at).map(|log| &shown.logs[log]).collect();
    let all = Link::to("/logs").set("trace", shown.trace.id).set("span", shown.span(at).span_id);
    html! {
        @if !own.is_empty() {
            h3 { "Log lines " small { (count(own.len() as u64)) } }
            ol.events {
                @for log in own.iter().take(LISTED) {
                    @let level = level(log.severity, &log.severity_text);
                    li {
                        p {
                            span.at { "+" (duration(log.time_ns.saturating_sub(shown.tree.start))) }
                            span.sev.(level.class) { (level.name) }
                            span { (clip(&log.body, VALUE)) }
                        }
                        (pairs(&log.attributes, false))
                    }
                }
            }
            @if own.len() > LISTED { p { a href=(all) { "All " (count(own.len() as u64)) } } }
        }
    }
}

fn event_list(shown: &Shown, events: &[&Event]) -> Markup {
    html! {
        ol.events {
            @for event in events.iter().take(LISTED) {
                li {
                    p {
                        span.at { "+" (duration(event.time_ns.saturating_sub(shown.tree.start))) }
                        span { (clip(&event.name, VALUE)) }
                    }
                    (pairs(&event.attributes, false))
                }
            }
            @if events.len() > LISTED { li.muted { "and " (count((events.len() - LISTED) as u64)) " more in the JSON" } }
        }
    }
}

fn link_to(shown: &Shown, links: &Links<'_>, link: &SpanLink) -> Markup {
    let here = (link.trace_id == shown.trace.id)
        .then(|| shown.tree.find(u64::from_be_bytes(link.span_id.0)))
        .flatten();
    html! {
        li {
            @match here {
                Some(at) => p { a data-to=(format!("s-{}", link.span_id)) href=(links.jump(at)) { (clip(&shown.span(at).name, 200)) } span.muted { "in this trace" } },
                None => p {
                    a.mono href=(Link::to(format!("/traces/{}", link.trace_id)).set("span", link.span_id)) { (link.trace_id) }
                    span.muted { "span " code { (link.span_id) } }
                },
            }
            (pairs(&link.attributes, false))
        }
    }
}

/// Keys and values, by key, long ones last. With `search`, a value leads to the traces that have the same.
pub(in crate::console) fn pairs(attributes: &[(String, AnyValue)], search: bool) -> Markup {
    let mut sorted: Vec<_> =
        attributes.iter().map(|(key, value)| (key, value_text(value))).collect();
    sorted.sort_by_key(|(key, value)| (is_tall(value), *key));
    html! {
        @if !sorted.is_empty() {
            dl.pairs {
                @for (key, value) in sorted.iter().take(LISTED) { (pair(key, value, search)) }
                @if sorted.len() > LISTED { div { dt.muted { "…" } dd { (count((sorted.len() - LISTED) as u64)) " more in the JSON" } } }
            }
        }
    }
}

/// Statements, stack traces and other texts of several lines get the whole width.
fn is_tall(value: &str) -> bool {
    value.contains('\n') || value.len() > 160
}

/// Whether a filter `key=value`, which is trimmed, means this pair and is not too long.
fn can_be_asked_for(key: &str, value: &str) -> bool {
    let trimmed = key.trim() == key && value.trim() == value;
    trimmed && !value.is_empty() && !key.contains('=') && key.len() + value.len() < LONGEST
}

fn pair(key: &str, value: &str, search: bool) -> Markup {
    let tall = is_tall(value);
    let shown = clip(value, VALUE);
    let rest = value.len().saturating_sub(shown.len());
    html! {
        div {
            dt.tall[tall] { (clip(key, 200)) }
            dd.tall[tall] {
                @if tall {
                    pre { (shown) }
                    @if rest > 0 { span.muted { (bytes(rest as u64)) " more in the JSON" } }
                } @else if search && can_be_asked_for(key, value) {
                    a href=(Link::to("/").set("attr", format!("{key}={value}"))) title="Traces with the same value" { (shown) }
                } @else {
                    (shown)
                }
            }
        }
    }
}
