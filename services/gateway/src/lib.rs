//! The gateway: the public API, composed from the services behind it. It owns nothing durable.
//!
//! A public credential comes as far as this: `credentials.rs` exchanges it for an assertion, and only that travels on. `accounts.rs`,
//! `sessions.rs` and `tokens.rs` are signing up and in; `users.rs`, `favourites.rs` and `musics.rs` what people read and change, `import.rs` files;
//! `ancestor.rs` has the paths of the Django ancestor that mean two things. `library.rs` puts songs together from catalog and wallet, `names.rs`
//! puts usernames where the services know ids, and `degraded.rs` says so where a service was away.

mod accounts;
mod ancestor;
mod bodies;
mod client;
mod credentials;
mod degraded;
mod favourites;
mod import;
mod library;
mod meter;
mod musics;
mod names;
mod pages;
mod sessions;
mod tokens;
mod users;

use std::net::SocketAddr;

use axum::{Router, middleware::from_fn_with_state};
use platform::{
    config::{HttpUrl, Networks},
    openapi::{About, Callers, OpenApiRouter, documented},
    service::{Parts, Policy},
};
use resilience::{Client, Peer, PeerName};

use crate::credentials::Credentials;

/// The service's name, in telemetry, commands and messages.
pub const NAME: &str = "gateway";

const ACCOUNTS: PeerName = PeerName::new("accounts", "accounts-unavailable");
const CATALOG: PeerName = PeerName::new("catalog", "catalog-unavailable");
const WALLET: PeerName = PeerName::new("wallet", "wallet-unavailable");

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
        /// Base address of the wallet.
        pub wallet_url: HttpUrl = "http://127.0.0.1:9103", "GATEWAY_WALLET_URL";
        /// Proxies whose X-Forwarded-For is believed: addresses or networks, separated by commas.
        pub trusted_proxies: Networks = none, "GATEWAY_TRUSTED_PROXIES";
    }
}

/// What handlers can ask for.
#[derive(Clone, Debug)]
struct Gateway {
    accounts: Peer,
    catalog: Peer,
    wallet: Peer,
    credentials: Credentials,
    trusted_proxies: Networks,
}

/// The routes, ready to be served with [`policy`]. Nobody is called before a request comes: the services may start in any order.
///
/// # Errors
/// When no HTTP client can be made.
pub async fn router(config: &Config, parts: &Parts) -> anyhow::Result<Router> {
    let client = Client::new(&parts.telemetry)?;
    let accounts = client.peer(ACCOUNTS, &config.accounts_url);
    let catalog = client.peer(CATALOG, &config.catalog_url);
    let wallet = client.peer(WALLET, &config.wallet_url);
    meter::start();
    let credentials = Credentials::new(accounts.clone());
    let trusted_proxies = config.trusted_proxies.clone();
    let gateway = Gateway { accounts, catalog, wallet, credentials, trusted_proxies };
    let routes = routes().layer(from_fn_with_state(gateway.clone(), credentials::forget_ended));
    Ok(documented(routes.with_state(gateway), &ABOUT))
}

fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .merge(accounts::router())
        .merge(sessions::router())
        .merge(tokens::router())
        .merge(users::router())
        .merge(favourites::router())
        .merge(ancestor::router())
        .merge(musics::router())
        .merge(import::router())
}

const ABOUT: About = About {
    title: "MusicWallet",
    description: "A music library: songs, and who keeps them.\n\n\
        Paths are accepted with and without a trailing slash. Lists come in pages: the header `Link` leads to the next. An answer that had to do \
        without a service that is away names it in the header `degraded`. Errors are problems (RFC 9457). Every answer names its trace.",
    callers: Callers::People,
};

/// The limits of requests, which come from anywhere.
pub fn policy() -> Policy {
    Policy { overrides: &import::OVERRIDES, ..Policy::edge() }
}
