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
    #[schema(nullable = false, min_length = 1, max_length = 300, example = "Paper Lanterns")]
    title: Option<String>,
    #[schema(nullable = false, min_length = 1, max_length = 300, example = "The Tin Orchard")]
    artist: Option<String>,
    #[schema(nullable = false, max_length = 300, example = "Low Water")]
    album: Option<String>,
    #[schema(nullable = false, max_length = 100, example = "folk")]
    genre: Option<String>,
    #[schema(minimum = 0, maximum = 86_400_000, example = 214_000)]
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

/// A token of one's own; its secret is not shown again.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
pub(crate) struct Token {
    #[schema(example = 7)]
    id: i64,
    #[schema(example = "laptop")]
    name: String,
    #[schema(format = DateTime, example = "2026-02-03T04:05:06.789Z")]
    created_at: String,
    #[schema(format = DateTime, example = "2026-02-03T04:06:07.890Z")]
    last_used_at: String,
    #[schema(format = DateTime, example = "2026-05-04T04:05:06.789Z")]
    expires_at: String,
}

/// A token that was just made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
pub(crate) struct MadeToken {
    #[schema(example = 7)]
    id: i64,
    #[schema(example = "laptop")]
    name: String,
    /// `trk_` and 38 characters; shown this once.
    #[schema(example = "trk_4yTqW8sZbX2nLk9vRf3hDm6jPc1gAe5uQo7iYw")]
    token: String,
    #[schema(format = DateTime, example = "2026-05-04T04:05:06.789Z")]
    expires_at: String,
}

/// A token for a name and a password.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
pub(crate) struct Issued {
    #[schema(example = "trk_4yTqW8sZbX2nLk9vRf3hDm6jPc1gAe5uQo7iYw")]
    token: String,
}

/// What became of the rows of a file; `rows` is the sum of `added`, `already` and the length of `refused`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
pub(crate) struct Report {
    #[schema(example = 3)]
    rows: u64,
    #[schema(example = 1)]
    added: u64,
    #[schema(example = 1)]
    already: u64,
    /// Songs that are new in the catalog.
    #[schema(example = 1)]
    created: u64,
    refused: Vec<Refused>,
}

/// A row that was left out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
pub(crate) struct Refused {
    /// The physical line on which it begins; the header is 1.
    #[schema(example = 4)]
    line: u64,
    #[schema(example = "artist must not be empty")]
    reason: String,
}

/// A song of an export.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not made here")]
pub(crate) struct Exported {
    #[schema(example = "Paper Lanterns")]
    title: String,
    #[schema(example = "The Tin Orchard")]
    artist: String,
    #[schema(example = "Low Water")]
    album: String,
    #[schema(example = "indie folk")]
    genre: String,
    #[schema(example = 214_000)]
    duration_ms: Option<i64>,
    #[schema(format = DateTime, example = "2026-02-03T04:05:06.789Z")]
    added_at: String,
}
