//! Who sends the requests: people who sign up and in before the load begins.

use std::{
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::{
    books::{Ended, Failure, Outcome},
    report::Setup,
    target::{Request, Target},
};

/// How many songs the load is about.
const SONGS: usize = 100;

/// Why a load did not begin.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentences say it")]
pub enum SetupError {
    #[error(
        "preparing the load, {action}: there was no answer ({failure}); is MusicWallet running there?"
    )]
    Failed { action: &'static str, failure: Failure },
    #[error("preparing the load, {action}: the answer was {status}: {detail}")]
    Refused { action: &'static str, status: u16, detail: String },
    #[error("preparing the load: the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
}

#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: i64,
    pub(crate) token: Arc<str>,
}

/// People and the songs that they know; neither is empty.
#[derive(Clone, Debug)]
pub(crate) struct People {
    pub(crate) people: Vec<Person>,
    pub(crate) songs: Vec<i64>,
}

impl People {
    /// Signs up and in so many, one after the other: hashing passwords is work.
    pub(crate) async fn arrive(
        target: &Target,
        number: NonZeroU16,
        deadline: Duration,
        told: impl FnMut(&Ended),
    ) -> Result<(People, Setup), SetupError> {
        let setup = Setup { people: number.get(), ..Setup::default() };
        let mut asking = Asking { deadline, setup, told };
        // Names and passwords are new with each run, so that a seed can be used again. The plan knows people by their number only.
        let run = Uuid::new_v4().simple().to_string();
        let mut people = Vec::new();
        for number in 0..number.get() {
            let target = at_home(target)?;
            let (name, password) =
                (format!("load-{}-{number}", &run[..12]), Uuid::new_v4().to_string());
            let who = json!({"username": name, "password": password});
            let mut new = who.clone();
            new["email"] = json!(format!("{name}@example.org"));
            let person = asking.post(&target, "sign_up", "/api/users/", None, new).await?;
            let signed_in = asking.post(&target, "sign_in", "/api-token-auth/", None, who).await?;
            let (Some(id), Some(token)) = (person["id"].as_i64(), signed_in["token"].as_str())
            else {
                return Err(strange("sign_in"));
            };
            people.push(Person { id, token: token.into() });
        }
        let token = people.first().map(|first| Arc::clone(&first.token));
        // So that there is one even in an empty catalog.
        let song = json!({"title": format!("Load {run}"), "artist": "Load"});
        asking.post(target, "create", "/api/musics/", token.clone(), song).await?;
        let mut list = Request::new("page", Method::GET, format!("/api/musics/?limit={SONGS}"));
        list.token = token;
        let songs = asking.ask(target, &list).await?;
        let songs: Vec<i64> =
            songs.as_array().into_iter().flatten().filter_map(|song| song["id"].as_i64()).collect();
        if songs.is_empty() {
            return Err(strange("page"));
        }
        Ok((People { people, songs }, asking.setup))
    }
}

/// Each person comes from an address of their own, as people do: from one address only 20 may sign up at once. Linux has 127.0.0.0/8 for
/// that; elsewhere, and where the name has an address of IPv6 too, everybody comes from one.
fn at_home(target: &Target) -> Result<Target, reqwest::Error> {
    if !cfg!(target_os = "linux") || !target.is_ipv4() {
        return Ok(target.clone());
    }
    let [a, b, c, ..] = Uuid::new_v4().into_bytes();
    target.called_from(IpAddr::V4(Ipv4Addr::new(127, a, b, c.clamp(1, 254))))
}

fn strange(action: &'static str) -> SetupError {
    let detail = "it is not what MusicWallet says".to_owned();
    SetupError::Refused { action, status: 200, detail }
}

/// Sends the requests that come before the load, and books them.
struct Asking<T> {
    deadline: Duration,
    setup: Setup,
    told: T,
}

impl<T: FnMut(&Ended)> Asking<T> {
    async fn post(
        &mut self,
        target: &Target,
        action: &'static str,
        path: &str,
        token: Option<Arc<str>>,
        body: Value,
    ) -> Result<Value, SetupError> {
        let request = Request::new(action, Method::POST, path);
        self.ask(target, &Request { token, body: Some(body), ..request }).await
    }

    /// The answer's body, where it is a success.
    async fn ask(&mut self, target: &Target, request: &Request) -> Result<Value, SetupError> {
        let action = request.action;
        let begun = Instant::now();
        let mut body = Vec::new();
        let sent = target.send(request, |part| body.extend_from_slice(part));
        let failed = |failure| SetupError::Failed { action, failure };
        let sent = timeout(self.deadline, sent).await.unwrap_or(Err(Failure::Timeout));
        let (status, trace_id) = sent.map_err(failed)?;
        self.setup.requests += 1;
        *self.setup.statuses.entry(status).or_default() += 1;
        let outcome = Outcome::Answered { status, trace_id, latency: begun.elapsed() };
        (self.told)(&Ended { action, outcome });
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let detail = body["detail"].as_str().unwrap_or("it says no more").to_owned();
        Err(SetupError::Refused { action, status, detail })
    }
}
