//! What a list is asked for: every wrong parameter at once.

use std::collections::BTreeSet;

use platform::problem::FieldError;

use crate::{song, store, store::Filter, text};

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 500;

/// A request for a part of a list.
#[derive(Debug)]
pub(super) struct List {
    pub(super) filter: Filter,
    /// The last id of the page before; 0 for the first page.
    pub(super) after: i64,
    pub(super) limit: u32,
    pub(super) count: bool,
}

impl List {
    pub(super) fn read(given: Vec<(String, String)>) -> Result<List, Vec<FieldError>> {
        let mut list =
            List { filter: Filter::default(), after: 0, limit: DEFAULT_LIMIT, count: false };
        let (mut words, mut of_artist) = (None, None);
        let (mut seen, mut wrong) = (Vec::new(), Vec::new());
        for (name, value) in given {
            let outcome = match name.as_str() {
                _ if seen.contains(&name) => Err(FieldError::new("", "is there twice")),
                "search" => search(&value).map(|found| words = Some(found)),
                "artist" => song::name("artist", &value).map_err(field).map(|artist| {
                    of_artist = Some(text::words([&*artist]));
                    list.filter.artist = Some(text::fold_name(&artist));
                }),
                "genre" => song::genre(&value)
                    .map_err(field)
                    .map(|genre| list.filter.genre = Some(text::fold_name(&genre))),
                "created_by" => value
                    .parse()
                    .map(|id| list.filter.created_by = Some(id))
                    .map_err(|_| FieldError::new("", "must be the id of a user, a whole number")),
                "limit" => limit(&value).map(|given| list.limit = given),
                "cursor" => behind(&value).map(|id| list.after = id),
                "count" => value
                    .parse()
                    .map(|count| list.count = count)
                    .map_err(|_| FieldError::new("", "must be true or false")),
                _ => Err(FieldError::new(
                    "",
                    "is not known; search, artist, genre, created_by, limit, cursor and count are",
                )),
            };
            if let Err(error) = outcome {
                wrong.push(FieldError { pointer: format!("?{name}"), ..error });
            }
            seen.push(name);
        }
        // The words of the artist are words of the song: they make what the search meets fewer.
        let narrowed =
            words.map(|words| words.into_iter().chain(of_artist.unwrap_or_default()).collect());
        list.filter.words = narrowed.map(|words| store::matching(&words));
        if wrong.is_empty() { Ok(list) } else { Err(wrong) }
    }
}

/// The cursor of the page that begins behind the music `id`.
pub(super) fn cursor(id: i64) -> String {
    format!("{id:016x}")
}

fn behind(cursor: &str) -> Result<i64, FieldError> {
    let plain =
        cursor.len() == 16 && cursor.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
    let id = if plain { i64::from_str_radix(cursor, 16).ok() } else { None };
    id.ok_or_else(|| FieldError::new("", "is not a cursor of this list; leave it out"))
}

fn search(value: &str) -> Result<BTreeSet<String>, FieldError> {
    if value.chars().count() > song::NAME {
        let detail = format!("must have {} characters at most", song::NAME);
        return Err(FieldError::new("", detail).limit(song::NAME));
    }
    let words = text::words([value]);
    if words.is_empty() {
        return Err(FieldError::new("", "must have a word: letters, digits or a symbol").limit(1));
    }
    Ok(words)
}

fn limit(value: &str) -> Result<u32, FieldError> {
    match value.parse::<i64>() {
        Ok(given @ 1..) if given <= i64::from(MAX_LIMIT) => Ok(given as u32),
        Ok(given) => {
            let limit = if given < 1 { 1 } else { MAX_LIMIT };
            Err(FieldError::new("", format!("must be 1 to {MAX_LIMIT}")).limit(limit))
        }
        Err(_) => Err(FieldError::new("", format!("must be a whole number, 1 to {MAX_LIMIT}"))
            .limit(MAX_LIMIT)),
    }
}

fn field(wrong: song::Wrong) -> FieldError {
    FieldError { limit: wrong.limit.map(Into::into), ..FieldError::new("", wrong.detail) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<List, Vec<FieldError>> {
        List::read(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    fn words(search: &str) -> String {
        read(&[("search", search)]).unwrap().filter.words.unwrap().sqlite
    }

    #[test]
    fn a_search_is_prefixes_of_words_and_nothing_of_it_is_syntax() {
        assert_eq!(words("Sigur rós"), r#""ros"* "sigur"*"#);
        let syntax = words(r#"a" OR b* NEAR(c) ^d -e {f}:g NOT +h \"#);
        assert_eq!(syntax, r#""a"* "b"* "c"* "d"* "e"* "f"* "g"* "h"* "near"* "not"* "or"*"#);
        assert_eq!(words("lov love lovely"), r#""lovely"*"#, "whoever has the longest has all");
        assert_eq!(words("夜に"), r#""に"* "夜"*"#);
    }

    #[test]
    fn every_wrong_parameter_is_told_with_its_limit() {
        let long = "x".repeat(301);
        let wrong = read(&[
            ("search", "..."),
            ("artist", &long),
            ("genre", &long[..101]),
            ("created_by", "me"),
            ("limit", "501"),
            ("cursor", "0000000000000001 OR 1"),
            ("count", "1"),
            ("page", "2"),
            ("limit", "5"),
        ])
        .unwrap_err();
        let told: Vec<_> = wrong
            .iter()
            .map(|it| (it.pointer.as_str(), it.limit.as_ref().and_then(|it| it.as_i64())))
            .collect();
        assert_eq!(
            told,
            [
                ("?search", Some(1)),
                ("?artist", Some(300)),
                ("?genre", Some(100)),
                ("?created_by", None),
                ("?limit", Some(500)),
                ("?cursor", None),
                ("?count", None),
                ("?page", None),
                ("?limit", None),
            ]
        );
        for limit in ["0", "-1", "1e9", "99999999999999999999", ""] {
            assert!(read(&[("limit", limit)]).is_err(), "{limit:?}");
        }
    }

    #[test]
    fn cursors_come_back_and_nothing_else_is_one() {
        for id in [0, 1, 26_229, i64::MAX] {
            assert_eq!(behind(&cursor(id)), Ok(id));
        }
        for wrong in
            ["", "1", "ffffffffffffffff", "000000000000000G", "+00000000000000f", "é00000000000000"]
        {
            assert!(behind(wrong).is_err(), "{wrong:?}");
        }
    }
}
