//! What happens at the bounds.

use super::*;
use crate::{Error, Reason};

#[test]
fn a_full_spool_drops_the_oldest_and_says_so() {
    let disk = Disk::default();
    let (spool, mut reader) = open(&disk, SMALL);
    for id in 0..500 {
        spool.append(2, &payload(id, 100)).unwrap();
        let books = spool.books();
        assert!(books.disk_bytes <= SMALL.bytes, "{books:?}");
        assert_eq!(books.unaccounted(), 0);
    }
    let books = spool.books();
    assert_eq!(books.dropped(Reason::SpoolFull) + books.in_spool.units, 1000);
    assert!(books.in_spool.bytes > 8000, "{books:?}");
    let left = pending(&reader);
    let first = left[0].0;
    assert_eq!(left, (first..500).map(|id| (id, 2)).collect::<Vec<_>>());
    drop(spool);
    assert_eq!(drain(&mut reader), (first..500).collect::<Vec<_>>());
}

#[test]
fn what_is_being_delivered_is_not_dropped_for_others() {
    let disk = Disk::default();
    let (spool, mut reader) = open(&disk, SMALL);
    for id in 0..100 {
        spool.append(1, &payload(id, 100)).unwrap();
    }
    let batch = reader.next(200, u64::MAX).unwrap().unwrap();
    let taken = ids(&batch);
    for id in 100..500 {
        spool.append(1, &payload(id, 100)).unwrap();
    }
    assert_eq!(spool.books().unaccounted(), 0);
    let killed = disk.image();
    batch.settle(2, &[]).unwrap();
    let books = spool.books();
    assert_eq!((books.delivered, books.unaccounted()), (2, 0));
    assert!(books.disk_bytes <= SMALL.bytes, "{books:?}");
    let rest = drain(&mut reader);
    assert!(rest.is_sorted() && !rest.contains(&taken[0]) && rest.ends_with(&[499]));

    let (spool, mut reader) = open(&killed, SMALL);
    assert_eq!(spool.books().unaccounted(), 0);
    let again = drain(&mut reader);
    assert!(again.starts_with(&taken) && again.ends_with(&rest));
    assert_eq!((spool.books().redelivered, spool.books().unaccounted()), (2, 0));
}

#[test]
fn what_is_dropped_while_it_is_read_is_not_handed_out() {
    let disk = Disk::default();
    let (spool, mut reader) = open(&disk, SMALL);
    for id in 0..100 {
        spool.append(1, &payload(id, 100)).unwrap();
    }
    let appender = spool.clone();
    disk.on_read(move || {
        for id in 100..200 {
            appender.append(1, &payload(id, 100)).unwrap();
        }
    });
    let batch = reader.next(200, u64::MAX).unwrap().unwrap();
    assert!(ids(&batch)[0] > 50, "{:?}", ids(&batch));
    batch.settle(2, &[]).unwrap();
    drain(&mut reader);
    let books = spool.books();
    assert_eq!(books.delivered + books.dropped(Reason::SpoolFull), 200);
    assert_eq!((books.in_spool.units, books.unaccounted()), (0, 0));
}

#[test]
fn a_dropped_segment_that_cannot_be_deleted_does_not_come_back() {
    let disk = Disk::default();
    let (spool, mut reader) = open(&disk, SMALL);
    for id in 0..100 {
        spool.append(1, &payload(id, 100)).unwrap();
    }
    let batch = reader.next(200, u64::MAX).unwrap().unwrap(); // so the second is the first to be dropped
    disk.stick(Some(disk.files()[1]));
    for id in 100..1000 {
        let full = spool.append(1, &payload(id, 100));
        assert!(matches!(full, Ok(()) | Err(Error::Full)), "{full:?}");
        let (killed, _reader) = open(&disk.image(), SMALL);
        assert_eq!((spool.books().unaccounted(), killed.books().unaccounted()), (0, 0));
    }
    disk.stick(None);
    batch.settle(2, &[]).unwrap();
    spool.append(1, &payload(1, 100)).unwrap();
    assert_eq!(spool.books().unaccounted(), 0);
}

#[test]
fn nothing_can_be_dropped_for_a_record_while_all_is_being_delivered() {
    let (spool, mut reader) = open(&Disk::default(), SMALL);
    while spool.books().disk_bytes < SMALL.bytes - 1500 {
        spool.append(1, &payload(1, 1000)).unwrap();
    }
    let batch = next(&mut reader).unwrap();
    let refused = (0..100).map_while(|_| spool.append(1, &payload(2, 4000)).err()).next();
    assert!(matches!(refused, Some(Error::Full)), "{refused:?}");
    assert_eq!(spool.books().unaccounted(), 0);
    let units = batch.units();
    batch.settle(units, &[]).unwrap();
    spool.append(1, &payload(2, 4000)).unwrap();
}

#[test]
fn what_becomes_too_old_is_dropped_and_nothing_else() {
    let time = Time::new();
    let limits = Limits { bytes: 1 << 20, age: Duration::from_secs(800) };
    let (spool, mut reader) = open_at(&Disk::default(), limits, &time);
    for id in 0..16 {
        spool.append(1, &payload(id, 10)).unwrap();
        time.pass(Duration::from_secs(100));
        spool.sync().unwrap();
    }
    let left = pending(&reader);
    // 800 s, and a segment of another 100 s, at most.
    assert!(left.len() == 8 || left.len() == 9, "{left:?}");
    assert_eq!(spool.books().dropped(Reason::Expired) + left.len() as u64, 16);
    time.pass(Duration::from_secs(900));
    assert!(next(&mut reader).is_none());
    let books = spool.books();
    assert_eq!((books.dropped(Reason::Expired), books.in_spool.records), (16, 0));
}

#[test]
fn a_clock_that_jumps_expires_only_what_is_old_by_then() {
    let time = Time::new();
    let (spool, reader) = open_at(&Disk::default(), LARGE, &time);
    spool.append(1, &payload(1, 10)).unwrap();
    time.wall.fetch_sub(3_600_000, Relaxed);
    spool.append(1, &payload(2, 10)).unwrap();
    spool.sync().unwrap();
    assert_eq!(pending(&reader).len(), 2);
    time.wall.fetch_add(3_600_000 + 3_500_000, Relaxed);
    spool.sync().unwrap();
    assert_eq!(pending(&reader).len(), 2);
    time.pass(Duration::from_secs(101));
    spool.append(1, &payload(3, 10)).unwrap();
    spool.sync().unwrap();
    assert_eq!(pending(&reader), [(3, 1)]);
    assert_eq!(spool.books().dropped(Reason::Expired), 2);
}

#[test]
fn a_record_that_is_too_long_is_refused() {
    let (spool, _reader) = open(&Disk::default(), SMALL);
    let refused = spool.append(1, &vec![0; 9000]).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { bytes: 9000, limit: 8192 }), "{refused}");
    assert_eq!(spool.books(), open(&Disk::default(), SMALL).0.books());
}

#[test]
fn one_sync_reaches_all_segments_that_were_written() {
    let disk = Disk::default();
    let (spool, _reader) = open(&disk, LARGE);
    for id in 0..1000 {
        spool.append(1, &payload(id, 300)).unwrap();
    }
    spool.sync().unwrap();
    assert_eq!(disk.syncs(), disk.files().len());
    spool.sync().unwrap();
    assert_eq!(disk.syncs(), disk.files().len() + 1);
}
