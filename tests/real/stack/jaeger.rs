//! The real Jaeger: traces.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    process::Command,
};

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::program::{Kind, Ports, Program, shipped};

const QUERY: usize = 0;
const OTLP_HTTP: usize = 1;
const OTLP_GRPC: usize = 2;
const QUERY_GRPC: usize = 3;
const METRICS: usize = 4;

const MEMORY: Kind = Kind {
    name: "Jaeger",
    program: "jaeger",
    sockets: &[
        ("queries by HTTP", 16686),
        ("OTLP by HTTP", 4328),
        ("OTLP by gRPC", 4327),
        ("queries by gRPC", 16685),
        ("its own metrics", 8888),
    ],
    prepare: |_| Ok(()),
    configure: |command, addresses, data| {
        command
            .arg("--config")
            .arg(shipped("jaeger/jaeger.yaml"))
            .env("JAEGER_DATA", data)
            .env("JAEGER_QUERY", addresses[QUERY].to_string())
            .env("JAEGER_OTLP", addresses[OTLP_HTTP].to_string())
            .env("JAEGER_OTLP_GRPC", addresses[OTLP_GRPC].to_string())
            .env("JAEGER_QUERY_GRPC", addresses[QUERY_GRPC].to_string())
            .env("JAEGER_METRICS_PORT", addresses[METRICS].port().to_string());
    },
    ready: &[(QUERY, "/api/services"), (OTLP_HTTP, "/v1/traces")],
};

const BADGER: Kind = Kind {
    configure: |command: &mut Command, addresses: &[SocketAddr], data: &Path| {
        (MEMORY.configure)(command, addresses, data);
        command.arg("--config").arg(shipped("jaeger/jaeger-badger.yaml"));
    },
    ..MEMORY
};

/// What becomes of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// They end with the process; 10,000 at most.
    Memory,
    /// They last for two days, on disk.
    Badger,
}

/// Jaeger, running.
#[derive(Debug)]
pub struct Jaeger {
    /// Its process.
    pub program: Program,
}

/// A span, as v1 of its API tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// 16 hexadecimal digits.
    pub id: String,
    /// The name of the service.
    pub service: String,
    /// The name of the span.
    pub name: String,
}

impl Jaeger {
    /// Starts it, and returns when it is ready.
    ///
    /// # Errors
    /// What kept it from that.
    pub fn start(storage: Storage, ports: Ports, data: &Path) -> Result<Jaeger> {
        let kind = match storage {
            Storage::Memory => &MEMORY,
            Storage::Badger => &BADGER,
        };
        Ok(Jaeger { program: Program::start(kind, ports, data)? })
    }

    /// Where its query APIs are.
    #[must_use]
    pub fn url(&self) -> String {
        self.program.url(QUERY)
    }

    /// Where it receives OTLP by HTTP, at `/v1/traces`.
    #[must_use]
    pub fn otlp_url(&self) -> String {
        self.program.url(OTLP_HTTP)
    }

    /// Where its own metrics are.
    #[must_use]
    pub fn metrics(&self) -> SocketAddr {
        self.program.address(METRICS)
    }

    /// Where it receives OTLP by gRPC.
    #[must_use]
    pub fn otlp_grpc(&self) -> SocketAddr {
        self.program.address(OTLP_GRPC)
    }

    /// Sends an export request of OTLP in JSON. What it accepts can be asked for at once.
    ///
    /// # Errors
    /// It cannot be reached, or refuses.
    pub fn send(&self, traces: &Value) -> Result<()> {
        self.program.post(OTLP_HTTP, "/v1/traces", traces)
    }

    /// The spans of a trace, sorted; an error when it has none of that id.
    ///
    /// # Errors
    /// It cannot be reached, or does not know the trace.
    pub fn trace(&self, id: &str) -> Result<Vec<Span>> {
        let traces = self.traces(&format!("/api/traces/{id}"), &[])?;
        let mut spans: Vec<Span> = traces.iter().flat_map(Trace::spans).collect();
        spans.sort();
        Ok(spans)
    }

    /// The services that it has spans of.
    ///
    /// # Errors
    /// It cannot be reached.
    pub fn services(&self) -> Result<BTreeSet<String>> {
        let answer = self.program.get(QUERY, "/api/services", &[])?;
        Ok(serde_json::from_value(answer["data"].clone())?)
    }

    /// What it answers to a search, as a client of v1 of its API gets it.
    ///
    /// # Errors
    /// It cannot be reached, or refuses the search.
    pub fn search(&self, query: &[(&str, &str)]) -> Result<Value> {
        self.program.get(QUERY, "/api/traces", query)
    }

    /// The ids of the traces with a span of a service, of the last two days, 10,000 at most.
    ///
    /// # Errors
    /// It cannot be reached.
    pub fn trace_ids(&self, service: &str) -> Result<BTreeSet<String>> {
        Ok(self.traces_of(service)?.into_keys().collect())
    }

    /// The same traces, with all spans that it shows of each.
    ///
    /// # Errors
    /// It cannot be reached.
    pub fn traces_of(&self, service: &str) -> Result<BTreeMap<String, Vec<Span>>> {
        let traces = self.traces("/api/traces", &[("service", service), ("limit", "10000")])?;
        Ok(traces.into_iter().map(|it| (it.id.clone(), it.spans().collect())).collect())
    }

    fn traces(&self, path: &str, query: &[(&str, &str)]) -> Result<Vec<Trace>> {
        let answer = self.program.get(QUERY, path, query)?;
        Ok(serde_json::from_value(answer["data"].clone())?)
    }
}

#[derive(Deserialize)]
struct Trace {
    #[serde(rename = "traceID")]
    id: String,
    spans: Vec<TraceSpan>,
    processes: BTreeMap<String, Process>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TraceSpan {
    #[serde(rename = "spanID")]
    id: String,
    operation_name: String,
    #[serde(rename = "processID")]
    process: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    service_name: String,
}

impl Trace {
    fn spans(&self) -> impl Iterator<Item = Span> {
        self.spans.iter().map(|span| Span {
            id: span.id.clone(),
            service: self.processes[&span.process].service_name.clone(),
            name: span.operation_name.clone(),
        })
    }
}
