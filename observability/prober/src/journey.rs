//! One run: five steps, each with a deadline; the first that fails ends it.

use std::time::Duration;

use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    api::{Answer, Api, Failure},
    meter,
};

/// For a step with all its requests.
const STEP: Duration = Duration::from_secs(10);
/// For all steps together.
const RUN: Duration = Duration::from_secs(30);
/// For signing out after them.
const SIGN_OUT: Duration = Duration::from_secs(5);
/// The longest wait before the second attempt to sign in, of a user that is new.
const PAUSE: u64 = 3;

const SESSION: &str = "__Host-session";
const DEVICE: &str = "__Host-device";

/// Who walks.
pub(crate) struct Journey {
    api: Api,
    username: String,
    password: SecretString,
    /// Tells accounts that it is the same browser again; else each run would be a new one.
    device: String,
}

struct Session {
    /// What every request comes with.
    cookies: String,
    /// The id of the prober's user.
    me: i64,
}

#[derive(Deserialize)]
struct Me {
    id: i64,
}

#[derive(Deserialize)]
struct Music {
    id: i64,
}

#[derive(Deserialize)]
struct Kept {
    music: Music,
}

impl Journey {
    pub(crate) fn new(api: Api, username: String, password: SecretString) -> Journey {
        Journey { api, username, password, device: String::new() }
    }

    /// Walks once, and books how it went.
    pub(crate) async fn run(&mut self) {
        let until = Instant::now() + RUN;
        let mut success = false;
        if let Some(session) = step("sign_in", until, self.sign_in()).await {
            success = self.walk(&session, until).await.is_some();
            self.sign_out(&session).await;
        }
        meter::ran(success); // the last of a run: who sees it knows that nothing is under way
    }

    /// What somebody does who is signed in. `None` as soon as a step has failed.
    async fn walk(&self, session: &Session, until: Instant) -> Option<()> {
        let music = step("search", until, self.search(session)).await?;
        step("keep", until, self.keep(session, music)).await?;
        let kept = step("list", until, self.list(session, music)).await?;
        step("drop", until, self.drop_all(session, &kept)).await
    }

    async fn sign_out(&self, session: &Session) {
        let out = self.call(session, Method::DELETE, "/api/session", "/api/session/", None);
        if !matches!(timeout(SIGN_OUT, out).await, Ok(Ok(_))) {
            tracing::info!(
                "the prober could not sign out; its session ends by itself within half an hour"
            );
        }
    }

    async fn sign_in(&mut self) -> Result<Session, Failure> {
        match self.begin_session().await {
            Err(failure) if failure.status == Some(StatusCode::UNAUTHORIZED) => {}
            other => return other,
        }
        let email = format!("{}@prober.invalid", self.username); // a domain that nobody can have
        let new = json!({"username": self.username, "email": email, "password": self.password.expose_secret()});
        let new = self.api.call(Method::POST, "/api/users", "/api/users/", "", Some(new));
        new.await.map_err(|failure| match failure.status {
            Some(StatusCode::CONFLICT) => Failure {
                why: "somebody has the name of PROBER_USERNAME, with another password than that of PROBER_PASSWORD_FILE".to_owned(),
                ..failure
            },
            _ => Failure { why: format!("signing up: {}", failure.why), ..failure },
        })?;
        tracing::info!("the prober has signed up its user");
        match self.begin_session().await {
            // Whoever has just failed to sign in has to wait, and nobody knew that the name was nobody's.
            Err(Failure {
                status: Some(StatusCode::TOO_MANY_REQUESTS),
                retry_after: Some(seconds),
                ..
            }) if seconds <= PAUSE => {
                sleep(Duration::from_secs(seconds)).await;
                self.begin_session().await
            }
            other => other,
        }
    }

    async fn begin_session(&mut self) -> Result<Session, Failure> {
        let who = json!({"username": self.username, "password": self.password.expose_secret()});
        let begun =
            self.api.call(Method::POST, "/api/session", "/api/session/", &self.device, Some(who));
        let begun = begun.await?;
        self.device = begun.cookie(DEVICE).unwrap_or_default();
        let cookie = begun.cookie(SESSION).ok_or_else(|| Failure::new("it set no cookie"))?;
        let Me { id: me } = begun.json()?;
        Ok(Session { cookies: format!("{cookie}; {}", self.device), me })
    }

    /// Some song. Where there is none at all, as in a new catalog, the prober adds one, which then has to be found.
    async fn search(&self, session: &Session) -> Result<i64, Failure> {
        if let Some(found) = self.find(session).await? {
            return Ok(found);
        }
        let song = json!({"title": "A song for the prober", "artist": "MusicWallet"});
        self.call(session, Method::POST, "/api/musics", "/api/musics/", Some(song)).await?;
        let found = self.find(session).await?;
        found.ok_or_else(|| Failure::new("it does not find a song that was added just now"))
    }

    async fn find(&self, session: &Session) -> Result<Option<i64>, Failure> {
        let path = "/api/musics/?search=a&limit=1";
        let found = self.call(session, Method::GET, "/api/musics", path, None).await?;
        let found: Vec<Music> = found.json()?;
        Ok(found.first().map(|it| it.id))
    }

    async fn keep(&self, session: &Session, music: i64) -> Result<(), Failure> {
        let (template, me) = ("/api/users/{id}/add_fav_music", session.me);
        let path = format!("/api/users/{me}/add_fav_music/");
        let which = json!({"music": music});
        self.call(session, Method::POST, template, &path, Some(which)).await.map(drop)
    }

    /// All that is kept: `music`, and what a run has left that was cut.
    async fn list(&self, session: &Session, music: i64) -> Result<Vec<i64>, Failure> {
        let (template, me) = ("/api/users/{id}/favourites", session.me);
        let path = format!("/api/users/{me}/favourites/");
        let kept = self.call(session, Method::GET, template, &path, None).await?;
        let kept: Vec<Kept> = kept.json()?;
        let kept: Vec<i64> = kept.into_iter().map(|it| it.music.id).collect();
        if kept.contains(&music) {
            return Ok(kept);
        }
        Err(Failure::new("it does not list a song that was kept just now"))
    }

    async fn drop_all(&self, session: &Session, kept: &[i64]) -> Result<(), Failure> {
        let (template, me) = ("/api/users/{id}/remove_fav_music", session.me);
        let path = format!("/api/users/{me}/remove_fav_music/");
        for music in kept {
            let which = json!({"music": music});
            self.call(session, Method::DELETE, template, &path, Some(which)).await?;
        }
        Ok(())
    }

    async fn call(
        &self,
        session: &Session,
        method: Method,
        template: &'static str,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Result<Answer, Failure> {
        self.api.call(method, template, path, &session.cookies, body).await
    }
}

/// Does a step within its time, and books and tells how it went.
async fn step<T>(
    name: &'static str,
    until: Instant,
    work: impl Future<Output = Result<T, Failure>>,
) -> Option<T> {
    let begun = Instant::now();
    let time = STEP.min(until.saturating_duration_since(begun));
    let outcome = timeout(time, work).await.unwrap_or_else(|_| {
        let why = format!("it has not answered within {:.1} s", time.as_secs_f64());
        Err(Failure::new(why))
    });
    meter::step(name, begun.elapsed(), outcome.is_err());
    match outcome {
        Ok(value) => Some(value),
        Err(Failure { status, trace, why, .. }) => {
            // The line has the trace of the run; the request has one of its own at the gateway, which links to it.
            let status = status.map(|it| it.as_u16());
            tracing::warn!(
                step = name,
                status,
                request_trace_id = trace,
                "the prober failed at {name}: {why}"
            );
            None
        }
    }
}
