//! Reading: a page of a list, some by their ids, one.

use axum::extract::State;
use platform::{
    extract::{Json, Path, Query},
    identity::Caller,
    problem::{FieldError, Problem},
};
use serde::Serialize;
use songs::paging;
use utoipa::ToSchema;

use super::{not_found, query};
use crate::{
    Catalog,
    store::{self, Music},
};

/// Most ids of one [`batch`].
const BATCH: usize = 500;

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page {
    items: Vec<Music>,
    /// The `cursor` of the next page; null at the end.
    #[schema(required, example = "0000000000000064")]
    next: Option<String>,
    /// How many the whole list has; only where `count=true` asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 40)]
    total: Option<i64>,
}

/// Songs, by id
#[utoipa::path(
    get, path = "/musics", tag = "songs",
    params(
        ("search" = Option<String>, Query, description = "Words that begin a word of title, artist or album; all have to.", min_length = 1, max_length = 300),
        ("artist" = Option<String>, Query, description = "The whole name, without case and accents.", max_length = 300),
        ("genre" = Option<String>, Query, description = "The whole genre, without case and accents.", max_length = 100),
        ("created_by" = Option<i64>, Query, description = "The id of who added them."),
        ("limit" = Option<u32>, Query, description = "How many; 100 without it.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next` of the page before.", pattern = "^[0-7][0-9a-f]{15}$"),
        ("count" = Option<bool>, Query, description = "`true`: `total` tells how many the whole list has."),
    ),
    responses((status = 200, body = Page))
)]
pub(super) async fn list(
    State(catalog): State<Catalog>,
    _: Caller,
    Query(given): Query<Vec<(String, String)>>,
) -> Result<Json<Page>, Problem> {
    let query::List { filter, after, limit, count } =
        query::List::read(given).map_err(Problem::invalid)?;
    // One more than asked for: its presence says that there is a next page.
    let mut items = store::page(&catalog.db, &filter, after, limit + 1).await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|last| paging::cursor(last.id));
    let total = match count {
        true => Some(store::count(&catalog.db, &filter).await?),
        false => None,
    };
    Ok(Json(Page { items, next, total }))
}

/// One song
#[utoipa::path(
    get, path = "/musics/{id}", tag = "songs", params(("id" = i64, Path)),
    responses((status = 200, body = Music), (status = 404, description = "There is no such song."))
)]
pub(super) async fn one(
    State(catalog): State<Catalog>,
    _: Caller,
    Path(id): Path<i64>,
) -> Result<Json<Music>, Problem> {
    store::find(&catalog.db, id).await?.map(Json).ok_or_else(|| not_found(id))
}

/// Several songs by their ids
///
/// Those that exist, by id.
#[utoipa::path(
    get, path = "/musics/batch", tag = "songs",
    params(("ids" = String, Query, description = "Ids divided by commas, 500 at most.", example = "1,2,3")),
    responses((status = 200, body = Vec<Music>))
)]
pub(super) async fn batch(
    State(catalog): State<Catalog>,
    _: Caller,
    Query(given): Query<Vec<(String, String)>>,
) -> Result<Json<Vec<Music>>, Problem> {
    let ids = ids(&given).map_err(|wrong| Problem::invalid(vec![wrong]))?;
    // A list of numbers cannot fail to serialise.
    let ids = serde_json::to_string(&ids).map_err(Problem::internal)?;
    Ok(Json(store::find_many(&catalog.db, ids).await?))
}

fn ids(given: &[(String, String)]) -> Result<Vec<i64>, FieldError> {
    let [(name, ids)] = given else {
        return Err(FieldError::new("?ids", "is the one parameter: ids divided by commas"));
    };
    if name != "ids" {
        return Err(FieldError::new(format!("?{name}"), "is not known; ids is"));
    }
    paging::ids(ids, BATCH).map_err(|wrong| FieldError { pointer: "?ids".into(), ..wrong })
}
