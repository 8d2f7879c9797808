//! When requests are due, and how many may be outstanding.

use std::time::Duration;

/// Requests per second: 0.1 to 100,000.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(f64);

impl Rate {
    /// `None` where it is out of bounds, or no number.
    pub fn per_second(rate: f64) -> Option<Rate> {
        (0.1..=100_000.0).contains(&rate).then_some(Rate(rate))
    }

    /// Requests per second.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// When there are no more arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What would be due at this time, or later, does not arrive.
    After(Duration),
    /// After so many arrivals.
    Arrivals(u64),
}

/// How requests arrive.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How often one is due.
    pub rate: Rate,
    /// Until when.
    pub end: End,
    /// How many may wait for their answers; whoever arrives beyond that is not sent, and never queued.
    pub in_flight: usize,
    /// How long one may take, from when it is sent until the last byte of its answer.
    pub deadline: Duration,
}

impl Pace {
    /// With 1,000 in flight and 15 s for each.
    pub fn new(rate: Rate, end: End) -> Pace {
        Pace { rate, end, in_flight: 1_000, deadline: Duration::from_secs(15) }
    }

    /// How many requests arrive.
    pub fn arrivals(&self) -> u64 {
        match self.end {
            End::Arrivals(number) => number,
            End::After(time) => {
                let number = (self.rate.0 * time.as_secs_f64()).ceil() as u64;
                // 0.1 a second for 30 s are 3.0000000000000004 in floating point.
                let one_too_many = number > 0 && self.due(number - 1) >= time;
                number - u64::from(one_too_many)
            }
        }
    }

    /// When the arrival with this number is due, counted from the start. Not from the one before: rounding would add up, and a pause of
    /// ours would move all that follow.
    pub fn due(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(rate: f64, seconds: u64) -> Pace {
        Pace::new(Rate::per_second(rate).unwrap(), End::After(Duration::from_secs(seconds)))
    }

    #[test]
    fn arrivals_are_evenly_spaced_from_the_start_on() {
        let dues = [0, 1, 50, 99].map(|number| pace(50.0, 2).due(number).as_millis());
        assert_eq!(dues, [0, 20, 1_000, 1_980]);
        // A third of a second has no exact number of nanoseconds, and yet the last of a day is where it belongs.
        assert_eq!(pace(3.0, 1).due(3 * 86_400), Duration::from_secs(86_400));
    }

    #[test]
    fn as_many_arrive_as_rate_and_duration_say() {
        for (rate, seconds, expected) in [
            (50.0, 30, 1_500),
            (0.1, 30, 3),
            (0.1, 1, 1),
            (0.3, 10, 3),
            (7.5, 1, 8),
            (100_000.0, 3_600, 360_000_000),
        ] {
            let pace = pace(rate, seconds);
            assert_eq!(pace.arrivals(), expected, "{rate} a second for {seconds} s");
            assert!(pace.due(expected - 1) < Duration::from_secs(seconds));
            assert!(pace.due(expected) >= Duration::from_secs(seconds));
        }
        let counted = Pace { end: End::Arrivals(17), ..pace(50.0, 1) };
        assert_eq!(counted.arrivals(), 17);
    }

    #[test]
    fn a_rate_has_bounds() {
        for wrong in [0.0, 0.09, -1.0, 100_001.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Rate::per_second(wrong), None, "{wrong}");
        }
        assert_eq!(Rate::per_second(0.1).map(Rate::get), Some(0.1));
    }
}
