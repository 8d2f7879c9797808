//! The one that delivers: takes the oldest records, and says what became of them.

use std::{io::ErrorKind, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    Error, Reason, Shared,
    books::Held,
    cursor::{Cursor, Step},
    format::{HEADER, Kind, Position, RecordHeader},
    log::{Flight, Segment, millis},
    medium::{Medium, Volume},
};

/// The reading end of a spool. There is one.
#[derive(Debug)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
}

/// Consecutive records on their way to the destination. It ends with [`Batch::settle`] or [`Batch::retry`]; dropped without either, its
/// outcome is unknown, as if by [`Batch::retry_uncertain`].
#[derive(Debug)]
#[must_use = "a batch that is dropped counts as perhaps delivered"]
pub struct Batch<'a> {
    /// For as long as a batch is out, the borrow keeps the next one in.
    reader: &'a mut Reader,
    payloads: Vec<Bytes>,
    units: u64,
    oldest: Duration,
    is_ended: bool,
}

/// A record that waits, as [`Reader::pending`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// As it was appended. A part of a larger read, which it keeps in memory: copy what is kept long.
    pub payload: Bytes,
    /// As it was appended.
    pub units: u64,
    /// How long ago that was.
    pub age: Duration,
}

impl Reader {
    /// The oldest records that wait, as many as fit into both limits, but at least one. `None` when none waits.
    ///
    /// A record whose payload is damaged is passed over, and counts as dropped. Reads without the spool's lock, so appenders go on.
    ///
    /// # Errors
    /// What cannot be read now. It stays where it is.
    pub fn next(&mut self, max_bytes: u64, max_units: u64) -> Result<Option<Batch<'_>>, Error> {
        self.next_older_than(Duration::ZERO, max_bytes, max_units)
    }

    /// Like [`Reader::next`], of records only that were appended so long ago, in order: nothing passes one that is younger.
    ///
    /// # Errors
    /// As there.
    pub fn next_older_than(
        &mut self,
        age: Duration,
        max_bytes: u64,
        max_units: u64,
    ) -> Result<Option<Batch<'_>>, Error> {
        let most = Most { age: millis(age), bytes: max_bytes, units: max_units };
        loop {
            let (walk, begun, now) = self.walk();
            let taken = Taken::gather(walk, &most, begun, now)?;
            let mut log = self.shared.log();
            for number in taken.gone {
                log.forget(number);
            }
            if taken.payloads.is_empty() {
                match log.skip(&taken.flight) {
                    None => {}
                    Some(()) if !taken.is_stuck => return Ok(None),
                    Some(()) => log.rotate()?, // then there is something behind the damage to go on to
                }
            } else if log.begin(taken.flight).is_some() {
                drop(log);
                let oldest = Duration::from_millis(now.saturating_sub(taken.oldest));
                let (payloads, units) = (taken.payloads, taken.units);
                return Ok(Some(Batch { reader: self, payloads, units, oldest, is_ended: false }));
            }
        }
    }

    /// Waits until something was appended since the last call. One that came in between is not missed.
    pub async fn appended(&self) {
        self.shared.appended.notified().await;
    }

    /// All records that wait, from the oldest on, without taking them: to rebuild what was known of them. Damaged ones are left out. It ends
    /// after an error.
    pub fn pending(&self) -> impl Iterator<Item = Result<Record, Error>> + use<> {
        let (walk, _, now) = self.walk();
        walk.filter_map(move |event| match event {
            Ok(Event::Data { header, payload, .. }) => {
                let age = Duration::from_millis(now.saturating_sub(header.time));
                Some(Ok(Record { payload: payload?, units: header.units, age }))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// Over all that waits now; with what was begun before, and the time.
    fn walk(&self) -> (Walk, Position, u64) {
        let mut log = self.shared.log();
        let _ = log.expire(); // what cannot be noted as dropped is delivered late
        let settled = log.state.settled;
        let segments: Vec<Segment> =
            log.segments.iter().filter(|it| it.number >= settled.segment).cloned().collect();
        let walk = Walk {
            medium: Arc::clone(&log.medium),
            segments: segments.into_iter(),
            current: log.current(),
            from: settled,
            at: None,
        };
        (walk, log.state.begun, log.now())
    }
}

impl Batch<'_> {
    /// The payloads in order. One after the other they are the message that is to be sent.
    pub fn payloads(&self) -> &[Bytes] {
        &self.payloads
    }

    /// Of all payloads together.
    pub fn units(&self) -> u64 {
        self.units
    }

    /// The age of the oldest record.
    pub fn age(&self) -> Duration {
        self.oldest
    }

    /// So many units were delivered, and so many dropped. Together they should be [`Batch::units`]; what is missing would be unaccounted.
    ///
    /// # Errors
    /// The log could not be written. The books are right nevertheless, and the next state that is written has it; if the process is
    /// killed before, the batch is handed out once more.
    pub fn settle(mut self, delivered: u64, dropped: &[(Reason, u64)]) -> Result<(), Error> {
        self.is_ended = true;
        self.reader.shared.log().settle(delivered, dropped)
    }

    /// Nothing of it reached the destination: it is handed out again.
    pub fn retry(mut self) {
        self.is_ended = true;
        self.reader.shared.log().give_back(true);
    }

    /// It is not known whether it reached the destination: it is handed out again, and counts as redelivered then.
    pub fn retry_uncertain(self) {}
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if !self.is_ended {
            self.reader.shared.log().give_back(false);
        }
    }
}

struct Most {
    /// Not of a batch, but what each record has to have at least.
    age: u64,
    bytes: u64,
    units: u64,
}

/// What a batch is made from.
struct Taken {
    flight: Flight,
    payloads: Vec<Bytes>,
    units: u64,
    /// When the oldest record was appended.
    oldest: u64,
    /// Segments that somebody took away.
    gone: Vec<u64>,
    /// The segment that is written to is damaged, and nothing of the rest can be read.
    is_stuck: bool,
}

impl Taken {
    fn gather(walk: Walk, most: &Most, begun: Position, now: u64) -> Result<Taken, Error> {
        let (from, to) = (walk.from, walk.from);
        let flight = Flight { from, to, end: from, taken: Vec::new(), damaged: 0, again: 0 };
        let (payloads, gone) = (Vec::new(), Vec::new());
        let mut taken =
            Taken { flight, payloads, units: 0, oldest: u64::MAX, gone, is_stuck: false };
        let mut bytes = 0;
        for event in walk {
            match event {
                Ok(Event::Data { at, end, header, payload }) => {
                    let length = u64::from(header.length);
                    let fits = bytes + length <= most.bytes
                        && taken.units.saturating_add(header.units) <= most.units;
                    let is_old = now.saturating_sub(header.time) >= most.age;
                    if !is_old || !(fits || taken.payloads.is_empty()) {
                        break;
                    }
                    bytes += length;
                    taken.add(&header, payload, at < begun);
                    taken.flight.count(at.segment, &header);
                    (taken.flight.to, taken.flight.end) = (end, end);
                }
                Ok(Event::Other(position)) => taken.flight.to = position,
                Ok(Event::Gone(number)) => taken.gone.push(number),
                Ok(Event::Stuck) => taken.is_stuck = true,
                Err(error) if taken.payloads.is_empty() => return Err(error),
                Err(_) => break, // it will come again
            }
        }
        Ok(taken)
    }

    fn add(&mut self, header: &RecordHeader, payload: Option<Bytes>, is_repeated: bool) {
        let Some(payload) = payload else {
            self.flight.damaged = self.flight.damaged.saturating_add(header.units);
            return;
        };
        self.payloads.push(payload);
        self.units = self.units.saturating_add(header.units);
        self.oldest = self.oldest.min(header.time);
        if is_repeated {
            self.flight.again = self.flight.again.saturating_add(header.units);
        }
    }
}

impl Flight {
    fn count(&mut self, segment: u64, header: &RecordHeader) {
        let held = Held { units: header.units, records: 1, bytes: header.length.into() };
        match self.taken.last_mut().filter(|it| it.0 == segment) {
            Some((_, sum)) => sum.add(held),
            None => self.taken.push((segment, held)),
        }
    }
}

/// Over records as they were when it began, without the spool's lock.
struct Walk {
    medium: Arc<dyn Medium>,
    segments: std::vec::IntoIter<Segment>,
    current: Arc<dyn Volume>,
    from: Position,
    /// In which segment it is.
    at: Option<(u64, Cursor)>,
}

enum Event {
    Data {
        at: Position,
        end: Position,
        header: RecordHeader,
        /// `None`: it is damaged.
        payload: Option<Bytes>,
    },
    /// Everything up to here is of no interest to a reader.
    Other(Position),
    /// Somebody took a segment away.
    Gone(u64),
    /// The rest of the segment that is written to cannot be read.
    Stuck,
}

impl Iterator for Walk {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some((number, mut cursor)) = self.at.take() else { return self.next_segment() };
        let event = self.step(number, &mut cursor).map_err(|it| {
            self.segments = Vec::new().into_iter(); // nothing may pass what cannot be read
            Error::io("read", self.medium.path(number))(it)
        });
        match event {
            Ok(None) => self.next_segment(),
            event => {
                self.at = event.is_ok().then_some((number, cursor));
                event.transpose()
            }
        }
    }
}

impl Walk {
    fn next_segment(&mut self) -> Option<Result<Event, Error>> {
        let segment = self.segments.next()?;
        let (number, is_current) = (segment.number, self.segments.len() == 0);
        let start = self.from.max(Position::start_of(number));
        let end = if segment.foreign { HEADER } else { segment.end };
        let opened = match () {
            () if is_current => Ok(Arc::clone(&self.current)),
            () => self.medium.open(number),
        };
        match opened {
            Ok(volume) => {
                let start = Position { segment: number, offset: start.offset.min(end) };
                self.at = Some((number, Cursor::new(volume, start.offset, end)));
                Some(Ok(Event::Other(start)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Some(Ok(Event::Gone(number))),
            Err(error) => {
                self.segments = Vec::new().into_iter();
                Some(Err(Error::io("open", self.medium.path(number))(error)))
            }
        }
    }

    /// `None` at the end of a segment, or of what can be read of it.
    fn step(&self, number: u64, cursor: &mut Cursor) -> std::io::Result<Option<Event>> {
        let position = |offset| Position { segment: number, offset };
        match cursor.step()? {
            Step::Record(header, at) if header.kind == Kind::Data => {
                let payload = cursor.payload(&header, at)?;
                let (at, end) = (position(at), position(cursor.at));
                Ok(Some(Event::Data { at, end, header, payload }))
            }
            Step::Record(..) => Ok(Some(Event::Other(position(cursor.at)))),
            Step::Torn | Step::Damaged if self.segments.len() == 0 => {
                cursor.end_here();
                Ok(Some(Event::Stuck))
            }
            Step::End | Step::Torn | Step::Damaged => Ok(None),
        }
    }
}
