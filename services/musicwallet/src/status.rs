//! `musicwallet sidecar status`: the books of telemetry, from the services to where it is kept, as the sidecar's console has them.

use std::{
    fs,
    io::{self, Write},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::ArgMatches;
use platform::config::{Part, Reader};
use reqwest::{Client, header::HOST};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Failure, health::from_here};

/// The console asks all services for their metrics, which takes 2 s at most.
const TIMEOUT: Duration = Duration::from_secs(5);

/// `/delivery.json` of the console.
#[derive(Deserialize)]
struct Delivery {
    services: Vec<Sent>,
    absent: Vec<Absent>,
    pipelines: Vec<Flow>,
}

#[derive(Deserialize)]
struct Sent {
    service: String,
    signal: String,
    enqueued: u64,
    exported: u64,
    dropped: u64,
    failed: u64,
    in_queue: u64,
}

#[derive(Deserialize)]
struct Absent {
    service: String,
    why: String,
}

#[derive(Deserialize)]
struct Flow {
    signal: String,
    destination: String,
    received: u64,
    delivered: u64,
    dropped: Map<String, Value>,
    in_spool: u64,
    redelivered: u64,
    unaccounted: i64,
    trouble: Option<Trouble>,
}

#[derive(Deserialize)]
struct Trouble {
    since: String,
    why: String,
}

/// Prints the books. Fails when something is not delivered at the moment, or is not accounted for.
pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let mut reader = Reader::from_matches(matches);
    let config: Option<sidecar::Config> = Part::read(&mut reader);
    reader.finish()?;
    let Some(config) = config else { return Ok(()) }; // never after `finish`
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let delivery = runtime
        .block_on(ask(&config))
        .map_err(|error| Failure::new(Failure::FAILED, format!("{error:#}")))?;
    print(&delivery)?;
    let wrong: Vec<&str> = delivery
        .pipelines
        .iter()
        .filter(|it| it.trouble.is_some() || it.unaccounted != 0)
        .map(|it| it.signal.as_str())
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Failure::FAILED, format!("not all is well with {}", wrong.join(" and "))))
}

async fn ask(config: &sidecar::Config) -> anyhow::Result<Delivery> {
    let url = format!("http://{}/delivery.json", from_here(config.console_listen));
    let client = Client::builder().timeout(TIMEOUT).no_proxy().build()?;
    // The one name that the console always goes by, wherever it listens.
    let mut request = client.get(&url).header(HOST, "localhost");
    if let Some(path) = &config.token_file {
        let token = fs::read_to_string(path)
            .with_context(|| format!("reading the console's token from {}", path.display()))?;
        request = request.bearer_auth(token.trim());
    }
    let answer = request.send().await.with_context(|| {
        format!("reaching the sidecar's console at {url}; CONSOLE_LISTEN says where it is")
    })?;
    if !answer.status().is_success() {
        bail!("the sidecar's console at {url} answered {}", answer.status());
    }
    Ok(answer.json().await?)
}

fn print(delivery: &Delivery) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    writeln!(
        out,
        "{:10} {:8} {:>12} {:>12} {:>10} {:>10} {:>10}",
        "service", "signal", "enqueued", "exported", "dropped", "failed", "in queue"
    )?;
    for it in &delivery.services {
        writeln!(
            out,
            "{:10} {:8} {:>12} {:>12} {:>10} {:>10} {:>10}",
            it.service, it.signal, it.enqueued, it.exported, it.dropped, it.failed, it.in_queue
        )?;
    }
    for it in &delivery.absent {
        writeln!(out, "{:10} not available: {}", it.service, it.why)?;
    }
    if delivery.pipelines.is_empty() {
        writeln!(out, "\nNo destination is set: telemetry stays in the sidecar's own store.")?;
        return out.flush();
    }
    writeln!(
        out,
        "\n{:8} {:>12} {:>12} {:>10} {:>10} {:>11} {:>11}  destination",
        "signal", "received", "delivered", "dropped", "in spool", "sent again", "unaccounted"
    )?;
    for it in &delivery.pipelines {
        let dropped: u64 = it.dropped.values().filter_map(Value::as_u64).sum();
        writeln!(
            out,
            "{:8} {:>12} {:>12} {:>10} {:>10} {:>11} {:>11}  {}",
            it.signal,
            it.received,
            it.delivered,
            dropped,
            it.in_spool,
            it.redelivered,
            it.unaccounted,
            it.destination
        )?;
        for (reason, items) in &it.dropped {
            writeln!(out, "         dropped: {items} {reason}")?;
        }
        if let Some(Trouble { since, why }) = &it.trouble {
            writeln!(out, "         not delivering since {since}: {why}")?;
        }
    }
    out.flush()
}
