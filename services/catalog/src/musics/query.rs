//! What a list is asked for: every wrong parameter at once.

use std::collections::BTreeSet;

use platform::problem::FieldError;
use songs::{paging, song, text};

use crate::{store, store::Filter};

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
        let filter = Filter::default();
        let mut list = List { filter, after: 0, limit: paging::DEFAULT_LIMIT, count: false };
        let (mut words, mut of_artist) = (None, None);
        let known = "search, artist, genre, created_by, limit, cursor and count are";
        paging::parameters(given, known, |name, value| {
            Some(match name {
                "search" => search(value).map(|found| words = Some(found)),
                "artist" => song::name("artist", value).map_err(field).map(|artist| {
                    of_artist = Some(text::words([&*artist]));
                    list.filter.artist = Some(text::fold_name(&artist));
                }),
                "genre" => song::genre(value)
                    .map_err(field)
                    .map(|genre| list.filter.genre = Some(text::fold_name(&genre))),
                "created_by" => value
                    .parse()
                    .map(|id| list.filter.created_by = Some(id))
                    .map_err(|_| FieldError::new("", "must be the id of a user, a whole number")),
                "limit" => paging::limit(value).map(|given| list.limit = given),
                "cursor" => paging::behind(value).map(|id| list.after = id),
                "count" => value
                    .parse()
                    .map(|count| list.count = count)
                    .map_err(|_| FieldError::new("", "must be true or false")),
                _ => return None,
            })
        })?;
        // The words of the artist are words of the song: they make what the search meets fewer.
        let narrowed =
            words.map(|words| words.into_iter().chain(of_artist.unwrap_or_default()).collect());
        list.filter.words = narrowed.map(|words| store::matching(&words));
        Ok(list)
    }
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
}
