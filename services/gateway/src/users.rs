//! People, with what they keep.

use std::collections::HashMap;

use anyhow::anyhow;
use axum::{
    extract::{RawQuery, State},
    response::{Response, Result},
};
use bytes::Bytes;
use futures_util::future::{join, try_join};
use http::{HeaderMap, Method, StatusCode};
use platform::{
    extract::{Json, Path, Query, Raw},
    openapi::{OpenApiRouter, routes},
    problem::Problem,
};
use resilience::{Error, Limits, Route};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Gateway,
    accounts::with_body,
    bodies::{NewUser, UserChange},
    credentials::{SignedIn, SignedInNow},
    degraded::Degraded,
    library::{self, Music, Told},
    pages,
};

const USERS: Route<0> = Route::new("/users");
const USER: Route<1> = Route::new("/users/{id}");
const KEPT: Route<0> = Route::new("/favourites");
const FAVOURITES: Route<1> = Route::new("/users/{id}/favourites");
const CREATOR: Route<1> = Route::new("/creators/{id}");

/// How many of a person's favourites an answer about them has, the newest.
const NEWEST: u32 = 100;

pub(crate) fn router() -> OpenApiRouter<Gateway> {
    // `POST /api/users/`, signing up, is in `accounts.rs`: nobody is signed in there.
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read, replace, change, remove))
}

/// A person as accounts knows them.
#[derive(Deserialize)]
pub(crate) struct Account {
    id: i64,
    username: String,
    email: Option<String>,
}

/// A person's library as the wallet tells it.
#[derive(Deserialize)]
struct Kept {
    user: i64,
    count: u64,
    favourites: Vec<Told>,
}

/// A person as everybody reads them. Without the wallet, what they keep is null, and the answer is marked.
#[derive(Serialize, ToSchema)]
pub(crate) struct User {
    #[schema(example = 1)]
    id: i64,
    #[schema(example = "ada")]
    username: String,
    /// One's own only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ada@example.org")]
    email: Option<String>,
    /// The newest 100.
    favourite_musics: Option<Vec<Music>>,
    #[schema(example = 1)]
    favourite_count: Option<u64>,
}

impl User {
    /// Somebody who has just signed up.
    pub(crate) fn who_keeps_nothing(account: Account) -> User {
        let Account { id, username, email } = account;
        User { id, username, email, favourite_musics: Some(Vec::new()), favourite_count: Some(0) }
    }
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Account>,
    next: Option<String>,
}

/// People, by id
///
/// 25 a page; `Link` leads to the next.
#[utoipa::path(
    get, path = "/api/users", tag = "people",
    params(
        ("limit" = Option<u32>, Query, description = "How many; 25 without it.", minimum = 1, maximum = 25),
        ("cursor" = Option<String>, Query, description = "From `Link` of the page before.", pattern = "^[0-7][0-9a-f]{15}$"),
    ),
    responses((
        status = 200, body = Vec<User>,
        headers(("link" = String, description = "The next page, `rel=\"next\"`."), ("degraded" = String, description = "Services that the answer had to do without."))
    ))
)]
async fn list(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    RawQuery(query): RawQuery,
    Query(given): Query<Vec<(String, String)>>,
) -> Result<Response> {
    let mut call = caller.vouch(gateway.accounts.get(USERS));
    for (name, value) in &given {
        call = call.query(name, value);
    }
    let page: Page = call.send().await?.json()?;
    let mut degraded = Degraded::default();
    let users = compose(&gateway, &caller, page.items, &mut degraded).await?;
    let mut response = degraded.mark(Json(users));
    pages::link(&mut response, "/api/users/", &query.unwrap_or_default(), page.next);
    Ok(response)
}

/// One person
///
/// With `email` if it is oneself.
#[utoipa::path(
    get, path = "/api/users/{id}", tag = "people", params(("id" = i64, Path)),
    responses((status = 200, body = User), (status = 404, description = "There is no such person."))
)]
async fn read(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Path(id): Path<i64>,
) -> Result<Response> {
    let account = async { caller.vouch(gateway.accounts.get(USER.at([id]))).send().await?.json() };
    let (account, kept) = join(account, kept(&gateway, &caller, [id])).await;
    let account: Account = account?;
    let mut degraded = Degraded::default();
    let kept = degraded.part(kept)?;
    let users = with_kept(&gateway, &caller, vec![account], kept, &mut degraded).await?;
    Ok(degraded.mark(Json(only(users)?)))
}

/// Give one's own account another content
///
/// A new password ends all other sessions and tokens.
#[utoipa::path(
    put, path = "/api/users/{id}", tag = "people", params(("id" = i64, Path)), request_body = NewUser,
    responses(
        (status = 200, body = User), (status = 403, description = "It is somebody else."),
        (status = 404, description = "There is no such person."), (status = 409, description = "The username is taken.")
    )
)]
async fn replace(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Path(id): Path<i64>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    edit(&gateway, &caller, Method::PUT, id, &headers, body).await
}

/// Change some fields of one's own account
///
/// A new password ends all other sessions and tokens.
#[utoipa::path(
    patch, path = "/api/users/{id}", tag = "people", params(("id" = i64, Path)), request_body = UserChange,
    responses(
        (status = 200, body = User), (status = 403, description = "It is somebody else."),
        (status = 404, description = "There is no such person."), (status = 409, description = "The username is taken.")
    )
)]
async fn change(
    State(gateway): State<Gateway>,
    caller: SignedIn,
    Path(id): Path<i64>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    edit(&gateway, &caller, Method::PATCH, id, &headers, body).await
}

async fn edit(
    gateway: &Gateway,
    caller: &SignedIn,
    method: Method,
    id: i64,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let call = caller.vouch(gateway.accounts.call(method, USER.at([id])));
    let answer = with_body(call, headers, body).limits(Limits::SIGN_IN).send().await?;
    let mut degraded = Degraded::default();
    let users = compose(gateway, caller, vec![answer.json()?], &mut degraded).await?;
    Ok(degraded.mark(Json(only(users)?)))
}

fn only(users: Vec<User>) -> Result<User, Problem> {
    users.into_iter().next().ok_or_else(|| Problem::internal(anyhow!("a person was lost")))
}

/// Delete one's own account
///
/// What one kept goes, the songs that one added stay without a name, and last goes the account: until then the same request can be repeated.
#[utoipa::path(
    delete, path = "/api/users/{id}", tag = "people", params(("id" = i64, Path)),
    responses(
        (status = 204), (status = 403, description = "It is somebody else."),
        (status = 404, description = "There is no such person.")
    )
)]
async fn remove(
    State(gateway): State<Gateway>,
    SignedInNow(caller): SignedInNow,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    if id == caller.id() {
        let kept = caller.vouch(gateway.wallet.call(Method::DELETE, FAVOURITES.at([id]))).send();
        let added = caller.vouch(gateway.catalog.call(Method::DELETE, CREATOR.at([id]))).send();
        try_join(kept, added).await?;
    }
    // Accounts knows whether there is somebody of this id, and says why it may not be done.
    caller.vouch(gateway.accounts.call(Method::DELETE, USER.at([id]))).send().await?;
    gateway.credentials.forget(caller.id());
    Ok(StatusCode::NO_CONTENT)
}

/// `accounts` with what each of them keeps: one question to the wallet for all, then one to the catalog.
async fn compose(
    gateway: &Gateway,
    caller: &SignedIn,
    accounts: Vec<Account>,
    degraded: &mut Degraded,
) -> Result<Vec<User>> {
    let kept = kept(gateway, caller, accounts.iter().map(|account| account.id)).await;
    let kept = degraded.part(kept)?;
    with_kept(gateway, caller, accounts, kept, degraded).await
}

async fn kept(
    gateway: &Gateway,
    caller: &SignedIn,
    users: impl IntoIterator<Item = i64>,
) -> Result<Vec<Kept>, Error> {
    let users: Vec<String> = users.into_iter().map(|id| id.to_string()).collect();
    if users.is_empty() {
        return Ok(Vec::new());
    }
    // The newest 100 of 25 people, at most.
    let call = caller.vouch(gateway.wallet.get(KEPT)).limits(Limits::LISTS);
    let call = call.raw_query(format_args!("users={}&newest={NEWEST}", users.join(",")));
    call.send().await?.json()
}

async fn with_kept(
    gateway: &Gateway,
    caller: &SignedIn,
    accounts: Vec<Account>,
    kept: Option<Vec<Kept>>,
    degraded: &mut Degraded,
) -> Result<Vec<User>> {
    let known = kept.is_some();
    let kept = kept.unwrap_or_default();
    // All lists become one, are completed together, and are divided again.
    let lengths: Vec<(i64, u64, usize)> =
        kept.iter().map(|it| (it.user, it.count, it.favourites.len())).collect();
    let copies = kept.into_iter().flat_map(|it| it.favourites).collect();
    let mut musics = library::current(gateway, caller, copies, degraded).await?.into_iter();
    let mut libraries: HashMap<i64, (u64, Vec<Music>)> = lengths
        .into_iter()
        .map(|(user, count, length)| (user, (count, musics.by_ref().take(length).collect())))
        .collect();
    let users = accounts.into_iter().map(|Account { id, username, email }| {
        let library = known.then(|| libraries.remove(&id).unwrap_or_default());
        let (favourite_count, favourite_musics) = library.unzip();
        User { id, username, email, favourite_musics, favourite_count }
    });
    Ok(users.collect())
}
