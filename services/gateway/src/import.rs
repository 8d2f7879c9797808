//! Many songs at once: the file is passed on while it arrives, never held here.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response, Result},
    routing::post,
};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use platform::service::RouteLimits;
use resilience::{Error, Route};

use crate::{Gateway, credentials::SignedIn};

const PATH: &str = "/api/musics/import";
const IMPORT: Route<0> = Route::new("/musics/import");

/// An import may be as large as the catalog takes it, and take as long.
pub(crate) const LIMITS: (&str, RouteLimits) = (
    PATH,
    RouteLimits {
        body: 32 << 20,
        deadline: Duration::from_secs(120),
        body_deadline: Duration::from_secs(120),
    },
);

pub(crate) fn router() -> Router<Gateway> {
    Router::new().route(PATH, post(import))
}

/// `POST /api/musics/import`, a CSV file: 200 with what became of each row; 503 when the catalog stops meanwhile. Repeating it changes nothing.
async fn import(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let mut call = caller.vouch(gateway.catalog.post(IMPORT));
    if let Some(kind) = headers.get(CONTENT_TYPE) {
        call = call.header(CONTENT_TYPE, kind.clone());
    }
    let answer = match call.forward(body.into_data_stream()).await {
        Ok(answer) => answer,
        // It says how much is done, and that sending the file again resumes. The catalog has logged why.
        Err(Error::Refused { refusal, .. })
            if refusal.status == StatusCode::SERVICE_UNAVAILABLE =>
        {
            return Ok(refusal.into_response());
        }
        Err(error) => return Err(error.into()),
    };
    let (parts, body) = answer.into_parts();
    let mut response = (parts.status, Body::new(body)).into_response();
    if let Some(kind) = parts.headers.get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    Ok(response)
}
