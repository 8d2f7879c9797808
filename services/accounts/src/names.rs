//! The names behind ids, and the ids behind names, for services that show or filter by them.

use axum::{Router, extract::State, routing::get};
use http::StatusCode;
use platform::{
    extract::{Json, Query},
    identity::Caller,
    problem::{FieldError, Problem},
};
use serde::Deserialize;

use crate::{
    Accounts,
    store::{self, Person},
    username::Username,
};

/// How many names one call may ask for.
const MOST: usize = 500;

pub(crate) fn router() -> Router<Accounts> {
    Router::new().route("/users/names", get(by_ids)).route("/users/by-name", get(by_name))
}

#[derive(Deserialize)]
struct Ids {
    ids: String,
}

/// `GET /users/names?ids=1,2,3`: the names of those that there are, by id.
async fn by_ids(
    State(accounts): State<Accounts>,
    _: Caller,
    Query(Ids { ids }): Query<Ids>,
) -> Result<Json<Vec<Person>>, Problem> {
    let wrong = |detail: &str| FieldError::new("?ids", detail);
    if ids.split(',').count() > MOST {
        return Err(Problem::invalid(vec![wrong("may have 500 ids at most").limit(MOST)]));
    }
    let ids: Result<Vec<i64>, _> = ids.split(',').map(str::parse).collect();
    let not_ids = |_| Problem::invalid(vec![wrong("has to be whole numbers divided by commas")]);
    // A list of numbers cannot fail to serialise.
    let ids = serde_json::to_string(&ids.map_err(not_ids)?).map_err(Problem::internal)?;
    Ok(Json(store::names(&accounts.db, ids).await?))
}

#[derive(Deserialize)]
struct ByName {
    username: String,
}

/// `GET /users/by-name?username=x`: the person of that name, however it is spelled; else 404.
async fn by_name(
    State(accounts): State<Accounts>,
    _: Caller,
    Query(ByName { username }): Query<ByName>,
) -> Result<Json<Person>, Problem> {
    let found = match Username::parse(&username) {
        Ok(username) => store::user_by_key(&accounts.db, &username.key()).await?,
        Err(_) => None, // nobody can have it
    };
    found.map(Json).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "user-not-found", "There is nobody of this name.")
    })
}
