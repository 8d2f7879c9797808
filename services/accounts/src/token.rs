//! API tokens: `trk_`, 32 random characters, 6 that check them.
//!
//! The prefix and the check let scanners of leaked secrets recognise one without asking us, and let us refuse a mistyped one without asking
//! the database. 32 characters of 62 are 190 bits.

use anyhow::Context;
use sha2::{Digest, Sha256};

const PREFIX: &str = "trk_";
const RANDOM: usize = 32;
const CHECK: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A new token; only its owner ever sees it.
pub(crate) fn generate() -> anyhow::Result<String> {
    let mut token = String::from(PREFIX);
    while token.len() < PREFIX.len() + RANDOM {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes).context("the system has no randomness for a token")?;
        // 248 is the largest multiple of 62 in a byte: what is above would favour some characters.
        let characters = bytes.iter().filter(|byte| **byte < 248);
        let characters = characters.map(|byte| char::from(ALPHABET[usize::from(byte % 62)]));
        token.extend(characters.take(PREFIX.len() + RANDOM - token.len()));
    }
    token.push_str(&check(&token));
    Ok(token)
}

/// What is stored of a token, and looked up; `None` for what cannot be a token.
pub(crate) fn hash(token: &str) -> Option<Vec<u8>> {
    let body = token.len() == PREFIX.len() + RANDOM + CHECK && token.is_ascii();
    let (random, given) = token.split_at_checked(PREFIX.len() + RANDOM).filter(|_| body)?;
    (random.starts_with(PREFIX) && check(random) == given)
        .then(|| Sha256::digest(token.as_bytes()).to_vec())
}

/// The first 4 bytes of the SHA-256 as 6 characters.
fn check(random: &str) -> String {
    let digest = Sha256::digest(random.as_bytes());
    let mut number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let mut text = [b'0'; CHECK];
    for character in text.iter_mut().rev() {
        *character = ALPHABET[(number % 62) as usize];
        number /= 62;
    }
    text.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognised_and_a_mistyped_one_is_not() {
        let token = generate().unwrap();
        assert_eq!(token.len(), 42);
        assert_eq!(hash(&token).unwrap().len(), 32);
        assert_ne!(token, generate().unwrap());
        let swapped: String = token.chars().rev().collect();
        for wrong in ["", "trk_", "ü", &token[..41], &swapped, &token.replacen("trk_", "xxx_", 1)]
        {
            assert_eq!(hash(wrong), None, "{wrong}");
        }
        let mut mistyped = token.clone().into_bytes();
        mistyped[10] = if mistyped[10] == b'a' { b'b' } else { b'a' };
        assert_eq!(hash(&String::from_utf8(mistyped).unwrap()), None);
    }
}
