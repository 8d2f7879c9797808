//! Many songs at once: the file is passed on while it arrives, never held here.

use std::time::Duration;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response, Result},
};
use http::{HeaderMap, header::CONTENT_TYPE};
use platform::{
    openapi::{OpenApiRouter, routes},
    service::RouteLimits,
};
use resilience::{Call, Route};

use crate::{Gateway, bodies::Report, credentials::SignedIn};

const CATALOG: Route<0> = Route::new("/musics/import");
const WALLET: Route<0> = Route::new("/import");

/// An import may be as large as the services behind take it, and take as long.
const LIMITS: RouteLimits = RouteLimits {
    body: 32 << 20,
    deadline: Duration::from_secs(120),
    body_deadline: Duration::from_secs(120),
};
/// For both routes.
pub(crate) const OVERRIDES: [(&str, RouteLimits); 2] =
    [("/api/musics/import", LIMITS), ("/api/import", LIMITS)];

pub(crate) fn router() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(musics)).routes(routes!(library))
}

/// Add many songs to the catalog
///
/// A CSV file of 32 MiB and 100,000 rows at most, in UTF-8. Repeating it changes nothing; one that was cut off resumes.
#[utoipa::path(
    post, path = "/api/musics/import", tag = "songs",
    request_body(content = String, content_type = "text/csv", example = "title,artist,album,genre,duration_ms\nPaper Lanterns,The Tin Orchard,,,3:34\n"),
    responses((status = 200, body = Report))
)]
async fn musics(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    pass_on(caller.vouch(gateway.catalog.post(CATALOG)), &headers, body).await
}

/// Bring one's library along
///
/// A CSV file of 32 MiB and 100,000 rows at most, in UTF-8, as common exporters write it. Songs that the catalog has not are added to it.
/// Repeating it changes nothing; one that was cut off resumes.
#[utoipa::path(
    post, path = "/api/import", tag = "favourites",
    request_body(content = String, content_type = "text/csv", example = "Track Name,Artist Name(s)\nPaper Lanterns,The Tin Orchard\n"),
    responses((status = 200, body = Report))
)]
async fn library(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    pass_on(caller.vouch(gateway.wallet.post(WALLET)), &headers, body).await
}

async fn pass_on(mut call: Call<'_>, headers: &HeaderMap, body: Body) -> Result<Response> {
    if let Some(kind) = headers.get(CONTENT_TYPE) {
        call = call.header(CONTENT_TYPE, kind.clone());
    }
    let (parts, body) = call.forward(body.into_data_stream()).await?.into_parts();
    let mut response = (parts.status, Body::new(body)).into_response();
    if let Some(kind) = parts.headers.get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    Ok(response)
}
