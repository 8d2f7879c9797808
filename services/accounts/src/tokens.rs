//! Signing in: a password for a token.

use axum::{Router, extract::State, routing::post};
use http::StatusCode;
use platform::{extract::Json, problem::Problem};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;

use crate::{
    Accounts,
    form::Form,
    hashing::Verdict,
    meter, now, password,
    store::{self, Credentials, Person},
    token::Token,
    username::Username,
};

/// 90 days in milliseconds.
const LIFETIME: i64 = 90 * 24 * 60 * 60 * 1000;
/// Tokens per person.
const MOST: i64 = 20;

pub(crate) fn router() -> Router<Accounts> {
    Router::new().route("/api-token-auth", post(sign_in))
}

/// A token, for its owner.
#[derive(Serialize)]
struct Issued {
    token: String,
}

/// `POST /api-token-auth`: 200 with a new token of 90 days; 401 when name or password is wrong, which of them is not told.
async fn sign_in(
    State(accounts): State<Accounts>,
    Json(body): Json<Value>,
) -> Result<Json<Issued>, Problem> {
    let mut form = Form::new(body)?;
    let username = form.text("username", |name| Ok(name.to_owned()));
    let given = username.zip(form.secret("password"));
    let (username, password) = form.finish(given)?;
    let person = authenticate(&accounts, &username, password).await?;
    let token = Token::generate().map_err(Problem::internal)?;
    let now = now();
    let mut tx = accounts.db.begin().await?;
    store::insert_token(&mut tx, person.id, token.hash(), now, now + LIFETIME).await?;
    store::drop_tokens(&mut tx, person.id, now, MOST).await?;
    tx.commit().await?;
    tracing::info!("somebody signed in");
    Ok(Json(Issued { token: token.expose().to_owned() }))
}

/// Who it is that name and password prove; 401 for a wrong name and a wrong password alike, after the same work.
pub(crate) async fn authenticate(
    accounts: &Accounts,
    username: &str,
    password: SecretString,
) -> Result<Person, Problem> {
    let outcome = check(accounts, username, password).await;
    meter::signed_in(result(&outcome));
    outcome
}

/// What became of a credential, as metrics have it.
pub(crate) fn result<T>(outcome: &Result<T, Problem>) -> &'static str {
    match outcome.as_ref().map_err(Problem::status) {
        Ok(_) => "success",
        Err(StatusCode::UNAUTHORIZED) => "refused",
        Err(StatusCode::SERVICE_UNAVAILABLE) => "busy",
        Err(_) => "error",
    }
}

async fn check(
    accounts: &Accounts,
    username: &str,
    password: SecretString,
) -> Result<Person, Problem> {
    let wrong = || {
        let detail = "The username or the password is wrong.";
        Problem::new(StatusCode::UNAUTHORIZED, "invalid-credentials", detail)
    };
    if password.expose_secret().chars().count() > password::LONGEST {
        return Err(wrong()); // nobody's, whoever is asked for
    }
    // A name that nobody can have is looked for, too, and takes as long.
    let key = Username::parse(username).map_or_else(|_| String::new(), |name| name.key());
    let (person, stored) = match store::credentials(&accounts.db, &key).await? {
        Some(Credentials { person, password_hash }) => (Some(person), Some(password_hash)),
        None => (None, None),
    };
    let verdict = accounts.hashers.verify(password, stored.clone()).await?;
    match (person, verdict) {
        (None, _) | (_, Verdict::Wrong) => Err(wrong()),
        (Some(person), Verdict::Right) => Ok(person),
        (Some(person), Verdict::Renewed(new)) => {
            let old = stored.unwrap_or_default();
            store::renew_password_hash(&accounts.db, person.id, &old, &new).await?;
            Ok(person)
        }
    }
}
