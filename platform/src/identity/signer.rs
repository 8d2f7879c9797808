use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{
    SigningKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::der::pem::LineEnding},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use sha2::{Digest, Sha256};

use super::{AUDIENCE, Claims, ISSUER, Key, Keys, ed25519};

/// How long an assertion counts.
pub const LIFETIME: Duration = Duration::from_secs(60);

/// Signs assertions; accounts has the only one.
pub struct Signer {
    key: EncodingKey,
    header: Header,
    keys: Keys,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({:?})", self.header.kid)
    }
}

impl Signer {
    /// With the key in `path` (PKCS#8, PEM), which is made, readable by its owner only, where there is none.
    ///
    /// # Errors
    /// When the file cannot be read or made, holds no Ed25519 key, or others may read it; with the remedy.
    pub fn from_file(path: &Path) -> anyhow::Result<Signer> {
        let shown = path.display();
        match fs::read_to_string(path) {
            Ok(pem) => {
                let mode = fs::metadata(path)?.permissions().mode() & 0o777;
                if mode & 0o077 != 0 {
                    bail!(
                        "the signing key {shown} can be read by others (mode {mode:o}); chmod 600 it, or replace it if they may have read it"
                    );
                }
                let key = SigningKey::from_pkcs8_pem(&pem).ok().with_context(|| {
                    format!("{shown} holds no Ed25519 key in PKCS#8 PEM; remove it and a new one is made")
                })?;
                Signer::new(&key)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = random_key()?;
                store(&key, path).with_context(|| format!("making the signing key {shown}"))?;
                Signer::new(&key)
            }
            Err(error) => Err(error).with_context(|| format!("reading the signing key {shown}")),
        }
    }

    /// With a new key that lives as long as this value.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> anyhow::Result<Signer> {
        Signer::new(&random_key()?)
    }

    fn new(key: &SigningKey) -> anyhow::Result<Signer> {
        ed25519::install();
        let public = key.verifying_key();
        let kid = URL_SAFE_NO_PAD.encode(&Sha256::digest(public.as_bytes())[..12]);
        let key_of_set = Key {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: URL_SAFE_NO_PAD.encode(public.as_bytes()),
            kid: kid.clone(),
            alg: "EdDSA".to_owned(),
        };
        Ok(Signer {
            key: EncodingKey::from_ed_der(key.to_pkcs8_der()?.as_bytes()),
            header: Header { kid: Some(kid), ..Header::new(Algorithm::EdDSA) },
            keys: Keys { keys: vec![key_of_set] },
        })
    }

    /// An assertion that `id` with this `name` calls, by no credential in particular; it counts from now for [`LIFETIME`].
    ///
    /// # Errors
    /// When it cannot be signed, which no input can cause.
    pub fn sign(&self, id: i64, name: &str) -> anyhow::Result<String> {
        self.sign_at(id, name, "", SystemTime::now())
    }

    /// The same, for who showed the credential `via`; see [`Caller::via`](super::Caller::via).
    ///
    /// # Errors
    /// As [`Signer::sign`].
    pub fn sign_via(&self, id: i64, name: &str, via: &str) -> anyhow::Result<String> {
        self.sign_at(id, name, via, SystemTime::now())
    }

    pub(super) fn sign_at(
        &self,
        id: i64,
        name: &str,
        via: &str,
        at: SystemTime,
    ) -> anyhow::Result<String> {
        let iat = at.duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: id.to_string(),
            name: name.to_owned(),
            via: via.to_owned(),
            iat,
            exp: iat + LIFETIME.as_secs(),
        };
        Ok(encode(&self.header, &claims, &self.key)?)
    }

    #[cfg(test)]
    pub(super) fn encode(&self, claims: &Claims) -> String {
        encode(&self.header, claims, &self.key).unwrap()
    }

    /// What others check with.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }
}

fn random_key() -> anyhow::Result<SigningKey> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).context("the system has no randomness for a key")?;
    Ok(SigningKey::from_bytes(&seed))
}

fn store(key: &SigningKey, path: &Path) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let pem = key.to_pkcs8_pem(LineEnding::LF)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    Ok(())
}
