//! A disk that is full, or fails.

use super::*;
use crate::Error;

#[test]
fn nothing_stays_of_a_write_that_failed_and_the_next_one_succeeds_once_there_is_room() {
    let disk = Disk::default();
    let (spool, mut reader) = open(&disk, LARGE);
    spool.append(1, &payload(1, 100)).unwrap();
    for fails in [false, true] {
        disk.fail_truncating(fails);
        disk.fill(50);
        for _ in 0..3 {
            let error = spool.append(10, &payload(9, 100)).unwrap_err();
            assert!(matches!(error, Error::Io { what: "write", .. }), "{error}");
        }
        let (killed, _reader) = open(&disk.image(), LARGE);
        assert_eq!(killed.books().received, spool.books().received);
        assert_eq!(killed.books().unaccounted(), 0);
        disk.make_room();
        spool.append(1, &payload(2, 100)).unwrap();
    }
    let (_, mut after) = open(&disk.image(), LARGE);
    assert_eq!(drain(&mut after), [1, 2, 2]);
    assert_eq!(drain(&mut reader), [1, 2, 2]);
    assert_eq!(spool.books().unaccounted(), 0);
}

#[test]
fn records_that_come_together_are_kept_all_or_none() {
    let disk = Disk::default();
    let (spool, mut reader) = open(&disk, LARGE);
    let (first, second) = (payload(1, 100), payload(2, 100));
    let together = [(3, &first[..]), (4, &second[..])];
    for fails in [false, true] {
        disk.fail_truncating(fails);
        disk.fill(200); // for the first of them
        let error = spool.append_all(&together).unwrap_err();
        assert!(matches!(error, Error::Io { what: "write", .. }), "{error}");
        assert_eq!((spool.books().received, spool.books().in_spool.records), (0, 0));
        assert!(reader.next(u64::MAX, u64::MAX).unwrap().is_none());
        disk.make_room();
    }
    disk.fail_truncating(false);
    spool.append_all(&together).unwrap();
    let books = spool.books();
    assert_eq!((books.received, books.in_spool.records, books.unaccounted()), (7, 2, 0));
    let (_, mut after) = open(&disk.image(), LARGE);
    assert_eq!(drain(&mut after), [1, 2]);
    assert_eq!(drain(&mut reader), [1, 2]);
}

#[test]
fn a_disk_that_the_spool_itself_has_filled_becomes_empty_by_delivering() {
    let disk = Disk::default();
    let (spool, mut reader) = open(&disk, LARGE);
    disk.fill(100_000);
    let taken = (0..).map_while(|id| spool.append(1, &payload(id, 500)).ok()).count() as u64;
    disk.fill(0); // and others take the rest
    assert!(taken > 150);
    while let Some(batch) = reader.next(20_000, u64::MAX).unwrap() {
        let units = batch.units();
        batch.settle(units, &[]).unwrap();
        let (killed, _reader) = open(&disk.image(), LARGE);
        assert_eq!(killed.books().unaccounted(), 0);
        assert_eq!(killed.books().delivered, spool.books().delivered);
    }
    assert_eq!(spool.books().delivered, taken);
    spool.append(1, &payload(1, 500)).unwrap();
}

#[test]
fn delivering_goes_on_where_nothing_can_be_noted() {
    let disk = Disk::default();
    let (spool, mut reader) = open(&disk, LARGE);
    spool.append(1, &payload(1, 500)).unwrap();
    spool.append(1, &payload(2, 500)).unwrap();
    disk.fill(0);
    crate::medium::Medium::release(&disk);
    disk.fill(0); // others took the reserve
    let batch = reader.next(1, 1).unwrap().unwrap();
    batch.settle(1, &[]).unwrap_err();
    assert_eq!((spool.books().delivered, spool.books().unaccounted()), (1, 0));
    let (_, mut killed) = open(&disk.image(), LARGE);
    assert_eq!(drain(&mut killed), [1, 2], "delivered again");
    disk.make_room();
    spool.sync().unwrap();
    let (_, mut killed) = open(&disk.image(), LARGE);
    assert_eq!(drain(&mut killed), [2]);
}

#[test]
fn nothing_is_deleted_before_it_is_noted_why() {
    let disk = Disk::default();
    let (spool, mut reader) = open(&disk, LARGE);
    for id in 0..500 {
        spool.append(1, &payload(id, 500)).unwrap();
    }
    let files = disk.files();
    crate::medium::Medium::release(&disk);
    disk.fill(0);
    next(&mut reader).unwrap().settle(500, &[]).unwrap_err();
    assert_eq!(disk.files(), files);
    let (killed, _reader) = open(&disk.image(), LARGE);
    assert_eq!((killed.books().in_spool.units, killed.books().unaccounted()), (500, 0));
    disk.make_room();
    spool.sync().unwrap();
    assert!(disk.files().len() < files.len());
}

#[test]
fn what_cannot_be_noted_as_expired_is_delivered_and_synced_nevertheless() {
    let (disk, time) = (Disk::default(), Time::new());
    let (spool, mut reader) = open_at(&disk, LARGE, &time);
    spool.append(1, &payload(1, 500)).unwrap();
    time.pass(2 * HOUR);
    crate::medium::Medium::release(&disk);
    disk.fill(0);
    spool.sync().unwrap_err();
    assert_eq!(disk.syncs(), 1);
    let batch = next(&mut reader).unwrap();
    assert_eq!(ids(&batch), [1]);
    batch.settle(1, &[]).unwrap_err();
    assert_eq!((spool.books().delivered, spool.books().unaccounted()), (1, 0));
}
