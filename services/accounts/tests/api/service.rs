//! The service, started as the program starts it, on free ports.

use std::net::TcpListener;

use accounts::{Config, policy, router};
use platform::{
    health::Health,
    service::{Endpoint, Parts, ServerConfig, run},
};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use telemetry::Telemetry;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) const PASSWORD: &str = "seven brave otters sing";

pub(crate) struct Service {
    pub(crate) url: String,
    pub(crate) data: TempDir,
    client: Client,
    stopping: CancellationToken,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Service {
    pub(crate) async fn start() -> Service {
        let data = tempfile::tempdir().unwrap();
        let path = |name: &str| data.path().join(name).display().to_string();
        let config = Config::from_pairs(&[
            ("ACCOUNTS_DATABASE", &path("accounts.db")),
            ("ACCOUNTS_SIGNING_KEY_FILE", &path("accounts.key")),
            ("ACCOUNTS_HASHERS", "2"),
        ]);
        let stopping = CancellationToken::new();
        let telemetry = Telemetry::disabled("accounts");
        let parts = Parts { telemetry, health: Health::new(), stopping: stopping.clone() };
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = bind();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = router(&config, &parts).await.unwrap();
        let endpoint = Endpoint { role: "api", listener, router, policy: policy() };
        tokio::spawn(
            async move { run(parts, bind(), vec![endpoint], &ServerConfig::default()).await },
        );
        Service { url, data, client: Client::builder().no_proxy().build().unwrap(), stopping }
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        assertion: &str,
        body: Option<Value>,
    ) -> Reply {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if !assertion.is_empty() {
            request = request.bearer_auth(assertion);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        Reply { status, json: serde_json::from_str(&text).unwrap_or_default(), text }
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call(Method::POST, path, "", Some(body)).await
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

    pub(crate) async fn exchange(&self, authorization: &str) -> Reply {
        self.post("/credentials/exchange", json!({"authorization": authorization})).await
    }

    /// Signs up and in, and exchanges: the assertion.
    pub(crate) async fn someone(&self, username: &str) -> String {
        let new = self.sign_up(username, "a@example.org", PASSWORD).await;
        assert_eq!(new.status, 201, "{new:?}");
        let token = self.sign_in(username, PASSWORD).await;
        let token = token.json["token"].as_str().unwrap();
        let exchanged = self.exchange(&format!("Token {token}")).await;
        exchanged.json["assertion"].as_str().unwrap().to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}
