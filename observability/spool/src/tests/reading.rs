//! What a reader sees.

use super::*;
use crate::Reason;

#[test]
fn records_come_out_in_order_and_within_the_limits_but_at_least_one() {
    let (spool, mut reader) = open(&Disk::default(), LARGE);
    for id in 0..10 {
        spool.append(3, &payload(id, 100)).unwrap();
    }
    let batch = reader.next(250, u64::MAX).unwrap().unwrap();
    assert_eq!((ids(&batch), batch.units()), (vec![0, 1], 6));
    batch.settle(6, &[]).unwrap();
    let batch = reader.next(u64::MAX, 10).unwrap().unwrap();
    assert_eq!((ids(&batch), batch.units()), (vec![2, 3, 4], 9));
    batch.settle(4, &[(Reason::Rejected, 3), (Reason::Sampled, 2)]).unwrap();
    let batch = reader.next(1, 1).unwrap().unwrap();
    assert_eq!(ids(&batch), [5]);
    batch.settle(3, &[]).unwrap();
    let books = spool.books();
    assert_eq!((books.received, books.delivered, books.redelivered), (30, 13, 0));
    assert_eq!((books.dropped(Reason::Rejected), books.dropped(Reason::Sampled)), (3, 2));
    assert_eq!((books.in_spool.units, books.in_spool.records, books.in_spool.bytes), (12, 4, 400));
    assert_eq!(books.unaccounted(), 0);
    assert_eq!(drain(&mut reader), [6, 7, 8, 9]);
    assert!(next(&mut reader).is_none());
}

#[test]
fn a_batch_that_is_given_back_comes_again_and_counts_if_its_outcome_is_unknown() {
    let (spool, mut reader) = open(&Disk::default(), LARGE);
    spool.append(5, &payload(1, 10)).unwrap();
    next(&mut reader).unwrap().retry();
    next(&mut reader).unwrap().retry();
    assert_eq!(spool.books().redelivered, 0);
    next(&mut reader).unwrap().retry_uncertain();
    drop(next(&mut reader).unwrap());
    assert_eq!(spool.books().redelivered, 5);
    spool.append(2, &payload(2, 10)).unwrap();
    let batch = next(&mut reader).unwrap();
    assert_eq!(ids(&batch), [1, 2]);
    assert_eq!(spool.books().in_spool.units, 7, "what is being delivered is in the spool");
    batch.settle(7, &[]).unwrap();
    assert_eq!(spool.books().redelivered, 10, "only the first record had been tried");
}

#[test]
fn what_was_being_delivered_when_the_process_was_killed_counts_as_redelivered() {
    let disk = Disk::default();
    let (spool, mut reader) = open(&disk, LARGE);
    spool.append(5, &payload(1, 10)).unwrap();
    spool.append(7, &payload(2, 10)).unwrap();
    let batch = reader.next(u64::MAX, 5).unwrap().unwrap();
    let killed = disk.image();
    batch.settle(5, &[]).unwrap();
    let killed_later = disk.image();

    let (spool, mut reader) = open(&killed, LARGE);
    assert_eq!(drain(&mut reader), [1, 2]);
    assert_eq!((spool.books().delivered, spool.books().redelivered), (12, 5));
    let (spool, mut reader) = open(&killed_later, LARGE);
    assert_eq!(drain(&mut reader), [2]);
    assert_eq!((spool.books().delivered, spool.books().redelivered), (12, 0));
}

#[test]
fn what_a_killed_process_had_tried_counts_once_however_often_it_is_refused_afterwards() {
    let disk = Disk::default();
    let (spool, mut reader) = open(&disk, LARGE);
    spool.append(5, &payload(1, 10)).unwrap();
    let _batch = next(&mut reader).unwrap();
    let killed = disk.image();
    let (spool, mut reader) = open(&killed, LARGE);
    for _ in 0..3 {
        next(&mut reader).unwrap().retry();
    }
    assert_eq!(drain(&mut reader), [1]);
    assert_eq!((spool.books().delivered, spool.books().redelivered), (5, 5));
}

#[test]
fn attempts_against_a_destination_that_is_down_do_not_fill_the_spool() {
    let disk = Disk::default();
    let (spool, mut reader) = open(&disk, LARGE);
    spool.append(5, &payload(1, 10)).unwrap();
    next(&mut reader).unwrap().retry();
    let bytes = spool.books().disk_bytes;
    for _ in 0..100 {
        next(&mut reader).unwrap().retry();
        next(&mut reader).unwrap().retry_uncertain();
    }
    assert_eq!(spool.books().disk_bytes, bytes);
    next(&mut reader).unwrap().settle(5, &[]).unwrap();
    drop((spool, reader));
    let (spool, _reader) = open(&disk, LARGE);
    assert_eq!(spool.books().redelivered, 99 * 5 + 5);
}

#[test]
fn a_spool_that_was_closed_after_a_failed_attempt_has_nothing_in_doubt() {
    let disk = Disk::default();
    let (spool, mut reader) = open(&disk, LARGE);
    spool.append(5, &payload(1, 10)).unwrap();
    next(&mut reader).unwrap().retry();
    drop((spool, reader));
    let (spool, mut reader) = open(&disk, LARGE);
    drain(&mut reader);
    assert_eq!(spool.books().redelivered, 0);
}

#[test]
fn who_reads_behind_gets_only_what_is_old_enough_whatever_the_clock_does() {
    let time = Time::new();
    let disk = Disk::default();
    let (spool, mut reader) = open_at(&disk, LARGE, &time);
    let second = Duration::from_secs(1);
    let behind = |reader: &mut Reader| {
        let batch = reader.next_older_than(30 * second, u64::MAX, u64::MAX).unwrap()?;
        let (ids, units, age) = (ids(&batch), batch.units(), batch.age());
        batch.settle(units, &[]).unwrap();
        Some((ids, age))
    };
    spool.append(1, &payload(1, 10)).unwrap();
    time.pass(10 * second);
    spool.append(1, &payload(2, 10)).unwrap();
    assert_eq!(behind(&mut reader), None);
    time.pass(25 * second);
    assert_eq!(behind(&mut reader), Some((vec![1], 35 * second)));

    time.wall.fetch_sub(3_600_000, Relaxed); // set back an hour
    assert_eq!(behind(&mut reader), None);
    time.pass(5 * second);
    assert_eq!(behind(&mut reader), Some((vec![2], 30 * second)));
    spool.append(1, &payload(3, 10)).unwrap();
    drop((spool, reader));
    time.wall.fetch_sub(3_600_000, Relaxed); // and once more, while nobody ran
    let (spool, mut reader) = open_at(&disk, LARGE, &time);
    assert_eq!(behind(&mut reader), None);
    time.pass(30 * second);
    assert_eq!(behind(&mut reader).unwrap().0, [3]);
    assert_eq!(spool.books().unaccounted(), 0);
}

#[test]
fn both_ends_and_a_batch_may_wander_between_threads() {
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    is_send::<Reader>();
    is_send::<Batch<'_>>();
    is_send::<Spool>();
    is_sync::<Spool>();
}

#[tokio::test]
async fn a_reader_waits_for_an_append_and_misses_none() {
    let (spool, mut reader) = Spool::in_memory(LARGE).unwrap();
    assert!(next(&mut reader).is_none());
    spool.append(1, &payload(1, 10)).unwrap(); // between the look and the wait
    reader.appended().await;
    assert_eq!(drain(&mut reader), [1]);
    let waiting = async {
        reader.appended().await;
        drain(&mut reader)
    };
    let (ids, ()) = tokio::join!(waiting, async { spool.append(1, &payload(2, 10)).unwrap() });
    assert_eq!(ids, [2]);
}

#[test]
fn what_is_pending_can_be_looked_at_without_taking_it() {
    let disk = Disk::default();
    let (spool, mut reader) = open(&disk, LARGE);
    for id in 0..2000 {
        spool.append(id, &payload(id, 300)).unwrap(); // several segments
    }
    reader.next(u64::MAX, 3).unwrap().unwrap().settle(3, &[]).unwrap(); // 0 + 1 + 2
    let expected: Vec<_> = (3..2000).map(|id| (id, id)).collect();
    assert_eq!(pending(&reader), expected);
    drop((spool, reader));
    let (_spool, mut reader) = open(&disk, LARGE);
    assert_eq!(pending(&reader), expected);
    assert_eq!(drain(&mut reader).len(), 1997);
    assert_eq!(disk.files().len(), 1, "what is settled is deleted");
}

#[test]
fn appenders_and_the_reader_work_at_the_same_time() {
    let (spool, mut reader) = Spool::in_memory(LARGE).unwrap();
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        for appender in 0..3 {
            let spool = spool.clone();
            scope.spawn(move || {
                for i in 0..500 {
                    spool.append(1, &payload(appender * 1000 + i, 50)).unwrap();
                }
            });
        }
        while seen.len() < 1500 {
            seen.extend(drain(&mut reader));
            std::thread::yield_now();
        }
    });
    for appender in 0..3 {
        let own: Vec<_> = seen.iter().filter(|id| **id / 1000 == appender).collect();
        assert!(own.is_sorted(), "{appender}");
    }
    let books = spool.books();
    assert_eq!((books.received, books.delivered, books.unaccounted()), (1500, 1500, 0));
}
