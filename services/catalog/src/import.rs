//! Many songs for the catalog by one CSV file; `songs::import` reads it and says how.

use std::time::Duration;

use axum::{body::Body, extract::State};
use http::HeaderMap;
use platform::{
    extract::Json,
    identity::Caller,
    openapi::{OpenApiRouter, routes},
    problem::Problem,
    service::RouteLimits,
};
use songs::{
    import::{self, Destination, Report, Taken},
    song::Song,
};
use tokio::task::spawn_blocking;

use crate::{
    Catalog,
    meter::{self, Origin},
    store,
};

/// The route, and how large and how slow a request to it may be.
pub(crate) const LIMITS: (&str, RouteLimits) = ("/musics/import", import::LIMITS);

pub(crate) fn router() -> OpenApiRouter<Catalog> {
    OpenApiRouter::new().routes(routes!(import))
}

/// Add many songs
///
/// A CSV file of 32 MiB and 100,000 rows at most, in UTF-8. Repeating it changes nothing; one that was cut off resumes.
#[utoipa::path(
    post, path = "/musics/import", tag = "songs", request_body(content = String, content_type = "text/csv", example = "title,artist,album,genre,duration_ms\nPaper Lanterns,The Tin Orchard,,,3:34\n"),
    responses((status = 200, body = Report))
)]

async fn import(
    State(catalog): State<Catalog>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Report>, Problem> {
    let stopping = catalog.stopping.clone();
    let creator = Creator { catalog, id: caller.id };
    import::receive(&creator, &stopping, &headers, body).await.map(Json)
}

/// The catalog, which is given songs by somebody.
struct Creator {
    catalog: Catalog,
    id: i64,
}

impl Destination for Creator {
    async fn take(&self, songs: Vec<Song>) -> Result<Taken, Problem> {
        let rows = spawn_blocking(move || store::rows(&songs)).await.map_err(Problem::internal)?;
        let mut tx = self.catalog.db.begin().await?;
        let added = store::insert_missing(&mut tx, rows, Some(self.id)).await?.len() as u64;
        tx.commit().await?;
        meter::created(Origin::Import, added);
        Ok(Taken { added, created: added })
    }

    fn count(&self, added: u64, already: u64, refused: u64) {
        meter::imported(added, already, refused);
    }

    fn end(&self, completed: bool, took: Duration) {
        meter::import_ended(completed, took);
    }
}
