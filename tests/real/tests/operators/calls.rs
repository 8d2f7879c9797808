//! The calls that Grafana makes of its own accord, as `telemetry-apis` has recorded them, made to these backends: "Save & test", editors,
//! variables, Explore, exemplars, the volume of logs, the search for traces.

use reqwest::{Method, blocking::RequestBuilder};
use serde_json::{Value, json};

use super::system::{Load, System, now};
use crate::shipped::list;

const CATEGORIZED: (&str, &str) = ("x-loki-response-encoding-flags", "categorize-labels");

pub(super) fn each_is_answered(system: &System, load: &Load) {
    let calls = Calls { system, load };
    calls.prometheus();
    calls.loki();
    calls.jaeger();
}

struct Calls<'a> {
    system: &'a System,
    load: &'a Load,
}

impl Calls<'_> {
    fn request(&self, method: Method, base: &str, path: &str) -> RequestBuilder {
        self.system.app.client().request(method, format!("{base}{path}"))
    }

    fn get(&self, base: &str, path: &str, query: &[(&str, &str)]) -> Value {
        answer(self.request(Method::GET, base, path).query(query))
    }

    /// Seconds, as Prometheus takes them.
    fn range(&self) -> [String; 2] {
        [self.load.began, now()].map(|it| format!("{it:.3}"))
    }

    /// Nanoseconds, as Loki takes them.
    fn nanoseconds(&self) -> [String; 2] {
        [self.load.began, now()].map(|it| format!("{:.0}", it * 1e9))
    }

    fn prometheus(&self) {
        let base = self.system.stack.prometheus.url();
        let [start, end] = self.range();
        // Save & test.
        let one_and_one = [("query", "1+1"), ("time", "4")];
        let tested = answer(self.request(Method::POST, &base, "/api/v1/query").form(&one_and_one));
        assert_eq!(tested["data"]["result"], json!([4, "2"]), "{tested}");
        let built = self.get(&base, "/api/v1/status/buildinfo", &[]);
        assert!(built["data"]["version"].is_string(), "{built}");
        // The editor.
        let window = [("start", &*start), ("end", &*end)];
        let names = self.get(&base, "/api/v1/label/__name__/values", &window);
        has(&names["data"], "http_server_request_duration_seconds_bucket");
        let selector = ("match[]", "{__name__=\"http_server_request_duration_seconds_count\"}");
        let labels = self.get(
            &base,
            "/api/v1/labels",
            &[selector, window[0], window[1], ("limit", "40000")],
        );
        has(&labels["data"], "http_route");
        // A variable: label_values(http_server_request_duration_seconds_count, service_name).
        let services =
            self.get(&base, "/api/v1/label/service_name/values", &[selector, window[0], window[1]]);
        ["accounts", "catalog", "gateway", "wallet"]
            .iter()
            .for_each(|it| has(&services["data"], it));
        let series = self.get(&base, "/api/v1/series", &[selector, window[0], window[1]]);
        assert!(list(&series["data"]).count() > 10, "{series}");
        let told = self.get(&base, "/api/v1/metadata", &[("limit", "2000")]);
        assert_eq!(told["data"]["http_server_request_duration_seconds"][0]["type"], "histogram");
        // A panel.
        let asked = [
            (
                "query",
                "sum by (service_name) (rate(http_server_request_duration_seconds_count[20s]))",
            ),
            ("start", &start),
            ("end", &end),
            ("step", "5"),
        ];
        let panel = answer(self.request(Method::POST, &base, "/api/v1/query_range").form(&asked));
        assert_eq!(panel["data"]["resultType"], "matrix", "{panel}");
        assert!(list(&panel["data"]["result"]).count() >= 4, "{panel}");
        // Its exemplars.
        let asked = [
            ("query", "http_server_request_duration_seconds_bucket"),
            ("start", &start),
            ("end", &end),
        ];
        let exemplars =
            answer(self.request(Method::POST, &base, "/api/v1/query_exemplars").form(&asked));
        let first = &exemplars["data"][0]["exemplars"][0];
        assert!(
            first["labels"]["trace_id"].is_string() && first["timestamp"].is_number(),
            "{first}"
        );
        // The pages of alerts.
        let rules = self.get(&base, "/api/v1/rules", &[]);
        let bad = list(&rules["data"]["groups"])
            .flat_map(|group| list(&group["rules"]))
            .filter(|rule| rule["health"] != "ok" && rule["health"] != "unknown");
        assert_eq!(bad.collect::<Vec<_>>(), Vec::<&Value>::new());
        let alerts = self.get(&base, "/api/v1/alerts", &[]);
        assert!(alerts["data"]["alerts"].is_array(), "{alerts}");
        // A query with a mistake is told as one.
        let wrong = self.request(Method::POST, &base, "/api/v1/query").form(&[("query", "rate(")]);
        let wrong = wrong.send().unwrap();
        assert_eq!(wrong.status(), 400);
        assert_eq!(wrong.json::<Value>().unwrap()["errorType"], "bad_data");
    }

    fn loki(&self) {
        let base = self.system.stack.loki.url();
        let [start, end] = self.nanoseconds();
        let window = [("start", &*start), ("end", &*end)];
        // Save & test.
        let asked = [("query", "vector(1)+vector(1)"), ("time", "4000000000")];
        let tested = self.get(&base, "/loki/api/v1/query", &asked);
        assert_eq!(tested["data"]["result"][0]["value"][1], "2", "{tested}");
        // The editor.
        let labels = self.get(&base, "/loki/api/v1/labels", &window);
        assert_eq!(
            labels["data"],
            json!(["deployment_environment_name", "service_name"]),
            "{labels}"
        );
        let services = self.get(&base, "/loki/api/v1/label/service_name/values", &window);
        has(&services["data"], "gateway");
        let selector = ("query", "{service_name=\"gateway\"}");
        let stats = self.get(&base, "/loki/api/v1/index/stats", &[selector, window[0], window[1]]);
        assert!(stats["entries"].is_number(), "{stats}"); // of what is on disk: nothing yet
        let fields =
            self.get(&base, "/loki/api/v1/detected_fields", &[selector, window[0], window[1]]);
        let found = list(&fields["fields"]).any(|it| it["label"] == "trace_id");
        assert!(found, "{fields}");
        // Explore: the lines, and how many there were of each level.
        let asked = [selector, window[0], window[1], ("limit", "1000"), ("direction", "backward")];
        let lines = self.request(Method::GET, &base, "/loki/api/v1/query_range").query(&asked);
        let lines = answer(lines.header(CATEGORIZED.0, CATEGORIZED.1));
        assert_eq!(lines["data"]["encodingFlags"], json!(["categorize-labels"]), "{lines}");
        let stream = &lines["data"]["result"][0];
        assert_eq!(stream["stream"]["service_name"], "gateway");
        assert!(stream["values"][0][2]["structuredMetadata"].is_object(), "{stream}");
        let volume = "sum by (level, detected_level) (count_over_time({service_name=\"gateway\"} | drop __error__[2s]))";
        let asked = [("query", volume), window[0], window[1], ("step", "2000ms")];
        let volume = self.request(Method::GET, &base, "/loki/api/v1/query_range").query(&asked);
        let volume = answer(volume.header("x-query-tags", "Source=logvolhist"));
        assert_eq!(volume["data"]["resultType"], "matrix", "{volume}");
        let levels = list(&volume["data"]["result"]).map(|it| &it["metric"]["detected_level"]);
        let levels: Vec<&Value> = levels.collect();
        assert!(levels.contains(&&json!("info")), "{levels:?}");
        // The context of a line: what came before it.
        let asked = [selector, window[0], window[1], ("limit", "10"), ("direction", "forward")];
        let context = self.get(&base, "/loki/api/v1/query_range", &asked);
        assert!(list(&context["data"]["result"]).next().is_some(), "{context}");
    }

    fn jaeger(&self) {
        let base = self.system.stack.jaeger.url();
        // Save & test, and the form of the search.
        let services = self.get(&base, "/api/services", &[]);
        ["accounts", "catalog", "gateway", "wallet"]
            .iter()
            .for_each(|it| has(&services["data"], it));
        let operations = self.get(&base, "/api/services/gateway/operations", &[]);
        has(&operations["data"], "GET /api/musics/{id}");
        // A search, one for failures, and a trace.
        let [start, end] = [self.load.began, now()].map(|it| format!("{:.0}", it * 1e6));
        let asked = [
            ("service", "gateway"),
            ("operation", "GET /api/musics/{id}"),
            ("start", &start),
            ("end", &end),
            ("limit", "20"),
        ];
        let found = self.get(&base, "/api/traces", &asked);
        assert!(list(&found["data"]).count() > 10, "{found}");
        let asked = [
            ("service", "gateway"),
            ("tags", "{\"error\":\"true\"}"),
            ("start", &start),
            ("end", &end),
        ];
        let failed = self.get(&base, "/api/traces", &asked);
        let id = failed["data"][0]["traceID"].as_str().unwrap_or_else(|| panic!("{failed}"));
        let trace = self.get(&base, &format!("/api/traces/{id}"), &[]);
        assert!(list(&trace["data"][0]["spans"]).count() > 1, "{trace}");
        // The graph of services.
        let asked = [("endTs", &end[..end.len() - 3]), ("lookback", "3600000")];
        let graph = self.get(&base, "/api/dependencies", &asked);
        let calls =
            list(&graph["data"]).any(|it| it["parent"] == "gateway" && it["child"] == "wallet");
        assert!(calls, "{graph}");
    }
}

#[track_caller]
fn answer(request: RequestBuilder) -> Value {
    let response = request.send().unwrap();
    let (status, url) = (response.status(), response.url().clone());
    let text = response.text().unwrap();
    assert!(status.is_success(), "{url}: {status} {text}");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{url}: {text}"))
}

#[track_caller]
fn has(values: &Value, value: &str) {
    assert!(list(values).any(|it| it == value), "no {value} in {values}");
}
