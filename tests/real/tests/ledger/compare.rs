//! The checker: what a sender knows against what a store shows.

use std::collections::{BTreeMap, BTreeSet};

use real::stack::{Jaeger, Loki};

use super::sender::SERVICE;

/// What a sender knows of what it sent.
#[derive(Clone, Debug)]
pub(super) struct Sent<Id> {
    /// Somebody else answers for these.
    pub(super) acknowledged: BTreeSet<Id>,
    /// Nobody does; they may have arrived all the same.
    pub(super) in_doubt: BTreeSet<Id>,
}

/// How often a store shows what.
pub(super) type Shown<Id> = BTreeMap<Id, u64>;

/// What is wrong with a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict<Id> {
    /// Acknowledged, and not there.
    pub(super) lost: BTreeSet<Id>,
    /// There more than once.
    pub(super) doubled: BTreeSet<Id>,
    /// In doubt, and there.
    pub(super) arrived: BTreeSet<Id>,
    /// There, and never sent.
    pub(super) strange: BTreeSet<Id>,
}

impl<Id> Default for Sent<Id> {
    fn default() -> Sent<Id> {
        Sent { acknowledged: BTreeSet::new(), in_doubt: BTreeSet::new() }
    }
}

impl<Id: Ord + Clone> Sent<Id> {
    pub(super) fn compare(&self, shown: &Shown<Id>) -> Verdict<Id> {
        let there: BTreeSet<Id> = shown.keys().cloned().collect();
        let sent = &self.acknowledged | &self.in_doubt;
        Verdict {
            lost: &self.acknowledged - &there,
            doubled: shown.iter().filter(|it| *it.1 > 1).map(|it| it.0.clone()).collect(),
            arrived: &self.in_doubt & &there,
            strange: &there - &sent,
        }
    }

    pub(super) fn add(&mut self, other: &Sent<Id>) {
        self.acknowledged.extend(other.acknowledged.iter().cloned());
        self.in_doubt.extend(other.in_doubt.iter().cloned());
    }
}

/// Each id as often as it comes.
pub(super) fn shown<Id: Ord>(ids: impl IntoIterator<Item = Id>) -> Shown<Id> {
    let mut shown = Shown::new();
    for id in ids {
        *shown.entry(id).or_default() += 1;
    }
    shown
}

/// The spans of our sender.
pub(super) fn shown_by_jaeger(jaeger: &Jaeger) -> Shown<u64> {
    let traces = jaeger.traces_of(SERVICE).unwrap();
    let spans = traces.values().flatten();
    shown(spans.map(|span| u64::from_str_radix(&span.id, 16).unwrap()))
}

/// The lines of our sender.
pub(super) fn shown_by_loki(loki: &Loki) -> Shown<u64> {
    let lines = lines(loki, SERVICE, "");
    shown(lines.iter().map(|line| line.text.strip_prefix("line ").unwrap().parse().unwrap()))
}

/// All lines with a trace that a service wrote, however many: it gives out 5,000 at a time.
pub(super) fn lines(loki: &Loki, service: &str, filter: &str) -> Vec<real::stack::Line> {
    let slices = "0123456789abcdef".chars().flat_map(|digit| {
        let traces = format!("trace_id=~\"[0-9a-f]{{31}}{digit}\"");
        loki.query(&format!("{{service_name=\"{service}\"}} {filter} | {traces}")).unwrap()
    });
    slices.collect()
}

/// How many lines of a service there are.
pub(super) fn all_lines(loki: &Loki, service: &str) -> u64 {
    let with_trace = lines(loki, service, "").len();
    let others = loki.query(&format!("{{service_name=\"{service}\"}} | trace_id=\"\"")).unwrap();
    (with_trace + others.len()) as u64
}
