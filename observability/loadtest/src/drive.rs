//! The loop.

use std::{collections::BTreeMap, panic, time::Duration};

use serde::Serialize;
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};

use crate::{
    books::{Books, Ended, Failure, Outcome, Times},
    pace::Pace,
    target::{Request, Target},
};

/// What a load has led to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run {
    /// From the first arrival to the last answer.
    #[serde(rename = "took_s", serialize_with = "seconds")]
    pub took: Duration,
    /// All requests.
    #[serde(flatten)]
    pub total: Books,
    /// How long after its time each was sent. It is a part of its latency, and our fault: where it is much, this machine is too slow for
    /// the rate.
    pub late_ms: Times,
    /// The same by action.
    pub actions: BTreeMap<&'static str, Books>,
}

impl Run {
    fn book(&mut self, ended: &Ended) {
        self.total.book(&ended.outcome);
        self.actions.entry(ended.action).or_default().book(&ended.outcome);
    }
}

pub(crate) fn seconds<S: serde::Serializer>(
    time: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// Sends what `next` makes to `target`, each when `pace` says; `told` hears of each that is over.
///
/// Wants a runtime with several threads: answers must not wait for arrivals.
pub async fn drive(
    target: &Target,
    pace: &Pace,
    mut next: impl FnMut() -> Request,
    mut told: impl FnMut(&Ended),
) -> Run {
    let mut run = Run::default();
    let mut in_flight = JoinSet::new();
    let start = Instant::now();
    for number in 0..pace.arrivals() {
        let request = next();
        let due = start + pace.due(number);
        tokio::time::sleep_until(due).await; // not at all where it is overdue
        while let Some(ended) = in_flight.try_join_next() {
            over(&mut run, ended, &mut told);
        }
        if in_flight.len() >= pace.in_flight {
            let not_sent = Ended { action: request.action, outcome: Outcome::NotSent };
            over(&mut run, Ok(not_sent), &mut told);
            continue;
        }
        run.late_ms.record(due.elapsed());
        in_flight.spawn(exchange(target.clone(), request, due, pace.deadline));
    }
    while let Some(ended) = in_flight.join_next().await {
        over(&mut run, ended, &mut told);
    }
    run.took = start.elapsed();
    run
}

fn over(run: &mut Run, ended: Result<Ended, JoinError>, told: &mut impl FnMut(&Ended)) {
    // Nobody cancels them, so what failed has panicked.
    let ended = ended.unwrap_or_else(|failed| panic::resume_unwind(failed.into_panic()));
    run.book(&ended);
    told(&ended);
}

async fn exchange(target: Target, request: Request, due: Instant, deadline: Duration) -> Ended {
    let sent = async {
        match request.abort_after {
            Some(after) => Err(target.send_and_leave(&request, after).await),
            None => target.send(&request, |_| ()).await,
        }
    };
    let outcome = match tokio::time::timeout(deadline, sent).await {
        Ok(Ok((status, trace_id))) => {
            Outcome::Answered { status, trace_id, latency: due.elapsed() }
        }
        Ok(Err(failure)) => Outcome::Failed(failure),
        Err(_) => Outcome::Failed(Failure::Timeout),
    };
    Ended { action: request.action, outcome }
}
