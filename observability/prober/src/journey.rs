//! One run: five steps, each with a deadline; the first that fails ends it.

use std::time::Duration;

use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    api::{Answer, Api, Failure},
    device::Device,
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

/// Not of its username, which may have an `@` itself; addresses need not differ, and nobody can have this domain.
const EMAIL: &str = "prober@prober.invalid";
const TAKEN: &str = "the account of PROBER_USERNAME is locked, or has another password than that of PROBER_PASSWORD_FILE";

const SESSION: &str = "__Host-session";
const DEVICE: &str = "__Host-device";

/// Who walks.
pub(crate) struct Journey {
    api: Api,
    username: String,
    password: SecretString,
    /// Tells accounts that it is the same browser again; else each run would be a new one.
    device: Device,
    /// Somebody has its name, and its password is refused: then it is no use to sign up again at each run.
    taken: bool,
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
    pub(crate) fn new(
        api: Api,
        username: String,
        password: SecretString,
        device: Device,
    ) -> Journey {
        Journey { api, username, password, device, taken: false }
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
        let refused = match self.begin_session().await {
            Err(failure) if failure.status == Some(StatusCode::UNAUTHORIZED) => failure,
            other => return other,
        };
        if self.taken {
            return Err(Failure { why: TAKEN.to_owned(), ..refused });
        }
        // An unknown name, a wrong password and a lock are one answer. Signing up tells the first from the others.
        let new = json!({"username": self.username, "email": EMAIL, "password": self.password.expose_secret()});
        let new = self.api.call(Method::POST, "/api/users", "/api/users/", "", Some(new)).await;
        if let Err(failure) = new {
            self.taken = failure.status == Some(StatusCode::CONFLICT);
            let why =
                if self.taken { TAKEN.to_owned() } else { format!("signing up: {}", failure.why) };
            return Err(Failure { why, ..failure });
        }
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
        let device = self.device.cookie();
        let begun =
            self.api.call(Method::POST, "/api/session", "/api/session/", device, Some(who)).await?;
        self.taken = false;
        if let Some(cookie) = begun.cookie(DEVICE) {
            self.device.keep(cookie);
        }
        let cookie = begun.cookie(SESSION).ok_or_else(|| Failure::new("it set no cookie"))?;
        let Me { id: me } = begun.json()?;
        Ok(Session { cookies: format!("{cookie}; {}", self.device.cookie()), me })
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
