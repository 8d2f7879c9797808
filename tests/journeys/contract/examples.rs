//! The documents show what they describe: whoever reads them sees how each body looks.

use serde_json::Value;

use crate::harness::{App, Shape};

#[test]
fn each_value_of_a_body_has_an_example_in_every_document() {
    let app = App::start_sqlite(Shape::One);
    let mut missing = Vec::new();
    for service in ["gateway", "accounts", "catalog", "wallet"] {
        let document = app.open(&format!("{}/openapi.json", app.url(service, "api"))).json;
        let paths = document["paths"].as_object().expect("it has paths");
        for (path, item) in paths {
            for (method, operation) in item.as_object().expect("a path has methods") {
                for (kind, content) in bodies(operation) {
                    if content.get("example").is_none() {
                        let place = format!("{service}: {method} {path} {kind}");
                        not_shown(&document, &content["schema"], &place, &mut missing);
                    }
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// What a request may have, and what answers with success have, by its media type.
fn bodies(operation: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let answers = operation["responses"].as_object().expect("it is answered");
    let successes = answers.iter().filter(|(status, _)| status.starts_with('2')).map(|it| it.1);
    let all = successes.chain([&operation["requestBody"]]);
    all.filter_map(|it| it["content"].as_object()).flatten()
}

/// An example may be of the value itself, or of what it is a part of.
fn not_shown(document: &Value, schema: &Value, place: &str, missing: &mut Vec<String>) {
    let is_there = |it: &&str| schema.get(it).is_some();
    if ["example", "enum", "const"].iter().any(is_there) {
        return;
    }
    let parts = ["oneOf", "anyOf", "allOf"].into_iter().find_map(|it| schema[it].as_array());
    if let Some(to) = schema["$ref"].as_str() {
        let target = document.pointer(to.trim_start_matches('#')).expect("it leads somewhere");
        not_shown(document, target, place, missing);
    } else if let Some(parts) = parts {
        parts.iter().for_each(|it| not_shown(document, it, place, missing));
    } else if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            not_shown(document, property, &format!("{place} {name}"), missing);
        }
    } else if is_there(&"items") {
        not_shown(document, &schema["items"], place, missing);
    } else if !["boolean", "null"].iter().any(|it| schema["type"] == *it) {
        missing.push(place.to_owned());
    }
}
