//! How fast a spool is, beside the same bytes written without one: `cargo run --release -p spool --example throughput [folder]`.

use std::{
    env,
    fs::File,
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use spool::{Limits, Spool};

const TOTAL: usize = 128 << 20;
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = env::args().nth(1).unwrap_or_else(|| env::temp_dir().display().to_string());
    let folder = Path::new(&folder).join(format!("throughput-{}", std::process::id()));
    let mut out = io::stdout().lock();
    writeln!(out, "medians of {ROUNDS} rounds of {} MiB, one after the other", TOTAL >> 20)?;
    writeln!(out, "    record   plain MB/s   appended MB/s   records/s   ratio   delivered MB/s")?;
    for size in [1 << 10, 16 << 10, 256 << 10] {
        let mut rounds = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            for (seconds, all) in round(&folder, &vec![7; size])?.into_iter().zip(&mut rounds) {
                all.push(seconds);
            }
        }
        let [plain, appended, delivered] = rounds.map(|mut all| {
            all.sort_by(f64::total_cmp);
            all[ROUNDS / 2]
        });
        let rate = |seconds: f64| TOTAL as f64 / 1e6 / seconds;
        writeln!(
            out,
            "{size:>8} B   {:>10.0}   {:>13.0}   {:>9.0}   {:>5.2}   {:>14.0}",
            rate(plain),
            rate(appended),
            (TOTAL / size) as f64 / appended,
            plain / appended,
            rate(delivered)
        )?;
    }
    Ok(())
}

/// Seconds of a plain write, of appending the same, and of reading and settling it.
fn round(folder: &Path, payload: &[u8]) -> Result<[f64; 3], Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    let count = TOTAL / payload.len();
    let plain = time(|| plain(&folder.join("plain"), payload, count))?;
    let limits = Limits { bytes: 1 << 30, age: Duration::from_secs(3600) };
    let (spool, mut reader) = Spool::open(&folder.join("spool"), limits)?;
    let appended = time(|| (0..count).try_for_each(|_| spool.append(1, payload)))?;
    let delivered = time(|| {
        while let Some(batch) = reader.next(4 << 20, u64::MAX)? {
            let units = batch.units();
            batch.settle(units, &[])?;
        }
        Ok::<_, spool::Error>(())
    })?;
    assert_eq!(spool.books().delivered, count as u64);
    drop((spool, reader));
    std::fs::remove_dir_all(folder)?;
    Ok([plain, appended, delivered])
}

fn plain(path: &Path, payload: &[u8], count: usize) -> io::Result<()> {
    let mut file = File::create(path)?;
    (0..count).try_for_each(|_| file.write_all(payload))
}

/// In seconds.
fn time<E>(work: impl FnOnce() -> Result<(), E>) -> Result<f64, E> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}
