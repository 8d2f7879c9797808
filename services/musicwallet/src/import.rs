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
use platform::config::HttpUrl;
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
    let signer = Signer::of(matches)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime
        .block_on(import(matches, signer))
        .map_err(|error| Failure::new(Failure::FAILED, format!("{error:#}")))?;
    if report.refused.is_empty() {
        return Ok(());
    }
    let told = match report.refused.len() {
        1 => "1 row was refused; the others are in".to_owned(),
        number => format!("{number} rows were refused; the others are in"),
    };
    Err(Failure::new(Failure::REFUSED_ROWS, told))
}

async fn import(matches: &ArgMatches, signer: Signer) -> anyhow::Result<Report> {
    let path = matches.get_one::<PathBuf>("musics").context("--musics names no file")?;
    let url = matches.get_one::<HttpUrl>("url").context("--url names no address")?;
    let file = tokio::fs::File::open(path).await.with_context(|| path.display().to_string())?;
    let about = file.metadata().await?;
    if about.is_dir() {
        bail!("{} is a directory; --musics takes one CSV file", path.display());
    }
    let length = about.is_file().then_some(about.len()); // a pipe has as much as comes
    let client = Client::builder().timeout(TIMEOUT).no_proxy().build()?;
    let token = signer.token(&client, url).await?;

    let bar = progress(length)?;
    let sent = bar.clone();
    let stream = ReaderStream::with_capacity(file, 64 << 10);
    let stream = futures_util::StreamExt::inspect(stream, move |chunk| {
        sent.inc(chunk.as_ref().map_or(0, |chunk| chunk.len() as u64));
        if length.is_some_and(|length| sent.position() >= length) {
            sent.set_message("importing");
            sent.enable_steady_tick(Duration::from_millis(100));
        }
    });
    let mut request = client
        .post(format!("{url}/api/musics/import"))
        .header(header::AUTHORIZATION, format!("Token {token}"))
        .header(header::CONTENT_TYPE, "text/csv");
    if let Some(length) = length {
        request = request.header(header::CONTENT_LENGTH, length);
    }
    let answer = request
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

/// A bar up to `length`, or a spinner where nobody knows how much will come.
fn progress(length: Option<u64>) -> anyhow::Result<ProgressBar> {
    let (bar, template) = match length {
        Some(length) => {
            (ProgressBar::new(length), "{msg:10} {wide_bar} {bytes}/{total_bytes} {elapsed}")
        }
        None => (ProgressBar::new_spinner(), "{msg:10} {spinner} {bytes} {elapsed}"),
    };
    let style = ProgressStyle::with_template(template).context("the progress bar's template")?;
    Ok(bar.with_style(style).with_message("sending"))
}

/// Who imports.
enum Signer {
    Token(String),
    Person { username: String, password: String },
}

impl Signer {
    /// What was given, without asking anybody. An empty variable counts as not set, as in the settings.
    fn of(matches: &ArgMatches) -> Result<Signer, Failure> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let usage = |message: &str| Failure::new(Failure::SETTINGS, message);
        if let Some(token) = variable("MUSICWALLET_TOKEN") {
            return Ok(Signer::Token(token));
        }
        let username = matches.get_one::<String>("username").cloned().ok_or_else(|| {
            usage(
                "who imports? Give --username with --password-file or MUSICWALLET_PASSWORD, or a token in MUSICWALLET_TOKEN",
            )
        })?;
        let password = match matches.get_one::<PathBuf>("password-file") {
            Some(path) => fs::read_to_string(path)
                .map_err(|error| {
                    usage(&format!("reading the password from {}: {error}", path.display()))
                })?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
            None => variable("MUSICWALLET_PASSWORD").ok_or_else(|| {
                usage("there is no password: give --password-file, or set MUSICWALLET_PASSWORD")
            })?,
        };
        Ok(Signer::Person { username, password })
    }

    /// The token that was given, or a new one.
    async fn token(self, client: &Client, url: &HttpUrl) -> anyhow::Result<String> {
        let (username, password) = match self {
            Signer::Token(token) => return Ok(token),
            Signer::Person { username, password } => (username, password),
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
}

/// The body of a success, or the problem's own words.
async fn success(answer: Response) -> anyhow::Result<Value> {
    let status = answer.status();
    let body: Value = answer.json().await.unwrap_or_default();
    if status.is_success() {
        return Ok(body);
    }
    let Some(detail) = body["detail"].as_str() else { bail!("the answer was {status}") };
    let errors = body["errors"].as_array().into_iter().flatten().skip(1); // `detail` tells the first
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
