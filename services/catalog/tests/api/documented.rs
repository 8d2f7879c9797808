//! What a service says about itself at `/openapi.json`. The tests of accounts and of the wallet have this file, too.

use reqwest::Client;
use serde_json::{Map, Value};

/// The operations that the service at `address` documents, as `GET /musics`, in order. Each of them is served, all references of the
/// document lead somewhere, and everything that has to be filled in is described.
pub(crate) async fn operations(address: &str) -> Vec<String> {
    let client = Client::builder().no_proxy().build().unwrap();
    let response = client.get(format!("http://{address}/openapi.json")).send().await.unwrap();
    assert_eq!((response.status().as_u16(), kind(&response)), (200, "application/json"));
    let document: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert_references(&document, &document);
    let mut operations = Vec::new();
    for (path, item) in object(&document["paths"]) {
        for (method, operation) in object(item) {
            let called = format!("{} {path}", method.to_uppercase());
            assert_described(&called, path, operation);
            // Nobody calls, with nothing: whatever handler there is refuses that by itself.
            let url = format!("http://{address}{}", path.replace(['{', '}'], ""));
            let method = called.split(' ').next().unwrap().parse().unwrap();
            let status = client.request(method, url).send().await.unwrap().status().as_u16();
            assert!(![404, 405].contains(&status), "{called} is not served: {status}");
            let open = operation["security"].is_array();
            assert_eq!(status == 401, !open, "{called} is for everybody or not: {status}");
            operations.push(called);
        }
    }
    let page = client.get(format!("http://{address}/docs")).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(kind(&page).starts_with("text/html"), "{}", kind(&page));
    operations.sort();
    operations
}

/// A summary, each variable part of the path, and a schema of each success that has a body.
fn assert_described(called: &str, path: &str, operation: &Value) {
    assert!(operation["summary"].is_string() && operation["tags"].is_array(), "{called}");
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut named: Vec<&str> =
        path.split('{').skip(1).map(|it| it.split('}').next().unwrap()).collect();
    named.retain(|name| !parameters.iter().any(|it| it["in"] == "path" && it["name"] == *name));
    assert!(named.is_empty(), "{called}: {named:?}");
    let answers = object(&operation["responses"]).iter();
    let (status, success) = answers.clone().find(|(status, _)| status.starts_with('2')).unwrap();
    let content = success["content"].as_object();
    assert_eq!(content.is_none(), status == "204", "{called}: {success}");
    for (kind, content) in content.into_iter().flatten() {
        assert!(content["schema"].is_object(), "{called}: {kind}");
    }
}

fn assert_references(document: &Value, at: &Value) {
    if let Some(to) = at["$ref"].as_str() {
        let target = to.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
        assert!(target.is_some(), "{to} leads nowhere");
    }
    match at {
        Value::Object(map) => map.values().for_each(|it| assert_references(document, it)),
        Value::Array(all) => all.iter().for_each(|it| assert_references(document, it)),
        _ => {}
    }
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("{value}"))
}

fn kind(response: &reqwest::Response) -> &str {
    response.headers()["content-type"].to_str().unwrap()
}
