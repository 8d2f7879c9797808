//! What the gateway asks for each request: whose credential is this? The answer is an assertion that the other services believe.

use std::time::Duration;

use axum::{Router, extract::State, routing::post};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use platform::{extract::Json, problem::Problem};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    Accounts,
    form::Form,
    meter, now,
    store::{self, Person, Use},
    token::Token,
    tokens::{authenticate, result},
};

/// A token's use is noted once in so many milliseconds, so that reading does not become writing.
const NOTED: i64 = 60_000;
/// How long a request waits for that note. The statement goes on by itself.
const NOTING: Duration = Duration::from_millis(250);

pub(crate) fn router() -> Router<Accounts> {
    Router::new().route("/credentials/exchange", post(exchange))
}

/// Who it is, in a form that others can check and in one that the gateway can read.
#[derive(Serialize)]
struct Exchanged {
    assertion: String,
    user: Person,
}

/// `POST /credentials/exchange`, whose body has the public `Authorization` header as it came: 200 with an assertion of a minute; 401 for
/// a credential that nobody has.
async fn exchange(
    State(accounts): State<Accounts>,
    Json(body): Json<Value>,
) -> Result<Json<Exchanged>, Problem> {
    let mut form = Form::new(body)?;
    let header = form.secret("authorization");
    let header = form.finish(header)?;
    let (scheme, credential) = header.expose_secret().trim().split_once(' ').unwrap_or_default();
    let credential = credential.trim();
    let (scheme, found) = match scheme.to_ascii_lowercase().as_str() {
        "token" | "bearer" => ("token", by_token(&accounts, credential).await),
        "basic" => ("basic", by_password(&accounts, credential).await),
        _ => ("other", Err(refused("The credential has to be Token, Bearer or Basic."))),
    };
    meter::exchanged(scheme, result(&found));
    let user = found?;
    let assertion = accounts.signer.sign(user.id, &user.username).map_err(Problem::internal)?;
    Ok(Json(Exchanged { assertion, user }))
}

async fn by_token(accounts: &Accounts, credential: &str) -> Result<Person, Problem> {
    let unknown = || refused("This token is not valid: it is mistyped, revoked or has expired.");
    let token = Token::parse(credential).ok_or_else(unknown)?;
    let now = now();
    let found = store::token(&accounts.db, token.hash(), now).await?;
    let Use { person, token, last_used_at } = found.ok_or_else(unknown)?;
    if now - last_used_at >= NOTED {
        let note = store::note_use(&accounts.db, token, now, now - NOTED);
        // Whoever the token proves is no less proven because the note has to wait.
        if !matches!(timeout(NOTING, note).await, Ok(Ok(()))) {
            tracing::warn!("the use of a token was not noted in time");
        }
    }
    Ok(person)
}

async fn by_password(accounts: &Accounts, credential: &str) -> Result<Person, Problem> {
    let malformed = || refused("Basic needs username:password in UTF-8 as base64.");
    let decoded = STANDARD.decode(credential).map_err(|_| malformed())?;
    let decoded = String::from_utf8(decoded).map_err(|_| malformed())?;
    let (username, password) = decoded.split_once(':').ok_or_else(malformed)?;
    authenticate(accounts, username, password.into()).await
}

fn refused(detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "invalid-credentials", detail)
}
