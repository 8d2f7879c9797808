//! Who calls: signed assertions instead of headers that anybody could write.
//!
//! Outside, people have opaque credentials. The gateway exchanges them at accounts for a JWT that lives a minute, signed with
//! Ed25519, and every service checks it with the keys that accounts publishes. `accounts` has a [`Signer`]; the others have a [`Verifier`]
//! and take the [`Caller`] as an argument of their handlers.
//!
//! | claim | value |
//! |---|---|
//! | `iss` | `musicwallet-accounts` |
//! | `aud` | `musicwallet-internal` |
//! | `sub` | the user's id, as text |
//! | `name` | the username |
//! | `via` | which credential was exchanged: `token:12`, `session:7`, `basic`; for accounts, which owns them |
//! | `iat`, `exp` | seconds; `exp` is `iat` + 60 |

mod caller;
mod ed25519;
mod signer;
mod verifier;

use serde::{Deserialize, Serialize};

pub use caller::Caller;
pub use signer::{LIFETIME, Signer};
pub use verifier::Verifier;

const ISSUER: &str = "musicwallet-accounts";
const AUDIENCE: &str = "musicwallet-internal";

/// The kind of the 401 for a caller whose credential has ended since it was exchanged. Any other 401 of a service is about the assertion
/// itself, and no business of the caller's.
pub const CREDENTIAL_ENDED: &str = "invalid-credentials";

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    name: String,
    #[serde(default)]
    via: String,
    iat: u64,
    exp: u64,
}

/// The public keys of a signer: a JWK set (RFC 7517, RFC 8037).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Keys {
    /// The keys that count; one, unless keys are being changed.
    pub keys: Vec<Key>,
}

/// One public key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Key {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    pub crv: String,
    /// The key, base64url.
    pub x: String,
    /// Its id: the beginning of its SHA-256, base64url.
    pub kid: String,
    /// `EdDSA`.
    pub alg: String,
}

#[cfg(test)]
mod tests;
