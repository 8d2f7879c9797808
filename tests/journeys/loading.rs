//! `musicwallet loadtest`: what it reports is what the gateway has counted.

use std::{collections::BTreeMap, fs, process::Command};

use serde_json::Value;

use crate::harness::{App, binary, in_both_shapes};

/// Numbers of requests by status; without one, the client had gone.
type Counts = BTreeMap<String, u64>;

#[test]
fn what_the_report_says_is_what_the_gateway_has_counted() {
    in_both_shapes(|app| {
        let before = counted(app);
        let (report, traces) = load(app, &["--rate", "20", "--duration", "3s", "--seed", "1"]);
        let requests = &report["requests"];
        for (name, expected) in
            [("due", 60), ("sent", 60), ("answered", 60), ("failed", 0), ("not_sent", 0)]
        {
            assert_eq!(requests[name], expected, "{name} in {requests}");
        }
        let told = sum(&statuses(&report), &statuses(&report["setup"]));
        assert_eq!(sum(&before, &told), counted(app));
        for (action, status) in
            [("unknown_caller", "401"), ("wrong_body", "400"), ("unknown_path", "404")]
        {
            let refused = &report["actions"][action];
            let all = refused["requests"]["answered"].as_u64().unwrap();
            assert!(all > 0, "{action}: {report:#}");
            assert_eq!(statuses(refused), Counts::from([(status.to_owned(), all)]), "{action}");
        }
        assert!(report["latency_ms"]["p99"].as_f64().unwrap() > 0.0, "{report:#}");

        let mut listed = Counts::new();
        let mut ids: Vec<&str> = Vec::new();
        for line in &traces {
            *listed.entry(line["status"].to_string()).or_default() += 1;
            ids.push(line["trace_id"].as_str().unwrap());
        }
        assert_eq!(listed, told, "a line for each answer");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), traces.len(), "each has a trace of its own");
        let read = traces.iter().find(|line| line["action"] == "read" && line["status"] == 200);
        let id = read.unwrap()["trace_id"].as_str().unwrap();
        app.trace_when(id, |trace| {
            let found = trace.names().iter().any(|name| name == "gateway: GET /api/musics/{id}");
            found.then_some(()).ok_or_else(|| format!("{:?}", trace.names()))
        });
    });
}

#[test]
fn who_leaves_in_the_middle_is_counted_where_the_gateway_saw_them() {
    in_both_shapes(|app| {
        let before = counted(app);
        let more = ["--rate", "40", "--duration", "2s", "--seed", "5", "--abort-share", "0.4"];
        let (report, traces) = load(app, &more);
        let number = |name: &str| report["requests"][name].as_u64().unwrap();
        assert_eq!((number("due"), number("sent")), (80, 80), "{report:#}");
        let aborted = number("aborted");
        assert!(aborted > 10, "{report:#}");
        assert_eq!((number("failed"), number("answered")), (aborted, 80 - aborted), "{report:#}");
        assert_eq!(report["failures"], serde_json::json!({"aborted": aborted}));

        // Who leaves before the server has begun is never seen; who leaves later is an answer that nobody read, or one without a status.
        let told = sum(&statuses(&report), &statuses(&report["setup"]));
        assert_eq!(traces.len() as u64, told.values().sum::<u64>());
        let after = counted(app);
        for (status, number) in &sum(&before, &told) {
            assert!(after[status] >= *number, "{status}: {after:?} after {told:?}");
        }
        let seen = after.values().sum::<u64>() - before.values().sum::<u64>();
        let answered = told.values().sum::<u64>();
        assert!((answered..=answered + aborted).contains(&seen), "{seen}, {answered} + {aborted}");
    });
}

#[test]
fn what_is_not_on_this_machine_or_out_of_bounds_is_refused_before_anything_is_sent() {
    for (arguments, told) in [
        (["--url", "http://192.0.2.1:8080"], ["192.0.2.1", "loopback addresses only"]),
        (["--url", "http://0.0.0.0:8080"], ["0.0.0.0", "loopback addresses only"]),
        (["--url", "http://[2001:db8::1]:80"], ["2001:db8::1", "loopback addresses only"]),
        (["--url", "127.0.0.1:8080"], ["--url", "http://127.0.0.1:"]),
        (["--rate", "0.05"], ["--rate", "from 0.1 to 100000"]),
        (["--rate", "100001"], ["--rate", "from 0.1 to 100000"]),
        (["--rate", "NaN"], ["--rate", "from 0.1 to 100000"]),
        (["--rate", "-1"], ["--rate", "from 0.1 to 100000"]),
        (["--duration", "999ms"], ["--duration", "from 1s to 1h"]),
        (["--duration", "61m"], ["--duration", "from 1s to 1h"]),
        (["--duration", "30"], ["--duration", "from 1s to 1h"]),
        (["--seed", "-1"], ["--seed", "from 0 to 18446744073709551615"]),
        (["--people", "0"], ["--people", "from 1 to 1000"]),
        (["--people", "1001"], ["--people", "from 1 to 1000"]),
        (["--abort-share", "1.01"], ["--abort-share", "from 0 to 1"]),
        (["--abort-share", "-0.1"], ["--abort-share", "from 0 to 1"]),
    ] {
        fails(&arguments, 2, &told);
    }
}

#[test]
fn a_load_that_cannot_begin_is_one_sentence() {
    // Nobody can listen on port 0.
    fails(&["--url", "http://127.0.0.1:0"], 1, &["sign_up", "is MusicWallet running there?"]);
    fails(&["--report", "/nowhere/report.json"], 1, &["--report /nowhere/report.json"]);
}

#[track_caller]
fn fails(arguments: &[&str], code: i32, told: &[&str]) {
    let output =
        Command::new(binary()).arg("loadtest").args(arguments).env_clear().output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    for part in told {
        assert!(stderr.contains(part), "{arguments:?}: {part:?} is missing in: {stderr}");
    }
    assert!(output.stdout.is_empty(), "{arguments:?}");
}

/// Runs it with three people; the report, and the lines of traces.
fn load(app: &App, more: &[&str]) -> (Value, Vec<Value>) {
    let traces = app.data.path().join("traces.jsonl");
    let url = app.url("gateway", "api");
    let mut arguments = vec!["loadtest", "--url", &url, "--people", "3"];
    arguments.extend(["--trace-ids", traces.to_str().unwrap()]);
    arguments.extend(more);
    let (code, stdout, stderr) = app.command(&arguments).end();
    assert_eq!(code, Some(0), "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let summary = format!("due {},", report["requests"]["due"]);
    assert!(stderr.contains(&summary), "{stderr}");
    let lines = fs::read_to_string(traces).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (report, lines)
}

fn statuses(books: &Value) -> Counts {
    let statuses = books["statuses"].as_object().unwrap().iter();
    statuses.map(|(status, number)| (status.clone(), number.as_u64().unwrap())).collect()
}

fn sum(one: &Counts, other: &Counts) -> Counts {
    let mut sum = one.clone();
    for (status, number) in other {
        *sum.entry(status.clone()).or_default() += number;
    }
    sum
}

/// The requests that the gateway has counted so far.
fn counted(app: &App) -> Counts {
    let mut counts = Counts::new();
    let text = app.internal("gateway", "/metrics").text;
    let series = text.lines().filter_map(|line| {
        let (labels, number) = line.rsplit_once(' ')?;
        let labels = labels.strip_prefix("http_server_request_duration_seconds_count{")?;
        let (_, status) = labels.split_once("http_response_status_code=\"")?;
        Some((status.split_once('"')?.0.to_owned(), number.parse::<f64>().unwrap() as u64))
    });
    for (status, number) in series {
        *counts.entry(status).or_default() += number;
    }
    counts
}
