//! Usernames: 1 to 150 letters, digits and `@.+-_`, unique without case, and never to be taken for another one.

use platform::problem::FieldError;
use unicode_normalization::UnicodeNormalization;
use unicode_security::{RestrictionLevel, RestrictionLevelDetection, skeleton};

const LONGEST: usize = 150;
const SIGNS: &str = "@.+-_";

/// A username that can be: NFC, as its owner wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Username(String);

impl Username {
    /// Letters are those in everyday use today (UTS 39), and of one script: with `а` from Cyrillic in it, `аda` could be taken for `ada`.
    /// Latin may stand beside Chinese, Japanese and Korean, as it does there. What cannot be seen is no letter, nor is a mark that NFC
    /// leaves by itself.
    pub(crate) fn parse(text: &str) -> Result<Username, FieldError> {
        let name: String = text.nfc().collect();
        let wrong = |detail: &str| Err(FieldError::new("/username", detail));
        let limited = |detail: &str| wrong(detail).map_err(|it| it.limit(LONGEST));
        if name.is_empty() {
            return limited("has to have 1 to 150 characters");
        }
        if name.chars().count() > LONGEST {
            return limited("may have 150 characters at most");
        }
        let letters: String = name.chars().filter(|c| !SIGNS.contains(*c)).collect();
        let level = letters.detect_restriction_level();
        if !letters.chars().all(char::is_alphanumeric) || level == RestrictionLevel::Unrestricted {
            return wrong("may have letters, digits and @ . + - _ only");
        }
        if level > RestrictionLevel::HighlyRestrictive {
            return wrong(
                "may have the letters of one script only, because those of several look alike",
            );
        }
        Ok(Username(name))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What all spellings of this name have in common, and no other name: NFKC without case (`Ada` and `ADA`, `ß` and `SS`, `ς` and `σ`).
    pub(crate) fn key(&self) -> String {
        let upper: String = self.0.nfkc().flat_map(char::to_uppercase).collect();
        upper.to_lowercase().nfkc().collect()
    }

    /// What this name looks like (the skeleton of UTS 39): `асе` in Cyrillic like `ace`.
    ///
    /// A name in ASCII is what it looks like: to tell `l` from `1` is left to the font, or half of the names would be taken.
    pub(crate) fn looks(&self) -> String {
        let key = self.key();
        if key.is_ascii() { key } else { skeleton(&key).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Username {
        Username::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn spellings_of_a_name_are_one_name() {
        for (one, other) in [
            ("u\u{308}nal", "ÜNAL"),
            ("Ада", "ада"),
            ("Straße", "STRASSE"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
            ("Irmak", "ırmak"),
        ] {
            assert_eq!(name(one).key(), name(other).key());
            assert_eq!(name(one).looks(), name(other).looks());
        }
        for (one, other) in [("ada", "aďa"), ("user1", "userl"), ("a.b", "a-b"), ("burn", "bum")] {
            assert_ne!(name(one).key(), name(other).key());
            assert_ne!(name(one).looks(), name(other).looks());
        }
        assert_eq!(name("u\u{308}nal").as_str(), "\u{fc}nal");
    }

    #[test]
    fn a_name_in_other_letters_looks_like_the_one_that_it_imitates() {
        for (real, imitation) in [("ace", "асе"), ("Capa", "Сара"), ("pop", "рор")] {
            assert_ne!(name(real).key(), name(imitation).key());
            assert_eq!(name(real).looks(), name(imitation).looks());
        }
        assert_ne!(name("ada").looks(), name("Ада").looks());
    }

    #[test]
    fn what_cannot_be_seen_or_typed_is_no_name() {
        for text in [
            "",
            " ada",
            "a b",
            "zero\u{200b}",
            "join\u{200d}er",
            "\u{202e}ada",
            "\u{feff}ada",
            "so\u{ad}ft",
            "tab\t",
            "a\u{0}",
            "a/b",
            "a:b",
            "🎵",
            "x\u{301}\u{301}",
            "\u{3164}",
            "\u{1160}",
            "\u{ff21}da",
            "ﬁn",
            "x²",
            "Ⅷ",
        ] {
            assert!(Username::parse(text).is_err(), "{text:?}");
        }
        assert!(Username::parse(&"n".repeat(150)).is_ok());
        assert!(Username::parse(&"n".repeat(151)).is_err());
    }

    #[test]
    fn a_name_keeps_to_one_script() {
        for text in ["аda", "adа", "αda", "a\u{661}", "Жora", "ada\u{967}"] {
            assert!(Username::parse(text).is_err(), "{text:?}");
        }
        for text in
            ["a@b.c+d-e_9", "@", "Ünal", "Ада2", "李lee", "東京タロウ", "김철수", "مريم", "אדם"]
        {
            assert!(Username::parse(text).is_ok(), "{text:?}");
        }
    }
}
