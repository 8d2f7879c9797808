//! A service's own database: one wrapper that has the span, the histogram and the dialect of every statement.
//!
//! SQLite today, a file per service. Nothing here says so to a service: parameters are [`Value`]s, placeholders are `$1`, rows become
//! tuples or structs by [`FromRow`], and each statement is a constant text with a name, `"SELECT musics"`, which is its
//! `db.query.summary`.
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
//! **Readers and the writer.** SQLite has one writer at a time. So there is one connection for writing, for which callers queue fairly,
//! and four that can only read and never wait for it (WAL). A transaction begins with `BEGIN IMMEDIATE`: one that reads first and writes
//! later would fail at once, without the busy timeout, when somebody else wrote in between. A commit returns when it is on the disk
//! (`synchronous = FULL`).
//!
//! **Cancellation.** A future of this module can be dropped at any time. A transaction that was not committed is rolled back; a
//! statement of its own, [`Db::write`], has happened wholly or not at all.
//!
//! **One program at a time.** [`Db::open`] holds a lock on the file `<database>.lock` as long as it lives, and migrates under it.

mod error;
mod migrate;
mod pool;
mod query;
#[cfg(test)]
mod tests;
mod value;

use std::{fs::File, path::Path, sync::Arc};

use sqlx::{Sqlite, Transaction};
use telemetry::Telemetry;

pub use error::Error;
pub use migrate::{Migrated, Migration, Migrations, migrate};
pub use query::{Query, Record};
/// How a row becomes a value; see [`Record`].
pub use sqlx::{Error as RowError, FromRow, Row};
pub use value::Value;

use crate::storage::{
    pool::{Loan, Pool},
    query::{On, begin, run},
};

/// `db.system.name` of the semantic conventions.
const SYSTEM: &str = "sqlite";
/// How many statements can read at the same time.
const READERS: u32 = 4;

/// A service's database, open and migrated. A handle: cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    telemetry: Telemetry,
    /// `db.namespace`: the file's name without folder and extension.
    name: String,
    reader: Pool,
    writer: Pool,
    /// Last, so that it is freed after the connections.
    _lock: File,
}

impl Db {
    /// Opens the database at `path`, creates it and its folder where they are missing, and brings it to the newest version.
    ///
    /// Call it on the service's own runtime: the figures of its connections go to the recorder of this thread.
    ///
    /// # Errors
    /// One sentence that names the file and the remedy: the folder or the file cannot be read or written, it is no database or a damaged one,
    /// it comes from a newer version, another program has it open.
    pub async fn open(
        path: &Path,
        migrations: &Migrations,
        telemetry: &Telemetry,
    ) -> anyhow::Result<Db> {
        let (lock, _) = migrate::prepare(path, migrations).await?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let options = migrate::options(path);
        let reader = options.clone().read_only(true).create_if_missing(false);
        let inner = Inner {
            telemetry: telemetry.clone(),
            reader: Pool::new(format!("{name}/read"), reader, READERS),
            writer: Pool::new(format!("{name}/write"), options, 1),
            name,
            _lock: lock,
        };
        // The writer first: readers cannot create the files that WAL needs.
        for pool in [&inner.writer, &inner.reader] {
            drop(pool.acquire().await.map_err(|error| migrate::explain(path, migrations, error))?);
        }
        Ok(Db { inner: Arc::new(inner) })
    }

    /// A statement that only reads. `summary` is its operation and table, as in `SELECT musics`.
    pub fn query(&self, summary: &'static str, text: &'static str) -> Query<'_> {
        self.statement(&self.inner.reader, summary, text)
    }

    /// A single statement that writes, in a transaction of its own.
    pub fn write(&self, summary: &'static str, text: &'static str) -> Query<'_> {
        self.statement(&self.inner.writer, summary, text)
    }

    fn statement<'a>(
        &'a self,
        pool: &'a Pool,
        summary: &'static str,
        text: &'static str,
    ) -> Query<'a> {
        let Inner { telemetry, name, .. } = &*self.inner;
        let values = Vec::new();
        Query { on: On::Pool(pool), telemetry, namespace: name, summary, text, values }
    }

    /// Begins a transaction, after those that came before. Nobody else writes until it ends.
    ///
    /// Never hold one across a call to another service.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the writer is not free within 1 s, or another program holds the file for 5 s.
    pub async fn begin(&self) -> Result<Tx, Error> {
        let span = begin(&self.inner.telemetry, &self.inner.name, "BEGIN", pool::BEGIN);
        let transaction = run(span, self.inner.writer.begin()).await?;
        Ok(Tx { db: self.clone(), transaction })
    }

    /// Closes the connections, after the statements that run have ended. Statements that come later are [`Error::Unavailable`].
    pub async fn close(&self) {
        self.inner.reader.close().await;
        self.inner.writer.close().await;
    }
}

/// A transaction that may write. Dropped without [`Tx::commit`], it is rolled back.
#[must_use = "a transaction that is not committed is rolled back"]
#[derive(Debug)]
pub struct Tx {
    db: Db,
    transaction: Loan<Transaction<'static, Sqlite>>,
}

impl Tx {
    /// A statement in this transaction; it sees what those before it did.
    pub fn query(&mut self, summary: &'static str, text: &'static str) -> Query<'_> {
        let Inner { telemetry, name, .. } = &*self.db.inner;
        let on = On::Transaction(&mut self.transaction.it);
        Query { on, telemetry, namespace: name, summary, text, values: Vec::new() }
    }

    /// Makes all of it durable, or none. A caller who is cancelled here does not know which.
    ///
    /// # Errors
    /// See [`Error`]; then nothing of it has happened.
    pub async fn commit(self) -> Result<(), Error> {
        let Inner { telemetry, name, .. } = &*self.db.inner;
        let span = begin(telemetry, name, "COMMIT", "COMMIT");
        let Loan { it: transaction, .. } = self.transaction;
        run(span, async { Ok(transaction.commit().await?) }).await
    }
}
