//! What a song is, whoever it comes from, and what is wrong with what is none.

use std::fmt;

use serde::Serialize;

use crate::text;

/// Longest title, artist and album, in characters.
pub const NAME: usize = 300;
/// Longest genre, in characters.
pub const GENRE: usize = 100;
/// Longest song, in milliseconds: a day.
pub const DURATION: i64 = 86_400_000;

/// The content of a song: clean texts within their limits. [`Song::new`] sees to that, or the functions of this module for single fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Song {
    /// 1 to [`NAME`] characters.
    pub title: String,
    /// 1 to [`NAME`] characters.
    pub artist: String,
    /// [`NAME`] characters at most; empty: none.
    pub album: String,
    /// [`GENRE`] characters at most; empty: none.
    pub genre: String,
    /// 0 to [`DURATION`]; none: not known.
    pub duration_ms: Option<i64>,
}

impl Song {
    /// The song with these fields, which are cleaned.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the parameters; also with the duration, which may come as something else than a number.
    pub fn new(
        title: &str,
        artist: &str,
        album: &str,
        genre: &str,
        duration: Result<Option<i64>, Wrong>,
    ) -> Result<Song, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let title = note(name("title", title), &mut wrong);
        let artist = note(name("artist", artist), &mut wrong);
        let album = note(self::album(album), &mut wrong);
        let genre = note(self::genre(genre), &mut wrong);
        let duration = duration.and_then(|given| given.map(self::duration).transpose());
        match (title, artist, album, genre, note(duration, &mut wrong)) {
            (Some(title), Some(artist), Some(album), Some(genre), Some(duration_ms)) => {
                Ok(Song { title, artist, album, genre, duration_ms })
            }
            _ => Err(wrong),
        }
    }

    /// Two songs with the same key are the same for an import; see [`text::match_key`].
    pub fn match_key(&self) -> String {
        text::match_key(&self.title, &self.artist)
    }
}

fn note<T>(outcome: Result<T, Wrong>, wrong: &mut Vec<Wrong>) -> Option<T> {
    outcome.map_err(|it| wrong.push(it)).ok()
}

/// A field that breaks a rule; it displays as `title must have ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The field's name.
    pub field: &'static str,
    /// To be read after the field's name.
    pub detail: String,
    /// The bound that was crossed.
    pub limit: Option<i64>,
}

impl Wrong {
    /// Says what is wrong with the field.
    pub fn new(field: &'static str, detail: impl Into<String>) -> Wrong {
        Wrong { field, detail: detail.into(), limit: None }
    }

    /// Names the bound that was crossed.
    #[must_use]
    pub fn limit(mut self, limit: i64) -> Wrong {
        self.limit = Some(limit);
        self
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.detail)
    }
}

/// A title or an artist: 1 to [`NAME`] characters.
///
/// # Errors
/// When it has fewer, more, or control characters.
pub fn name(field: &'static str, given: &str) -> Result<String, Wrong> {
    bounded(field, given, 1, NAME)
}

/// An album: [`NAME`] characters at most.
///
/// # Errors
/// When it has more, or control characters.
pub fn album(given: &str) -> Result<String, Wrong> {
    bounded("album", given, 0, NAME)
}

/// A genre: [`GENRE`] characters at most.
///
/// # Errors
/// When it has more, or control characters.
pub fn genre(given: &str) -> Result<String, Wrong> {
    bounded("genre", given, 0, GENRE)
}

/// Milliseconds: 0 to [`DURATION`].
///
/// # Errors
/// When it is out of these bounds.
pub fn duration(given: i64) -> Result<i64, Wrong> {
    if (0..=DURATION).contains(&given) { Ok(given) } else { Err(duration_limit(given < 0)) }
}

/// What is said of a duration that is out of bounds.
pub fn duration_limit(negative: bool) -> Wrong {
    let detail = format!("must be 0 to {DURATION} milliseconds");
    Wrong::new("duration_ms", detail).limit(if negative { 0 } else { DURATION })
}

fn bounded(field: &'static str, given: &str, min: usize, max: usize) -> Result<String, Wrong> {
    let clean = text::clean(given);
    let length = clean.chars().count();
    if length < min {
        return Err(Wrong::new(field, "must not be empty").limit(1));
    }
    if length > max {
        let detail = format!("must have {max} characters at most, not {length}");
        return Err(Wrong::new(field, detail).limit(i64::try_from(max).unwrap_or(i64::MAX)));
    }
    // A terminal would obey them, PostgreSQL refuses U+0000, and U+001F separates the parts of the matching key. Tabs and line
    // breaks occur in real lists.
    if clean.chars().any(|it| it.is_control() && !matches!(it, '\t' | '\n' | '\r')) {
        return Err(Wrong::new(field, "must have no control characters"));
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_characters_of_the_clean_text() {
        assert_eq!(name("title", &"é".repeat(300)).unwrap().chars().count(), 300);
        assert_eq!(name("title", &format!("  {}\n", "e\u{301}".repeat(300))).unwrap().len(), 600);
        let wrong = name("title", &"x".repeat(301)).unwrap_err();
        assert_eq!(wrong.to_string(), "title must have 300 characters at most, not 301");
        assert_eq!(wrong.limit, Some(300));
        assert_eq!(name("artist", " \u{3000}").unwrap_err().limit, Some(1));
        assert_eq!(genre(&"x".repeat(101)).unwrap_err().limit, Some(100));
        assert_eq!(album("").unwrap(), "");
    }

    #[test]
    fn control_characters_are_refused_but_not_tabs_and_line_breaks() {
        assert!(name("title", "a\0b").is_err() && name("title", "\u{1b}[31m").is_err());
        assert!(name("title", "a\u{1f}b").is_err() && name("title", "a\u{85}b").is_err());
        assert_eq!(name("title", "a\tb\r\nc").unwrap(), "a\tb\r\nc");
    }

    #[test]
    fn durations_are_from_nothing_to_a_day() {
        assert_eq!((duration(0), duration(DURATION)), (Ok(0), Ok(DURATION)));
        assert_eq!(duration(-1).unwrap_err().limit, Some(0));
        assert_eq!(duration(DURATION + 1).unwrap_err().limit, Some(DURATION));
    }
}
