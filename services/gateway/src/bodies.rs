//! What requests have in their bodies, for the document: the services behind read them, so nothing here is ever made.

use serde::Deserialize;
use utoipa::ToSchema;

/// A song to add or to put in another's place.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "described, not read here")]
pub(crate) struct NewMusic {
    #[schema(min_length = 1, max_length = 300, example = "Paper Lanterns")]
    title: String,
    #[schema(min_length = 1, max_length = 300, example = "The Tin Orchard")]
    artist: String,
    #[schema(nullable = false, max_length = 300, example = "Low Water")]
    album: Option<String>,
    #[schema(nullable = false, max_length = 100, example = "indie folk")]
    genre: Option<String>,
    /// Milliseconds, a day at most.
    #[schema(minimum = 0, maximum = 86_400_000, example = 214_000)]
    duration_ms: Option<i64>,
}

/// Some fields of a song.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "described, not read here")]
pub(crate) struct MusicChange {
    #[schema(nullable = false, min_length = 1, max_length = 300)]
    title: Option<String>,
    #[schema(nullable = false, min_length = 1, max_length = 300)]
    artist: Option<String>,
    #[schema(nullable = false, max_length = 300)]
    album: Option<String>,
    #[schema(nullable = false, max_length = 100, example = "folk")]
    genre: Option<String>,
    #[schema(minimum = 0, maximum = 86_400_000)]
    duration_ms: Option<i64>,
}

/// Somebody who signs up.
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

/// Some fields of one's own account. A new password ends all other sessions and tokens.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "described, not read here")]
pub(crate) struct UserChange {
    #[schema(nullable = false, min_length = 1, max_length = 150)]
    username: Option<String>,
    #[schema(nullable = false, max_length = 254, example = "ada@example.com")]
    email: Option<String>,
    #[schema(nullable = false, min_length = 8, max_length = 128, format = Password)]
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

/// A token of one's own; its secret is not shown again.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
pub(crate) struct Token {
    id: i64,
    name: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    last_used_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// A token that was just made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
pub(crate) struct MadeToken {
    id: i64,
    name: String,
    /// `trk_` and 38 characters; shown this once.
    token: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// A token for a name and a password.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
pub(crate) struct Issued {
    token: String,
}

/// What became of the rows of a file; `rows` is the sum of `added`, `already` and the length of `refused`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
pub(crate) struct Report {
    rows: u64,
    added: u64,
    already: u64,
    /// Songs that are new in the catalog.
    created: u64,
    refused: Vec<Refused>,
}

/// A row that was left out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
pub(crate) struct Refused {
    /// The physical line on which it begins; the header is 1.
    line: u64,
    reason: String,
}

/// A song of an export.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
pub(crate) struct Exported {
    title: String,
    artist: String,
    album: String,
    genre: String,
    duration_ms: Option<i64>,
    #[schema(format = DateTime)]
    added_at: String,
}
