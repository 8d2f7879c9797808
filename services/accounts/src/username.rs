//! Usernames: 1 to 150 letters, digits and `@.+-_`, unique without case.

use platform::problem::FieldError;
use unicode_normalization::UnicodeNormalization;

const LONGEST: usize = 150;

/// A username that can be. Which ones are equal is decided by [`Username::key`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Username(String);

impl Username {
    /// Normalised to NFC. Letters are those of any script; a mark that NFC leaves by itself, a space or an invisible character is none.
    pub(crate) fn parse(text: &str) -> Result<Username, FieldError> {
        let name: String = text.nfc().collect();
        let wrong = |detail: &str| Err(FieldError::new("/username", detail).limit(LONGEST));
        if name.is_empty() {
            return wrong("Choose a username of 1 to 150 characters.");
        }
        if name.chars().count() > LONGEST {
            return wrong("A username has 150 characters at most.");
        }
        if !name.chars().all(|c| c.is_alphanumeric() || "@.+-_".contains(c)) {
            return Err(FieldError::new(
                "/username",
                "A username has letters, digits and @ . + - _ only.",
            ));
        }
        Ok(Username(name))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What two spellings of the same name have in common.
    pub(crate) fn key(&self) -> String {
        key(&self.0)
    }
}

/// NFKC and lowercase, and that until nothing changes: `ﬃ` and `ffi`, `Ａ` and `a`, `ẞ` and `ß` are the same.
pub(crate) fn key(name: &str) -> String {
    let folded: String = name.nfkc().collect::<String>().to_lowercase();
    folded.nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_name_are_one_name() {
        let key = |text| Username::parse(text).unwrap().key();
        assert_eq!(key("u\u{308}nal"), key("ÜNAL"));
        assert_eq!(key("\u{ff21}da"), key("ada"));
        assert_eq!(key("Ада"), key("ада"));
        assert_ne!(key("ada"), key("aďa"));
    }

    #[test]
    fn what_cannot_be_seen_or_typed_is_no_name() {
        for text in [
            "",
            "a b",
            "zero\u{200b}",
            "\u{202e}ada",
            "tab\t",
            "a\u{0}",
            "a/b",
            "🎵",
            "x\u{301}\u{301}",
        ] {
            assert!(Username::parse(text).is_err(), "{text:?}");
        }
        assert!(Username::parse(&"n".repeat(150)).is_ok());
        assert!(Username::parse(&"n".repeat(151)).is_err());
        assert!(Username::parse("a@b.c+d-e_9").is_ok());
    }
}
