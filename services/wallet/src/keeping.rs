//! What changes favourites: one by one, or all at the end of an account.

use axum::{
    Router,
    extract::State,
    response::Result,
    routing::{delete, put},
};
use http::StatusCode;
use platform::{
    extract::{Json, Path},
    identity::Caller,
    problem::Problem,
};
use serde::Serialize;

use crate::{Wallet, catalog::Vouched, meter, only_oneself, store};

pub(crate) fn router() -> Router<Wallet> {
    Router::new()
        .route("/favourites/{music_id}", put(keep).delete(remove))
        .route("/users/{id}/favourites", delete(clear))
}

#[derive(Serialize)]
struct Added {
    added: bool,
}

#[derive(Serialize)]
struct Removed {
    removed: bool,
}

/// `PUT /favourites/{music_id}`: the caller keeps that music; false: they did already. The catalog is asked only for what is new.
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

/// `DELETE /favourites/{music_id}`: the caller does not keep that music any more; false: they did not. 404 when there is no such music.
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

/// `DELETE /users/{id}/favourites`: the caller, who is user `id`, keeps nothing any more; 204, also when they kept nothing.
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
