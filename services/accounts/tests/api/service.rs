//! The service, started as the program starts it, on free ports.

use std::{net::TcpListener, path::Path, time::Duration};

use accounts::{Config, NAME, database, policy, router};
use platform::{
    service::{Endpoint, Parts, ServerConfig, run},
    storage::{Db, Sql, testing::TestDatabase},
};
use reqwest::{Client, Method, header::HeaderMap};
use serde_json::{Value, json};
use telemetry::{
    Telemetry,
    testing::{Captured, capture},
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const PASSWORD: &str = "seven brave otters sing";

pub(crate) struct Service {
    pub(crate) url: String,
    pub(crate) data: TempDir,
    database: TestDatabase,
    pub(crate) telemetry: Telemetry,
    pub(crate) spans: Captured,
    client: Client,
    stopping: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Reply {
    /// The places of its mistakes.
    pub(crate) fn pointers(&self) -> Vec<&str> {
        let errors = self.json["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect()
    }

    /// A text of its body.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.json[field].as_str().unwrap_or_else(|| panic!("{field}: {self:?}"))
    }

    /// Its body and headers without what no two answers have in common.
    pub(crate) fn told(&self) -> (u16, String, HeaderMap) {
        let body = self.text.replace(self.text("trace_id"), "");
        let mut headers = self.headers.clone();
        for changing in ["date", "x-request-id", "x-trace-id", "traceresponse"] {
            headers.remove(changing);
        }
        (self.status, body, headers)
    }

    /// The kind of its problem.
    pub(crate) fn kind(&self) -> &str {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        self.json["type"].as_str().unwrap().strip_prefix("/problems/").unwrap()
    }
}

impl Service {
    pub(crate) async fn start() -> Service {
        Service::start_with(2).await
    }

    /// With so many hashers.
    pub(crate) async fn start_with(hashers: usize) -> Service {
        Service::start_over(TestDatabase::new, hashers).await
    }

    /// Over a file in any case.
    pub(crate) async fn start_on_file() -> Service {
        Service::start_over(TestDatabase::file, 2).await
    }

    async fn start_over(make: fn(&Path, &str) -> TestDatabase, hashers: usize) -> Service {
        let (telemetry, spans) = capture(NAME);
        telemetry.install();
        let data = tempfile::tempdir().unwrap();
        let database = make(data.path(), "accounts");
        let stopping = CancellationToken::new();
        let listener = bind("127.0.0.1:0");
        let url = format!("http://{}", listener.local_addr().unwrap());
        let running = serve(data.path(), &database, hashers, &telemetry, &stopping, listener).await;
        let client = Client::builder().no_proxy().build().unwrap();
        Service { url, data, database, telemetry, spans, client, stopping, running }
    }

    /// Ends it and starts it again, at the same address and over the same files.
    pub(crate) async fn restart(&mut self) {
        self.stopping.cancel();
        (&mut self.running).await.unwrap().unwrap();
        self.stopping = CancellationToken::new();
        let listener = bind(self.url.strip_prefix("http://").unwrap());
        self.running =
            serve(self.data.path(), &self.database, 2, &self.telemetry, &self.stopping, listener)
                .await;
        self.client = Client::builder().no_proxy().build().unwrap();
    }

    /// Lets an operator work on its database, beside it.
    pub(crate) async fn operate<T>(&self, work: impl AsyncFnOnce(&Db) -> T) -> T {
        let config = config(self.data.path(), &self.database, 2);
        let db = database(&config).attach(&Telemetry::disabled(NAME)).await.unwrap();
        let done = work(&db).await;
        db.close().await;
        done
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        assertion: &str,
        body: Option<String>,
    ) -> Reply {
        self.send(method, path, assertion, body, &[]).await
    }

    /// A call with headers of the gateway.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        assertion: &str,
        body: Option<String>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !assertion.is_empty() {
            request = request.bearer_auth(assertion);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        Reply { status, headers, json: serde_json::from_str(&text).unwrap_or_default(), text }
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call(Method::POST, path, "", Some(body.to_string())).await
    }

    pub(crate) async fn get(&self, path: &str, assertion: &str) -> Reply {
        self.call(Method::GET, path, assertion, None).await
    }

    pub(crate) async fn sign_up(&self, username: &str, email: &str, password: &str) -> Reply {
        self.post("/users", json!({"username": username, "email": email, "password": password}))
            .await
    }

    pub(crate) async fn sign_in(&self, username: &str, password: &str) -> Reply {
        self.post("/api-token-auth", json!({"username": username, "password": password})).await
    }

    /// A write by somebody.
    pub(crate) async fn write(
        &self,
        method: Method,
        path: &str,
        assertion: &str,
        body: Value,
    ) -> Reply {
        self.call(method, path, assertion, Some(body.to_string())).await
    }

    /// A call without a body by somebody.
    pub(crate) async fn delete(&self, path: &str, assertion: &str) -> Reply {
        self.call(Method::DELETE, path, assertion, None).await
    }

    /// Signs in to a browser session.
    pub(crate) async fn session(
        &self,
        username: &str,
        password: &str,
        headers: &[(&str, &str)],
    ) -> Reply {
        let body = json!({"username": username, "password": password}).to_string();
        self.send(Method::POST, "/sessions", "", Some(body), headers).await
    }

    /// Exchanges the secret of a session.
    pub(crate) async fn exchange_session(&self, secret: &str) -> Reply {
        self.post("/credentials/exchange", json!({"session": secret})).await
    }

    /// The assertion for a credential of the header `Authorization`.
    pub(crate) async fn assertion(&self, authorization: &str) -> String {
        let exchanged = self.exchange(authorization).await;
        let assertion = exchanged.json["assertion"].as_str();
        assertion.unwrap_or_else(|| panic!("{exchanged:?}")).to_owned()
    }

    /// As if the time to wait after wrong passwords were over.
    pub(crate) async fn wait_out(&self) {
        self.sql("UPDATE sign_in_failures SET next_at = 0").await;
    }

    /// Signs in, which succeeds: the token.
    pub(crate) async fn token(&self, username: &str) -> String {
        let signed_in = self.sign_in(username, PASSWORD).await;
        signed_in.json["token"].as_str().unwrap_or_else(|| panic!("{signed_in:?}")).to_owned()
    }

    pub(crate) async fn exchange(&self, authorization: &str) -> Reply {
        self.post("/credentials/exchange", json!({"authorization": authorization})).await
    }

    /// Signs up and in, and exchanges: the assertion.
    pub(crate) async fn someone(&self, username: &str) -> String {
        let new = self.sign_up(username, "a@example.org", PASSWORD).await;
        assert_eq!(new.status, 201, "{new:?}");
        let token = self.token(username).await;
        let exchanged = self.exchange(&format!("Token {token}")).await;
        exchanged.json["assertion"].as_str().unwrap().to_owned()
    }

    /// Changes the database behind the service's back, as time or an accident would.
    pub(crate) async fn sql(&self, statement: impl Into<Sql>) {
        self.database.run(statement).await;
    }

    /// One number out of the database.
    pub(crate) async fn number(&self, statement: impl Into<Sql>) -> i64 {
        self.database.number(statement).await
    }

    /// The value of a series, labels and all; 0 where there is none.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let (_, text) = self.telemetry.render(None);
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

fn bind(address: &str) -> TcpListener {
    TcpListener::bind(address).unwrap()
}

fn config(data: &Path, database: &TestDatabase, hashers: usize) -> Config {
    Config::from_pairs(&[
        ("ACCOUNTS_DATABASE", database.setting()),
        ("ACCOUNTS_SIGNING_KEY_FILE", data.join("accounts.key").to_str().unwrap()),
        ("ACCOUNTS_HASHERS", &hashers.to_string()),
    ])
}

async fn serve(
    data: &Path,
    database: &TestDatabase,
    hashers: usize,
    telemetry: &Telemetry,
    stopping: &CancellationToken,
    listener: TcpListener,
) -> JoinHandle<anyhow::Result<()>> {
    let config = config(data, database, hashers);
    let parts = Parts { stopping: stopping.clone(), ..Parts::new(telemetry.clone()) };
    let router = router(&config, &parts).await.unwrap();
    let endpoint = Endpoint { role: "api", listener, router, policy: policy() };
    let server = ServerConfig { notice: Duration::ZERO, ..ServerConfig::default() };
    tokio::spawn(async move { run(parts, bind("127.0.0.1:0"), vec![endpoint], &server).await })
}
