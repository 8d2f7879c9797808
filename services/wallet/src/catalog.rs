//! What the wallet asks the catalog, with the assertion of who asks the wallet.

use std::{convert::Infallible, future, time::Duration};

use axum::extract::FromRequestParts;
use bytes::Bytes;
use futures_util::stream;
use http::{
    HeaderValue, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
    request::Parts,
};
use http_body_util::{BodyExt as _, Limited};
use platform::{
    config::HttpUrl,
    deadline::{self, Deadline},
    identity::Caller,
    problem::Problem,
};
use resilience::{Client, Error, Peer, PeerName, Route};
use serde::Deserialize;
use serde_json::json;
use songs::song::Song;
use tokio::task::spawn_blocking;

use crate::{Wallet, store::Music};

const CATALOG: PeerName = PeerName::new("catalog", "catalog-unavailable");
const MUSIC: Route<1> = Route::new("/musics/{id}");
const MATCH: Route<0> = Route::new("/musics/match");

/// How long the catalog may take for the songs of a batch: it may have to add all of them, after what others write.
const MATCHING: Duration = Duration::from_secs(10);
/// The most bytes of an answer to [`MATCH`]: 1,000 musics with the longest texts, which can have two bytes of JSON for one.
const ANSWER: usize = 8 << 20;

/// Who calls, with the assertion that says so, to be passed on to the catalog only.
pub(crate) struct Vouched {
    pub(crate) caller: Caller,
    pub(crate) assertion: HeaderValue,
}

impl FromRequestParts<Wallet> for Vouched {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, wallet: &Wallet) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, wallet).await?;
        let assertion = parts.headers.get(AUTHORIZATION).cloned();
        let missing = || Problem::internal(anyhow::anyhow!("a caller without an assertion"));
        Ok(Vouched { caller, assertion: assertion.ok_or_else(missing)? })
    }
}

/// The catalog, as the wallet sees it.
#[derive(Clone, Debug)]
pub(crate) struct Catalog(Peer);

/// The music for a song.
#[derive(Debug, Deserialize)]
pub(crate) struct Matched {
    /// Whether the catalog did not have it before.
    pub(crate) created: bool,
    #[serde(flatten)]
    pub(crate) music: Music,
}

impl Catalog {
    /// The catalog at `url`.
    pub(crate) fn new(client: &Client, url: &HttpUrl) -> Catalog {
        Catalog(client.peer(CATALOG, url))
    }

    /// The music `id`.
    ///
    /// # Errors
    /// A refusal with 404 says that there is none.
    pub(crate) async fn music(&self, id: i64, assertion: HeaderValue) -> Result<Music, Error> {
        let call = self.0.get(MUSIC.at([id])).header(AUTHORIZATION, assertion);
        call.send().await?.json()
    }

    /// The music for each of `songs`, in their order; what is not there is added.
    ///
    /// # Errors
    /// 503 when the catalog cannot be had, 502 when it is broken.
    pub(crate) async fn matching(
        &self,
        songs: Vec<Song>,
        assertion: HeaderValue,
    ) -> Result<Vec<Matched>, Problem> {
        let wanted = songs.len();
        let body = spawn_blocking(move || json!({ "songs": songs }).to_string());
        let body = body.await.map_err(Problem::internal)?;
        let left = Deadline::current().map_or(MATCHING, |it| it.remaining().min(MATCHING));
        let asked = deadline::scope(Deadline::after(left), self.ask(body.into(), assertion));
        let answer = asked.await.map_err(problem)?;
        let matched = spawn_blocking(move || serde_json::from_slice::<Vec<Matched>>(&answer));
        let matched = matched.await.map_err(Problem::internal)?;
        match matched {
            Ok(matched) if matched.len() == wanted => Ok(matched),
            Ok(_) => Err(problem(bad_answer("it has not one music for each song"))),
            Err(_) => Err(problem(bad_answer("it is other JSON than expected"))),
        }
    }

    /// One attempt that may take all the time that is left. The answer is longer than that of other calls.
    async fn ask(&self, body: Bytes, assertion: HeaderValue) -> Result<Bytes, Error> {
        let json = HeaderValue::from_static("application/json");
        let call = self.0.post(MATCH).header(AUTHORIZATION, assertion).header(CONTENT_TYPE, json);
        let body = stream::once(future::ready(Ok::<_, Infallible>(body)));
        let answer = Limited::new(call.forward(body).await?.into_body(), ANSWER).collect().await;
        let cut = |cause| Error::Unreachable { peer: CATALOG, cause };
        Ok(answer.map_err(cut)?.to_bytes())
    }
}

fn bad_answer(what: &str) -> Error {
    Error::BadAnswer { peer: CATALOG, what: what.to_owned() }
}

/// As [`Error`] is answered, for an import, which has more to say about it.
fn problem(error: Error) -> Problem {
    let away = match &error {
        Error::Unreachable { .. } | Error::TimedOut { .. } => true,
        Error::Refused { refusal, .. } => {
            matches!(refusal.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
        }
        _ => false,
    };
    let told = if away {
        Problem::unavailable("catalog-unavailable", &error, Duration::from_secs(1))
    } else {
        let detail = "catalog could not answer properly";
        Problem::new(StatusCode::BAD_GATEWAY, "bad-gateway", detail)
    };
    told.caused_by(error)
}
