//! What became of the requests, in total and by action.

use std::{collections::BTreeMap, fmt, time::Duration};

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

/// One arrival that is over.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What it was about.
    pub action: &'static str,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of an arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Too many others were in flight.
    NotSent,
    /// All of an answer came, whatever it says.
    Answered {
        /// The answer's status.
        status: u16,
        /// Its header `x-trace-id`.
        trace_id: Option<String>,
        /// From when the request was due to the last byte of its answer.
        latency: Duration,
    },
    /// It was sent, or was to be, and no answer came.
    Failed(Failure),
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// We left on purpose, in the middle of it.
    Aborted,
    /// The server ended the connection in good order, but before the end of the answer.
    Closed,
    /// There was no connection.
    Connect,
    /// Anything else, such as an answer that is no HTTP.
    Other,
    /// The connection was torn down.
    Reset,
    /// The deadline was over.
    Timeout,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Aborted => "left on purpose",
            Failure::Closed => "the connection was closed",
            Failure::Connect => "no connection",
            Failure::Other => "no HTTP answer",
            Failure::Reset => "the connection was reset",
            Failure::Timeout => "not in time",
        })
    }
}

/// How many requests; `sent + not_sent = due`, `answered + failed = sent`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// All that arrived.
    pub due: u64,
    /// Those that were tried.
    pub sent: u64,
    /// Those that got all of an answer.
    pub answered: u64,
    /// Those that did not.
    pub failed: u64,
    /// Those of `failed` that we left on purpose.
    pub aborted: u64,
    /// Those that were not tried, because too many were in flight.
    pub not_sent: u64,
}

/// The books of all requests, or of those of one action.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Books {
    /// How many.
    pub requests: Requests,
    /// Answers by their status.
    pub statuses: BTreeMap<u16, u64>,
    /// Failures by their kind.
    pub failures: BTreeMap<Failure, u64>,
    /// Latencies of answers, from when their requests were due.
    pub latency_ms: Times,
}

impl Books {
    pub(crate) fn book(&mut self, outcome: &Outcome) {
        let Requests { due, sent, answered, failed, aborted, not_sent } = &mut self.requests;
        *due += 1;
        match outcome {
            Outcome::NotSent => *not_sent += 1,
            Outcome::Answered { status, latency, .. } => {
                *sent += 1;
                *answered += 1;
                *self.statuses.entry(*status).or_default() += 1;
                self.latency_ms.record(*latency);
            }
            Outcome::Failed(failure) => {
                *sent += 1;
                *failed += 1;
                *aborted += u64::from(*failure == Failure::Aborted);
                *self.failures.entry(*failure).or_default() += 1;
            }
        }
    }
}

/// What takes longer than two hours, which nothing here does, counts as that.
const LONGEST_MICROS: u64 = 7_200_000_000;

/// A histogram of durations, exact to three digits. As JSON it is its percentiles in milliseconds, or null where it is empty.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

/// Milliseconds within which so many were over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub max: f64,
}

impl Default for Times {
    fn default() -> Times {
        let histogram = Histogram::new_with_max(LONGEST_MICROS, 3);
        Times(histogram.unwrap_or_else(|_| unreachable!("both numbers are within its limits")))
    }
}

impl Times {
    pub(crate) fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros);
    }

    /// `None` where nothing was recorded.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let ms = |micros: u64| micros as f64 / 1e3;
        let within = |quantile| ms(self.0.value_at_quantile(quantile));
        (!self.0.is_empty()).then(|| Percentiles {
            p50: within(0.5),
            p90: within(0.9),
            p99: within(0.99),
            p99_9: within(0.999),
            max: ms(self.0.max()),
        })
    }
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.percentiles().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_booked_once_and_the_sums_hold() {
        let mut books = Books::default();
        let answered = |status, ms| Outcome::Answered {
            status,
            trace_id: None,
            latency: Duration::from_millis(ms),
        };
        for outcome in [
            answered(200, 1),
            answered(200, 2),
            answered(404, 40),
            Outcome::Failed(Failure::Timeout),
            Outcome::Failed(Failure::Aborted),
            Outcome::NotSent,
        ] {
            books.book(&outcome);
        }
        let expected =
            Requests { due: 6, sent: 5, answered: 3, failed: 2, aborted: 1, not_sent: 1 };
        assert_eq!(books.requests, expected);
        let json = serde_json::to_value(&books).unwrap();
        assert_eq!(json["statuses"], serde_json::json!({"200": 2, "404": 1}));
        assert_eq!(json["failures"], serde_json::json!({"aborted": 1, "timeout": 1}));
        let percentiles = books.latency_ms.percentiles().unwrap();
        assert!((percentiles.p50 - 2.0).abs() < 0.01, "{percentiles:?}");
        assert!((percentiles.max - 40.0).abs() < 0.1, "{percentiles:?}");
    }

    #[test]
    fn nothing_recorded_is_no_number() {
        assert_eq!(Times::default().percentiles(), None);
        assert_eq!(serde_json::to_value(Times::default()).unwrap(), serde_json::Value::Null);
    }
}
