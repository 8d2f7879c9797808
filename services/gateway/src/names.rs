//! Usernames where the services know ids: one question for 500 entries of an answer, never one for each.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::try_join_all;
use http::StatusCode;
use resilience::{Error, Route};
use serde::Deserialize;

use crate::{Gateway, credentials::SignedIn};

const NAMES: Route<0> = Route::new("/users/names");
/// Names that one call may ask for.
const MOST: usize = 500;
const BY_NAME: Route<0> = Route::new("/users/by-name");

#[derive(Deserialize)]
struct Named {
    id: i64,
    username: String,
}

/// The usernames of `ids`; who is not there any more has none. The caller's own is known without asking.
pub(crate) async fn of(
    gateway: &Gateway,
    caller: &SignedIn,
    ids: impl Iterator<Item = i64>,
) -> Result<HashMap<i64, String>, Error> {
    let mut names = HashMap::from([(caller.id(), caller.username().to_owned())]);
    let unknown: BTreeSet<i64> = ids.filter(|id| *id != caller.id()).collect();
    let unknown: Vec<String> = unknown.iter().map(i64::to_string).collect();
    let calls = unknown.chunks(MOST).map(|ids| {
        let call = caller.vouch(gateway.accounts.get(NAMES));
        let call = call.raw_query(format_args!("ids={}", ids.join(",")));
        async { call.send().await?.json::<Vec<Named>>() }
    });
    let named = try_join_all(calls).await?.into_iter().flatten();
    names.extend(named.map(|named| (named.id, named.username)));
    Ok(names)
}

/// The id behind a username; `None`: there is nobody of this name.
pub(crate) async fn id_of(
    gateway: &Gateway,
    caller: &SignedIn,
    username: &str,
) -> Result<Option<i64>, Error> {
    let call = caller.vouch(gateway.accounts.get(BY_NAME)).query("username", username);
    match call.send().await {
        Ok(answer) => Ok(Some(answer.json::<Named>()?.id)),
        Err(Error::Refused { refusal, .. }) if refusal.status == StatusCode::NOT_FOUND => Ok(None),
        Err(error) => Err(error),
    }
}
