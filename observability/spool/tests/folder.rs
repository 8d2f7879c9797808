//! A spool in a real folder.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use spool::{Error, Limits, Reader, Spool};
use tempfile::TempDir;

const LIMITS: Limits = Limits { bytes: 64 << 10, age: Duration::from_secs(3600) };

fn drain(reader: &mut Reader) -> u64 {
    let mut delivered = 0;
    while let Some(batch) = reader.next(5000, u64::MAX).unwrap() {
        delivered += batch.units();
        let units = batch.units();
        batch.settle(units, &[]).unwrap();
    }
    delivered
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|it| it.extension().is_some_and(|it| it == "spool")).collect();
    files.sort();
    files
}

#[test]
fn what_is_appended_is_there_after_a_restart_for_the_owner_only() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path().join("traces");
    let (spool, _reader) = Spool::open(&folder, LIMITS).unwrap();
    for _ in 0..100 {
        spool.append(2, &[1; 400]).unwrap();
    }
    spool.sync().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for file in fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    let on_disk: u64 = segments(&folder).iter().map(|it| it.metadata().unwrap().len()).sum();
    let books = spool.books();
    assert_eq!(books.disk_bytes, on_disk);
    drop((spool, _reader));

    let (spool, mut reader) = Spool::open(&folder, LIMITS).unwrap();
    assert_eq!(spool.books(), books);
    assert_eq!(drain(&mut reader), 200);
    assert_eq!(segments(&folder).len(), 1);
}

#[test]
fn a_folder_has_one_owner_at_a_time() {
    let folder = TempDir::new().unwrap();
    let first = Spool::open(folder.path(), LIMITS).unwrap();
    let error = Spool::open(folder.path(), LIMITS).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }));
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(first);
    Spool::open(folder.path(), LIMITS).unwrap();
}

#[test]
fn files_of_others_are_not_touched() {
    let folder = TempDir::new().unwrap();
    let names = [
        "notes.txt",
        "1.spool",
        "00000000000000000000.spool",
        "18446744073709551615.spool",
        "7.spool.bak",
    ];
    for name in names {
        fs::write(folder.path().join(name), "mine").unwrap();
    }
    let ours = folder.path().join("00000000000000000005.spool");
    fs::write(&ours, "named like one of ours").unwrap();
    let (spool, mut reader) = Spool::open(folder.path(), LIMITS).unwrap();
    assert_eq!(spool.recovery().left_alone, std::slice::from_ref(&ours));
    spool.append(1, b"x").unwrap();
    drain(&mut reader);
    assert_eq!(fs::read_to_string(ours).unwrap(), "named like one of ours");
    for name in names {
        assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), "mine");
    }
}

#[test]
fn a_segment_that_is_deleted_from_the_folder_shows_to_the_unit() {
    let folder = TempDir::new().unwrap();
    let (spool, mut reader) = Spool::open(folder.path(), LIMITS).unwrap();
    for _ in 0..100 {
        spool.append(2, &[1; 400]).unwrap();
    }
    let files = segments(folder.path());
    fs::remove_file(&files[1]).unwrap();
    let delivered = drain(&mut reader);
    assert_eq!(spool.books().unaccounted() as u64, 200 - delivered);
    drop((spool, reader));
    let (spool, _reader) = Spool::open(folder.path(), LIMITS).unwrap();
    assert_eq!(spool.books().unaccounted() as u64, 200 - delivered);
    assert!(delivered > 100 && delivered < 200, "{delivered}");
}

#[test]
fn what_is_delivered_takes_no_more_room_on_the_disk() {
    let folder = TempDir::new().unwrap();
    let (spool, mut reader) = Spool::open(folder.path(), LIMITS).unwrap();
    for _ in 0..100 {
        spool.append(2, &[1; 400]).unwrap();
    }
    drain(&mut reader);
    let open = fs::read_dir("/proc/self/fd").unwrap();
    let open = open.filter_map(|it| fs::read_link(it.unwrap().path()).ok());
    let deleted: Vec<_> = open
        .filter(|it| it.starts_with(folder.path()) && it.to_string_lossy().ends_with("(deleted)"))
        .collect();
    assert!(deleted.is_empty(), "{deleted:?}");
}
