//! What the gateway asks for each request: whose credential is this? The answer is an assertion that the other services believe.

use std::time::Duration;

use axum::extract::State;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use platform::{
    extract::Json,
    openapi::{OpenApiRouter, routes},
    problem::Problem,
};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::{
    Accounts, bodies,
    client::Client,
    form::Form,
    meter, now,
    secret::Secret,
    sessions::IDLE,
    sign_in::{authenticate, result},
    store::{self, Person, Use},
    token::Token,
    via::Via,
};

/// The use of a token or a session is noted once in so many milliseconds, so that reading does not become writing.
const NOTED: i64 = 60_000;
/// How long a request waits for that note. The statement goes on by itself.
const NOTING: Duration = Duration::from_millis(250);

pub(crate) fn router() -> OpenApiRouter<Accounts> {
    OpenApiRouter::new().routes(routes!(exchange))
}

/// Who it is, in a form that others can check and in one that the gateway can read.
#[derive(Serialize, ToSchema)]
struct Exchanged {
    /// A JWT of a minute, for `Authorization: Bearer`.
    #[schema(example = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl")]
    assertion: String,
    #[schema(value_type = bodies::Person)]
    user: Person,
}

/// An assertion for a public credential
///
/// Of a minute. Passwords can be refused for a while after failures (429); tokens and sessions never are.
#[utoipa::path(
    post, path = "/credentials/exchange", tag = "credentials", security(()), params(Client), request_body = bodies::Credential,
    responses(
        (status = 200, body = Exchanged),
        (status = 401, description = "Nobody has this credential any more, or its owner is locked.")
    )
)]
async fn exchange(
    State(accounts): State<Accounts>,
    client: Client,
    Json(body): Json<Value>,
) -> Result<Json<Exchanged>, Problem> {
    let mut form = Form::new(body)?;
    let by_cookie = form.has("session");
    let given = form.secret(if by_cookie { "session" } else { "authorization" });
    let given = form.finish(given)?;
    let given = given.expose_secret().trim();
    let (scheme, found) = match given.split_once(' ') {
        _ if by_cookie => ("session", by_session(&accounts, given).await),
        Some((scheme, credential)) if is(scheme, &["token", "bearer"]) => {
            ("token", by_token(&accounts, credential.trim()).await)
        }
        Some((scheme, credential)) if is(scheme, &["basic"]) => {
            ("basic", by_password(&accounts, credential.trim(), &client).await)
        }
        _ => ("other", Err(refused("The credential has to be Token, Bearer or Basic."))),
    };
    meter::exchanged(scheme, result(&found));
    let (user, via) = found?;
    let assertion = accounts.signer.sign_via(user.id, &user.username, &via.to_string());
    Ok(Json(Exchanged { assertion: assertion.map_err(Problem::internal)?, user }))
}

fn is(scheme: &str, names: &[&str]) -> bool {
    names.iter().any(|name| scheme.eq_ignore_ascii_case(name))
}

async fn by_token(accounts: &Accounts, credential: &str) -> Result<(Person, Via), Problem> {
    let unknown = || refused("This token is not valid: it is mistyped, revoked or has expired.");
    let token = Token::parse(credential).ok_or_else(unknown)?;
    let now = now();
    let found = store::token(&accounts.db, token.hash(), now).await?;
    let used = found.ok_or_else(unknown)?;
    note(accounts, &used, now).await;
    Ok((used.person, used.via))
}

async fn by_session(accounts: &Accounts, secret: &str) -> Result<(Person, Via), Problem> {
    let unknown = || refused("This session is over. Sign in again.");
    let secret = Secret::parse(secret).ok_or_else(unknown)?;
    let now = now();
    let found = store::session(&accounts.db, secret.hash(), now, now - IDLE).await?;
    let used = found.ok_or_else(unknown)?;
    note(accounts, &used, now).await;
    Ok((used.person, used.via))
}

/// Notes the use, if the last note is old enough.
async fn note(accounts: &Accounts, used: &Use, now: i64) {
    if now - used.last_used_at < NOTED {
        return;
    }
    let note = store::note_use(&accounts.db, used.via, now, now - NOTED);
    // Whoever the credential proves is no less proven because the note has to wait.
    if !matches!(timeout(NOTING, note).await, Ok(Ok(()))) {
        tracing::warn!("the use of a credential was not noted in time");
    }
}

async fn by_password(
    accounts: &Accounts,
    credential: &str,
    client: &Client,
) -> Result<(Person, Via), Problem> {
    let malformed = || refused("Basic needs username:password in UTF-8 as base64.");
    let decoded = STANDARD.decode(credential).map_err(|_| malformed())?;
    let decoded = String::from_utf8(decoded).map_err(|_| malformed())?;
    let (username, password) = decoded.split_once(':').ok_or_else(malformed)?;
    let proven = authenticate(accounts, username, password.into(), client).await?;
    Ok((proven.person, Via::Basic))
}

fn refused(detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "invalid-credentials", detail)
}
