//! A trace as a tree: who called whom, what is open, which rows are shown. Knows no text, only ids and times.
//!
//! Nothing here recurses, and whatever a sender claims ends as a tree: a parent that is missing, a span that is its own
//! ancestor and an id that is used twice only make another root.

use std::collections::{HashMap, HashSet};

/// What the tree has to know of a span. Times are Unix nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) id: u64,
    /// `None` for a root.
    pub(super) parent: Option<u64>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) failed: bool,
}

/// A log line at its span.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) span: Option<u64>,
    pub(super) time: u64,
}

/// A row of the waterfall: the index of a span or of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Item {
    Span(usize),
    Log(usize),
}

/// What the tree found out about a span.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) parent: Option<usize>,
    /// 0 for roots.
    pub(super) depth: usize,
    /// Child spans and own log lines, by time.
    pub(super) children: Vec<Item>,
    /// How many of the children are spans.
    pub(super) spans: usize,
    /// Spans below, not counting itself.
    pub(super) below: usize,
    /// Failed spans below, not counting itself.
    pub(super) failed_below: usize,
    /// It names a parent that is not here.
    pub(super) orphan: bool,
}

/// The whole trace.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) places: Vec<Place>,
    pub(super) nodes: Vec<Node>,
    /// Roots, and log lines that belong to no span, by time.
    pub(super) roots: Vec<Item>,
    /// Earliest start of a span.
    pub(super) start: u64,
    /// Latest end of a span; never before `start`.
    pub(super) end: u64,
    lines: Vec<Line>,
    by_id: HashMap<u64, usize>,
}

impl Tree {
    /// Builds the tree; the spans in any order.
    pub(super) fn new(places: Vec<Place>, lines: Vec<Line>) -> Self {
        let mut by_id = HashMap::with_capacity(places.len());
        for (at, place) in places.iter().enumerate() {
            by_id.entry(place.id).or_insert(at);
        }
        let mut nodes = vec![Node::default(); places.len()];
        for (at, place) in places.iter().enumerate() {
            let parent = place.parent.map(|id| by_id.get(&id).copied());
            nodes[at].orphan = parent == Some(None);
            nodes[at].parent = parent.flatten().filter(|parent| *parent != at);
        }
        let mut tree = Self {
            start: places.iter().map(|place| place.start).min().unwrap_or(0),
            end: places.iter().map(|place| place.end.max(place.start)).max().unwrap_or(0),
            roots: Vec::new(),
            places,
            nodes,
            lines,
            by_id,
        };
        tree.cut_circles();
        tree.hang_up();
        tree.count_below();
        tree
    }

    /// Walks up from every span; one that meets itself loses its parent. Each span is walked over once.
    fn cut_circles(&mut self) {
        let mut settled = vec![false; self.nodes.len()];
        for first in 0..self.nodes.len() {
            let mut path = Vec::new();
            let mut on_path = HashSet::new();
            let mut next = Some(first);
            while let Some(at) = next.filter(|at| !settled[*at]) {
                if !on_path.insert(at) {
                    self.nodes[at].parent = None;
                    break;
                }
                path.push(at);
                next = self.nodes[at].parent;
            }
            for at in path {
                settled[at] = true;
            }
        }
    }

    /// Hangs spans and lines below their parents, by time.
    fn hang_up(&mut self) {
        for at in 0..self.nodes.len() {
            match self.nodes[at].parent {
                Some(parent) => {
                    self.nodes[parent].children.push(Item::Span(at));
                    self.nodes[parent].spans += 1;
                }
                None => self.roots.push(Item::Span(at)),
            }
        }
        for (at, line) in self.lines.iter().enumerate() {
            match line.span.and_then(|id| self.by_id.get(&id)) {
                Some(&span) => self.nodes[span].children.push(Item::Log(at)),
                None => self.roots.push(Item::Log(at)),
            }
        }
        let (places, lines) = (&self.places, &self.lines);
        // A longer span that starts at the same time contains the other one more likely than the reverse.
        let key = |item: &Item| match *item {
            Item::Span(at) => (places[at].start, std::cmp::Reverse(places[at].end), at),
            Item::Log(at) => (lines[at].time, std::cmp::Reverse(0), at),
        };
        self.roots.sort_by_key(key);
        for node in &mut self.nodes {
            node.children.sort_by_key(key);
        }
    }

    /// Depths downwards, then sums upwards.
    fn count_below(&mut self) {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut waiting: Vec<usize> = spans(&self.roots).collect();
        while let Some(at) = waiting.pop() {
            order.push(at);
            let depth = self.nodes[at].depth + 1;
            let children: Vec<usize> = spans(&self.nodes[at].children).collect();
            for child in children {
                self.nodes[child].depth = depth;
                waiting.push(child);
            }
        }
        for at in order.into_iter().rev() {
            let (below, failed) = (
                self.nodes[at].below + 1,
                self.nodes[at].failed_below + usize::from(self.places[at].failed),
            );
            if let Some(parent) = self.nodes[at].parent {
                self.nodes[parent].below += below;
                self.nodes[parent].failed_below += failed;
            }
        }
    }

    /// The span with this id.
    pub(super) fn find(&self, id: u64) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// Levels of the deepest path; 0 for no span.
    pub(super) fn levels(&self) -> usize {
        self.nodes.iter().map(|node| node.depth + 1).max().unwrap_or(0)
    }

    /// From the root down to this span, without it.
    pub(super) fn ancestors(&self, of: usize) -> Vec<usize> {
        let mut path: Vec<usize> =
            std::iter::successors(self.nodes[of].parent, |at| self.nodes[*at].parent).collect();
        path.reverse();
        path
    }

    /// The failed span that most likely is the cause: on the way down from the first failed root-most span, always to the
    /// first failed child, the last one.
    pub(super) fn first_error(&self) -> Option<usize> {
        let failing = |item: &Item| match *item {
            Item::Span(at) => {
                (self.places[at].failed || self.nodes[at].failed_below > 0).then_some(at)
            }
            Item::Log(_) => None,
        };
        let mut at = self.roots.iter().find_map(failing)?;
        while let Some(child) = self.nodes[at].children.iter().find_map(failing) {
            at = child;
        }
        Some(at)
    }

    /// Whether it failed by itself: none below did.
    pub(super) fn is_cause(&self, of: usize) -> bool {
        self.places[of].failed && self.nodes[of].failed_below == 0
    }

    /// Share of the trace's duration at which a moment lies, 0 to 1.
    pub(super) fn share(&self, time: u64) -> f64 {
        let whole = self.end.saturating_sub(self.start).max(1) as f64;
        (time.saturating_sub(self.start) as f64 / whole).clamp(0.0, 1.0)
    }

    /// When the span worked itself, that is, outside its children, by time.
    pub(super) fn own(&self, of: usize) -> Vec<(u64, u64)> {
        let Place { start, end, .. } = self.places[of];
        let mut pieces = Vec::new();
        let mut from = start;
        for child in spans(&self.nodes[of].children) {
            let child = self.places[child];
            if child.start.min(end) > from {
                pieces.push((from, child.start.min(end)));
            }
            from = from.max(child.end.min(end));
        }
        if end > from {
            pieces.push((from, end));
        }
        pieces
    }

    /// Nanoseconds that the span worked itself.
    pub(super) fn own_time(&self, of: usize) -> u64 {
        self.own(of).iter().map(|(from, to)| to - from).sum()
    }

    /// The span's own log lines, by time.
    pub(super) fn own_lines(&self, of: usize) -> impl Iterator<Item = usize> {
        self.nodes[of].children.iter().filter_map(|item| match *item {
            Item::Log(at) => Some(at),
            Item::Span(_) => None,
        })
    }

    /// All rows that are visible when exactly the spans for which `open` says yes show what is below them, with or
    /// without log lines.
    pub(super) fn rows(&self, logs: bool, open: impl Fn(usize) -> bool) -> Vec<Item> {
        let mut rows = Vec::new();
        let mut waiting: Vec<Item> = self.roots.iter().rev().copied().collect();
        while let Some(item) = waiting.pop() {
            match item {
                Item::Log(_) if !logs => {}
                Item::Log(_) => rows.push(item),
                Item::Span(at) => {
                    rows.push(item);
                    if open(at) {
                        waiting.extend(self.nodes[at].children.iter().rev());
                    }
                }
            }
        }
        rows
    }

    /// How many levels can be open before there are more than `most` spans to show; at least 1, so that a root shows
    /// what it called.
    pub(super) fn levels_within(&self, most: usize) -> usize {
        let mut per_level = vec![0_usize; self.levels() + 1];
        for node in &self.nodes {
            per_level[node.depth] += 1;
        }
        let mut shown = 0;
        for (level, spans) in per_level.iter().enumerate() {
            shown += spans;
            if shown > most {
                return level.saturating_sub(1).max(1);
            }
        }
        usize::MAX
    }
}

/// The spans among some items.
pub(super) fn spans(items: &[Item]) -> impl DoubleEndedIterator<Item = usize> {
    items.iter().filter_map(|item| match *item {
        Item::Span(at) => Some(at),
        Item::Log(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: u64, parent: u64, start: u64, end: u64) -> Place {
        Place { id, parent: (parent != 0).then_some(parent), start, end, failed: false }
    }

    fn ids(tree: &Tree, rows: &[Item]) -> Vec<u64> {
        rows.iter()
            .map(|row| match *row {
                Item::Span(at) => tree.places[at].id,
                Item::Log(at) => 1000 + at as u64,
            })
            .collect()
    }

    #[test]
    fn rows_come_parent_first_and_by_time_with_log_lines_between() {
        let places = vec![
            place(3, 1, 50, 60),
            place(1, 0, 0, 100),
            place(2, 1, 10, 40),
            place(4, 2, 20, 30),
        ];
        let lines = vec![
            Line { span: Some(1), time: 45 },
            Line { span: None, time: 200 },
            Line { span: Some(9), time: 1 },
        ];
        let tree = Tree::new(places, lines);
        assert_eq!(ids(&tree, &tree.rows(true, |_| true)), [1, 2, 4, 1000, 3, 1002, 1001]);
        assert_eq!(ids(&tree, &tree.rows(false, |_| true)), [1, 2, 4, 3]);
        let closed = tree.find(2).unwrap();
        assert_eq!(ids(&tree, &tree.rows(false, |at| at != closed)), [1, 2, 3]);
        assert_eq!((tree.nodes[tree.find(1).unwrap()].below, tree.levels()), (3, 3));
    }

    #[test]
    fn missing_parents_circles_and_double_ids_only_make_roots() {
        let places = vec![
            place(1, 99, 0, 10),
            place(2, 3, 5, 6),
            place(3, 2, 1, 9),
            place(4, 4, 2, 3),
            place(5, 1, 3, 4),
            place(5, 1, 4, 5),
        ];
        let tree = Tree::new(places, Vec::new());
        assert_eq!(tree.rows(false, |_| true).len(), 6);
        assert!(tree.nodes[0].orphan);
        assert_eq!(tree.nodes.iter().filter(|node| node.orphan).count(), 1);
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_spans_is_no_problem() {
        let places = (1..=100_000).map(|id| place(id, id - 1, id, 200_000)).collect();
        let tree = Tree::new(places, Vec::new());
        assert_eq!(tree.levels(), 100_000);
        assert_eq!(tree.rows(false, |_| true).len(), 100_000);
        assert_eq!(tree.levels_within(300), 299);
    }

    #[test]
    fn own_time_is_what_no_child_covers() {
        let tree = Tree::new(
            vec![
                place(1, 0, 0, 100),
                place(2, 1, 10, 40),
                place(3, 1, 30, 60),
                place(4, 1, 90, 250),
            ],
            vec![],
        );
        assert_eq!(tree.own(0), [(0, 10), (60, 90)]);
        assert_eq!(tree.own_time(0), 40);
        assert_eq!(tree.own(1), [(10, 40)]);
    }

    #[test]
    fn the_first_error_is_the_deepest_on_the_failing_path() {
        let mut places = vec![
            place(1, 0, 0, 100),
            place(2, 1, 10, 20),
            place(3, 1, 30, 90),
            place(4, 3, 40, 80),
            place(5, 4, 41, 42),
        ];
        for at in [0, 2, 3] {
            places[at].failed = true;
        }
        let tree = Tree::new(places, Vec::new());
        assert_eq!(tree.first_error().map(|at| tree.places[at].id), Some(4));
        assert_eq!(tree.nodes[0].failed_below, 2);
        assert_eq!(tree.ancestors(3), [0, 2]);
    }
}
