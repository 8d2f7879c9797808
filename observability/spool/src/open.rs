//! Rebuilds the index and the books from the segments that are left.

use std::{io, path::PathBuf, sync::Arc};

use crate::{
    Error,
    books::Held,
    cursor::{Cursor, Step},
    format::{
        HEADER, Kind, Position, RecordHeader, SegmentHeader, Snapshot, VERSION,
        read_segment_header, read_state,
    },
    log::{Found, Segment},
    medium::{Medium, Volume},
};

/// What was not as a spool that was closed leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of a record that was not written to its end, and so never acknowledged. They were cut off.
    pub torn_bytes: u64,
    /// Units of records that cannot be found any more because of damage. They count as dropped.
    pub damaged_units: u64,
    /// Files that are named like segments and make no sense. They stay where they are.
    pub left_alone: Vec<PathBuf>,
}

/// A file, as it was read.
struct Scan {
    number: u64,
    volume: Arc<dyn Volume>,
    /// `None`: the header makes no sense.
    header: Option<Snapshot>,
    /// All data in it, settled or not.
    segment: Segment,
    /// As far as records can be read.
    received: u64,
    /// Why they cannot be read any further.
    fault: Option<Fault>,
    /// Where a state was damaged, after the last one that was not.
    doubt: Option<Position>,
    /// The latest state in it, and what was received after that.
    state: Snapshot,
    evicted: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Torn { bytes: u64 },
    Damaged,
}

pub(crate) fn open(medium: &dyn Medium) -> Result<(Found, Recovery), Error> {
    let mut recovery = Recovery::default();
    let mut numbers = medium.numbers().map_err(Error::io("list", medium.path(0)))?;
    numbers.sort_unstable();
    let newest = numbers.last().copied().unwrap_or_default();
    let headers = headers(medium, &numbers)?;

    let mut scans = Vec::new();
    for (number, volume, header) in headers {
        let failed = Error::io("read", medium.path(number));
        match header {
            SegmentHeader::Of(of, snapshot) if of == number => {
                scans.push(Scan::read(number, volume, snapshot).map_err(failed)?);
            }
            SegmentHeader::Unfinished if number == newest => {
                recovery.torn_bytes += volume.length().map_err(failed)?;
                medium.remove(number).map_err(Error::io("delete", medium.path(number)))?;
            }
            _ => {
                recovery.left_alone.push(medium.path(number));
                scans.push(Scan::unreadable(number, volume));
            }
        }
    }
    let current = current(&mut scans, newest, &mut recovery);
    let state = state(&scans, newest);
    let evicted: Vec<u64> = scans.iter().flat_map(|it| it.evicted.iter().copied()).collect();
    pending(&mut scans, &state, &evicted).map_err(Error::io("read", medium.path(newest)))?;
    lost(&mut scans, &state, &evicted);
    let segments: Vec<Segment> = scans.into_iter().map(|it| it.segment).collect();
    recovery.damaged_units = segments.iter().fold(0, |sum, it| sum.saturating_add(it.lost));
    Ok((Found { segments, state, current, next_number: newest.saturating_add(1) }, recovery))
}

type Header = (u64, Arc<dyn Volume>, SegmentHeader);

/// Of all files, before any is changed.
fn headers(medium: &dyn Medium, numbers: &[u64]) -> Result<Vec<Header>, Error> {
    let mut headers = Vec::new();
    for &number in numbers {
        let failed = |it| Error::io("read", medium.path(number))(it);
        let volume = medium.open(number).map_err(failed)?;
        let mut bytes = [0; HEADER as usize];
        let length = volume.read_at(0, &mut bytes).map_err(failed)?;
        let header = read_segment_header(&bytes[..length]);
        if let SegmentHeader::Version(found) = header {
            return Err(Error::Version { file: medium.path(number), found, known: VERSION });
        }
        headers.push((number, volume, header));
    }
    Ok(headers)
}

impl Scan {
    fn unreadable(number: u64, volume: Arc<dyn Volume>) -> Scan {
        Scan {
            number,
            volume,
            header: None,
            segment: Segment { foreign: true, ..Segment::new(number) },
            received: 0,
            fault: Some(Fault::Damaged),
            doubt: None,
            state: Snapshot::default(),
            evicted: Vec::new(),
        }
    }

    /// Reads the headers of all records, and the states.
    fn read(number: u64, volume: Arc<dyn Volume>, header: Snapshot) -> io::Result<Scan> {
        let mut scan = Scan::unreadable(number, Arc::clone(&volume));
        scan.segment.foreign = false;
        scan.header = Some(header);
        scan.fault = None;
        scan.take(header);
        let length = volume.length()?;
        let mut cursor = Cursor::new(volume, HEADER, length);
        loop {
            match cursor.step()? {
                Step::Record(record, _) if record.kind == Kind::Data => scan.add(&record),
                Step::Record(record, offset) => {
                    let payload = cursor.payload(&record, offset)?;
                    match payload.as_deref().and_then(read_state) {
                        Some(state) => scan.take(state),
                        None => scan.doubt = Some(Position { segment: number, offset }),
                    }
                }
                Step::End => break,
                Step::Torn => {
                    scan.fault = Some(Fault::Torn { bytes: length - cursor.at });
                    break;
                }
                Step::Damaged => {
                    scan.fault = Some(Fault::Damaged);
                    scan.doubt = Some(Position { segment: number, offset: cursor.at });
                    break;
                }
            }
        }
        scan.segment.end = cursor.at;
        scan.received = scan.state.totals.received;
        Ok(scan)
    }

    fn add(&mut self, record: &RecordHeader) {
        self.segment.pending.add(held(record));
        self.segment.seen(record.time);
        crate::books::add(&mut self.state.totals.received, record.units);
    }

    fn take(&mut self, state: Snapshot) {
        self.state = state;
        self.doubt = None;
        self.evicted.extend((state.evicted > 0).then_some(state.evicted));
    }
}

fn held(record: &RecordHeader) -> Held {
    Held { units: record.units, records: 1, bytes: record.length.into() }
}

/// The segment to go on with: the newest one, if it can be read to its end. What was not acknowledged is cut off.
fn current(scans: &mut [Scan], newest: u64, recovery: &mut Recovery) -> Option<Arc<dyn Volume>> {
    let last = scans.last_mut().filter(|it| it.number == newest && it.header.is_some())?;
    match last.fault {
        None => {}
        Some(Fault::Torn { bytes }) => {
            recovery.torn_bytes += bytes;
            last.volume.truncate(last.segment.end).ok()?;
        }
        Some(Fault::Damaged) => return None,
    }
    Some(Arc::clone(&last.volume))
}

/// The latest state. Where one is missing after it, what came before may have been delivered already.
fn state(scans: &[Scan], newest: u64) -> Snapshot {
    let Some(last) = scans.iter().rfind(|it| it.header.is_some()) else {
        return Snapshot::default();
    };
    let mut state = last.state;
    let doubt =
        if last.number == newest { last.doubt } else { Some(Position::start_of(last.number + 1)) };
    state.begun = state.begun.max(doubt.unwrap_or_default());
    // No state speaks of what comes after it, and nobody could get there.
    state.settled = state.settled.min(Position { segment: last.number, offset: last.segment.end });
    state
}

/// Leaves in each segment what is not settled.
fn pending(scans: &mut [Scan], state: &Snapshot, evicted: &[u64]) -> io::Result<()> {
    let Position { segment, offset } = state.settled;
    for scan in scans {
        if scan.number < segment || evicted.contains(&scan.number) {
            scan.segment.pending = Held::default();
        } else if scan.number == segment {
            scan.segment.pending = data_from(scan, offset)?;
        }
    }
    Ok(())
}

fn data_from(scan: &Scan, offset: u64) -> io::Result<Held> {
    let mut held = Held::default();
    let offset = offset.clamp(HEADER, scan.segment.end);
    let mut cursor = Cursor::new(Arc::clone(&scan.volume), offset, scan.segment.end);
    while let Step::Record(record, _) = cursor.step()? {
        if record.kind == Kind::Data {
            held.add(self::held(&record));
        }
    }
    Ok(held)
}

/// Finds out how many units are behind damage: the next segment knows what was received before it.
fn lost(scans: &mut [Scan], state: &Snapshot, evicted: &[u64]) {
    let has_gap = scans.windows(2).any(|it| it[0].number + 1 != it[1].number);
    let mut unknown = None;
    for at in 0..scans.len() {
        let scan = &scans[at];
        if evicted.contains(&scan.number) || scan.number < state.settled.segment {
            continue;
        }
        let next = scans.get(at + 1).filter(|it| it.number == scan.number + 1);
        let Some(after) = next.and_then(|it| it.header) else { continue };
        let before = match &scan.header {
            // As far as it can be read, nothing of it that is not settled is missing.
            Some(_)
                if scan.number > state.settled.segment
                    || scan.segment.end >= state.settled.offset =>
            {
                Some(scan.received)
            }
            Some(_) => None,
            None => at
                .checked_sub(1)
                .map(|it| &scans[it])
                .filter(|it| it.number + 1 == scan.number && it.header.is_some())
                .filter(|_| scan.number > state.settled.segment)
                .map(|it| it.received),
        };
        match before {
            Some(before) => scans[at].segment.lost = after.totals.received.saturating_sub(before),
            None => unknown = Some(at),
        }
    }
    // Where it is not known what was settled of the damaged part, it is what the books miss otherwise; segments that were taken away
    // would be missed as well.
    if let Some(at) = unknown.filter(|_| !has_gap) {
        let totals = &state.totals;
        let out = totals.dropped.iter().chain([&totals.delivered]);
        let there = scans.iter().flat_map(|it| [it.segment.pending.units, it.segment.lost]);
        let missing = out.copied().chain(there).fold(totals.received, u64::saturating_sub);
        scans[at].segment.lost = missing;
    }
}
