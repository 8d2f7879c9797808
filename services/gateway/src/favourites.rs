//! What people keep: lists, and a library as a file.

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response, Result},
};
use futures_util::future::try_join;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use platform::{
    extract::{Json, Path, Query},
    openapi::{OpenApiRouter, routes},
};
use resilience::{Limits, Route};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Gateway,
    bodies::Exported,
    credentials::SignedIn,
    degraded::Degraded,
    library::{self, Music, Told},
    pages,
};

const FAVOURITES: Route<1> = Route::new("/users/{id}/favourites");
const USER: Route<1> = Route::new("/users/{id}");
const EXPORT: Route<0> = Route::new("/export");

pub(crate) fn router() -> OpenApiRouter<Gateway> {
    // `POST /api/import` is in `import.rs`.
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(export))
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Entry>,
    next: Option<String>,
}

/// A kept song as the wallet tells it.
#[derive(Deserialize)]
struct Entry {
    music: Told,
    added_at: String,
}

/// A song with the moment since when it is kept.
#[derive(Serialize, ToSchema)]
struct Kept {
    music: Music,
    #[schema(format = DateTime, example = "2026-02-03T04:05:06.789Z")]
    added_at: String,
}

/// All that a person keeps, newest first
///
/// `Link` leads to the next page. While the catalog is away, songs are told as they were when they were kept.
#[utoipa::path(
    get, path = "/api/users/{id}/favourites", tag = "favourites",
    params(
        ("id" = i64, Path),
        ("limit" = Option<u32>, Query, description = "How many; 100 without it.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "From `Link` of the page before.", pattern = "^[0-7][0-9a-f]{15}$"),
    ),
    responses(
        (
            status = 200, body = Vec<Kept>,
            headers(("link" = String, description = "The next page, `rel=\"next\"`."), ("degraded" = String, description = "Services that the answer had to do without."))
        ),
        (status = 404, description = "There is no such person.")
    )
)]
async fn list(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Path(id): Path<i64>,
    RawQuery(query): RawQuery,
    Query(given): Query<Vec<(String, String)>>,
) -> Result<Response> {
    let mut call = caller.vouch(gateway.wallet.get(FAVOURITES.at([id]))).limits(Limits::LIST);
    for (name, value) in &given {
        call = call.query(name, value);
    }
    // The wallet knows ids only: whether there is such a person is for accounts to say.
    let somebody = caller.vouch(gateway.accounts.get(USER.at([id]))).send();
    let (answer, _) = try_join(call.send(), somebody).await?;
    let page: Page = answer.json()?;
    let mut degraded = Degraded::default();
    let (copies, times): (Vec<_>, Vec<_>) =
        page.items.into_iter().map(|kept| (kept.music, kept.added_at)).unzip();
    let musics = library::current(&gateway, &caller, copies, &mut degraded).await?;
    let kept: Vec<_> =
        musics.into_iter().zip(times).map(|(music, added_at)| Kept { music, added_at }).collect();
    let mut response = degraded.mark(Json(kept));
    let path = format!("/api/users/{id}/favourites/");
    pages::link(&mut response, &path, &query.unwrap_or_default(), page.next);
    Ok(response)
}

/// One's own library as a file, oldest first
///
/// It can be imported again, which changes nothing.
#[utoipa::path(
    get, path = "/api/export", tag = "favourites",
    params(("format" = Option<String>, Query, description = "`csv` or `json`; csv without it.", pattern = "^(csv|json)$")),
    responses((status = 200, description = "The file.", headers(("content-disposition" = String)), content(
        (String = "text/csv", example = "title,artist,album,genre,duration_ms,added_at\nPaper Lanterns,The Tin Orchard,Low Water,indie folk,214000,2026-02-03T04:05:06.789Z\n"), (Vec<Exported> = "application/json")
    )))
)]
async fn export(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Query(given): Query<Vec<(String, String)>>,
) -> Result<Response> {
    let mut call = caller.vouch(gateway.wallet.get(EXPORT));
    for (name, value) in &given {
        call = call.query(name, value);
    }
    let (parts, body) = call.stream().await?.into_parts();
    let mut response = (parts.status, Body::new(body)).into_response();
    for name in [CONTENT_TYPE, CONTENT_DISPOSITION] {
        if let Some(value) = parts.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    Ok(response)
}
