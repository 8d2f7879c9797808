//! What becomes of songs when who added them goes: they stay and are nobody's.

use axum::extract::State;
use http::StatusCode;
use platform::{
    extract::Path,
    identity::Caller,
    openapi::{OpenApiRouter, routes},
    problem::Problem,
};

use crate::{Catalog, store};

pub(crate) fn router() -> OpenApiRouter<Catalog> {
    OpenApiRouter::new().routes(routes!(forget))
}

/// Take one's own name off all songs
///
/// Also when there was none.
#[utoipa::path(
    delete, path = "/creators/{id}", tag = "songs", params(("id" = i64, Path)),
    responses((status = 204), (status = 403, description = "It is somebody else."))
)]
async fn forget(
    State(catalog): State<Catalog>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    if id != caller.id {
        let detail = format_args!("Only user {id} can take their name off musics.");
        return Err(Problem::new(StatusCode::FORBIDDEN, "not-oneself", detail));
    }
    let musics = store::forget_creator(&catalog.db, id).await?;
    tracing::info!(user.id = id, "user {id} is no more the creator of {musics} musics");
    Ok(StatusCode::NO_CONTENT)
}
