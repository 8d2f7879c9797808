//! The paths of the Django ancestor that mean two things: its clients keep working, and nothing behind this file knows of them.

use axum::{extract::State, response::Result};
use http::{HeaderMap, Method, StatusCode};
use platform::{
    extract::{self, Json, Path, Raw},
    openapi::{OpenApiRouter, routes},
    problem::Problem,
};
use resilience::Route;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Gateway, credentials::SignedIn};

const FAVOURITE: Route<1> = Route::new("/favourites/{music_id}");

pub(crate) fn router() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(add)).routes(routes!(remove))
}

/// The music, where the path has one's own id.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    #[schema(example = 7)]
    music: i64,
}

/// As the ancestor says it.
#[derive(Serialize, ToSchema)]
struct Done {
    #[schema(example = "Success: Favourite music added")]
    status: &'static str,
}

/// Keep a song
///
/// Without a body the path has the song's id; with one it has one's own. Keeping it again changes nothing.
#[utoipa::path(
    post, path = "/api/users/{id}/add_fav_music", tag = "favourites", params(("id" = i64, Path)), request_body = Option<Which>,
    responses(
        (status = 200, body = Done), (status = 403, description = "The path has somebody else's id."),
        (status = 404, description = "There is no such song.")
    )
)]
async fn add(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Path(id): Path<i64>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Json<Done>> {
    let music = music(&caller, id, &headers, &body)?;
    caller.vouch(gateway.wallet.call(Method::PUT, FAVOURITE.at([music]))).send().await?;
    Ok(Json(Done { status: "Success: Favourite music added" }))
}

/// Drop a song
///
/// Without a body the path has the song's id; with one it has one's own. Dropping it again changes nothing.
#[utoipa::path(
    delete, path = "/api/users/{id}/remove_fav_music", tag = "favourites", params(("id" = i64, Path)), request_body = Option<Which>,
    responses(
        (status = 200, body = Done), (status = 403, description = "The path has somebody else's id."),
        (status = 404, description = "There is no such song.")
    )
)]
async fn remove(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Path(id): Path<i64>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Json<Done>> {
    let music = music(&caller, id, &headers, &body)?;
    caller.vouch(gateway.wallet.call(Method::DELETE, FAVOURITE.at([music]))).send().await?;
    Ok(Json(Done { status: "Success: Favourite music removed" }))
}

/// Which music is meant.
fn music(caller: &SignedIn, id: i64, headers: &HeaderMap, body: &[u8]) -> Result<i64, Problem> {
    if body.is_empty() {
        return Ok(id);
    }
    let Some(Which { music }) = extract::json(headers, body)? else { return Ok(id) };
    if id != caller.id() {
        let detail = "With a body, the path has your own id, and the body the music's.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "not-self", detail));
    }
    Ok(music)
}
