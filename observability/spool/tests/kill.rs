//! A real process is killed at any moment, again and again over the same folder.

use std::{
    env,
    io::{BufRead, BufReader, Write, stdout},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use spool::{Limits, Spool};
use tempfile::TempDir;

const FOLDER: &str = "SPOOL_TEST_FOLDER";
const LIMITS: Limits = Limits { bytes: 64 << 20, age: Duration::from_secs(3600) };
const UNITS: u64 = 3;

/// Not a test by itself: what the killed process does.
#[test]
fn child() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let (spool, mut reader) = Spool::open(Path::new(&folder), LIMITS).unwrap();
    let mut out = stdout().lock();
    for i in 1_usize.. {
        spool.append(UNITS, &vec![i as u8; i % 700]).unwrap();
        out.write_all(b"appended\n").unwrap();
        if i % 7 == 0 {
            let batch = reader.next(2000, u64::MAX).unwrap().unwrap();
            let units = batch.units();
            writeln!(out, "sending {units}").unwrap();
            batch.settle(units, &[]).unwrap();
            writeln!(out, "settled {units}").unwrap();
        }
        if i % 50 == 0 {
            spool.sync().unwrap();
        }
        out.flush().unwrap();
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let folder = TempDir::new().unwrap();
    // What was known when it was last opened, and since then said by the process.
    let (mut received, mut delivered) = (0, 0);
    let mut seed = 1_u64;
    for round in 0..20 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let lines = 1 + (seed >> 33) % 900;
        let (appended, sent, settled) = run_and_kill(folder.path(), lines);
        let (spool, reader) = Spool::open(folder.path(), LIMITS).unwrap();
        let books = spool.books();
        let context = format!("round {round}, killed after {lines} lines: {books:?}");
        assert_eq!(books.unaccounted(), 0, "{context}");
        assert_eq!(books.dropped_in_all(), 0, "{context}");
        // At most the one that it was about to acknowledge is there as well.
        let more = books.received - received - appended;
        assert!(more == 0 || more == UNITS, "{context}");
        let now_delivered = books.delivered - delivered;
        assert!(now_delivered == settled || now_delivered == sent, "{sent} {settled} {context}");
        let records: Vec<_> = reader.pending().map(Result::unwrap).collect();
        assert_eq!(records.len() as u64 * UNITS, books.in_spool.units, "{context}");
        assert!(records.iter().all(|it| it.payload.iter().all(|b| *b == it.payload[0])));
        (received, delivered) = (books.received, books.delivered);
    }
    assert!(delivered > 0);
}

/// Units that it said were appended, were about to be delivered, and were delivered.
fn run_and_kill(folder: &Path, lines: u64) -> (u64, u64, u64) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut appended, mut sent, mut settled, mut count) = (0, 0, 0, 0);
    // After the kill, what is still in the pipe was said before.
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let units = |it: &str| it.parse::<u64>().unwrap();
        match line.split_once(' ') {
            None if line == "appended" => appended += UNITS,
            Some(("sending", it)) => sent += units(it),
            Some(("settled", it)) => settled += units(it),
            _ => continue, // of the test harness, or cut off
        }
        count += 1;
        if count == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    (appended, sent, settled)
}
