//! Answers with what has no order brought into one, and everything else left as it was told.

use serde_json::{Value, json};

/// The spans of an answer of v1: each trace with its spans by start and id, and with their processes written into them.
///
/// Jaeger takes duplicates out by way of a Go map: the order of spans is another one at each request, and the numbers of the processes
/// (`p1`, `p2`) follow it.
pub(super) fn v1_traces(answer: &Value) -> Value {
    let mut answer = answer.clone();
    for trace in answer["data"].as_array_mut().into_iter().flatten() {
        let processes = trace["processes"].take();
        let mut used = Vec::new();
        for span in spans_mut(trace) {
            let id = span["processID"].take();
            span["process"] = processes[id.as_str().unwrap()].clone();
            assert!(!span["process"].is_null(), "there is no process {id}");
            used.push(id.to_string());
        }
        used.sort();
        used.dedup();
        assert_eq!(used.len(), processes.as_object().unwrap().len(), "processes of no span");
        trace["processes"] = json!(used.len());
        let key = |span: &Value| (span["startTime"].as_u64(), span["spanID"].to_string(), span.to_string());
        spans_mut(trace).sort_by_cached_key(key);
    }
    answer
}

fn spans_mut(trace: &mut Value) -> &mut Vec<Value> {
    trace["spans"].as_array_mut().unwrap()
}

/// The ids of the traces of an answer of v1, in its order.
pub(super) fn v1_ids(answer: &Value) -> Vec<String> {
    let traces = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    traces.iter().map(|it| it["traceID"].as_str().unwrap().to_owned()).collect()
}

/// The list in `data`, sorted; nothing is an empty list. Jaeger has these lists in Go maps, and says `null` when they are empty.
pub(super) fn v1_list(answer: &Value) -> Value {
    let mut answer = answer.clone();
    answer["data"] = sorted(&answer["data"]);
    answer
}

/// A list sorted by what is written; an empty one for nothing.
pub(super) fn sorted(list: &Value) -> Value {
    let mut list = list.as_array().cloned().unwrap_or_default();
    list.sort_by_key(Value::to_string);
    list.into()
}

/// Each span of OTLP JSON with its resource and scope, by start and id.
///
/// Spans of one resource may be told in one group or in several: Jaeger has a group for each time some arrived.
pub(super) fn otlp_spans(data: &Value) -> Vec<Value> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut spans = Vec::new();
    for resource in list(data, "resourceSpans") {
        for scope in list(&resource, "scopeSpans") {
            for span in list(&scope, "spans") {
                let schemas = [&resource["schemaUrl"], &scope["schemaUrl"]];
                spans.push(json!({
                    "resource": resource["resource"], "scope": scope["scope"], "schemas": schemas, "span": span,
                }));
            }
        }
    }
    let start = |it: &Value| it["span"]["startTimeUnixNano"].as_str().and_then(|it| it.parse::<u64>().ok());
    spans.sort_by_cached_key(|it| (start(it), it["span"]["spanId"].to_string(), it.to_string()));
    spans
}

/// A text as part of a query.
pub(super) fn encoded(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|it| if unreserved(it) { char::from(it).to_string() } else { format!("%{it:02X}") })
        .collect()
}
