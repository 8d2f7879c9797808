//! Signing up, and tokens for a name and a password; nobody has to be signed in for that.

use axum::{
    extract::State,
    response::{IntoResponse, Response, Result},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use platform::{
    extract::{Json, Raw},
    openapi::{OpenApiRouter, routes},
};
use resilience::{Answer, Call, Limits, Route};

use crate::{
    Gateway,
    bodies::{Issued, NewUser, SignIn},
    client::ClientAddress,
    users::User,
};

const USERS: Route<0> = Route::new("/users");
const TOKEN: Route<0> = Route::new("/api-token-auth");

pub(crate) fn router() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(sign_up)).routes(routes!(sign_in))
}

/// Sign up
#[utoipa::path(
    post, path = "/api/users", tag = "people", request_body = NewUser, security(()),
    responses(
        (status = 201, body = User),
        (status = 409, description = "Somebody has this username, or one that looks like it.")
    )
)]
async fn sign_up(
    State(gateway): State<Gateway>,
    client: ClientAddress,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    let call = client.tell(gateway.accounts.post(USERS), &headers);
    let answer = with_body(call, &headers, body).limits(Limits::SIGN_IN).send().await?;
    let user = User::who_keeps_nothing(answer.json()?);
    Ok((StatusCode::CREATED, Json(user)).into_response())
}

/// A new token for a name and a password
///
/// 90 days; 20 per person at most, the longest unused goes first.
#[utoipa::path(
    post, path = "/api-token-auth", tag = "signing in", request_body = SignIn, security(()),
    responses((status = 200, body = Issued), (status = 401, description = "The name or the password is wrong."))
)]
async fn sign_in(
    State(gateway): State<Gateway>,
    client: ClientAddress,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    let call = client.tell(gateway.accounts.post(TOKEN), &headers);
    Ok(passed_on(with_body(call, &headers, body).limits(Limits::SIGN_IN).send().await?))
}

/// An answer as it came: what accounts says is meant for whom it came from.
pub(crate) fn passed_on(answer: Answer) -> Response {
    let kind = answer.headers.get(CONTENT_TYPE).cloned();
    let mut response = (answer.status, answer.body).into_response();
    if let Some(kind) = kind {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}

/// `call` with a body and the type that its sender gave it.
pub(crate) fn with_body<'a>(call: Call<'a>, headers: &HeaderMap, body: Bytes) -> Call<'a> {
    let call = call.body(body);
    match headers.get(CONTENT_TYPE) {
        Some(kind) => call.header(CONTENT_TYPE, kind.clone()),
        None => call,
    }
}
