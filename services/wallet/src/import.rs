//! A person's library by one CSV file; `songs::import` reads it and says how.
//!
//! For each batch, the catalog is asked once for the musics of the songs that the person does not keep yet; then one statement keeps
//! them, in the order of the file.

use std::time::Duration;

use axum::{body::Body, extract::State};
use http::{HeaderMap, HeaderValue, StatusCode};
use platform::{
    extract::Json,
    openapi::{OpenApiRouter, routes},
    problem::Problem,
    service::RouteLimits,
};
use serde_json::Value;
use songs::{
    import::{self, Destination, Report, Taken},
    song::Song,
};
use tokio::task::spawn_blocking;

use crate::{
    Wallet,
    catalog::Vouched,
    meter::{self, Origin},
    store,
};

/// The route, and how large and how slow a request to it may be.
pub(crate) const LIMITS: (&str, RouteLimits) = ("/import", import::LIMITS);

pub(crate) fn router() -> OpenApiRouter<Wallet> {
    OpenApiRouter::new().routes(routes!(import))
}

/// Bring one's library along
///
/// A CSV file of 32 MiB and 100,000 rows at most, in UTF-8. Songs that the catalog has not are added to it. Repeating it changes nothing; one
/// that was cut off resumes.
#[utoipa::path(
    post, path = "/import", tag = "favourites", request_body(content = String, content_type = "text/csv", example = "Track Name,Artist Name(s)\nPaper Lanterns,The Tin Orchard\n"),
    responses((status = 200, body = Report))
)]
async fn import(
    State(wallet): State<Wallet>,
    Vouched { caller, assertion }: Vouched,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Report>, Problem> {
    let stopping = wallet.stopping.clone();
    let library = Library { wallet, user: caller.id, assertion };
    import::receive(&library, &stopping, &headers, body).await.map(Json)
}

/// What somebody keeps, which is given songs.
struct Library {
    wallet: Wallet,
    user: i64,
    assertion: HeaderValue,
}

impl Destination for Library {
    async fn take(&self, songs: Vec<Song>) -> Result<Taken, Problem> {
        let songs = self.new_ones(songs).await?;
        if songs.is_empty() {
            return Ok(Taken::default());
        }
        self.check_assertion().await?;
        let matched = self.wallet.catalog.matching(songs, self.assertion.clone()).await?;
        let created = matched.iter().filter(|it| it.created).count() as u64;
        let rows = spawn_blocking(move || store::rows(matched.iter().map(|it| &it.music)));
        let rows = rows.await.map_err(Problem::internal)?;
        let added = store::insert(&self.wallet.db, self.user, rows).await?;
        meter::added(Origin::Import, added);
        Ok(Taken { added, created })
    }

    fn count(&self, added: u64, already: u64, refused: u64) {
        meter::imported(added, already, refused);
    }

    fn end(&self, completed: bool, took: Duration) {
        meter::import_ended(completed, took);
    }
}

impl Library {
    /// Those of `songs` that are not kept, under whichever id of the catalog: of musics with the same title and artist, the person may
    /// keep another one than the catalog would find.
    async fn new_ones(&self, songs: Vec<Song>) -> Result<Vec<Song>, Problem> {
        let keyed = spawn_blocking(|| {
            let keyed: Vec<(String, Song)> =
                songs.into_iter().map(|song| (song.match_key(), song)).collect();
            let keys: Value = keyed.iter().map(|(key, _)| key.as_str()).collect();
            (keyed, keys.to_string())
        });
        let (keyed, keys) = keyed.await.map_err(Problem::internal)?;
        let kept = store::kept_keys(&self.wallet.db, self.user, keys).await?;
        let new = keyed.into_iter().filter(|(key, _)| !kept.contains(key));
        Ok(new.map(|(_, song)| song).collect())
    }

    /// An assertion lives for a minute, an import may take two.
    async fn check_assertion(&self) -> Result<(), Problem> {
        let bearer = self.assertion.to_str().ok().and_then(|it| it.strip_prefix("Bearer "));
        let outcome = self.wallet.verifier.verify(bearer.unwrap_or_default()).await;
        match outcome {
            Err(refused) if refused.status() == StatusCode::UNAUTHORIZED => {
                let detail = "The import took longer than its caller is vouched for";
                let soon = Duration::from_secs(1);
                Err(Problem::unavailable("import-interrupted", detail, soon))
            }
            other => other.map(drop),
        }
    }
}
