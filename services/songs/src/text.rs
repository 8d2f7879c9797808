//! What makes two texts the same: for the matching of songs, for filters, and for the search.
//!
//! All of it is computed here and stored, so that the databases only compare bytes and all of them answer alike.

use std::collections::BTreeSet;

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// A text as it is stored: without space around it, in Unicode's normal form C.
pub fn clean(text: &str) -> String {
    text.trim().nfc().collect()
}

/// Two songs with the same key are the same song for an import: title and artist, clean, in lower case.
pub fn match_key(title: &str, artist: &str) -> String {
    let part = |text| clean(text).to_lowercase();
    // U+001F is in no title and in no artist ([`song`](crate::song) refuses control characters).
    format!("{}\u{1f}{}", part(title), part(artist))
}

/// A name without case, accents and the width of its spaces, for filters that compare the whole of it.
pub fn fold_name(name: &str) -> String {
    let folded = fold(name);
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The different words of `texts`, folded, in the order of their characters.
///
/// A word is a run of letters and digits. Scripts that put no space between words (Han, kana, Hangul) have a word per character, and so
/// have emoji and other symbols.
pub fn words<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut word = String::new();
    for text in texts {
        for letter in fold(text).chars() {
            let alone = is_symbol(letter) || is_cjk(letter);
            if !alone && letter.is_alphanumeric() {
                word.push(letter);
                continue;
            }
            if !word.is_empty() {
                words.insert(std::mem::take(&mut word));
            }
            if alone {
                words.insert(letter.into());
            }
        }
        if !word.is_empty() {
            words.insert(std::mem::take(&mut word));
        }
    }
    words
}

/// Without case and accents: compatibility decomposition minus combining marks, lower case, and the letters that have a stroke or are
/// two in one (`ø`, `ß`), which Unicode does not decompose.
fn fold(text: &str) -> String {
    let letters = text.nfkd().filter(|it| !is_combining_mark(*it)).flat_map(char::to_lowercase);
    let mut folded = String::with_capacity(text.len());
    // Once more, because the lower case of `İ` is an `i` and a combining dot.
    for letter in letters.filter(|it| !is_combining_mark(*it)) {
        match letter {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'þ' => folded.push_str("th"),
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'ħ' => folded.push('h'),
            'ı' => folded.push('i'),
            'ς' => folded.push('σ'),
            other => folded.push(other),
        }
    }
    // Together again what only the decomposition took apart: the syllables of Hangul.
    if folded.is_ascii() { folded } else { folded.nfc().collect() }
}

fn is_cjk(letter: char) -> bool {
    let in_block = matches!(letter,
        '\u{1100}'..='\u{11ff}' // single letters of Hangul
        | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{3100}'..='\u{312f}' | '\u{31a0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}');
    in_block && letter.is_alphanumeric()
}

/// Arrows, signs and emoji: what a title can consist of besides letters (`★`, `♥`, `🔥`). The tones of skin are not.
fn is_symbol(letter: char) -> bool {
    matches!(letter, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1f3fa}' | '\u{1f400}'..='\u{1faff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        words([text]).into_iter().collect()
    }

    #[test]
    fn songs_match_without_case_and_space_but_with_accents() {
        let key = match_key("Déjà Vu", "Beyoncé");
        assert_eq!(match_key("  DE\u{301}JA\u{300} VU\t", "beyonce\u{301}"), key);
        assert_ne!(match_key("Deja Vu", "Beyonce"), key);
        assert_eq!(match_key("ПЕСНЯ", "Ария"), match_key("песня", "АРИЯ"));
        assert_eq!(match_key("ΟΔΟΣ", "x"), "οδος\u{1f}x");
        assert_ne!(match_key("a", "b c"), match_key("a b", "c"));
    }

    #[test]
    fn names_fold_to_what_people_type() {
        for (name, folded) in [
            ("Sigur  Rós", "sigur ros"),
            ("BJÖRK", "bjork"),
            ("Røyksopp", "royksopp"),
            ("Die Ärzte", "die arzte"),
            ("Straße", "strasse"),
            ("Łona", "lona"),
            ("İstanbul", "istanbul"),
            ("ΟΔΟΣ", "οδοσ"),
            ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
            ("!!!", "!!!"),
            ("방탄소년단", "방탄소년단"),
        ] {
            assert_eq!(fold_name(name), folded);
            assert_eq!(fold_name(folded), folded, "folding twice changes nothing");
        }
    }

    #[test]
    fn words_end_where_letters_and_digits_end() {
        assert_eq!(
            split("Don't Stop 'Til You Get-Enough (2003 Edit)"),
            ["2003", "don", "edit", "enough", "get", "stop", "t", "til", "you"]
        );
        assert_eq!(split("AC/DC; ac_dc"), ["ac", "dc"]);
        assert_eq!(split("Группа крови — Кино"), ["группа", "кино", "крови"]);
        assert_eq!(split("  \"\u{200d}…¿?-/*:^ "), Vec::<String>::new());
    }

    #[test]
    fn characters_of_cjk_and_symbols_are_words_of_their_own() {
        assert_eq!(split("夜に駆ける"), ["け", "に", "る", "夜", "駆"]);
        assert_eq!(split("ガー・ギ"), ["カ", "キ", "ー"]);
        assert_eq!(split("봄날 BTS"), ["bts", "날", "봄"]);
        assert_eq!(split("love❤️you👍🏽👨‍👩‍👧"), ["love", "you", "❤", "👍", "👧", "👨", "👩"]);
        assert_eq!(split("★ Blackstar"), ["blackstar", "★"]);
        assert_eq!(split("第1章"), ["1", "章", "第"]);
    }
}
