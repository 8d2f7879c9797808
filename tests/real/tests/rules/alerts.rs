//! Every alert: what it says, where it leads, and its cases for promtool.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

use super::{files, list, succeeds, text, utf8, yaml};
use crate::harness::root;

/// What every alert has a case of; it fires in the first one only.
const CASES: [&str; 4] = ["fault", "noise", "no traffic", "reset"];

/// It fires in all of them: its absence is the alarm.
const ALWAYS: &str = "Watchdog";

/// The alerts of a folder of rules.
fn alerts(folder: &str) -> Vec<Value> {
    let rules = files(folder).into_iter().flat_map(|path| {
        let file = yaml(&path);
        let rules = list(&file["groups"]).flat_map(|it| list(&it["rules"])).cloned();
        rules.collect::<Vec<_>>()
    });
    rules.filter(|it| it["alert"].is_string()).collect()
}

/// All, and the severity of each.
pub(super) fn severities() -> BTreeSet<(String, String)> {
    let all = alerts("prometheus/rules").into_iter().chain(alerts("prometheus/rules/objectives"));
    let of = |it: &Value| text(it).to_owned();
    all.map(|it| (of(&it["alert"]), of(&it["labels"]["severity"]))).collect()
}

#[test]
fn every_alert_says_what_it_is_and_leads_to_a_dashboard_and_a_runbook() {
    let mut runbooks = BTreeSet::new();
    let all = alerts("prometheus/rules").into_iter().chain(alerts("prometheus/rules/objectives"));
    for alert in all {
        let name = text(&alert["alert"]).to_owned();
        let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
        assert!(
            ["page", "ticket", "none"].contains(&severity),
            "{name} is neither a page nor a ticket"
        );
        let annotation = |key: &str| {
            let value = alert["annotations"][key].as_str();
            value.unwrap_or_else(|| panic!("{name} has no {key}"))
        };
        assert!(annotation("summary").len() > 20, "the summary of {name} says nothing");
        let uid = annotation("dashboard_url").strip_prefix("/d/");
        let uid = uid.unwrap_or_else(|| panic!("{name} leads to no dashboard"));
        let dashboard = root().join(format!("grafana/dashboards/{uid}.json"));
        assert!(dashboard.exists(), "{name} leads to the dashboard {uid}, which there is not");
        let file = annotation("runbook_url").to_owned();
        let runbook = fs::read_to_string(root().join(&file));
        let runbook = runbook.unwrap_or_else(|error| panic!("{name}: {file}: {error}"));
        assert!(runbook.contains(&format!("`{name}`")), "{file} does not speak of {name}");
        for part in ["## What it means", "## How to look", "## What to do", "## When it is over"] {
            assert!(runbook.contains(part), "{file} has no {part}");
        }
        assert!(runbook.contains("```promql"), "{file} has no query");
        runbooks.insert(file);
    }
    let there: BTreeSet<String> = fs::read_dir(root().join("docs/runbooks"))
        .unwrap()
        .map(|it| format!("docs/runbooks/{}", it.unwrap().file_name().display()))
        .collect();
    assert_eq!(there, runbooks, "runbooks that no alert leads to");
}

/// Those of the objectives have theirs from the specifications.
#[test]
fn every_alert_has_its_four_cases() {
    let mut cases: BTreeMap<(String, String), Value> = BTreeMap::new();
    for path in files("prometheus/tests") {
        for test in list(&yaml(&path)["tests"]) {
            let name = text(&test["name"]);
            let (alert, case) =
                name.split_once(": ").unwrap_or_else(|| panic!("{name} names no alert"));
            if alert == "recording" {
                continue;
            }
            let case = (alert.to_owned(), case.to_owned());
            let before = cases.insert(case, test.clone());
            assert!(before.is_none(), "{name} is there twice");
        }
    }
    let names: BTreeSet<String> =
        alerts("prometheus/rules").iter().map(|it| text(&it["alert"]).to_owned()).collect();
    for name in &names {
        for case in CASES {
            let test = cases.get(&(name.clone(), case.to_owned()));
            let test = test.unwrap_or_else(|| panic!("{name} has no case of {case}"));
            let mut fires = false;
            for query in list(&test["promql_expr_test"]) {
                let of = format!("alertname=\"{name}\"");
                assert!(
                    text(&query["expr"]).contains(&of),
                    "{name}: {case} asks for another alert"
                );
                fires |= list(&query["exp_samples"]).next().is_some();
            }
            assert_eq!(fires, case == "fault" || name == ALWAYS, "{name}: {case}");
            let last = list(&test["promql_expr_test"]).last().expect("a case asks something");
            let is_over = list(&last["exp_samples"]).next().is_none();
            assert!(is_over || name == ALWAYS, "{name}: {case} does not end");
            let mut values = list(&test["input_series"]).map(|it| text(&it["values"]));
            assert!(
                case != "reset" || values.any(|it| it.contains(' ')),
                "{name}: nothing begins anew"
            );
            let idle = case == "no traffic" || name == ALWAYS;
            assert!(
                idle || list(&test["input_series"]).next().is_some(),
                "{name}: {case} is empty"
            );
        }
    }
    let unknown: Vec<_> = cases.keys().filter(|(name, _)| !names.contains(name)).collect();
    assert!(unknown.is_empty(), "cases of alerts that there are not: {unknown:?}");
}

#[test]
fn every_alert_fires_on_its_fault_and_is_quiet_otherwise() {
    std::thread::scope(|scope| {
        for path in files("prometheus/tests") {
            scope.spawn(move || succeeds("promtool", &["test", "rules", utf8(&path)]));
        }
    });
}
