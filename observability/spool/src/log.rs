//! The segments, their index, and what is written to them. Everything here happens under the spool's lock, so nothing here reads
//! payloads.

use std::{
    io::{self, ErrorKind},
    mem::take,
    sync::Arc,
    time::Duration,
};

use crate::{
    Error, Limits,
    books::{Books, Held, Reason, add},
    clock::Clock,
    format::{self, HEADER, Kind, MAX_PAYLOAD, Position, RECORD, RecordHeader, STATE, Snapshot},
    medium::{Medium, Volume},
};

/// No segment is made for less.
const SMALLEST_SEGMENT: u64 = 1 << 10;
const LARGEST_SEGMENT: u64 = 8 << 20;

/// What is known of a segment without reading it.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    /// Where its records end, as far as they can be read.
    pub(crate) end: u64,
    pub(crate) pending: Held,
    /// Units of records that were found unreadable when the spool was opened. They become dropped for good when the reader is past.
    pub(crate) lost: u64,
    /// When its first record was appended, and the latest; 0 without any.
    pub(crate) oldest: u64,
    pub(crate) newest: u64,
    /// Its header makes no sense: perhaps it is not ours. It is never deleted, and its bytes are not counted.
    pub(crate) foreign: bool,
}

impl Segment {
    pub(crate) fn new(number: u64) -> Segment {
        let (pending, foreign) = (Held::default(), false);
        Segment { number, end: HEADER, pending, lost: 0, oldest: 0, newest: 0, foreign }
    }

    pub(crate) fn seen(&mut self, time: u64) {
        self.oldest = if self.oldest == 0 { time } else { self.oldest.min(time) };
        self.newest = self.newest.max(time);
    }

    fn is_done(&self) -> bool {
        self.pending == Held::default() && self.lost == 0
    }
}

/// What the reader has in hands.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) from: Position,
    /// Where the next one begins.
    pub(crate) to: Position,
    /// Where its last record ends.
    pub(crate) end: Position,
    /// Of each segment that it took from.
    pub(crate) taken: Vec<(u64, Held)>,
    /// Units whose payload is damaged: they are passed over with the rest.
    pub(crate) damaged: u64,
    /// Units of a delivery with an unknown end that are handed out again.
    pub(crate) again: u64,
}

#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) medium: Arc<dyn Medium>,
    limits: Limits,
    clock: Clock,
    /// The newest is the one that is written to.
    pub(crate) segments: Vec<Segment>,
    current: Arc<dyn Volume>,
    next_number: u64,
    /// The end of the current segment is not where it should be: nothing more is written to it.
    broken: bool,
    /// The room for states was given up, or never had.
    unreserved: bool,
    pub(crate) state: Snapshot,
    /// The latest state that is in the log.
    written: Snapshot,
    flight: Option<Flight>,
    /// What `state.begun` was before the flight.
    begun_before: Position,
    /// Segments that are full, but perhaps not yet on disk.
    unsynced: Volumes,
    names_changed: bool,
}

/// Segments by their numbers.
pub(crate) type Volumes = Vec<(u64, Arc<dyn Volume>)>;

/// What a reopened spool begins with.
pub(crate) struct Found {
    pub(crate) segments: Vec<Segment>,
    pub(crate) state: Snapshot,
    /// The segment to go on with; a new one is begun otherwise.
    pub(crate) current: Option<Arc<dyn Volume>>,
    /// Above all that were ever seen.
    pub(crate) next_number: u64,
}

impl Log {
    pub(crate) fn new(
        medium: Arc<dyn Medium>,
        limits: Limits,
        mut clock: Clock,
        found: Found,
    ) -> Result<Log, Error> {
        let Found { mut segments, state, current, mut next_number } = found;
        let (current, is_new) = match current {
            Some(current) => (current, false),
            None => {
                segments.push(Segment::new(next_number));
                let current = begin_segment(&*medium, next_number, &state);
                next_number += 1;
                (current.map_err(Error::io("write", medium.path(next_number - 1)))?, true)
            }
        };
        clock.not_before(segments.iter().map(|it| it.newest).max().unwrap_or_default());
        let mut log = Log {
            medium,
            limits,
            clock,
            segments,
            current,
            next_number,
            broken: false,
            unreserved: true,
            state,
            written: state,
            flight: None,
            begun_before: Position::default(),
            unsynced: Vec::new(),
            names_changed: is_new,
        };
        log.collect();
        Ok(log)
    }

    pub(crate) fn books(&self) -> Books {
        let totals = self.state.totals;
        let mut books = Books {
            received: totals.received,
            delivered: totals.delivered,
            redelivered: totals.redelivered,
            dropped: totals.dropped,
            disk_bytes: self.bytes(),
            ..Books::default()
        };
        for segment in &self.segments {
            books.in_spool.add(segment.pending);
            add(&mut books.dropped[Reason::Damaged as usize], segment.lost);
        }
        books
    }

    pub(crate) fn now(&mut self) -> u64 {
        self.clock.now()
    }

    /// Appends records, all or none of them.
    pub(crate) fn append(&mut self, records: &[(u64, &[u8])]) -> Result<(), Error> {
        let limit = self.limits.bytes / 2; // of them all; each has one of its own
        let bytes = records.iter().map(|it| it.1.len() as u64).sum();
        let now = self.now();
        let headers = records.iter().map(|(units, payload)| {
            let header = RecordHeader::new(Kind::Data, *units, now, payload)?;
            Some((header.total(), header.encode()))
        });
        let headers: Option<Vec<_>> = headers.collect();
        let Some(headers) = headers else {
            return Err(Error::TooLarge { bytes, limit: limit.min(MAX_PAYLOAD) });
        };
        if bytes > limit {
            return Err(Error::TooLarge { bytes, limit });
        }
        let total = headers.iter().map(|it| it.0).sum();
        if self.unreserved {
            // A record must not take what the states need.
            self.medium.reserve().map_err(Error::io("write", self.current_path()))?;
            self.unreserved = false;
        }
        if self.is_rotation_due(total, now) {
            self.rotate()?;
        }
        self.make_room(total)?;
        let payloads = records.iter().map(|it| it.1);
        let written = headers.iter().map(|it| &it.1[..]).zip(payloads).collect::<Vec<_>>();
        self.write(&written)?;
        let units = records.iter().map(|it| it.0).fold(0, u64::saturating_add);
        add(&mut self.state.totals.received, units);
        let current = self.current_mut();
        current.pending.add(Held { units, records: records.len() as u64, bytes });
        current.seen(now);
        Ok(())
    }

    /// Full, or of an age that would keep its first records long beyond theirs.
    fn is_rotation_due(&self, more: u64, now: u64) -> bool {
        let Some(current) = self.segments.last() else { return true };
        let is_full =
            current.end > HEADER && current.end.saturating_add(more) > self.segment_bytes();
        let age = now.saturating_sub(current.oldest);
        let is_old = current.oldest > 0 && age > millis(self.limits.age) / 8;
        self.broken || is_full || is_old
    }

    /// Drops the oldest segments that nobody is reading, until there is room.
    fn make_room(&mut self, more: u64) -> Result<(), Error> {
        while self.bytes().saturating_add(more) > self.limits.bytes {
            let current = self.current_mut();
            let (current, is_empty) = (current.number, current.end == HEADER);
            let is_candidate = |it: &&Segment| {
                !it.foreign
                    && !self.is_in_flight(it.number)
                    && (it.number == current || !it.is_done())
            };
            match self.segments.iter().find(is_candidate).map(|it| it.number) {
                Some(number) if number != current => self.evict(number, Reason::SpoolFull)?,
                Some(_) if !is_empty => self.rotate()?,
                _ => return Err(Error::Full),
            }
        }
        Ok(())
    }

    /// Drops what has become too old.
    pub(crate) fn expire(&mut self) -> Result<(), Error> {
        let now = self.now();
        let age = millis(self.limits.age);
        while let Some(segment) = self.segments.iter().find(|it| it.newest > 0 && !it.is_done()) {
            let number = segment.number;
            if now.saturating_sub(segment.newest) <= age || self.is_in_flight(number) {
                break;
            }
            if self.current_mut().number == number {
                self.rotate()?;
            }
            self.evict(number, Reason::Expired)?;
        }
        Ok(())
    }

    /// Drops a segment that is not the current one. The log knows of it before the segment is deleted; where it cannot be told, nothing
    /// is dropped.
    fn evict(&mut self, number: u64, reason: Reason) -> Result<(), Error> {
        let Some(at) = self.segments.iter().position(|it| it.number == number) else {
            return Ok(());
        };
        let is_first = self.segments[..at].iter().all(Segment::is_done);
        let (state, segment) = (self.state, self.segments[at].clone());
        self.segments[at].pending = Held::default();
        self.segments[at].lost = 0;
        self.state.totals.drop_units(reason, segment.pending.units);
        self.state.totals.drop_units(Reason::Damaged, segment.lost);
        if is_first {
            self.state.settled = self.state.settled.max(Position::start_of(number + 1));
        } else {
            self.state.evicted = number;
        }
        if let Err(error) = self.write_state(Kind::Dropped) {
            self.state = state;
            if let Some(it) = self.segments.iter_mut().find(|it| it.number == number) {
                *it = segment;
            }
            return Err(error);
        }
        self.collect();
        Ok(())
    }

    fn is_in_flight(&self, number: u64) -> bool {
        let flight = self.flight.iter();
        flight.flat_map(|it| &it.taken).any(|(taken, _)| *taken == number)
    }

    fn still_there(&self, flight: &Flight) -> Option<()> {
        let is_there = |number| self.segments.iter().any(|it| it.number == number);
        let all = flight.from == self.state.settled && flight.taken.iter().all(|it| is_there(it.0));
        all.then_some(())
    }

    /// Notes that all of this is about to be delivered; `None` when it was dropped while it was read.
    ///
    /// A state that cannot be written is no reason to wait: only a delivery makes a full disk emptier.
    pub(crate) fn begin(&mut self, flight: Flight) -> Option<()> {
        self.still_there(&flight)?;
        self.begun_before = self.state.begun;
        self.state.begun = self.state.begun.max(flight.end);
        if self.written.begun < flight.end {
            let _ = self.write_state(Kind::Begun);
        }
        self.flight = Some(flight);
        Some(())
    }

    /// The batch in flight goes back. It stays noted as begun if its outcome is unknown.
    pub(crate) fn give_back(&mut self, is_known: bool) {
        let Some(flight) = self.flight.take() else { return };
        if is_known {
            // Not written: at every attempt against a destination that is down, it would fill the spool with states. A process that is
            // killed then counts too many as redelivered.
            self.state.begun = self.begun_before;
        } else {
            add(&mut self.state.totals.redelivered, flight.again);
        }
    }

    pub(crate) fn settle(
        &mut self,
        delivered: u64,
        dropped: &[(Reason, u64)],
    ) -> Result<(), Error> {
        let Some(flight) = self.flight.take() else { return Ok(()) };
        add(&mut self.state.totals.redelivered, flight.again);
        add(&mut self.state.totals.delivered, delivered);
        for (reason, units) in dropped {
            self.state.totals.drop_units(*reason, *units);
        }
        self.state.totals.drop_units(Reason::Damaged, flight.damaged);
        self.take_out(&flight);
        let written = self.write_state(Kind::Settled);
        self.collect();
        let wanted = if self.unreserved { HEADER } else { self.segment_bytes() / 2 };
        if self.segments.last().is_some_and(|it| it.is_done() && it.end > wanted) {
            let _ = self.rotate(); // so that it can be deleted; it may as well stay
        }
        written
    }

    /// Goes on to where there is something to hand out; `None` when that was dropped while it was read.
    pub(crate) fn skip(&mut self, flight: &Flight) -> Option<()> {
        self.still_there(flight)?;
        self.state.totals.drop_units(Reason::Damaged, flight.damaged);
        self.take_out(flight);
        if self.unwritten() {
            let _ = self.write_state(Kind::Settled); // or else with the next one
        }
        self.collect();
        Some(())
    }

    fn take_out(&mut self, flight: &Flight) {
        for (number, held) in &flight.taken {
            if let Some(segment) = self.segments.iter_mut().find(|it| it.number == *number) {
                segment.pending.subtract(*held);
            }
        }
        self.state.settled = self.state.settled.max(flight.to);
        // Whatever the reader left behind in segments that it is past could not be read.
        for segment in self.segments.iter_mut().filter(|it| it.number < flight.to.segment) {
            let unread = take(&mut segment.pending).units.saturating_add(take(&mut segment.lost));
            self.state.totals.drop_units(Reason::Damaged, unread);
        }
    }

    /// Somebody took it from the disk. That is not repaired: its units are missing in the books from now on.
    pub(crate) fn forget(&mut self, number: u64) {
        let current = self.segments.last().map(|it| it.number);
        if current == Some(number) {
            self.broken = true;
            self.current_mut().pending = Held::default();
        } else {
            self.segments.retain(|it| it.number != number);
        }
    }

    /// Deletes what is done with, once the log says so: then a killed process finds the same books.
    pub(crate) fn collect(&mut self) {
        if self.unwritten() {
            return;
        }
        let Some(current) = self.segments.last().map(|it| it.number) else { return };
        // A segment is needed by older ones that could not be deleted: it says that they are done with.
        let mut is_stuck = false;
        let (medium, before) = (&self.medium, self.segments.len());
        self.segments.retain(|segment| {
            let is_deleted = segment.number != current
                && segment.is_done()
                && !is_stuck
                && (segment.foreign || is_gone(medium.remove(segment.number)));
            is_stuck |= segment.is_done() && !is_deleted;
            !is_deleted
        });
        if self.segments.len() < before {
            self.names_changed = true;
            // A file that is open still takes its room.
            let segments = &self.segments;
            self.unsynced.retain(|it| segments.iter().any(|segment| segment.number == it.0));
        }
    }

    /// Whether the log does not yet have the latest state. What is received is in the records themselves.
    pub(crate) fn unwritten(&self) -> bool {
        let mut written = self.written;
        written.totals.received = self.state.totals.received;
        // These are not worth a record of their own: see `give_back` and `skip`.
        written.totals.redelivered = self.state.totals.redelivered;
        written.begun = self.state.begun;
        written.settled = self.state.settled;
        written != self.state
    }

    /// Drops what is too old, and writes what is owed to the log.
    pub(crate) fn catch_up(&mut self) -> Result<(), Error> {
        self.expire()?;
        self.broken |= self.current.is_removed();
        if self.broken {
            self.rotate()?;
        }
        if self.unwritten() {
            self.write_state(Kind::Restated)?;
            self.collect();
        }
        Ok(())
    }

    /// What is to be synced, which takes too long for the lock.
    pub(crate) fn take_unsynced(&mut self) -> Volumes {
        let mut volumes = take(&mut self.unsynced);
        volumes.push((self.current_mut().number, Arc::clone(&self.current)));
        volumes
    }

    pub(crate) fn take_names_changed(&mut self) -> bool {
        take(&mut self.names_changed)
    }

    pub(crate) fn sync_failed(&mut self, volumes: Volumes) {
        for (number, volume) in volumes {
            if self.unsynced.iter().all(|it| it.0 != number) {
                self.unsynced.push((number, volume));
            }
        }
        self.names_changed = true;
    }

    /// The last word, if there is anything to say.
    pub(crate) fn close(&mut self) {
        let doubtful = |it: &Snapshot| (it.begun > it.settled).then_some(it.begun);
        let has_more = self.state.totals.redelivered != self.written.totals.redelivered;
        if self.unwritten() || has_more || doubtful(&self.state) != doubtful(&self.written) {
            let _ = self.write_state(Kind::Restated);
        }
        self.collect();
    }

    fn write_state(&mut self, kind: Kind) -> Result<(), Error> {
        let record = format::state_record(kind, &self.state, self.clock.now());
        let (header, payload) = record.split_at(RECORD);
        let is_full =
            self.segments.last().is_some_and(|it| it.end + STATE > 2 * self.segment_bytes());
        self.broken |= is_full; // with nothing but states, where nothing is appended
        let record = [(header, payload)];
        let mut written = self.write(&record);
        if written.as_ref().is_err_and(is_no_room) {
            self.medium.release();
            self.unreserved = true;
            written = self.write(&record);
        }
        written?;
        self.written = self.state;
        Ok(())
    }

    /// Writes records, headers and payloads. After an error nothing of them stays: if they cannot be cut off, the segment ends before them.
    fn write(&mut self, records: &[(&[u8], &[u8])]) -> Result<(), Error> {
        if self.broken {
            self.rotate()?;
        }
        let end = self.current_mut().end;
        let written =
            records.iter().try_for_each(|(header, payload)| self.current.append(header, payload));
        if let Err(error) = written {
            self.broken = self.current.truncate(end).is_err();
            return Err(Error::io("write", self.current_path())(error));
        }
        let bytes = records.iter().map(|it| (it.0.len() + it.1.len()) as u64).sum::<u64>();
        self.current_mut().end += bytes;
        Ok(())
    }

    /// Begins a new segment, the state in its header.
    pub(crate) fn rotate(&mut self) -> Result<(), Error> {
        let number = self.next_number;
        self.next_number += 1;
        let begun = begin_segment(&*self.medium, number, &self.state);
        let volume = begun.map_err(Error::io("write", self.medium.path(number)))?;
        let full = (self.current_mut().number, std::mem::replace(&mut self.current, volume));
        self.unsynced.push(full);
        self.segments.push(Segment::new(number));
        self.broken = false;
        self.written = self.state;
        self.names_changed = true;
        self.collect();
        Ok(())
    }

    fn current_mut(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("there is always a segment that is written to")
    }

    pub(crate) fn current(&self) -> Arc<dyn Volume> {
        Arc::clone(&self.current)
    }

    fn current_path(&self) -> std::path::PathBuf {
        self.medium.path(self.segments.last().map_or(0, |it| it.number))
    }

    fn segment_bytes(&self) -> u64 {
        (self.limits.bytes / 8).clamp(SMALLEST_SEGMENT, LARGEST_SEGMENT)
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().filter(|it| !it.foreign).map(|it| it.end).sum()
    }
}

fn begin_segment(
    medium: &dyn Medium,
    number: u64,
    state: &Snapshot,
) -> io::Result<Arc<dyn Volume>> {
    let volume = medium.create(number)?;
    if let Err(error) = volume.append(&format::segment_header(number, state), &[]) {
        let _ = medium.remove(number); // what stays is shorter than a header, and is known as such
        return Err(error);
    }
    Ok(volume)
}

pub(crate) fn millis(it: Duration) -> u64 {
    u64::try_from(it.as_millis()).unwrap_or(u64::MAX)
}

fn is_gone(removed: io::Result<()>) -> bool {
    removed.map_or_else(|it| it.kind() == ErrorKind::NotFound, |()| true)
}

fn is_no_room(error: &Error) -> bool {
    let Error::Io { source, .. } = error else { return false };
    matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
