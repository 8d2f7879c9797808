//! Signing in: a password for a token.

use axum::{Router, extract::State, routing::post};
use http::StatusCode;
use platform::{
    extract::Json,
    problem::{FieldError, Problem},
};
use serde::{Deserialize, Serialize};

use crate::{Accounts, meter, now, store, token, username};

/// 90 days in milliseconds.
const LIFETIME: i64 = 90 * 24 * 60 * 60 * 1000;
/// Tokens per person.
const MOST: i64 = 20;
/// No password that can be right is longer, and a longer one costs its hashing.
const LONGEST_PASSWORD: usize = 128;

pub(crate) fn router() -> Router<Accounts> {
    Router::new().route("/api-token-auth", post(sign_in))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    username: Option<String>,
    password: Option<String>,
}

#[derive(Serialize)]
struct Token {
    token: String,
}

/// `POST /api-token-auth`: 200 with a new token of 90 days; 401 when name or password is wrong, which of them is not told.
async fn sign_in(
    State(accounts): State<Accounts>,
    Json(credentials): Json<Credentials>,
) -> Result<Json<Token>, Problem> {
    let missing = |field: &Option<String>, pointer: &str| {
        field.is_none().then(|| FieldError::new(pointer, "This field is required."))
    };
    let errors =
        [missing(&credentials.username, "/username"), missing(&credentials.password, "/password")];
    let errors: Vec<_> = errors.into_iter().flatten().collect();
    let (Some(username), Some(password)) = (credentials.username, credentials.password) else {
        return Err(Problem::invalid(errors));
    };
    let (user, _) = authenticate(&accounts, &username, password).await?;
    let token = token::generate().map_err(Problem::internal)?;
    let hash = token::hash(&token).unwrap_or_default(); // our own tokens have a hash
    let now = now();
    let mut tx = accounts.db.begin().await?;
    store::insert_token(&mut tx, user, hash, now, now + LIFETIME, MOST).await?;
    tx.commit().await?;
    tracing::info!(user.id = user, "somebody signed in");
    Ok(Json(Token { token }))
}

/// Id and username of whom name and password prove; 401 for a wrong name and a wrong password alike, after the same work.
pub(crate) async fn authenticate(
    accounts: &Accounts,
    username: &str,
    password: String,
) -> Result<(i64, String), Problem> {
    let found = store::credentials(&accounts.db, &username::key(username)).await?;
    let hash = found.as_ref().map(|(_, _, hash)| hash.clone());
    let fits = password.chars().count() <= LONGEST_PASSWORD;
    let right = fits
        && accounts
            .hashers
            .verify(password, hash)
            .await
            .inspect_err(|_| meter::signed_in("busy"))?;
    match found {
        Some((id, username, _)) if right => {
            meter::signed_in("success");
            Ok((id, username))
        }
        _ => {
            meter::signed_in("refused");
            let detail = "The username or the password is wrong.";
            Err(Problem::new(StatusCode::UNAUTHORIZED, "invalid-credentials", detail))
        }
    }
}
