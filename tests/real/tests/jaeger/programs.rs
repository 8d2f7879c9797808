//! The two programs that answer: ours and the real Jaeger, each receiving OTLP and answering queries on loopback.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use reqwest::blocking::Client;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Process, Reply, eventually};

pub(super) const JSON: &str = "application/json";
pub(super) const PROTOBUF: &str = "application/x-protobuf";

/// Where a program receives OTLP by HTTP, and where it answers in Jaeger's way.
pub(super) struct Addresses {
    otlp: String,
    query: String,
    client: Client,
}

impl Addresses {
    fn new(otlp: String, query: String) -> Addresses {
        let client = Client::builder().timeout(Duration::from_secs(30)).no_proxy().build().unwrap();
        Addresses { otlp, query, client }
    }

    /// Sends to `/v1/traces`, `/v1/logs` or `/v1/metrics`.
    pub(super) fn send(&self, signal: &str, content_type: &str, body: Vec<u8>) -> Reply {
        let url = format!("http://{}/v1/{signal}", self.otlp);
        Reply::to(self.client.post(url).header("content-type", content_type).body(body))
    }

    /// Sends to `/v1/traces`, and all of it is kept.
    pub(super) fn keep(&self, content_type: &str, body: Vec<u8>) {
        let reply = self.send("traces", content_type, body);
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(reply.json["partialSuccess"].is_null(), "{reply:?}");
    }

    pub(super) fn get(&self, path: &str) -> Reply {
        Reply::to(self.client.get(format!("http://{}{path}", self.query)))
    }

    pub(super) fn post(&self, path: &str, body: Vec<u8>) -> Reply {
        Reply::to(self.client.post(format!("http://{}{path}", self.query)).body(body))
    }
}

/// `musicwallet serve sidecar`.
pub(super) struct Sidecar {
    process: Process,
    _directory: TempDir,
}

impl Sidecar {
    pub(super) fn start() -> (Sidecar, Addresses) {
        let directory = tempfile::tempdir().unwrap();
        let process = Process::start(&["serve", "sidecar"], directory.path(), &[]);
        let sidecar = Sidecar { process, _directory: directory };
        let addresses = Addresses::new(sidecar.address("otlp-http"), sidecar.address("jaeger"));
        (sidecar, addresses)
    }

    fn address(&self, role: &str) -> String {
        let output = self.process.output();
        let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut told = lines.filter(|line| line["listening"]["role"] == role);
        told.next().unwrap()["listening"]["addr"].as_str().unwrap().to_owned()
    }
}

/// The real Jaeger, which keeps everything in memory.
pub(super) struct Jaeger {
    child: Child,
    _directory: TempDir,
}

impl Jaeger {
    pub(super) fn start() -> (Jaeger, Addresses) {
        let directory = tempfile::tempdir().unwrap();
        let [otlp, query, grpc, health] = free_ports();
        let settings = directory.path().join("jaeger.yaml");
        fs::write(&settings, settings_of(&otlp, &query, &grpc, &health)).unwrap();
        let output = directory.path().join("output");
        let child = Command::new(binary())
            .arg("--config")
            .arg(&settings)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&output).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; tests/real/install builds it", binary().display()));
        let jaeger = Jaeger { child, _directory: directory };
        let addresses = Addresses::new(otlp, query);
        eventually("Jaeger answers", || {
            let url = format!("http://{}/api/services", addresses.query);
            let reply = addresses.client.get(url).send().map_err(|error| error.to_string());
            let log = || fs::read_to_string(&output).unwrap_or_default();
            reply.map(drop).map_err(|error| format!("{error}\n{}", log()))
        });
        (jaeger, addresses)
    }
}

impl Drop for Jaeger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn binary() -> PathBuf {
    let tools = std::env::var_os("MUSICWALLET_TOOLS").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/musicwallet"),
        PathBuf::from,
    );
    tools.join("jaeger-v1.76.0/jaeger")
}

/// Jaeger cannot tell which port it got, so it is given ones that were free a moment ago.
fn free_ports<const N: usize>() -> [String; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|it| it.local_addr().unwrap().to_string())
}

/// Without a batch processor: what was accepted can be found, and in the order in which it arrived.
fn settings_of(otlp: &str, query: &str, grpc: &str, health: &str) -> String {
    format!(
        r#"
service:
  extensions: [jaeger_storage, jaeger_query, healthcheckv2]
  pipelines:
    traces: {{ receivers: [otlp], exporters: [jaeger_storage_exporter] }}
  telemetry: {{ metrics: {{ level: none }}, logs: {{ level: warn }} }}
extensions:
  healthcheckv2: {{ use_v2: true, http: {{ endpoint: "{health}" }} }}
  jaeger_storage: {{ backends: {{ memory: {{ memory: {{ max_traces: 100000 }} }} }} }}
  jaeger_query:
    storage: {{ traces: memory }}
    http: {{ endpoint: "{query}" }}
    grpc: {{ endpoint: "{grpc}" }}
receivers:
  otlp: {{ protocols: {{ http: {{ endpoint: "{otlp}" }} }} }}
exporters:
  jaeger_storage_exporter: {{ trace_storage: memory }}
"#
    )
}
