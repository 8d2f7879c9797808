//! The accept loop.

use std::time::Duration;

/// How long an idle connection is kept for its next request. Clients must give up idle connections sooner than this
/// (`resilience` does after 4 s), or they send a request into a connection that is being closed.
pub const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How the server treats connections. The defaults are meant for production; tests shorten them.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// How many connections may be open at once on one listener; one more is closed at once.
    pub max_connections: usize,
    /// How long the first bytes may take, from the connection's start until the protocol is known.
    pub first_bytes: Duration,
    /// How long a request's head may take, and how long an idle connection is kept ([`KEEP_ALIVE`]).
    pub head: Duration,
    /// How long a client may take nothing of an answer.
    pub write_stall: Duration,
    /// How long the service still accepts connections after it said that it is not ready any more.
    pub notice: Duration,
    /// How long requests in flight may still run after that.
    pub drain: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            max_connections: 1024,
            first_bytes: Duration::from_secs(5),
            head: KEEP_ALIVE,
            write_stall: Duration::from_secs(30),
            notice: Duration::from_secs(1),
            drain: Duration::from_secs(7),
        }
    }
}
