//! A bounded queue of opaque records whose books balance, on disk or in memory.
//!
//! Any number of appenders put records in, one reader takes them out in order and says what became of them. A record carries units
//! (spans, lines, points), and all numbers of the [`Books`] but bytes and records are in units:
//!
//! `received = delivered + dropped + in spool`
//!
//! to the unit, also after the process was killed at any moment.
//!
//! # What is promised
//!
//! - A record that [`Spool::append`] acknowledged was given to the operating system: a killed process loses nothing. Loss of power may
//!   cost what was appended since the last [`Spool::sync`], which the owner calls once a second.
//! - A delivery whose end was not noted (the process was killed between the destination's answer and the note) is tried again, and
//!   counts as redelivered. Nothing is delivered twice uncounted, unless the newest states themselves are damaged on disk.
//! - When the spool is full, or records are too old, the oldest segment is dropped and counted. A segment that is just being delivered
//!   is left, and the next one dropped.
//! - Damage is counted as far as it can be known. A segment that somebody took away is not explained away: it shows as
//!   [`Books::unaccounted`]. The newest one cannot be missed by those before it.
//! - Memory holds an index of segments, not of records. Payloads are read when they are handed out.
//!
//! Calls block for a write to the page cache, or a read of a batch; nothing here is async but [`Reader::appended`]. Reading happens
//! without the lock that appenders take. Deleting a segment happens under it.
//!
//! # Format
//!
//! A folder (mode 0700) has `lock`, `reserve` (64 KiB that are given up when the disk is full, so that it can still be noted what was
//! delivered and may be deleted) and segments (mode 0600) named by their number, `00000000000000000001.spool`. All integers are
//! little-endian. Checksums are CRC-32 (IEEE).
//!
//! A segment begins with a header of 160 bytes:
//!
//! | offset | bytes | meaning |
//! |--:|--:|---|
//! | 0 | 8 | `MWSPOOL` and a line feed |
//! | 8 | 4 | version of the format, 1 |
//! | 12 | 4 | checksum of bytes 0 to 11; so far all versions are alike |
//! | 16 | 8 | number of the segment, that of its name |
//! | 24 | 128 | state when it was begun |
//! | 152 | 4 | checksum of bytes 0 to 151 |
//! | 156 | 4 | 0 |
//!
//! A state is absolute, so the newest that can be read is enough:
//!
//! | offset | bytes | meaning |
//! |--:|--:|---|
//! | 0 | 8 | units received |
//! | 8 | 8 | units delivered |
//! | 16 | 8 | units redelivered |
//! | 24 | 64 | units dropped, 8 bytes for each reason in the order of [`Reason`]; one is free |
//! | 88 | 16 | settled up to: number of a segment, offset in it |
//! | 104 | 16 | delivery begun up to: the same |
//! | 120 | 8 | number of a segment that was dropped before older ones, or 0 |
//!
//! Records follow one another without gaps:
//!
//! | offset | bytes | meaning |
//! |--:|--:|---|
//! | 0 | 4 | checksum of bytes 4 to 31 |
//! | 4 | 1 | kind: 1 data; 2 begun, 3 settled, 4 dropped, 5 restated, which have a state as payload |
//! | 5 | 3 | 0 |
//! | 8 | 4 | bytes of the payload, 64 MiB at most |
//! | 12 | 4 | checksum of the payload |
//! | 16 | 8 | units |
//! | 24 | 8 | when it was appended, in milliseconds since 1970 |
//! | 32 | | payload |

mod books;
mod clock;
mod cursor;
mod error;
mod format;
mod log;
mod medium;
mod open;
mod reader;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

pub use books::{Books, Held, Reason};
pub use error::Error;
pub use open::Recovery;
pub use reader::{Batch, Reader, Record};

use clock::Clock;
use log::Log;
use medium::{Medium, folder::Folder, memory::Memory};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of all segments, with headers and states. At least 16 KiB are taken. A segment is an eighth of it, 8 MiB at most. What the reader
    /// notes is written even to a full spool, and may go beyond by two segments until what it delivered is deleted.
    pub bytes: u64,
    /// Of a record. A segment is dropped when its newest record is older, and spans an eighth of it at most.
    pub age: Duration,
}

/// The appending end of a spool; clones append to the same one.
#[derive(Clone, Debug)]
pub struct Spool {
    shared: Arc<Shared>,
    recovery: Arc<Recovery>,
}

/// What both ends have.
#[derive(Debug)]
struct Shared {
    log: Mutex<Log>,
    appended: Notify,
}

impl Spool {
    /// Opens the spool in a folder, which is made if it is not there.
    ///
    /// Reads the headers of all records that are left, so a spool of many small records takes its time.
    ///
    /// # Errors
    /// Somebody else has the folder, a segment is of an unknown version, or the disk fails. Segments are as they were then.
    pub fn open(folder: &Path, limits: Limits) -> Result<(Spool, Reader), Error> {
        Spool::over(Arc::new(Folder::open(folder)?), limits, Clock::system())
    }

    /// A spool with the same bounds and books that is gone with the process.
    ///
    /// # Errors
    /// None: memory is a disk that does not fail.
    pub fn in_memory(limits: Limits) -> Result<(Spool, Reader), Error> {
        Spool::over(Arc::new(Memory::default()), limits, Clock::system())
    }

    fn over(
        medium: Arc<dyn Medium>,
        mut limits: Limits,
        clock: Clock,
    ) -> Result<(Spool, Reader), Error> {
        limits.bytes = limits.bytes.max(16 << 10);
        let (found, recovery) = open::open(&*medium)?;
        let log = Mutex::new(Log::new(medium, limits, clock, found)?);
        let shared = Arc::new(Shared { log, appended: Notify::new() });
        let spool = Spool { shared: Arc::clone(&shared), recovery: Arc::new(recovery) };
        Ok((spool, Reader { shared }))
    }

    /// Adds a record. When it returns, a killed process keeps it.
    ///
    /// # Errors
    /// Nothing of the record is kept, and it is not received. The next call tries again.
    pub fn append(&self, units: u64, payload: &[u8]) -> Result<(), Error> {
        self.append_all(&[(units, payload)])
    }

    /// Adds records that came together, each with its units. When it returns, a killed process keeps them; one that is killed meanwhile may keep
    /// the first of them.
    ///
    /// # Errors
    /// Nothing of any of them is kept, and none is received: also when together they take more than half of the spool.
    pub fn append_all(&self, records: &[(u64, &[u8])]) -> Result<(), Error> {
        self.shared.log().append(records)?;
        self.shared.appended.notify_one();
        Ok(())
    }

    /// Makes last what was appended, and drops what became too old. To be called once a second.
    ///
    /// # Errors
    /// The disk fails or is full; what was appended since the last success may be lost with the power.
    pub fn sync(&self) -> Result<(), Error> {
        let mut log = self.shared.log();
        let caught_up = log.catch_up(); // if it did not, what there is is synced nevertheless
        let (volumes, path) = (log.take_unsynced(), log.medium.path(0));
        let names = log.take_names_changed().then(|| Arc::clone(&log.medium));
        drop(log);
        let synced = volumes.iter().try_for_each(|(_, it)| it.sync());
        let synced = synced.and_then(|()| names.map_or(Ok(()), |it| it.sync()));
        synced.map_err(|error| {
            self.shared.log().sync_failed(volumes);
            let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
            Error::io("sync", folder)(error)
        })?;
        caught_up
    }

    /// The books at this moment.
    pub fn books(&self) -> Books {
        self.shared.log().books()
    }

    /// What was found when the spool was opened.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }
}

impl Shared {
    /// Every change of the log is complete before anything in it can panic: going on is right.
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.log().close();
    }
}
