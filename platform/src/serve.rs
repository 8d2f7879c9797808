//! The accept loop: every connection is bounded in number, in size and in time.
//!
//! `axum::serve` has no timer for a request's head, no limit on connections and no end to its draining, so this stands on hyper-util
//! directly. One connection passes, in order: the limit on how many there are, the time for its first bytes ([`socket`]), hyper's
//! limits for a head, the [layers](crate::layers), and at the end the drain.

pub(crate) mod cut;
mod socket;

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::body::Body;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::{layers::App, meter, service::PeerAddress};
use cut::Cut;
use socket::{Activity, Socket};

/// How long an idle HTTP/1 connection is kept for its next request.
///
/// Clients have to give up idle connections sooner (`pool_idle_timeout`; ours do after half of it), or they will send a request into a
/// connection that is just being closed, and cannot know whether it was executed.
pub const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// What hyper may buffer of the head of an HTTP/1 request, of bodies and of answers. A longer head gets a 431 (it may overshoot by one read
/// of [`socket`]); what fits may have a path of 64 KiB, which hyper answers with 414.
const HTTP1_BUFFER: usize = 72 << 10;

/// All headers of an HTTP/2 request, as its specification counts them. More get a 431.
const HTTP2_HEADERS: u32 = 16 << 10;

/// Requests at once on one HTTP/2 connection.
const HTTP2_STREAMS: u32 = 256;

/// A client of HTTP/2 is asked this often whether it is still there, and has this long to answer.
const HTTP2_PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// After an error that another attempt would only repeat, such as no free file descriptor.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How the server treats connections. The defaults are meant for production; tests shorten them.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// How many connections may be open at once on one listener; one more is closed at once.
    pub max_connections: usize,
    /// How long the first bytes may take, from the connection's start until the protocol is known.
    pub first_bytes: Duration,
    /// How long the head of an HTTP/1 request may take; and, because hyper has one timer for both, how long an idle connection is kept,
    /// counted from when the system has taken the last answer: [`KEEP_ALIVE`].
    pub head: Duration,
    /// How long a client may take nothing of an answer.
    pub write_stall: Duration,
    /// How long an HTTP/2 connection is kept without a new request; for its first one it has `first_bytes` and `head`, as with HTTP/1.
    /// It is asked to end then, and cut after another `write_stall`.
    pub http2_idle: Duration,
    /// How long the service still accepts connections after it said that it is not ready any more.
    pub notice: Duration,
    /// How long requests in flight may still run after that.
    pub drain: Duration,
    /// How long work in the background may take to end after them.
    pub finish: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            max_connections: 1024,
            first_bytes: Duration::from_secs(5),
            head: KEEP_ALIVE,
            write_stall: Duration::from_secs(30),
            http2_idle: Duration::from_secs(300),
            notice: Duration::from_secs(1),
            drain: Duration::from_secs(7),
            finish: Duration::from_secs(1),
        }
    }
}

/// A listener that is being served.
pub(crate) struct Server {
    closing: CancellationToken,
    accepting: JoinHandle<Acceptor>,
}

impl Server {
    /// Serves `app` on `listener` from now on.
    pub(crate) fn start(
        role: &'static str,
        listener: TcpListener,
        app: App,
        config: &ServerConfig,
    ) -> Server {
        let closing = CancellationToken::new();
        let acceptor = Acceptor {
            role,
            app,
            config: config.clone(),
            closing: closing.clone(),
            connections: JoinSet::new(),
        };
        Server { closing, accepting: tokio::spawn(acceptor.run(listener)) }
    }

    /// Accepts nothing more, lets requests in flight end for `time` at most, and cuts the rest.
    pub(crate) async fn stop(self, time: Duration) {
        self.closing.cancel();
        match self.accepting.await {
            Ok(acceptor) => acceptor.drain(time).await,
            Err(failed) => tracing::error!("the accept loop failed: {failed}"),
        }
    }
}

struct Acceptor {
    role: &'static str,
    app: App,
    config: ServerConfig,
    closing: CancellationToken,
    connections: JoinSet<()>,
}

impl Acceptor {
    /// Returns, with the connections that are left, when it shall accept no more.
    async fn run(mut self, listener: TcpListener) -> Acceptor {
        let mut failing = false;
        loop {
            tokio::select! { // a dropped `accept` or `join_next` loses nothing: both keep what they have not returned
                () = self.closing.cancelled() => break,
                Some(ended) = self.connections.join_next() => self.ended(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        failing = false;
                        self.accepted(stream, peer);
                    }
                    Err(error) if client_has_gone(&error) => {}
                    Err(error) => {
                        meter::accept_failed(self.role);
                        if !failing {
                            tracing::error!(role = self.role, "cannot accept connections: {error}");
                        }
                        failing = true;
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                    }
                },
            }
        }
        drop(listener); // who comes now is refused, instead of waiting for nobody
        self
    }

    fn accepted(&mut self, stream: TcpStream, peer: SocketAddr) {
        if self.connections.len() >= self.config.max_connections {
            meter::connection_refused(self.role);
            return; // dropped, and so closed
        }
        // Answers are small and written at once; without this they can wait for the client's acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let connection = serve_connection(
            self.role,
            stream,
            PeerAddress(SocketAddr::new(peer.ip().to_canonical(), peer.port())),
            self.app.clone(),
            self.config.clone(),
            self.closing.clone(),
        );
        self.connections.spawn(connection);
        meter::connections(self.role, self.connections.len());
    }

    fn ended(&self, ended: Result<(), JoinError>) {
        meter::connections(self.role, self.connections.len());
        if ended.is_err_and(|error| error.is_panic()) {
            // Handlers are caught by a layer. What is left is the body of an answer, which hyper asks for.
            meter::panicked("connection");
            tracing::error!(role = self.role, "a connection ended by a panic");
        }
    }

    async fn drain(mut self, time: Duration) {
        let all = async {
            while let Some(ended) = self.connections.join_next().await {
                self.ended(ended);
            }
        };
        if tokio::time::timeout(time, all).await.is_err() {
            let cut = self.connections.len();
            (0..cut).for_each(|_| meter::connection_cut(self.role, Cut::Drain.reason()));
            tracing::warn!(
                role = self.role,
                connections = cut,
                "cut connections that were not drained in time"
            );
            self.connections.shutdown().await;
        }
        meter::connections(self.role, 0);
    }
}

/// Speaks HTTP/1 or HTTP/2 until the client has gone, a limit is crossed, or `closing` is cancelled and the requests in flight are answered.
async fn serve_connection(
    role: &'static str,
    stream: TcpStream,
    peer: PeerAddress,
    app: App,
    config: ServerConfig,
    closing: CancellationToken,
) {
    let activity = Arc::new(Activity::default());
    let socket = Socket::new(stream, activity.clone(), config.first_bytes, config.write_stall);
    let counted = activity.clone();
    let service = hyper::service::service_fn(move |request: http::Request<_>| {
        counted.requests.fetch_add(1, Ordering::Relaxed);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        app.clone().call(request) // a router is always ready
    });
    let builder = protocol(&config);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));

    let mut idle =
        pin!(tokio::time::sleep(config.http2_idle.min(config.first_bytes + config.head)));
    let (mut closed, mut expired, mut requests) = (false, false, 0);
    let ended = loop {
        tokio::select! { // only `connection` holds anything that could be lost, and it lives outside
            ended = connection.as_mut() => break ended,
            () = closing.cancelled(), if !closed => {
                closed = true;
                connection.as_mut().graceful_shutdown();
            }
            // HTTP/1 has its own timer for this, in hyper; HTTP/2 would be kept for as long as the client answers pings.
            () = idle.as_mut(), if !closed => {
                let before = std::mem::replace(&mut requests, activity.requests.load(Ordering::Relaxed));
                let http2 = activity.http2.load(Ordering::Relaxed);
                if expired {
                    return meter::connection_cut(role, Cut::Stuck.reason());
                }
                expired = http2 && before == requests;
                if expired {
                    connection.as_mut().graceful_shutdown();
                }
                let next = if expired { config.write_stall } else { config.http2_idle };
                idle.as_mut().reset(tokio::time::Instant::now() + next);
            }
        }
    };
    if let Err(error) = ended {
        // HTTP/2 has a timeout too, for pings: who does not answer them has gone.
        let http2 = activity.http2.load(Ordering::Relaxed);
        let in_a_head = !http2 && activity.unanswered.load(Ordering::Relaxed);
        if let Some(cut) = Cut::of(&*error, in_a_head) {
            meter::connection_cut(role, cut.reason());
            tracing::debug!(role, reason = cut.reason(), "cut a connection: {error}");
        }
    }
}

fn protocol(config: &ServerConfig) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.head)
        .max_buf_size(HTTP1_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HTTP2_HEADERS)
        .max_concurrent_streams(HTTP2_STREAMS)
        .keep_alive_interval(HTTP2_PING.0)
        .keep_alive_timeout(HTTP2_PING.1);
    builder
}

/// The client gave up between its request for a connection and our accepting it.
fn client_has_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
