//! What the gateway asks for each request: whose credential is this? The answer is an assertion that the other services believe.

use axum::{Router, extract::State, routing::post};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use platform::{extract::Json, problem::Problem};
use serde::{Deserialize, Serialize};

use crate::{Accounts, meter, now, store, token, tokens::authenticate};

/// A token's use is noted once in so many milliseconds, so that reading does not become writing.
const NOTED: i64 = 60_000;

pub(crate) fn router() -> Router<Accounts> {
    Router::new().route("/credentials/exchange", post(exchange))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credential {
    /// The public `Authorization` header as it came.
    authorization: String,
}

#[derive(Serialize)]
struct Exchanged {
    assertion: String,
    user: User,
}

#[derive(Serialize)]
struct User {
    id: i64,
    username: String,
}

/// `POST /credentials/exchange`: 200 with an assertion of a minute; 401 for a credential that nobody has.
async fn exchange(
    State(accounts): State<Accounts>,
    Json(Credential { authorization }): Json<Credential>,
) -> Result<Json<Exchanged>, Problem> {
    let (scheme, credential) = authorization.trim().split_once(' ').unwrap_or_default();
    let credential = credential.trim();
    let (scheme, found) = match scheme.to_ascii_lowercase().as_str() {
        "token" | "bearer" => ("token", by_token(&accounts, credential).await),
        "basic" => ("basic", by_password(&accounts, credential).await),
        _ => ("other", Err(refused("Sign in with Token, Bearer or Basic."))),
    };
    let result = match &found {
        Ok(_) => "success",
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => "refused",
        Err(_) => "error",
    };
    meter::exchanged(scheme, result);
    let (id, username) = found?;
    let assertion = accounts.signer.sign(id, &username).map_err(Problem::internal)?;
    Ok(Json(Exchanged { assertion, user: User { id, username } }))
}

async fn by_token(accounts: &Accounts, credential: &str) -> Result<(i64, String), Problem> {
    let unknown = || refused("This token is not valid: it is mistyped, revoked or has expired.");
    let hash = token::hash(credential).ok_or_else(unknown)?;
    let now = now();
    let found = store::token(&accounts.db, hash, now).await?;
    let (token, user, username, last_used) = found.ok_or_else(unknown)?;
    if now - last_used >= NOTED {
        store::touch_token(&accounts.db, token, now).await?;
    }
    Ok((user, username))
}

async fn by_password(accounts: &Accounts, credential: &str) -> Result<(i64, String), Problem> {
    let decoded = STANDARD.decode(credential).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (username, password) = decoded
        .as_deref()
        .and_then(|text| text.split_once(':'))
        .ok_or_else(|| refused("Basic wants base64 of username:password in UTF-8."))?;
    authenticate(accounts, username, password.to_owned()).await
}

fn refused(detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "invalid-credentials", detail)
}
