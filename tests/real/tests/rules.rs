//! Rules, objectives and routes: what promtool, amtool and Sloth say of them, and that every alert has what is needed at night.

mod alerts;
mod journeys;
mod objectives;
mod routes;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use real::stack::tool;
use serde_json::{Value, json};

use crate::{harness::root, shipped::list};

/// What a program said, and whether it was content.
fn run(program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(tool(program).unwrap()).args(arguments).output().unwrap();
    (output.status.success(), said(&output))
}

#[track_caller]
fn succeeds(program: &str, arguments: &[&str]) -> String {
    let (success, said) = run(program, arguments);
    assert!(success, "{program} {}:\n{said}", arguments.join(" "));
    said
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{out}{err}")
}

/// The YAML files of a folder of this repository, in order.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|it| it.unwrap().path())
        .filter(|it| it.extension().is_some_and(|it| it == "yaml"))
        .collect();
    files.sort();
    files
}

fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Panics where there is no text.
#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text is missing, there is {value}"))
}

#[track_caller]
fn utf8(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_is_shipped_is_valid_and_generated() {
    let check = Command::new(root().join("prometheus/check")).output().unwrap();
    assert!(check.status.success() && said(&check).is_empty(), "{}", said(&check));
    let objectives = root().join("prometheus/objectives");
    let period = "--default-slo-period=28d";
    succeeds("sloth", &["validate", "--no-color", period, "--input", utf8(&objectives)]);
    let routes = root().join("alertmanager/people.example.yml");
    succeeds("amtool", &["check-config", utf8(&routes)]);
}

#[test]
fn the_rules_for_tests_are_valid_and_those_of_production_but_for_their_durations() {
    let folder = tempfile::tempdir().unwrap();
    let generate = root().join("prometheus/generate");
    let made = Command::new(generate).arg("--fast").arg(folder.path()).output().unwrap();
    assert!(made.status.success() && said(&made).is_empty(), "{}", said(&made));
    succeeds("amtool", &["check-config", utf8(&folder.path().join("alertmanager.yml"))]);
    let mut compared = 0;
    for path in files("prometheus/rules").iter().chain(&files("prometheus/rules/objectives")) {
        let inside = path.strip_prefix(root().join("prometheus")).unwrap();
        let fast = folder.path().join(inside);
        succeeds("promtool", &["check", "rules", "--lint=none", utf8(&fast)]);
        let [slow, fast] = [path, &fast].map(|it| yaml(it));
        // The objectives have other windows, and so other recording rules.
        let by_hand = !inside.starts_with("rules/objectives");
        let what_stays = |file: &Value| -> Vec<Value> {
            let rules = list(&file["groups"]).flat_map(|it| list(&it["rules"]));
            let rules = rules.filter(|it| by_hand || it["alert"].is_string());
            let of = |it: &Value| {
                let expr = by_hand.then(|| without_ranges(text(&it["expr"])));
                let name = (&it["alert"], &it["record"]);
                json!([name, it["labels"], it["annotations"], expr])
            };
            rules.map(of).collect()
        };
        let (slow, fast) = (what_stays(&slow), what_stays(&fast));
        assert_eq!(fast, slow, "{}", path.display());
        compared += fast.len();
    }
    assert!(compared > 70, "{compared}");
}

/// `rate(x[5m])` as `rate(x[])`.
fn without_ranges(expr: &str) -> String {
    let mut parts = expr.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        let (_, rest) = part.split_once(']').unwrap_or_else(|| panic!("no ] in {expr}"));
        all + "[]" + rest
    })
}

/// A mistake in a copy of what is shipped.
fn with(file: &str, right: &str, wrong: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .args(["-r", "--parents", "prometheus", "alertmanager", "tests/real/programs"])
        .arg(folder.path())
        .current_dir(root())
        .status();
    assert!(copied.unwrap().success());
    let path = folder.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(right), "{file} has no {right}");
    fs::write(&path, text.replacen(right, wrong, 1)).unwrap();
    let check = Command::new(folder.path().join("prometheus/check")).output().unwrap();
    assert!(!check.status.success(), "nothing was said of {wrong}");
    assert!(check.stdout.is_empty(), "{}", said(&check));
    said(&check).trim_end().to_owned()
}

#[test]
fn a_mistake_is_told_in_one_sentence() {
    let (rules, routes) = ("prometheus/rules/tickets.yaml", "alertmanager/alertmanager.yml");
    let objective = "prometheus/objectives/wallet.yaml";
    let broken = [
        (
            with(rules, "[5m])) > 0", "[5m]) > 0"),
            "prometheus/rules/tickets.yaml: …: group \"losses\", rule 1, \"TelemetryDropped\": could not parse expression: ",
        ),
        (
            with(rules, "for: 5m", "for: soon"),
            "prometheus/rules/tickets.yaml: not a valid duration string: \"soon\"",
        ),
        (
            with("prometheus/prometheus.yml", "scrape_interval", "scrape_intervall"),
            "prometheus/prometheus.yml: line 9: field scrape_intervall not found in type config.plain",
        ),
        (
            with(objective, "objective: 99.9", "objective: 101"),
            "prometheus/objectives/wallet.yaml cannot be used: SLOs[0].Objective (they count from 0) is too large",
        ),
        (
            with(objective, "sum(rate", "sum((rate"),
            "prometheus/objectives/wallet.yaml cannot be used: SLOs[0].SLI.Events.ErrorQuery (they count from 0) is not PromQL",
        ),
        (
            with(objective, "objective: 99.9", "objective: 99.5"),
            "prometheus/rules/objectives is not what prometheus/generate makes of prometheus/objectives: run it",
        ),
        (
            with(routes, "receiver: page", "receiver: nowhere"),
            "alertmanager/alertmanager.yml: undefined receiver \"nowhere\" used in route",
        ),
        (
            with(routes, "targets/console.url", "secrets/console.url"),
            "alertmanager/alertmanager.yml: the file of url_file, alertmanager/secrets/console.url, is not there or cannot be read",
        ),
    ];
    for (told, expected) in broken {
        // Where in the file, where that is not the point, is `…`.
        let mut parts = expected.split('…');
        let as_expected =
            told.starts_with(parts.next().unwrap()) && parts.all(|it| told.contains(it));
        assert!(as_expected && told.lines().count() == 1, "{told}\ninstead of\n{expected}");
    }
}
