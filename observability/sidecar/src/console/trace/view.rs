//! What the URL says about the waterfall: the chosen span, what is open, the search, the window of rows.

use super::tree::{self, Item, Tree};
use super::{ROWS, Shown};
use crate::console::error::Error;
use crate::console::params::{Link, Params, shown};
use crate::store::{Span, SpanId, value_text};

/// Single spans opened or closed that an address remembers; the oldest are forgotten. Every row's links carry them.
const REMEMBERED: usize = 32;
/// Rows above the chosen one when a window is laid around it.
const ABOVE: usize = 40;

/// The query of the page, read.
#[derive(Debug, Default)]
pub(super) struct View {
    span: Option<u64>,
    pub(super) find: Option<String>,
    /// Levels that are open; none: as many as fit.
    level: Option<usize>,
    open: Vec<u64>,
    fold: Vec<u64>,
    from: Option<usize>,
    logs: Option<bool>,
}

/// The view, put onto a certain trace.
#[derive(Debug)]
pub(super) struct Chosen {
    /// The span whose details are shown.
    pub(super) span: Option<usize>,
    /// Nobody asked for it and it did not fail: its details are shown only where there is room beside the rows.
    pub(super) offered: bool,
    /// The rows of this window.
    pub(super) rows: Vec<Item>,
    /// Number of the first of them among all visible rows.
    pub(super) from: usize,
    /// All visible rows.
    pub(super) total: usize,
    /// Spans that fit the search, in the order of the waterfall.
    pub(super) hits: Vec<usize>,
    /// Whether a span fits the search.
    pub(super) hit: Vec<bool>,
    /// Failed spans in the order of the waterfall.
    pub(super) errors: Vec<usize>,
    /// Log lines are rows.
    pub(super) logs: bool,
    open: Vec<bool>,
    /// Position of each span in the order of the waterfall.
    rank: Vec<usize>,
}

impl View {
    pub(super) fn read(params: &Params) -> Result<Self, Error> {
        params.only(&["span", "find", "level", "open", "fold", "from", "logs"])?;
        let level = match params.get("level") {
            Some("all") => Some(usize::MAX),
            _ => params.number("level", 1_000_000)?.map(|level| level as usize),
        };
        Ok(Self {
            span: params.get("span").map(|text| id("span", text)).transpose()?,
            find: params.get("find").map(str::to_lowercase),
            level,
            open: ids(params, "open")?,
            fold: ids(params, "fold")?,
            from: params.number("from", 10_000_000)?.map(|from| from as usize),
            logs: params.one_of("logs", &[("on", true), ("off", false)])?,
        })
    }

    /// Decides what is shown.
    pub(super) fn choose(&self, shown: &Shown) -> Chosen {
        let tree = &shown.tree;
        let order = tree.rows(false, |_| true);
        let spans = || tree::spans(&order);
        let errors: Vec<usize> = spans().filter(|at| tree.places[*at].failed).collect();
        let mut hit = vec![false; tree.nodes.len()];
        if let Some(text) = &self.find {
            search(shown, text, &mut hit);
        }
        let hits: Vec<usize> = spans().filter(|at| hit[*at]).collect();
        let first_error = tree.first_error();
        let wanted = self.span.and_then(|id| tree.find(id));
        let wanted = wanted.or_else(|| hits.first().copied()).or(first_error);
        let span = wanted.or_else(|| spans().next());
        let open = self.open(tree, span.into_iter().chain(first_error));
        let logs = self.logs.unwrap_or(tree.places.len() <= ROWS) && !shown.logs.is_empty();
        let rows = tree.rows(logs, |at| open[at]);
        let total = rows.len();
        let from = self.from.unwrap_or_else(|| window(&rows, span)).min(total.saturating_sub(1));
        let rows = rows.into_iter().skip(from).take(ROWS).collect();
        let mut rank = vec![0; tree.nodes.len()];
        for (position, at) in spans().enumerate() {
            rank[at] = position;
        }
        Chosen {
            span,
            offered: wanted.is_none(),
            rows,
            from,
            total,
            hits,
            hit,
            errors,
            logs,
            open,
            rank,
        }
    }

    /// Which spans show what is below them: as many levels as fit or were asked for and the way to what matters, then what the reader
    /// opened and closed.
    fn open(&self, tree: &Tree, ways: impl Iterator<Item = usize>) -> Vec<bool> {
        let levels = self.level.unwrap_or_else(|| tree.levels_within(ROWS));
        let mut open: Vec<bool> = tree.nodes.iter().map(|node| node.depth < levels).collect();
        for at in ways.flat_map(|at| tree.ancestors(at)) {
            open[at] = true;
        }
        for (ids, state) in [(&self.open, true), (&self.fold, false)] {
            for at in ids.iter().filter_map(|id| tree.find(*id)) {
                open[at] = state;
            }
        }
        open
    }
}

impl Chosen {
    pub(super) fn is_open(&self, at: usize) -> bool {
        self.open[at]
    }

    /// A window is only named where there is more than one.
    fn windowed(&self) -> bool {
        self.total > ROWS
    }

    /// The next of some spans after the chosen one, from the start again after the last; or the one before.
    pub(super) fn neighbour(&self, among: &[usize], back: bool) -> Option<usize> {
        let chosen = self.span.map_or(0, |at| self.rank[at]);
        let found = if back {
            among.iter().rev().find(|at| self.rank[**at] < chosen).or(among.last())
        } else {
            among.iter().find(|at| self.rank[**at] > chosen).or(among.first())
        };
        found.copied()
    }

    /// Position of the chosen span among these, from 1.
    pub(super) fn position(&self, among: &[usize]) -> Option<usize> {
        among.iter().position(|at| Some(*at) == self.span).map(|at| at + 1)
    }
}

/// The addresses of the page's other states.
pub(super) struct Links<'a> {
    view: &'a View,
    chosen: &'a Chosen,
    shown: &'a Shown,
}

impl<'a> Links<'a> {
    pub(super) fn new(view: &'a View, chosen: &'a Chosen, shown: &'a Shown) -> Self {
        Self { view, chosen, shown }
    }

    /// This page, at this window.
    fn here(&self) -> Link {
        let link = self.search_kept();
        if self.chosen.windowed() { link.set("from", self.chosen.from) } else { link }
    }

    /// This page without its window and choice: after a jump the window lies around the new choice.
    fn search_kept(&self) -> Link {
        let mut link = self.folds(&self.view.open, &self.view.fold);
        if let Some(level) = self.view.level {
            link = link.set(
                "level",
                if level == usize::MAX { "all".to_owned() } else { level.to_string() },
            );
        }
        if let Some(find) = &self.view.find {
            link = link.set("find", find);
        }
        if let Some(logs) = self.view.logs {
            link = link.set("logs", if logs { "on" } else { "off" });
        }
        link
    }

    fn folds(&self, open: &[u64], fold: &[u64]) -> Link {
        let mut link = self.shown.address();
        for (key, ids) in [("open", open), ("fold", fold)] {
            if !ids.is_empty() {
                let kept = &ids[ids.len().saturating_sub(REMEMBERED)..];
                link = link.set(
                    key,
                    kept.iter().map(|id| format!("{id:016x}")).collect::<Vec<_>>().join(","),
                );
            }
        }
        link
    }

    fn id(&self, at: usize) -> String {
        format!("{:016x}", self.shown.tree.places[at].id)
    }

    fn choice(&self) -> Option<String> {
        self.chosen.span.map(|at| self.id(at))
    }

    fn with_choice(&self, link: Link) -> Link {
        match self.choice() {
            Some(id) => link.set("span", id),
            None => link,
        }
    }

    /// Chooses a span of this window.
    pub(super) fn choose(&self, at: usize) -> String {
        format!("{}#s-{}", self.here().set("span", self.id(at)), self.id(at))
    }

    /// Chooses a span anywhere.
    pub(super) fn jump(&self, at: usize) -> String {
        format!("{}#s-{}", self.search_kept().set("span", self.id(at)), self.id(at))
    }

    /// Opens or closes a span of this window.
    pub(super) fn toggle(&self, at: usize) -> String {
        let id = self.shown.tree.places[at].id;
        let without =
            |ids: &[u64]| ids.iter().copied().filter(|other| *other != id).collect::<Vec<_>>();
        let (mut open, mut fold) = (without(&self.view.open), without(&self.view.fold));
        if self.chosen.is_open(at) {
            fold.push(id)
        } else {
            open.push(id)
        }
        let mut link = self.with_choice(self.here());
        let folds = self.folds(&open, &fold);
        for key in ["open", "fold"] {
            link = match folds.get(key) {
                Some(ids) => link.set(key, ids),
                None => link.without(key),
            };
        }
        format!("{link}#s-{}", self.id(at))
    }

    /// The window that begins with this row.
    pub(super) fn window(&self, from: usize) -> String {
        self.with_choice(self.search_kept()).set("from", from).to_string()
    }

    /// This many levels open, nothing opened or closed by hand.
    pub(super) fn level(&self, level: &str) -> String {
        self.with_choice(self.search_kept())
            .set("level", level)
            .without("open")
            .without("fold")
            .to_string()
    }

    /// Log lines as rows, or not.
    pub(super) fn logs(&self, on: bool) -> String {
        self.with_choice(self.search_kept()).set("logs", if on { "on" } else { "off" }).to_string()
    }

    /// What a search form has to send along.
    pub(super) fn kept(&self) -> Vec<(String, String)> {
        self.search_kept().without("find").pairs().to_vec()
    }
}

/// Around the chosen row, or at the start when that one is in the first window.
fn window(rows: &[Item], span: Option<usize>) -> usize {
    let at =
        span.and_then(|span| rows.iter().position(|row| *row == Item::Span(span))).unwrap_or(0);
    if at < ROWS { 0 } else { at - ABOVE }
}

/// Marks the spans that have the text (in lower case) in their name, service, error, attributes, events or log lines.
fn search(shown: &Shown, text: &str, hit: &mut [bool]) {
    for (span, hit) in shown.trace.spans.iter().zip(hit.iter_mut()) {
        *hit = fits(span, text);
    }
    let logs = shown.logs.iter().filter(|log| log.body.to_lowercase().contains(text));
    let spans = logs.filter_map(|log| shown.tree.find(u64::from_be_bytes(log.span_id?.0)));
    for at in spans {
        hit[at] = true;
    }
}

fn fits(span: &Span, text: &str) -> bool {
    let has = |other: &str| other.to_lowercase().contains(text);
    let pairs = |pairs: &[(String, crate::store::AnyValue)]| {
        pairs.iter().any(|(key, value)| has(key) || has(&value_text(value)))
    };
    has(&span.name)
        || has(&span.service)
        || matches!(&span.status, crate::store::Status::Error(why) if has(why))
        || span.span_id.to_string() == text
        || pairs(&span.attributes)
        || span.events.iter().any(|event| has(&event.name) || pairs(&event.attributes))
}

fn id(key: &str, text: &str) -> Result<u64, Error> {
    text.parse::<SpanId>().map(|id| u64::from_be_bytes(id.0)).map_err(|_| {
        Error::bad(format!("“{key}” is “{}”, but a span id has 16 hexadecimal digits (0-9, a-f), not all of them 0.", shown(text)))
    })
}

fn ids(params: &Params, key: &str) -> Result<Vec<u64>, Error> {
    params
        .get(key)
        .map_or(Ok(Vec::new()), |text| text.split(',').map(|text| id(key, text)).collect())
}
