//! The registry of names (`observability/schema`) and the program agree, in both directions: nothing is emitted that is not declared, and
//! nothing declared that is never seen.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{App, PASSWORD, Shape, eventually, root},
    registry::{Schema, label},
};

/// The sidecar has books about what it hands on only where it does. Nobody is there to take it.
const DESTINATION: (&str, &str) = ("SIDECAR_LOGS_ENDPOINT", "http://127.0.0.1:1");

/// There are books about tracing-loki only where it is used.
const LOKI: (&str, &str) = ("LOKI_URL", "http://127.0.0.1:1");

fn registry() -> Schema {
    Schema::read(&root()).unwrap_or_else(|error| panic!("{error:#}"))
}

/// One series of a scrape.
#[derive(Debug)]
struct Series {
    family: String,
    labels: BTreeMap<String, String>,
}

fn scrape(text: &str) -> Vec<Series> {
    let histograms: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" histogram"))
        .collect();
    let series =
        text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
            let name = line.split(['{', ' ']).next().unwrap();
            let base =
                ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let family = base.filter(|base| histograms.contains(base)).unwrap_or(name);
            let labels = line.find('{').map_or("", |at| &line[at + 1..line.rfind('}').unwrap()]);
            let labels = labels.split("\",").filter_map(|pair| pair.split_once("=\""));
            let labels =
                labels.map(|(key, value)| (key.to_owned(), value.trim_end_matches('"').to_owned()));
            Series {
                family: family.to_owned(),
                labels: labels.filter(|(key, _)| key != "le").collect(),
            }
        });
    series.collect()
}

/// Does a bit of everything, so that everything is emitted once.
fn live(app: &App) {
    let ada = app.someone("ada");
    let song = app.post("/api/musics/", &ada, json!({"title": "Moor", "artist": "Fen"}));
    let path = song.header("location").to_owned();
    app.get(&path, &ada);
    app.call(Method::PATCH, &path, &ada, Some(json!({"genre": "folk"})));
    app.call(Method::PUT, &path, &ada, Some(json!({"title": "Moor", "artist": "Fen"})));
    app.get("/api/musics/?search=moor&count=true&artist=fen&created_by=ada", &ada);
    app.get("/api/musics/?genre=folk", &ada);
    assert_eq!(app.import(&ada, "title,artist\nHeath,Fen\nHeath,Fen\n,Fen\n").status, 200);
    app.call(Method::DELETE, &path, &ada, None);
    app.import_library(&ada, "title,artist\nHeath,Fen\nMire,Fen\n");
    app.call(Method::POST, "/api/users/1/add_fav_music/", &ada, None);
    app.call(Method::DELETE, "/api/users/1/remove_fav_music/", &ada, None);
    app.get("/api/users/", &ada);
    app.get("/api/users/1/favourites/", &ada);
    app.get("/api/export?format=json", &ada);
    app.post("/api/session/", "", json!({"username": "ada", "password": PASSWORD}));
    app.get("/api/musics/", "wrong");
    app.post("/api-token-auth/", "", json!({"username": "nobody", "password": "wrong wrong"}));
    app.post(
        "/api/users/",
        "",
        json!({"username": "ada", "email": "a@b.org", "password": PASSWORD}),
    );
    let basic = app.client().get(format!("{}/api/musics", app.url("gateway", "api")));
    assert_eq!(basic.basic_auth("ada", Some(PASSWORD)).send().unwrap().status(), 200);
}

#[test]
fn every_metric_is_declared_and_every_declared_metric_is_seen() {
    let registry = registry();
    let values = values(&registry);
    let mut app = App::start_with(Shape::One, &[DESTINATION, LOKI]);
    live(&app);
    app.start_prober();
    eventually("the prober has walked", || {
        app.metric("prober", "prober_success").ok_or("it is on its way")
    });
    let mut unseen: BTreeSet<_> =
        registry.metrics.keys().chain(&registry.imported_metrics).cloned().collect();
    let mut undeclared = BTreeSet::new();
    for service in ["gateway", "accounts", "catalog", "wallet", "sidecar", "prober"] {
        for series in scrape(&app.internal(service, "/metrics").text) {
            let family = &series.family;
            if let Some(metric) = registry.metrics.get(family) {
                unseen.remove(family);
                for (key, value) in &series.labels {
                    if !metric.labels.contains(key) {
                        undeclared.insert(format!("{service}: {family} has the label {key}"));
                    }
                    if values.get(key).is_some_and(|values| !values.contains(value.as_str())) {
                        undeclared.insert(format!("{service}: {family} has {key}={value}"));
                    }
                }
                continue;
            }
            let imported =
                registry.imported_metrics.iter().find(|name| family.starts_with(&**name));
            match imported {
                Some(name) => _ = unseen.remove(name),
                None => _ = undeclared.insert(format!("{service}: {family}")),
            }
        }
    }
    assert!(undeclared.is_empty(), "emitted, but not in observability/schema: {undeclared:#?}");
    assert!(unseen.is_empty(), "in observability/schema, but never emitted: {unseen:#?}");
}

#[test]
fn own_counters_are_described_and_begin_at_0() {
    let registry = registry();
    let mut app = App::start_with(Shape::One, &[DESTINATION, LOKI]);
    app.start_prober();
    let mut all = BTreeMap::new();
    for service in ["gateway", "accounts", "catalog", "wallet", "sidecar", "prober"] {
        let text = app.internal(service, "/metrics").text;
        for name in registry.metrics.keys().filter(|name| name.ends_with("_total")) {
            let here = text.lines().any(|line| line.starts_with(&format!("# HELP {name} ")))
                && text.lines().any(|line| {
                    line.starts_with(name.as_str()) && line[name.len()..].starts_with(['{', ' '])
                });
            *all.entry(name).or_insert(false) |= here;
        }
    }
    all.retain(|_, here| !*here);
    assert!(all.is_empty(), "without HELP, or not there before they count: {all:#?}");
    for series in [
        "catalog_musics_created_total{source=\"api\"}",
        "catalog_musics_created_total{source=\"import\"}",
        "catalog_musics_deleted_total",
        "catalog_import_rows_total{outcome=\"added\"}",
        "catalog_import_rows_total{outcome=\"already\"}",
        "catalog_import_rows_total{outcome=\"refused\"}",
    ] {
        assert_eq!(app.metric("catalog", series), Some(0.0), "{series}");
    }
}

#[test]
fn every_attribute_and_own_span_is_declared_and_every_declared_one_is_seen() {
    let registry = registry();
    let mut app = App::start(Shape::One);
    live(&app);
    app.start_prober();
    let (mut keys, mut internal) = (BTreeSet::new(), BTreeSet::new());
    eventually("every declared name is seen", || {
        for service in ["gateway", "accounts", "catalog", "wallet", "prober"] {
            let jaeger = app.url("sidecar", "jaeger");
            let traces =
                app.open(&format!("{jaeger}/api/traces?service={service}&limit=1000")).json;
            for span in traces["data"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|it| it["spans"].as_array().unwrap())
            {
                let tags: BTreeMap<&str, &Value> = span["tags"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|tag| (tag["key"].as_str().unwrap(), &tag["value"]))
                    .collect();
                if tags.get("span.kind").is_some_and(|kind| **kind == json!("internal")) {
                    internal.insert(span["operationName"].as_str().unwrap().to_owned());
                }
                keys.extend(tags.into_keys().map(str::to_owned));
            }
        }
        // What Jaeger's format adds by itself.
        for added in
            ["span.kind", "error", "otel.scope.name", "otel.scope.version", "otel.status_code"]
        {
            keys.remove(added);
        }
        let unseen: Vec<_> = span_attributes(&registry).difference(&keys).cloned().collect();
        let missing: Vec<_> = registry.spans.keys().filter(|it| !internal.contains(*it)).collect();
        if unseen.is_empty() && missing.is_empty() {
            Ok(())
        } else {
            Err(format!("{unseen:?} {missing:?}"))
        }
    });
    let undeclared: Vec<_> = keys.difference(&attributes(&registry)).cloned().collect();
    assert!(undeclared.is_empty(), "on spans, but not in observability/schema: {undeclared:?}");
    let undeclared: Vec<_> =
        internal.iter().filter(|it| !registry.spans.contains_key(*it)).collect();
    assert!(undeclared.is_empty(), "spans that are not in observability/schema: {undeclared:?}");
}

fn attributes(registry: &Schema) -> BTreeSet<String> {
    registry.attributes.keys().chain(&registry.imported_attributes).cloned().collect()
}

/// Those that are not labels of metrics only.
fn span_attributes(registry: &Schema) -> BTreeSet<String> {
    let labels: BTreeSet<&String> = registry.metrics.values().flat_map(|it| &it.labels).collect();
    attributes(registry).into_iter().filter(|it| !labels.contains(&label(it))).collect()
}

/// The values that a label may have, where they are a closed set.
fn values(registry: &Schema) -> BTreeMap<String, BTreeSet<&str>> {
    let closed = registry.attributes.iter().filter(|(_, it)| !it.values.is_empty());
    let closed = closed.map(|(name, it)| (label(name), it.values.iter().map(|it| it.0.as_str())));
    closed.map(|(label, values)| (label, values.collect())).collect()
}
