//! A service as it runs: its own router behind the platform's server, on a real socket. The tests of the wallet have this file, too.

use std::{net::TcpListener, sync::Arc, time::Duration};

use axum::{Json, Router, routing::get};
use platform::{
    identity::Signer,
    service::{self, Endpoint, Parts, Policy, ServerConfig},
};
use reqwest::{Client, Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};
use telemetry::{
    Telemetry,
    testing::{Captured, capture},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Two who are signed in.
pub(crate) const ANNA: i64 = 1;
pub(crate) const BORIS: i64 = 2;

pub(crate) struct Served {
    pub(crate) address: String,
    pub(crate) telemetry: Telemetry,
    pub(crate) spans: Captured,
    pub(crate) stopping: CancellationToken,
    pub(crate) running: JoinHandle<anyhow::Result<()>>,
    client: Client,
    signer: Arc<Signer>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) json: Value,
    headers: HeaderMap,
}

impl Served {
    /// Starts the service whose router is made by `router`; callers are vouched for by `signer`.
    pub(crate) async fn start(
        name: &'static str,
        policy: Policy,
        signer: &Arc<Signer>,
        router: impl AsyncFnOnce(&Parts) -> anyhow::Result<Router>,
    ) -> Served {
        let (telemetry, spans) = capture(name);
        telemetry.install();
        let parts = Parts::new(telemetry.clone());
        let stopping = parts.stopping.clone();
        let router = router(&parts).await.unwrap();
        let (listener, internal) = (bind(), bind());
        let address = listener.local_addr().unwrap().to_string();
        let endpoint = Endpoint { role: "api", listener, router, policy };
        let running = tokio::spawn(async move {
            service::run(parts, internal, vec![endpoint], &ServerConfig::default()).await
        });
        let client = Client::builder().no_proxy().build().unwrap();
        let signer = Arc::clone(signer);
        Served { address, telemetry, spans, stopping, running, client, signer }
    }

    pub(crate) fn assertion(&self, user: i64) -> String {
        self.signer.sign(user, "somebody").unwrap()
    }

    pub(crate) fn request(&self, method: Method, path: &str, user: i64) -> RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        self.client.request(method, url).bearer_auth(self.assertion(user))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path, ANNA)).await
    }

    pub(crate) async fn post(&self, path: &str, user: i64, body: Value) -> Answer {
        answer(self.request(Method::POST, path, user).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str, user: i64) -> Answer {
        answer(self.request(Method::DELETE, path, user)).await
    }

    /// Sends a CSV file to `path`.
    pub(crate) async fn upload(
        &self,
        path: &str,
        user: i64,
        file: impl Into<reqwest::Body>,
    ) -> Answer {
        let request = self.request(Method::POST, path, user);
        answer(request.header("content-type", "text/csv; charset=utf-8").body(file)).await
    }

    /// Sends the head of an upload of `file`, and `end` bytes of it. Who drops the socket has gone.
    pub(crate) async fn begin_upload(
        &self,
        path: &str,
        user: i64,
        file: &str,
        end: usize,
    ) -> TcpStream {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: text/csv\r\ncontent-length: {}\r\n\r\n",
            self.assertion(user),
            file.len()
        );
        let mut socket = TcpStream::connect(&self.address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&file.as_bytes()[..end]).await.unwrap();
        socket
    }

    /// Each of these requests is refused without an assertion, and with one that nobody signed.
    pub(crate) async fn refuses_strangers(&self, requests: &[(&str, &str)]) {
        let forged = self.assertion(ANNA).split_once('.').unwrap().0.to_owned() + ".e30.AAAA";
        let credentials = [
            None,
            Some("Token abc".into()),
            Some(format!("Bearer {forged}")),
            Some("Bearer x".into()),
        ];
        for (method, path) in requests {
            for credential in &credentials {
                let url = format!("http://{}{path}", self.address);
                let mut request = self.client.request(method.parse().unwrap(), url);
                request = request.header("content-type", "application/json").body("{");
                if let Some(credential) = credential {
                    request = request.header("authorization", credential);
                }
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), 401, "{method} {path} {credential:?}");
                assert!(answer.headers().contains_key("www-authenticate"));
            }
        }
    }

    /// An import at `path` refuses what is no list of songs, and says why.
    pub(crate) async fn refuses_bad_files(&self, path: &str) {
        let mut latin1 = songs(1_500).into_bytes();
        latin1.extend(b"Beyonc\xe9,X,\n");
        for (file, why) in [
            (Vec::new(), "the file is empty"),
            (b"name,plays\nx,1\n".to_vec(), "no column for title and artist"),
            (latin1, "line 1502 is not UTF-8; save the file as \"CSV UTF-8\""),
            (b"\xff\xfet\0i\0t\0l\0e\0".to_vec(), "UTF-16"),
        ] {
            let refused = self.upload(path, ANNA, file).await;
            assert_eq!(refused.problem(), (400, "invalid-input"), "{why}");
            assert!(refused.json["detail"].as_str().unwrap().contains(why), "{}", refused.json);
        }
        let refused = self.upload(path, ANNA, songs(100_001)).await;
        assert_eq!(refused.problem(), (413, "too-many-rows"));
        assert_eq!(refused.json["errors"][0]["limit"], json!(100_000));

        let large = songs(1_500) + &format!("\"{}\",A,\n", "x".repeat(32 << 20));
        assert_eq!(self.upload(path, ANNA, large).await.status, 413, "announced");
        let request = self.request(Method::POST, path, ANNA).body("title,artist\n");
        assert_eq!(answer(request.header("content-type", "application/json")).await.status, 415);
    }

    /// The value of a metric with its labels, as `/metrics` tells it; 0 for one that is not there.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.telemetry.render(None);
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits, for 10 s at most, until no request is being served.
    pub(crate) async fn idle(&self) {
        let idle = async {
            while self.metric("http_server_active_requests") != 0.0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), idle).await.expect("a request never ends");
    }

    /// Stops it and waits until it has: another one can then have its database.
    pub(crate) async fn stop(self) {
        self.stopping.cancel();
        self.running.await.unwrap().unwrap();
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.unwrap();
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let answer = Answer { status, json, headers };
    if status >= 400 {
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    answer
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|it| it.to_str().unwrap())
    }

    /// The status, and the last part of the problem's type.
    pub(crate) fn problem(&self) -> (u16, &str) {
        let kind = self.json["type"].as_str().unwrap_or_default();
        (self.status, kind.strip_prefix("/problems/").unwrap_or_default())
    }

    /// The places of the mistakes.
    pub(crate) fn pointers(&self) -> Vec<&str> {
        let errors = self.json["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().map(|it| it["pointer"].as_str().unwrap()).collect()
    }
}

/// A file of so many songs.
pub(crate) fn songs(count: usize) -> String {
    let lines =
        (1..=count).map(|number| format!("Song {number},Artist {},{number}\n", number % 10));
    "title,artist,duration_ms\n".to_owned() + &lines.collect::<String>()
}

/// 2,500 songs, the first once more, one on two lines, one that is none; and what a report says of the last.
pub(crate) fn odd_songs() -> (String, Value) {
    let mut file = songs(2_500);
    file.push_str("  SONG 1 , artist 1,\n\n"); // line 2502, and an empty one
    file.push_str("\"Two\r\nlines\",Artist,\n"); // 2504
    file.push_str(",Artist,-1\n"); // 2506
    let reason = "title must not be empty; duration_ms must be 0 to 86400000 milliseconds";
    (file, json!([{"line": 2506, "reason": reason}]))
}

fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// What services need of accounts: its public keys.
pub(crate) async fn accounts(signer: &Signer) -> String {
    let keys = signer.keys().clone();
    let router = Router::new().route("/.well-known/jwks.json", get(async move || Json(keys)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}
