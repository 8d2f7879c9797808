//! What requests have in their bodies, which `form.rs` reads field by field, and answers that are made elsewhere: for the document, nothing
//! here is ever made.

use serde::Deserialize;
use utoipa::ToSchema;

/// Somebody who signs up, or an account as a whole.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "described, not read here")]
pub(crate) struct NewUser {
    /// Letters of one script, digits and `@ . + - _`; unique without case.
    #[schema(min_length = 1, max_length = 150, example = "ada")]
    username: String,
    #[schema(max_length = 254, example = "ada@example.org")]
    email: String,
    /// 15 characters, or fewer that are hard to guess.
    #[schema(min_length = 8, max_length = 128, format = Password, example = "correct horse battery")]
    password: String,
}

/// Some fields of an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "described, not read here")]
pub(crate) struct UserChange {
    #[schema(nullable = false, min_length = 1, max_length = 150, example = "grace")]
    username: Option<String>,
    #[schema(nullable = false, max_length = 254, example = "ada@example.com")]
    email: Option<String>,
    #[schema(nullable = false, min_length = 8, max_length = 128, format = Password, example = "correct horse battery")]
    password: Option<String>,
}

/// A name and a password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "described, not read here")]
pub(crate) struct SignIn {
    #[schema(example = "ada")]
    username: String,
    #[schema(format = Password, example = "correct horse battery")]
    password: String,
}

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "described, not read here")]
pub(crate) struct NewToken {
    /// What it is for, to know it again in the list.
    #[schema(min_length = 1, max_length = 100, example = "laptop")]
    name: String,
}

/// A public credential: one of both.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, deny_unknown_fields)]
#[expect(dead_code, reason = "described, not read here")]
pub(crate) enum Credential {
    /// What a program has.
    Header {
        /// The header `Authorization` as it came: Token, Bearer or Basic.
        #[schema(example = "Token trk_")]
        authorization: String,
    },
    /// What a browser has.
    Cookie {
        /// The secret of its session.
        #[schema(example = "q7oV3n0mJ1c8Xw5kT2b9Yd4fG6hL0sR3uP7zA1eN5iE")]
        session: String,
    },
}

/// Somebody who exists.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
pub(crate) struct Person {
    #[schema(example = 1)]
    id: i64,
    #[schema(example = "ada")]
    username: String,
}

/// Somebody, for themselves.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
pub(crate) struct User {
    #[schema(example = 1)]
    id: i64,
    #[schema(example = "ada")]
    username: String,
    #[schema(example = "ada@example.org")]
    email: String,
}

/// A token as its owner sees it later.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
pub(crate) struct Listed {
    #[schema(example = 7)]
    id: i64,
    /// `sign-in` for one that a password gave.
    #[schema(example = "laptop")]
    name: String,
    #[schema(format = DateTime, example = "2026-02-03T04:05:06.789Z")]
    created_at: String,
    #[schema(format = DateTime, example = "2026-02-03T04:06:07.890Z")]
    last_used_at: String,
    #[schema(format = DateTime, example = "2026-05-04T04:05:06.789Z")]
    expires_at: String,
}

/// The keys that count; one, unless keys are being changed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
pub(crate) struct Keys {
    keys: Vec<Key>,
}

/// A public key (RFC 8037).
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
struct Key {
    #[schema(example = "OKP")]
    kty: String,
    #[schema(example = "Ed25519")]
    crv: String,
    /// The key, base64url.
    #[schema(example = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")]
    x: String,
    /// Its id, as assertions name it.
    #[schema(example = "4f1c0a9be2d83357")]
    kid: String,
    #[schema(example = "EdDSA")]
    alg: String,
}
