//! A service from its start to its end.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use anyhow::Context;
use axum::{Router, extract::MatchedPath};
use futures_util::future::join_all;
use telemetry::Telemetry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use crate::serve::{KEEP_ALIVE, ServerConfig};
use crate::{
    background::Background,
    health::{self, Health, Latch},
    layers::{self, App},
    meter,
    serve::Server,
};

/// Whoever asks for health or metrics gets the answer; nobody waits for a scraper that stays connected.
const INTERNAL_DRAIN: Duration = Duration::from_millis(250);

/// What every part of one service shares. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Its traces, metrics and logs.
    pub telemetry: Telemetry,
    /// Whether it is ready.
    pub health: Health,
    /// Cancelled when the service is asked to stop: long work ends after its current step.
    pub stopping: CancellationToken,
    /// Work beside the requests that is waited for at the end.
    pub background: Background,
}

impl Parts {
    /// Those of a service that has not begun.
    pub fn new(telemetry: Telemetry) -> Parts {
        let (health, stopping) = (Health::new(), CancellationToken::new());
        Parts { telemetry, health, stopping, background: Background::default() }
    }
}

/// A socket and what is served on it.
#[derive(Debug)]
pub struct Endpoint {
    /// What it is for, in logs, metrics and the `listening` line: `api`, `console`, ...
    pub role: &'static str,
    /// Bound already.
    pub listener: TcpListener,
    /// The routes without the common layers.
    pub router: Router,
    /// The limits of its requests.
    pub policy: Policy,
}

impl Endpoint {
    /// A socket for health and metrics, without routes of its own.
    pub fn internal(listener: TcpListener) -> Endpoint {
        let (router, policy) = (Router::new(), Policy::default());
        Endpoint { role: "internal", listener, router, policy }
    }
}

/// Who has the other end of a request's connection: an extension of every request. An IPv4 address is one, also where the socket
/// speaks IPv6. Behind a proxy it is the proxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// The limits of the requests of one [`Endpoint`].
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whether strangers call: their request ids, deadlines and trace parents are not believed.
    pub edge: bool,
    /// What counts for every route that `overrides` does not name.
    pub limits: RouteLimits,
    /// Limits of single routes, by the path as it was given to the router (`/musics/import`).
    pub overrides: &'static [(&'static str, RouteLimits)],
    /// Whether answers over 1 KiB are compressed for who accepts gzip.
    pub compression: bool,
    /// Whether a request's `Content-Encoding` is left to the router; else an encoded body is refused with 415.
    pub encoded_bodies: bool,
}

/// The limits of one route.
#[derive(Clone, Copy, Debug)]
pub struct RouteLimits {
    /// Bytes of the request's body.
    pub body: usize,
    /// Time until the answer begins.
    pub deadline: Duration,
    /// Time until the request's body has arrived.
    pub body_deadline: Duration,
}

impl Default for RouteLimits {
    fn default() -> Self {
        RouteLimits::DEFAULT
    }
}

impl RouteLimits {
    /// 64 KiB, 10 s, 15 s.
    pub const DEFAULT: RouteLimits = RouteLimits {
        body: 64 << 10,
        deadline: Duration::from_secs(10),
        body_deadline: Duration::from_secs(15),
    };
}

impl Default for Policy {
    /// For callers inside: believed, not compressed.
    fn default() -> Self {
        Policy {
            edge: false,
            limits: RouteLimits::DEFAULT,
            overrides: &[],
            compression: false,
            encoded_bodies: false,
        }
    }
}

impl Policy {
    /// For callers outside: not believed, compressed.
    pub fn edge() -> Policy {
        Policy { edge: true, compression: true, ..Policy::default() }
    }

    pub(crate) fn limits_of(&self, route: Option<&MatchedPath>) -> &RouteLimits {
        let named = |route: &MatchedPath| {
            self.overrides.iter().find(|(path, _)| *path == route.as_str()).map(|(_, it)| it)
        };
        route.and_then(named).unwrap_or(&self.limits)
    }
}

/// Health and metrics of a service, which are served before the service can do anything else: a migration may take minutes, and whoever
/// runs the service wants to know meanwhile that it lives and what it awaits.
#[must_use = "nothing but health and metrics is served before `run`"]
pub struct Internal {
    parts: Parts,
    config: ServerConfig,
    server: Server,
    upkeep: JoinHandle<()>,
    /// The service is not ready before its endpoints are served.
    latch: Latch,
}

impl Internal {
    /// Serves them from now on, beside the routes that `endpoint` has of its own. To be called on a thread of the service's runtime.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub fn serve(
        parts: Parts,
        mut endpoint: Endpoint,
        config: &ServerConfig,
    ) -> anyhow::Result<Internal> {
        let latch = parts.health.latch("endpoints");
        endpoint.router = endpoint.router.merge(health::router(&parts));
        let server = Prepared::new(endpoint, &parts, false)?.serve(config);
        let upkeep = tokio::spawn(parts.telemetry.clone().upkeep());
        Ok(Internal { parts, config: config.clone(), server, upkeep, latch })
    }

    /// What [`run`] does, with health and metrics served already.
    ///
    /// # Errors
    /// When a socket cannot be used; then none is.
    pub async fn run(self, endpoints: Vec<Endpoint>) -> anyhow::Result<()> {
        let outcome = until_stopped(&self.parts, endpoints, &self.config, self.latch).await;
        self.server.stop(INTERNAL_DRAIN).await;
        self.upkeep.abort();
        if outcome.is_ok() {
            tracing::info!("stopped");
        }
        outcome
    }
}

/// Serves `endpoints`, and health and metrics on `internal`, until `parts.stopping` is cancelled; then stops in order. A service that
/// has to prepare itself for a while begins with [`Internal::serve`] instead.
///
/// The order: not ready any more, and [`ServerConfig::notice`] for everybody to notice; no new connections; requests in flight end, for
/// [`ServerConfig::drain`] at most; what works in the background ends, for [`ServerConfig::finish`] at most; the internal port last.
/// Telemetry is flushed by the caller, after this has returned.
///
/// # Errors
/// When a socket cannot be used; then none is.
pub async fn run(
    parts: Parts,
    internal: TcpListener,
    endpoints: Vec<Endpoint>,
    server: &ServerConfig,
) -> anyhow::Result<()> {
    Internal::serve(parts, Endpoint::internal(internal), server)?.run(endpoints).await
}

async fn until_stopped(
    parts: &Parts,
    endpoints: Vec<Endpoint>,
    config: &ServerConfig,
    latch: Latch,
) -> anyhow::Result<()> {
    let endpoints = endpoints
        .into_iter()
        .map(|endpoint| Prepared::new(endpoint, parts, true))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let servers: Vec<Server> = endpoints.into_iter().map(|it| it.serve(config)).collect();
    drop(latch);

    parts.stopping.cancelled().await;
    tracing::info!("stopping");
    parts.health.stop_ready();
    tokio::time::sleep(config.notice).await;
    join_all(servers.into_iter().map(|it| it.stop(config.drain))).await;
    parts.background.end(config.finish).await;
    Ok(())
}

/// An endpoint whose socket belongs to the runtime.
struct Prepared {
    role: &'static str,
    listener: tokio::net::TcpListener,
    app: App,
}

impl Prepared {
    fn new(endpoint: Endpoint, parts: &Parts, traced: bool) -> anyhow::Result<Prepared> {
        let Endpoint { role, listener, router, policy } = endpoint;
        let listener = listener
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpListener::from_std(listener))
            .with_context(|| format!("using the socket of {role}"))?;
        Ok(Prepared { role, listener, app: layers::around(router, policy, parts, traced) })
    }

    fn serve(self, config: &ServerConfig) -> Server {
        meter::start(self.role);
        Server::start(self.role, self.listener, self.app, config)
    }
}
