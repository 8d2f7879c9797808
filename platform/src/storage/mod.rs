//! A service's own database: one wrapper that has the span, the histogram and the dialect of every statement.
//!
//! A file of SQLite or a database of PostgreSQL, as its [`Location`] says. Nothing here says which to a service: parameters are
//! [`Value`]s, placeholders are `$1`, rows become tuples or structs by [`FromRow`], and each statement is a constant text with a name,
//! `"SELECT musics"`, which is its `db.query.summary`. Where the texts have to differ, the statement is a pair, [`Sql`].
//!
//! ```no_run
//! # async fn example(db: platform::storage::Db) -> Result<(), platform::storage::Error> {
//! let found: Option<(i64, String)> =
//!     db.query("SELECT musics", "SELECT id, title FROM musics WHERE id = $1").bind(7).fetch_optional().await?;
//!
//! let mut tx = db.begin().await?;
//! tx.query("DELETE musics", "DELETE FROM musics WHERE id = $1").bind(7).execute().await?;
//! tx.commit().await?;
//! # Ok(()) }
//! ```
//!
//! **SQLite** has one writer at a time. So there is one connection for writing, for which callers queue fairly, and four that can only
//! read and never wait for it (WAL). A transaction begins with `BEGIN IMMEDIATE`: one that reads first and writes later would fail at
//! once, without the busy timeout, when somebody else wrote in between. A commit returns when it is on the disk (`synchronous = FULL`).
//! [`Db::open`] holds a lock on the file `<database>.lock` as long as it lives: one program at a time. Operators come beside it by
//! [`Db::attach`]; [`Database`] copies whole files.
//!
//! **PostgreSQL** has one pool of eight connections, for any number of programs. Transactions run side by side (READ COMMITTED). What one reads
//! in order to write it, it has to hold: by `FOR UPDATE` in PostgreSQL's text of the statement, or by [`Tx::lock`]. Everything that a
//! transaction of SQLite gets for nothing is had by these two.
//!
//! **Cancellation.** A future of this module can be dropped at any time. A transaction that was not committed is rolled back; a
//! statement of its own, [`Db::write`], has happened wholly or not at all.

mod backup;
mod database;
mod dialect;
mod error;
mod location;
mod migrate;
mod pool;
mod postgres;
mod query;
mod sqlite;
pub mod testing;
#[cfg(test)]
mod tests;
mod value;

use std::{fs::File, path::Path, sync::Arc};

use telemetry::{DbSpan, Telemetry};

pub use backup::{Restore, Restored};
pub use database::Database;
pub use dialect::{Dialect, Sql};
pub use error::Error;
pub use location::{Location, Server};
pub use migrate::{Migrated, Migration, Migrations, migrate};
pub use query::{Query, Record};
/// How a row becomes a value; see [`Record`].
pub use sqlx::{Error as RowError, FromRow, Row};
pub use value::Value;

use crate::storage::{
    pool::{Loan, Pool, Transaction},
    query::{On, begin, run},
};

/// How many statements can read at the same time, with SQLite.
const READERS: u32 = 4;
/// How many connections to PostgreSQL a service has at most.
const CONNECTIONS: u32 = 8;

/// A service's database, open and migrated. A handle: cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    telemetry: Telemetry,
    dialect: Dialect,
    /// `db.namespace`: the file's name without folder and extension, or `database|schema`.
    namespace: String,
    reader: Pool,
    /// The same one, with PostgreSQL.
    writer: Pool,
    /// Last, so that it is freed after the connections.
    _lock: Option<File>,
}

impl Db {
    /// Opens the database and brings it to the newest version; a file and its folder are created where they are missing.
    /// The password for a server comes from `password_file`, else from the address.
    ///
    /// Call it on the service's own runtime: the figures of its connections go to the recorder of this thread.
    ///
    /// # Errors
    /// One sentence that names the database and the remedy: folder or file cannot be read or written, it is no database or a damaged one,
    /// another program has it open; the server cannot be reached or does not let us in, the database is not there; it comes from a newer
    /// version or belongs to another program.
    pub async fn open(
        location: impl Into<Location>,
        password_file: Option<&Path>,
        migrations: &Migrations,
        telemetry: &Telemetry,
    ) -> anyhow::Result<Db> {
        let inner = match location.into().with_password(password_file, migrations.setting)? {
            Location::File(path) => Inner::sqlite(&path, migrations, telemetry).await?,
            Location::Server(server) => Inner::postgres(&server, migrations, telemetry).await?,
        };
        Ok(Db { inner: Arc::new(inner) })
    }

    /// Opens a database beside the service that may be using it, for an operator's few statements. It has to be there and to have the
    /// version of this program: nothing is created or migrated.
    ///
    /// # Errors
    /// As [`Db::open`], and when it is missing or has another version.
    pub async fn attach(
        location: impl Into<Location>,
        password_file: Option<&Path>,
        migrations: &Migrations,
        telemetry: &Telemetry,
    ) -> anyhow::Result<Db> {
        let inner = match location.into().with_password(password_file, migrations.setting)? {
            Location::File(path) => {
                sqlite::has_this_version(&path, migrations).await?;
                Inner::pools(&path, migrations, telemetry, None).await?
            }
            Location::Server(server) => {
                let schema = postgres::schema_of_this_version(&server, migrations).await?;
                Inner::pool(&server, migrations, telemetry, &schema)
            }
        };
        Ok(Db { inner: Arc::new(inner) })
    }

    /// A statement that only reads. `summary` is its operation and table, as in `SELECT musics`.
    pub fn query(&self, summary: &'static str, text: impl Into<Sql>) -> Query<'_> {
        self.inner.statement(On::Pool(&self.inner.reader), summary, text.into())
    }

    /// A single statement that writes, in a transaction of its own.
    pub fn write(&self, summary: &'static str, text: impl Into<Sql>) -> Query<'_> {
        self.inner.statement(On::Pool(&self.inner.writer), summary, text.into())
    }

    /// Begins a transaction. With SQLite it comes after those before it, and nobody else writes until it ends; with PostgreSQL see
    /// [`Tx::lock`].
    ///
    /// Never hold one across a call to another service.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no connection is free within 1 s, or another program holds SQLite's file for 5 s.
    pub async fn begin(&self) -> Result<Tx, Error> {
        let span = self.inner.span("BEGIN", pool::begin(self.inner.dialect));
        let transaction = run(span, self.inner.writer.begin()).await?;
        Ok(Tx { db: self.clone(), transaction })
    }

    /// Closes the connections, after the statements that run have ended. Statements that come later are [`Error::Unavailable`].
    pub async fn close(&self) {
        self.inner.reader.close().await;
        self.inner.writer.close().await;
    }
}

impl Inner {
    async fn sqlite(
        path: &Path,
        migrations: &Migrations,
        telemetry: &Telemetry,
    ) -> anyhow::Result<Inner> {
        let (lock, _) = sqlite::prepare(path, migrations).await?;
        Inner::pools(path, migrations, telemetry, Some(lock)).await
    }

    async fn pools(
        path: &Path,
        migrations: &Migrations,
        telemetry: &Telemetry,
        lock: Option<File>,
    ) -> anyhow::Result<Inner> {
        let namespace = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let options = sqlite::options(path);
        let readers = options.clone().read_only(true).create_if_missing(false);
        let reader = Pool::sqlite(format!("{namespace}/read"), readers, READERS);
        let writer = Pool::sqlite(format!("{namespace}/write"), options, 1);
        // The writer first: readers cannot create the files that WAL needs.
        for pool in [&writer, &reader] {
            drop(pool.acquire().await.map_err(|error| sqlite::explain(path, migrations, error))?);
        }
        let (telemetry, dialect) = (telemetry.clone(), Dialect::Sqlite);
        Ok(Inner { telemetry, dialect, namespace, reader, writer, _lock: lock })
    }

    async fn postgres(
        server: &Server,
        migrations: &Migrations,
        telemetry: &Telemetry,
    ) -> anyhow::Result<Inner> {
        let (schema, _) = postgres::prepare(server, migrations).await?;
        Ok(Inner::pool(server, migrations, telemetry, &schema))
    }

    fn pool(
        server: &Server,
        migrations: &Migrations,
        telemetry: &Telemetry,
        schema: &str,
    ) -> Inner {
        let namespace = format!("{}|{schema}", server.database);
        let options = postgres::options(server, migrations);
        let pool = Pool::postgres(migrations.service(), options, CONNECTIONS);
        let (telemetry, dialect) = (telemetry.clone(), Dialect::Postgres);
        let (reader, writer) = (pool.clone(), pool);
        Inner { telemetry, dialect, namespace, reader, writer, _lock: None }
    }

    fn statement<'a>(&'a self, on: On<'a>, summary: &'static str, text: Sql) -> Query<'a> {
        let Inner { telemetry, dialect, namespace, .. } = self;
        Query { on, telemetry, dialect: *dialect, namespace, summary, text, values: Vec::new() }
    }

    /// The span of what is no query.
    fn span(&self, summary: &'static str, text: &'static str) -> DbSpan {
        begin(&self.telemetry, self.dialect, &self.namespace, summary, text)
    }
}

/// A transaction that may write. Dropped without [`Tx::commit`], it is rolled back.
#[must_use = "a transaction that is not committed is rolled back"]
#[derive(Debug)]
pub struct Tx {
    db: Db,
    transaction: Loan<Transaction>,
}

impl Tx {
    /// A statement in this transaction; it sees what those before it did.
    pub fn query(&mut self, summary: &'static str, text: impl Into<Sql>) -> Query<'_> {
        let on = On::Transaction(&mut self.transaction.it);
        self.db.inner.statement(on, summary, text.into())
    }

    /// Waits, for 2 s at most, until nobody else has the lock `name`, and keeps it until this transaction ends. What the statements
    /// after it read is not changed by others who asked for the same lock. With SQLite there is nothing to wait for.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when others had it for too long.
    pub async fn lock(&mut self, name: impl Into<String>) -> Result<(), Error> {
        match self.db.inner.dialect {
            Dialect::Sqlite => Ok(()),
            Dialect::Postgres => {
                let text = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
                self.query("LOCK", text).bind(name.into()).execute().await.map(drop)
            }
        }
    }

    /// Makes all of it durable, or none. A caller who is cancelled here does not know which.
    ///
    /// # Errors
    /// See [`Error`]; then nothing of it has happened, unless the connection to a server was lost while it answered. After a statement that
    /// failed it is an error in any case: PostgreSQL keeps nothing of such a transaction, so neither does SQLite.
    pub async fn commit(self) -> Result<(), Error> {
        let span = self.db.inner.span("COMMIT", "COMMIT");
        let Loan { it: transaction, .. } = self.transaction;
        run(span, async { Ok(transaction.commit().await?) }).await
    }
}
