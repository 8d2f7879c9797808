//! Databases for tests: each test has its own, in a file, or on the server that `MUSICWALLET_TEST_POSTGRES` names.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection,
    postgres::PgConnectOptions,
};

use super::{Dialect, Location, Sql, sqlite};
use crate::config::Value as _;

/// The variable: `postgres://postgres@host:port/postgres`, a superuser. Without it tests use files.
pub const VARIABLE: &str = "MUSICWALLET_TEST_POSTGRES";

/// A new, empty database. Dropped, it is no more, if it is on a server; a file goes with its folder.
#[derive(Debug)]
pub struct TestDatabase {
    setting: String,
    /// The server, and the database's name there.
    on_server: Option<(String, String)>,
}

impl TestDatabase {
    /// A file in `folder`, or a database on the server.
    ///
    /// # Panics
    /// When the server cannot make one.
    pub fn new(folder: &Path, name: &str) -> TestDatabase {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let Ok(server) = std::env::var(VARIABLE) else { return TestDatabase::file(folder, name) };
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}_{}_{number}", std::process::id());
        administer(&server, format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"));
        let (base, _) = server.rsplit_once('/').unwrap_or((&server, ""));
        TestDatabase { setting: format!("{base}/{name}"), on_server: Some((server, name)) }
    }

    /// A file in `folder`, for what only files have.
    pub fn file(folder: &Path, name: &str) -> TestDatabase {
        let path = folder.join(format!("{name}.db"));
        TestDatabase { setting: path.display().to_string(), on_server: None }
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

    /// Changes it behind the program's back, as time or an accident would.
    ///
    /// # Panics
    /// When it cannot be done.
    pub async fn run(&self, statement: impl Into<Sql>) {
        self.numbers(statement.into()).await;
    }

    /// One number out of it.
    ///
    /// # Panics
    /// When there is none.
    pub async fn number(&self, statement: impl Into<Sql>) -> i64 {
        self.numbers(statement.into()).await.swap_remove(0)
    }

    async fn numbers(&self, statement: Sql) -> Vec<i64> {
        let numbers = async {
            let numbers;
            match self.location() {
                Location::File(path) => {
                    let options = sqlite::options(&path);
                    let mut connection = SqliteConnection::connect_with(&options).await?;
                    let query = sqlx::query_scalar(statement.sqlite);
                    numbers = query.fetch_all(&mut connection).await?;
                    connection.close().await?;
                }
                Location::Server(_) => {
                    let options = self.setting.parse::<PgConnectOptions>()?;
                    let options = options.disable_statement_logging();
                    let mut connection = PgConnection::connect_with(&options).await?;
                    let query = sqlx::query_scalar(statement.postgres);
                    numbers = query.fetch_all(&mut connection).await?;
                    connection.close().await?;
                }
            }
            Ok::<_, sqlx::Error>(numbers)
        };
        numbers.await.unwrap_or_else(|error| panic!("{statement:?}: {error}"))
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some((server, name)) = &self.on_server {
            administer(server, format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

/// On a thread of its own, because a test may be in the middle of a runtime, and a drop cannot wait there.
fn administer(server: &str, statement: String) {
    let server = server.to_owned();
    let work = move || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let options = server.parse::<PgConnectOptions>()?;
            let mut connection = PgConnection::connect_with(&options).await?;
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
            Ok(connection.close().await?)
        })
    };
    match thread::spawn(work).join() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => assert!(thread::panicking(), "{VARIABLE}: {error}"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
