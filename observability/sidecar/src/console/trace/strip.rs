//! The whole trace in a strip above the waterfall: its upper levels, coloured by service, what failed by itself in red.

use maud::{Markup, html};

use super::Shown;
use super::view::Chosen;
use crate::console::format::{clip, count, counted};
use crate::console::layout::percentage;

/// Levels that are drawn; what lies deeper is drawn on the last one.
const LEVELS: usize = 6;
/// Steps in time. Spans within one step share it, so a trace of any size has at most `LEVELS * STEPS` bars.
const STEPS: usize = 400;
/// Services named below the strip.
const SERVICES: usize = 30;

/// A part of a level: who worked then. Failures win, then who came first.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cell<'a> {
    class: &'a str,
    failed: bool,
}

pub(super) fn draw(shown: &Shown, chosen: &Chosen) -> Markup {
    let levels = shown.tree.levels().clamp(1, LEVELS);
    let height = 100.0 / levels as f64;
    html! {
        section.card.strip aria-label="Overview" {
            svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true" {
                @if let Some(at) = chosen.span {
                    @let place = shown.tree.places[at];
                    @let (from, to) = (shown.tree.share(place.start), shown.tree.share(place.end));
                    rect.here x=(percentage(from)) width=(percentage((to - from).max(0.004))) height="100%" {}
                }
                @for (level, row) in cells(shown, levels).iter().enumerate() {
                    @for (from, to, cell) in runs(row) {
                        rect.bar.(cell.class).bad[cell.failed]
                            x=(percentage(from as f64 / STEPS as f64))
                            width=(percentage((to - from) as f64 / STEPS as f64))
                            y=(format!("{:.1}%", level as f64 * height))
                            height=(format!("{:.1}%", height * 0.72)) {}
                    }
                }
            }
            div.chips {
                @for (service, (spans, errors)) in shown.services().into_iter().take(SERVICES) {
                    span.chip.(shown.palette.class(service)) {
                        (clip(service, 60)) " "
                        small { (counted(spans, "span", "spans")) }
                        @if errors > 0 { " " small.bad { (count(errors)) " failed" } }
                    }
                }
                @if shown.services().len() > SERVICES {
                    span.muted { "and " (shown.services().len() - SERVICES) " more services" }
                }
            }
        }
    }
}

fn cells(shown: &Shown, levels: usize) -> Vec<Vec<Option<Cell<'_>>>> {
    let mut rows = vec![vec![None; STEPS]; levels];
    for (at, place) in shown.tree.places.iter().enumerate() {
        let row = &mut rows[shown.tree.nodes[at].depth.min(levels - 1)];
        let step = |time| (shown.tree.share(time) * STEPS as f64) as usize;
        let from = step(place.start).min(STEPS - 1);
        let to = step(place.end).clamp(from + 1, STEPS);
        let cell = Cell {
            class: shown.palette.class(&shown.span(at).service),
            failed: shown.tree.is_cause(at),
        };
        for slot in &mut row[from..to] {
            if slot.is_none_or(|other: Cell<'_>| cell.failed && !other.failed) {
                *slot = Some(cell);
            }
        }
    }
    rows
}

/// Equal neighbours as one: from, to (exclusive), what.
fn runs<'a>(row: &[Option<Cell<'a>>]) -> Vec<(usize, usize, Cell<'a>)> {
    let mut runs: Vec<(usize, usize, Cell<'a>)> = Vec::new();
    for (at, cell) in row.iter().enumerate() {
        let Some(cell) = *cell else { continue };
        match runs.last_mut() {
            Some((_, to, last)) if *to == at && *last == cell => *to = at + 1,
            _ => runs.push((at, at + 1, cell)),
        }
    }
    runs
}
