//! What the provisioned files of Grafana say: dashboards, their queries and variables, data sources and their links.

use std::{collections::BTreeMap, fs};

use serde_json::Value;

use crate::harness::root;

/// A query that somebody's eyes will depend on.
#[derive(Clone, Debug)]
pub(super) struct Query {
    /// Where it is: `service: Error ratio: A`.
    pub(super) place: String,
    pub(super) dashboard: String,
    pub(super) panel: String,
    /// The uid of its data source.
    pub(super) source: String,
    pub(super) text: String,
    /// All of the target, as Grafana has it.
    pub(super) target: Value,
}

/// A variable that a query gives its values.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) source: String,
    pub(super) query: String,
}

#[derive(Debug)]
pub(super) struct Dashboard {
    pub(super) uid: String,
    pub(super) queries: Vec<Query>,
    pub(super) annotations: Vec<Query>,
    pub(super) variables: Vec<Variable>,
}

pub(super) fn dashboards() -> Vec<Dashboard> {
    let mut files: Vec<_> = fs::read_dir(root().join("grafana/dashboards"))
        .unwrap()
        .map(|it| it.unwrap().path())
        .filter(|it| it.extension().is_some_and(|it| it == "json"))
        .collect();
    files.sort();
    let read = |path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    files.into_iter().map(|path| dashboard(&read(path))).collect()
}

fn dashboard(json: &Value) -> Dashboard {
    let uid = text(&json["uid"]);
    let mut queries = Vec::new();
    for panel in panels(json) {
        let title = text(&panel["title"]);
        for target in list(&panel["targets"]) {
            let source = [&target["datasource"]["uid"], &panel["datasource"]["uid"]];
            let source = source.iter().find_map(|it| it.as_str()).unwrap_or_default().to_owned();
            queries.push(Query {
                place: format!("{uid}: {title}: {}", text(&target["refId"])),
                dashboard: uid.clone(),
                panel: title.clone(),
                source,
                text: query_text(target),
                target: target.clone(),
            });
        }
    }
    let annotations = list(&json["annotations"]["list"]).filter(|it| it["builtIn"] != 1);
    let annotations = annotations.map(|it| Query {
        place: format!("{uid}: annotation {}", text(&it["name"])),
        dashboard: uid.clone(),
        panel: text(&it["name"]),
        source: text(&it["datasource"]["uid"]),
        text: query_text(it),
        target: it.clone(),
    });
    let annotations = annotations.collect();
    let variables = list(&json["templating"]["list"]).filter(|it| it["type"] == "query");
    let variables = variables.map(|it| Variable {
        name: text(&it["name"]),
        source: text(&it["datasource"]["uid"]),
        query: it["query"].as_str().map_or_else(|| text(&it["query"]["query"]), str::to_owned),
    });
    let variables = variables.collect();
    Dashboard { uid, queries, annotations, variables }
}

/// Those of rows, too.
fn panels(json: &Value) -> Vec<&Value> {
    list(&json["panels"])
        .flat_map(|panel| std::iter::once(panel).chain(list(&panel["panels"])))
        .collect()
}

fn query_text(target: &Value) -> String {
    let texts = ["expr", "query"].map(|name| target[name].as_str());
    texts.into_iter().flatten().next().unwrap_or_default().to_owned()
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The data sources by their uid, as Grafana reads them: `$$` is one `$`.
pub(super) fn data_sources() -> BTreeMap<String, Value> {
    let mut sources = BTreeMap::new();
    for entry in fs::read_dir(root().join("grafana/provisioning/datasources")).unwrap() {
        let path = entry.unwrap().path();
        let file: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for source in list(&file["datasources"]) {
            sources.insert(text(&source["uid"]), unescaped(source));
        }
    }
    sources
}

fn unescaped(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("$$", "$")),
        Value::Array(all) => all.iter().map(unescaped).collect(),
        Value::Object(all) => {
            all.iter().map(|(name, value)| (name.clone(), unescaped(value))).collect()
        }
        other => other.clone(),
    }
}

/// A text whose `$name`, `${name}`, `${name:format}` and `[[name]]` have their values; panics when one has none.
#[track_caller]
pub(super) fn filled(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, length) = if let Some(inside) = after.strip_prefix('{') {
            let end = inside.find('}').unwrap_or_else(|| panic!("no }} in {text}"));
            let name = inside[..end].split_once(':').map_or(&inside[..end], |(name, _)| name);
            (name, end + 2)
        } else {
            let end = after.find(|it: char| !(it.is_alphanumeric() || it == '_'));
            let end = end.unwrap_or(after.len());
            (&after[..end], end)
        };
        if name.is_empty() {
            filled.push('$');
        } else {
            let value = values.get(name).unwrap_or_else(|| panic!("no ${name} for {text}"));
            filled.push_str(value);
        }
        rest = &after[length..];
    }
    filled + rest
}
