//! Where segments lie: in a folder, or in memory.

use std::{fmt::Debug, io, path::PathBuf, sync::Arc};

pub(crate) mod folder;
pub(crate) mod memory;

/// A place for segments, each known by its number.
pub(crate) trait Medium: Debug + Send + Sync {
    /// The numbers of all segments, in no order.
    fn numbers(&self) -> io::Result<Vec<u64>>;
    /// A new and empty segment; one of this number must not exist.
    fn create(&self, number: u64) -> io::Result<Arc<dyn Volume>>;
    fn open(&self, number: u64) -> io::Result<Arc<dyn Volume>>;
    fn remove(&self, number: u64) -> io::Result<()>;
    /// Makes the names of segments last, as [`Volume::sync`] does their bytes.
    fn sync(&self) -> io::Result<()>;
    /// For messages.
    fn path(&self, number: u64) -> PathBuf;

    /// Takes some room, unless it has been taken, so that states can be written to a disk that is full otherwise: only they say what
    /// may be deleted.
    fn reserve(&self) -> io::Result<()>;
    /// Gives that room back.
    fn release(&self);
}

/// The bytes of one segment.
pub(crate) trait Volume: Debug + Send + Sync {
    fn length(&self) -> io::Result<u64>;
    /// Writes at the end. After an error some of it may be there.
    fn append(&self, header: &[u8], payload: &[u8]) -> io::Result<()>;
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Fills as much of the buffer as there is.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    fn sync(&self) -> io::Result<()>;
    /// Whether somebody took it away while it is open.
    fn is_removed(&self) -> bool;
}
