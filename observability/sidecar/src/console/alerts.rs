//! `/alerts`: what fires, what has ended, what has changed, and what is left of the objectives' budgets. `/alerts.json` says the same to programs.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use maud::{Markup, html};
use serde::Serialize;

use super::{
    Addresses, Console,
    error::Error,
    format::{clip, count, counted, digits, now, percent, rfc3339, time},
    layout::Nav,
    objectives::{Answer, Objective},
    params::Params,
};
use crate::{
    alerts::{Alert, Change, Forgotten, SILENCE},
    config::{Config, LinkBase},
};

/// Alerts that have ended, and changes, on the page. `/alerts.json` has all.
const SHOWN: usize = 100;

/// Where paths lead that alerts name.
pub(super) struct Links {
    dashboards: Option<LinkBase>,
    runbooks: Option<LinkBase>,
}

impl Links {
    pub(super) fn of(config: &Config) -> Links {
        Links { dashboards: config.grafana.clone(), runbooks: config.runbooks.clone() }
    }
}

/// The record at this moment.
#[derive(Debug, Serialize)]
pub(super) struct Record {
    /// Whether Alertmanager has ever told anything.
    heard: bool,
    watchdog: Watchdog,
    /// Firing ones first.
    alerts: Vec<Told>,
    /// The last first.
    history: Vec<Changed>,
    /// What had to leave for newer ones.
    forgotten: Forgotten,
    /// Alerts that were too many for the notifications of Alertmanager (`max_alerts`).
    left_out: u64,
    objectives: Budgets,
}

#[derive(Debug, Serialize)]
struct Watchdog {
    /// RFC 3339, as all times here.
    last: Option<String>,
    silent: bool,
}

#[derive(Debug, Serialize)]
struct Told {
    fingerprint: String,
    name: String,
    severity: String,
    state: &'static str,
    labels: BTreeMap<String, String>,
    summary: String,
    dashboard: Option<String>,
    runbook: Option<String>,
    since: String,
    resolved: Option<String>,
    told: String,
}

#[derive(Debug, Serialize)]
struct Changed {
    at: String,
    name: String,
    severity: String,
    labels: String,
    state: &'static str,
    since: String,
    resolved: Option<String>,
}

#[derive(Debug, Serialize)]
struct Budgets {
    /// Prometheus' address, where one is set.
    source: Option<String>,
    /// Why there are none.
    trouble: Option<String>,
    list: Vec<Objective>,
}

fn state(resolved: Option<u64>) -> &'static str {
    if resolved.is_some() { "resolved" } else { "firing" }
}

/// `GET /alerts.json`.
pub(super) async fn json(State(console): State<Console>) -> Json<Record> {
    let answer = console.objectives.now().await;
    let source = console.objectives.source().map(str::to_owned);
    let (list, trouble) = match answer {
        Some(Ok(list)) => (list.to_vec(), None),
        Some(Err(why)) => (Vec::new(), Some(why)),
        None => (Vec::new(), None),
    };
    let board = console.alerts.board();
    let told = |it: Alert| Told {
        state: state(it.resolved),
        dashboard: target(&it.dashboard, console.links.dashboards.as_ref()),
        runbook: target(&it.runbook, console.links.runbooks.as_ref()),
        fingerprint: it.fingerprint,
        name: it.name,
        severity: it.severity,
        labels: it.labels.into_iter().collect(),
        summary: it.summary,
        since: rfc3339(it.since),
        resolved: it.resolved.map(rfc3339),
        told: rfc3339(it.told),
    };
    let changed = |it: Change| Changed {
        at: rfc3339(it.at),
        state: state(it.resolved),
        name: it.name,
        severity: it.severity,
        labels: it.labels,
        since: rfc3339(it.since),
        resolved: it.resolved.map(rfc3339),
    };
    Json(Record {
        heard: board.has_heard(),
        watchdog: Watchdog { last: board.heartbeat().map(rfc3339), silent: board.is_silent(now()) },
        alerts: board.alerts().into_iter().map(told).collect(),
        history: board.changes().into_iter().map(changed).collect(),
        forgotten: board.forgotten(),
        left_out: board.untold(),
        objectives: Budgets { source, trouble, list },
    })
}

/// `GET /alerts`.
pub(super) async fn show(
    State(console): State<Console>,
    headers: http::HeaderMap,
    params: Params,
) -> Result<Markup, Error> {
    params.only(&[])?;
    let objectives = objectives(&console.objectives.now().await, console.objectives.source());
    let at = console.surroundings.seen_from(&headers);
    let body = {
        let board = console.alerts.board();
        let (firing, ended): (Vec<Alert>, Vec<Alert>) =
            board.alerts().into_iter().partition(|it| it.resolved.is_none());
        html! {
            div.head {
                h1 { "Alerts" }
                p { "As Alertmanager has told, and what is left of the objectives’ budgets. Read just now." }
                div.end { a.button.small href="/alerts" { "Read again" } }
            }
            @if board.has_heard() {
                (watchdog(board.heartbeat(), board.is_silent(now())))
                (list("Firing", &firing, usize::MAX, &console.links, "Nothing fires."))
                (objectives)
                (list("Resolved", &ended, SHOWN, &console.links, "Nothing has ended since the sidecar’s start."))
                (history(&board.changes(), board.forgotten(), board.untold()))
            } @else {
                (set_up(&at))
                (objectives)
            }
        }
    };
    Ok(console.page("Alerts", Nav::Alerts, &body))
}

/// How to be told.
fn set_up(at: &Addresses) -> Markup {
    let receiver = format!(
        "receivers:\n  - name: console\n    webhook_configs:\n      - url: {}/alerts\n        send_resolved: true",
        at.internal
    );
    html! {
        section.card.target {
            header { h2 { "Alertmanager has told nothing yet" } }
            p.pager {
                "Since the sidecar’s start, no notification has come. Alertmanager has to have a receiver that leads to the sidecar’s internal "
                "port (SIDECAR_INTERNAL_LISTEN), and a route to it:"
            }
            pre tabindex="0" { (receiver) }
        }
    }
}

fn watchdog(last: Option<u64>, silent: bool) -> Markup {
    let minutes = SILENCE.as_secs() / 60;
    html! {
        section.card.target {
            header {
                h2 { "Watchdog" }
                @match last {
                    None => span.badge.warn { "never heard" },
                    Some(_) if silent => span.badge.bad { "silent" },
                    Some(_) => span.badge { "heard" },
                }
                @if let Some(last) = last { span { "Last heartbeat " (time(last)) } }
            }
            @if last.is_none() {
                p.pager {
                    "No heartbeat has come. An alert that always fires, Watchdog, has to be routed here: without it, no alerts and no "
                    "alerting look the same."
                }
            } @else if silent {
                p.pager {
                    "For more than " (minutes) " minutes nothing was heard of the alert that always fires. Prometheus or Alertmanager does not run, "
                    "or cannot reach the sidecar: what is below may be old, and what fires now is not told here."
                }
            }
        }
    }
}

fn list(title: &str, alerts: &[Alert], most: usize, links: &Links, none: &str) -> Markup {
    html! {
        section.card.target aria-label=(title) {
            header {
                h2 { (title) }
                div.end { (counted(alerts.len() as u64, "alert", "alerts")) }
            }
            @if alerts.is_empty() {
                p.pager { (none) }
            } @else {
                div.scroll tabindex="0" role="region" aria-label=(title) {
                    table.ops {
                        thead { tr {
                            th scope="col" { "Alert" }
                            th scope="col" { "Severity" }
                            th scope="col" { "State" }
                            th scope="col" { "Since" }
                            th scope="col" { "Look here" }
                        } }
                        tbody { @for it in alerts.iter().take(most) { (row(it, links)) } }
                    }
                }
                @if alerts.len() > most { (and_more(alerts.len() - most)) }
            }
        }
    }
}

fn row(it: &Alert, links: &Links) -> Markup {
    html! {
        tr {
            td {
                strong { (name(&it.name)) }
                @if !it.summary.is_empty() { p { (clip(&it.summary, 1_000)) } }
                p.muted {
                    @for (name, value) in &it.labels { code { (clip(name, 100)) "=" (clip(value, 200)) } " " }
                    @if it.more_labels > 0 { "and " (counted(it.more_labels as u64, "label", "labels")) " more" }
                }
            }
            td { (severity(&it.severity)) }
            td {
                @match it.resolved {
                    None => span.badge.bad { "firing" },
                    Some(_) => span.badge { "resolved" },
                }
            }
            td.nowrap {
                (time(it.since))
                @if let Some(at) = it.resolved { p.muted { "until " (time(at)) } }
                @else { p.muted { "told " (time(it.told)) } }
            }
            td {
                (link("Dashboard", &it.dashboard, links.dashboards.as_ref(), "CONSOLE_GRAFANA"))
                (link("Runbook", &it.runbook, links.runbooks.as_ref(), "CONSOLE_RUNBOOKS"))
            }
        }
    }
}

fn name(name: &str) -> String {
    if name.is_empty() { "(without a name)".to_owned() } else { clip(name, 300) }
}

fn severity(severity: &str) -> Markup {
    html! {
        @match severity {
            "" => span.muted { "–" },
            "page" | "critical" => span.badge.bad { (severity) },
            "ticket" | "warning" => span.badge.warn { (severity) },
            other => span.badge { (clip(other, 40)) },
        }
    }
}

/// A link, where the text is one and it is known where its path leads; else the text.
fn link(name: &str, text: &str, base: Option<&LinkBase>, setting: &str) -> Markup {
    html! {
        @if text.is_empty() {
        } @else if let Some(target) = target(text, base) {
            p { a href=(target) { (name) } }
        } @else {
            p.muted title=(format!("{setting} says where paths lead")) { (name) " " code { (clip(text, 200)) } }
        }
    }
}

/// Where a link of an alert leads: `http` and `https` as they are, a path to below its base, anything else nowhere.
fn target(text: &str, base: Option<&LinkBase>) -> Option<String> {
    if text.chars().any(|it| it.is_control() || it.is_whitespace() || it == '\\') {
        return None;
    }
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    if lower.starts_with("http://") || lower.starts_with("https://") {
        return reqwest::Url::parse(text).ok().filter(reqwest::Url::has_host).map(String::from);
    }
    let first = text.split(['/', '?', '#']).next().unwrap_or_default();
    let path = !text.is_empty() && !text.starts_with("//") && !first.contains(':');
    base.filter(|_| path).map(|base| base.join(text))
}

fn and_more(more: usize) -> Markup {
    html! { p.pager { span { (count(more as u64)) " more are in " a href="/alerts.json" { "/alerts.json" } "." } } }
}

fn history(changes: &[Change], forgotten: Forgotten, left_out: u64) -> Markup {
    html! {
        section.card.target aria-label="History" {
            header {
                h2 { "History" }
                div.end { (counted(changes.len() as u64, "change", "changes")) }
            }
            @if changes.is_empty() {
                p.pager { "Nothing has changed since the sidecar’s start." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="What has changed" {
                    table.ops {
                        thead { tr {
                            th scope="col" { "When" }
                            th scope="col" { "Change" }
                            th scope="col" { "Severity" }
                            th scope="col" { "Alert" }
                        } }
                        tbody {
                            @for it in changes.iter().take(SHOWN) {
                                tr {
                                    td.nowrap { (time(it.at)) }
                                    td {
                                        @match it.resolved {
                                            None => { span.badge.bad { "fires" } " since " (time(it.since)) },
                                            Some(at) => { span.badge { "resolved" } " at " (time(at)) },
                                        }
                                    }
                                    td { (severity(&it.severity)) }
                                    td { strong { (name(&it.name)) } " " code.muted { (clip(&it.labels, 300)) } }
                                }
                            }
                        }
                    }
                }
                @if changes.len() > SHOWN { (and_more(changes.len() - SHOWN)) }
            }
            @if forgotten.alerts + forgotten.changes > 0 {
                p.pager {
                    (counted(forgotten.alerts, "alert", "alerts")) " and " (counted(forgotten.changes, "change", "changes"))
                    " had to leave for newer ones."
                }
            }
            @if left_out > 0 {
                p.pager { "Notifications have left out " (counted(left_out, "alert", "alerts")) ": max_alerts of the receiver is too small." }
            }
        }
    }
}

fn objectives(answer: &Option<Answer>, source: Option<&str>) -> Markup {
    html! {
        section.card.target aria-label="Objectives" {
            header {
                h2 { "Objectives" }
                @if let Some(source) = source { code.muted { (source) } }
                @if let Some(Err(_)) = answer { div.end { span.badge.bad { "not available" } } }
            }
            @match answer {
                None => p.pager { "CONSOLE_PROMETHEUS is not set: with Prometheus’ address, objectives and their budgets are shown here." },
                Some(Err(why)) => p.pager { "Prometheus: " (why) " It is asked again when this page is read again." },
                Some(Ok(list)) if list.is_empty() => p.pager { "Prometheus has no objectives yet: no series of Sloth’s rules." },
                Some(Ok(list)) => div.scroll tabindex="0" role="region" aria-label="Objectives and their budgets" {
                    table.ops {
                        thead { tr {
                            th scope="col" { "Service" }
                            th scope="col" { "Objective" }
                            th.num scope="col" { "Good at least" }
                            th.num scope="col" { "Budget left" }
                            th.num scope="col" { "Burn rate" }
                        } }
                        tbody { @for it in list.iter() { (objective(it)) } }
                    }
                },
            }
        }
    }
}

fn objective(it: &Objective) -> Markup {
    html! {
        tr {
            td { (it.service) }
            td { (it.name) }
            td.num { @match it.objective { Some(share) => (exact(share)), None => "–" } }
            td.num {
                @match it.budget {
                    Some(left) => span.bad[left < 0.0] { (if left < 0.0 { "−" } else { "" }) (percent(left.abs())) },
                    None => span.muted { "–" },
                }
            }
            td.num {
                @match it.burn_rate {
                    Some(rate) => span.bad[rate > 1.0] { (digits(rate)) },
                    None => span.muted { "–" },
                }
            }
        }
    }
}

/// A share as per cent with all its digits: 99.95 must not become 100.
fn exact(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use platform::config::Value;

    use super::*;

    #[test]
    fn only_pages_of_the_web_and_paths_below_a_known_place_are_links() {
        let base = LinkBase::parse("http://grafana:3000/").unwrap();
        let base = Some(&base);
        for (text, expected) in [
            ("https://example.org/x?y#z", Some("https://example.org/x?y#z")),
            ("HTTP://example.org", Some("http://example.org/")),
            ("/d/overview?var-x=a:b", Some("http://grafana:3000/d/overview?var-x=a:b")),
            ("docs/runbooks/x.md", Some("http://grafana:3000/docs/runbooks/x.md")),
            ("javascript:alert(1)", None),
            ("JaVaScript:alert(1)", None),
            ("java\tscript:alert(1)", None),
            (" javascript:alert(1)", None),
            ("data:text/html,x", None),
            ("//elsewhere.example/x", None),
            ("/\\elsewhere.example", None),
            ("http://", None),
            ("https:elsewhere", None),
            ("", None),
        ] {
            assert_eq!(target(text, base).as_deref(), expected, "{text}");
        }
        assert_eq!(target("/d/overview", None), None, "nobody knows where that is");
    }

    #[test]
    fn silence_is_told_as_what_it_may_mean() {
        let told = watchdog(Some(1), true).into_string();
        assert!(told.contains("silent") && told.contains("For more than 5 minutes"), "{told}");
        assert!(told.contains("what fires now is not told here"), "{told}");
    }

    #[test]
    fn a_share_keeps_its_nines() {
        assert_eq!(exact(0.999), "99.9 %");
        assert_eq!(exact(0.9995), "99.95 %");
        assert_eq!(exact(0.99), "99 %");
        assert_eq!(exact(1.0), "100 %");
    }
}
