//! Which passwords are good enough: 8 to 128 characters, and under 15 of them hard to guess.

use platform::problem::FieldError;
use zxcvbn::{Score, zxcvbn};

const SHORTEST: usize = 8;
const LONGEST: usize = 128;
/// From here on length alone is enough (NIST 800-63B-4).
const LONG: usize = 15;

/// Says what is wrong with `password` for this person. It is taken byte for byte: nothing is trimmed or normalised.
pub(crate) fn check(password: &str, username: &str, email: &str) -> Result<(), FieldError> {
    let wrong = |detail: &str, limit: usize| Err(FieldError::new("/password", detail).limit(limit));
    match password.chars().count() {
        0..SHORTEST => wrong("A password has 8 characters at least.", SHORTEST),
        LONG..=LONGEST => Ok(()),
        SHORTEST..LONG => {
            let theirs = [username, email, "musicwallet"];
            if zxcvbn(password, &theirs).score() >= Score::Three {
                return Ok(());
            }
            let detail = "This password is too easy to guess. Take one of 15 characters or more, such as four random words.";
            Err(FieldError::new("/password", detail))
        }
        _ => wrong("A password has 128 characters at most.", LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ones_have_to_be_good_and_long_ones_have_to_end() {
        let good = |password: &str| check(password, "adalovelace", "ada@example.org").is_ok();
        assert!(!good("Tr0ub4d") && !good("password1") && !good("adalovelace1"));
        assert!(good("v7#kQ!p2xW") && good("seven brave otters sing"));
        assert!(good(&"ä".repeat(128)) && !good(&"ä".repeat(129)));
    }
}
