//! Ed25519 for `jsonwebtoken`, which has the format and leaves the cryptography to a provider.
//!
//! Its own providers bring more than is needed: one `rsa` (RUSTSEC-2023-0071) and two more curves, the other 40 s of C. This one knows a
//! single algorithm, so that no header of a forged token can choose another.

use ed25519_dalek::{Signature, SigningKey, VerifyingKey, pkcs8::DecodePrivateKey};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
};
use signature::{Signer, Verifier};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match algorithm {
        Algorithm::EdDSA => Ok(Box::new(Signing::new(key)?)),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    verifier_factory: |algorithm, key| match algorithm {
        Algorithm::EdDSA => Ok(Box::new(Verifying::new(key)?)),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    key_utils: KeyUtils::new_unimplemented(), // keys come from our own `Keys`
};

/// Has to be called before the first signature or check; again is no harm.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

struct Signing(SigningKey);

impl Signing {
    fn new(key: &EncodingKey) -> Result<Signing, Error> {
        let key = SigningKey::from_pkcs8_der(key.as_bytes());
        key.map(Signing).map_err(|_| ErrorKind::InvalidEddsaKey.into())
    }
}

impl Signer<Vec<u8>> for Signing {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(ed25519_dalek::Signer::sign(&self.0, message).to_bytes().to_vec())
    }
}

impl JwtSigner for Signing {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct Verifying(VerifyingKey);

impl Verifying {
    fn new(key: &DecodingKey) -> Result<Verifying, Error> {
        let bytes: &[u8; 32] =
            key.try_get_as_bytes()?.try_into().map_err(|_| ErrorKind::InvalidEddsaKey)?;
        let key = VerifyingKey::from_bytes(bytes);
        key.map(Verifying).map_err(|_| ErrorKind::InvalidEddsaKey.into())
    }
}

impl Verifier<Vec<u8>> for Verifying {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let wrong = |_| signature::Error::new();
        let signature = Signature::from_slice(signature).map_err(wrong)?;
        // Strict: refuses keys of small order and signatures that could be altered.
        self.0.verify_strict(message, &signature).map_err(wrong)
    }
}

impl JwtVerifier for Verifying {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}
