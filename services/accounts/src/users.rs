//! Signing up, and the names behind ids.

use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use http::StatusCode;
use platform::{
    extract::{Json, Query},
    identity::Caller,
    problem::{FieldError, Problem},
    storage::Error,
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use tokio::task::spawn_blocking;

use crate::{
    Accounts, meter, now, password,
    store::{self, NewUser},
    username::{Username, key},
};

/// How many names one call may ask for.
const MOST_NAMES: usize = 500;
const LONGEST_EMAIL: usize = 254;

pub(crate) fn router() -> Router<Accounts> {
    Router::new()
        .route("/users", post(sign_up))
        .route("/users/names", get(names))
        .route("/users/by-name", get(by_name))
}

/// Every field is optional here, so that all that is missing can be named at once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignUp {
    username: Option<String>,
    email: Option<String>,
    password: Option<String>,
    /// What answers contain and nobody can set.
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "favourite_musics")]
    _favourite_musics: Option<IgnoredAny>,
    #[serde(rename = "favourite_count")]
    _favourite_count: Option<IgnoredAny>,
}

/// A person, for themselves.
#[derive(Serialize)]
struct User {
    id: i64,
    username: String,
    email: String,
}

/// `POST /users`: 201 with the person; 400 with every mistake; 409 when somebody has the name.
async fn sign_up(
    State(accounts): State<Accounts>,
    Json(form): Json<SignUp>,
) -> Result<(StatusCode, Json<User>), Problem> {
    // The estimate of a password is work for a few milliseconds.
    let (username, email, password) =
        spawn_blocking(move || check(form)).await.map_err(Problem::internal)??;
    let password_hash = accounts.hashers.hash(password).await?;
    let user = NewUser {
        username: username.as_str(),
        key: &username.key(),
        email: &email,
        password_hash: &password_hash,
        now: now(),
    };
    let id = store::insert_user(&accounts.db, &user).await.map_err(|error| match error {
        Error::Unique(_) => {
            Problem::new(StatusCode::CONFLICT, "username-taken", "Somebody has this username.")
        }
        error => error.into(),
    })?;
    meter::signed_up();
    tracing::info!(user.id = id, "somebody signed up");
    let user = User { id, username: username.as_str().to_owned(), email };
    Ok((StatusCode::CREATED, Json(user)))
}

fn check(form: SignUp) -> Result<(Username, String, String), Problem> {
    let given = |value: Option<String>| value.unwrap_or_default();
    let (name, email) = (given(form.username), given(form.email).trim().to_owned());
    let password = given(form.password);
    let username = Username::parse(&name);
    let checked = [
        username.as_ref().err().cloned(),
        check_email(&email).err(),
        password::check(&password, &name, &email).err(),
    ];
    let errors: Vec<_> = checked.into_iter().flatten().collect();
    match username {
        Ok(username) if errors.is_empty() => Ok((username, email, password)),
        _ => Err(Problem::invalid(errors)),
    }
}

/// Only what cannot be an address is refused; whether it is one, only a letter to it could tell.
fn check_email(email: &str) -> Result<(), FieldError> {
    if email.chars().count() > LONGEST_EMAIL {
        let detail = "An email address has 254 characters at most.";
        return Err(FieldError::new("/email", detail).limit(LONGEST_EMAIL));
    }
    let sides = email.rsplit_once('@').is_some_and(|(who, at)| !who.is_empty() && !at.is_empty());
    if !sides || email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(FieldError::new("/email", "Give an email address such as ada@example.org."));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Ids {
    ids: String,
}

/// A name for others.
#[derive(Serialize)]
struct Name {
    id: i64,
    username: String,
}

impl From<(i64, String)> for Name {
    fn from((id, username): (i64, String)) -> Name {
        Name { id, username }
    }
}

/// `GET /users/names?ids=1,2,3`: the names of those that there are, 500 ids at most.
async fn names(
    State(accounts): State<Accounts>,
    _caller: Caller,
    Query(Ids { ids }): Query<Ids>,
) -> Result<Json<Vec<Name>>, Problem> {
    let wrong =
        |detail: &str| Problem::invalid(vec![FieldError::new("?ids", detail).limit(MOST_NAMES)]);
    let parsed: Result<Vec<i64>, _> = ids.split(',').map(|id| id.trim().parse()).collect();
    let parsed = parsed.map_err(|_| wrong("Give ids as numbers separated by commas."))?;
    if parsed.len() > MOST_NAMES {
        return Err(wrong("Ask for 500 names at most."));
    }
    // Numbers and commas between brackets are JSON.
    let list = parsed.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let names = store::names(&accounts.db, format!("[{list}]")).await?;
    Ok(Json(names.into_iter().map(Name::from).collect()))
}

#[derive(Deserialize)]
struct ByName {
    username: String,
}

/// `GET /users/by-name?username=x`: the person of that name in any spelling, else 404.
async fn by_name(
    State(accounts): State<Accounts>,
    _caller: Caller,
    Query(ByName { username }): Query<ByName>,
) -> Result<Json<Name>, Problem> {
    let found = store::user_by_key(&accounts.db, &key(&username)).await?;
    found.map(|found| Json(found.into())).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "user-not-found", "There is nobody of this name.")
    })
}
