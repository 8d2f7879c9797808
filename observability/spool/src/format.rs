//! The bytes on disk: see the tables in the crate's documentation.

use crate::books::{REASONS, Totals};

/// What a segment begins with: its header, in bytes.
pub(crate) const HEADER: u64 = 160;
/// What a record begins with: its header, in bytes.
pub(crate) const RECORD: usize = 32;
/// The whole record of a state.
pub(crate) const STATE: u64 = (RECORD + SNAPSHOT) as u64;
/// No record's payload is longer, whatever a file says.
pub(crate) const MAX_PAYLOAD: u64 = 64 << 20;
/// Of the format that is written and read.
pub(crate) const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"MWSPOOL\n";
/// Magic, version, and the checksum of both: what every version has.
const PRELUDE: usize = 16;
const SNAPSHOT: usize = 128;

/// A place in the log. Places are ordered as records are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

impl Position {
    /// Where the first record of a segment is.
    pub(crate) fn start_of(segment: u64) -> Position {
        Position { segment, offset: HEADER }
    }
}

/// All that a reopened spool has to know beyond the records themselves. It is absolute, so that the latest one that can be read is
/// enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) totals: Totals,
    /// Everything before is delivered or dropped.
    pub(crate) settled: Position,
    /// A delivery of everything before was tried.
    pub(crate) begun: Position,
    /// A segment that was dropped although an older one was kept, because that one was being delivered; 0 for none.
    pub(crate) evicted: u64,
}

impl Snapshot {
    fn encode(&self) -> [u8; SNAPSHOT] {
        let Totals { received, delivered, redelivered, dropped } = self.totals;
        let mut numbers = vec![received, delivered, redelivered];
        numbers.extend(dropped);
        for position in [self.settled, self.begun] {
            numbers.extend([position.segment, position.offset]);
        }
        numbers.push(self.evicted);
        let mut bytes = [0; SNAPSHOT];
        for (to, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            to.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8; SNAPSHOT]) -> Snapshot {
        let number = |i: usize| u64_at(bytes, 8 * i);
        let mut dropped = [0; REASONS];
        for (i, units) in dropped.iter_mut().enumerate() {
            *units = number(3 + i);
        }
        let position = |i: usize| Position { segment: number(i), offset: number(i + 1) };
        Snapshot {
            totals: Totals {
                received: number(0),
                delivered: number(1),
                redelivered: number(2),
                dropped,
            },
            settled: position(3 + REASONS),
            begun: position(5 + REASONS),
            evicted: number(7 + REASONS),
        }
    }
}

/// What the beginning of a file says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SegmentHeader {
    /// A segment of this number.
    Of(u64, Snapshot),
    /// Written by a version that is not known here.
    Version(u32),
    /// Shorter than a header: its writer was killed when it began the segment, and nothing in it was acknowledged.
    Unfinished,
    /// Damaged, or no segment at all.
    Unreadable,
}

pub(crate) fn segment_header(number: u64, snapshot: &Snapshot) -> [u8; HEADER as usize] {
    let mut bytes = [0; HEADER as usize];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    bytes[24..152].copy_from_slice(&snapshot.encode());
    let crc = crc32fast::hash(&bytes[..152]);
    bytes[152..156].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads the first bytes of a file, [`HEADER`] of them if it has so many.
pub(crate) fn read_segment_header(bytes: &[u8]) -> SegmentHeader {
    if bytes.len() >= PRELUDE
        && bytes[..8] == MAGIC
        && crc32fast::hash(&bytes[..12]) == u32_at(bytes, 12)
        && u32_at(bytes, 8) != VERSION
    {
        return SegmentHeader::Version(u32_at(bytes, 8));
    }
    let Ok(bytes) = <&[u8; HEADER as usize]>::try_from(bytes) else {
        let common = bytes.len().min(MAGIC.len());
        return if bytes[..common] == MAGIC[..common] {
            SegmentHeader::Unfinished
        } else {
            SegmentHeader::Unreadable
        };
    };
    let sound = bytes[..8] == MAGIC
        && u32_at(bytes, 8) == VERSION
        && crc32fast::hash(&bytes[..152]) == u32_at(bytes, 152);
    let snapshot = bytes[24..152].try_into().ok().filter(|_| sound);
    match snapshot {
        Some(snapshot) => SegmentHeader::Of(u64_at(bytes, 16), Snapshot::decode(snapshot)),
        None => SegmentHeader::Unreadable,
    }
}

/// What a record is about. All but data have a [`Snapshot`] as payload; why it was written is for those who read a file by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Data = 1,
    Begun = 2,
    Settled = 3,
    Dropped = 4,
    /// Nothing but that the latest state was not yet written.
    Restated = 5,
}

/// The first bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: Kind,
    /// Of the payload, in bytes.
    pub(crate) length: u32,
    payload_crc: u32,
    pub(crate) units: u64,
    /// When it was appended, in milliseconds since 1970.
    pub(crate) time: u64,
}

impl RecordHeader {
    /// `None` when the payload is longer than [`MAX_PAYLOAD`].
    pub(crate) fn new(kind: Kind, units: u64, time: u64, payload: &[u8]) -> Option<RecordHeader> {
        let length = u32::try_from(payload.len()).ok()?;
        let payload_crc = crc32fast::hash(payload);
        (u64::from(length) <= MAX_PAYLOAD).then_some(RecordHeader {
            kind,
            length,
            payload_crc,
            units,
            time,
        })
    }

    pub(crate) fn encode(&self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[4] = self.kind as u8;
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.units.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.time.to_le_bytes());
        let crc = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` when it is damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<RecordHeader> {
        let bytes: &[u8; RECORD] = bytes.try_into().ok()?;
        if crc32fast::hash(&bytes[4..]) != u32_at(bytes, 0) {
            return None;
        }
        let kind = match bytes[4] {
            1 => Kind::Data,
            2 => Kind::Begun,
            3 => Kind::Settled,
            4 => Kind::Dropped,
            5 => Kind::Restated,
            _ => return None,
        };
        let length = u32_at(bytes, 8);
        (u64::from(length) <= MAX_PAYLOAD).then_some(RecordHeader {
            kind,
            length,
            payload_crc: u32_at(bytes, 12),
            units: u64_at(bytes, 16),
            time: u64_at(bytes, 24),
        })
    }

    pub(crate) fn fits(&self, payload: &[u8]) -> bool {
        payload.len() == self.length as usize && crc32fast::hash(payload) == self.payload_crc
    }

    /// Of header and payload.
    pub(crate) fn total(&self) -> u64 {
        RECORD as u64 + u64::from(self.length)
    }
}

/// A whole record of a state.
pub(crate) fn state_record(kind: Kind, snapshot: &Snapshot, time: u64) -> [u8; STATE as usize] {
    let payload = snapshot.encode();
    let payload_crc = crc32fast::hash(&payload);
    let header =
        RecordHeader { kind, length: SNAPSHOT as u32, payload_crc, units: 0, time }.encode();
    let mut bytes = [0; STATE as usize];
    bytes[..RECORD].copy_from_slice(&header);
    bytes[RECORD..].copy_from_slice(&payload);
    bytes
}

/// The state in the payload of such a record.
pub(crate) fn read_state(payload: &[u8]) -> Option<Snapshot> {
    payload.try_into().ok().map(Snapshot::decode)
}

// Callers have checked the length.

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
