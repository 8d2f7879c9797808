//! What can go wrong with a spool, as far as its owner can act on it.

use std::{io, path::PathBuf};

/// Why something could not be done. Nothing is half done: what failed may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process, or another spool of this one, has the folder.
    #[error(
        "the spool folder {} is in use by another process: stop that one, or give this one a folder of its own",
        folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// A segment was written by another version of this program. Nothing in the folder was changed.
    #[error(
        "{} is in version {found} of the spool's format, and this program knows version {known} only: run the program \
         that wrote it until the spool is empty, or move the file away (what is in it then counts as unaccounted)",
        file.display()
    )]
    Version {
        /// The segment.
        file: PathBuf,
        /// What it says.
        found: u32,
        /// What is known here.
        known: u32,
    },
    /// The payload is longer than a record may be: 64 MiB, or half of the spool.
    #[error(
        "a record of {bytes} bytes is longer than {limit} bytes, the most that this spool takes"
    )]
    TooLarge {
        /// Of the payload.
        bytes: u64,
        /// The most of a payload.
        limit: u64,
    },
    /// There is no room, and what could be dropped for it is just being delivered. That ends soon.
    #[error("the spool is full of what is being delivered at this moment")]
    Full,
    /// The disk is full, read-only, gone, or fails.
    #[error("cannot {what} {}", file.display())]
    Io {
        /// `write`, `read` and so on.
        what: &'static str,
        /// The segment or folder.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: &'static str, file: PathBuf) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { what, file, source }
    }
}
