//! Signing up and in; nobody has to be signed in for that.

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response, Result},
    routing::post,
};
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use platform::extract::Raw;
use resilience::{Call, Limits, Route};

use crate::Gateway;

const USERS: Route<0> = Route::new("/users");
const TOKEN: Route<0> = Route::new("/api-token-auth");

pub(crate) fn router() -> Router<Gateway> {
    Router::new().route("/api/users", post(sign_up)).route("/api-token-auth", post(sign_in))
}

/// `POST /api/users/` {username, email, password}: 201 with the person; 400 with every mistake; 409 when the name is taken.
async fn sign_up(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    pass_on(gateway.accounts.post(USERS), &headers, body).await
}

/// `POST /api-token-auth/` {username, password}: 200 {"token"}, a new one each time; 401 when one of them is wrong.
async fn sign_in(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    pass_on(gateway.accounts.post(TOKEN), &headers, body).await
}

/// Accounts checks the body; what it says about it is meant for whom it came from.
async fn pass_on(call: Call<'_>, headers: &HeaderMap, body: Bytes) -> Result<Response> {
    let answer = with_body(call, headers, body).limits(Limits::SIGN_IN).send().await?;
    let kind = answer.headers.get(CONTENT_TYPE).cloned();
    let mut response = (answer.status, answer.body).into_response();
    if let Some(kind) = kind {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    Ok(response)
}

/// `call` with a body and the type that its sender gave it.
pub(crate) fn with_body<'a>(call: Call<'a>, headers: &HeaderMap, body: Bytes) -> Call<'a> {
    let call = call.body(body);
    match headers.get(CONTENT_TYPE) {
        Some(kind) => call.header(CONTENT_TYPE, kind.clone()),
        None => call,
    }
}
