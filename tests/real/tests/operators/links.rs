//! From an exemplar to its trace, to its lines, back to the trace, and to the metrics of its span: with the links that are provisioned, not
//! with others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use real::stack::Exemplar;
use serde_json::Value;

use super::{
    panels,
    system::{Load, System},
};
use crate::{
    harness::{Span, Trace, root},
    shipped::{Link, Query, dashboards, data_sources, filled, list, text},
};

/// How many exemplars are followed at least, of how many traces, and how many of failures.
const EXEMPLARS: usize = 200;
const TRACES: usize = 150;
const FAILED: usize = 20;

pub(super) fn each_leads_there_and_back(system: &System) {
    let names: BTreeSet<String> =
        ["deployment_environment_name", "service_name"].map(str::to_owned).into();
    assert_eq!(system.stack.loki.labels().unwrap(), names, "the labels of Loki are the contract's");

    let links = Links::provisioned();
    let exemplars =
        system.stack.prometheus.exemplars("http_server_request_duration_seconds_bucket").unwrap();
    let traces: BTreeSet<String> = exemplars.iter().map(|it| links.trace_of(it)).collect();
    let status = |it: &Exemplar| it.series.get("http_response_status_code").cloned();
    let failed = exemplars.iter().filter(|it| status(it).is_some_and(|it| it.starts_with('5')));
    let failed = failed.count();
    let journeys: BTreeSet<(String, String)> = exemplars
        .iter()
        .filter_map(|it| {
            Some((it.series["service_name"].clone(), it.series.get("journey")?.clone()))
        })
        .collect();
    assert_eq!(journeys, objectives(), "services and journeys that have exemplars");
    assert!(
        exemplars.len() >= EXEMPLARS && traces.len() >= TRACES && failed >= FAILED,
        "{} exemplars of {} traces, {failed} of failures",
        exemplars.len(),
        traces.len(),
    );

    let mut broken = Vec::new();
    for id in &traces {
        if let Err(error) = links.follow(system, id) {
            broken.push(format!("{id}: {error}"));
        }
    }
    assert!(broken.is_empty(), "{} of {}:\n{}", broken.len(), traces.len(), broken.join("\n"));
    eprintln!(
        "{} exemplars of {} traces lead there and back, {failed} of failures",
        exemplars.len(),
        traces.len()
    );
}

/// Each service and journey that has an objective.
fn objectives() -> BTreeSet<(String, String)> {
    let files = fs::read_dir(root().join("prometheus/objectives")).unwrap();
    let files = files.map(|it| fs::read_to_string(it.unwrap().path()).unwrap());
    let files = files.map(|it| serde_saphyr::from_str::<Value>(&it).unwrap());
    let pairs = files.flat_map(|file| {
        let pair = |slo: &Value| (text(&file["service"]), text(&slo["labels"]["journey"]));
        list(&file["slos"]).map(pair).collect::<Vec<_>>()
    });
    pairs.collect()
}

/// The links of `grafana/provisioning/datasources`.
struct Links {
    /// The label of an exemplar that has the trace.
    exemplar_label: String,
    /// From a span to its lines.
    logs_query: String,
    /// From a line to its trace: the label that has it.
    line_label: String,
    line_url: String,
    /// From a span to its metrics: attributes to labels, and queries.
    metric_tags: Vec<(String, String)>,
    metric_queries: Vec<String>,
}

impl Links {
    fn provisioned() -> Links {
        let sources = data_sources();
        let exemplar = &sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"][0];
        assert_eq!(exemplar["datasourceUid"], "jaeger");
        let jaeger = &sources["jaeger"]["jsonData"];
        let logs = &jaeger["tracesToLogsV2"];
        assert_eq!(logs["datasourceUid"], "loki");
        assert_eq!(logs["customQuery"], true);
        let metrics = &jaeger["tracesToMetrics"];
        assert_eq!(metrics["datasourceUid"], "prometheus");
        let field = &sources["loki"]["jsonData"]["derivedFields"][0];
        assert_eq!(field["datasourceUid"], "jaeger");
        assert_eq!(field["matcherType"], "label");
        Links {
            exemplar_label: text(&exemplar["name"]),
            logs_query: text(&logs["query"]),
            line_label: text(&field["matcherRegex"]),
            line_url: text(&field["url"]),
            metric_tags: list(&metrics["tags"])
                .map(|it| (text(&it["key"]), text(&it["value"])))
                .collect(),
            metric_queries: list(&metrics["queries"]).map(|it| text(&it["query"])).collect(),
        }
    }

    fn trace_of(&self, exemplar: &Exemplar) -> String {
        exemplar.labels[&self.exemplar_label].clone()
    }

    /// All of the way from a trace's id.
    fn follow(&self, system: &System, id: &str) -> Result<(), String> {
        let url = format!("{}/api/traces/{id}", system.stack.jaeger.url());
        let reply = system.app.open(&url);
        let trace = Trace::from(&reply.json).ok_or_else(|| format!("Jaeger said {reply:?}"))?;
        let orphans = trace.orphans();
        if !orphans.is_empty() {
            return Err(format!("it is not whole: {orphans:?}"));
        }
        let served: Vec<&Span> =
            trace.spans.iter().filter(|it| it.tags["span.kind"] == "server").collect();
        let span = served.first().ok_or("it has no server span")?;
        self.lines(system, id, span)?;
        for span in served {
            self.metrics(system, span)?;
        }
        Ok(())
    }

    /// Its lines, and from each of them back to it.
    fn lines(&self, system: &System, id: &str, span: &Span) -> Result<(), String> {
        let values = [("__trace.traceId", id), ("__span.spanId", &*span.id)];
        let values: BTreeMap<String, String> =
            values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let query = filled(&self.logs_query, &values);
        let lines = system.stack.loki.query(&query).map_err(|it| format!("{it:#}"))?;
        if lines.is_empty() {
            return Err(format!("{query} finds no line"));
        }
        for line in lines {
            let found = line.labels.get(&self.line_label).or(line.metadata.get(&self.line_label));
            let raw = found.ok_or_else(|| format!("{line:?} has no {}", self.line_label))?;
            let values = BTreeMap::from([("__value.raw".to_owned(), raw.clone())]);
            let back = filled(&self.line_url, &values);
            if back != id {
                return Err(format!("{line:?} leads to {back:?}"));
            }
        }
        Ok(())
    }

    /// Metrics of a span, as Grafana asks for them.
    fn metrics(&self, system: &System, span: &Span) -> Result<(), String> {
        let tags = self.metric_tags.iter().filter_map(|(attribute, label)| {
            let value = span.tags.get(attribute)?;
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Some(format!("{label}=\"{value}\""))
        });
        let tags = tags.collect::<Vec<_>>().join(", ");
        if tags.is_empty() {
            return Err(format!("{span:?} has none of the attributes that lead to metrics"));
        }
        let mut values = BTreeMap::from([("__tags".to_owned(), tags)]);
        values.insert("__rate_interval".to_owned(), "20s".to_owned());
        let middle = span.start as f64 / 1e6;
        let mut data = false;
        for query in &self.metric_queries {
            let query = filled(query, &values);
            let series =
                system.stack.prometheus.query_range(&query, middle - 60.0, middle + 60.0, 5.0);
            let series = series.map_err(|it| format!("{it:#}"))?;
            // There is no quantile of what came once.
            data |= series.iter().any(|it| it.points.iter().any(|(_, value)| !value.is_nan()));
        }
        if data { Ok(()) } else { Err(format!("no metrics of {} have data", span.name)) }
    }
}

/// Each link of a panel, as a browser reads it where everything is chosen, and each link of a series, for every series that the panel shows. What
/// is passed to another dashboard is a value that can be chosen there; in Explore, lines and traces are found, and metrics can be asked: the
/// panels have been, already.
pub(super) fn each_panel_leads_on(system: &System, load: &Load) {
    let dashboards = dashboards();
    let (mut explored, mut chosen) = (BTreeMap::new(), BTreeMap::new());
    for dashboard in &dashboards {
        let everything = panels::everything(system, load, dashboard);
        for link in &dashboard.links {
            for values in of_series(system, load, link, &everything) {
                for query in in_explore(&link.url, &values) {
                    let key = (query.source.clone(), query.target.to_string());
                    explored.insert(key, Query { place: link.place.clone(), ..query });
                }
                let choices = in_dashboard(&link.url, &values).into_iter();
                chosen.extend(choices.map(|it| (it, &*link.place)));
            }
        }
    }
    let mut wrong = Vec::new();
    for query in explored.values() {
        let place = &query.place;
        match panels::finds(system, load, query) {
            Ok(found) if found || query.source == "prometheus" => {}
            Ok(_) => wrong.push(format!("{place} finds nothing by {}", query.target)),
            Err(error) => wrong.push(format!("{place} asks {}: {error}", query.text)),
        }
    }
    for ((uid, name, value), place) in &chosen {
        let to = dashboards.iter().find(|it| it.uid == *uid).expect("it is a dashboard");
        let known = panels::values_of(system, to, name);
        if !known.contains(value) {
            wrong.push(format!("{place}: {uid} has no {name} {value:?}, but {known:?}"));
        }
    }
    let counted =
        format!("{} queries in Explore, {} choices in dashboards", explored.len(), chosen.len());
    assert!(wrong.is_empty(), "of {counted}:\n{}", wrong.join("\n"));
    assert!(explored.len() > 30 && chosen.len() > 10, "{counted}");
    eprintln!("operators {counted}");
}

/// The values for a link of a panel, or for the link of each of its series.
fn of_series(
    system: &System,
    load: &Load,
    link: &Link,
    chosen: &BTreeMap<String, String>,
) -> Vec<BTreeMap<String, String>> {
    if link.of_series.is_empty() {
        return vec![chosen.clone()];
    }
    let series = link.of_series.iter().flat_map(|query| {
        let text = filled(&query.text, chosen);
        panels::series(system, load, query, &text)
            .unwrap_or_else(|error| panic!("{}: {error}", query.place))
    });
    let with = |labels: BTreeMap<String, String>| {
        let mut values = chosen.clone();
        for (name, value) in labels {
            // A table's columns are named by the panel: the overview's is that of the services.
            if name == "service_name" {
                values.insert("__data.fields.Service".to_owned(), value.clone());
            }
            values.insert(format!("__field.labels.{name}"), value);
        }
        values
    };
    series.map(with).collect()
}

/// What an address chooses in the dashboard that it opens, where that is not what is chosen already: dashboard, variable, value.
fn in_dashboard(url: &str, values: &BTreeMap<String, String>) -> Vec<(String, String, String)> {
    let Some((uid, query)) = url.strip_prefix("/d/").and_then(|it| it.split_once('?')) else {
        return Vec::new();
    };
    let choices = query.split('&').filter_map(|it| it.strip_prefix("var-")?.split_once('='));
    choices.map(|(name, value)| (uid.to_owned(), name.to_owned(), filled(value, values))).collect()
}

/// The queries that an address opens in Explore.
fn in_explore(url: &str, values: &BTreeMap<String, String>) -> Vec<Query> {
    let query = url.strip_prefix("/explore?").unwrap_or_default();
    let Some(panes) = query.split('&').find_map(|it| it.strip_prefix("panes=")) else {
        return Vec::new();
    };
    let panes: Value = serde_json::from_str(&decoded(&filled(panes, values))).unwrap();
    let queries = panes.as_object().unwrap().values().flat_map(|pane| {
        let source = text(&pane["datasource"]);
        list(&pane["queries"]).map(move |query| Query::of("", &source, query))
    });
    queries.collect()
}

/// `%7B` is `{`, and `+` a space.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = (*first == b'%').then(|| std::str::from_utf8(&after[..2]).unwrap());
        let plain = if *first == b'+' { b' ' } else { *first };
        let byte = code.map_or(plain, |it| u8::from_str_radix(it, 16).unwrap());
        bytes.push(byte);
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap()
}
