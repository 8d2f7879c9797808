//! Finds songs by what they are called, and adds those that are not there: what the wallet asks before it keeps the songs of a file.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use axum::extract::State;
use platform::{
    extract::Json,
    identity::Caller,
    openapi::{OpenApiRouter, routes},
    problem::{FieldError, Problem},
    service::RouteLimits,
};
use serde::{Deserialize, Serialize};
use songs::song::Song;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use crate::{
    Catalog,
    meter::{self, Origin},
    store::{self, Music},
};

/// Most songs of one request.
const MOST: usize = 1_000;
/// The route, and its limits: [`MOST`] songs with the longest texts are a little less.
pub(crate) const LIMITS: (&str, RouteLimits) = (
    "/musics/match",
    RouteLimits {
        body: 4 << 20,
        deadline: Duration::from_secs(10),
        body_deadline: Duration::from_secs(10),
    },
);

pub(crate) fn router() -> OpenApiRouter<Catalog> {
    OpenApiRouter::new().routes(routes!(find_or_create))
}

/// Songs to be found or added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[schema(min_items = 1, max_items = 1_000)]
    songs: Vec<Given>,
}

/// A song before it is checked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Given {
    #[schema(example = "Paper Lanterns")]
    title: String,
    #[schema(example = "The Tin Orchard")]
    artist: String,
    #[serde(default)]
    #[schema(example = "Low Water")]
    album: String,
    #[serde(default)]
    #[schema(example = "indie folk")]
    genre: String,
    #[schema(example = 214_000)]
    duration_ms: Option<i64>,
}

/// The answer for one song: the music as the catalog has it, which can be spelled otherwise than it was given.
#[derive(Debug, Serialize, ToSchema)]
struct Matched {
    /// Whether it is new; true once for each music.
    created: bool,
    #[serde(flatten)]
    music: Music,
}

/// Find songs by what they are called, or add them
///
/// For each song, in order, the oldest music with the same title and artist; if there is none, it is added for the caller. All of it in
/// one transaction.
#[utoipa::path(
    post, path = "/musics/match", tag = "songs", request_body = Wanted, responses((status = 200, body = Vec<Matched>))
)]
async fn find_or_create(
    State(catalog): State<Catalog>,
    caller: Caller,
    Json(Wanted { songs }): Json<Wanted>,
) -> Result<Json<Vec<Matched>>, Problem> {
    let prepared = spawn_blocking(|| Songs::prepare(songs)).await.map_err(Problem::internal)?;
    let songs = prepared.map_err(Problem::invalid)?;
    let mut tx = catalog.db.begin().await?;
    store::one_after_the_other(&mut tx).await?;
    let found = store::find_by_keys(&mut tx, songs.keys).await?;
    let mut new = HashMap::new();
    if found.len() < songs.different {
        let inserted = store::insert_missing(&mut tx, songs.rows, Some(caller.id)).await?;
        new.extend(inserted.into_iter().map(|(id, key)| (key, id)));
    }
    tx.commit().await?;
    meter::created(Origin::Import, new.len() as u64);
    let mut known: HashMap<String, Music> = found.into_iter().collect();
    let mut answers = Vec::with_capacity(songs.all.len());
    for (key, song) in songs.all {
        let (created, music) = match (known.get(&key), new.get(&key)) {
            (Some(music), _) => (false, music.clone()),
            (None, Some(id)) => (true, Music::new(*id, song, Some(caller.id))),
            (None, None) => return Err(Problem::internal(anyhow::anyhow!("a song got lost"))),
        };
        if created {
            known.insert(key, music.clone());
        }
        answers.push(Matched { created, music });
    }
    Ok(Json(answers))
}

/// What the statements need, and what the answer is put together from.
struct Songs {
    /// All with their keys, as they were given.
    all: Vec<(String, Song)>,
    /// How many different keys there are.
    different: usize,
    /// The different keys, a JSON array.
    keys: String,
    /// The first song of each key, for [`store::insert_missing`].
    rows: String,
}

impl Songs {
    /// Some 10 ms of work for 1,000 songs.
    fn prepare(given: Vec<Given>) -> Result<Songs, Vec<FieldError>> {
        if given.is_empty() || given.len() > MOST {
            let limit = if given.is_empty() { 1 } else { MOST };
            let detail = format!("must have 1 to {MOST} songs, not {}", given.len());
            return Err(vec![FieldError::new("/songs", detail).limit(limit)]);
        }
        let (mut all, mut wrong) = (Vec::with_capacity(given.len()), Vec::new());
        for (at, given) in given.into_iter().enumerate() {
            let Given { title, artist, album, genre, duration_ms } = given;
            match Song::new(&title, &artist, &album, &genre, Ok(duration_ms)) {
                Ok(song) => all.push((song.match_key(), song)),
                Err(why) => wrong.extend(why.into_iter().map(|why| {
                    let error = FieldError::new(format!("/songs/{at}/{}", why.field), why.detail);
                    FieldError { limit: why.limit.map(Into::into), ..error }
                })),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let mut seen = HashSet::new();
        let first: Vec<&(String, Song)> =
            all.iter().filter(|(key, _)| seen.insert(key.as_str())).collect();
        let keys: serde_json::Value = first.iter().map(|(key, _)| key.as_str()).collect();
        let rows = store::rows(first.iter().map(|(_, song)| song));
        let different = first.len();
        Ok(Songs { different, keys: keys.to_string(), rows, all })
    }
}
