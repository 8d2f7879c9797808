//! `musicwallet import`: a file of songs through the public API, with a progress bar and a report.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use clap::ArgMatches;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Body, Client, Response, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::io::ReaderStream;

use crate::Failure;

/// A little more than the service's own deadline, so that its answer arrives.
const TIMEOUT: Duration = Duration::from_secs(130);

/// How many refused lines are printed.
const SHOWN: usize = 20;

/// The answer of an import.
#[derive(Debug, Deserialize)]
struct Report {
    rows: u64,
    added: u64,
    already: u64,
    refused: Vec<Refused>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    line: u64,
    reason: String,
}

/// Imports the file that `matches` name, and prints the report.
pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime
        .block_on(import(matches))
        .map_err(|error| Failure::new(Failure::FAILED, format!("{error:#}")))?;
    if report.refused.is_empty() {
        return Ok(());
    }
    let number = report.refused.len();
    Err(Failure::new(
        Failure::REFUSED_ROWS,
        format!("{number} rows were refused; the others are in"),
    ))
}

async fn import(matches: &ArgMatches) -> anyhow::Result<Report> {
    let path = matches.get_one::<PathBuf>("musics").context("--musics names no file")?;
    let url = matches.get_one::<String>("url").context("--url names no address")?;
    let url = url.trim_end_matches('/');
    let file = tokio::fs::File::open(path).await.with_context(|| path.display().to_string())?;
    let bytes = file.metadata().await?.len();
    let client = Client::builder().timeout(TIMEOUT).no_proxy().build()?;
    let token = token(matches, &client, url).await?;

    let bar = ProgressBar::new(bytes).with_style(
        ProgressStyle::with_template("{msg:10} {wide_bar} {bytes}/{total_bytes} {elapsed}")
            .context("the progress bar's template")?,
    );
    bar.set_message("sending");
    let sent = bar.clone();
    let stream = ReaderStream::with_capacity(file, 64 << 10);
    let stream = futures_util::StreamExt::inspect(stream, move |chunk| {
        sent.inc(chunk.as_ref().map_or(0, |chunk| chunk.len() as u64));
        if sent.position() >= bytes {
            sent.set_message("importing");
            sent.enable_steady_tick(Duration::from_millis(100));
        }
    });
    let answer = client
        .post(format!("{url}/api/musics/import"))
        .header(header::AUTHORIZATION, format!("Token {token}"))
        .header(header::CONTENT_TYPE, "text/csv")
        .header(header::CONTENT_LENGTH, bytes)
        .body(Body::wrap_stream(stream))
        .send()
        .await
        .with_context(|| format!("sending {} to {url}", path.display()))?;
    bar.finish_and_clear();
    let trace =
        answer.headers().get("x-trace-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let report: Report = serde_json::from_value(success(answer).await?)?;
    print(&report, path, trace.as_deref())?;
    Ok(report)
}

/// The token that was given, or a new one for the name and password that were given.
async fn token(matches: &ArgMatches, client: &Client, url: &str) -> anyhow::Result<String> {
    if let Ok(token) = std::env::var("MUSICWALLET_TOKEN") {
        return Ok(token);
    }
    let username = matches.get_one::<String>("username").context(
        "who imports? Give --username with --password-file or MUSICWALLET_PASSWORD, or a token in MUSICWALLET_TOKEN",
    )?;
    let password = match matches.get_one::<PathBuf>("password-file") {
        Some(path) => fs::read_to_string(path)
            .with_context(|| format!("reading the password from {}", path.display()))?
            .trim_end_matches(['\r', '\n'])
            .to_owned(),
        None => std::env::var("MUSICWALLET_PASSWORD")
            .context("there is no password: give --password-file, or set MUSICWALLET_PASSWORD")?,
    };
    let answer = client
        .post(format!("{url}/api-token-auth/"))
        .json(&json!({"username": username, "password": password}))
        .send()
        .await
        .with_context(|| format!("reaching {url}; is MusicWallet running there?"))?;
    let token = success(answer).await.context("signing in")?;
    token["token"].as_str().map(str::to_owned).context("the answer holds no token")
}

/// The body of a success, or the problem's own words.
async fn success(answer: Response) -> anyhow::Result<Value> {
    let status = answer.status();
    let body: Value = answer.json().await.unwrap_or_default();
    if status.is_success() {
        return Ok(body);
    }
    let Some(detail) = body["detail"].as_str() else { bail!("the answer was {status}") };
    let errors = body["errors"].as_array().into_iter().flatten();
    let errors = errors.filter_map(|error| error["detail"].as_str());
    let all = std::iter::once(detail).chain(errors).collect::<Vec<_>>().join("; ");
    Err(anyhow!("{all} ({status})"))
}

fn print(report: &Report, path: &Path, trace: Option<&str>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let Report { rows, added, already, refused } = report;
    writeln!(
        out,
        "{}: {rows} rows, {added} added, {already} already there, {} refused",
        path.display(),
        refused.len()
    )?;
    for Refused { line, reason } in refused.iter().take(SHOWN) {
        writeln!(out, "  line {line}: {reason}")?;
    }
    if refused.len() > SHOWN {
        writeln!(out, "  and {} more", refused.len() - SHOWN)?;
    }
    if let Some(trace) = trace {
        writeln!(out, "trace {trace}")?;
    }
    Ok(())
}
