//! Accounts: who there is, what proves it, and the assertions by which the other services believe it.
//!
//! `users.rs` has signing up, `sign_in.rs` and `sessions.rs` signing in, `tokens.rs` the tokens of programs, `people.rs` who there is,
//! `account.rs` changing and deleting oneself, `exchange.rs` what the gateway asks for each request, `names.rs` who is behind an id;
//! `username.rs`, `password.rs`, `token.rs` and `secret.rs` say what one may look like. `hashing.rs` keeps passwords slow to guess and cheap
//! enough to serve, `throttle.rs` guessing slow, `store.rs` has every statement. [`operator`] is for who runs all this.

mod account;
mod bodies;
mod client;
mod ending;
mod exchange;
mod form;
mod hashing;
mod meter;
mod names;
pub mod operator;
mod password;
mod people;
mod secret;
mod sessions;
mod sign_in;
mod store;
mod sweep;
mod throttle;
mod token;
mod tokens;
mod username;
mod users;
mod via;

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{Json, Router, extract::FromRef, extract::State};
use platform::{
    identity::{Keys, Signer, Verifier},
    openapi::{About, Callers, OpenApiRouter, documented, routes},
    service::{Parts, Policy, RouteLimits},
    storage::{Database, Db, Location},
};

use crate::{hashing::Hashers, throttle::Throttle};

/// The service's name, in telemetry, commands and messages.
pub const NAME: &str = "accounts";

platform::settings! {
    /// Settings of accounts.
    pub struct Config {
        /// Address and port for the other services.
        pub listen: SocketAddr = "127.0.0.1:9101", "ACCOUNTS_LISTEN";
        /// Address and port for health and metrics.
        pub internal_listen: SocketAddr = "127.0.0.1:9181", "ACCOUNTS_INTERNAL_LISTEN";
        /// Users and tokens: a SQLite file, which is created with its folder, or `postgres://user@host:port/database`.
        pub database: Location = "./data/accounts.db", "ACCOUNTS_DATABASE";
        /// A file with the password for PostgreSQL.
        pub database_password_file: Option<PathBuf> = none, "ACCOUNTS_DATABASE_PASSWORD_FILE";
        /// The key that signs assertions (Ed25519, PKCS#8 PEM, mode 600); it is created where it is missing.
        pub signing_key: PathBuf = "./data/accounts.key", "ACCOUNTS_SIGNING_KEY_FILE";
        /// How many passwords are hashed at once, 19 MiB and a core each; by default one less than there are cores.
        pub hashers: Option<NonZeroUsize> = none, "ACCOUNTS_HASHERS";
    }
}

/// What handlers can ask for.
#[derive(Clone)]
struct Accounts {
    db: Db,
    signer: Arc<Signer>,
    verifier: Arc<Verifier>,
    hashers: Hashers,
    throttle: Throttle,
}

impl FromRef<Accounts> for Arc<Verifier> {
    fn from_ref(accounts: &Accounts) -> Arc<Verifier> {
        Arc::clone(&accounts.verifier)
    }
}

/// Opens and migrates the database and loads or makes the signing key; then the routes are ready to be served with [`policy`].
///
/// # Errors
/// As [`Db::open`] and [`Signer::from_file`]: one sentence with the file and the remedy.
pub async fn router(config: &Config, parts: &Parts) -> anyhow::Result<Router> {
    let migrating = parts.health.latch("migrations");
    let db = database(config).open(&parts.telemetry).await?;
    drop(migrating);
    let signer = Arc::new(Signer::from_file(&config.signing_key)?);
    let verifier = Arc::new(Verifier::fixed(signer.keys())?);
    meter::start();
    tokio::spawn(sweep::run(db.clone(), parts.stopping.clone()));
    tokio::spawn(ending::watch(db.clone(), parts.stopping.clone()));
    let (hashers, throttle) = (Hashers::new(hashers(config)), Throttle::new());
    let accounts = Accounts { db, signer, verifier, hashers, throttle };
    Ok(documented(routes().with_state(accounts), &ABOUT))
}

fn routes() -> OpenApiRouter<Accounts> {
    OpenApiRouter::new()
        .merge(users::router())
        .merge(people::router())
        .merge(account::router())
        .merge(names::router())
        .merge(sign_in::router())
        .merge(tokens::router())
        .merge(sessions::router())
        .merge(exchange::router())
        .routes(routes!(keys))
}

const ABOUT: About = About {
    title: "MusicWallet accounts",
    description: "Who there is, what proves it, and the assertions by which the other services believe it. Only the gateway and the other \
        services reach this port.\n\n\
        A body with a field that is not known is refused with all its other mistakes. Errors are problems (RFC 9457) and never quote what \
        was written. Every answer names its trace.",
    callers: Callers::Services,
};

/// The limits of requests: nothing here is larger than a name, an address and a password, and nobody waits longer than the one attempt of
/// 2 s that architecture.md §8 gives to signing in.
pub fn policy() -> Policy {
    let time = Duration::from_secs(2);
    let limits = RouteLimits { body: 4 << 10, deadline: time, body_deadline: time };
    Policy { limits, ..Policy::default() }
}

/// The database, for who runs all this; [`operator`] needs nothing else.
pub fn database(config: &Config) -> Database {
    Database {
        location: config.database.clone(),
        password_file: config.database_password_file.clone(),
        migrations: &store::MIGRATIONS,
    }
}

/// One core is left for everything else, where there is more than one.
fn hashers(config: &Config) -> NonZeroUsize {
    config.hashers.unwrap_or_else(|| {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        NonZeroUsize::new(cores - 1).unwrap_or(NonZeroUsize::MIN)
    })
}

/// The keys that verify assertions
///
/// A JWK set (RFC 7517).
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "credentials", security(()), responses((status = 200, body = bodies::Keys))
)]
async fn keys(State(accounts): State<Accounts>) -> Json<Keys> {
    Json(accounts.signer.keys().clone())
}

/// A time in milliseconds since 1970, as answers have it.
fn rfc3339<S: serde::Serializer>(time: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(time.unsigned_abs());
    serializer.collect_str(&humantime::format_rfc3339_millis(time))
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
