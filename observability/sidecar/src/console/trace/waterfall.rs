//! The rows: the tree on the left, the bars on the right, the chosen span's details beside or below its row.

use maud::{Markup, html};

use super::detail::{self, Peers};
use super::tree::Item;
use super::view::{Chosen, Links, View};
use super::{ROWS, Shown};
use crate::console::format::{clip, count, counted, duration};
use crate::console::layout::percentage;
use crate::console::logs::level;

/// Guides drawn for the depth; deeper rows tell their depth as a number.
const GUIDES: usize = 20;
/// Own pieces of work drawn in one bar.
const PIECES: usize = 24;
/// Log lines drawn as dots on one bar.
const DOTS: usize = 24;
/// Narrowest bar, as a share of the whole.
const NARROWEST: f64 = 0.003;

pub(super) fn draw(shown: &Shown, view: &View, chosen: &Chosen, peers: Option<&Peers>) -> Markup {
    let links = Links::new(view, chosen, shown);
    let visible = |at: usize| chosen.rows.contains(&Item::Span(at));
    let beside = chosen.span.filter(|at| visible(*at));
    let panel = |at| {
        html! {
            tr.panel.offered[chosen.offered] role="row" {
                td role="gridcell" colspan="2" { div.slot { (detail::draw(shown, &links, at, peers)) } }
            }
        }
    };
    html! {
        section.card aria-label="Waterfall" data-say=(said(view, chosen)) {
            (tools(shown, view, chosen, &links))
            div.fall {
                table role="treegrid" aria-label="Spans by time" aria-rowcount=(chosen.total) {
                    colgroup { col.tree; col; }
                    thead {
                        tr role="row" {
                            th role="columnheader" scope="col" { "Span" }
                            th.scale role="columnheader" scope="col" { span.unseen { "Time" } (scale(shown)) }
                        }
                    }
                    tbody {
                        (before(shown, chosen, &links))
                        @if let (None, Some(at)) = (beside, chosen.span) { (panel(at)) }
                        @for (index, item) in chosen.rows.iter().enumerate() {
                            @match *item {
                                Item::Span(at) => {
                                    (span(shown, chosen, &links, at, chosen.from + index))
                                    @if beside == Some(at) { (panel(at)) }
                                }
                                Item::Log(at) => (log(shown, at, chosen.from + index)),
                            }
                        }
                        (after(chosen, &links))
                    }
                }
            }
        }
    }
}

/// What a screen reader hears after a part of the page was replaced.
fn said(view: &View, chosen: &Chosen) -> String {
    match &view.find {
        Some(_) => counted(chosen.hits.len() as u64, "span found", "spans found"),
        None => counted(chosen.total as u64, "row", "rows"),
    }
}

fn tools(shown: &Shown, view: &View, chosen: &Chosen, links: &Links<'_>) -> Markup {
    html! {
        div.tools {
            form action=(shown.address()) role="search" aria-label="Find in this trace" data-to="find" {
                @for (key, value) in links.kept() { input type="hidden" name=(key) value=(value); }
                label.unseen for="find" { "Find in this trace" }
                input id="find" data-find type="search" name="find" value=[view.find.as_deref()] placeholder="Find in this trace" autocomplete="off" spellcheck="false";
                @if view.find.is_some() {
                    @let position = chosen.position(&chosen.hits).map_or(String::new(), |at| format!("{} of ", count(at as u64)));
                    span.muted { (position) (counted(chosen.hits.len() as u64, "match", "matches")) }
                    @if chosen.hits.len() > 1 {
                        span.group {
                            (jump(shown, chosen, links, &chosen.hits, true, "Previous match", "↑"))
                            (jump(shown, chosen, links, &chosen.hits, false, "Next match", "↓"))
                        }
                    }
                }
            }
            div.end {
                @if !chosen.errors.is_empty() {
                    @if let Some(at) = chosen.neighbour(&chosen.errors, false) {
                        a.button.small data-error data-to=(anchor(shown, at)) href=(links.jump(at)) {
                            "Next error "
                            span.bad { (chosen.position(&chosen.errors).map_or(String::new(), |at| format!("{at}/"))) (count(chosen.errors.len() as u64)) }
                        }
                    }
                }
                @if !shown.logs.is_empty() {
                    a.button.small data-to="find" aria-current=[chosen.logs.then_some("true")] href=(links.logs(!chosen.logs)) {
                        @if chosen.logs { "Hide log lines" } @else { "Show log lines" }
                    }
                }
                span.group {
                    a.button.small data-to="find" href=(links.level("1")) { "Collapse" }
                    a.button.small data-to="find" href=(links.level("2")) { "2 levels" }
                    a.button.small data-to="find" href=(links.level("all")) { "Expand all" }
                }
            }
        }
    }
}

fn jump(
    shown: &Shown,
    chosen: &Chosen,
    links: &Links<'_>,
    among: &[usize],
    back: bool,
    name: &str,
    sign: &str,
) -> Markup {
    html! {
        @if let Some(at) = chosen.neighbour(among, back) {
            a.button.small data-to=(anchor(shown, at)) data-previous[back] data-next[!back] aria-label=(name) href=(links.jump(at)) { (sign) }
        }
    }
}

fn anchor(shown: &Shown, at: usize) -> String {
    format!("s-{:016x}", shown.tree.places[at].id)
}

/// Five moments, evenly.
fn scale(shown: &Shown) -> Markup {
    let whole = shown.tree.end - shown.tree.start;
    html! {
        svg aria-hidden="true" {
            @for quarter in 0..=4_u32 {
                @let (side, shift) = match quarter { 0 => ("start", 0), 4 => ("end", 0), _ => ("start", 4) };
                text.inner[quarter % 4 != 0] x=(format!("{}%", quarter * 25)) dx=(shift) y="14" text-anchor=(side) {
                    (duration((whole as f64 * f64::from(quarter) / 4.0) as u64))
                }
            }
        }
    }
}

/// What lies before the window: the way down to its first row, and a link to the rows before.
fn before(shown: &Shown, chosen: &Chosen, links: &Links<'_>) -> Markup {
    let first =
        chosen.rows.iter().find_map(|row| if let Item::Span(at) = row { Some(*at) } else { None });
    let way = first.map(|at| shown.tree.ancestors(at)).unwrap_or_default();
    html! {
        @if chosen.from > 0 {
            tr.gap role="row" {
                td role="gridcell" colspan="2" {
                    a data-to="find" href=(links.window(chosen.from.saturating_sub(ROWS))) { "↑ " (counted(chosen.from.min(ROWS) as u64, "row", "rows")) " before" }
                    " of " (count(chosen.from as u64))
                    @if !way.is_empty() {
                        ". Inside: "
                        @for (position, at) in way.iter().rev().take(4).rev().enumerate() {
                            @if position > 0 { " › " }
                            a data-to=(anchor(shown, *at)) href=(links.jump(*at)) { (clip(&shown.span(*at).name, 60)) }
                        }
                    }
                }
            }
        }
    }
}

fn after(chosen: &Chosen, links: &Links<'_>) -> Markup {
    let next = chosen.from + chosen.rows.len();
    let left = chosen.total - next;
    html! {
        @if left > 0 {
            tr.gap role="row" {
                td role="gridcell" colspan="2" {
                    a data-to="find" href=(links.window(next)) { "↓ Next " (counted(left.min(ROWS) as u64, "row", "rows")) }
                    " of " (count(left as u64)) " after these. "
                    a data-to="find" href=(links.window(chosen.total - chosen.total.min(ROWS))) { "To the end" }
                }
            }
        }
    }
}

fn span(shown: &Shown, chosen: &Chosen, links: &Links<'_>, at: usize, row: usize) -> Markup {
    let (span, node) = (shown.span(at), &shown.tree.nodes[at]);
    let expandable = node.spans > 0 || chosen.logs && !node.children.is_empty();
    let open = expandable && chosen.is_open(at);
    let hidden = if open || !expandable { 0 } else { node.below };
    let selected = chosen.span == Some(at);
    // Named where the caller is another service; elsewhere the colour says it again.
    let named = node.parent.is_none_or(|parent| shown.span(parent).service != span.service);
    let id = anchor(shown, at);
    html! {
        tr.span.(shown.palette.class(&span.service)).open[selected].hit[chosen.hit[at]]
            role="row" aria-level=(node.depth + 1) aria-rowindex=(row + 1)
            aria-expanded=[expandable.then(|| open.to_string())] {
            td role="gridcell" {
                div.name {
                    (guides(node.depth))
                    @if expandable {
                        a.twist data-to=(id) href=(links.toggle(at)) aria-label=(if open { "Collapse" } else { "Expand" }) { (if open { "▼" } else { "▶" }) }
                    } @else {
                        span.twist {}
                    }
                    a.pick id=(id) data-row data-to=(id) href=(links.choose(at)) aria-current=[selected.then_some("true")] {
                        span.dot {}
                        span.op.bad[span.is_error()] { (clip(&span.name, 160)) }
                        @if named { span.svc { (clip(&span.service, 60)) } } @else { span.unseen { (clip(&span.service, 60)) } }
                    }
                    @if hidden > 0 { span.kids { "+" (count(hidden as u64)) } }
                    @if hidden > 0 && node.failed_below > 0 { " " span.badge.bad { (counted(node.failed_below as u64, "error", "errors")) } }
                }
            }
            td.line role="gridcell" { (bar(shown, chosen, at)) }
        }
    }
}

fn guides(depth: usize) -> Markup {
    html! {
        @for _ in 0..depth.min(GUIDES) { i {} }
        @if depth > GUIDES { span.kids { (depth) } }
    }
}

fn bar(shown: &Shown, chosen: &Chosen, at: usize) -> Markup {
    let (tree, span) = (&shown.tree, shown.span(at));
    let place = tree.places[at];
    let (from, to) = (tree.share(place.start), tree.share(place.end));
    let width = (to - from).max(NARROWEST);
    let x = from.min(1.0 - width);
    let took = duration(span.duration_ns());
    let label = format!(
        "{took}, {} after the start{}",
        duration(place.start - tree.start),
        if place.failed { ", failed" } else { "" }
    );
    // Beside the bar, where there is room; else at its end, inside.
    let (text_x, shift, side) = if x + width < 0.84 {
        (x + width, 6, "start")
    } else if x > 0.16 {
        (x, -6, "end")
    } else {
        (x + width, -6, "end")
    };
    let inside = x + width >= 0.84 && x <= 0.16;
    html! {
        svg role="img" aria-label=(label) {
            g.failed[place.failed].cause[tree.is_cause(at)] {
                rect.all x=(percentage(x)) y="8" width=(percentage(width)) height="12" rx="2" {}
                @for (start, end) in pieces(shown, at) {
                    rect.own x=(percentage(start)) y="8" width=(percentage(end - start)) height="12" rx="2" {}
                }
                @if !chosen.logs { (dots(shown, at)) }
                text.in[inside] x=(percentage(text_x)) dx=(shift) y="14" text-anchor=(side) { (took) }
            }
        }
    }
}

/// When the span worked itself, as shares: the longest pieces, none too narrow to be seen. A span that called nobody always did.
fn pieces(shown: &Shown, at: usize) -> Vec<(f64, f64)> {
    let tree = &shown.tree;
    if tree.nodes[at].spans == 0 {
        let (from, to) = (tree.share(tree.places[at].start), tree.share(tree.places[at].end));
        let width = (to - from).max(NARROWEST);
        let from = from.min(1.0 - width);
        return vec![(from, from + width)];
    }
    let share = |(from, to)| (tree.share(from), tree.share(to));
    let mut pieces: Vec<(f64, f64)> = tree.own(at).into_iter().map(share).collect();
    pieces.retain(|(from, to)| to - from >= NARROWEST / 2.0);
    pieces.sort_by(|a, b| (b.1 - b.0).total_cmp(&(a.1 - a.0)));
    pieces.truncate(PIECES);
    pieces
}

/// The span's log lines on its bar; those of the same place as one dot.
fn dots(shown: &Shown, at: usize) -> Markup {
    let mut places: Vec<(u64, &'static str)> = Vec::new();
    for log in shown.tree.own_lines(at) {
        let log = &shown.logs[log];
        let step = (shown.tree.share(log.time_ns) * 200.0) as u64;
        let class = level(log.severity, &log.severity_text).class;
        match places.last_mut() {
            Some((last, other)) if *last == step => {
                if class == "bad" || *other != "bad" && class == "warn" {
                    *other = class;
                }
            }
            _ => places.push((step, class)),
        }
    }
    html! {
        @for (step, class) in places.into_iter().take(DOTS) {
            circle.(class) cx=(percentage(step as f64 / 200.0)) cy="14" r="3" {}
        }
    }
}

fn log(shown: &Shown, at: usize, row: usize) -> Markup {
    let log = &shown.logs[at];
    let level = level(log.severity, &log.severity_text);
    let owner = log.span_id.and_then(|id| shown.tree.find(u64::from_be_bytes(id.0)));
    let depth = owner.map_or(0, |at| shown.tree.nodes[at].depth + 1);
    let offset = duration(log.time_ns.saturating_sub(shown.tree.start));
    html! {
        tr.log.(owner.map_or("", |at| shown.palette.class(&shown.span(at).service))) role="row" aria-level=(depth + 1) aria-rowindex=(row + 1) {
            td role="gridcell" {
                div.name tabindex="-1" data-row {
                    (guides(depth))
                    span.twist {}
                    span.sev.(level.class) { (level.name) }
                    " "
                    span.said title=(clip(&log.body, 500)) { (clip(&log.body, 200)) }
                }
            }
            td.line role="gridcell" {
                svg role="img" aria-label=(format!("logged {offset} after the start")) {
                    circle.(level.class) cx=(percentage(shown.tree.share(log.time_ns))) cy="12" r="3" {}
                }
            }
        }
    }
}
