//! Jaeger's own fixtures and the examples of the OTLP specification, from the shared data.

use std::{fs, path::PathBuf};

use serde_json::Value;

fn folder() -> PathBuf {
    let shared = std::env::var_os("MUSICWALLET_SHARED").expect("MUSICWALLET_SHARED names the real data");
    PathBuf::from(shared).join("data/conformance")
}

/// A file of the conformance data, as it is.
pub(super) fn read(path: &str) -> Vec<u8> {
    let path = folder().join(path);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(super) fn json(path: &str) -> Value {
    serde_json::from_slice(&read(path)).unwrap()
}

/// A trace of Jaeger's storage tests.
pub(super) fn trace(name: &str) -> Vec<u8> {
    read(&format!("jaeger/storage/traces/{name}.json"))
}

/// The names of all these traces, sorted.
pub(super) fn traces() -> Vec<String> {
    let files = fs::read_dir(folder().join("jaeger/storage/traces")).unwrap();
    let name = |file: std::io::Result<fs::DirEntry>| {
        file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()
    };
    let mut names: Vec<String> = files.map(name).collect();
    names.sort();
    assert!(!names.is_empty());
    names
}

/// A search of Jaeger's storage tests and what it has to find.
pub(super) struct Search {
    pub(super) caption: String,
    pub(super) service: String,
    pub(super) operation: String,
    /// An object of texts.
    pub(super) tags: Value,
    pub(super) start: String,
    pub(super) end: String,
    /// As Go writes durations; empty for none.
    pub(super) shortest: String,
    pub(super) longest: String,
    pub(super) limit: u64,
    /// Names of traces.
    pub(super) found: Vec<String>,
}

pub(super) fn searches() -> Vec<Search> {
    let list = json("jaeger/storage/queries.json");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let searches = list.as_array().unwrap().iter().map(|it| {
        let query = &it["Query"];
        let tags = query["Tags"].as_object().into_iter().flatten();
        // The storage tests have values of any type; the APIs take texts.
        let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let duration = |value: &Value| match value.as_u64().unwrap() {
            0 => String::new(),
            nanoseconds => format!("{nanoseconds}ns"),
        };
        Search {
            caption: text(&it["Caption"]),
            service: text(&query["ServiceName"]),
            operation: text(&query["OperationName"]),
            tags: tags.map(|(key, value)| (key.clone(), plain(value).into())).collect(),
            start: text(&query["StartTimeMin"]),
            end: text(&query["StartTimeMax"]),
            shortest: duration(&query["DurationMin"]),
            longest: duration(&query["DurationMax"]),
            limit: query["NumTraces"].as_u64().unwrap(),
            found: it["ExpectedFixtures"].as_array().unwrap().iter().map(text).collect(),
        }
    });
    let searches: Vec<Search> = searches.collect();
    assert!(!searches.is_empty());
    searches
}
