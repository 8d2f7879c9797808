//! API tokens: `trk_`, 32 random characters, 6 that check them.
//!
//! The prefix and the check let scanners of leaked secrets recognise one without asking us, and let us refuse a mistyped one without asking
//! the database. 32 characters of 62 are 190 bits.

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

const PREFIX: &str = "trk_";
const RANDOM: usize = 32;
const CHECK: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Something that has the form of a token, and fits its check.
#[derive(Debug)]
pub(crate) struct Token(SecretString);

impl Token {
    /// A new one; only its owner ever sees it.
    pub(crate) fn generate() -> anyhow::Result<Token> {
        let mut token = String::with_capacity(PREFIX.len() + RANDOM + CHECK);
        token.push_str(PREFIX);
        extend(&mut token, RANDOM)?;
        token.push_str(&check(&token));
        Ok(Token(token.into()))
    }

    /// `None` for what cannot be a token.
    pub(crate) fn parse(text: &str) -> Option<Token> {
        let complete = text.len() == PREFIX.len() + RANDOM + CHECK;
        let (body, given) = text.split_at_checked(PREFIX.len() + RANDOM).filter(|_| complete)?;
        let random = body.strip_prefix(PREFIX)?;
        let fits = random.bytes().all(|byte| ALPHABET.contains(&byte)) && check(body) == given;
        fits.then(|| Token(text.into()))
    }

    /// What is stored of it, and looked up.
    pub(crate) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0.expose_secret().as_bytes()).to_vec()
    }

    /// The token itself, for its owner.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Adds so many random letters and digits.
pub(crate) fn extend(text: &mut String, count: usize) -> anyhow::Result<()> {
    let end = text.len() + count;
    while text.len() < end {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes).context("the system has no randomness for a secret")?;
        // 248 is the largest multiple of 62 in a byte: what is above would favour some characters.
        let characters = bytes.iter().filter(|byte| **byte < 248);
        let characters = characters.map(|byte| char::from(ALPHABET[usize::from(byte % 62)]));
        text.extend(characters.take(end - text.len()));
    }
    Ok(())
}

/// The CRC-32 of prefix and random characters, as 6 characters.
fn check(body: &str) -> String {
    let mut number = crc32(body.as_bytes());
    let mut text = [b'0'; CHECK];
    for character in text.iter_mut().rev() {
        *character = ALPHABET[(number % 62) as usize];
        number /= 62;
    }
    text.map(char::from).iter().collect()
}

/// CRC-32 as in zip and gzip, which every language has: whoever scans for our tokens needs no more.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), step);
    !bytes.iter().fold(!0, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognised_and_a_mistyped_one_is_not() {
        let token = Token::generate().unwrap();
        let text = token.expose();
        assert_eq!(text.len(), 42);
        assert_eq!(Token::parse(text).unwrap().hash(), token.hash());
        assert_ne!(text, Token::generate().unwrap().expose());
        assert!(!format!("{token:?}").contains(&text[4..]));
        let reversed: String = text.chars().rev().collect();
        let longer = format!("{text}0");
        let wide = format!("trk_{}", "é".repeat(19));
        for wrong in [
            "",
            "trk_",
            "ü",
            &text[..41],
            &longer,
            &reversed,
            &wide,
            &text.replacen("trk", "xxx", 1),
        ] {
            assert!(Token::parse(wrong).is_none(), "{wrong}");
        }
        for at in 4..42 {
            let mut mistyped = text.to_owned().into_bytes();
            mistyped[at] = if mistyped[at] == b'a' { b'b' } else { b'a' };
            let mistyped = String::from_utf8(mistyped).unwrap();
            assert!(Token::parse(&mistyped).is_none(), "{mistyped}");
        }
    }

    #[test]
    fn the_check_is_the_crc_that_everybody_has() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert!(Token::parse("trk_00000000000000000000000000000000000000").is_none());
    }

    #[test]
    fn every_character_comes_up_about_as_often() {
        let mut counts = [0_u32; 62];
        for _ in 0..1_000 {
            for byte in Token::generate().unwrap().expose().bytes().skip(4).take(32) {
                counts[ALPHABET.iter().position(|it| *it == byte).unwrap()] += 1;
            }
        }
        // 516 on average; the bounds are 7 standard deviations away.
        assert!(counts.iter().all(|count| (350..690).contains(count)), "{counts:?}");
    }
}
