//! Songs, with the names of those who added them.

use axum::{
    Router,
    extract::{RawQuery, State},
    response::{IntoResponse, Response, Result},
    routing::get,
};
use form_urlencoded::{Serializer, byte_serialize};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header::LINK, header::LOCATION,
};
use platform::extract::{Json, Path, Query, Raw};
use resilience::{Answer, Limits, Route};
use serde::{Deserialize, Serialize};

use crate::{Gateway, accounts::with_body, credentials::SignedIn, names};

const MUSICS: Route<0> = Route::new("/musics");
const MUSIC: Route<1> = Route::new("/musics/{id}");
const TOTAL_COUNT: HeaderName = HeaderName::from_static("total-count");

pub(crate) fn router() -> Router<Gateway> {
    Router::new()
        .route("/api/musics", get(list).post(create))
        .route("/api/musics/{id}", get(read).put(edit).patch(edit).delete(remove))
}

/// A song as the catalog has it (`Owner` is a user's id) and as people read it (a username).
#[derive(Deserialize, Serialize)]
struct Music<Owner> {
    id: i64,
    title: String,
    artist: String,
    album: String,
    genre: String,
    duration_ms: Option<i64>,
    created_by: Option<Owner>,
}

impl Music<i64> {
    fn named(self, names: &std::collections::HashMap<i64, String>) -> Music<String> {
        let created_by = self.created_by.and_then(|id| names.get(&id).cloned());
        let Music { id, title, artist, album, genre, duration_ms, .. } = self;
        Music { id, title, artist, album, genre, duration_ms, created_by }
    }
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Music<i64>>,
    next: Option<String>,
    total: Option<u64>,
}

/// `GET /api/musics/`: an array; `Link` leads to the next page, `Total-Count` comes with `count=true` only.
async fn list(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Query(parameters): Query<Vec<(String, String)>>,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    let mut call = caller.vouch(gateway.catalog.get(MUSICS)).limits(Limits::LIST);
    // The catalog checks the parameters, and whether one is there twice; but it knows people by their ids only.
    let mut creator_is_known = false;
    for (name, value) in parameters {
        if name == "created_by" && !creator_is_known {
            creator_is_known = true;
            // No id is below 1: whoever is nobody has added nothing, and the other parameters are still checked.
            let id = names::id_of(&gateway, &caller, &value).await?.unwrap_or(0);
            call = call.query("created_by", id);
        } else {
            let name: String = byte_serialize(name.as_bytes()).collect();
            call = call.query(&name, value);
        }
    }
    let page: Page = call.send().await?.json()?;
    let owners = page.items.iter().filter_map(|music| music.created_by);
    let names = names::of(&gateway, &caller, owners).await?;
    let musics: Vec<_> = page.items.into_iter().map(|music| music.named(&names)).collect();
    let mut response = Json(musics).into_response();
    if let Some(cursor) = page.next {
        let link = next_page(&query.unwrap_or_default(), &cursor);
        if let Ok(link) = HeaderValue::try_from(link) {
            response.headers_mut().insert(LINK, link);
        }
    }
    if let Some(total) = page.total {
        response.headers_mut().insert(TOTAL_COUNT, HeaderValue::from(total));
    }
    Ok(response)
}

/// A relative link with all parameters of this page but its cursor.
fn next_page(query: &str, cursor: &str) -> String {
    let same = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "cursor");
    let query =
        Serializer::new(String::new()).extend_pairs(same).append_pair("cursor", cursor).finish();
    format!("</api/musics/?{query}>; rel=\"next\"")
}

/// `POST /api/musics/`: 201 with the song and its address.
async fn create(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    let call = caller.vouch(gateway.catalog.post(MUSICS));
    let answer = with_body(call, &headers, body).send().await?;
    let music = compose(&gateway, &caller, &answer).await?;
    let location = format!("/api/musics/{}/", music.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(music)).into_response())
}

/// `GET /api/musics/{id}/`.
async fn read(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Path(id): Path<i64>,
) -> Result<Response> {
    let answer = caller.vouch(gateway.catalog.get(MUSIC.at([id]))).send().await?;
    Ok(Json(compose(&gateway, &caller, &answer).await?).into_response())
}

/// `PUT` (everything) and `PATCH` (some of it) `/api/musics/{id}/`: the song as it is now; 403 for who did not add it.
async fn edit(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Path(id): Path<i64>,
    method: Method,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    let call = caller.vouch(gateway.catalog.call(method, MUSIC.at([id])));
    let answer = with_body(call, &headers, body).send().await?;
    Ok(Json(compose(&gateway, &caller, &answer).await?).into_response())
}

/// `DELETE /api/musics/{id}/`: 204; 403 for who did not add it.
async fn remove(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    caller.vouch(gateway.catalog.call(Method::DELETE, MUSIC.at([id]))).send().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn compose(gateway: &Gateway, caller: &SignedIn, answer: &Answer) -> Result<Music<String>> {
    let music: Music<i64> = answer.json()?;
    let names = names::of(gateway, caller, music.created_by.into_iter()).await?;
    Ok(music.named(&names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_keeps_what_was_asked_for() {
        let link = next_page("search=a%20b&cursor=old&limit=2&created_by=%C3%BC", "new+/=");
        let expected =
            "</api/musics/?search=a+b&limit=2&created_by=%C3%BC&cursor=new%2B%2F%3D>; rel=\"next\"";
        assert_eq!(link, expected);
    }
}
