//! What a load has led to, for programs and for people.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use crate::{
    books::{Books, Percentiles, Requests},
    drive::{Run, seconds},
    journeys::Load,
    pace::End,
};

/// The report of a load. As JSON it is what `musicwallet loadtest` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What the plan was made from.
    pub seed: u64,
    /// Requests per second, as asked for.
    pub rate: f64,
    /// For how long requests arrived.
    #[serde(rename = "duration_s", serialize_with = "seconds")]
    pub duration: Duration,
    /// What came before; none of it is in the other numbers.
    pub setup: Setup,
    /// The load.
    #[serde(flatten)]
    pub run: Run,
}

/// What came before the load.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Setup {
    /// Who signed up and in.
    pub people: u16,
    /// How many requests were answered.
    pub requests: u64,
    /// Their answers by status.
    pub statuses: BTreeMap<u16, u64>,
}

impl Report {
    pub(crate) fn new(load: &Load, setup: Setup, run: Run) -> Report {
        let duration = match load.pace.end {
            End::After(time) => time,
            End::Arrivals(number) => load.pace.due(number),
        };
        Report { seed: load.seed, rate: load.pace.rate.get(), duration, setup, run }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { seed, rate, duration, setup, run } = self;
        let Requests { due, sent, answered, failed, aborted, not_sent } = run.total.requests;
        writeln!(
            f,
            "{rate} requests per second for {duration:?}, seed {seed}, {} people",
            setup.people
        )?;
        writeln!(
            f,
            "due {due}, sent {sent}, answered {answered}, failed {failed} (aborted {aborted}), not sent {not_sent}"
        )?;
        for (status, number) in &run.total.statuses {
            writeln!(f, "  status {status}: {number}")?;
        }
        for (failure, number) in &run.total.failures {
            writeln!(f, "  {failure}: {number}")?;
        }
        writeln!(
            f,
            "{:16}{:>9}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "ms", "answered", "p50", "p90", "p99", "p99.9", "max"
        )?;
        for (action, books) in &run.actions {
            line(f, action, books)?;
        }
        line(f, "total", &run.total)?;
        if let Some(Percentiles { p99, max, .. }) = run.late_ms.percentiles() {
            writeln!(f, "sent after they were due: p99 {p99:.1} ms, max {max:.1} ms")?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, books: &Books) -> fmt::Result {
    write!(f, "{name:16}{:>9}", books.requests.answered)?;
    if let Some(Percentiles { p50, p90, p99, p99_9, max }) = books.latency_ms.percentiles() {
        write!(f, "{p50:>10.1}{p90:>10.1}{p99:>10.1}{p99_9:>10.1}{max:>10.1}")?;
    }
    writeln!(f)
}
