//! `musicwallet loadtest`: load for a MusicWallet on this machine, with a progress bar and a report.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    num::NonZeroU16,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::ArgMatches;
use indicatif::{ProgressBar, ProgressStyle};
use loadtest::{End, Ended, Journeys, Load, Outcome, Pace, Rate, Report, Target};
use platform::config::HttpUrl;
use serde_json::json;

use crate::Failure;

/// Does what `matches` say.
pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let url: HttpUrl = value(matches, "url")?;
    let target = Target::new(url.as_str())
        .map_err(|wrong| Failure::new(Failure::SETTINGS, format!("--url: {wrong}")))?;
    let rate: Rate = value(matches, "rate")?;
    let duration: Duration = value(matches, "duration")?;
    let load = Load {
        seed: value(matches, "seed")?,
        people: value::<NonZeroU16>(matches, "people")?,
        abort_share: value(matches, "abort-share")?,
        pace: Pace::new(rate, End::After(duration)),
    };
    // Before the load: nobody wants to hear after an hour that a folder is missing.
    let mut traces = create(matches, "trace-ids")?.map(Traces::to);
    let report_file = create(matches, "report")?;
    let report = drive(&target, &load, &mut traces)?;
    write!(io::stderr(), "{report}")?;
    match report_file {
        Some(file) => write_report(file, &report)?,
        None => write_report(io::stdout().lock(), &report)?,
    }
    traces.map_or(Ok(()), Traces::finish)
}

fn drive(target: &Target, load: &Load, traces: &mut Option<Traces>) -> Result<Report, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut told = |ended: &Ended| {
        if let Some(traces) = traces {
            traces.write(ended);
        }
    };
    runtime.block_on(async {
        let prepared = Journeys::prepare(target, load, &mut told).await;
        let journeys =
            prepared.map_err(|error| Failure::new(Failure::FAILED, error.to_string()))?;
        let bar = progress(load.pace.arrivals());
        let (mut failed, mut not_sent) = (0, 0);
        let report = journeys.run(|ended| {
            told(ended);
            match ended.outcome {
                Outcome::Answered { .. } => {}
                Outcome::Failed(_) => failed += 1,
                Outcome::NotSent => not_sent += 1,
            }
            bar.inc(1);
            bar.set_message(format!("{failed} failed, {not_sent} not sent"));
        });
        let report = report.await;
        bar.finish_and_clear();
        Ok(report)
    })
}

/// On stderr, where that is a terminal.
fn progress(arrivals: u64) -> ProgressBar {
    let template = "{wide_bar} {pos}/{len} {elapsed} {msg}";
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(arrivals).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What clap has checked.
fn value<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> Result<T, Failure> {
    let missing = || Failure::new(Failure::SETTINGS, format!("--{name} has no value"));
    matches.get_one::<T>(name).cloned().ok_or_else(missing)
}

/// The file that an option names, empty.
fn create(matches: &ArgMatches, name: &str) -> Result<Option<File>, Failure> {
    let Some(path) = matches.get_one::<PathBuf>(name) else { return Ok(None) };
    File::create(path).map(Some).map_err(|error| {
        Failure::new(Failure::FAILED, format!("--{name} {}: {error}", path.display()))
    })
}

fn write_report(mut to: impl Write, report: &Report) -> Result<(), Failure> {
    serde_json::to_writer_pretty(&mut to, report).map_err(io::Error::from)?;
    writeln!(to)?;
    Ok(to.flush()?)
}

/// A line for each answer.
struct Traces {
    to: BufWriter<File>,
    /// Whether all could be written so far. A full disk does not end a load; it is told afterwards.
    so_far: io::Result<()>,
}

impl Traces {
    fn to(file: File) -> Traces {
        Traces { to: BufWriter::new(file), so_far: Ok(()) }
    }

    fn write(&mut self, ended: &Ended) {
        if let (Outcome::Answered { status, trace_id, latency }, Ok(())) =
            (&ended.outcome, &self.so_far)
        {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let line = json!({
                "trace_id": trace_id,
                "action": ended.action,
                "status": status,
                "latency_ms": latency.as_secs_f64() * 1000.0,
                "ended_unix_ms": now.as_millis() as u64,
            });
            self.so_far = writeln!(self.to, "{line}");
        }
    }

    fn finish(mut self) -> Result<(), Failure> {
        let written = self.so_far.and_then(|()| self.to.flush());
        written
            .map_err(|error| Failure::new(Failure::FAILED, format!("writing --trace-ids: {error}")))
    }
}
