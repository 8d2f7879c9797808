//! Databases for tests: each test has its own, in a file, or on the server that `MUSICWALLET_TEST_POSTGRES` names.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions,
};

use super::{Dialect, Location};
use crate::config::Value as _;

/// The variable: `postgres://postgres@host:port/postgres`, a superuser. Without it tests use files.
pub const VARIABLE: &str = "MUSICWALLET_TEST_POSTGRES";

/// A new, empty database. Dropped, it is no more, if it is on a server; a file goes with its folder.
#[derive(Debug)]
pub struct TestDatabase {
    setting: String,
    on_server: Option<(String, String)>,
}

impl TestDatabase {
    /// A file in `folder`, or a database on the server.
    ///
    /// # Panics
    /// When the server cannot make one.
    pub fn new(folder: &Path, name: &str) -> TestDatabase {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let Ok(server) = std::env::var(VARIABLE) else {
            let path = folder.join(format!("{name}.db"));
            return TestDatabase { setting: path.display().to_string(), on_server: None };
        };
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}_{}_{number}", std::process::id());
        // As in production, the order of the server's own locale must not be seen.
        on_server(&server, format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"));
        let (base, _) = server.rsplit_once('/').unwrap_or((&server, ""));
        TestDatabase { setting: format!("{base}/{name}"), on_server: Some((server, name)) }
    }

    /// Which of the two it is.
    pub fn dialect(&self) -> Dialect {
        if self.on_server.is_some() { Dialect::Postgres } else { Dialect::Sqlite }
    }

    /// The value of a `*_DATABASE`.
    pub fn setting(&self) -> &str {
        &self.setting
    }

    /// Where it is.
    ///
    /// # Panics
    /// When the variable is no address.
    pub fn location(&self) -> Location {
        Location::parse(&self.setting).unwrap_or_else(|wrong| panic!("{VARIABLE} {wrong}"))
    }

    /// Runs statements behind the program's back, as time or an accident would.
    ///
    /// # Panics
    /// When they fail, or the database is a file.
    pub fn run(&self, statements: &str) {
        on_server(&self.setting, statements.to_owned());
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some((server, name)) = &self.on_server {
            on_server(server, format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

/// On a thread of its own, because a test may be in the middle of a runtime.
fn on_server(server: &str, statements: String) {
    let server = server.to_owned();
    let work = move || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let options = server.parse::<PgConnectOptions>()?.disable_statement_logging();
            let mut connection = PgConnection::connect_with(&options).await?;
            sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await?;
            Ok(connection.close().await?)
        })
    };
    let outcome = std::thread::spawn(work).join();
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) if std::thread::panicking() => drop(error),
        Ok(Err(error)) => panic!("{VARIABLE}: {error}"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
