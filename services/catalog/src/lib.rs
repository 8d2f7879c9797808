//! The catalog: which songs there are. It owns them, finds them, and takes many at once.
//!
//! Everybody who is signed in reads and adds; only who added a song changes or removes it. Ids of users are all it knows of them.
//!
//! `musics.rs` has the songs one by one and in lists, `import.rs` the files, `matching.rs` what the wallet asks for them, `creators.rs` who
//! added them; `store.rs` has every statement. What a song is, is said by the crate `songs`.

mod bodies;
mod creators;
mod import;
mod matching;
mod meter;
mod musics;
mod seed;
mod store;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{Router, extract::FromRef};
use platform::{
    config::HttpUrl,
    identity::Verifier,
    openapi::{About, Callers, OpenApiRouter, documented},
    service::{Parts, Policy},
    storage::{Database, Db, Location},
};
use tokio_util::sync::CancellationToken;

/// The service's name, in telemetry, commands and messages.
pub const NAME: &str = "catalog";

platform::settings! {
    /// Settings of the catalog.
    pub struct Config {
        /// Address and port for the other services.
        pub listen: SocketAddr = "127.0.0.1:9102", "CATALOG_LISTEN";
        /// Address and port for health and metrics.
        pub internal_listen: SocketAddr = "127.0.0.1:9182", "CATALOG_INTERNAL_LISTEN";
        /// The songs: a SQLite file, which is created with its folder, or `postgres://user@host:port/database`.
        pub database: Location = "./data/catalog.db", "CATALOG_DATABASE";
        /// A file with the password for PostgreSQL.
        pub database_password_file: Option<PathBuf> = none, "CATALOG_DATABASE_PASSWORD_FILE";
        /// Base address of accounts, which has the keys to verify callers.
        pub accounts_url: HttpUrl = "http://127.0.0.1:9101", "CATALOG_ACCOUNTS_URL";
        /// Whether a new, empty catalog is given a short list of invented songs.
        pub seed: bool = "false", "CATALOG_SEED";
    }
}

/// What handlers can ask for.
#[derive(Clone, Debug)]
struct Catalog {
    db: Db,
    verifier: Arc<Verifier>,
    stopping: CancellationToken,
}

impl FromRef<Catalog> for Arc<Verifier> {
    fn from_ref(catalog: &Catalog) -> Arc<Verifier> {
        Arc::clone(&catalog.verifier)
    }
}

/// Opens the database, migrates it and plants the first songs if it is told to; then the routes are ready to be served with [`policy`].
///
/// # Errors
/// As [`Db::open`]: one sentence with the file and the remedy.
pub async fn router(config: &Config, parts: &Parts) -> anyhow::Result<Router> {
    meter::start();
    let migrating = parts.health.latch("migrations");
    let db = database(config).open(&parts.telemetry).await?;
    if config.seed {
        seed::plant(&db).await?;
    }
    drop(migrating);
    let verifier = Arc::new(Verifier::new(&config.accounts_url, &parts.telemetry)?);
    let catalog = Catalog { db, verifier, stopping: parts.stopping.clone() };
    Ok(documented(routes().with_state(catalog), &ABOUT))
}

fn routes() -> OpenApiRouter<Catalog> {
    OpenApiRouter::new()
        .merge(musics::router())
        .merge(matching::router())
        .merge(creators::router())
        .merge(import::router())
}

const ABOUT: About = About {
    title: "Catalog",
    description: "The songs, for the other services of MusicWallet. People are ids here.",
    callers: Callers::Services,
};

/// The limits of requests: an import may be large and take its time, and a thousand songs to be matched are more than one.
pub fn policy() -> Policy {
    Policy { overrides: &[import::LIMITS, matching::LIMITS], ..Policy::default() }
}

/// The database, for who runs all this.
pub fn database(config: &Config) -> Database {
    Database {
        location: config.database.clone(),
        password_file: config.database_password_file.clone(),
        migrations: &store::MIGRATIONS,
    }
}
