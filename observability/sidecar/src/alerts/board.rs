//! The record: the state of each alert, and what has changed. Both are bounded, and what had to be forgotten is counted.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::{SILENCE, WATCHDOG};

/// Alerts whose state is known, and what they may weigh.
const MOST_ALERTS: usize = 500;
const MOST_ALERT_BYTES: usize = 4 << 20;
/// Changes that are remembered, and what they may weigh.
const MOST_CHANGES: usize = 1_000;
const MOST_CHANGE_BYTES: usize = 1 << 20;
/// So long after an end was told, in nanoseconds, a notification that the alert fires can be one of before: longer than a request may take
/// here. Not much longer: when Prometheus and Alertmanager lose each other, Alertmanager gives the alert up and tells of an end, and
/// afterwards of an alert that fires since the same time.
const LATE: u64 = 30 * 1_000_000_000;
/// Characters of a text; labels of an alert.
const LONGEST_SUMMARY: usize = 1_000;
const LONGEST_TEXT: usize = 300;
const LONGEST_LINK: usize = 2_000;
const MOST_LABELS: usize = 30;
/// What an entry weighs besides its texts, and a label besides its own.
const ENTRY: usize = 300;
const PAIR: usize = 64;

/// An alert as a notification tells of it. Times are nanoseconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) fingerprint: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    /// Since when it fires, or fired.
    pub(super) since: u64,
    /// Until when, if it does not any more.
    pub(super) resolved: Option<u64>,
}

/// The last that is known of an alert.
#[derive(Clone, Debug)]
pub(crate) struct Alert {
    pub(crate) fingerprint: String,
    pub(crate) name: String,
    pub(crate) severity: String,
    /// The other labels.
    pub(crate) labels: Vec<(String, String)>,
    /// How many of those did not fit in.
    pub(crate) more_labels: usize,
    pub(crate) summary: String,
    pub(crate) dashboard: String,
    pub(crate) runbook: String,
    pub(crate) since: u64,
    pub(crate) resolved: Option<u64>,
    /// When the last notification came.
    pub(crate) told: u64,
}

/// An alert began to fire, or ended.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// When the notification came.
    pub(crate) at: u64,
    pub(crate) name: String,
    pub(crate) severity: String,
    /// Which of its name it is.
    pub(crate) labels: String,
    pub(crate) since: u64,
    pub(crate) resolved: Option<u64>,
}

/// What had to leave, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Forgotten {
    pub(crate) alerts: u64,
    pub(crate) changes: u64,
}

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct Board {
    alerts: HashMap<String, Alert>,
    alert_bytes: usize,
    /// Oldest first.
    changes: VecDeque<Change>,
    change_bytes: usize,
    forgotten: Forgotten,
    /// Alerts that Alertmanager did not tell of, because they were too many.
    left_out: u64,
    /// When any notification came last.
    heard: Option<u64>,
    /// When the watchdog's came last.
    heartbeat: Option<u64>,
}

impl Board {
    /// Notes one alert of a notification that comes at `now`.
    pub(super) fn tell(&mut self, told: Told, now: u64) {
        self.heard = Some(now);
        if told.labels.get("alertname").is_some_and(|name| name == WATCHDOG) {
            if told.resolved.is_none() {
                self.heartbeat = Some(now);
            }
            return;
        }
        let before = self.alerts.get(&told.fingerprint);
        if before.is_some_and(|before| before.is_newer_than(&told, now)) {
            return; // a notification that was tried again and is late
        }
        let was = before.map(|before| (before.since, before.resolved.is_some()));
        let alert = Alert::of(told, now);
        // Who is told of the same for hours is told of no change. An end of which one did not see the beginning is one.
        if was != Some((alert.since, alert.resolved.is_some())) {
            self.remember(Change::of(&alert));
        }
        self.keep(alert);
    }

    /// Notes how many alerts a notification did not tell of.
    pub(super) fn left_out(&mut self, alerts: u64) {
        self.left_out = self.left_out.saturating_add(alerts);
    }

    fn keep(&mut self, alert: Alert) {
        self.alert_bytes += alert.weight();
        let id = alert.fingerprint.clone();
        if let Some(before) = self.alerts.insert(id.clone(), alert) {
            self.alert_bytes -= before.weight();
        }
        while self.alerts.len() > MOST_ALERTS || self.alert_bytes > MOST_ALERT_BYTES {
            // What has ended goes first, then what was not told of for the longest time.
            let others = self.alerts.values().filter(|it| it.fingerprint != id);
            let Some(oldest) = others.min_by_key(|it| (it.resolved.is_none(), it.told)) else {
                return;
            };
            let oldest = oldest.fingerprint.clone();
            if let Some(gone) = self.alerts.remove(&oldest) {
                self.alert_bytes -= gone.weight();
                self.forgotten.alerts += 1;
            }
        }
    }

    fn remember(&mut self, change: Change) {
        self.change_bytes += change.weight();
        self.changes.push_back(change);
        while self.changes.len() > MOST_CHANGES || self.change_bytes > MOST_CHANGE_BYTES {
            let Some(gone) = self.changes.pop_front() else { return };
            self.change_bytes -= gone.weight();
            self.forgotten.changes += 1;
        }
    }

    /// Those that fire, the most severe first and the newest of those first; then those that have ended, the last first.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        let mut alerts: Vec<Alert> = self.alerts.values().cloned().collect();
        alerts.sort_by(|a, b| {
            a.order().cmp(&b.order()).then_with(|| a.fingerprint.cmp(&b.fingerprint))
        });
        alerts
    }

    /// What has changed, the last first.
    pub(crate) fn changes(&self) -> Vec<Change> {
        self.changes.iter().rev().cloned().collect()
    }

    pub(crate) fn forgotten(&self) -> Forgotten {
        self.forgotten
    }

    /// How many alerts Alertmanager did not tell of, because they were too many for one notification.
    pub(crate) fn untold(&self) -> u64 {
        self.left_out
    }

    /// Whether there was any notification.
    pub(crate) fn has_heard(&self) -> bool {
        self.heard.is_some()
    }

    /// When the watchdog was heard last.
    pub(crate) fn heartbeat(&self) -> Option<u64> {
        self.heartbeat
    }

    /// Whether it was heard before, and not lately.
    pub(crate) fn is_silent(&self, now: u64) -> bool {
        let silence = u64::try_from(SILENCE.as_nanos()).unwrap_or(u64::MAX);
        self.heartbeat.is_some_and(|at| now.saturating_sub(at) > silence)
    }
}

impl Alert {
    fn of(told: Told, now: u64) -> Alert {
        let Told { fingerprint, mut labels, mut annotations, since, resolved } = told;
        let mut take = |name: &str| cut(labels.remove(name).unwrap_or_default(), LONGEST_TEXT);
        let (name, severity) = (take("alertname"), take("severity"));
        let mut take = |name: &str, most| cut(annotations.remove(name).unwrap_or_default(), most);
        let summary = match take("summary", LONGEST_SUMMARY) {
            none if none.is_empty() => take("description", LONGEST_SUMMARY),
            summary => summary,
        };
        let (dashboard, runbook) =
            (take("dashboard_url", LONGEST_LINK), take("runbook_url", LONGEST_LINK));
        let more_labels = labels.len().saturating_sub(MOST_LABELS);
        let labels = labels.into_iter().take(MOST_LABELS);
        let labels =
            labels.map(|(name, value)| (cut(name, LONGEST_TEXT), cut(value, LONGEST_TEXT)));
        Alert {
            fingerprint,
            name,
            severity,
            labels: labels.collect(),
            more_labels,
            summary,
            dashboard,
            runbook,
            since,
            resolved,
            told: now,
        }
    }

    /// Whether `told`, which comes at `now`, is of an earlier time than what is known.
    fn is_newer_than(&self, told: &Told, now: u64) -> bool {
        let had_ended = self.resolved.is_some() && told.resolved.is_none();
        let late = had_ended && now.saturating_sub(self.told) <= LATE;
        self.since > told.since || self.since == told.since && late
    }

    /// Smaller is further up.
    fn order(&self) -> (bool, u8, u64) {
        let rank = match self.severity.as_str() {
            "page" | "critical" => 0,
            "ticket" | "warning" => 1,
            _ => 2,
        };
        match self.resolved {
            None => (false, rank, u64::MAX - self.since),
            Some(at) => (true, 0, u64::MAX - at),
        }
    }

    fn weight(&self) -> usize {
        let texts =
            [&self.fingerprint, &self.fingerprint, &self.name, &self.severity, &self.summary];
        let texts: usize = texts.iter().map(|it| it.len()).sum();
        let labels: usize = self.labels.iter().map(|(a, b)| a.len() + b.len() + PAIR).sum();
        ENTRY + texts + labels + self.dashboard.len() + self.runbook.len()
    }
}

impl Change {
    fn of(alert: &Alert) -> Change {
        let labels = alert.labels.iter().map(|(name, value)| format!("{name}={value}"));
        Change {
            at: alert.told,
            name: alert.name.clone(),
            severity: alert.severity.clone(),
            labels: cut(labels.collect::<Vec<_>>().join(" "), LONGEST_TEXT),
            since: alert.since,
            resolved: alert.resolved,
        }
    }

    fn weight(&self) -> usize {
        ENTRY + self.name.len() + self.severity.len() + self.labels.len()
    }
}

/// The first characters of a text.
fn cut(mut text: String, most: usize) -> String {
    if let Some((at, _)) = text.char_indices().nth(most) {
        text.truncate(at);
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn told(id: &str, since: u64, resolved: Option<u64>) -> Told {
        let labels = [("alertname", "Slow"), ("severity", "ticket"), ("service_name", "catalog")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let annotations = [("summary".to_owned(), "It is slow.".to_owned())];
        Told {
            fingerprint: id.to_owned(),
            labels: labels.into(),
            annotations: annotations.into(),
            since,
            resolved,
        }
    }

    fn named(name: &str, severity: &str, id: &str, since: u64) -> Told {
        let mut told = told(id, since, None);
        told.labels.insert("alertname".to_owned(), name.to_owned());
        told.labels.insert("severity".to_owned(), severity.to_owned());
        told
    }

    fn states(board: &Board) -> Vec<(u64, Option<u64>)> {
        board.alerts().iter().map(|it| (it.since, it.resolved)).collect()
    }

    #[test]
    fn a_change_is_told_once_however_often_it_is_notified() {
        let mut board = Board::default();
        for now in [10, 20, 30] {
            board.tell(told("a", 5, None), now);
        }
        assert_eq!((states(&board), board.changes().len()), (vec![(5, None)], 1));
        assert_eq!(board.alerts()[0].told, 30);
        for now in [40, 50] {
            board.tell(told("a", 5, Some(35)), now);
        }
        assert_eq!((states(&board), board.changes().len()), (vec![(5, Some(35))], 2));
        board.tell(told("a", 60, None), 61);
        assert_eq!((states(&board), board.changes().len()), (vec![(60, None)], 3));
        assert_eq!(board.changes()[0].labels, "service_name=catalog");
    }

    #[test]
    fn what_comes_late_changes_nothing() {
        let mut board = Board::default();
        board.tell(told("a", 5, Some(9)), 10);
        board.tell(told("a", 5, None), 11); // the notification before, tried again
        board.tell(told("a", 3, Some(4)), 12);
        assert_eq!((states(&board), board.changes().len()), (vec![(5, Some(9))], 1));
    }

    #[test]
    fn an_alert_that_was_given_up_and_fires_on_fires_and_has_an_end() {
        let mut board = Board::default();
        board.tell(told("a", 5, None), 10);
        board.tell(told("a", 5, Some(9)), 20); // Alertmanager has not heard of it for four minutes
        board.tell(told("a", 5, None), 20 + LATE);
        assert_eq!((states(&board), board.changes().len()), (vec![(5, Some(9))], 2), "it is late");
        board.tell(told("a", 5, None), 21 + LATE);
        assert_eq!((states(&board), board.changes().len()), (vec![(5, None)], 3));
        board.tell(told("a", 5, Some(25)), 30 + LATE);
        assert_eq!((states(&board), board.changes().len()), (vec![(5, Some(25))], 4));
    }

    #[test]
    fn the_watchdog_is_no_alert_among_others() {
        let mut board = Board::default();
        board.tell(named("Watchdog", "none", "w", 1), 7 * SECOND);
        assert!(board.has_heard() && board.alerts().is_empty() && board.changes().is_empty());
        assert_eq!(board.heartbeat(), Some(7 * SECOND));
        assert!(!board.is_silent((7 + 300) * SECOND) && board.is_silent((7 + 301) * SECOND));
        let mut ended = named("Watchdog", "none", "w", 1);
        ended.resolved = Some(2);
        board.tell(ended, 9 * SECOND);
        assert_eq!(board.heartbeat(), Some(7 * SECOND));
        assert!(
            !Board::default().is_silent(SECOND),
            "who was never heard is not silent, but not set up"
        );
    }

    #[test]
    fn pages_stand_first_and_the_newest_of_them_on_top() {
        let mut board = Board::default();
        let all = [("C", "info"), ("T", "ticket"), ("P", "page"), ("Q", "page")];
        for (at, (name, severity)) in all.into_iter().enumerate() {
            board.tell(named(name, severity, name, at as u64), 10);
        }
        board.tell(told("a", 50, Some(60)), 70);
        let names: Vec<_> = board.alerts().into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["Q", "P", "T", "C", "Slow"]);
    }

    #[test]
    fn both_records_are_bounded_and_what_has_ended_leaves_first() {
        let mut board = Board::default();
        board.tell(named("Down", "page", "first", 1), 1);
        for n in 0..3_000 {
            board.tell(told(&format!("{n:x}"), n, Some(n)), 2 + n);
        }
        assert_eq!(board.alerts().len(), MOST_ALERTS);
        assert_eq!(board.changes().len(), MOST_CHANGES);
        assert_eq!(board.forgotten(), Forgotten { alerts: 2_501, changes: 2_001 });
        assert_eq!(board.alerts()[0].name, "Down", "it fires still");
    }

    #[test]
    fn large_texts_are_cut_and_weighed() {
        let mut board = Board::default();
        for n in 0..MOST_ALERTS {
            let mut large = told(&format!("{n:x}"), 1, None);
            let texts = (0..100).map(|at| (format!("label_{at}"), "ä".repeat(10_000)));
            large.labels.extend(texts);
            for name in ["summary", "dashboard_url", "runbook_url"] {
                large.annotations.insert(name.to_owned(), "x".repeat(100_000));
            }
            board.tell(large, 2 + n as u64);
        }
        let alert = &board.alerts()[0];
        assert_eq!((alert.labels.len(), alert.more_labels), (MOST_LABELS, 71));
        assert_eq!(alert.summary.chars().count(), LONGEST_SUMMARY + 1);
        let alerts: usize = board.alerts().iter().map(Alert::weight).sum();
        let changes: usize = board.changes().iter().map(Change::weight).sum();
        assert_eq!((alerts, changes), (board.alert_bytes, board.change_bytes));
        assert!(alerts <= MOST_ALERT_BYTES && board.forgotten().alerts > 0);
    }
}
