//! What reads favourites: a page of one user's, the newest of several. Everybody who is signed in may read them.

use std::collections::{HashMap, HashSet};

use axum::extract::State;
use platform::{
    extract::{Json, Path, Query},
    identity::Caller,
    openapi::{OpenApiRouter, routes},
    problem::{FieldError, Problem},
};
use serde::Serialize;
use songs::paging;
use utoipa::ToSchema;

use crate::{
    Wallet,
    store::{self, Entry, Music},
};

/// Most users of one [`several`].
const MOST_USERS: usize = 100;
/// Most favourites of each.
const MOST_NEWEST: u32 = 100;

pub(crate) fn router() -> OpenApiRouter<Wallet> {
    OpenApiRouter::new().routes(routes!(page)).routes(routes!(several))
}

/// A part of a list.
#[derive(Serialize, ToSchema)]
struct Page {
    items: Vec<Item>,
    /// The `cursor` of the next page; null at the end.
    #[schema(required, example = "0000000000000064")]
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Item {
    music: Music,
    /// RFC 3339.
    #[schema(format = DateTime, example = "2026-02-03T04:05:06.789Z")]
    added_at: String,
}

/// What a user keeps, newest first
///
/// Who is nobody keeps nothing.
#[utoipa::path(
    get, path = "/users/{id}/favourites", tag = "favourites",
    params(
        ("id" = i64, Path),
        ("limit" = Option<u32>, Query, description = "How many; 100 without it.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next` of the page before.", pattern = "^[0-7][0-9a-f]{15}$"),
    ),
    responses((status = 200, body = Page))
)]
async fn page(
    State(wallet): State<Wallet>,
    _: Caller,
    Path(id): Path<i64>,
    Query(given): Query<Vec<(String, String)>>,
) -> Result<Json<Page>, Problem> {
    let (mut limit, mut before) = (paging::DEFAULT_LIMIT, i64::MAX);
    paging::parameters(given, "limit and cursor are", |name, value| {
        Some(match name {
            "limit" => paging::limit(value).map(|given| limit = given),
            "cursor" => paging::behind(value).map(|id| before = id),
            _ => return None,
        })
    })
    .map_err(Problem::invalid)?;
    // One more than asked for: its presence says that there is a next page.
    let mut found = store::newest(&wallet.db, id, before, limit + 1).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(|last| paging::cursor(last.id));
    let items = found.into_iter().map(|it| Item { added_at: it.added_at(), music: it.music });
    Ok(Json(Page { items: items.collect(), next }))
}

/// What one user keeps.
#[derive(Serialize, ToSchema)]
struct Library {
    #[schema(example = 1)]
    user: i64,
    /// How many musics in all.
    #[schema(example = 1)]
    count: i64,
    /// The newest of them, newest first.
    favourites: Vec<Music>,
}

/// What several users keep
///
/// An entry for each user, once, in the order of the question.
#[utoipa::path(
    get, path = "/favourites", tag = "favourites",
    params(
        ("users" = String, Query, description = "Ids divided by commas, 100 at most.", example = "1,2,3"),
        ("newest" = Option<u32>, Query, description = "How many of each; 100 without it.", minimum = 0, maximum = 100),
    ),
    responses((status = 200, body = Vec<Library>))
)]
async fn several(
    State(wallet): State<Wallet>,
    _: Caller,
    Query(given): Query<Vec<(String, String)>>,
) -> Result<Json<Vec<Library>>, Problem> {
    let (mut users, mut newest) = (None, MOST_NEWEST);
    paging::parameters(given, "users and newest are", |name, value| {
        Some(match name {
            "users" => paging::ids(value, MOST_USERS).map(|given| users = Some(given)),
            "newest" => paging::number(value, 0, MOST_NEWEST).map(|given| newest = given),
            _ => return None,
        })
    })
    .map_err(Problem::invalid)?;
    let missing = || FieldError::new("?users", "is missing; it has ids divided by commas");
    let mut users = users.ok_or_else(|| Problem::invalid(vec![missing()]))?;
    let mut seen = HashSet::new();
    users.retain(|user| seen.insert(*user));
    // The count comes with a favourite.
    let found = store::newest_of(&wallet.db, &users, newest.max(1)).await?;
    let mut libraries: HashMap<i64, Library> = HashMap::new();
    for Entry { user, count, music } in found {
        let nothing = || Library { user, count, favourites: Vec::new() };
        let library = libraries.entry(user).or_insert_with(nothing);
        if newest > 0 {
            library.favourites.push(music);
        }
    }
    let of = |user| {
        let nothing = Library { user, count: 0, favourites: Vec::new() };
        libraries.remove(&user).unwrap_or(nothing)
    };
    Ok(Json(users.into_iter().map(of).collect()))
}
