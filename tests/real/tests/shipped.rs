//! What is shipped for operators says: dashboards, their queries and variables, data sources and their links, rules.

use std::{collections::BTreeMap, fs};

use serde_json::Value;

use crate::harness::root;

/// A query that somebody's eyes will depend on.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// Where it is: `service: Error ratio: A`.
    pub(crate) place: String,
    /// The title of its panel, where it has one.
    pub(crate) panel: String,
    /// The uid of its data source.
    pub(crate) source: String,
    pub(crate) text: String,
    /// All of the target, as Grafana has it.
    pub(crate) target: Value,
}

impl Query {
    /// One as a panel, an annotation or Explore has it.
    pub(crate) fn of(place: &str, source: &str, target: &Value) -> Query {
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
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) values: Values,
    /// What stands for all values, where that can be chosen.
    pub(crate) all: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Values {
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
pub(crate) struct Dashboard {
    pub(crate) uid: String,
    pub(crate) queries: Vec<Query>,
    pub(crate) annotations: Vec<Query>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) links: Vec<Link>,
}

/// From a panel to another dashboard, or to Explore.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// The panel: `service: Error ratio`.
    pub(crate) place: String,
    pub(crate) url: String,
    /// Of each series or row, whose labels it may use: what the panel asks for. A link of the panel itself has none.
    pub(crate) of_series: Vec<Query>,
}

pub(crate) fn dashboards() -> Vec<Dashboard> {
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
    let (mut queries, mut links) = (Vec::new(), Vec::new());
    for panel in panels(json) {
        let title = text(&panel["title"]);
        let first = queries.len();
        for target in list(&panel["targets"]) {
            let source = [&target["datasource"]["uid"], &panel["datasource"]["uid"]];
            let source = source.iter().find_map(|it| it.as_str()).unwrap_or_default();
            let place = format!("{uid}: {title}: {}", text(&target["refId"]));
            queries.push(Query { panel: title.clone(), ..Query::of(&place, source, target) });
        }
        let link = |url: &Value, of_series| Link {
            place: format!("{uid}: {title}"),
            url: text(&url["url"]),
            of_series,
        };
        links.extend(list(&panel["links"]).map(|it| link(it, Vec::new())));
        let of_series = list(&panel["fieldConfig"]["defaults"]["links"]);
        links.extend(of_series.map(|it| link(it, queries[first..].to_vec())));
    }
    let annotations = list(&json["annotations"]["list"]).filter(|it| it["builtIn"] != 1);
    let annotations = annotations.map(|it| {
        let place = format!("{uid}: annotation {}", text(&it["name"]));
        Query::of(&place, &text(&it["datasource"]["uid"]), it)
    });
    let annotations = annotations.collect();
    let variables = list(&json["templating"]["list"]).map(Variable::from).collect();
    Dashboard { uid, queries, annotations, variables, links }
}

/// Those of rows, too.
fn panels(json: &Value) -> Vec<&Value> {
    list(&json["panels"])
        .flat_map(|panel| std::iter::once(panel).chain(list(&panel["panels"])))
        .collect()
}

pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// All rules of `prometheus/rules`, with the file of each.
pub(crate) fn rules() -> Vec<(String, Value)> {
    let mut rules = Vec::new();
    for folder in ["prometheus/rules", "prometheus/rules/objectives"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let file: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let all = list(&file["groups"]).flat_map(|group| list(&group["rules"]));
            rules.extend(all.map(|rule| (format!("{folder}/{name}"), rule.clone())));
        }
    }
    rules
}

/// The data sources by their uid, as Grafana reads them: `$$` is one `$`.
pub(crate) fn data_sources() -> BTreeMap<String, Value> {
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
pub(crate) fn filled(text: &str, values: &BTreeMap<String, String>) -> String {
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
