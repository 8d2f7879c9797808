//! A thousand records, ready for one transaction.

use std::{
    collections::HashSet,
    io::{Read, Seek},
};

use super::{
    Refused, Taken,
    records::{Records, Unreadable},
};
use crate::song::Song;

/// How many records are committed together: few enough that others who write need not wait long.
const ROWS: u64 = 1_000;

/// Records that were read, and later what became of them.
#[derive(Debug, Default)]
pub struct Batch {
    /// How many they are: 1,000, unless the file ends.
    pub rows: u64,
    /// Those that the destination did not have.
    pub added: u64,
    /// Those that it had, or that came earlier in this batch.
    pub already: u64,
    /// How many songs are new in the catalog.
    pub created: u64,
    /// Those that cannot be a song.
    pub refused: Vec<Refused>,
    /// The songs, in their order, each key once.
    pub songs: Vec<Song>,
    /// Whether the file ends with it.
    pub last: bool,
}

impl Batch {
    /// Reads and checks the next records. Blocks for some milliseconds.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read<R: Read + Seek>(
        mut records: Records<R>,
    ) -> Result<(Records<R>, Batch), Unreadable> {
        let mut batch = Batch::default();
        let mut keys = HashSet::new();
        while batch.rows < ROWS {
            let Some(line) = records.next()? else {
                batch.last = true;
                break;
            };
            batch.rows += 1;
            match line.song {
                Ok(song) if keys.insert(song.match_key()) => batch.songs.push(song),
                Ok(_) => batch.already += 1,
                Err(wrong) => {
                    let reason: Vec<String> = wrong.iter().map(ToString::to_string).collect();
                    batch.refused.push(Refused { line: line.number, reason: reason.join("; ") });
                }
            }
        }
        Ok((records, batch))
    }

    /// Notes what became of its `different` songs.
    pub(super) fn book(&mut self, different: u64, taken: Taken) {
        self.added = taken.added;
        self.already += different.saturating_sub(taken.added);
        self.created = taken.created;
    }
}
