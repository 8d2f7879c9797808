//! A thousand records, ready for one statement.

use std::{
    collections::HashSet,
    io::{Read, Seek},
};

use super::{
    Refused,
    records::{Records, Unreadable},
};
use crate::store;

/// How many records are committed together: few enough that others who write need not wait long.
const ROWS: u64 = 1_000;

/// Records that were read, and later what became of them.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) rows: u64,
    pub(crate) added: u64,
    pub(crate) already: u64,
    pub(crate) refused: Vec<Refused>,
    /// The different songs, for [`store::insert_missing`]; none: there is nothing to write.
    pub(crate) songs: Option<String>,
    /// How many songs that are.
    different: u64,
    /// Whether the file ends with it.
    pub(crate) last: bool,
}

impl Batch {
    /// Reads, checks and folds the next records. Blocks for some milliseconds.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn read<R: Read + Seek>(
        mut records: Records<R>,
    ) -> Result<(Records<R>, Batch), Unreadable> {
        let mut batch = Batch::default();
        let (mut keys, mut songs) = (HashSet::new(), Vec::new());
        while batch.rows < ROWS {
            let Some(line) = records.next()? else {
                batch.last = true;
                break;
            };
            batch.rows += 1;
            match line.song {
                Ok(song) => {
                    let derived = song.derive();
                    if keys.insert(derived.match_key.clone()) {
                        songs.push(store::row(song, derived));
                    } else {
                        batch.already += 1;
                    }
                }
                Err(wrong) => {
                    let reason: Vec<String> = wrong.iter().map(ToString::to_string).collect();
                    batch.refused.push(Refused { line: line.number, reason: reason.join("; ") });
                }
            }
        }
        if !songs.is_empty() {
            batch.different = songs.len() as u64;
            let text = serde_json::to_string(&songs);
            batch.songs = Some(text.map_err(std::io::Error::from)?);
        }
        Ok((records, batch))
    }

    /// `added` of the songs are in the database now, the others were there.
    pub(crate) fn book(&mut self, added: u64) {
        self.added = added;
        self.already += self.different - added;
    }
}
