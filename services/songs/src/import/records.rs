//! A file of songs as records: its columns, its delimiter, what is wrong with a record.

use std::io::{self, Read, Seek};

use csv::{Reader, ReaderBuilder, StringRecord};

use super::lines::Lines;
use crate::song::{self, Song, Wrong};

/// Spreadsheets write semicolons where the comma is part of a number, and tabs when text is copied.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// Names of columns, in lower case with spaces for underscores; the first that a file has is taken.
const TITLE: &[&str] = &["title", "track", "track name"];
const ARTIST: &[&str] = &["artist", "artist name(s)", "artist name"];
const ALBUM: &[&str] = &["album", "album name"];
const GENRE: &[&str] = &["genre"];
const DURATION: &[&str] = &["duration ms", "duration", "duration (ms)"];

/// The songs of a CSV file, one after the other.
#[derive(Debug)]
pub struct Records<R> {
    reader: Reader<Lines<R>>,
    columns: Columns,
    record: StringRecord,
}

/// A record with the line it begins on.
#[derive(Debug)]
pub(super) struct Line {
    /// The physical line; that of the header is 1, unless empty ones come before it.
    pub(super) number: u64,
    /// The song, or everything that is wrong with it.
    pub(super) song: Result<Song, Vec<Wrong>>,
}

/// Why a whole file is refused. Each displays as a sentence for the one who sent it.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// There is not even a header.
    #[error(
        "the file is empty; it needs a header with a title and an artist, and a line for each song"
    )]
    Empty,
    /// The header does not tell which column is the title or the artist.
    #[error(
        "the header has no column for {missing}; it has {there}, divided by comma, semicolon or tab as the header is"
    )]
    Columns {
        /// What has no column: `title`, `artist`, or both.
        missing: String,
        /// The names of the first columns, quoted.
        there: String,
    },
    /// Something is not UTF-8, such as the Latin-1 of an old spreadsheet.
    #[error("line {line} is not UTF-8; save the file as \"CSV UTF-8\" and send it again")]
    Encoding {
        /// The physical line.
        line: u64,
    },
    /// It begins with the mark of UTF-16.
    #[error("the file is UTF-16; save it as \"CSV UTF-8\" and send it again")]
    Utf16,
    /// It is our own copy that cannot be read.
    #[error("the file cannot be read back")]
    Io(#[from] io::Error),
}

#[derive(Clone, Copy, Debug)]
struct Columns {
    title: usize,
    artist: usize,
    album: Option<usize>,
    genre: Option<usize>,
    duration: Option<usize>,
}

impl<R: Read + Seek> Records<R> {
    /// Reads the header. The delimiter is the one with which it has a title and an artist.
    ///
    /// # Errors
    /// When there is none, or nothing can be read.
    pub fn open(mut file: R) -> Result<Records<R>, Unreadable> {
        file.rewind()?;
        let mut mark = [0; 2];
        let count = file.read(&mut mark)?;
        if matches!(&mark[..count], [0xff, 0xfe] | [0xfe, 0xff]) {
            return Err(Unreadable::Utf16);
        }
        let mut refusal = Unreadable::Empty;
        for delimiter in DELIMITERS {
            file.rewind()?;
            let reader = ReaderBuilder::new()
                .delimiter(delimiter)
                .has_headers(false)
                .flexible(true)
                .buffer_capacity(64 << 10)
                .from_reader(Lines::new(file));
            let columns = Columns { title: 0, artist: 0, album: None, genre: None, duration: None };
            let mut records = Records { reader, columns, record: StringRecord::new() };
            if records.advance()?.is_none() {
                return Err(Unreadable::Empty);
            }
            match Columns::find(&records.record) {
                Ok(columns) => return Ok(Records { columns, ..records }),
                // What a file lacks is told with the delimiter that finds the most columns.
                Err((found, wrong)) => {
                    let better = match &refusal {
                        Unreadable::Columns { .. } => found > 1,
                        _ => true,
                    };
                    if better {
                        refusal = wrong;
                    }
                }
            }
            file = records.reader.into_inner().into_inner();
        }
        Err(refusal)
    }

    /// The next record, or none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Line>, Unreadable> {
        let Some(number) = self.advance()? else { return Ok(None) };
        Ok(Some(Line { number, song: self.song() }))
    }

    /// Counts the records that are left, `most` at most, and looks at their encoding.
    pub(super) fn check(&mut self, most: usize) -> Result<usize, Unreadable> {
        let mut count = 0;
        while count < most && self.advance()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    /// The file, to be read again.
    pub(super) fn into_inner(self) -> R {
        self.reader.into_inner().into_inner()
    }

    fn advance(&mut self) -> Result<Option<u64>, Unreadable> {
        let from = self.reader.position().byte();
        let read = self.reader.read_record(&mut self.record);
        let line = self.reader.get_mut().of(from);
        match read {
            Ok(true) => Ok(Some(line)),
            Ok(false) => Ok(None),
            Err(error) => Err(match error.into_kind() {
                csv::ErrorKind::Io(error) => Unreadable::Io(error),
                // Records of any length are accepted and nothing is deserialised: what remains is the encoding.
                _ => Unreadable::Encoding { line },
            }),
        }
    }

    fn song(&self) -> Result<Song, Vec<Wrong>> {
        let Columns { title, artist, album, genre, duration } = self.columns;
        let field = |at: usize| self.record.get(at).unwrap_or_default();
        let optional = |at: Option<usize>| at.map(field).unwrap_or_default();
        let duration = parse_duration(optional(duration));
        Song::new(field(title), field(artist), optional(album), optional(genre), duration)
    }
}

impl Columns {
    /// Else how many columns there are, and what is missing.
    fn find(header: &StringRecord) -> Result<Columns, (usize, Unreadable)> {
        let names: Vec<String> =
            header.iter().map(|name| name.trim().to_lowercase().replace('_', " ")).collect();
        let find =
            |wanted: &[&str]| wanted.iter().find_map(|name| names.iter().position(|it| it == name));
        match (find(TITLE), find(ARTIST)) {
            (Some(title), Some(artist)) => {
                let (album, genre, duration) = (find(ALBUM), find(GENRE), find(DURATION));
                Ok(Columns { title, artist, album, genre, duration })
            }
            (title, artist) => {
                let missing = [(title, "title"), (artist, "artist")];
                let missing: Vec<_> =
                    missing.iter().filter(|it| it.0.is_none()).map(|it| it.1).collect();
                let there: Vec<String> = header.iter().take(10).map(shown).collect();
                let (missing, there) = (missing.join(" and "), there.join(", "));
                Err((names.len(), Unreadable::Columns { missing, there }))
            }
        }
    }
}

/// A name of a column for a message, not longer than a name should be.
fn shown(name: &str) -> String {
    format!("{:?}", name.trim().chars().take(40).collect::<String>())
}

/// Milliseconds (`194754`, also as `194754.0`), or a time as on a sleeve (`3:14`, `1:02:03`); nothing: unknown.
fn parse_duration(text: &str) -> Result<Option<i64>, Wrong> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let whole = text.strip_suffix(".0").unwrap_or(text);
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    if !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit()) {
        let negative = digits.len() < whole.len();
        return whole.parse().map(Some).map_err(|_| song::duration_limit(negative));
    }
    let wrong = || Wrong::new("duration_ms", "must be milliseconds or a time such as 3:14");
    clock(text).map(Some).ok_or_else(wrong)
}

/// `m:ss` or `h:mm:ss` in milliseconds.
fn clock(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let first: u32 = digits(parts.next()?, 1..=4)?;
    let rest: Vec<u32> = parts.map(|it| digits(it, 2..=2)).collect::<Option<_>>()?;
    if rest.is_empty() || rest.len() > 2 || rest.iter().any(|it| *it > 59) {
        return None;
    }
    let seconds = rest.iter().fold(i64::from(first), |sum, it| sum * 60 + i64::from(*it));
    Some(seconds * 1000)
}

fn digits(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let plain = length.contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}
