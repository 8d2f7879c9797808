//! A spool over a disk that can be filled, cut, damaged, and set back to any moment.

mod crashes;
mod damage;
mod disk;
mod full;
mod limits;
mod reading;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use proptest::test_runner::{Config as ProptestConfig, RngSeed};

use crate::{Batch, Limits, Reader, Spool, clock::Clock, clock::Reading};
use disk::Disk;

/// So many, the same in every run.
fn cases(cases: u32) -> ProptestConfig {
    let seed = std::env::var("SPOOL_TEST_SEED").map_or(1, |it| it.parse().unwrap());
    let (rng_seed, failure_persistence) = (RngSeed::Fixed(seed), None);
    ProptestConfig { cases, rng_seed, failure_persistence, ..ProptestConfig::default() }
}

const HOUR: Duration = Duration::from_secs(3600);
const SMALL: Limits = Limits { bytes: 16 << 10, age: HOUR };
const LARGE: Limits = Limits { bytes: 1 << 20, age: HOUR };

/// Two clocks that a test sets.
#[derive(Clone, Debug, Default)]
struct Time {
    wall: Arc<AtomicU64>,
    monotonic: Arc<AtomicU64>,
}

impl Time {
    fn new() -> Time {
        let time = Time::default();
        time.wall.store(1_700_000_000_000, Relaxed);
        time
    }

    fn pass(&self, time: Duration) {
        let millis = time.as_millis() as u64;
        self.wall.fetch_add(millis, Relaxed);
        self.monotonic.fetch_add(millis, Relaxed);
    }

    fn clock(&self) -> Clock {
        let time = self.clone();
        Clock::reading(move || Reading {
            wall: time.wall.load(Relaxed),
            monotonic: time.monotonic.load(Relaxed),
        })
    }
}

fn open(disk: &Disk, limits: Limits) -> (Spool, Reader) {
    open_at(disk, limits, &Time::new())
}

fn open_at(disk: &Disk, limits: Limits, time: &Time) -> (Spool, Reader) {
    Spool::over(Arc::new(disk.clone()), limits, time.clock()).unwrap()
}

/// A payload that can be recognised.
fn payload(id: u64, length: usize) -> Vec<u8> {
    let mut payload = id.to_le_bytes().to_vec();
    payload.resize(length.max(8), id as u8);
    payload
}

fn id(payload: &[u8]) -> u64 {
    let id = u64::from_le_bytes(payload[..8].try_into().unwrap());
    assert!(payload[8..].iter().all(|it| *it == id as u8), "the payload is not as it was appended");
    id
}

fn ids(batch: &Batch<'_>) -> Vec<u64> {
    batch.payloads().iter().map(|it| id(it)).collect()
}

/// All that waits: id and units.
fn pending(reader: &Reader) -> Vec<(u64, u64)> {
    let records = reader.pending().map(Result::unwrap);
    records.map(|it| (id(&it.payload), it.units)).collect()
}

fn next(reader: &mut Reader) -> Option<Batch<'_>> {
    reader.next(u64::MAX, u64::MAX).unwrap()
}

/// Delivers all that waits, and gives back the ids.
fn drain(reader: &mut Reader) -> Vec<u64> {
    let mut delivered = Vec::new();
    while let Some(batch) = reader.next(1000, u64::MAX).unwrap() {
        delivered.extend(ids(&batch));
        let units = batch.units();
        batch.settle(units, &[]).unwrap();
    }
    delivered
}
