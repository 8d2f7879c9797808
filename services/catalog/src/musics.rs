//! Songs one by one and in lists: routes.

mod form;
mod query;
mod read;
mod write;

use http::StatusCode;
use platform::{
    openapi::{OpenApiRouter, routes},
    problem::Problem,
};

use crate::Catalog;

pub(crate) fn router() -> OpenApiRouter<Catalog> {
    OpenApiRouter::new()
        .routes(routes!(read::list, write::create))
        .routes(routes!(read::batch))
        .routes(routes!(read::one, write::replace, write::change, write::remove))
}

fn not_found(id: i64) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "music-not-found", format_args!("There is no music {id}."))
}
