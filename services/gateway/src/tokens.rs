//! One's own tokens: which there are, a new one with a name, and their end.

use axum::{
    extract::State,
    response::{Response, Result},
};
use http::{HeaderMap, Method, StatusCode};
use platform::{
    extract::{Path, Raw},
    openapi::{OpenApiRouter, routes},
};
use resilience::Route;

use crate::{
    Gateway,
    accounts::{passed_on, with_body},
    bodies::{MadeToken, NewToken, Token},
    credentials::SignedIn,
};

const TOKENS: Route<0> = Route::new("/tokens");
const TOKEN: Route<1> = Route::new("/tokens/{id}");

pub(crate) fn router() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// One's own tokens, without their secrets
#[utoipa::path(get, path = "/api/tokens", tag = "signing in", responses((status = 200, body = Vec<Token>)))]
async fn list(State(gateway): State<Gateway>, caller: SignedIn) -> Result<Response> {
    Ok(passed_on(caller.vouch(gateway.accounts.get(TOKENS)).send().await?))
}

/// Make a token
///
/// It is shown this once. 90 days; 20 per person at most, the longest unused goes first.
#[utoipa::path(
    post, path = "/api/tokens", tag = "signing in", request_body = NewToken, responses((status = 201, body = MadeToken))
)]
async fn create(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    let call = caller.vouch(gateway.accounts.post(TOKENS));
    Ok(passed_on(with_body(call, &headers, body).send().await?))
}

/// Revoke a token
///
/// It stops counting within a second.
#[utoipa::path(
    delete, path = "/api/tokens/{id}", tag = "signing in", params(("id" = i64, Path)),
    responses((status = 204), (status = 404, description = "One has no such token."))
)]
async fn revoke(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    caller.vouch(gateway.accounts.call(Method::DELETE, TOKEN.at([id]))).send().await?;
    Ok(StatusCode::NO_CONTENT)
}
