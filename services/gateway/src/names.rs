//! Usernames where the services know ids: one question for a whole answer, never one for each entry.

use std::collections::{BTreeSet, HashMap};

use axum::response::Result;
use http::StatusCode;
use resilience::{Error, Route};
use serde::Deserialize;

use crate::{Gateway, credentials::SignedIn};

const NAMES: Route<0> = Route::new("/users/names");
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
) -> Result<HashMap<i64, String>> {
    let mut names = HashMap::from([(caller.id(), caller.username().to_owned())]);
    let unknown: BTreeSet<i64> = ids.filter(|id| *id != caller.id()).collect();
    if !unknown.is_empty() {
        let list = unknown.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let call = caller.vouch(gateway.accounts.get(NAMES)).raw_query(format_args!("ids={list}"));
        let named: Vec<Named> = call.send().await?.json()?;
        names.extend(named.into_iter().map(|named| (named.id, named.username)));
    }
    Ok(names)
}

/// The id behind a username; `None`: there is nobody of this name.
pub(crate) async fn id_of(
    gateway: &Gateway,
    caller: &SignedIn,
    username: &str,
) -> Result<Option<i64>> {
    let call = caller.vouch(gateway.accounts.get(BY_NAME)).query("username", username);
    match call.send().await {
        Ok(answer) => Ok(Some(answer.json::<Named>()?.id)),
        Err(Error::Refused { refusal, .. }) if refusal.status == StatusCode::NOT_FOUND => Ok(None),
        Err(error) => Err(error.into()),
    }
}
