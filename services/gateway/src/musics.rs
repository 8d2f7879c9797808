//! Songs, with the names of those who added them.

use anyhow::anyhow;
use axum::{
    extract::{RawQuery, State},
    response::{Response, Result},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header::LOCATION};
use platform::{
    extract::{Json, Path, Query, Raw},
    openapi::{OpenApiRouter, routes},
    problem::Problem,
};
use resilience::{Answer, Limits, Route};
use serde::Deserialize;

use crate::{
    Gateway,
    accounts::with_body,
    bodies::{MusicChange, NewMusic},
    credentials::SignedIn,
    degraded::Degraded,
    library::{self, Music, Told},
    names, pages,
};

const MUSICS: Route<0> = Route::new("/musics");
const MUSIC: Route<1> = Route::new("/musics/{id}");
const TOTAL_COUNT: HeaderName = HeaderName::from_static("total-count");

pub(crate) fn router() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, replace, change, remove))
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Told>,
    next: Option<String>,
    total: Option<u64>,
}

/// Songs, by id
///
/// `Link` leads to the next page.
#[utoipa::path(
    get, path = "/api/musics", tag = "songs",
    params(
        ("search" = Option<String>, Query, description = "Words that begin a word of title, artist or album; all have to.", min_length = 1, max_length = 300),
        ("artist" = Option<String>, Query, description = "The whole name, without case and accents.", max_length = 300),
        ("genre" = Option<String>, Query, description = "The whole genre, without case and accents.", max_length = 100),
        ("created_by" = Option<String>, Query, description = "The username of who added them."),
        ("limit" = Option<u32>, Query, description = "How many; 100 without it.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "From `Link` of the page before.", pattern = "^[0-7][0-9a-f]{15}$"),
        ("count" = Option<bool>, Query, description = "`true`: `Total-Count` tells how many the whole list has."),
    ),
    responses((
        status = 200, body = Vec<Music>,
        headers(("link" = String, description = "The next page, `rel=\"next\"`."), ("total-count" = u64), ("degraded" = String, description = "Services that the answer had to do without."))
    ))
)]
async fn list(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Query(parameters): Query<Vec<(String, String)>>,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    let mut call = caller.vouch(gateway.catalog.get(MUSICS)).limits(Limits::LIST);
    // The catalog checks the parameters, and whether one is there twice; but it knows people by their ids only.
    let mut creator_is_known = false;
    for (name, value) in parameters {
        if name == "created_by" && !creator_is_known {
            creator_is_known = true;
            // No id is below 1: whoever is nobody has added nothing, and the other parameters are still checked.
            let id = names::id_of(&gateway, &caller, &value).await?.unwrap_or(0);
            call = call.query("created_by", id);
        } else {
            call = call.query(&name, value);
        }
    }
    let page: Page = call.send().await?.json()?;
    let mut degraded = Degraded::default();
    let musics = library::named(&gateway, &caller, page.items, &mut degraded).await?;
    let mut response = degraded.mark(Json(musics));
    pages::link(&mut response, "/api/musics/", &query.unwrap_or_default(), page.next);
    if let Some(total) = page.total {
        response.headers_mut().insert(TOTAL_COUNT, HeaderValue::from(total));
    }
    Ok(response)
}

/// Add a song
#[utoipa::path(
    post, path = "/api/musics", tag = "songs", request_body = NewMusic,
    responses((status = 201, body = Music, headers(("location" = String))))
)]
async fn create(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    let call = caller.vouch(gateway.catalog.post(MUSICS));
    let answer = with_body(call, &headers, body).send().await?;
    let mut degraded = Degraded::default();
    let music = compose(&gateway, &caller, &answer, &mut degraded).await?;
    let location = format!("/api/musics/{}/", music.id);
    Ok(degraded.mark((StatusCode::CREATED, [(LOCATION, location)], Json(music))))
}

/// One song
#[utoipa::path(
    get, path = "/api/musics/{id}", tag = "songs", params(("id" = i64, Path)),
    responses((status = 200, body = Music), (status = 404, description = "There is no such song."))
)]
async fn read(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Path(id): Path<i64>,
) -> Result<Response> {
    let answer = caller.vouch(gateway.catalog.get(MUSIC.at([id]))).send().await?;
    let mut degraded = Degraded::default();
    let music = compose(&gateway, &caller, &answer, &mut degraded).await?;
    Ok(degraded.mark(Json(music)))
}

/// Give one's own song another content
#[utoipa::path(
    put, path = "/api/musics/{id}", tag = "songs", params(("id" = i64, Path)), request_body = NewMusic,
    responses(
        (status = 200, body = Music),
        (status = 403, description = "Somebody else has added it."), (status = 404, description = "There is no such song.")
    )
)]
async fn replace(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Path(id): Path<i64>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    edit(&gateway, &caller, Method::PUT, id, &headers, body).await
}

/// Change some fields of one's own song
#[utoipa::path(
    patch, path = "/api/musics/{id}", tag = "songs", params(("id" = i64, Path)), request_body = MusicChange,
    responses(
        (status = 200, body = Music),
        (status = 403, description = "Somebody else has added it."), (status = 404, description = "There is no such song.")
    )
)]
async fn change(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Path(id): Path<i64>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    edit(&gateway, &caller, Method::PATCH, id, &headers, body).await
}

async fn edit(
    gateway: &Gateway,
    caller: &SignedIn,
    method: Method,
    id: i64,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let call = caller.vouch(gateway.catalog.call(method, MUSIC.at([id])));
    let answer = with_body(call, headers, body).send().await?;
    let mut degraded = Degraded::default();
    let music = compose(gateway, caller, &answer, &mut degraded).await?;
    Ok(degraded.mark(Json(music)))
}

/// Remove one's own song
#[utoipa::path(
    delete, path = "/api/musics/{id}", tag = "songs", params(("id" = i64, Path)),
    responses(
        (status = 204), (status = 403, description = "Somebody else has added it."),
        (status = 404, description = "There is no such song.")
    )
)]
async fn remove(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    caller.vouch(gateway.catalog.call(Method::DELETE, MUSIC.at([id]))).send().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The song of an answer, with the name of who added it.
async fn compose(
    gateway: &Gateway,
    caller: &SignedIn,
    answer: &Answer,
    degraded: &mut Degraded,
) -> Result<Music> {
    let musics = library::named(gateway, caller, vec![answer.json()?], degraded).await?;
    musics.into_iter().next().ok_or_else(|| Problem::internal(anyhow!("a song was lost")).into())
}
