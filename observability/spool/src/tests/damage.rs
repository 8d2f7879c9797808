//! Files that are not as they were written.

use proptest::prelude::*;

use super::*;
use crate::{
    Error, Reason, Recovery,
    format::{HEADER, Position, Snapshot, segment_header},
};

/// A spool of several segments that was killed: 60 records of 3 units, of which 5 are delivered.
fn several() -> Disk {
    let disk = Disk::default();
    let (spool, mut reader) = open(&disk, SMALL);
    for id in 0..60 {
        spool.append(3, &payload(id, 100)).unwrap();
    }
    reader.next(500, u64::MAX).unwrap().unwrap().settle(15, &[]).unwrap();
    spool.append(3, &payload(60, 100)).unwrap();
    let image = disk.image();
    assert!(image.files().len() > 4);
    image
}

/// Units that wait in one segment.
fn units_in(disk: &Disk, number: u64) -> u64 {
    let (spool, _reader) = open(&disk.image_of_files(), SMALL);
    let log = spool.shared.log();
    log.segments.iter().find(|it| it.number == number).unwrap().pending.units
}

#[test]
fn a_damaged_payload_is_passed_over_and_counted() {
    let disk = several();
    let second = disk.files()[1];
    disk.change(second, |it| it[HEADER as usize + 40] ^= 1);
    let (spool, mut reader) = open(&disk, SMALL);
    assert_eq!(drain(&mut reader).len(), 55);
    let books = spool.books();
    assert_eq!((books.received, books.delivered), (183, 180));
    assert_eq!((books.dropped(Reason::Damaged), books.unaccounted()), (3, 0));
}

#[test]
fn a_damaged_record_header_costs_the_rest_of_its_segment_and_is_counted_once() {
    let disk = several();
    let second = disk.files()[1];
    let lost = units_in(&disk, second) - 3;
    disk.change(second, |it| it[HEADER as usize + 132 + 9] ^= 1);
    for _ in 0..3 {
        let (spool, _reader) = open(&disk, SMALL);
        assert_eq!(spool.recovery().damaged_units, lost);
        assert_eq!(spool.books().dropped(Reason::Damaged), lost);
        assert_eq!(spool.books().unaccounted(), 0);
    }
    let (spool, mut reader) = open(&disk, SMALL);
    drain(&mut reader);
    drop((spool, reader));
    let (spool, _reader) = open(&disk, SMALL);
    let books = spool.books();
    assert_eq!((books.delivered, books.dropped(Reason::Damaged)), (183 - lost, lost));
    assert_eq!((books.unaccounted(), books.in_spool.units), (0, 0));
}

#[test]
fn a_segment_whose_header_is_damaged_is_counted_and_left_alone() {
    for at in [0, 2] {
        let disk = several();
        let number = disk.files()[at];
        let lost = units_in(&disk, number);
        disk.change(number, |it| it[30] ^= 1);
        let (spool, mut reader) = open(&disk, SMALL);
        assert_eq!(
            spool.recovery().left_alone,
            [std::path::PathBuf::from(format!("{number}.spool"))]
        );
        assert_eq!(spool.books().dropped(Reason::Damaged), lost);
        drain(&mut reader);
        drop((spool, reader));
        let (spool, _reader) = open(&disk, SMALL);
        let books = spool.books();
        assert_eq!((books.delivered, books.dropped(Reason::Damaged)), (183 - lost, lost));
        assert_eq!((books.unaccounted(), books.in_spool.units), (0, 0));
        assert!(disk.files().contains(&number));
    }
}

#[test]
fn a_segment_that_was_taken_away_shows_to_the_unit() {
    let segments = several().files();
    for number in &segments[..segments.len() - 1] {
        let disk = several();
        let units = units_in(&disk, *number) as i64;
        assert!(units > 0);
        disk.take_away(*number);
        let (spool, mut reader) = open(&disk, SMALL);
        assert_eq!((spool.books().unaccounted(), spool.books().received), (units, 183));
        assert_eq!(spool.books().dropped_in_all(), 0);
        drain(&mut reader);
        drop((spool, reader));
        let (spool, _reader) = open(&disk, SMALL);
        assert_eq!(spool.books().unaccounted(), units, "it is not forgotten");
    }
}

#[test]
fn a_segment_that_is_taken_away_while_it_is_used_shows_too() {
    let disk = several();
    let (second, newest) = (disk.files()[1], *disk.files().last().unwrap());
    let units = units_in(&disk, second) as i64;
    let in_newest = units_in(&disk, newest) as i64;
    let (spool, mut reader) = open(&disk, SMALL);
    disk.take_away(second);
    drain(&mut reader);
    assert_eq!(spool.books().unaccounted(), units);

    let disk = several();
    let (spool, mut reader) = open(&disk, SMALL);
    disk.take_away(newest);
    spool.sync().unwrap();
    spool.append(3, &payload(70, 100)).unwrap();
    assert_eq!(drain(&mut reader).last(), Some(&70));
    assert_eq!(spool.books().unaccounted(), in_newest);
}

#[test]
fn damage_under_a_running_spool_is_counted_and_does_not_stop_it() {
    for which in [0, 1, usize::MAX] {
        let disk = several();
        let files = disk.files();
        let number = files[which.min(files.len() - 1)];
        let (spool, mut reader) = open(&disk, SMALL);
        disk.change(number, |it| it[HEADER as usize + 4] ^= 1);
        drain(&mut reader);
        spool.append(3, &payload(70, 100)).unwrap();
        assert_eq!(drain(&mut reader), [70]);
        let books = spool.books();
        assert_eq!((books.in_spool.units, books.unaccounted()), (0, 0), "{which} {books:?}");
        // Of the first segment all that was damaged had been delivered, and where it was read is behind.
        assert_eq!(books.dropped(Reason::Damaged) > 0, which > 0, "{which} {books:?}");
    }
}

#[test]
fn a_record_that_was_not_written_to_its_end_is_cut_off() {
    let disk = several();
    let newest = *disk.files().last().unwrap();
    let length = disk.change(newest, |it| {
        it.extend_from_slice(&[7; 20]);
        it.len() - 20
    });
    let (spool, _reader) = open(&disk, SMALL);
    assert_eq!(spool.recovery(), &Recovery { torn_bytes: 20, ..Recovery::default() });
    assert_eq!(disk.change(newest, |it| it.len()), length);
    assert_eq!((spool.books().received, spool.books().unaccounted()), (183, 0));
}

#[test]
fn a_newer_version_is_an_error_that_tells_what_to_do_and_changes_nothing() {
    let disk = several();
    let second = disk.files()[1];
    disk.change(second, |it| {
        it[8] = 2;
        let crc = crc32fast::hash(&it[..12]);
        it[12..16].copy_from_slice(&crc.to_le_bytes());
    });
    let before = disk.written();
    let error = Spool::over(Arc::new(disk.clone()), SMALL, Time::new().clock()).unwrap_err();
    assert!(matches!(error, Error::Version { found: 2, known: 1, .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&format!("{second}.spool")) && text.contains("move the file away"),
        "{text}"
    );
    assert_eq!(disk.written(), before);
}

#[test]
fn numbers_that_make_no_sense_overflow_nothing() {
    let disk = Disk::default();
    let mut state = Snapshot::default();
    let far = Position { segment: u64::MAX, offset: u64::MAX };
    (state.settled, state.begun, state.evicted) = (far, far, u64::MAX);
    state.totals.received = u64::MAX;
    state.totals.delivered = 1;
    disk.put(3, segment_header(3, &state).to_vec());
    let (spool, mut reader) = open(&disk, SMALL);
    spool.append(u64::MAX, &payload(1, 10)).unwrap();
    assert_eq!(drain(&mut reader), [1]);
    assert_eq!(spool.books().unaccounted(), 0); // both sides are at their end
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn whatever_is_on_the_disk_nothing_panics_and_the_books_say_what_is_missing(
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
        cut in any::<bool>(),
    ) {
        let disk = several();
        let number = disk.files()[file.index(disk.files().len())];
        let is_newest = disk.files().last() == Some(&number);
        disk.change(number, |it| {
            let at = at.index(it.len());
            it[at] ^= flip;
            if cut { it.truncate(at) }
        });
        let (spool, mut reader) = open(&disk, SMALL);
        let delivered = drain(&mut reader).len() as u64 * 3;
        let books = spool.books();
        assert!(delivered <= books.delivered);
        assert_eq!((books.in_spool.units, books.unaccounted()), (0, 0));
        if !is_newest {
            assert_eq!(books.received, 183);
            assert_eq!(books.delivered + books.dropped(Reason::Damaged), 183);
        }
        drop((spool, reader));
        let (spool, _reader) = open(&disk, SMALL);
        let again = spool.books();
        assert_eq!((again.received, again.delivered), (books.received, books.delivered));
        assert_eq!((again.dropped(Reason::Damaged), again.unaccounted()), (books.dropped(Reason::Damaged), 0));
    }

    #[test]
    fn garbage_in_place_of_segments_is_left_alone(
        files in prop::collection::btree_map(1_u64..8, prop::collection::vec(any::<u8>(), 0..400), 1..4),
    ) {
        let disk = Disk::default();
        for (number, bytes) in &files {
            disk.put(*number, bytes.clone());
        }
        let (spool, mut reader) = open(&disk, SMALL);
        spool.append(1, &payload(1, 10)).unwrap();
        assert_eq!(drain(&mut reader), [1]);
        for (number, bytes) in files.iter().filter(|it| !it.1.is_empty()) {
            assert_eq!(&disk.change(*number, |it| it.clone()), bytes);
        }
    }
}
