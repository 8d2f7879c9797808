//! One statement: its parameters, its span, its rows.

use sqlx::{
    FromRow, PgConnection, Postgres, Sqlite, SqliteConnection, postgres::PgRow, sqlite::SqliteRow,
};
use telemetry::{DbCall, DbSpan, Telemetry};
use tracing::{Dispatch, instrument::WithSubscriber as _};

use super::{
    Error, Value,
    dialect::{Dialect, Sql},
    error,
    pool::{Connection, Loan, OnConnection, Pool, Transaction},
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
pub trait Record:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Record for T {}

/// A statement that is being put together; made by [`Db::query`](super::Db::query), [`Db::write`](super::Db::write) and
/// [`Tx::query`](super::Tx::query).
///
/// It gets its span and its place in `db_client_operation_duration_seconds` when it runs; both count the wait for a connection.
#[must_use = "a statement does nothing until it is fetched or executed"]
#[derive(Debug)]
pub struct Query<'a> {
    pub(super) on: On<'a>,
    pub(super) telemetry: &'a Telemetry,
    pub(super) dialect: Dialect,
    pub(super) namespace: &'a str,
    pub(super) summary: &'static str,
    pub(super) text: Sql,
    pub(super) values: Vec<Value>,
}

/// Where a statement runs.
#[derive(Debug)]
pub(super) enum On<'a> {
    Pool(&'a Pool),
    Transaction(&'a mut Transaction),
}

impl Query<'_> {
    /// Which database will run it, where a parameter has to differ: a query of the search.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

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
            let mut held = self.on.hold().await?;
            let fetched = match held.connection()? {
                Raw::Sqlite(connection) => {
                    let values = value::sqlite(self.values).map_err(sqlx::Error::Encode)?;
                    let query = sqlx::query_as_with::<Sqlite, T, _>(self.text.sqlite, values);
                    query.fetch_all(connection).await
                }
                Raw::Postgres(connection) => {
                    let values = value::postgres(self.values).map_err(sqlx::Error::Encode)?;
                    let query = sqlx::query_as_with::<Postgres, T, _>(self.text.postgres, values);
                    query.fetch_all(connection).await
                }
            };
            held.end(fetched)
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
            let mut held = self.on.hold().await?;
            let changed = match held.connection()? {
                Raw::Sqlite(connection) => {
                    let values = value::sqlite(self.values).map_err(sqlx::Error::Encode)?;
                    let query = sqlx::query_with(self.text.sqlite, values);
                    query.execute(connection).await.map(|done| done.rows_affected())
                }
                Raw::Postgres(connection) => {
                    let values = value::postgres(self.values).map_err(sqlx::Error::Encode)?;
                    let query = sqlx::query_with(self.text.postgres, values);
                    query.execute(connection).await.map(|done| done.rows_affected())
                }
            };
            held.end(changed)
        };
        run(span, changed).await
    }

    fn span(&self) -> DbSpan {
        let text = self.text.text(self.dialect);
        begin(self.telemetry, self.dialect, self.namespace, self.summary, text)
    }
}

impl<'a> On<'a> {
    async fn hold(self) -> Result<Held<'a>, Error> {
        Ok(match self {
            On::Pool(pool) => Held::Connection(pool.acquire().await?),
            On::Transaction(transaction) => Held::Transaction(transaction),
        })
    }
}

/// What keeps the connection while the statement runs.
enum Held<'a> {
    Connection(Loan<Connection>),
    Transaction(&'a mut Transaction),
}

/// The connection itself.
enum Raw<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

impl Held<'_> {
    fn connection(&mut self) -> sqlx::Result<Raw<'_>> {
        Ok(match self {
            Held::Connection(loan) => match &mut loan.it {
                Connection::Sqlite(connection) => Raw::Sqlite(connection),
                Connection::Postgres(lease) => Raw::Postgres(lease.connection()?),
            },
            Held::Transaction(transaction) => match &mut transaction.on {
                OnConnection::Sqlite(transaction) => Raw::Sqlite(transaction),
                OnConnection::Postgres(lease) => Raw::Postgres(lease.connection()?),
            },
        })
    }

    /// What became of the statement; the pool learns of a connection that is gone.
    fn end<T>(&mut self, outcome: sqlx::Result<T>) -> Result<T, Error> {
        match (&outcome, self) {
            (Err(cause), Held::Connection(loan)) if error::is_loss(cause) => loan.lost(),
            (Err(_), Held::Transaction(transaction)) => transaction.failed = true,
            _ => {}
        }
        Ok(outcome?)
    }
}

/// The span of a statement, also of the three that are not queries: `BEGIN`, `COMMIT`, `ROLLBACK`.
pub(super) fn begin(
    telemetry: &Telemetry,
    dialect: Dialect,
    namespace: &str,
    summary: &'static str,
    text: &'static str,
) -> DbSpan {
    telemetry.db_span(&DbCall { system: dialect.system(), namespace, summary, text })
}

/// What is behind a span, and its end.
pub(super) async fn run<T>(
    mut span: DbSpan,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    // The driver enters the current span of `tracing` on SQLite's thread and lets go of it some time after it has answered. A business span
    // would end after the request that it is part of. So the driver sees no subscriber.
    let outcome = work.with_subscriber(Dispatch::none()).await;
    match &outcome {
        Ok(_) => span.end(None),
        Err(error) => {
            if let Some(code) = error.code() {
                span.response_status_code(&code);
            }
            span.end(Some(&error.kind()));
        }
    }
    outcome
}
