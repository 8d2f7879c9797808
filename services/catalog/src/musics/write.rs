//! Writing: everybody adds, only who added a song changes or removes it.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header::LOCATION};
use platform::{
    extract::{Json, Path},
    identity::Caller,
    problem::{FieldError, Problem},
};
use serde_json::Value;
use songs::song::Song;

use super::{
    form::{self, Changes},
    not_found,
};
use crate::{
    Catalog,
    bodies::{MusicChange, NewMusic},
    meter::{self, Origin},
    store::{self, Music},
};

/// Add a song
#[utoipa::path(
    post, path = "/musics", tag = "songs", request_body = NewMusic,
    responses((status = 201, body = Music, headers(("location" = String))))
)]
pub(super) async fn create(
    State(catalog): State<Catalog>,
    caller: Caller,
    Json(body): Json<Value>,
) -> Result<Response, Problem> {
    let song = form::whole(body).map_err(Problem::invalid)?;
    let id = store::insert(&catalog.db, &song, caller.id).await?;
    meter::created(Origin::Api, 1);
    tracing::info!(music.id = id, "added music {id}");
    let location = HeaderValue::try_from(format!("/musics/{id}")).map_err(Problem::internal)?;
    let created = Music::new(id, song, Some(caller.id));
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(created)).into_response())
}

/// Give one's own song another content
#[utoipa::path(
    put, path = "/musics/{id}", tag = "songs", params(("id" = i64, Path)), request_body = NewMusic,
    responses(
        (status = 200, body = Music),
        (status = 403, description = "Somebody else has added it."), (status = 404, description = "There is no such song.")
    )
)]
pub(super) async fn replace(
    catalog: State<Catalog>,
    caller: Caller,
    id: Path<i64>,
    Json(body): Json<Value>,
) -> Result<Json<Music>, Problem> {
    let song = form::whole(body);
    update(catalog, caller, id, song.map(|song| |_| song)).await
}

/// Change some fields of one's own song
#[utoipa::path(
    patch, path = "/musics/{id}", tag = "songs", params(("id" = i64, Path)), request_body = MusicChange,
    responses(
        (status = 200, body = Music),
        (status = 403, description = "Somebody else has added it."), (status = 404, description = "There is no such song.")
    )
)]
pub(super) async fn change(
    catalog: State<Catalog>,
    caller: Caller,
    id: Path<i64>,
    Json(body): Json<Value>,
) -> Result<Json<Music>, Problem> {
    let changes = Changes::read(body);
    update(catalog, caller, id, changes.map(|changes| |song| changes.apply(song))).await
}

/// Reads, changes and writes in one transaction, so that of two changes at the same time none is lost.
async fn update(
    State(catalog): State<Catalog>,
    caller: Caller,
    Path(id): Path<i64>,
    change: Result<impl FnOnce(Song) -> Song, Vec<FieldError>>,
) -> Result<Json<Music>, Problem> {
    let change = change.map_err(Problem::invalid)?;
    let mut tx = catalog.db.begin().await?;
    let found = store::find_in(&mut tx, id).await?.ok_or_else(|| not_found(id))?;
    if found.created_by != Some(caller.id) {
        return Err(not_owner(id));
    }
    let Music { title, artist, album, genre, duration_ms, created_by, .. } = found;
    let song = change(Song { title, artist, album, genre, duration_ms });
    store::update(&mut tx, id, &song).await?;
    tx.commit().await?;
    tracing::info!(music.id = id, "changed music {id}");
    Ok(Json(Music::new(id, song, created_by)))
}

/// Remove one's own song
#[utoipa::path(
    delete, path = "/musics/{id}", tag = "songs", params(("id" = i64, Path)),
    responses(
        (status = 204),
        (status = 403, description = "Somebody else has added it."), (status = 404, description = "There is no such song.")
    )
)]
pub(super) async fn remove(
    State(catalog): State<Catalog>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    if !store::delete(&catalog.db, id, caller.id).await? {
        let found = store::find(&catalog.db, id).await?;
        return Err(if found.is_some() { not_owner(id) } else { not_found(id) });
    }
    meter::deleted();
    tracing::info!(music.id = id, "removed music {id}");
    Ok(StatusCode::NO_CONTENT)
}

fn not_owner(id: i64) -> Problem {
    let detail = format_args!("Only who added music {id} can change or remove it.");
    Problem::new(StatusCode::FORBIDDEN, "not-owner", detail)
}
