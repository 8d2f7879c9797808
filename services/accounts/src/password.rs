//! Which passwords are good enough: 8 to 128 characters, and under 15 of them hard to guess.
//!
//! The estimator never gives 8 characters more than 10^8 guesses, which is not hard: the shortest that pass have 9.

use platform::problem::FieldError;
use secrecy::{ExposeSecret, SecretString};
use zxcvbn::{Score, zxcvbn};

const SHORTEST: usize = 8;
/// No password that can be right is longer.
pub(crate) const LONGEST: usize = 128;
/// From here on length alone is enough (NIST 800-63B-4).
const LONG: usize = 15;

/// Says what is wrong with `password` for this person. It is taken byte for byte: nothing is trimmed or normalised.
///
/// Takes up to a few milliseconds, the first time 20, so it is nothing for a thread that serves requests.
pub(crate) fn check(
    password: &SecretString,
    username: &str,
    email: &str,
) -> Result<(), FieldError> {
    let password = password.expose_secret();
    let wrong = |detail: &str, limit: usize| Err(FieldError::new("/password", detail).limit(limit));
    match password.chars().count() {
        0..SHORTEST => wrong("has to have 8 characters at least", SHORTEST),
        LONG..=LONGEST if [username, email].iter().all(|theirs| !same(theirs, password)) => Ok(()),
        SHORTEST..LONG if hard_to_guess(password, username, email) => Ok(()),
        SHORTEST..=LONGEST => {
            let detail = "is too easy to guess; take one of 15 characters or more, such as four random words";
            Err(FieldError::new("/password", detail))
        }
        _ => wrong("may have 128 characters at most", LONGEST),
    }
}

fn hard_to_guess(password: &str, username: &str, email: &str) -> bool {
    let local = email.split('@').next().unwrap_or_default();
    zxcvbn(password, &[username, email, local, "musicwallet"]).score() >= Score::Three
}

fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ones_have_to_be_good_and_long_ones_have_to_end() {
        let good =
            |password: &str| check(&password.into(), "adalovelace", "countess@example.org").is_ok();
        for bad in
            ["Tr0ub4d", "password1", "adalovelace1", "countess99", "musicwallet1", "aaaaaaaaaaaaaa"]
        {
            assert!(!good(bad), "{bad}");
        }
        assert!(!good("v7#kQ!p2") && good("v7#kQ!p2x") && good("seven brave otters sing"));
        assert!(good(&"ä".repeat(128)) && !good(&"ä".repeat(129)));
    }

    #[test]
    fn what_everybody_knows_of_a_person_is_no_password_however_long() {
        let refused = |password: &str| {
            check(&password.into(), "ada.of.lovelace", "Ada.Lovelace@example.org").is_err()
        };
        assert!(refused("Ada.of.Lovelace") && refused("ada.lovelace@example.org"));
        assert!(!refused("ada.of.lovelace!"));
    }
}
