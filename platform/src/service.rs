//! A service from its start to its end.

use std::{net::TcpListener, time::Duration};

use axum::Router;
use telemetry::Telemetry;
use tokio_util::sync::CancellationToken;

use crate::health::Health;
pub use crate::serve::{KEEP_ALIVE, ServerConfig};

/// What every part of one service shares. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Its traces, metrics and logs.
    pub telemetry: Telemetry,
    /// Whether it is ready.
    pub health: Health,
    /// Cancelled when the service is asked to stop: long work ends after its current step.
    pub stopping: CancellationToken,
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
    fn default() -> Self {
        Policy {
            edge: false,
            limits: RouteLimits::DEFAULT,
            overrides: &[],
            compression: true,
            encoded_bodies: false,
        }
    }
}

/// Serves `endpoints`, and health and metrics on `internal`, until `parts.stopping` is cancelled; then drains.
///
/// # Errors
/// When a socket cannot be used.
pub async fn run(
    parts: Parts,
    internal: TcpListener,
    endpoints: Vec<Endpoint>,
    server: &ServerConfig,
) -> anyhow::Result<()> {
    let _ = (parts, internal, endpoints, server);
    anyhow::bail!("the server is not written yet")
}
