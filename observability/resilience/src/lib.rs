//! The HTTP client for calls between our own services.
//!
//! A [`Client`] belongs to a process' service and keeps its connections; a [`Peer`] is one other service; a [`Call`] is made with it:
//!
//! ```no_run
//! # use resilience::{Client, PeerName, Route};
//! # async fn example(telemetry: telemetry::Telemetry, url: platform::config::HttpUrl) -> anyhow::Result<()> {
//! const CATALOG: PeerName = PeerName::new("catalog", "catalog-unavailable");
//! const MUSIC: Route<1> = Route::new("/musics/{id}");
//!
//! let catalog = Client::new(&telemetry)?.peer(CATALOG, &url);
//! let music: serde_json::Value = catalog.get(MUSIC.at([17])).send().await?.json()?;
//! # Ok(())
//! # }
//! ```
//!
//! Around each call are, from outside to inside (architecture §8):
//!
//! 1. the deadline of the call: what the request that it is made for has left, 2 s at most, for all attempts together;
//! 2. (the place for what tries again, so that each attempt has its own span, headers and limit;)
//! 3. the client span of an attempt, with `traceparent` injected;
//! 4. the attempt: 900 ms at most, told to the other side as `x-deadline-ms`, until the last byte of an answer of bounded size.
//!
//! There is no way to send without them. Whatever goes wrong is one [`Error`], which knows the [`Problem`](platform::problem::Problem)
//! for the client of the calling service.

mod attempt;
mod call;
mod deadline;
mod error;
mod limits;
mod place;
mod refusal;
mod stream;
mod trace;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use http::Method;
use platform::config::HttpUrl;
use reqwest::redirect;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use telemetry::Telemetry;

pub use call::{Answer, Call};
pub use error::{BoxError, Error, PeerName};
pub use limits::Limits;
pub use place::{Encoded, Place, Route};
pub use refusal::Refusal;

/// How long connecting may take. Everything is near; whoever does not accept within this will not answer in time either.
const CONNECT: Duration = Duration::from_millis(300);

/// The connections of one service to the others; cheap to clone, made once.
#[derive(Clone, Debug)]
pub struct Client {
    http: ClientWithMiddleware,
}

impl Client {
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(telemetry: &Telemetry) -> anyhow::Result<Client> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            // We let go of a connection before the server does, or a request could cross its farewell and be lost.
            .pool_idle_timeout(platform::service::KEEP_ALIVE / 2)
            // A service that sends us elsewhere is broken, and elsewhere is nobody who should see an assertion.
            .redirect(redirect::Policy::none())
            .referer(false)
            // What stands in the environment is about the way to the world, not between our services.
            .no_proxy()
            .build()
            .context("setting up the HTTP client")?;
        let http = ClientBuilder::new(http)
            .with(deadline::CallDeadline)
            .with(trace::Trace(telemetry.clone()))
            .with(attempt::Attempt)
            .build();
        Ok(Client { http })
    }

    /// The service that listens at `base`.
    pub fn peer(&self, name: PeerName, base: &HttpUrl) -> Peer {
        Peer { http: self.http.clone(), name, base: base.as_str().into() }
    }
}

/// Another service, and how to reach it; cheap to clone.
#[derive(Clone, Debug)]
pub struct Peer {
    http: ClientWithMiddleware,
    name: PeerName,
    /// Without a slash at its end.
    base: Arc<str>,
}

impl Peer {
    /// Begins a call.
    pub fn call(&self, method: Method, place: impl Into<Place>) -> Call<'_> {
        Call::new(self, method, &place.into())
    }

    /// Begins a GET.
    pub fn get(&self, place: impl Into<Place>) -> Call<'_> {
        self.call(Method::GET, place)
    }

    /// Begins a POST.
    pub fn post(&self, place: impl Into<Place>) -> Call<'_> {
        self.call(Method::POST, place)
    }
}
