//! Grafana's files, read as Grafana reads them: written by the generator, whole, and leading to each other. Whether their queries have data is shown in
//! `operators`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::{
    harness::root,
    shipped::{list, rules, text},
};

/// What Grafana calls the data sources. Each has its type as its uid.
const SOURCES: [&str; 3] = ["jaeger", "loki", "prometheus"];

#[test]
fn the_committed_dashboards_are_what_the_generator_writes() {
    let folder = tempfile::tempdir().unwrap();
    let output = generate(&root().join("grafana"), folder.path());
    assert!(output.status.success(), "{output:?}");
    let (committed, written) = (files(&root().join("grafana")), files(folder.path()));
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&committed),
        names(&written),
        "run grafana/generate, and commit what it writes"
    );
    for (name, text) in &written {
        assert!(
            committed[name] == *text,
            "grafana/{name} is not what grafana/generate writes: run it, and commit"
        );
    }
}

#[test]
fn a_mistake_in_a_panel_is_one_sentence_and_nothing_is_written() {
    let up = "Which of our processes Prometheus reaches: 1 it does, 0 it does not.";
    for (mistake, instead, told) in [
        (
            up,
            "Up",
            "Overview, panel \"Up\" has no sentence of help: say what it shows, with a full stop",
        ),
        (
            "[to(\"telemetry\")]",
            "[]",
            "Overview, panel \"Tickets\" leads nowhere: give it a link to a dashboard or to Explore",
        ),
        (
            "[to(\"logs\")]",
            "[to(\"lines\")]",
            "Overview, panel \"Error ratio\" leads to 'lines', which is no dashboard",
        ),
        (
            "[to(\"logs\")]",
            "[to(\"logs\", route=\"x\")]",
            "Overview, panel \"Error ratio\" passes route to Logs, which has no such variable",
        ),
        (
            "'up{service_name!=\"\"}'",
            "'up{service_name=\"$name\"}'",
            "Overview, panel \"Up\" uses $name, which its dashboard does not have",
        ),
        (
            "\"Tickets\",",
            "\"Pages\",",
            "Overview, panel \"Pages\" has the id of \"Pages\": give it another title",
        ),
        (
            "t.COUNT,\n                \"number\",\n                width=3",
            "\"\",\n                \"number\",\n                width=3",
            "Overview, panel \"Pages\" shows numbers without a unit: take one of table.py",
        ),
        (
            "width=10",
            "width=9",
            "Overview, row \"Alerts\" ends at 23 of 24: make its last line 24 wide",
        ),
        (
            "t.BURN",
            "t.FIRE",
            "overview.py, line {line}: AttributeError: module 'table' has no attribute 'FIRE'",
        ),
        (
            "BOARD = Dashboard(",
            "BOARD = Dashboard)",
            "overview.py, line {line}: SyntaxError: unmatched ')' (overview.py, line {line})",
        ),
    ] {
        let source = tempfile::tempdir().unwrap();
        copied(&root().join("grafana"), source.path());
        let board = source.path().join("boards/overview.py");
        let text = fs::read_to_string(&board).unwrap();
        let at =
            text.find(mistake).unwrap_or_else(|| panic!("boards/overview.py has no {mistake}"));
        let told = told.replace("{line}", &(text[..at].matches('\n').count() + 1).to_string());
        fs::write(&board, text.replacen(mistake, instead, 1)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let output = generate(source.path(), folder.path());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, format!("grafana/generate: {told}. Nothing was written.\n"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn without_the_builder_library_the_generator_says_how_to_get_it() {
    let mut command = Command::new(root().join("grafana/generate"));
    let output = command.env("MUSICWALLET_TOOLS", "/no/tools").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        "Grafana's builder library is missing: there is no /no/tools/grafana/bin/python. To get it: tests/real/install\n"
    );
}

#[test]
fn each_panel_says_what_it_shows_and_in_which_unit_and_leads_on() {
    let dashboards = dashboards();
    let uids: Vec<&str> = dashboards.keys().map(String::as_str).collect();
    assert_eq!(
        uids,
        ["databases", "journey", "logs", "overview", "runtime", "service", "telemetry"]
    );
    for (uid, dashboard) in &dashboards {
        assert_eq!(dashboard["uid"], **uid);
        assert_eq!(dashboard["editable"], false, "{uid}: it is code");
        assert_eq!(dashboard["id"], Value::Null, "{uid}: the id is Grafana's affair");
        let mut ids = BTreeSet::new();
        let mut titles = BTreeSet::new();
        for panel in panels(dashboard) {
            let place = format!("{uid}: {}", panel["title"]);
            assert!(titles.insert(text(&panel["title"])), "{place} is there twice");
            let help = text(&panel["description"]);
            assert!(
                help.split(' ').count() >= 2 && help.contains('.'),
                "{place}: {help:?} is no sentence"
            );
            let targets: Vec<&Value> = list(&panel["targets"]).collect();
            assert!(!targets.is_empty(), "{place} asks for nothing");
            for target in &targets {
                assert_eq!(
                    target["datasource"], panel["datasource"],
                    "{place}: one data source a panel"
                );
            }
            let source = text(&panel["datasource"]["uid"]);
            assert!(SOURCES.contains(&&*source), "{place}: nobody provisions {source:?}");
            assert_eq!(panel["datasource"]["type"], *source, "{place}");
            if panel["type"] != "logs" && source != "jaeger" {
                let unit = text(&panel["fieldConfig"]["defaults"]["unit"]);
                assert!(!unit.is_empty(), "{place} shows numbers without a unit");
            }
            assert!(list(&panel["links"]).next().is_some(), "{place} leads nowhere");
        }
        for panel in list(&dashboard["panels"]) {
            assert!(
                ids.insert(panel["id"].as_u64().unwrap()),
                "{uid}: {} has no id of its own",
                panel["title"]
            );
        }
    }
}

#[test]
fn every_link_leads_to_a_dashboard_or_to_explore_and_passes_variables_that_are_there() {
    let dashboards = dashboards();
    let variables: BTreeMap<&str, BTreeSet<String>> =
        dashboards.iter().map(|(uid, it)| (uid.as_str(), variables(it))).collect();
    let (mut inside, mut outside) = (0, 0);
    for (uid, dashboard) in &dashboards {
        let known = &variables[uid.as_str()];
        for panel in panels(dashboard) {
            let place = format!("{uid}: {}", panel["title"]);
            for link in links(panel) {
                let url = text(&link["url"]);
                if let Some(path) = url.strip_prefix("/d/") {
                    let (to, passed) =
                        path.split_once('?').unwrap_or_else(|| panic!("{place}: {url}"));
                    let there =
                        variables.get(to).unwrap_or_else(|| panic!("{place}: {url} leads nowhere"));
                    let mut passed: Vec<&str> = passed.split('&').collect();
                    assert_eq!(
                        passed.pop(),
                        Some("${__url_time_range}"),
                        "{place}: {url} loses the time"
                    );
                    for one in passed {
                        let name = match one.strip_prefix("var-") {
                            Some(set) => set.split_once('=').map_or("", |(name, _)| name),
                            None => one.trim_start_matches("${").trim_end_matches(":queryparam}"),
                        };
                        assert!(there.contains(name), "{place}: {url}: {to} has no {name:?}");
                    }
                    inside += 1;
                } else {
                    explored(&place, &url);
                    outside += 1;
                }
            }
            for used in used(panel) {
                let grafanas = used.starts_with("__");
                assert!(
                    grafanas || known.contains(&used),
                    "{place} uses ${used}, which {uid} does not have"
                );
            }
        }
    }
    assert!(inside > 100 && outside > 80, "{inside} links to dashboards, {outside} to Explore");
}

#[test]
fn each_alert_leads_to_a_dashboard_and_panels_name_only_runbooks_of_alerts() {
    let dashboards = dashboards();
    let mut runbooks = BTreeSet::new();
    for (file, rule) in rules() {
        let Some(alert) = rule["alert"].as_str() else { continue };
        let to = text(&rule["annotations"]["dashboard_url"]);
        let uid = to.strip_prefix("/d/").and_then(|it| it.split('?').next()).unwrap_or_default();
        assert!(
            dashboards.contains_key(uid),
            "{file}: {alert} leads to {to:?}, which is no dashboard"
        );
        runbooks.insert(text(&rule["annotations"]["runbook_url"]));
    }
    let mut named = BTreeSet::new();
    for (uid, dashboard) in &dashboards {
        for panel in panels(dashboard) {
            let help = text(&panel["description"]);
            for runbook in help.split([' ', ',']).filter(|it| it.starts_with("docs/runbooks/")) {
                assert!(
                    runbooks.contains(runbook),
                    "{uid}: {}: no alert has {runbook}",
                    panel["title"]
                );
                named.insert(runbook.to_owned());
            }
        }
    }
    let unnamed: Vec<_> = runbooks.difference(&named).collect();
    assert!(
        unnamed.is_empty(),
        "no panel shows the cause and names its runbook (runbooks=...): {unnamed:?}"
    );
}

#[test]
fn thresholds_are_the_numbers_of_the_objectives() {
    let (availability, share, bounds) = objectives();
    let dashboards = dashboards();
    let steps = |uid: &str, title: &str| -> Vec<f64> {
        let panel = panel(&dashboards[uid], title);
        let steps = list(&panel["fieldConfig"]["defaults"]["thresholds"]["steps"]);
        steps.filter_map(|it| it["value"].as_f64()).collect()
    };
    assert_eq!(steps("journey", "Availability"), [availability]);
    assert_eq!(steps("journey", "Fast enough"), [share]);
    let allowed = (1e6 * (1.0 - availability)).round() / 1e6;
    for (uid, title) in
        [("overview", "Error ratio"), ("service", "Error ratio"), ("journey", "Failed calls")]
    {
        assert_eq!(steps(uid, title), [allowed], "{uid}: {title}");
    }
    let fast = list(&panel(&dashboards["journey"], "Fast enough")["targets"]);
    let shown = fast.map(|target| {
        let query = text(&target["expr"]);
        let label = |name: &str| {
            let rest =
                query.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("{query}")).1;
            rest.split_once('"').unwrap().0.to_owned()
        };
        (label(", journey"), label("le"))
    });
    assert_eq!(shown.collect::<BTreeMap<_, _>>(), bounds);
    // What Sloth's rules page for, which is 2 % of the budget in an hour.
    let page = steps("overview", "Burn rate").pop().unwrap();
    let pages =
        rules().into_iter().any(|(_, rule)| text(&rule["expr"]).contains(&format!("> ({page} * ")));
    assert!(pages, "no rule pages for a burn rate of {page}");
}

#[test]
fn the_data_sources_are_the_three_and_only_the_environment_is_put_in() {
    let mut found = BTreeSet::new();
    for folder in ["datasources", "dashboards"] {
        for entry in fs::read_dir(root().join("grafana/provisioning").join(folder)).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let mut rest = &*text;
            // Grafana puts the environment in wherever it finds one `$`.
            while let Some((_, after)) = rest.split_once('$') {
                rest = after.strip_prefix('$').unwrap_or_else(|| {
                    let upper = |it: &char| it.is_ascii_uppercase() || *it == '_';
                    found.insert(after.chars().take_while(upper).collect::<String>());
                    after
                });
            }
        }
    }
    let names: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(names, ["GRAFANA_DASHBOARDS", "JAEGER_URL", "LOKI_URL", "PROMETHEUS_URL"]);

    let path = root().join("grafana/provisioning/datasources/musicwallet.yaml");
    let file: Value = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let sources: Vec<&Value> = list(&file["datasources"]).collect();
    let mut uids: Vec<String> = sources.iter().map(|it| text(&it["uid"])).collect();
    uids.sort();
    assert_eq!(uids, SOURCES);
    for source in sources {
        let uid = text(&source["uid"]);
        assert_eq!(source["type"], *uid);
        assert_eq!(source["url"], format!("${}_URL", uid.to_uppercase()));
        assert_eq!(source["editable"], false, "{uid}");
    }
}

/// The share of requests that may not fail, the share that has to be fast, and the bound of each journey, of all specifications.
fn objectives() -> (f64, f64, BTreeMap<String, String>) {
    let (mut availability, mut share, mut bounds) =
        (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    for entry in fs::read_dir(root().join("prometheus/objectives")).unwrap() {
        let path = entry.unwrap().path();
        let file: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for objective in list(&file["slos"]) {
            let promised = objective["objective"].to_string();
            if objective["labels"]["objective"] == "availability" {
                availability.insert(promised);
            } else {
                share.insert(promised);
                let query = text(&objective["sli"]["events"]["error_query"]);
                let bound =
                    query.split_once("le=\"").expect("a bound").1.split_once('"').unwrap().0;
                let journey = text(&objective["labels"]["journey"]);
                let before = bounds.insert(journey, bound.to_owned());
                assert!(
                    before.is_none_or(|it| it == bound),
                    "{}: one bound a journey",
                    path.display()
                );
            }
        }
    }
    let one = |all: BTreeSet<String>| -> f64 {
        assert_eq!(all.len(), 1, "one number for all services: {all:?}");
        let percent: f64 = all.first().unwrap().parse().unwrap();
        (percent * 1e6).round() / 1e8
    };
    (one(availability), one(share), bounds)
}

/// Runs the generator of a folder into another one.
fn generate(source: &Path, folder: &Path) -> Output {
    Command::new(source.join("generate")).arg(folder).output().unwrap()
}

/// What the generator writes, by its name below the folder.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let dashboards = fs::read_dir(folder.join("dashboards")).unwrap().map(|it| it.unwrap().path());
    let all: Vec<PathBuf> = dashboards.chain([folder.join("empty.json")]).collect();
    let named = |path: &PathBuf| path.strip_prefix(folder).unwrap().display().to_string();
    all.iter().map(|path| (named(path), fs::read_to_string(path).unwrap())).collect()
}

fn copied(from: &Path, to: &Path) {
    let output = Command::new("cp").arg("-r").arg(from.join(".")).arg(to).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn dashboards() -> BTreeMap<String, Value> {
    let files = files(&root().join("grafana"));
    let dashboards = files.iter().filter_map(|(name, text)| {
        let uid = name.strip_prefix("dashboards/")?.strip_suffix(".json")?;
        Some((uid.to_owned(), serde_json::from_str(text).unwrap()))
    });
    dashboards.collect()
}

/// Those that show something.
fn panels(dashboard: &Value) -> Vec<&Value> {
    list(&dashboard["panels"]).filter(|it| it["type"] != "row").collect()
}

fn panel<'a>(dashboard: &'a Value, title: &str) -> &'a Value {
    let found = panels(dashboard).into_iter().find(|it| it["title"] == title);
    found.unwrap_or_else(|| panic!("{} has no panel {title:?}", dashboard["title"]))
}

fn variables(dashboard: &Value) -> BTreeSet<String> {
    list(&dashboard["templating"]["list"]).map(|it| text(&it["name"])).collect()
}

/// Of a panel, and of its series and rows.
fn links(panel: &Value) -> Vec<&Value> {
    list(&panel["links"]).chain(list(&panel["fieldConfig"]["defaults"]["links"])).collect()
}

/// A query in Explore: all of it is there, and for a source that is provisioned.
fn explored(place: &str, url: &str) {
    let parsed = reqwest::Url::parse(&format!("http://grafana{url}")).unwrap();
    assert_eq!(parsed.path(), "/explore", "{place}: {url}");
    let panes = parsed.query_pairs().find(|(name, _)| name == "panes").expect("panes").1;
    let panes: Value =
        serde_json::from_str(&panes).unwrap_or_else(|error| panic!("{place}: {url}: {error}"));
    let pane = &panes["a"];
    let source = text(&pane["datasource"]);
    assert!(SOURCES.contains(&&*source), "{place}: nobody provisions {source:?}");
    for query in list(&pane["queries"]) {
        assert_eq!(query["datasource"]["uid"], *source, "{place}");
        let asked = ["expr", "service"].iter().any(|it| !text(&query[it]).is_empty());
        assert!(asked, "{place}: {query} asks for nothing");
    }
    assert_eq!(pane["range"]["from"], "${__from}", "{place}: the time is lost");
}

/// The names of the variables in all texts of a value.
fn used(value: &Value) -> BTreeSet<String> {
    match value {
        Value::String(text) => {
            let names = text.split('$').skip(1).map(|after| {
                let name = after.trim_start_matches('{');
                name.chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect::<String>()
            });
            names.collect()
        }
        Value::Array(all) => all.iter().flat_map(used).collect(),
        Value::Object(all) => all.values().flat_map(used).collect(),
        _ => BTreeSet::new(),
    }
}
