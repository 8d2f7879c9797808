//! What becomes of songs when who added them goes: they stay and are nobody's.

use axum::{Router, extract::State, routing::delete};
use http::StatusCode;
use platform::{extract::Path, identity::Caller, problem::Problem};

use crate::{Catalog, store};

pub(crate) fn router() -> Router<Catalog> {
    Router::new().route("/creators/{id}", delete(forget))
}

/// `DELETE /creators/{id}`: takes the caller's name off all musics; 204, also when there was none. 403 for somebody else's.
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
