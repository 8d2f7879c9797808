//! Every objective, from its specification: promtool is given traffic that its queries select, and told when its page and its ticket fire.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
};

use serde_json::{Value, json};

use super::{files, list, run, succeeds, text, utf8, yaml};
use crate::harness::root;

/// What a specification says.
#[derive(Clone, Debug)]
pub(super) struct Objective {
    /// As Sloth puts it into the label `sloth_id`.
    pub(super) id: String,
    pub(super) service: String,
    pub(super) journey: String,
    /// `availability` or `latency`.
    pub(super) kind: String,
    pub(super) percent: f64,
    /// Of latency, in seconds.
    pub(super) bound: Option<f64>,
    alert: String,
    /// The labels that its requests have to have.
    labels: String,
}

pub(super) fn objectives() -> Vec<Objective> {
    let mut all = Vec::new();
    for path in files("prometheus/objectives") {
        let file = yaml(&path);
        let service = text(&file["service"]).to_owned();
        for slo in list(&file["slos"]) {
            let id = format!("{service}-{}", text(&slo["name"]));
            let queries = &slo["sli"]["events"];
            let [bad, total] = ["error_query", "total_query"].map(|it| text(&queries[it]));
            let bound = value(bad, "le=\"").map(|it| it.parse().unwrap());
            // Nothing else may be asked for than what `traffic` makes.
            let labels = ["service_name", "journey"].map(|label| {
                let start = format!("{label}=\"");
                let value = value(total, &start).unwrap_or_else(|| panic!("{id} has no {label}"));
                format!("{start}{value}\"")
            });
            // What the labels say is what the queries ask for.
            let [of, journey] = ["service_name", "journey"].map(|it| {
                let value = if it == "journey" { &slo["labels"][it] } else { &file["labels"][it] };
                format!("{it}=\"{}\"", text(value))
            });
            assert_eq!(labels, [of, journey], "{id}");
            all.push(Objective {
                service: service.clone(),
                journey: text(&slo["labels"]["journey"]).to_owned(),
                kind: text(&slo["labels"]["objective"]).to_owned(),
                percent: slo["objective"].as_f64().unwrap(),
                bound,
                alert: text(&slo["alerting"]["name"]).to_owned(),
                labels: labels.join(","),
                id,
            });
        }
    }
    all
}

/// What stands between `start` and the next quote.
fn value<'a>(query: &'a str, start: &str) -> Option<&'a str> {
    let (_, rest) = query.split_once(start)?;
    Some(rest.split_once('"')?.0)
}

/// Requests of each minute.
#[derive(Clone, Copy, Default)]
struct Minute {
    good: f64,
    /// For an objective of availability: answered 503. For one of latency: too slow.
    bad: f64,
    /// What is neither: answered 429, and for latency also 503 after a long time.
    other: f64,
}

impl Objective {
    /// The series of this traffic, whose counters begin anew where there is a `None`; and what they have counted before.
    fn traffic(&self, minutes: &[Option<Minute>], before: f64) -> Vec<Value> {
        let counted = |of: fn(Minute) -> f64, before: f64| {
            let mut now = before;
            let values = minutes.iter().map(|minute| {
                now = minute.map_or(0.0, |it| now + of(it));
                format!("{now}")
            });
            values.collect::<Vec<_>>().join(" ")
        };
        let series = |what: &str, code: &str, more: &str, values: String| {
            let labels = format!("{},http_response_status_code=\"{code}\"{more}", self.labels);
            let series = format!("http_server_request_duration_seconds_{what}{{{labels}}}");
            json!({ "series": series, "values": values })
        };
        let count = |code, of, before| series("count", code, "", counted(of, before));
        if self.kind == "availability" {
            return vec![
                count("200", |it| it.good, before),
                count("503", |it| it.bad, before / 10.0),
                count("429", |it| it.other, 0.0),
            ];
        }
        let le = format!(",le=\"{}\"", self.bound.unwrap());
        let bucket = |code, of, before| series("bucket", code, &le, counted(of, before));
        vec![
            count("200", |it| it.good + it.bad, before * 1.1),
            bucket("200", |it| it.good, before),
            count("429", |it| it.other, 0.0),
            bucket("429", |it| it.other, 0.0),
            count("503", |it| it.other, 0.0),
            bucket("503", |_| 0.0, 0.0),
        ]
    }

    /// The share of requests that may be bad.
    fn budget(&self) -> f64 {
        1.0 - self.percent / 100.0
    }

    /// A check of promtool: does it fire at this minute?
    fn check(&self, severity: &str, minute: usize, fires: bool) -> Value {
        let Objective { id, alert, .. } = self;
        let of = format!("alertname=\"{alert}\",sloth_id=\"{id}\",severity=\"{severity}\"");
        let samples = if fires { json!([{ "value": 1 }]) } else { json!([]) };
        json!({
            "expr": format!("count(ALERTS{{{of},alertstate=\"firing\"}})"),
            "eval_time": format!("{minute}m"),
            "exp_samples": samples,
        })
    }

    /// A check that it has never fired.
    fn silence(&self, minutes: usize) -> Value {
        let of = format!("sloth_id=\"{}\",alertstate=\"firing\"", self.id);
        json!({
            "expr": format!("count_over_time(ALERTS{{{of}}}[{minutes}m])"),
            "eval_time": format!("{minutes}m"),
            "exp_samples": [],
        })
    }

    /// A test of promtool.
    fn test(&self, name: &str, series: &[Value], checks: &[Value]) -> Value {
        json!({
            "name": format!("{}: {name}", self.id),
            "interval": "1m",
            "input_series": series,
            "promql_expr_test": checks,
        })
    }

    fn tests(&self) -> Vec<Value> {
        let some = |good: f64, bad: f64| Some(Minute { good, bad, other: 0.0 });
        // As much as the prober does: one request every 30 s.
        let prober = some(2.0, 0.0);
        let hour = |minute: Option<Minute>| vec![minute; 60];

        // 1,000 requests in an hour, of which 100 are bad: 100 times the budget of availability, ten times that of latency. Then all is well.
        let share = 0.1;
        let page = some(1000.0 / 60.0 * (1.0 - share), 1000.0 / 60.0 * share);
        let mut page_and_over = hour(page);
        page_and_over.extend(vec![some(1000.0 / 60.0, 0.0); 35]);
        // Four times what would use the budget up in 28 days: too slow for a page.
        let ticket = some(1000.0 * (1.0 - 4.0 * self.budget()), 4000.0 * self.budget());

        let mut one_failure = hour(prober);
        one_failure[30] = some(1.0, 1.0);
        let others = hour(Some(Minute { good: 2.0, bad: 0.0, other: 100.0 }));
        let mut reset = hour(some(20.0, 0.0));
        reset[30] = None;
        let silent = [self.silence(59)];
        vec![
            self.test(
                "fault: 100 of 1,000 in an hour",
                &self.traffic(&page_and_over, 0.0),
                &[
                    self.check("page", 59, true),
                    self.check("ticket", 59, true),
                    self.check("page", 94, false),
                ],
            ),
            self.test(
                "fault: a slow burn",
                &self.traffic(&hour(ticket), 0.0),
                &[self.check("ticket", 59, true), self.check("page", 59, false)],
            ),
            self.test(
                "noise: one failure in an hour of the prober's requests alone",
                &self.traffic(&one_failure, 0.0),
                &silent,
            ),
            self.test("noise: what is nobody's fault", &self.traffic(&others, 0.0), &silent),
            self.test("no traffic", &self.traffic(&hour(some(0.0, 0.0)), 500.0), &silent),
            self.test("no series", &[], &silent),
            self.test("reset", &self.traffic(&reset, 500.0), &silent),
        ]
    }
}

/// Writes what promtool is given for an objective: its tests, and of the rules of its service, which `change` may have changed, those that are
/// its own, because all others would be evaluated with each of its tests.
fn files_of(it: &Objective, folder: &Path, change: impl Fn(String) -> String) -> PathBuf {
    let all = root().join(format!("prometheus/rules/objectives/{}.yaml", it.service));
    let all: Value = serde_saphyr::from_str(&change(fs::read_to_string(all).unwrap())).unwrap();
    let own = format!("-{}", it.id);
    let groups = list(&all["groups"]).filter(|group| text(&group["name"]).ends_with(&own));
    let groups: Vec<&Value> = groups.collect();
    assert_eq!(groups.len(), 3, "recordings, derived numbers and alerts of {}", it.id);
    let rules = folder.join(format!("{}.rules.json", it.id));
    fs::write(&rules, json!({ "groups": groups }).to_string()).unwrap();
    let tests =
        json!({ "rule_files": [utf8(&rules)], "evaluation_interval": "1m", "tests": it.tests() });
    let path = folder.join(format!("{}.json", it.id));
    fs::write(&path, tests.to_string()).unwrap();
    path
}

#[test]
fn every_objective_pages_for_a_fault_and_is_quiet_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let all: Vec<_> =
        objectives().iter().map(|it| files_of(it, folder.path(), |rules| rules)).collect();
    let halves = all.chunks(all.len().div_ceil(2));
    thread::scope(|scope| {
        for half in halves {
            scope.spawn(move || {
                let files = half.iter().map(|it| utf8(it));
                let arguments: Vec<&str> = ["test", "rules"].into_iter().chain(files).collect();
                succeeds("promtool", &arguments);
            });
        }
    });
    eprintln!("{} objectives", all.len());
    assert!(all.len() > 20, "{}", all.len());
}

/// That the rules have the objectives that are tested, and that each has a page and a ticket.
#[test]
fn every_objective_has_a_page_and_a_ticket() {
    let mut alerts = BTreeSet::new();
    for path in files("prometheus/rules/objectives") {
        for rule in list(&yaml(&path)["groups"]).flat_map(|it| list(&it["rules"])) {
            let Some(alert) = rule["alert"].as_str() else { continue };
            let (_, id) = text(&rule["expr"]).split_once("sloth_id=\"").unwrap();
            let id = id.split('"').next().unwrap().to_owned();
            alerts.insert((id, alert.to_owned(), text(&rule["labels"]["severity"]).to_owned()));
        }
    }
    let expected = objectives().into_iter().flat_map(|it| {
        ["page", "ticket"].map(|severity| (it.id.clone(), it.alert.clone(), severity.to_owned()))
    });
    assert_eq!(alerts, expected.collect());
}

/// That the tests would notice a mistake in the rules.
#[test]
fn rules_that_let_a_fault_pass_or_cry_wolf_are_found_out() {
    let all = objectives();
    let of = |id: &str| all.iter().find(|it| it.id == id).unwrap();
    let [availability, latency] = ["wallet-read-availability", "wallet-read-latency"].map(of);
    let mistakes = [
        (availability, "deaf", "=~\"5..\"", "=~\"6..\""),
        (availability, "nervous", ", 1 / 30)", ", 0)"),
        (availability, "strict", "=~\"5..\"", "=~\"5..|429\""),
        (latency, "patient", "le=\"0.1\"", "le=\"10\""),
        (latency, "mixed up", "http_response_status_code!~\"5..\"", "http_route!=\"\""),
    ];
    for (it, what, right, wrong) in mistakes {
        let folder = tempfile::tempdir().unwrap();
        let path = files_of(it, folder.path(), |rules| {
            assert!(rules.contains(right), "{right}");
            rules.replace(right, wrong)
        });
        let (success, said) = run("promtool", &["test", "rules", utf8(&path)]);
        assert!(!success && said.contains("exp:"), "{what} rules pass: {said}");
    }
}
