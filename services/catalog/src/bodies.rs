//! What requests have in their bodies, which `musics/form.rs` reads field by field: for the document, nothing here is ever made.

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
