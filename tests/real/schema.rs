//! The registry of names, `observability/schema`, as Prometheus shows them; and the document about them.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// The folder's files that declare something.
const FILES: [&str; 3] = ["metrics.yaml", "attributes.yaml", "spans.yaml"];

/// What is declared.
#[derive(Debug, Default)]
pub struct Schema {
    /// Our metrics by the name that Prometheus gives them.
    pub metrics: BTreeMap<String, Metric>,
    /// Metrics of the semantic conventions and of every client of Prometheus, by their names there.
    pub imported_metrics: Vec<String>,
    /// Our attributes by name.
    pub attributes: BTreeMap<String, Attribute>,
    /// Attributes of the semantic conventions.
    pub imported_attributes: Vec<String>,
    /// Our spans by name.
    pub spans: BTreeMap<String, String>,
}

/// A metric of ours.
#[derive(Debug)]
pub struct Metric {
    /// `counter`, `gauge` or `histogram`.
    pub instrument: String,
    /// As the conventions write it: `s`, `By`, `{item}`.
    pub unit: String,
    /// Its labels, as Prometheus writes them.
    pub labels: Vec<String>,
    /// A sentence.
    pub brief: String,
    /// Whether it counts what is lost: each of these has an alert.
    pub loss: bool,
}

/// An attribute of ours.
#[derive(Debug)]
pub struct Attribute {
    /// A sentence, where there is one.
    pub brief: String,
    /// The values that it may have and what each means, where they are a closed set.
    pub values: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    groups: Vec<Group>,
    #[serde(default)]
    imports: Imports,
}

#[derive(Default, Deserialize)]
struct Imports {
    #[serde(default)]
    metrics: Vec<String>,
    #[serde(default)]
    attributes: Vec<String>,
}

#[derive(Deserialize)]
struct Group {
    id: String,
    r#type: String,
    metric_name: Option<String>,
    instrument: Option<String>,
    unit: Option<String>,
    #[serde(default)]
    brief: String,
    span_name: Option<String>,
    #[serde(default)]
    annotations: BTreeMap<String, Value>,
    #[serde(default)]
    attributes: Vec<Declared>,
}

#[derive(Deserialize)]
struct Declared {
    id: Option<String>,
    r#ref: Option<String>,
    #[serde(default)]
    brief: String,
    r#type: Option<Value>,
}

impl Schema {
    /// Reads `observability/schema` of the repository at `root`.
    ///
    /// # Errors
    /// A file is missing or no registry.
    pub fn read(root: &Path) -> Result<Schema> {
        let mut schema = Schema::default();
        for file in FILES {
            let path = root.join("observability/schema").join(file);
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let file: File =
                serde_saphyr::from_str(&text).with_context(|| path.display().to_string())?;
            schema.imported_metrics.extend(file.imports.metrics.iter().map(|it| label(it)));
            schema.imported_attributes.extend(file.imports.attributes);
            for group in file.groups {
                let id = group.id.clone();
                schema.declare(group).with_context(|| format!("{}: {id}", path.display()))?;
            }
        }
        Ok(schema)
    }

    fn declare(&mut self, group: Group) -> Result<()> {
        match &*group.r#type {
            "metric" => {
                let name = group.metric_name.context("has no metric_name")?;
                let instrument = group.instrument.context("has no instrument")?;
                let unit = group.unit.context("has no unit")?;
                let references = group.attributes.into_iter().filter_map(|it| it.r#ref);
                let labels = references.map(|it| label(&it)).collect();
                let loss = group.annotations.get("loss") == Some(&Value::Bool(true));
                let name = in_prometheus(&name, &unit, &instrument);
                let brief = group.brief;
                self.metrics.insert(name, Metric { instrument, unit, labels, brief, loss });
            }
            "span" => {
                let name = group.span_name.context("has no span_name")?;
                self.spans.insert(name, group.brief);
            }
            "attribute_group" => {
                for Declared { id, brief, r#type, .. } in group.attributes {
                    let Some(id) = id else { continue };
                    let members = r#type.as_ref().and_then(|it| it["members"].as_array());
                    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
                    let values = members.into_iter().flatten();
                    let values = values.map(|it| (text(&it["value"]), text(&it["brief"])));
                    self.attributes.insert(id, Attribute { brief, values: values.collect() });
                }
            }
            other => bail!("no group is a {other} here"),
        }
        Ok(())
    }

    /// Whether a series of this name is one of ours: of a histogram, each of its three.
    #[must_use]
    pub fn knows_metric(&self, name: &str) -> bool {
        let parts = ["_bucket", "_sum", "_count"].map(|part| name.strip_suffix(part));
        let is = |name: &str| self.metrics.contains_key(name);
        is(name) || parts.into_iter().flatten().any(is) || self.imports_metric(name)
    }

    /// The labels that are declared for a series of this name, if it is one of ours.
    #[must_use]
    pub fn labels_of(&self, name: &str) -> Option<&[String]> {
        let bases =
            ["", "_bucket", "_sum", "_count"].iter().filter_map(|end| name.strip_suffix(end));
        bases.filter_map(|it| self.metrics.get(it)).map(|it| &*it.labels).next()
    }

    fn imports_metric(&self, name: &str) -> bool {
        let ends = ["", "_total", "_seconds", "_bytes", "_seconds_total"];
        let ends = ends.into_iter().chain(["_seconds_bucket", "_seconds_sum", "_seconds_count"]);
        let bases: Vec<&str> = ends.filter_map(|end| name.strip_suffix(end)).collect();
        self.imported_metrics.iter().any(|it| bases.contains(&it.as_str()))
    }

    /// Whether an attribute, as Prometheus and Loki write it, is declared.
    #[must_use]
    pub fn knows_label(&self, name: &str) -> bool {
        let own = self.attributes.keys().chain(&self.imported_attributes);
        own.map(|it| label(it)).any(|it| it == name)
    }

    /// The document: `docs/telemetry.md`.
    #[must_use]
    pub fn document(&self) -> String {
        let mut text = String::from(HEAD);
        for (name, it) in &self.metrics {
            let labels: Vec<String> = it.labels.iter().map(|it| format!("`{it}`")).collect();
            let (labels, kind) = (labels.join(", "), &it.instrument);
            let loss = if it.loss { " **Loss.**" } else { "" };
            let (unit, brief) = (unit(&it.unit), cell(&it.brief));
            let _ = writeln!(text, "| `{name}` | {kind} | {unit} | {labels} | {brief}{loss} |");
        }
        text.push_str(IMPORTED);
        for name in &self.imported_metrics {
            let _ = writeln!(text, "- `{name}`");
        }
        text.push_str(ATTRIBUTES);
        for (name, it) in &self.attributes {
            let values =
                it.values.iter().map(|(value, brief)| format!("`{value}`: {}", cell(brief)));
            let values = values.collect::<Vec<_>>().join("<br>");
            let brief = cell(&it.brief);
            let space = if brief.is_empty() || values.is_empty() { "" } else { "<br>" };
            let _ = writeln!(text, "| `{name}` | {brief}{space}{values} |");
        }
        text.push_str("\nThose of the semantic conventions:\n\n");
        for name in &self.imported_attributes {
            let _ = writeln!(text, "- `{name}`");
        }
        text.push_str(SPANS);
        for (name, brief) in &self.spans {
            let _ = writeln!(text, "| `{name}` | {} |", cell(brief));
        }
        text
    }
}

const HEAD: &str = "# Telemetry

Every name of our own that a signal carries. This page is made from `observability/schema` by `cargo run -p real --example telemetry`; a test compares both, and
another one what the program really emits. Spans, request durations and database metrics follow OpenTelemetry's semantic conventions, and are named there.

Each series has `service_name`, too: Prometheus adds it, and it is the same word as in Jaeger and in Loki, whose only other label is
`deployment_environment_name`. Everything else of a line is structured metadata, by the names of the attributes with `_` for `.`.

## Metrics

Of a histogram there are `_bucket`, `_sum` and `_count`. What counts losses has an alert (`prometheus/rules/tickets.yaml`).

| name in Prometheus | kind | unit | labels | what it is |
|---|---|---|---|---|
";

const IMPORTED: &str = "
Those of the semantic conventions and of every client of Prometheus, which adds the unit and `_total`:

";

const ATTRIBUTES: &str = "
## Attributes and labels

| name | what it is, and the values that it may have |
|---|---|
";

const SPANS: &str = "
## Spans

Server spans are named by method and route, client spans by method and template, database spans by statement and table. Besides them there are

| name | what it is |
|---|---|
";

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn unit(unit: &str) -> &str {
    match unit {
        "s" => "seconds",
        "By" => "bytes",
        "1" => "",
        other => other.trim_matches(['{', '}']),
    }
}

/// An attribute as Prometheus and Loki write it.
#[must_use]
pub fn label(attribute: &str) -> String {
    attribute.replace(['.', '-'], "_")
}

/// The name that Prometheus gives a metric of OpenTelemetry.
fn in_prometheus(name: &str, unit: &str, instrument: &str) -> String {
    let unit = match unit {
        "s" => "_seconds",
        "By" => "_bytes",
        _ => "",
    };
    let name = label(name);
    let name = name.strip_suffix(unit).unwrap_or(&name);
    let total = if instrument == "counter" { "_total" } else { "" };
    format!("{name}{unit}{total}")
}
