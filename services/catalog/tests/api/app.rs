//! The catalog as it runs: its own router behind the platform's server, on a real socket, over a real database.

use std::{net::TcpListener, time::Duration};

use axum::{Json, Router, routing::get};
use platform::{
    health::Health,
    identity::Signer,
    service::{self, Endpoint, Parts, ServerConfig},
    storage::testing::TestDatabase,
};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use telemetry::{
    Telemetry,
    testing::{Captured, capture},
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Two who are signed in.
pub(crate) const ANNA: i64 = 1;
pub(crate) const BORIS: i64 = 2;

/// A database of its own: a file in a folder, or one on the server that `MUSICWALLET_TEST_POSTGRES` names.
pub(crate) struct Place {
    pub(crate) database: TestDatabase,
    _folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        let folder = TempDir::new().unwrap();
        Place { database: TestDatabase::new(folder.path(), "catalog"), _folder: folder }
    }

    /// A file in any case: what is tested is its lock.
    pub(crate) fn file() -> Place {
        let folder = TempDir::new().unwrap();
        Place { database: TestDatabase::file(folder.path(), "catalog"), _folder: folder }
    }
}

pub(crate) struct App {
    pub(crate) address: String,
    pub(crate) telemetry: Telemetry,
    pub(crate) spans: Captured,
    pub(crate) stopping: CancellationToken,
    pub(crate) running: JoinHandle<anyhow::Result<()>>,
    client: Client,
    signer: Signer,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) json: Value,
}

impl App {
    /// Over a new catalog.
    pub(crate) async fn start() -> (App, Place) {
        let place = Place::new();
        (App::start_in(&place, &[]).await, place)
    }

    /// Over the catalog that is there.
    pub(crate) async fn start_in(place: &Place, settings: &[(&str, &str)]) -> App {
        let (telemetry, spans) = capture(catalog::NAME);
        telemetry.install();
        let signer = Signer::generate().unwrap();
        let accounts = accounts(&signer).await;
        let mut pairs = vec![
            ("CATALOG_DATABASE", place.database.setting()),
            ("CATALOG_ACCOUNTS_URL", accounts.as_str()),
        ];
        pairs.extend(settings);
        let config = catalog::Config::from_pairs(&pairs);
        let stopping = CancellationToken::new();
        let parts = Parts {
            telemetry: telemetry.clone(),
            health: Health::new(),
            stopping: stopping.clone(),
        };
        let router = catalog::router(&config, &parts).await.unwrap();
        let (listener, internal) = (bind(), bind());
        let address = listener.local_addr().unwrap().to_string();
        let endpoint = Endpoint { role: "api", listener, router, policy: catalog::policy() };
        let running = tokio::spawn(async move {
            service::run(parts, internal, vec![endpoint], &ServerConfig::default()).await
        });
        let client = Client::builder().no_proxy().build().unwrap();
        App { address, telemetry, spans, stopping, running, client, signer }
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

    pub(crate) async fn put(&self, path: &str, user: i64, body: Value) -> Answer {
        answer(self.request(Method::PUT, path, user).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, user: i64, body: Value) -> Answer {
        answer(self.request(Method::PATCH, path, user).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str, user: i64) -> Answer {
        answer(self.request(Method::DELETE, path, user)).await
    }

    pub(crate) async fn import(&self, user: i64, file: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::POST, "/musics/import", user);
        answer(request.header("content-type", "text/csv; charset=utf-8").body(file)).await
    }

    /// The ids of a list, page after page.
    pub(crate) async fn ids(&self, query: &str, limit: usize) -> Vec<i64> {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/musics?limit={limit}{query}{cursor}")).await;
            assert_eq!(page.status, 200, "{}", page.json);
            let items = page.json["items"].as_array().unwrap();
            assert!(items.len() <= limit);
            ids.extend(items.iter().map(|it| it["id"].as_i64().unwrap()));
            match page.json["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return ids,
            }
        }
    }

    pub(crate) async fn total(&self, query: &str) -> i64 {
        let page = self.get(&format!("/musics?limit=1&count=true{query}")).await;
        page.json["total"].as_i64().unwrap_or_else(|| panic!("{}", page.json))
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
    let header = |name| response.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
    let (status, location) = (response.status().as_u16(), header("location"));
    if status >= 400 {
        assert_eq!(header("content-type").as_deref(), Some("application/problem+json"));
    }
    let body = response.bytes().await.unwrap();
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Answer { status, location, json }
}

impl Answer {
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

fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// What the catalog needs of accounts: its public keys.
async fn accounts(signer: &Signer) -> String {
    let keys = signer.keys().clone();
    let router = Router::new().route("/.well-known/jwks.json", get(async move || Json(keys)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}
