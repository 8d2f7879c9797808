//! The gateway: the public API, composed from the services behind it. It owns nothing durable.
//!
//! A public credential comes as far as this: `credentials.rs` exchanges it for an assertion, and only that travels on. `musics.rs` and
//! `import.rs` are the songs, `accounts.rs` signing up and in, `names.rs` puts usernames where the services know ids.

mod accounts;
mod credentials;
mod import;
mod meter;
mod musics;
mod names;

use std::net::SocketAddr;

use axum::Router;
use platform::{
    config::HttpUrl,
    service::{Parts, Policy},
};
use resilience::{Client, Peer, PeerName};

use crate::credentials::Credentials;

/// The service's name, in telemetry, commands and messages.
pub const NAME: &str = "gateway";

const ACCOUNTS: PeerName = PeerName::new("accounts", "accounts-unavailable");
const CATALOG: PeerName = PeerName::new("catalog", "catalog-unavailable");

platform::settings! {
    /// Settings of the gateway.
    pub struct Config {
        /// Address and port of the public API.
        pub listen: SocketAddr = "127.0.0.1:8080", "GATEWAY_LISTEN";
        /// Address and port for health and metrics.
        pub internal_listen: SocketAddr = "127.0.0.1:9180", "GATEWAY_INTERNAL_LISTEN";
        /// Base address of accounts.
        pub accounts_url: HttpUrl = "http://127.0.0.1:9101", "GATEWAY_ACCOUNTS_URL";
        /// Base address of the catalog.
        pub catalog_url: HttpUrl = "http://127.0.0.1:9102", "GATEWAY_CATALOG_URL";
    }
}

/// What handlers can ask for.
#[derive(Clone, Debug)]
struct Gateway {
    accounts: Peer,
    catalog: Peer,
    credentials: Credentials,
}

/// The routes, ready to be served with [`policy`]. Nobody is called before a request comes: the services may start in any order.
///
/// # Errors
/// When no HTTP client can be made.
pub async fn router(config: &Config, parts: &Parts) -> anyhow::Result<Router> {
    let client = Client::new(&parts.telemetry)?;
    let accounts = client.peer(ACCOUNTS, &config.accounts_url);
    let catalog = client.peer(CATALOG, &config.catalog_url);
    meter::start();
    let credentials = Credentials::new(accounts.clone());
    Ok(Router::new()
        .merge(accounts::router())
        .merge(musics::router())
        .merge(import::router())
        .with_state(Gateway { accounts, catalog, credentials }))
}

/// The limits of requests, which come from anywhere.
pub fn policy() -> Policy {
    Policy { overrides: &[import::LIMITS], ..Policy::edge() }
}
