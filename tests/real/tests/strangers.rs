//! Programs that we did not write send through the agent: what they count is what Jaeger, Loki and Prometheus show.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use real::stack::{Ports, Stack, tool};
use reqwest::blocking::Client;
use serde::Deserialize;
use serde_json::Value;

use crate::harness::{Process, eventually, root};

/// The real stack, and a sidecar before it.
struct Agent {
    stack: Stack,
    sidecar: Process,
    // Last, so that they are removed after the processes.
    _data: [tempfile::TempDir; 2],
}

impl Agent {
    fn start() -> Agent {
        let data = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let stack = Stack::start(Ports::Free, data[0].path()).unwrap();
        let (traces, logs) = (stack.jaeger.otlp_url(), stack.loki.otlp_url());
        let metrics = stack.prometheus.otlp_url();
        let settings = [
            ("SIDECAR_TRACES_ENDPOINT", traces.as_str()),
            ("SIDECAR_LOGS_ENDPOINT", &logs),
            ("SIDECAR_METRICS_ENDPOINT", &metrics),
        ];
        let sidecar = Process::start(&["serve", "sidecar"], data[1].path(), &settings);
        Agent { stack, sidecar, _data: data }
    }

    /// Where OTLP arrives: `host:port`.
    fn address(&self, protocol: &str) -> String {
        let role = if protocol == "grpc" { "otlp-grpc" } else { "otlp-http" };
        self.sidecar.address("sidecar", role)
    }

    /// Items that were received of a signal, once all of them are delivered.
    fn delivered(&self, signal: &str) -> u64 {
        let console = self.sidecar.address("sidecar", "console");
        let url = format!("http://{console}/delivery.json");
        eventually("all is delivered", || {
            let all: Value = Client::new().get(&url).send().unwrap().json().unwrap();
            let flows = all["pipelines"].as_array().unwrap();
            let flow = flows.iter().find(|it| it["signal"] == signal).unwrap();
            let done = flow["delivered"] == flow["received"] && flow["unaccounted"] == 0;
            if done { Ok(flow["received"].as_u64().unwrap()) } else { Err(flow.to_string()) }
        })
    }

    /// The spans of a service in Jaeger, by trace.
    fn traces(&self, service: &str) -> BTreeMap<String, usize> {
        let jaeger = &self.stack.jaeger;
        let ids = jaeger.trace_ids(service).unwrap();
        ids.into_iter().map(|id| (id.clone(), jaeger.trace(&id).unwrap().len())).collect()
    }
}

/// What one of our clients says that it sent.
#[derive(Deserialize)]
struct Counted {
    traces: BTreeSet<String>,
    spans: usize,
    /// Lines, and the trace of each, which may be none.
    lines: BTreeMap<String, String>,
    sold: f64,
}

/// Has `command` send by a protocol, and compares what it counted with what is found.
fn sends(agent: &Agent, command: &mut Command, service: &str, protocol: &str, compression: &str) {
    let address = agent.address(protocol);
    command.arg(protocol).env("OTEL_SERVICE_NAME", service);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"));
    if compression != "plain" {
        command.env("OTEL_EXPORTER_OTLP_COMPRESSION", compression);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{service}: {output:?}");
    let counted: Counted = serde_json::from_slice(&output.stdout).unwrap();
    for signal in ["traces", "logs", "metrics"] {
        agent.delivered(signal);
    }

    let traces = agent.traces(service);
    let ids: BTreeSet<String> = traces.keys().cloned().collect();
    assert_eq!(ids, counted.traces, "{service}");
    assert_eq!(traces.values().sum::<usize>(), counted.spans, "{service}");

    eventually("Loki has the lines", || {
        let query = format!("{{service_name=\"{service}\"}}");
        let found = agent.stack.loki.query(&query).map_err(|it| format!("{it:#}"))?;
        let number = found.len();
        let trace = |metadata: &BTreeMap<String, String>| {
            metadata.get("trace_id").cloned().unwrap_or_default()
        };
        let lines: BTreeMap<_, _> =
            found.into_iter().map(|it| (it.text, trace(&it.metadata))).collect();
        let same = number == counted.lines.len() && lines == counted.lines;
        if same { Ok(()) } else { Err(format!("{service}: {number} lines: {lines:#?}")) }
    });

    for (query, expected) in [
        (format!("stranger_sold_total{{job=\"{service}\",place=\"till\"}}"), counted.sold),
        (format!("stranger_took_seconds_count{{job=\"{service}\"}}"), counted.traces.len() as f64),
    ] {
        let found = agent.stack.prometheus.query(&query).unwrap();
        let values: Vec<f64> = found.iter().map(|it| it.value).collect();
        assert_eq!(values, [expected], "{query}: {found:?}");
    }
}

fn tools() -> String {
    std::env::var("MUSICWALLET_TOOLS").expect("tests/real/run says where tools are")
}

#[test]
fn what_pythons_sdk_counts_is_what_the_stores_show() {
    let agent = Agent::start();
    for protocol in ["grpc", "protobuf"] {
        for compression in ["plain", "gzip"] {
            let mut python = Command::new(format!("{}/client-python/bin/python", tools()));
            python.arg(root().join("tests/real/clients/client.py"));
            let service = format!("python-{protocol}-{compression}");
            sends(&agent, &mut python, &service, protocol, compression);
        }
    }
}

#[test]
fn what_nodes_sdk_counts_is_what_the_stores_show() {
    let agent = Agent::start();
    for protocol in ["grpc", "protobuf", "json"] {
        for compression in ["plain", "gzip"] {
            let mut node = Command::new("node");
            node.arg(root().join("tests/real/clients/node/client.js"));
            node.env("NODE_PATH", format!("{}/client-node/node_modules", tools()));
            let service = format!("node-{protocol}-{compression}");
            sends(&agent, &mut node, &service, protocol, compression);
        }
    }
}

#[test]
fn what_telemetrygen_counts_is_what_the_stores_show() {
    let agent = Agent::start();
    let mut before = BTreeMap::from([("traces", 0), ("logs", 0), ("metrics", 0)]);
    for protocol in ["grpc", "http"] {
        let service = format!("generated-{protocol}");
        for (signal, more, items) in [
            ("traces", &["--traces", "200", "--child-spans", "3"][..], 800),
            ("logs", &["--logs", "300"], 300),
            ("metrics", &["--metrics", "50", "--metric-type", "Sum"], 50),
        ] {
            let mut command = Command::new(tool("telemetrygen").unwrap());
            command.args([signal, "--otlp-insecure", "--otlp-endpoint", &agent.address(protocol)]);
            command.args(["--service", &service, "--workers", "1", "--rate", "0"]).args(more);
            if protocol == "http" {
                command.arg("--otlp-http");
            }
            let output = command.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let delivered = agent.delivered(signal);
            assert_eq!(delivered - before[signal], items, "{signal} by {protocol}");
            before.insert(signal, delivered);
        }
        let traces = agent.traces(&service);
        assert_eq!((traces.len(), traces.values().sum::<usize>()), (200, 800), "{service}");
        eventually("Loki has the lines", || {
            let query = format!("{{service_name=\"{service}\"}}");
            let found = agent.stack.loki.query(&query).map_err(|it| format!("{it:#}"))?;
            if found.len() == 300 { Ok(()) } else { Err(format!("{} lines", found.len())) }
        });
        let query = format!("{{job=\"{service}\",__name__=~\"gen.*\"}}");
        let found = agent.stack.prometheus.query(&query).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
