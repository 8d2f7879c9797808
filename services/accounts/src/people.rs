//! Who there is: a list, and one of them.

use axum::extract::State;
use http::StatusCode;
use platform::{
    extract::{Json, Path, Query},
    identity::Caller,
    openapi::{OpenApiRouter, routes},
    problem::{FieldError, Problem},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    Accounts, bodies,
    store::{self, Person},
};

/// People of a page, and by default.
const MOST: u32 = 25;

pub(crate) fn router() -> OpenApiRouter<Accounts> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one))
}

/// A part of the list.
#[derive(Serialize, ToSchema)]
struct Page {
    #[schema(value_type = Vec<bodies::Person>)]
    items: Vec<Person>,
    /// The `cursor` of the next page; null at the end.
    #[schema(required, example = "0000000000000019")]
    next: Option<String>,
}

/// People, by id
///
/// 25 a page at most.
#[utoipa::path(
    get, path = "/users", tag = "people",
    params(
        ("limit" = Option<u32>, Query, description = "How many; 25 without it.", minimum = 1, maximum = 25),
        ("cursor" = Option<String>, Query, description = "`next` of the page before.", pattern = "^[0-7][0-9a-f]{15}$"),
    ),
    responses((status = 200, body = Page))
)]
async fn list(
    State(accounts): State<Accounts>,
    _: Caller,
    Query(given): Query<Vec<(String, String)>>,
) -> Result<Json<Page>, Problem> {
    let (after, limit) = part(given).map_err(Problem::invalid)?;
    // One more than asked for: its presence says that there is a next page.
    let mut items = store::people(&accounts.db, after, limit + 1).await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|last| format!("{:016x}", last.id));
    Ok(Json(Page { items, next }))
}

/// Behind which id the page begins, and how many it has.
fn part(given: Vec<(String, String)>) -> Result<(i64, u32), Vec<FieldError>> {
    let (mut after, mut limit) = (0, MOST);
    let (mut seen, mut wrong) = (Vec::new(), Vec::new());
    for (name, value) in given {
        let outcome = match name.as_str() {
            _ if seen.contains(&name) => Err(FieldError::new("", "is there twice")),
            "limit" => match value.parse() {
                Ok(given @ 1..=MOST) => {
                    limit = given;
                    Ok(())
                }
                _ => Err(FieldError::new("", "has to be a whole number, 1 to 25").limit(MOST)),
            },
            "cursor" => behind(&value).map(|id| after = id),
            _ => Err(FieldError::new("", "is not known; limit and cursor are")),
        };
        if let Err(error) = outcome {
            wrong.push(FieldError { pointer: format!("?{name}"), ..error });
        }
        seen.push(name);
    }
    if wrong.is_empty() { Ok((after, limit)) } else { Err(wrong) }
}

fn behind(cursor: &str) -> Result<i64, FieldError> {
    let plain =
        cursor.len() == 16 && cursor.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
    let id = if plain { i64::from_str_radix(cursor, 16).ok() } else { None };
    id.ok_or_else(|| FieldError::new("", "is not a cursor of this list; leave it out"))
}

/// A person, with what only they see of themselves.
#[derive(Serialize, ToSchema)]
struct Shown {
    #[schema(example = 1)]
    id: i64,
    #[schema(example = "ada")]
    username: String,
    /// One's own only.
    #[schema(nullable = false, example = "ada@example.org")]
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

/// One person
///
/// For themselves with the email.
#[utoipa::path(
    get, path = "/users/{id}", tag = "people", params(("id" = i64, Path)),
    responses((status = 200, body = Shown), (status = 404, description = "There is nobody with this id."))
)]
async fn one(
    State(accounts): State<Accounts>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<Shown>, Problem> {
    let user = store::user(&accounts.db, id).await?.ok_or_else(not_found)?;
    let email = (caller.id == id).then_some(user.email);
    Ok(Json(Shown { id, username: user.username, email }))
}

pub(crate) fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "user-not-found", "There is nobody with this id.")
}
