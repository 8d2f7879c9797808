//! Argon2id: one hash after the other, in memory that is kept.

use anyhow::Context;
use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};

/// m=19456 KiB, t=2, p=1: the least that OWASP recommends, and the crate's default.
const PARAMS: Params = Params::DEFAULT;

/// A hash that no password has, with the parameters of today: for names that nobody has, so that a wrong name costs what a wrong
/// password does.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlzIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The 19 MiB that a hash fills, empty until the first.
///
/// Kept, because the allocator gives memory of that size and alignment back badly: measured with 16 threads that take turns, 1.5 GB stayed
/// resident, and a hash took three times as long as in memory that is used again.
#[derive(Default)]
pub(super) struct Memory(Vec<Block>);

/// What came of a check.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is not the password.
    Wrong,
    /// It is.
    Right,
    /// It is, but the hash has parameters of another time; this is the one to keep from now on.
    Renewed(String),
}

/// A PHC string for `password`, with a salt of its own.
pub(super) fn hash(password: &[u8], memory: &mut Memory) -> anyhow::Result<String> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).context("the system has no randomness for a salt")?;
    let (algorithm, version, salt) = (Algorithm::Argon2id, Version::V0x13, Salt::new(&salt)?);
    let output = fill(Argon2::new(algorithm, version, PARAMS), password, &salt, 32, memory)?;
    let hash = PasswordHash {
        algorithm: algorithm.ident(),
        version: Some(version.into()),
        params: ParamsString::try_from(&PARAMS)?,
        salt: Some(salt),
        hash: Some(output),
    };
    Ok(hash.to_string())
}

/// Whether `password` is the one of `stored`; without one it is not, after the same work.
pub(super) fn verify(
    password: &[u8],
    stored: Option<&str>,
    memory: &mut Memory,
) -> anyhow::Result<Verdict> {
    let hash = PasswordHash::new(stored.unwrap_or(NOBODY))?;
    let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else {
        anyhow::bail!("a stored password hash has no salt or no hash");
    };
    let algorithm = Algorithm::try_from(hash.algorithm.as_str())?;
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from)?;
    let params = Params::try_from(&hash.params)?;
    let current = (algorithm, version) == (Algorithm::Argon2id, Version::V0x13) && params == PARAMS;
    let argon2 = Argon2::new(algorithm, version, params);
    let output = fill(argon2, password, salt, expected.len(), memory)?;
    // `Output` compares in constant time.
    Ok(match stored.is_some() && output == *expected {
        false => Verdict::Wrong,
        true if current => Verdict::Right,
        true => Verdict::Renewed(self::hash(password, memory)?),
    })
}

fn fill(
    argon2: Argon2<'_>,
    password: &[u8],
    salt: &Salt,
    length: usize,
    Memory(memory): &mut Memory,
) -> anyhow::Result<Output> {
    let blocks = argon2.params().block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::new());
    }
    let mut output = [0; Output::MAX_LENGTH];
    let output = output.get_mut(..length).context("a stored password hash is too long")?;
    argon2.hash_password_into_with_memory(password, salt, output, &mut memory[..blocks])?;
    Ok(Output::new(output)?)
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordHasher, PasswordVerifier};

    use super::*;

    #[test]
    fn a_password_matches_its_own_hash_only_and_that_byte_by_byte() {
        let memory = &mut Memory::default();
        let stored = hash("caf\u{e9} au lait".as_bytes(), memory).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_ne!(stored, hash("caf\u{e9} au lait".as_bytes(), memory).unwrap());
        for (password, verdict) in [
            ("caf\u{e9} au lait", Verdict::Right),
            ("cafe\u{301} au lait", Verdict::Wrong),
            ("caf\u{e9} au lait ", Verdict::Wrong),
            ("Caf\u{e9} au lait", Verdict::Wrong),
            ("", Verdict::Wrong),
        ] {
            assert_eq!(verify(password.as_bytes(), Some(&stored), memory).unwrap(), verdict);
        }
    }

    #[test]
    fn hashes_are_those_of_the_standard_whatever_the_memory_held() {
        let memory = &mut Memory::default();
        let stored = hash(b"one", memory).unwrap();
        let parsed = PasswordHash::new(&stored).unwrap();
        assert!(Argon2::default().verify_password(b"one", &parsed).is_ok());
        let theirs = Argon2::default().hash_password(b"two").unwrap().to_string();
        assert_eq!(verify(b"two", Some(&theirs), memory).unwrap(), Verdict::Right);
    }

    #[test]
    fn nobody_has_a_password_and_costs_what_somebody_does() {
        let memory = &mut Memory::default();
        assert_eq!(verify(b"anything", None, memory).unwrap(), Verdict::Wrong);
        let nobody = PasswordHash::new(NOBODY).unwrap();
        assert_eq!(Params::try_from(&nobody.params).unwrap(), PARAMS);
        assert_eq!(nobody.hash.unwrap().len(), 32);
        assert_eq!(nobody.salt.unwrap().len(), 16);
    }

    #[test]
    fn a_hash_with_parameters_of_another_time_is_renewed_when_its_password_comes() {
        let memory = &mut Memory::default();
        let weak = Argon2::from(Params::new(1024, 1, 1, None).unwrap());
        let old = weak.hash_password(b"right").unwrap().to_string();
        assert_eq!(verify(b"wrong", Some(&old), memory).unwrap(), Verdict::Wrong);
        let Verdict::Renewed(new) = verify(b"right", Some(&old), memory).unwrap() else {
            panic!("{old} was not renewed");
        };
        assert_eq!(verify(b"right", Some(&new), memory).unwrap(), Verdict::Right);
    }

    #[test]
    fn what_is_no_hash_is_an_error_and_no_wrong_password() {
        for stored in ["", "plain", "$argon2id$v=19$m=19456,t=2,p=1", "$scrypt$ln=1$c2FsdHNhbHQ"] {
            assert!(verify(b"x", Some(stored), &mut Memory::default()).is_err(), "{stored}");
        }
    }
}
