//! Walks over the records of one segment, in large reads.

use std::{io, sync::Arc};

use bytes::Bytes;

use crate::{
    format::{RECORD, RecordHeader},
    medium::Volume,
};

/// What is read at once when records are smaller.
const AHEAD: u64 = 256 << 10;

#[derive(Debug)]
pub(crate) struct Cursor {
    volume: Arc<dyn Volume>,
    /// Where the next record begins.
    pub(crate) at: u64,
    end: u64,
    /// What was read last, and where it begins.
    chunk: Bytes,
    chunk_at: u64,
}

/// What comes next in a segment.
#[derive(Debug)]
pub(crate) enum Step {
    /// A record, and where it begins. Its payload is not yet read.
    Record(RecordHeader, u64),
    End,
    /// The record goes beyond the end: its writer was killed.
    Torn,
    /// Neither this header nor, since nobody knows where they begin, any after it can be read.
    Damaged,
}

impl Cursor {
    pub(crate) fn new(volume: Arc<dyn Volume>, at: u64, end: u64) -> Cursor {
        Cursor { volume, at, end, chunk: Bytes::new(), chunk_at: 0 }
    }

    /// Gives up what is behind.
    pub(crate) fn end_here(&mut self) {
        self.end = self.at;
    }

    pub(crate) fn step(&mut self) -> io::Result<Step> {
        if self.at == self.end {
            return Ok(Step::End);
        }
        let Some(header) = self.bytes(self.at, RECORD as u64)? else { return Ok(Step::Torn) };
        let Some(header) = RecordHeader::decode(&header) else { return Ok(Step::Damaged) };
        if header.total() > self.end - self.at {
            return Ok(Step::Torn);
        }
        let at = self.at;
        self.at += header.total();
        Ok(Step::Record(header, at))
    }

    /// The payload of a record; `None` when it is damaged.
    pub(crate) fn payload(&mut self, header: &RecordHeader, at: u64) -> io::Result<Option<Bytes>> {
        let payload = self.bytes(at + RECORD as u64, header.length.into())?;
        Ok(payload.filter(|it| header.fits(it)))
    }

    /// A range of the segment, as a part of what was read at once; `None` when it ends earlier.
    fn bytes(&mut self, from: u64, length: u64) -> io::Result<Option<Bytes>> {
        if from + length > self.end {
            return Ok(None);
        }
        let known =
            from >= self.chunk_at && from + length <= self.chunk_at + self.chunk.len() as u64;
        if !known {
            // No more than there is, so the length of a record allocates no more than the file has.
            let wanted = length.max(AHEAD).min(self.end - from);
            let mut buffer = vec![0; wanted as usize];
            let read = self.volume.read_at(from, &mut buffer)?;
            buffer.truncate(read);
            (self.chunk, self.chunk_at) = (buffer.into(), from);
        }
        let start = (from - self.chunk_at) as usize;
        let end = start + length as usize;
        Ok((end <= self.chunk.len()).then(|| self.chunk.slice(start..end)))
    }
}
