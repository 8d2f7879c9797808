//! Changing and deleting one's own account.

use axum::extract::State;
use http::StatusCode;
use platform::{
    extract::{Json, Path},
    identity::{CREDENTIAL_ENDED, Caller},
    openapi::{OpenApiRouter, routes},
    problem::Problem,
    storage::Tx,
};
use secrecy::SecretString;
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::{
    Accounts, bodies,
    form::Form,
    meter, now,
    people::not_found,
    store::{self, Changes, User},
    username::Username,
    users::{Applicant, READ_ONLY, email, password, taken},
    via::Via,
};

pub(crate) fn router() -> OpenApiRouter<Accounts> {
    // Reading, `GET /users/{id}`, is in `people.rs`.
    OpenApiRouter::new().routes(routes!(replace, change, delete))
}

/// Give one's own account another name, email and password
///
/// All of them. All other sessions and tokens end. `id`, `favourite_musics` and `favourite_count` may be sent back and change nothing.
#[utoipa::path(
    put, path = "/users/{id}", tag = "people", params(("id" = i64, Path)), request_body = bodies::NewUser,
    responses(
        (status = 200, body = bodies::User), (status = 403, description = "It is somebody else."),
        (status = 404, description = "There is nobody with this id."),
        (status = 409, description = "Somebody has this username, or one that looks like it.")
    )
)]
async fn replace(
    State(accounts): State<Accounts>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(body): Json<Value>,
) -> Result<Json<User>, Problem> {
    edit(&accounts, &caller, id, body, true).await
}

/// Change some fields of one's own account
///
/// With another password all other sessions and tokens end. `id`, `favourite_musics` and `favourite_count` may be sent back and change
/// nothing.
#[utoipa::path(
    patch, path = "/users/{id}", tag = "people", params(("id" = i64, Path)), request_body = bodies::UserChange,
    responses(
        (status = 200, body = bodies::User), (status = 403, description = "It is somebody else."),
        (status = 404, description = "There is nobody with this id."),
        (status = 409, description = "Somebody has this username, or one that looks like it.")
    )
)]
async fn change(
    State(accounts): State<Accounts>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(body): Json<Value>,
) -> Result<Json<User>, Problem> {
    edit(&accounts, &caller, id, body, false).await
}

async fn edit(
    accounts: &Accounts,
    caller: &Caller,
    id: i64,
    body: Value,
    whole: bool,
) -> Result<Json<User>, Problem> {
    let current = own(accounts, caller, id).await?;
    let form = Form::new(body)?;
    let read = spawn_blocking(move || Change::read(form, whole, &current));
    let change = read.await.map_err(Problem::internal)??;
    let password_hash = match change.password {
        Some(password) => Some(accounts.hashers.hash(password).await?),
        None => None,
    };
    let via = Via::of(caller);
    let changes = Changes {
        username: change.username.as_ref().map(Username::as_str),
        key: change.username.as_ref().map(Username::key),
        looks: change.username.as_ref().map(Username::looks),
        email: change.email,
        password_hash: password_hash.as_deref(),
    };
    let mut tx = accounts.db.begin().await?;
    demand_standing(&mut tx, id, via).await?;
    let user = store::update_user(&mut tx, id, changes).await.map_err(taken)?;
    let user = user.ok_or_else(not_found)?;
    let mut ended = 0;
    if password_hash.is_some() {
        ended = store::end_others(&mut tx, id, via).await?;
    }
    tx.commit().await?;
    meter::sessions_ended(ended);
    tracing::info!("somebody changed their account");
    Ok(Json(user))
}

/// Delete one's own account
///
/// With its tokens and sessions.
#[utoipa::path(
    delete, path = "/users/{id}", tag = "people", params(("id" = i64, Path)),
    responses(
        (status = 204), (status = 403, description = "It is somebody else."),
        (status = 404, description = "There is nobody with this id.")
    )
)]
async fn delete(
    State(accounts): State<Accounts>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    own(&accounts, &caller, id).await?;
    let mut tx = accounts.db.begin().await?;
    demand_standing(&mut tx, id, Via::of(&caller)).await?;
    store::delete_user(&mut tx, id).await?;
    tx.commit().await?;
    tracing::info!("somebody deleted their account");
    Ok(StatusCode::NO_CONTENT)
}

/// The person `id`, who has to be the caller.
async fn own(accounts: &Accounts, caller: &Caller, id: i64) -> Result<User, Problem> {
    let user = store::user(&accounts.db, id).await?.ok_or_else(not_found)?;
    if caller.id == id {
        return Ok(user);
    }
    let detail = "Nobody but this person changes this account.";
    Err(Problem::new(StatusCode::FORBIDDEN, "not-self", detail))
}

/// 401 unless the credential of the caller still counts: an assertion outlives it by up to a minute, which must not be enough to make
/// oneself another one, or to take over the account of who has just ended it.
pub(crate) async fn demand_standing(tx: &mut Tx, user: i64, via: Via) -> Result<(), Problem> {
    if store::stands(tx, user, via, now()).await? {
        return Ok(());
    }
    let detail = "This credential does not count any more: it was revoked or has expired.";
    Err(Problem::new(StatusCode::UNAUTHORIZED, CREDENTIAL_ENDED, detail))
}

/// What is to be different, checked.
struct Change {
    username: Option<Username>,
    email: Option<String>,
    password: Option<SecretString>,
}

impl Change {
    /// Takes up to 20 ms; see [`password`].
    fn read(mut form: Form, whole: bool, current: &User) -> Result<Change, Problem> {
        if whole {
            let Applicant { username, email, password } = Applicant::read(form)?;
            return Ok(Change {
                username: Some(username),
                email: Some(email),
                password: Some(password),
            });
        }
        form.ignore(READ_ONLY);
        let username =
            if form.has("username") { form.text("username", Username::parse) } else { None };
        let email = if form.has("email") { form.text("email", email) } else { None };
        let password = if form.has("password") {
            let name = username.as_ref().map_or(&*current.username, Username::as_str);
            password(&mut form, name, email.as_deref().unwrap_or(&current.email))
        } else {
            None
        };
        form.finish(Some(Change { username, email, password }))
    }
}
