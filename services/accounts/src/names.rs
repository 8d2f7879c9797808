//! The names behind ids, and the ids behind names, for services that show or filter by them.

use axum::extract::State;
use http::StatusCode;
use platform::{
    extract::{Json, Query},
    identity::Caller,
    openapi::{OpenApiRouter, routes},
    problem::{FieldError, Problem},
};
use serde::Deserialize;

use crate::{
    Accounts, bodies,
    store::{self, Person},
    username::Username,
};

/// How many names one call may ask for.
const MOST: usize = 500;

pub(crate) fn router() -> OpenApiRouter<Accounts> {
    OpenApiRouter::new().routes(routes!(by_ids)).routes(routes!(by_name))
}

#[derive(Deserialize)]
struct Ids {
    ids: String,
}

/// The names behind ids
///
/// Of those that there are, by id.
#[utoipa::path(
    get, path = "/users/names", tag = "people",
    params(("ids" = String, Query, description = "Ids divided by commas, 500 at most.", pattern = "^[0-9]+(,[0-9]+){0,499}$", example = "1,2,3")),
    responses((status = 200, body = Vec<bodies::Person>))
)]
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

/// Who has a name
///
/// However it is spelled.
#[utoipa::path(
    get, path = "/users/by-name", tag = "people",
    params(("username" = String, Query, example = "ada")),
    responses((status = 200, body = bodies::Person), (status = 404, description = "There is nobody of this name."))
)]
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
