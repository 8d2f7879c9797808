//! A service to talk to, and a client that says exactly what it is told to say.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use axum::Router;
use platform::service::{Endpoint, Internal, Parts, Policy, ServerConfig};
use serde_json::Value;
use telemetry::Telemetry;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

/// For everything that has to happen at all; what takes longer has not happened.
const LIMIT: Duration = Duration::from_secs(10);

/// A service that runs on the test's own thread.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) internal: SocketAddr,
    pub(crate) parts: Parts,
    pub(crate) running: JoinHandle<anyhow::Result<()>>,
}

/// Times short enough for tests.
pub(crate) fn short() -> ServerConfig {
    ServerConfig {
        first_bytes: Duration::from_millis(600),
        head: Duration::from_millis(600),
        write_stall: Duration::from_millis(500),
        notice: Duration::from_millis(100),
        drain: Duration::from_millis(600),
        ..ServerConfig::default()
    }
}

impl Service {
    pub(crate) fn start(router: Router, policy: Policy, server: ServerConfig) -> Service {
        Service::start_after(std::future::ready(()), router, policy, server)
    }

    /// With something to do first, as a migration.
    pub(crate) fn start_after(
        preparing: impl Future<Output = ()> + Send + 'static,
        router: Router,
        policy: Policy,
        server: ServerConfig,
    ) -> Service {
        let telemetry = Telemetry::disabled("test");
        telemetry.install();
        let parts = Parts::new(telemetry);
        let (listener, internal) = (bind(), bind());
        let (address, internal_address) =
            (listener.local_addr().unwrap(), internal.local_addr().unwrap());
        let endpoint = Endpoint { role: "api", listener, router, policy };
        let serving =
            Internal::serve(parts.clone(), Endpoint::internal(internal), &server).unwrap();
        let running = tokio::spawn(async move {
            preparing.await;
            serving.run(vec![endpoint]).await
        });
        Service { address, internal: internal_address, parts, running }
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Client {
        Client(within(TcpStream::connect(self.address)).await.unwrap())
    }

    /// One request over a connection of its own.
    pub(crate) async fn ask(&self, head: &str, body: &[u8]) -> Answer {
        let mut client = self.connect().await;
        client.send_request(head, body).await;
        client.answer().await
    }

    /// A probe or a scrape.
    pub(crate) async fn internal(&self, path: &str) -> Answer {
        let mut client = Client(within(TcpStream::connect(self.internal)).await.unwrap());
        client.send_request(&format!("GET {path}"), b"").await;
        client.answer().await
    }

    /// The value of a metric of the endpoint, 0 while there is none.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> f64 {
        let (_, text) = self.parts.telemetry.render(None);
        let series = |line: &&str| line.starts_with(&format!("{name}{{")) && line.contains(labels);
        let line = text.lines().find(series);
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// Waits until the metric has the value.
    pub(crate) async fn becomes(&self, name: &str, labels: &str, value: f64) {
        for _ in 0..500 {
            if self.metric(name, labels) == value {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{name}{{{labels}}} is {}, not {value}", self.metric(name, labels));
    }

    /// How many connections were cut for `reason`.
    pub(crate) async fn cuts(&self, reason: &str, value: f64) {
        let labels = format!("reason=\"{reason}\"");
        self.becomes("http_server_connections_cut_total", &labels, value).await;
    }

    /// Asks the service to stop and waits for its end.
    pub(crate) async fn stop(self) {
        self.parts.stopping.cancel();
        within(self.running).await.unwrap().unwrap();
    }
}

fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// What `future` gives, which it has to do in [`LIMIT`].
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.expect("it did not happen in time")
}

/// A connection.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        within(self.0.write_all(bytes)).await.unwrap();
    }

    /// `head` is the method, the path and, if need be, headers: `"PUT /x\r\nA: b"`.
    pub(crate) async fn send_request(&mut self, head: &str, body: &[u8]) {
        let (first, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let mut text = format!("{first} HTTP/1.1\r\nHost: test\r\n");
        if !headers.is_empty() {
            text += &format!("{headers}\r\n");
        }
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        self.send(format!("{text}\r\n").as_bytes()).await;
        self.send(body).await;
    }

    /// The next answer; the connection may stay open.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = within(self.0.read_u8()).await;
            let read = String::from_utf8_lossy(&head);
            head.push(byte.unwrap_or_else(|error| panic!("{error} after {read:?}")));
        }
        let head = String::from_utf8(head).unwrap();
        let (first, headers) = head.split_once("\r\n").unwrap();
        let headers: BTreeMap<String, String> = headers
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        within(self.0.read_exact(&mut body)).await.unwrap();
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let json = serde_json::from_slice(&body).unwrap_or_default();
        Answer { status, headers, body, json }
    }

    /// What still comes until the server closes the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = within(self.0.read_to_end(&mut rest)).await;
        rest
    }
}

/// What the server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The kind of the problem, after a look at whether it is one.
    pub(crate) fn problem(&self) -> &str {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.json["status"], self.status);
        assert!(self.json["title"].is_string() && self.json["detail"].is_string(), "{self:?}");
        self.json["type"].as_str().unwrap().strip_prefix("/problems/").unwrap()
    }
}
