//! Secrets of sessions and devices: 256 random bits as base64url.

use anyhow::Context;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

const BYTES: usize = 32;

/// Something that has the form of such a secret.
#[derive(Clone, Debug)]
pub(crate) struct Secret(SecretString);

impl Secret {
    /// A new one; only its owner ever sees it.
    pub(crate) fn generate() -> anyhow::Result<Secret> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).context("the system has no randomness for a secret")?;
        Ok(Secret(URL_SAFE_NO_PAD.encode(bytes).into()))
    }

    /// `None` for what cannot be one.
    pub(crate) fn parse(text: &str) -> Option<Secret> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        (bytes.len() == BYTES).then(|| Secret(text.into()))
    }

    /// What is stored of it, and looked up.
    pub(crate) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0.expose_secret().as_bytes()).to_vec()
    }

    /// The secret itself, for its owner.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_recognised_and_has_256_bits_of_its_own() {
        let secret = Secret::generate().unwrap();
        let text = secret.expose();
        assert_eq!(text.len(), 43);
        assert_eq!(Secret::parse(text).unwrap().hash(), secret.hash());
        assert_ne!(text, Secret::generate().unwrap().expose());
        assert!(!format!("{secret:?}").contains(text));
        for wrong in ["", "x", &text[1..], &format!("{text}A"), &format!("{text}="), "é"] {
            assert!(Secret::parse(wrong).is_none(), "{wrong}");
        }
    }
}
