//! No rule, dashboard, runbook or page names a metric, label or attribute that does not exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use real::schema::Schema;
use serde_json::Value;

use super::{panels::runbooks, system::System};
use crate::{
    harness::root,
    shipped::{dashboards, filled, list, rules, text},
};

/// The metrics of other programs that our rules, dashboards and runbooks use, and of which program each is: what the real programs were
/// found to have.
const FOREIGN: &str = "prometheus/foreign.json";

/// What Prometheus makes itself.
fn is_of_prometheus_itself(name: &str) -> bool {
    let scrapes = ["scrape_duration_seconds", "scrape_samples_post_metric_relabeling"];
    scrapes.contains(&name) || ["up", "ALERTS", "ALERTS_FOR_STATE"].contains(&name)
}

/// What Grafana puts in, for which any value does.
fn any_values() -> BTreeMap<String, String> {
    let mut values: BTreeMap<String, String> =
        ["__rate_interval", "__interval", "__range", "__auto"]
            .map(|it| (it.to_owned(), "1m".to_owned()))
            .into();
    values.insert("__range_s".to_owned(), "60".to_owned());
    for dashboard in dashboards() {
        values.extend(dashboard.variables.into_iter().map(|it| (it.name, "x".to_owned())));
    }
    values
}

/// Queries, each after its place.
type Placed = Vec<(String, String)>;

/// Every PromQL and every LogQL that is shipped.
fn queries() -> (Placed, Placed) {
    let values = any_values();
    let (mut promql, mut logql) = (Vec::new(), Vec::new());
    for dashboard in dashboards() {
        for query in dashboard.queries.into_iter().chain(dashboard.annotations) {
            let text = filled(&query.text, &values);
            match &*query.source {
                "prometheus" => promql.push((query.place, text)),
                "loki" => logql.push((query.place, text)),
                _ => {}
            }
        }
    }
    for (file, rule) in rules() {
        let name = rule["alert"].as_str().or(rule["record"].as_str()).unwrap();
        promql.push((format!("{file}: {name}"), rule["expr"].as_str().unwrap().to_owned()));
    }
    for (place, (source, text)) in runbooks() {
        if source == "prometheus" { promql.push((place, text)) } else { logql.push((place, text)) }
    }
    (promql, logql)
}

/// What a query names.
#[derive(Default)]
struct Named {
    /// Each metric with the labels that it is selected by.
    metrics: BTreeMap<String, BTreeSet<String>>,
    /// The labels that it groups and joins by.
    labels: BTreeSet<String>,
}

impl Named {
    /// From the syntax tree that Prometheus makes of it.
    fn collect(&mut self, tree: &Value) {
        match tree {
            Value::Array(all) => all.iter().for_each(|it| self.collect(it)),
            Value::Object(all) => {
                let matchers = || list(&tree["matchers"]);
                let is_name = |it: &&Value| it["name"] == "__name__";
                if let Some(name) = matchers().find(|it| is_name(it) && it["type"] == "=") {
                    let labels = matchers().filter(|it| !is_name(it)).map(|it| text(&it["name"]));
                    self.metrics.entry(text(&name["value"])).or_default().extend(labels);
                }
                let lists =
                    [&tree["grouping"], &tree["matching"]["labels"], &tree["matching"]["include"]];
                self.labels.extend(lists.into_iter().flat_map(list).map(text));
                all.values().for_each(|it| self.collect(it));
            }
            _ => {}
        }
    }
}

/// The metrics beside which there is an `or vector(0)` and which neither count losses nor are alerts: they are always there, and a 0 in their
/// place would hide that they are not.
fn zeros_of_nothing(tree: &Value, schema: &Schema) -> Vec<String> {
    let mut found = Vec::new();
    if tree["op"] == "or" && tree["rhs"]["func"]["name"] == "vector" {
        let mut named = Named::default();
        named.collect(&tree["lhs"]);
        let counts =
            |it: &String| it == "ALERTS" || schema.metrics.get(it).is_some_and(|it| it.loss);
        found.extend(named.metrics.into_keys().filter(|it| !counts(it)));
    }
    let inside: Vec<&Value> = match tree {
        Value::Array(all) => all.iter().collect(),
        Value::Object(all) => all.values().collect(),
        _ => Vec::new(),
    };
    found.extend(inside.into_iter().flat_map(|it| zeros_of_nothing(it, schema)));
    found
}

pub(super) fn each_exists(system: &System) {
    let schema = Schema::read(&root()).unwrap();
    let prometheus = &system.stack.prometheus;
    let rules = rules();
    let recorded: BTreeSet<&str> = rules.iter().filter_map(|it| it.1["record"].as_str()).collect();
    let alerts = rules.iter().filter(|it| it.1["alert"].is_string());
    let alerts = alerts.flat_map(|it| it.1["labels"].as_object().unwrap().keys().cloned());
    let alerts: BTreeSet<String> =
        alerts.chain(["alertname", "alertstate"].map(str::to_owned)).collect();
    let mut wrong = Vec::new();
    let mut foreign: BTreeMap<String, String> = BTreeMap::new();
    let mut asked: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let (promql, logql) = queries();
    for (place, text) in &promql {
        let tree = match prometheus.parse(text) {
            Ok(tree) => tree,
            Err(error) => {
                wrong.push(format!("{place}: {error:#}"));
                continue;
            }
        };
        let mut named = Named::default();
        named.collect(&tree);
        let made_up = zeros_of_nothing(&tree, &schema);
        wrong.extend(made_up.into_iter().map(|it| format!("{place}: {it} or vector(0)")));
        let selectors: Vec<&str> = named.metrics.keys().map(String::as_str).collect();
        let series = prometheus.series(&selectors).unwrap_or_default();
        let mut of_query = BTreeSet::new(); // the labels of any of its metrics
        for (metric, selected) in &named.metrics {
            let series: Vec<_> = series.iter().filter(|it| it["__name__"] == *metric).collect();
            let ours = schema.knows_metric(metric) || recorded.contains(&**metric);
            if let Some(one) = series.first()
                && !ours
                && !is_of_prometheus_itself(metric)
            {
                let job = one.get("job").cloned().unwrap_or_default();
                foreign.insert(metric.clone(), job);
            } else if !ours && !is_of_prometheus_itself(metric) {
                wrong.push(format!("{place}: nobody has the metric {metric}"));
                continue;
            }
            let mut labels: BTreeSet<&str> =
                series.iter().flat_map(|it| it.keys()).map(String::as_str).collect();
            // Of what was never lost there are no series, nor of alerts that do not fire.
            labels.extend(schema.labels_of(metric).into_iter().flatten().map(String::as_str));
            labels.extend(["service_name", "job", "instance"]);
            if metric.starts_with("ALERTS") {
                labels.extend(alerts.iter().map(String::as_str));
            }
            for label in selected.iter().filter(|it| !labels.contains(&***it)) {
                wrong.push(format!("{place}: {metric} has no label {label}"));
            }
            of_query.extend(labels.into_iter().map(str::to_owned));
        }
        for label in named.labels.iter().filter(|it| !of_query.contains(*it)) {
            let made = text.contains(&format!("\"{label}\"")); // by `label_replace`
            if !made && !named.metrics.is_empty() {
                wrong.push(format!("{place}: none of its metrics has the label {label}"));
            }
        }
        asked.entry(place).or_default().extend(named.metrics.into_keys());
    }
    for (place, text) in &logql {
        for name in names_of_logql(text) {
            if !schema.knows_label(&name) && !OF_LOKI.contains(&&*name) {
                wrong.push(format!("{place}: no line has {name}"));
            }
        }
    }
    let foreign = serde_json::to_string_pretty(&foreign).unwrap() + "\n";
    let committed = fs::read_to_string(root().join(FOREIGN)).unwrap_or_default();
    if foreign != committed {
        wrong.push(format!("{FOREIGN} should be\n{foreign}"));
    }
    wrong.extend(own_names_in_documents(&schema));
    wrong.extend(losses_without_alert(&schema, &rules));
    wrong.extend(alerts_that_lead_astray(&rules, &asked));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What Loki adds to a line, and OpenTelemetry's data model has beside attributes.
const OF_LOKI: [&str; 12] = [
    "service_name",
    "deployment_environment_name",
    "detected_level",
    "level",
    "severity_text",
    "severity_number",
    "trace_id",
    "span_id",
    "scope_name",
    "__error__",
    "target",
    "duration_ms", // of the line of a request
];

/// The names before a comparison, and those that are grouped by.
fn names_of_logql(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let is_name = |it: char| it.is_alphanumeric() || it == '_';
    let mut outside = String::new(); // what is not quoted
    for (at, part) in text.split(['"', '`']).enumerate() {
        if at % 2 == 0 {
            outside.push_str(part);
        } else {
            outside.push('"');
        }
    }
    for operator in ["=~", "!~", "!=", ">=", "<=", "=", ">", "<"] {
        for (at, _) in outside.match_indices(operator) {
            let before = outside[..at].trim_end();
            let begin = before.rfind(|it: char| !is_name(it)).map_or(0, |it| it + 1);
            let name = &before[begin..];
            if name.starts_with(|it: char| it.is_alphabetic() || it == '_') {
                names.insert(name.to_owned());
            }
        }
    }
    for (at, _) in outside.match_indices("by (").chain(outside.match_indices("by(")) {
        let inside = outside[at..].split(['(', ')']).nth(1).unwrap_or_default();
        names.extend(inside.split(',').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()));
    }
    names
}

/// Each name that begins as our metrics do, and stands in a page as code, is that of a metric or of a label. In rules and dashboards, which are code
/// all through, each that ends as metrics do.
fn own_names_in_documents(schema: &Schema) -> Vec<String> {
    let prefixes: BTreeSet<&str> =
        schema.metrics.keys().filter_map(|it| it.split_once('_')).map(|it| it.0).collect();
    let own = |word: &str| word.split_once('_').is_some_and(|it| prefixes.contains(it.0));
    let ends = ["_total", "_seconds", "_bytes", "_items", "_info", "_bucket", "_count", "_sum"];
    let mut wrong = BTreeSet::new();
    for file in documents() {
        let text = fs::read_to_string(&file).unwrap();
        let page = file.extension().is_some_and(|it| it == "md");
        let mut told = |word: &str, certain: bool| {
            let metric = certain || ends.iter().any(|end| word.ends_with(end));
            let known = schema.knows_metric(word) || schema.knows_label(word);
            if own(word) && metric && !known && !word.starts_with("process_") {
                wrong.insert(format!("{}: {word} is not declared", file.display()));
            }
        };
        let is_word = |it: char| it.is_ascii_alphanumeric() || it == '_';
        text.split(|it| !is_word(it)).for_each(|word| told(word, false));
        let quoted = text.split('`').skip(1).step_by(2).filter(|_| page);
        quoted.filter(|it| it.chars().all(is_word)).for_each(|word| told(word, true));
    }
    wrong.into_iter().collect()
}

/// Pages, rules and dashboards.
fn documents() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"]
            .map(|it| root().join(it))
            .into();
    for folder in ["docs", "prometheus", "grafana/dashboards", "alertmanager"] {
        collect(&root().join(folder), &mut files);
    }
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = path
            .extension()
            .is_some_and(|it| ["md", "yaml", "yml", "json"].iter().any(|end| it == *end));
        if path.is_dir() {
            collect(&path, files);
        } else if text && !path.ends_with(FOREIGN) {
            files.push(path);
        }
    }
}

/// T15: whoever loses something is noticed.
fn losses_without_alert(schema: &Schema, rules: &[(String, Value)]) -> Vec<String> {
    let alerts: Vec<&str> = rules
        .iter()
        .filter(|it| it.1["alert"].is_string())
        .filter_map(|it| it.1["expr"].as_str())
        .collect();
    let losses = schema.metrics.iter().filter(|(_, metric)| metric.loss).map(|it| it.0);
    losses
        .filter(|name| !alerts.iter().any(|expression| expression.contains(name.as_str())))
        .map(|name| format!("{name} counts losses, and no alert asks for it"))
        .collect()
}

/// Whoever follows an alert to its dashboard sees there what it asks for. `asked` has the metrics of each query by its place.
fn alerts_that_lead_astray(
    rules: &[(String, Value)],
    asked: &BTreeMap<&str, BTreeSet<String>>,
) -> Vec<String> {
    let place = |(file, rule): &(String, Value), kind: &str| {
        rule[kind].as_str().map(|name| (name.to_owned(), format!("{file}: {name}")))
    };
    let recorded: BTreeMap<String, &BTreeSet<String>> = rules
        .iter()
        .filter_map(|it| place(it, "record"))
        .map(|(name, place)| (name, &asked[&*place]))
        .collect();
    // What a recording rule is made of, too.
    let whole = |names: BTreeSet<String>| {
        let mut whole = BTreeSet::new();
        let mut rest: Vec<String> = names.into_iter().collect();
        while let Some(name) = rest.pop() {
            if whole.insert(name.clone()) {
                rest.extend(recorded.get(&name).into_iter().flat_map(|it| it.iter().cloned()));
            }
        }
        whole
    };
    let mut wrong = Vec::new();
    for rule in rules {
        let Some((name, place)) = place(rule, "alert") else { continue };
        let link = rule.1["annotations"]["dashboard_url"].as_str().unwrap_or_default();
        let panels = format!("{}: ", link.trim_start_matches("/d/"));
        let shown = asked.iter().filter(|it| it.0.starts_with(&panels));
        let shown = whole(shown.flat_map(|it| it.1.iter().cloned()).collect());
        let wanted = whole(asked[&*place].clone());
        // The watchdog asks for nothing.
        if !wanted.is_empty() && wanted.is_disjoint(&shown) {
            wrong.push(format!("{name} leads to {link}, which shows none of {wanted:?}"));
        }
    }
    wrong
}

#[test]
fn the_page_about_telemetry_is_what_the_registry_says() {
    let page = fs::read_to_string(root().join("docs/telemetry.md")).unwrap();
    let made = Schema::read(&root()).unwrap().document();
    assert!(
        page == made,
        "docs/telemetry.md is not what `cargo run -p real --example telemetry` writes"
    );
}
