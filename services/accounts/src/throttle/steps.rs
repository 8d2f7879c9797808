//! How long to wait after so many wrong passwords on a day. Pure: time goes in as milliseconds since 1970.

use std::time::Duration;

/// A day (UTC) in milliseconds.
pub(crate) const DAY: i64 = 24 * 60 * 60 * 1000;
/// How many are tried on one day.
const MOST: i64 = 100;

/// The wrong passwords of a day, of one account or of one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    /// How many.
    pub(crate) count: i64,
    /// On which day since 1970.
    pub(crate) day: i64,
    /// Until then nothing is tried.
    pub(crate) next_at: i64,
}

impl Failures {
    /// With one more, or the time to wait.
    pub(crate) fn book(self, now: i64) -> Result<Failures, Duration> {
        let wait = self.next_at - now;
        // No step is longer than a day: where one seems to be, the clock was put back.
        if (1..=DAY).contains(&wait) {
            return Err(Duration::from_millis(wait.unsigned_abs()));
        }
        let day = now.div_euclid(DAY);
        let count = if self.day == day { self.count + 1 } else { 1 };
        let next_at = match count {
            ..3 => now + 1_000,
            3..9 => now + 3_000,
            9..25 => now + 5_000,
            25..MOST => now + 10_000,
            _ => (day + 1) * DAY,
        };
        Ok(Failures { count, day, next_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 20_000 * DAY + DAY / 2;

    #[test]
    fn each_failure_opens_a_time_in_which_nothing_is_tried() {
        let (mut failures, mut now, mut waits) = (Failures::default(), NOON, Vec::new());
        for count in 1..=MOST {
            failures = failures.book(now).unwrap();
            assert_eq!((failures.count, failures.day), (count, 20_000));
            let wait = failures.book(now).unwrap_err();
            assert_eq!(failures.book(now + 1), Err(wait - Duration::from_millis(1)));
            waits.push(wait.as_secs());
            now = failures.next_at;
        }
        let of = |seconds| waits.iter().filter(|wait| **wait == seconds).count();
        assert_eq!((of(1), of(3), of(5), of(10)), (2, 6, 16, 75));
        assert_eq!(now, 20_001 * DAY, "the last one waits for the end of the day");
        assert_eq!(failures.book(now).unwrap().count, 1, "and then all begins again");
    }

    #[test]
    fn a_new_day_has_none_but_the_wait_of_the_last_one() {
        let midnight = 20_001 * DAY;
        let late = Failures { count: 7, day: 20_000, next_at: midnight - 1 };
        let late = late.book(midnight - 1).unwrap();
        assert_eq!(late.book(midnight), Err(Duration::from_millis(2_999)));
        assert_eq!(late.book(midnight + 2_999).unwrap().count, 1);
    }

    #[test]
    fn a_clock_that_was_put_back_locks_nobody_out() {
        let future = Failures { count: 100, day: 30_000, next_at: 30_001 * DAY };
        assert_eq!(future.book(NOON).unwrap().count, 1);
    }
}
