//! What the provisioned files of Grafana say: dashboards, their queries and variables, data sources and their links.

use std::{collections::BTreeMap, fs};

use serde_json::Value;

use crate::harness::root;

/// A query that somebody's eyes will depend on.
#[derive(Clone, Debug)]
pub(super) struct Query {
    /// Where it is: `service: Error ratio: A`.
    pub(super) place: String,
    /// The title of its panel, where it has one.
    pub(super) panel: String,
    /// The uid of its data source.
    pub(super) source: String,
    pub(super) text: String,
    /// All of the target, as Grafana has it.
    pub(super) target: Value,
}

impl Query {
    /// One as a panel, an annotation or Explore has it.
    pub(super) fn of(place: &str, source: &str, target: &Value) -> Query {
        let texts = ["expr", "query"].map(|name| target[name].as_str());
        Query {
            place: place.to_owned(),
            panel: String::new(),
            source: source.to_owned(),
            text: texts.into_iter().flatten().next().unwrap_or_default().to_owned(),
            target: target.clone(),
        }
    }
}

/// A variable of a dashboard, and where its values are from.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) values: Values,
    /// What stands for all values, where that can be chosen.
    pub(super) all: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Values {
    /// Of a label of the series that a selector finds.
    Prometheus { selector: String, label: String },
    /// Of a label of Loki.
    Loki { label: String },
    /// These.
    Listed(Vec<String>),
}

impl Variable {
    fn from(json: &Value) -> Variable {
        let query = &json["query"];
        let values = match (json["type"].as_str(), json["datasource"]["uid"].as_str()) {
            (Some("query"), Some("prometheus")) => {
                let query = text(&query["query"]);
                let inside =
                    query.strip_prefix("label_values(").and_then(|it| it.strip_suffix(')'));
                let inside = inside.and_then(|it| it.rsplit_once(','));
                let (selector, label) =
                    inside.unwrap_or_else(|| panic!("{query}: label_values(selector, label)"));
                Values::Prometheus { selector: selector.to_owned(), label: label.trim().to_owned() }
            }
            (Some("query"), Some("loki")) => Values::Loki { label: text(&query["label"]) },
            (Some("custom"), _) => {
                Values::Listed(text(query).split(',').map(str::to_owned).collect())
            }
            (Some("textbox"), _) => Values::Listed(vec![text(query)]),
            other => panic!("nobody knows variables of {other:?}: {json}"),
        };
        let all = (json["includeAll"] == true).then(|| text(&json["allValue"]));
        Variable { name: text(&json["name"]), values, all }
    }
}

#[derive(Debug)]
pub(super) struct Dashboard {
    pub(super) uid: String,
    pub(super) queries: Vec<Query>,
    pub(super) annotations: Vec<Query>,
    pub(super) variables: Vec<Variable>,
    /// Of its panels: from where to where.
    pub(super) links: Vec<(String, String)>,
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
            let source = source.iter().find_map(|it| it.as_str()).unwrap_or_default();
            let place = format!("{uid}: {title}: {}", text(&target["refId"]));
            queries.push(Query { panel: title.clone(), ..Query::of(&place, source, target) });
        }
    }
    let annotations = list(&json["annotations"]["list"]).filter(|it| it["builtIn"] != 1);
    let annotations = annotations.map(|it| {
        let place = format!("{uid}: annotation {}", text(&it["name"]));
        Query::of(&place, &text(&it["datasource"]["uid"]), it)
    });
    let annotations = annotations.collect();
    let variables = list(&json["templating"]["list"]).map(Variable::from).collect();
    let links = panels(json).into_iter().flat_map(|panel| {
        let place = format!("{uid}: {}", text(&panel["title"]));
        list(&panel["links"]).map(move |it| (place.clone(), text(&it["url"]))).collect::<Vec<_>>()
    });
    let links = links.collect();
    Dashboard { uid, queries, annotations, variables, links }
}

/// Those of rows, too.
fn panels(json: &Value) -> Vec<&Value> {
    list(&json["panels"])
        .flat_map(|panel| std::iter::once(panel).chain(list(&panel["panels"])))
        .collect()
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
