//! What changes favourites: one by one, or all at the end of an account.

use axum::{extract::State, response::Result};
use http::StatusCode;
use platform::{
    extract::{Json, Path},
    identity::Caller,
    openapi::{OpenApiRouter, routes},
    problem::Problem,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Wallet, catalog::Vouched, meter, only_oneself, store};

pub(crate) fn router() -> OpenApiRouter<Wallet> {
    OpenApiRouter::new().routes(routes!(keep, remove)).routes(routes!(clear))
}

#[derive(Serialize, ToSchema)]
struct Added {
    added: bool,
}

#[derive(Serialize, ToSchema)]
struct Removed {
    removed: bool,
}

/// Keep a song
///
/// `false`: it was kept already. The catalog is asked only for what is new.
#[utoipa::path(
    put, path = "/favourites/{music_id}", tag = "favourites", params(("music_id" = i64, Path)),
    responses((status = 200, body = Added), (status = 404, description = "There is no such song."))
)]
async fn keep(
    State(wallet): State<Wallet>,
    Vouched { caller, assertion }: Vouched,
    Path(music): Path<i64>,
) -> Result<Json<Added>> {
    if store::keeps(&wallet.db, caller.id, music).await.map_err(Problem::from)? {
        return Ok(Json(Added { added: false }));
    }
    let found = wallet.catalog.music(music, assertion).await?;
    // Of two who come here at once, one finds it kept.
    let rows = store::rows([&found]);
    let added = store::insert(&wallet.db, caller.id, rows).await.map_err(Problem::from)?;
    meter::added(meter::Origin::Api, added);
    Ok(Json(Added { added: added == 1 }))
}

/// Drop a song
///
/// `false`: it was not kept.
#[utoipa::path(
    delete, path = "/favourites/{music_id}", tag = "favourites", params(("music_id" = i64, Path)),
    responses((status = 200, body = Removed), (status = 404, description = "There is no such song."))
)]
async fn remove(
    State(wallet): State<Wallet>,
    Vouched { caller, assertion }: Vouched,
    Path(music): Path<i64>,
) -> Result<Json<Removed>> {
    if store::delete(&wallet.db, caller.id, music).await.map_err(Problem::from)? {
        meter::removed(1);
        return Ok(Json(Removed { removed: true }));
    }
    match wallet.catalog.music(music, assertion).await {
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Err(error.into()),
        // Also when the catalog cannot be asked: what was asked for holds.
        Ok(_) | Err(_) => Ok(Json(Removed { removed: false })),
    }
}

/// Drop all that one keeps
#[utoipa::path(
    delete, path = "/users/{id}/favourites", tag = "favourites", params(("id" = i64, Path)),
    responses((status = 204), (status = 403, description = "It is somebody else."))
)]
async fn clear(
    State(wallet): State<Wallet>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    only_oneself(&caller, id)?;
    let removed = store::delete_all(&wallet.db, id).await?;
    meter::removed(removed);
    tracing::info!(user.id = id, "removed all {removed} favourites of user {id}");
    Ok(StatusCode::NO_CONTENT)
}
