//! What reads favourites: a page of one user's, the newest of several. Everybody who is signed in may read them.

use std::collections::{HashMap, HashSet};

use axum::{Router, extract::State, routing::get};
use platform::{
    extract::{Json, Path, Query},
    identity::Caller,
    problem::{FieldError, Problem},
};
use serde::Serialize;
use songs::paging;

use crate::{
    Wallet,
    store::{self, Entry, Music},
};

/// Most users of one [`several`].
const MOST_USERS: usize = 100;
/// Most favourites of each.
const MOST_NEWEST: u32 = 100;

pub(crate) fn router() -> Router<Wallet> {
    Router::new().route("/users/{id}/favourites", get(page)).route("/favourites", get(several))
}

/// A part of a list.
#[derive(Serialize)]
struct Page {
    items: Vec<Item>,
    /// The `cursor` of the next page; null at the end.
    next: Option<String>,
}

#[derive(Serialize)]
struct Item {
    music: Music,
    /// RFC 3339.
    added_at: String,
}

/// `GET /users/{id}/favourites?limit&cursor`: newest first. Who is nobody keeps nothing.
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
#[derive(Serialize)]
struct Library {
    user: i64,
    /// How many musics in all.
    count: i64,
    /// The newest of them, newest first.
    favourites: Vec<Music>,
}

/// `GET /favourites?users=1,2,3&newest=100`: an entry for each user, once, in the order of the question.
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
