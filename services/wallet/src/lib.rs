//! The wallet: who keeps which songs. It owns that, brings whole libraries in and takes them out again.
//!
//! A favourite has a copy of its music, so the wallet reads, lists and exports without the catalog. It asks the catalog, with the caller's
//! assertion, when something new is to be kept: whether there is such a music, or which are the songs of a file.
//!
//! `keeping.rs` has what changes one favourite or all, `lists.rs` what reads them, `import.rs` and `export.rs` the files; `catalog.rs` has the
//! calls, `store.rs` every statement. What a song is, is said by the crate `songs`.

mod catalog;
mod export;
mod import;
mod keeping;
mod lists;
mod meter;
mod store;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{Router, extract::FromRef};
use http::StatusCode;
use platform::{
    config::HttpUrl,
    identity::{Caller, Verifier},
    openapi::{About, Callers, OpenApiRouter, documented},
    problem::Problem,
    service::{Parts, Policy},
    storage::{Database, Db, Location},
};
use resilience::Client;
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;

/// The service's name, in telemetry, commands and messages.
pub const NAME: &str = "wallet";

platform::settings! {
    /// Settings of the wallet.
    pub struct Config {
        /// Address and port for the other services.
        pub listen: SocketAddr = "127.0.0.1:9103", "WALLET_LISTEN";
        /// Address and port for health and metrics.
        pub internal_listen: SocketAddr = "127.0.0.1:9183", "WALLET_INTERNAL_LISTEN";
        /// The favourites: a SQLite file, which is created with its folder, or `postgres://user@host:port/database`.
        pub database: Location = "./data/wallet.db", "WALLET_DATABASE";
        /// A file with the password for PostgreSQL.
        pub database_password_file: Option<PathBuf> = none, "WALLET_DATABASE_PASSWORD_FILE";
        /// Base address of accounts, which has the keys to verify callers.
        pub accounts_url: HttpUrl = "http://127.0.0.1:9101", "WALLET_ACCOUNTS_URL";
        /// Base address of the catalog, which has the musics.
        pub catalog_url: HttpUrl = "http://127.0.0.1:9102", "WALLET_CATALOG_URL";
    }
}

/// What handlers can ask for.
#[derive(Clone, Debug)]
struct Wallet {
    db: Db,
    catalog: Catalog,
    verifier: Arc<Verifier>,
    stopping: CancellationToken,
}

impl FromRef<Wallet> for Arc<Verifier> {
    fn from_ref(wallet: &Wallet) -> Arc<Verifier> {
        Arc::clone(&wallet.verifier)
    }
}

/// Opens the database and migrates it; then the routes are ready to be served with [`policy`]. The catalog is not called before it is needed.
///
/// # Errors
/// As [`Db::open`]: one sentence with the file and the remedy.
pub async fn router(config: &Config, parts: &Parts) -> anyhow::Result<Router> {
    let migrating = parts.health.latch("migrations");
    let db = database(config).open(&parts.telemetry).await?;
    drop(migrating);
    meter::start();
    let verifier = Arc::new(Verifier::new(&config.accounts_url, &parts.telemetry)?);
    let catalog = Catalog::new(&Client::new(&parts.telemetry)?, &config.catalog_url);
    let wallet = Wallet { db, catalog, verifier, stopping: parts.stopping.clone() };
    Ok(documented(routes().with_state(wallet), &ABOUT))
}

fn routes() -> OpenApiRouter<Wallet> {
    OpenApiRouter::new()
        .merge(keeping::router())
        .merge(lists::router())
        .merge(import::router())
        .merge(export::router())
}

const ABOUT: About = About {
    title: "Wallet",
    description: "Who keeps which songs, for the other services of MusicWallet. People are ids here, and songs are copies.",
    callers: Callers::Services,
};

/// The limits of requests: an import may be large and take its time.
pub fn policy() -> Policy {
    Policy { overrides: &[import::LIMITS], ..Policy::default() }
}

/// The database, for who runs all this.
pub fn database(config: &Config) -> Database {
    Database {
        location: config.database.clone(),
        password_file: config.database_password_file.clone(),
        migrations: &store::MIGRATIONS,
    }
}

/// What only user `id` may do with their favourites.
fn only_oneself(caller: &Caller, id: i64) -> Result<(), Problem> {
    if caller.id == id {
        return Ok(());
    }
    let detail = format_args!("Only user {id} can change their favourites.");
    Err(Problem::new(StatusCode::FORBIDDEN, "not-oneself", detail))
}
