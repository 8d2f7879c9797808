//! Songs as people read them: what the catalog has, with usernames, or the wallet's copy where the catalog is away.

use std::collections::{BTreeSet, HashMap};

use axum::response::Result;
use futures_util::future::try_join_all;
use resilience::{Error, Limits, Route};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Gateway, credentials::SignedIn, degraded::Degraded, names};

const BATCH: Route<0> = Route::new("/musics/batch");
/// Ids that one call may ask for.
const MOST: usize = 500;

/// A song as catalog and wallet tell it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Told {
    id: i64,
    title: String,
    artist: String,
    album: String,
    genre: String,
    duration_ms: Option<i64>,
    /// A user's id. The wallet's copies have none.
    #[serde(default)]
    created_by: Option<i64>,
}

/// A song as people read it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Music {
    #[schema(example = 7)]
    pub(crate) id: i64,
    #[schema(example = "Paper Lanterns")]
    title: String,
    #[schema(example = "The Tin Orchard")]
    artist: String,
    #[schema(example = "Low Water")]
    album: String,
    #[schema(example = "indie folk")]
    genre: String,
    #[schema(minimum = 0, example = 214_000)]
    duration_ms: Option<i64>,
    /// The username of who added it; null: nobody who is still here.
    #[schema(example = "ada")]
    created_by: Option<String>,
}

impl Told {
    fn named(self, names: &HashMap<i64, String>) -> Music {
        let created_by = self.created_by.and_then(|id| names.get(&id).cloned());
        let Told { id, title, artist, album, genre, duration_ms, .. } = self;
        Music { id, title, artist, album, genre, duration_ms, created_by }
    }
}

/// `musics` with usernames for ids: one question for all of them.
pub(crate) async fn named(
    gateway: &Gateway,
    caller: &SignedIn,
    musics: Vec<Told>,
    degraded: &mut Degraded,
) -> Result<Vec<Music>> {
    let owners = musics.iter().filter_map(|music| music.created_by);
    let names = degraded.part(names::of(gateway, caller, owners).await)?.unwrap_or_default();
    Ok(musics.into_iter().map(|music| music.named(&names)).collect())
}

/// Kept songs, each as the catalog has it now. Without the catalog, and for songs that left it, the wallet's copy stands in.
pub(crate) async fn current(
    gateway: &Gateway,
    caller: &SignedIn,
    copies: Vec<Told>,
    degraded: &mut Degraded,
) -> Result<Vec<Music>> {
    let ids: BTreeSet<i64> = copies.iter().map(|music| music.id).collect();
    let found = degraded.part(by_ids(gateway, caller, ids).await)?.unwrap_or_default();
    // A song can be in several lists, so the catalog's is copied, not taken.
    let musics = copies.into_iter().map(|copy| found.get(&copy.id).cloned().unwrap_or(copy));
    named(gateway, caller, musics.collect(), degraded).await
}

/// Those of `ids` that exist: calls of 500 ids, side by side.
async fn by_ids(
    gateway: &Gateway,
    caller: &SignedIn,
    ids: BTreeSet<i64>,
) -> Result<HashMap<i64, Told>, Error> {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    let calls = ids.chunks(MOST).map(|ids| {
        let call = caller.vouch(gateway.catalog.get(BATCH)).limits(Limits::LIST);
        let call = call.raw_query(format_args!("ids={}", ids.join(",")));
        async { call.send().await?.json::<Vec<Told>>() }
    });
    let musics = try_join_all(calls).await?.into_iter().flatten();
    Ok(musics.map(|music| (music.id, music)).collect())
}
