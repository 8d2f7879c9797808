//! Browser sessions: a password for a secret that the gateway puts into a cookie.

use axum::{
    Router,
    extract::State,
    routing::{delete, post},
};
use http::StatusCode;
use platform::{extract::Json, identity::Caller, problem::Problem, storage::Tx};
use serde::Serialize;
use serde_json::Value;

use crate::{
    Accounts,
    client::Client,
    meter, now, rfc3339,
    secret::Secret,
    sign_in::{authenticate, name_and_password, wrong},
    store::{self, NewSession, Person},
    via::Via,
};

/// So long a session lasts without use, in milliseconds.
pub(crate) const IDLE: i64 = 30 * 60 * 1000;
/// So long it lasts at all.
const LIFETIME: i64 = 12 * 60 * 60 * 1000;
/// So long a device is known after its last sign-in: as long as a token counts.
const KNOWN: i64 = 90 * 24 * 60 * 60 * 1000;
/// Sessions, and known devices, per person.
const MOST: i64 = 20;

pub(crate) fn router() -> Router<Accounts> {
    Router::new().route("/sessions", post(begin)).route("/sessions/current", delete(end))
}

/// A session, for the browser of its owner.
#[derive(Serialize)]
struct Begun {
    session: String,
    #[serde(serialize_with = "rfc3339")]
    expires_at: i64,
    user: Person,
    device: String,
}

/// `POST /sessions`: 201 with a new session of 12 hours, half an hour without use; else as signing in for a token. `device` is a secret
/// that makes this browser known: shown as `x-device` at the next sign-in, it has failures of its own.
async fn begin(
    State(accounts): State<Accounts>,
    client: Client,
    Json(body): Json<Value>,
) -> Result<(StatusCode, Json<Begun>), Problem> {
    let (username, password) = name_and_password(body)?;
    let proven = authenticate(&accounts, &username, password, &client).await?;
    let user = proven.person;
    let session = Secret::generate().map_err(Problem::internal)?;
    let now = now();
    let expires_at = now + LIFETIME;
    let mut tx = accounts.db.begin().await?;
    if !store::still_proven(&mut tx, user.id, &proven.password_hash).await? {
        return Err(wrong());
    }
    let known = proven.device.zip(client.device);
    let (device_id, device) = know(&mut tx, user.id, known, now).await?;
    let new =
        NewSession { user: user.id, device: device_id, hash: session.hash(), now, expires_at };
    store::insert_session(&mut tx, new).await?;
    store::drop_sessions(&mut tx, user.id, now, now - IDLE, MOST).await?;
    tx.commit().await?;
    meter::session_started();
    tracing::info!("somebody signed in");
    let (session, device) = (session.expose().to_owned(), device.expose().to_owned());
    Ok((StatusCode::CREATED, Json(Begun { session, expires_at, user, device })))
}

/// Keeps the device that is known, or makes one known.
async fn know(
    tx: &mut Tx,
    user: i64,
    known: Option<(i64, Secret)>,
    now: i64,
) -> Result<(i64, Secret), Problem> {
    let until = now + KNOWN;
    if let Some((id, secret)) = known
        && store::renew_device(tx, id, now, until).await?
    {
        return Ok((id, secret));
    }
    let secret = Secret::generate().map_err(Problem::internal)?;
    let id = store::insert_device(tx, user, secret.hash(), now, until).await?;
    store::drop_devices(tx, user, now, MOST).await?;
    Ok((id, secret))
}

/// `DELETE /sessions/current`: 204 when the session by which the caller came is no more; 404 for who came by another credential.
async fn end(State(accounts): State<Accounts>, caller: Caller) -> Result<StatusCode, Problem> {
    let Via::Session(id) = Via::of(&caller) else {
        let detail = "You did not sign in with a session, so there is none to end.";
        return Err(Problem::new(StatusCode::NOT_FOUND, "session-not-found", detail));
    };
    meter::sessions_ended(store::delete_session(&accounts.db, id, caller.id).await?);
    Ok(StatusCode::NO_CONTENT)
}
