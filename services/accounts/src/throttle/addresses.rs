//! How often an address may fail: so many at once, then one a minute. In memory, and not much of it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// After so many milliseconds one more is allowed.
const INTERVAL: i64 = 60_000;
/// Addresses of one generation; there are two.
const MOST: usize = 50_000;

/// Counts per address.
pub(crate) struct Addresses {
    begun: Instant,
    buckets: Mutex<Buckets>,
}

impl Addresses {
    /// `burst` at once.
    pub(crate) fn new(burst: i64) -> Addresses {
        Addresses { begun: Instant::now(), buckets: Mutex::new(Buckets::new(burst)) }
    }

    /// How long to wait, if more are not allowed now.
    pub(crate) fn look(&self, address: IpAddr) -> Result<(), Duration> {
        self.buckets().look(address, self.now())
    }

    /// Counts one more.
    pub(crate) fn count(&self, address: IpAddr) {
        let now = self.now();
        self.buckets().count(address, now);
    }

    /// Both at once: counts one more if that is allowed.
    pub(crate) fn take(&self, address: IpAddr) -> Result<(), Duration> {
        let now = self.now();
        let mut buckets = self.buckets();
        buckets.look(address, now)?;
        buckets.count(address, now);
        Ok(())
    }

    /// Counts one less: it was none.
    pub(crate) fn give_back(&self, address: IpAddr) {
        self.buckets().give_back(address);
    }

    fn now(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same as a function of time, in milliseconds.
///
/// Of each address there is the moment from which on it may do everything again (GCRA). Those that were not met for a generation are
/// forgotten: by then they may, unless so many others came that there was no place left.
struct Buckets {
    burst: i64,
    young: HashMap<IpAddr, i64>,
    old: HashMap<IpAddr, i64>,
    /// When the young generation began.
    since: i64,
}

impl Buckets {
    fn new(burst: i64) -> Buckets {
        Buckets { burst, young: HashMap::new(), old: HashMap::new(), since: 0 }
    }

    fn look(&self, address: IpAddr, now: i64) -> Result<(), Duration> {
        let free = self.young.get(&address).or_else(|| self.old.get(&address));
        let wait = free.map_or(0, |free| free - now - (self.burst - 1) * INTERVAL);
        if wait > 0 { Err(Duration::from_millis(wait.unsigned_abs())) } else { Ok(()) }
    }

    fn count(&mut self, address: IpAddr, now: i64) {
        if self.young.len() >= MOST || now - self.since > self.burst * INTERVAL {
            self.old = std::mem::take(&mut self.young);
            self.since = now;
        }
        let free = self.young.get(&address).copied().or_else(|| self.old.remove(&address));
        self.young.insert(address, free.unwrap_or(now).max(now) + INTERVAL);
    }

    fn give_back(&mut self, address: IpAddr) {
        if let Some(free) = self.young.get_mut(&address).or_else(|| self.old.get_mut(&address)) {
            *free -= INTERVAL;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::throttle::steps::{DAY, Failures};

    impl Buckets {
        fn take(&mut self, address: IpAddr, now: i64) -> Result<(), Duration> {
            self.look(address, now)?;
            self.count(address, now);
            Ok(())
        }
    }

    fn address(number: u128) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from_bits(number << 64))
    }

    #[test]
    fn an_address_fails_ten_times_and_then_once_a_minute() {
        let (mut buckets, who) = (Buckets::new(10), address(1));
        for _ in 0..10 {
            assert_eq!(buckets.take(who, 5), Ok(()));
        }
        assert_eq!(buckets.take(who, 5), Err(Duration::from_secs(60)));
        assert_eq!(buckets.take(who, 30_005), Err(Duration::from_secs(30)));
        assert_eq!(buckets.take(who, 60_005), Ok(()));
        assert_eq!(buckets.take(who, 60_006), Err(Duration::from_millis(59_999)));
        assert_eq!(buckets.take(address(2), 60_006), Ok(()), "others do not suffer");
        // Ten minutes later all is as in the beginning.
        let tried = (0..50).filter(|_| buckets.take(who, 720_006).is_ok()).count();
        assert_eq!(tried, 10);
    }

    #[test]
    fn what_was_none_is_not_counted() {
        let (mut buckets, who) = (Buckets::new(10), address(1));
        for _ in 0..1_000 {
            assert_eq!(buckets.take(who, 0), Ok(()));
            buckets.give_back(who);
        }
        buckets.give_back(address(2));
        assert_eq!((0..50).filter(|_| buckets.take(who, 0).is_ok()).count(), 10);
    }

    #[test]
    fn a_million_addresses_take_the_place_of_a_hundred_thousand_and_leave_it_again() {
        let mut buckets = Buckets::new(10);
        let kept = |buckets: &Buckets| buckets.young.len() + buckets.old.len();
        for number in 0..1_000_000 {
            buckets.take(address(number), 0).unwrap();
            assert!(kept(&buckets) <= 2 * MOST);
        }
        for minutes in [11, 22] {
            buckets.take(address(7), minutes * INTERVAL).unwrap();
        }
        assert_eq!(kept(&buckets), 1);
    }

    #[test]
    fn who_is_met_again_and_again_is_not_forgotten() {
        let (mut buckets, who) = (Buckets::new(10), address(1));
        let mut tried = 0;
        for second in 0..3_600 {
            tried += i32::from(buckets.take(who, second * 1_000).is_ok());
            buckets.take(address(u128::from(second.unsigned_abs()) + 2), second * 1_000).unwrap();
        }
        assert_eq!(tried, 10 + 59);
    }

    /// S1: how many of 10,000 wrong passwords for one account are tried on one day, with this long between two, from so many addresses.
    fn tried(addresses: u128, apart: i64) -> i32 {
        let (mut buckets, mut failures) = (Buckets::new(10), Failures::default());
        let mut tried = 0;
        for attempt in 0..10_000 {
            let now = 20_000 * DAY + attempt * apart;
            let who = address(u128::from(attempt.unsigned_abs()) % addresses);
            if let (Ok(()), Ok(booked)) = (buckets.look(who, now), failures.book(now)) {
                failures = booked;
                buckets.count(who, now);
                tried += 1;
            }
        }
        tried
    }

    #[test]
    fn of_ten_thousand_guesses_of_a_day_a_hundred_are_tried() {
        let day_long = DAY / 10_000;
        assert_eq!(tried(1, day_long), 100);
        assert_eq!(tried(200, day_long), 100);
        assert_eq!(tried(200, 1_000), 100, "one a second");
        assert_eq!(tried(200, 0), 1, "at once");
        assert!(tried(1, 100) <= 10 + 16, "in a quarter of an hour from one address");
    }
}
