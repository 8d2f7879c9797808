//! How fast a spool is, beside the same bytes written without one: `cargo run --release -p spool --example throughput [folder]`.

use std::{
    env,
    fs::File,
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use spool::{Limits, Spool};

const TOTAL: usize = 512 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = env::args().nth(1).unwrap_or_else(|| env::temp_dir().display().to_string());
    let folder = Path::new(&folder).join(format!("throughput-{}", std::process::id()));
    let mut out = io::stdout().lock();
    writeln!(out, "record     plain MB/s   appended MB/s   records/s   ratio   delivered MB/s")?;
    for size in [1 << 10, 16 << 10, 256 << 10] {
        std::fs::create_dir_all(&folder)?;
        let payload = vec![7; size];
        let count = TOTAL / size;
        let plain = time(|| plain(&folder.join("plain"), &payload, count))?;
        std::fs::remove_file(folder.join("plain"))?;

        let limits = Limits { bytes: 2 << 30, age: Duration::from_secs(3600) };
        let (spool, mut reader) = Spool::open(&folder.join("spool"), limits)?;
        let appended = time(|| (0..count).try_for_each(|_| spool.append(1, &payload)))?;
        let delivered = time(|| {
            while let Some(batch) = reader.next(4 << 20, u64::MAX)? {
                let units = batch.units();
                batch.settle(units, &[])?;
            }
            Ok::<_, spool::Error>(())
        })?;
        assert_eq!(spool.books().delivered, count as u64);
        let rate = |seconds: f64| TOTAL as f64 / 1e6 / seconds;
        writeln!(
            out,
            "{:>6} B   {:>10.0}   {:>13.0}   {:>9.0}   {:>5.2}   {:>14.0}",
            size,
            rate(plain),
            rate(appended),
            count as f64 / appended,
            plain / appended,
            rate(delivered)
        )?;
        drop((spool, reader));
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
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
