//! The load of `musicwallet loadtest`, and what the gateway says about it.

use std::{collections::BTreeMap, fs, path::PathBuf};

use real::stack::Loki;
use serde_json::Value;

use super::{SERVICES, compare::lines, sum};
use crate::harness::{App, Process, eventually};

/// A load that runs.
pub(super) struct Load {
    process: Process,
    traces: PathBuf,
    report: PathBuf,
}

/// What became of it.
pub(super) struct Ended {
    pub(super) report: Value,
    /// Those that were left before their answer.
    pub(super) aborted: u64,
    /// The status of each trace that was answered, those of the setup included.
    pub(super) statuses: BTreeMap<String, String>,
}

impl Load {
    pub(super) fn start(app: &App, more: &[&str]) -> Load {
        let [traces, report] = ["traces.jsonl", "report.json"].map(|it| app.data.path().join(it));
        let url = app.url("gateway", "api");
        let mut arguments = vec!["loadtest", "--url", &url, "--people", "3"];
        arguments.extend(["--trace-ids", traces.to_str().unwrap()]);
        arguments.extend(["--report", report.to_str().unwrap()]);
        arguments.extend(more);
        Load { process: app.command(&arguments), traces, report }
    }

    pub(super) fn ended(self) -> Ended {
        let (code, _, stderr) = self.process.end();
        assert_eq!(code, Some(0), "{stderr}");
        let report: Value = serde_json::from_slice(&fs::read(self.report).unwrap()).unwrap();
        let lines = fs::read_to_string(self.traces).unwrap();
        let mut statuses = BTreeMap::new();
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let trace = line["trace_id"].as_str().unwrap().to_owned();
            let before = statuses.insert(trace, line["status"].to_string());
            assert_eq!(before, None, "a trace for each answer");
        }
        let told = |it: &Value| it.as_u64().unwrap();
        let answered = told(&report["requests"]["answered"]) + told(&report["setup"]["requests"]);
        assert_eq!(statuses.len() as u64, answered, "{report:#}");
        Ended { aborted: told(&report["requests"]["aborted"]), report, statuses }
    }
}

/// Waits until nobody serves a request: those who left are served for a moment longer.
pub(super) fn all_are_idle(app: &App) {
    for service in SERVICES {
        eventually(&format!("{service} is idle"), || {
            match app.metric(service, "http_server_active_requests") {
                Some(0.0) | None => Ok(()),
                some => Err(format!("{some:?} are served")),
            }
        });
    }
}

/// The requests that the gateway counted: of its histogram of durations, which is its only counter of them.
pub(super) fn counted(app: &App) -> u64 {
    let text = app.internal("gateway", "/metrics").text;
    sum(&text, "http_server_request_duration_seconds_count", "")
}

/// A line of the gateway for a request.
pub(super) struct RequestLine {
    pub(super) trace: String,
    /// `None`: the client had gone.
    pub(super) status: Option<String>,
}

pub(super) fn request_lines(loki: &Loki) -> Vec<RequestLine> {
    let lines = lines(loki, "gateway", "|= \"request\"");
    let requests = lines.into_iter().filter(|it| it.text == "request");
    let request = |mut it: real::stack::Line| RequestLine {
        trace: it.metadata.remove("trace_id").unwrap(),
        status: it.metadata.remove("http_response_status_code"),
    };
    requests.map(request).collect()
}
