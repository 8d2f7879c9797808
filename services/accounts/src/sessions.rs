//! Browser sessions: a password for a secret that the gateway puts into a cookie.

use axum::extract::State;
use http::StatusCode;
use platform::{
    extract::Json,
    identity::Caller,
    openapi::{OpenApiRouter, routes},
    problem::Problem,
    storage::Tx,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    Accounts, bodies,
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

pub(crate) fn router() -> OpenApiRouter<Accounts> {
    OpenApiRouter::new().routes(routes!(begin)).routes(routes!(end))
}

/// A session, for the browser of its owner.
#[derive(Serialize, ToSchema)]
struct Begun {
    /// Its secret: 256 bits as base64url.
    #[schema(
        min_length = 43,
        max_length = 43,
        pattern = "^[0-9A-Za-z_-]{43}$",
        example = "q7oV3n0mJ1c8Xw5kT2b9Yd4fG6hL0sR3uP7zA1eN5iE"
    )]
    session: String,
    #[schema(value_type = String, format = DateTime, example = "2026-02-03T16:05:06.789Z")]
    #[serde(serialize_with = "rfc3339")]
    expires_at: i64,
    #[schema(value_type = bodies::Person)]
    user: Person,
    /// A secret that makes this browser known: shown as `x-device` at the next sign-in, it has failures of its own.
    #[schema(
        min_length = 43,
        max_length = 43,
        pattern = "^[0-9A-Za-z_-]{43}$",
        example = "q7oV3n0mJ1c8Xw5kT2b9Yd4fG6hL0sR3uP7zA1eN5iE"
    )]
    device: String,
}

/// A new browser session for a name and a password
///
/// 12 hours, half an hour without use; 20 per person at most, the longest unused goes first.
#[utoipa::path(
    post, path = "/sessions", tag = "signing in", security(()), params(Client), request_body = bodies::SignIn,
    responses((status = 201, body = Begun), (status = 401, description = "The name or the password is wrong."))
)]
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

/// End the session by which the caller came
#[utoipa::path(
    delete, path = "/sessions/current", tag = "signing in",
    responses((status = 204), (status = 404, description = "They came by another credential."))
)]
async fn end(State(accounts): State<Accounts>, caller: Caller) -> Result<StatusCode, Problem> {
    let Via::Session(id) = Via::of(&caller) else {
        let detail = "You did not sign in with a session, so there is none to end.";
        return Err(Problem::new(StatusCode::NOT_FOUND, "session-not-found", detail));
    };
    meter::sessions_ended(store::delete_session(&accounts.db, id, caller.id).await?);
    Ok(StatusCode::NO_CONTENT)
}
