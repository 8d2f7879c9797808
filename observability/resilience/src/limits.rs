//! How long a call may take and how much it may answer (architecture §8).

use std::time::Duration;

use http::Extensions;
use tokio::time::Instant;

use crate::error::PeerName;

/// What a call may cost. The deadline of the request that it is made for limits it further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For all attempts together; `None`: all that the request has left.
    pub(crate) call: Option<Duration>,
    /// For one attempt, from connecting to the last byte of the answer; `None`: all that the call has left.
    pub(crate) attempt: Option<Duration>,
    /// The most bytes of an answer's body.
    pub(crate) answer: usize,
}

impl Limits {
    /// 2 s for the call, 900 ms for an attempt, answers of 1 MiB.
    pub const DEFAULT: Limits = Limits {
        call: Some(Duration::from_secs(2)),
        attempt: Some(Duration::from_millis(900)),
        answer: 1 << 20,
    };

    /// As [`Limits::DEFAULT`], but answers of 4 MiB: 500 entries with the longest texts.
    pub const LIST: Limits = Limits { answer: 4 << 20, ..Limits::DEFAULT };

    /// As [`Limits::LIST`], for five such lists at once: answers of 16 MiB.
    pub const LISTS: Limits = Limits { answer: 16 << 20, ..Limits::DEFAULT };

    /// One attempt of 2 s: where a password may have to be hashed, which waits for its turn.
    pub const SIGN_IN: Limits = Limits { attempt: None, ..Limits::DEFAULT };

    /// All that the request has left, in one attempt: for bodies that are passed on while they arrive.
    pub(crate) const STREAM: Limits = Limits { call: None, attempt: None, answer: 1 << 20 };
}

/// The longest that a call without any limit takes: the deadline of the slowest request there is, an import.
const LONGEST: Duration = Duration::from_secs(120);

/// What the middlewares know about a call beyond its request; one per call, in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) peer: PeerName,
    pub(crate) template: &'static str,
    pub(crate) limits: Limits,
    /// When the call has to be over. A middleware that tries again looks here before it waits.
    pub(crate) until: Option<Instant>,
    /// Whether the answer's body is handed on as it arrives.
    pub(crate) stream: bool,
}

impl Plan {
    /// The plan of the call whose extensions these are. [`crate::Call`] always puts one there.
    pub(crate) fn of(extensions: &Extensions) -> reqwest_middleware::Result<Plan> {
        let missing = || anyhow::anyhow!("a call without a plan").into();
        extensions.get::<Plan>().copied().ok_or_else(missing)
    }

    /// When the call that begins now has to be over, being part of a request that has `remaining` left.
    pub(crate) fn end(&self, now: Instant, remaining: Option<Duration>) -> Instant {
        now + self.limits.call.unwrap_or(LONGEST).min(remaining.unwrap_or(LONGEST))
    }

    /// How long an attempt that begins now may take, in whole milliseconds; `None`: there is no time left for one.
    pub(crate) fn attempt(&self, now: Instant) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(now);
        let limit = self.limits.attempt.map_or(left, |attempt| attempt.min(left));
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        (millis > 0).then(|| Duration::from_millis(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn plan(limits: Limits) -> Plan {
        let peer = PeerName::new("accounts", "accounts-unavailable");
        Plan { peer, template: "/", limits, until: None, stream: false }
    }

    /// How long the first attempt of a call may take, and one that begins after `later`.
    fn attempts(limits: Limits, remaining: Option<Duration>, later: Duration) -> [Option<u128>; 2] {
        let now = Instant::now();
        let mut plan = plan(limits);
        plan.until = Some(plan.end(now, remaining));
        [now, now + later].map(|at| plan.attempt(at).map(|limit| limit.as_millis()))
    }

    #[test]
    fn an_attempt_has_900_ms_and_the_call_2_s() {
        assert_eq!(attempts(Limits::DEFAULT, None, ms(1_500)), [Some(900), Some(500)]);
        assert_eq!(attempts(Limits::DEFAULT, Some(ms(9_000)), ms(2_000)), [Some(900), None]);
    }

    #[test]
    fn the_request_that_a_call_is_made_for_limits_it() {
        assert_eq!(attempts(Limits::DEFAULT, Some(ms(1_000)), ms(400)), [Some(900), Some(600)]);
        assert_eq!(attempts(Limits::DEFAULT, Some(ms(0)), ms(0)), [None, None]);
    }

    #[test]
    fn less_than_a_millisecond_is_no_time() {
        let left = Some(Duration::from_micros(999));
        assert_eq!(attempts(Limits::DEFAULT, left, ms(0)), [None, None]);
    }

    #[test]
    fn a_sign_in_is_one_attempt_of_2_s() {
        assert_eq!(attempts(Limits::SIGN_IN, Some(ms(10_000)), ms(1_999)), [Some(2_000), Some(1)]);
    }

    #[test]
    fn a_stream_has_what_the_request_has_left() {
        assert_eq!(
            attempts(Limits::STREAM, Some(ms(90_000)), ms(80_000)),
            [Some(90_000), Some(10_000)]
        );
        assert_eq!(attempts(Limits::STREAM, None, ms(0))[0], Some(120_000));
    }
}
