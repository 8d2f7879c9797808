//! Every query of every dashboard, recording rule and runbook is asked, and has data; what panels show is what the load generator has
//! measured.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Instant,
};

use serde_json::{Value, json};

use super::system::{Answer, Load, System, now};
use crate::{
    harness::{Trace, root},
    shipped::{self, Dashboard, Query, Values, Variable, filled, list},
};

/// From when to when, in seconds since 1970.
type Span = (f64, f64);

/// A range of Grafana's own: four times the interval of scrapes.
const RATE_INTERVAL: &str = "20s";
/// The bounds of durations in seconds: OpenTelemetry's advice for HTTP.
const BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// How many queries may be empty while nothing is wrong; `grafana/empty.json` names them and the fault that fills each.
const EMPTY_AT_MOST: usize = 5;

/// How long after the first request panels are looked at: how many are empty then is printed.
const EARLY: f64 = 15.0;

/// What Grafana puts in the place of its own variables for a panel that shows this time.
fn builtin((from, to): Span) -> BTreeMap<String, String> {
    let seconds = (to - from).ceil();
    [
        ("__rate_interval", RATE_INTERVAL.to_owned()),
        ("__interval", "5s".to_owned()),
        ("__interval_ms", "5000".to_owned()),
        ("__auto", "5s".to_owned()),
        ("__range", format!("{seconds}s")),
        ("__range_s", seconds.to_string()),
        ("__from", format!("{:.0}", from * 1000.0)),
        ("__to", format!("{:.0}", to * 1000.0)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// The values of a variable, now.
fn values(system: &System, variable: &Variable) -> Vec<String> {
    let values: BTreeSet<String> = match &variable.values {
        Values::Prometheus { selector, label } => {
            let series = system.stack.prometheus.series(&[selector]).unwrap();
            series.into_iter().filter_map(|mut it| it.remove(label)).collect()
        }
        Values::Loki { label } => system.stack.loki.label_values(label).unwrap(),
        Values::Listed(values) => values.iter().cloned().collect(),
    };
    assert!(!values.is_empty(), "{variable:?} has no values");
    values.into_iter().chain(variable.all.clone()).collect()
}

/// A value for each variable of a dashboard.
type Choice = BTreeMap<String, String>;

/// Every way to choose a value for each variable of a dashboard; the last is all of everything.
fn choices(system: &System, dashboard: &Dashboard) -> Vec<Choice> {
    let mut choices = vec![Choice::new()];
    for variable in &dashboard.variables {
        let values = values(system, variable);
        let with = |choice: &Choice, value: &String| {
            let mut choice = choice.clone();
            choice.insert(variable.name.clone(), value.clone());
            choice
        };
        choices =
            choices.iter().flat_map(|it| values.iter().map(move |value| with(it, value))).collect();
    }
    choices
}

/// The labels of what a query finds, asked as a panel of this time asks: of each series that has a value; of each stream of lines; of a trace,
/// none.
fn found(
    system: &System,
    (from, to): Span,
    query: &Query,
    text: &str,
) -> Result<Vec<BTreeMap<String, String>>, String> {
    match &*query.source {
        "prometheus" => {
            let series = system.stack.prometheus.query_range(text, from, to, 5.0);
            let series = series.map_err(|error| format!("{error:#}"))?;
            let valued = series.into_iter().filter(|it| it.points.iter().any(|it| !it.1.is_nan()));
            Ok(valued.map(|it| it.labels).collect())
        }
        "loki" => {
            let found = system.stack.loki.range(text, from, to).map_err(|it| format!("{it:#}"))?;
            let labels = list(&found).map(|it| {
                // A metric's series has its labels there, a stream here.
                let labels = [&it["metric"], &it["stream"]].into_iter().find(|it| it.is_object());
                serde_json::from_value(labels.cloned().unwrap_or_default()).unwrap_or_default()
            });
            Ok(labels.collect())
        }
        "jaeger" => {
            let parameter = |name: &str| query.target[name].as_str().unwrap_or_default();
            let tags = as_json(parameter("tags"));
            let asked = [
                ("service", parameter("service")),
                ("operation", parameter("operation")),
                ("tags", &*tags),
                ("limit", "20"),
            ];
            let asked: Vec<_> = asked.into_iter().filter(|(_, value)| !value.is_empty()).collect();
            let found = system.stack.jaeger.search(&asked).map_err(|it| format!("{it:#}"))?;
            Ok(list(&found["data"]).map(|_| BTreeMap::new()).collect())
        }
        other => Err(format!("nobody provisions the data source {other:?}")),
    }
}

fn has_data(system: &System, span: Span, query: &Query, text: &str) -> Result<bool, String> {
    found(system, span, query, text).map(|it| !it.is_empty())
}

/// Grafana's form takes tags as logfmt (`error=true`), and asks Jaeger with an object of strings.
fn as_json(tags: &str) -> String {
    let pairs: BTreeMap<&str, &str> =
        tags.split_whitespace().filter_map(|it| it.split_once('=')).collect();
    if pairs.is_empty() { String::new() } else { json!(pairs).to_string() }
}

/// The queries that may have no data while nothing is wrong, by their places, and the fault that fills each.
fn may_be_empty() -> BTreeMap<String, String> {
    let file = fs::read_to_string(root().join("grafana/empty.json")).unwrap();
    let empty: BTreeMap<String, String> = serde_json::from_str(&file).unwrap();
    assert!(empty.len() <= EMPTY_AT_MOST, "{empty:#?}");
    empty
}

/// What stands for each variable where everything is chosen.
pub(super) fn everything(
    system: &System,
    load: &Load,
    dashboard: &Dashboard,
) -> BTreeMap<String, String> {
    let mut values = builtin((load.began, now()));
    values.extend(choices(system, dashboard).pop().expect("there is one choice at least"));
    values
}

/// The labels of what a query finds whose variables are filled in.
pub(super) fn series(
    system: &System,
    load: &Load,
    query: &Query,
    text: &str,
) -> Result<Vec<BTreeMap<String, String>>, String> {
    found(system, (load.began, now()), query, text)
}

/// What can be chosen for a variable of a dashboard.
#[track_caller]
pub(super) fn values_of(system: &System, dashboard: &Dashboard, name: &str) -> Vec<String> {
    let variable = dashboard.variables.iter().find(|it| it.name == name);
    values(system, variable.unwrap_or_else(|| panic!("{} has no variable {name}", dashboard.uid)))
}

/// Whether a query without variables has data.
pub(super) fn finds(system: &System, load: &Load, query: &Query) -> Result<bool, String> {
    has_data(system, (load.began, now()), query, &query.text)
}

/// The choices for which a query has to have data: where all is chosen, and of Prometheus for each service by itself.
fn wanted<'a>(query: &Query, choices: &'a [Choice]) -> Vec<&'a Choice> {
    let all = choices.last().expect("there is one choice at least");
    let but_for_service =
        |it: &&Choice| it.iter().all(|(name, value)| name == "service_name" || all[name] == *value);
    if query.source == "prometheus" {
        choices.iter().filter(but_for_service).collect()
    } else {
        vec![all]
    }
}

pub(super) fn each_query_has_data(system: &System, load: &Load) {
    let span = (load.began, now());
    let early = (load.first, load.first + EARLY);
    let (builtin, of_early) = (builtin(span), builtin(early));
    let mut not_yet = Vec::new();
    let mut wrong = Vec::new();
    let mut slowest = (0.0, String::new());
    let dashboards = shipped::dashboards();
    let (mut asked, mut empty) = (0, may_be_empty());
    for dashboard in &dashboards {
        let choices = choices(system, dashboard);
        for query in dashboard.queries.iter().chain(&dashboard.annotations) {
            let mut without = Vec::new();
            for choice in &choices {
                let mut values = builtin.clone();
                values.extend(choice.clone());
                let text = filled(&query.text, &values);
                let begun = Instant::now();
                match has_data(system, span, query, &text) {
                    Ok(true) => {}
                    Ok(false) => without.push(choice),
                    Err(error) => wrong.push(format!("{}: {error}", query.place)),
                }
                let took = begun.elapsed().as_secs_f64();
                if took > slowest.0 {
                    slowest = (took, query.place.clone());
                }
            }
            let data = without.len() < choices.len();
            let wanted = wanted(query, &choices);
            let missing: Vec<_> = without.into_iter().filter(|it| wanted.contains(it)).collect();
            if data && !missing.is_empty() {
                wrong.push(format!("{} has no data for {missing:?}", query.place));
            }
            let found_early = |choice: &Choice| {
                let mut values = of_early.clone();
                values.extend(choice.clone());
                has_data(system, early, query, &filled(&query.text, &values)) == Ok(true)
            };
            if data && query.source == "prometheus" && !choices.iter().any(found_early) {
                not_yet.push(&*query.place);
            }
            asked += 1;
            match (data, empty.remove(&query.place)) {
                (false, None) => wrong.push(format!("{} has no data: {}", query.place, query.text)),
                (true, Some(fault)) => {
                    wrong.push(format!("{} has data without {fault}", query.place));
                }
                _ => {}
            }
        }
    }
    wrong.extend(empty.into_keys().map(|it| format!("grafana/empty.json: there is no {it}")));
    for (place, query) in runbooks().into_iter().chain(recorded()) {
        asked += 1;
        let query = Query::of(&place, &query.0, &json!({ "expr": query.1 }));
        match has_data(system, span, &query, &query.text) {
            Ok(true) => {}
            Ok(false) => wrong.push(format!("{place} has no data: {}", query.text)),
            Err(error) => wrong.push(format!("{place}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "of {asked} queries:\n{}", wrong.join("\n"));
    eprintln!(
        "operators {asked} queries have data; the slowest took {:.3} s: {}",
        slowest.0, slowest.1
    );
    let (count, not_yet) = (not_yet.len(), not_yet.join(", "));
    eprintln!(
        "operators {EARLY} s after the first request {count} queries of panels had none: {not_yet}"
    );
}

/// Place, and data source and query, of each block of the runbooks.
pub(super) fn runbooks() -> Vec<(String, (String, String))> {
    let mut queries = Vec::new();
    let mut files: Vec<_> =
        fs::read_dir(root().join("docs/runbooks")).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    for file in files {
        let document = fs::read_to_string(&file).unwrap();
        let mut lines = document.lines();
        while let Some(line) = lines.next() {
            let source = match line.trim() {
                "```promql" => "prometheus",
                "```logql" => "loki",
                _ => continue,
            };
            let query: Vec<&str> = lines.by_ref().take_while(|it| it.trim() != "```").collect();
            let name = file.file_name().unwrap().to_string_lossy();
            let place = format!("docs/runbooks/{name}: {}", query.join(" "));
            queries.push((place, (source.to_owned(), query.join("\n"))));
        }
    }
    queries
}

/// Every recording rule by its name: what it has recorded, with the labels that it gives.
fn recorded() -> Vec<(String, (String, String))> {
    let mut rules = Vec::new();
    for (file, rule) in shipped::rules() {
        if let Some(name) = rule["record"].as_str() {
            let labels = rule["labels"].as_object().into_iter().flatten();
            let labels: Vec<String> = labels.map(|(name, it)| format!("{name}={it}")).collect();
            let query = format!("{name}{{{}}}", labels.join(", "));
            rules.push((format!("{file}: {query}"), ("prometheus".to_owned(), query)));
        }
    }
    rules
}

/// What the panels of the dashboard Service show is compared with what was measured in the same time, all of which is within the load: rate
/// and quantile at its end, when nothing fails any more, the ratio of errors where it has the failures behind it.
pub(super) fn each_figure_is_that_of_the_load(system: &System, load: &Load) {
    let dashboards = shipped::dashboards();
    let service = dashboards.iter().find(|it| it.uid == "service").expect("there is one");
    let query = |title: &str| {
        let found = service.queries.iter().find(|it| it.panel == title);
        found.unwrap_or_else(|| panic!("the dashboard Service has no panel {title:?}"))
    };
    let [rate, errors, p95] = ["Requests per second", "Error ratio", "p95"].map(query);
    let calm = load.ended - 1.0;
    let mut wrong = Vec::new();
    for (name, requests) in served(system, load) {
        let shown = |query: &Query, time: f64| -> f64 {
            let mut values = builtin((load.began, now()));
            values.insert("service_name".to_owned(), name.clone());
            let text = filled(&query.text, &values);
            let series = system.stack.prometheus.query_at(&text, time).unwrap();
            assert_eq!(series.len(), 1, "{}: one series of a service: {series:?}", query.place);
            series[0].value
        };
        // The requests between the scrapes that the panel sees: `rate` takes those for the whole window.
        let window = |time: f64| -> (f64, Vec<&Served>) {
            let scrapes = format!("up{{service_name=\"{name}\"}}[{RATE_INTERVAL}]");
            let scrapes = system.stack.prometheus.samples(&scrapes, time).unwrap();
            let times = || scrapes.iter().flat_map(|it| &it.points).map(|(time, _)| *time);
            let [from, to] = [times().fold(f64::MAX, f64::min), times().fold(f64::MIN, f64::max)];
            assert!(load.began < from && to < load.ended, "{from} to {to} is within the load");
            (to - from, requests.iter().filter(|it| (from..to).contains(&it.ended)).collect())
        };

        let (seconds, all) = window(calm);
        let (value, measured) = (shown(rate, calm), all.len() as f64 / seconds);
        if (value - measured).abs() > 0.05 * measured {
            wrong.push(format!("{name}: {value:.2} requests/s are {measured:.2}"));
        }

        let (_, all) = window(load.failed);
        let failed = all.iter().filter(|it| it.status >= 500).count() as f64 / all.len() as f64;
        let value = shown(errors, load.failed);
        // A first failure of a kind is a new series, of which `rate` does not know that it began at 0: three requests are let go.
        if (value - failed).abs() > 0.1 * failed + 3.0 / all.len() as f64 {
            wrong.push(format!("{name}: an error ratio of {value:.4} is {failed:.4}"));
        }

        let (_, all) = window(calm);
        let mut seconds: Vec<f64> = all.iter().map(|it| it.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        let measured = seconds[(seconds.len() * 95).div_ceil(100) - 1];
        let value = shown(p95, calm);
        if bucket(value).abs_diff(bucket(measured)) > 1 {
            wrong.push(format!("{name}: a p95 of {value:.4} s is {measured:.4} s"));
        }
    }
    assert!(wrong.is_empty(), "what panels show is wrong:\n{}", wrong.join("\n"));
}

/// A served request.
struct Served {
    status: u64,
    seconds: f64,
    /// Seconds since 1970.
    ended: f64,
}

/// What each service has served: of the gateway, what the load generator got; of those behind it, the server spans that Jaeger has.
fn served(system: &System, load: &Load) -> Vec<(String, Vec<Served>)> {
    let answered = load.answers.iter().map(|it: &Answer| Served {
        status: it.status.into(),
        seconds: it.latency_ms / 1000.0,
        ended: it.ended_unix_ms as f64 / 1000.0,
    });
    let mut all = vec![("gateway".to_owned(), answered.collect())];
    for service in ["accounts", "catalog", "wallet"] {
        let found =
            system.stack.jaeger.search(&[("service", service), ("limit", "10000")]).unwrap();
        let spans = list(&found["data"]).flat_map(|trace| {
            let one = json!({ "data": [trace] });
            Trace::from(&one).unwrap().spans
        });
        let of_it = spans.filter(|it| it.service == service && it.tags["span.kind"] == "server");
        let served = of_it.map(|it| Served {
            status: it.tags.get("http.response.status_code").and_then(Value::as_u64).unwrap_or(0),
            seconds: it.duration as f64 / 1e6,
            ended: (it.start + it.duration) as f64 / 1e6,
        });
        all.push((service.to_owned(), served.collect()));
    }
    all
}

/// In which bucket of a duration's histogram a value is; one that is computed may be a bit over a bound.
fn bucket(seconds: f64) -> usize {
    BOUNDS.iter().filter(|bound| seconds > **bound * 1.0001).count()
}
