//! The real Loki: logs.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};

use super::program::{Kind, Ports, Program, shipped};

const HTTP: usize = 0;
const GRPC: usize = 1;

const KIND: Kind = Kind {
    name: "Loki",
    program: "loki",
    sockets: &[("HTTP", 3100), ("gRPC, for itself", 9095)],
    prepare: |_| Ok(()),
    configure: |command, addresses, data| {
        let mut config = std::ffi::OsString::from("-config.file=");
        config.push(shipped("loki/loki.yaml"));
        command
            .arg(config)
            .arg("-config.expand-env=true")
            .env("LOKI_DATA", data)
            .env("LOKI_PORT", addresses[HTTP].port().to_string())
            .env("LOKI_GRPC_PORT", addresses[GRPC].port().to_string());
    },
    ready: &[(HTTP, "/ready")],
};

/// One that takes 2 MB a second, and says 429 to more.
const NARROW: Kind = Kind {
    configure: |command, addresses, data| {
        (KIND.configure)(command, addresses, data);
        command.env("LOKI_INGESTION_MB", "2");
    },
    ..KIND
};

/// Loki, running.
#[derive(Debug)]
pub struct Loki {
    /// Its process.
    pub program: Program,
}

/// A line, as it tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Nanoseconds since 1970.
    pub time: u64,
    /// The line.
    pub text: String,
    /// Labels of its stream.
    pub labels: BTreeMap<String, String>,
    /// Structured metadata: `trace_id`, attributes.
    pub metadata: BTreeMap<String, String>,
}

impl Loki {
    /// Starts it, and returns when it is ready.
    ///
    /// # Errors
    /// What kept it from that.
    pub fn start(ports: Ports, data: &Path) -> Result<Loki> {
        Ok(Loki { program: Program::start(&KIND, ports, data)? })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.program.address(HTTP)
    }

    /// Starts one that is soon given too much.
    ///
    /// # Errors
    /// As of any other.
    pub fn start_narrow(ports: Ports, data: &Path) -> Result<Loki> {
        Ok(Loki { program: Program::start(&NARROW, ports, data)? })
    }

    /// Where its APIs are.
    #[must_use]
    pub fn url(&self) -> String {
        self.program.url(HTTP)
    }

    /// Where it receives OTLP by HTTP, at `/v1/logs`.
    #[must_use]
    pub fn otlp_url(&self) -> String {
        format!("{}/otlp", self.url())
    }

    /// Sends an export request of OTLP in JSON.
    ///
    /// # Errors
    /// It cannot be reached, or refuses.
    pub fn send(&self, logs: &Value) -> Result<()> {
        self.program.post(HTTP, "/otlp/v1/logs", logs)
    }

    /// Sends lines to a stream by its own push API.
    ///
    /// # Errors
    /// It cannot be reached, or refuses.
    pub fn push(&self, labels: &[(&str, &str)], lines: &[(&str, &[(&str, &str)])]) -> Result<()> {
        let object = |pairs: &[(&str, &str)]| -> Value {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos().to_string();
        let values: Vec<Value> =
            lines.iter().map(|(text, metadata)| json!([now, text, object(metadata)])).collect();
        let body = json!({ "streams": [{ "stream": object(labels), "values": values }] });
        self.program.post(HTTP, "/loki/api/v1/push", &body)
    }

    /// The lines that a LogQL query finds in the last hour, newest first, 5,000 at most.
    ///
    /// # Errors
    /// It cannot be reached, or refuses the query.
    pub fn query(&self, logql: &str) -> Result<Vec<Line>> {
        let path = "/loki/api/v1/query_range";
        // Without this it adds the metadata of a line to the labels of its stream.
        let answer = self.program.get_with(
            HTTP,
            path,
            &[("query", logql), ("since", "1h"), ("limit", "5000")],
            Some(("x-loki-response-encoding-flags", "categorize-labels")),
        )?;
        let streams: Vec<Stream> = serde_json::from_value(answer["data"]["result"].clone())?;
        let mut lines = Vec::new();
        for Stream { stream, values } in streams {
            for (time, text, more) in values {
                let (labels, metadata) = (stream.clone(), more.structured_metadata);
                lines.push(Line { time: time.parse()?, text, labels, metadata });
            }
        }
        lines.sort_by_key(|line| std::cmp::Reverse(line.time));
        Ok(lines)
    }

    /// What a LogQL query finds between two times, in seconds since 1970, as a panel gets it: streams or series.
    ///
    /// # Errors
    /// It cannot be reached, or refuses the query.
    pub fn range(&self, logql: &str, from: f64, to: f64) -> Result<Value> {
        let [from, to] = [from, to].map(|it| format!("{it:.9}"));
        let query = [("query", logql), ("start", &*from), ("end", &*to), ("step", "5")];
        let mut answer = self.program.get(HTTP, "/loki/api/v1/query_range", &query)?;
        Ok(answer["data"]["result"].take())
    }

    /// The values of a label in the last hour.
    ///
    /// # Errors
    /// It cannot be reached.
    pub fn label_values(&self, label: &str) -> Result<BTreeSet<String>> {
        let path = format!("/loki/api/v1/label/{label}/values");
        let answer = self.program.get(HTTP, &path, &[("since", "1h")])?;
        Ok(serde_json::from_value(answer["data"].clone())?)
    }

    /// The names of labels in the last hour.
    ///
    /// # Errors
    /// It cannot be reached.
    pub fn labels(&self) -> Result<BTreeSet<String>> {
        let answer = self.program.get(HTTP, "/loki/api/v1/labels", &[("since", "1h")])?;
        Ok(serde_json::from_value(answer["data"].clone())?)
    }
}

#[derive(Deserialize)]
struct Stream {
    stream: BTreeMap<String, String>,
    values: Vec<(String, String, More)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct More {
    #[serde(default)]
    structured_metadata: BTreeMap<String, String>,
}
