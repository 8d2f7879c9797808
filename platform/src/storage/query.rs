//! One statement: its parameters, its span, its rows.

use std::ops::{Deref, DerefMut};

use sqlx::{FromRow, Sqlite, SqliteConnection, pool::PoolConnection, sqlite::SqliteRow};
use telemetry::{DbCall, DbSpan, Telemetry};
use tracing::{Dispatch, instrument::WithSubscriber as _};

use super::{
    Error, SYSTEM, Value,
    pool::{Loan, Pool},
    value,
};

/// A type that rows of every dialect can be turned into: tuples of up to 16 columns, and structs by way of them.
///
/// ```
/// use platform::storage::{FromRow, Row};
///
/// struct Song { id: i64, title: String }
///
/// impl<'r, R: Row> FromRow<'r, R> for Song
/// where
///     (i64, String): FromRow<'r, R>,
/// {
///     fn from_row(row: &'r R) -> Result<Song, platform::storage::RowError> {
///         let (id, title) = FromRow::from_row(row)?;
///         Ok(Song { id, title })
///     }
/// }
/// ```
pub trait Record: for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}

impl<T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin> Record for T {}

/// A statement that is being put together; made by [`Db::query`](super::Db::query), [`Db::write`](super::Db::write) and
/// [`Tx::query`](super::Tx::query).
///
/// It gets its span and its place in `db_client_operation_duration_seconds` when it runs; both count the wait for a connection.
#[must_use = "a statement does nothing until it is fetched or executed"]
#[derive(Debug)]
pub struct Query<'a> {
    pub(super) on: On<'a>,
    pub(super) telemetry: &'a Telemetry,
    pub(super) namespace: &'a str,
    pub(super) summary: &'static str,
    pub(super) text: &'static str,
    pub(super) values: Vec<Value>,
}

/// Where a statement runs.
#[derive(Debug)]
pub(super) enum On<'a> {
    Pool(&'a Pool),
    Transaction(&'a mut SqliteConnection),
}

impl Query<'_> {
    /// The value of the next placeholder: `$1` for the first call, `$2` for the second.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// All rows. Give the statement a `LIMIT` where their number is not bounded otherwise.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn fetch_all<T: Record>(self) -> Result<Vec<T>, Error> {
        let span = self.span();
        let rows = async {
            let values = value::sqlite(self.values).map_err(sqlx::Error::Encode)?;
            let query = sqlx::query_as_with::<Sqlite, T, _>(self.text, values);
            Ok(query.fetch_all(&mut *self.on.connection().await?).await?)
        };
        run(span, rows).await
    }

    /// The first row, or none. The statement runs to its end, because only there SQLite commits a write and can fail to.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn fetch_optional<T: Record>(self) -> Result<Option<T>, Error> {
        Ok(self.fetch_all().await?.into_iter().next())
    }

    /// The first row of a statement that always has one, such as a count or an insert with `RETURNING`.
    ///
    /// # Errors
    /// See [`Error`]; no row is [`Error::Other`].
    pub async fn fetch_one<T: Record>(self) -> Result<T, Error> {
        self.fetch_optional().await?.ok_or(Error::Other(sqlx::Error::RowNotFound))
    }

    /// Runs the statement and tells how many rows it changed.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn execute(self) -> Result<u64, Error> {
        let span = self.span();
        let changed = async {
            let values = value::sqlite(self.values).map_err(sqlx::Error::Encode)?;
            let query = sqlx::query_with(self.text, values);
            Ok(query.execute(&mut *self.on.connection().await?).await?.rows_affected())
        };
        run(span, changed).await
    }

    fn span(&self) -> DbSpan {
        begin(self.telemetry, self.namespace, self.summary, self.text)
    }
}

impl<'a> On<'a> {
    async fn connection(self) -> Result<Held<'a>, Error> {
        Ok(match self {
            On::Pool(pool) => Held::OnLoan(pool.acquire().await?),
            On::Transaction(connection) => Held::Transaction(connection),
        })
    }
}

enum Held<'a> {
    OnLoan(Loan<PoolConnection<Sqlite>>),
    Transaction(&'a mut SqliteConnection),
}

impl Deref for Held<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        match self {
            Held::OnLoan(loan) => &loan.it,
            Held::Transaction(connection) => connection,
        }
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        match self {
            Held::OnLoan(loan) => &mut loan.it,
            Held::Transaction(connection) => connection,
        }
    }
}

/// The span of a statement, also of the three that are not queries: `BEGIN`, `COMMIT`, `ROLLBACK`.
pub(super) fn begin(
    telemetry: &Telemetry,
    namespace: &str,
    summary: &'static str,
    text: &'static str,
) -> DbSpan {
    telemetry.db_span(&DbCall { system: SYSTEM, namespace, summary, text })
}

/// What is behind a span, and its end.
pub(super) async fn run<T>(
    span: DbSpan,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    // The driver enters the current span of `tracing` on SQLite's thread and lets go of it some time after it has answered. A business span
    // would end after the request that it is part of. So the driver sees no subscriber.
    let outcome = work.with_subscriber(Dispatch::none()).await;
    match &outcome {
        Ok(_) => span.end(None),
        Err(error) => span.end(Some(&error.kind())),
    }
    outcome
}
