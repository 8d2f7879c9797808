//! Songs one by one and in lists: routes.

mod form;
mod query;
mod read;
mod write;

use axum::{Router, routing::get};
use http::StatusCode;
use platform::problem::Problem;

use crate::Catalog;

pub(crate) fn router() -> Router<Catalog> {
    Router::new()
        .route("/musics", get(read::list).post(write::create))
        .route("/musics/batch", get(read::batch))
        .route(
            "/musics/{id}",
            get(read::one).put(write::replace).patch(write::change).delete(write::remove),
        )
}

fn not_found(id: i64) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "music-not-found", format_args!("There is no music {id}."))
}
