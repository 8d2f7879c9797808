//! Connections and the figures about them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use sqlx::{
    Connection as _, PgConnection, PgPool, Postgres, Sqlite, SqlitePool,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

use tokio::time::timeout;

use super::{Error, dialect::Dialect, error};

/// How long a caller waits for a connection; architecture.md §8.
pub(super) const ACQUIRE: Duration = Duration::from_secs(1);
/// How long a connection to a server may have been idle and still is believed to be there.
const BELIEVED: Duration = Duration::from_secs(1);

/// How long a connection to a server may take to be ready for the next statement: longer than the server lets a statement take whose
/// caller has gone.
const RETURN: Duration = Duration::from_secs(6);

/// How a transaction begins. With SQLite: as the writer, or not at all.
pub(super) fn begin(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "BEGIN IMMEDIATE",
        Dialect::Postgres => "BEGIN",
    }
}

/// A pool of connections that counts what it does.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    connections: Connections,
    meter: Arc<Meter>,
    lost: Arc<Lost>,
}

/// When a connection was lost last: those that were idle then are lost with it, when a server goes.
#[derive(Debug, Default)]
struct Lost(Mutex<Option<Instant>>);

impl Lost {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection that has been idle for so long may be gone.
    fn may_concern(&self, idle: Duration) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| idle >= last.elapsed())
    }
}

#[derive(Clone, Debug)]
enum Connections {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A connection of a pool.
#[derive(Debug)]
pub(super) enum Connection {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(Lease),
}

/// A transaction on a connection of a pool.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) on: OnConnection,
    /// A statement of it has failed. PostgreSQL keeps nothing then.
    pub(super) failed: bool,
}

#[derive(Debug)]
pub(super) enum OnConnection {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(Lease),
}

impl Transaction {
    /// Makes it durable, or tells that it is not.
    pub(super) async fn commit(self) -> sqlx::Result<()> {
        if self.failed {
            let why = "a statement of the transaction has failed, so it is rolled back";
            return Err(sqlx::Error::Protocol(why.to_owned()));
        }
        match self.on {
            OnConnection::Sqlite(transaction) => transaction.commit().await,
            OnConnection::Postgres(mut lease) => {
                sqlx::raw_sql("COMMIT").execute(lease.connection()?).await?;
                lease.in_transaction = false;
                Ok(())
            }
        }
    }
}

/// A connection to a server. It goes back within [`RETURN`], or is given up: the driver itself would wait for an answer as long as the
/// network lets it, and the pool would have one connection less meanwhile.
#[derive(Debug)]
pub(super) struct Lease {
    connection: Option<PoolConnection<Postgres>>,
    in_transaction: bool,
}

impl Lease {
    fn new(connection: PoolConnection<Postgres>) -> Lease {
        Lease { connection: Some(connection), in_transaction: false }
    }

    /// It is there until the drop.
    pub(super) fn connection(&mut self) -> sqlx::Result<&mut PgConnection> {
        self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let in_transaction = self.in_transaction;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            drop(connection.detach()); // the process ends
            return;
        };
        runtime.spawn(async move {
            if in_transaction {
                let rolling_back = sqlx::raw_sql("ROLLBACK").execute(&mut *connection);
                if !matches!(timeout(RETURN, rolling_back).await, Ok(Ok(_))) {
                    drop(connection.detach());
                    return;
                }
            }
            // Whoever is late here is dropped, and makes room for a new connection.
            let _ = timeout(RETURN, connection.return_to_pool()).await;
        });
    }
}

/// A connection, or a transaction on one, that counts as used; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Loan<T> {
    pub(super) it: T,
    used: Used,
}

impl<T> Loan<T> {
    /// Notes that the connection was lost.
    pub(super) fn lost(&self) {
        self.used.0.lost.now();
    }
}

impl Pool {
    /// `name` says in the metrics which pool it is, such as `catalog/read`. Nothing is connected yet.
    pub(super) fn sqlite(name: String, options: SqliteConnectOptions, max: u32) -> Pool {
        let connections = SqlitePoolOptions::new()
            .max_connections(max)
            .acquire_timeout(ACQUIRE)
            // A file does not go away as a server does, and with a test in between, an acquire that is cancelled would close
            // the connection.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options);
        Pool::new(name, Connections::Sqlite(connections), max, Arc::default())
    }

    /// As [`Pool::sqlite`], for a server. Connections that have been idle for 10 minutes or are 30 minutes old are closed.
    pub(super) fn postgres(name: String, options: PgConnectOptions, max: u32) -> Pool {
        let lost = Arc::new(Lost::default());
        let last = lost.clone();
        let connections = PgPoolOptions::new()
            .max_connections(max)
            .acquire_timeout(ACQUIRE)
            // One more round trip for each statement would be too much. One after a pause, or after a loss, finds out whether the server is
            // still there.
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                let doubt = meta.idle_for > BELIEVED || last.may_concern(meta.idle_for);
                Box::pin(async move {
                    if doubt {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Pool::new(name, Connections::Postgres(connections), max, lost)
    }

    fn new(name: String, connections: Connections, max: u32, lost: Arc<Lost>) -> Pool {
        let meter = Meter::new(name);
        meter.max.set(max);
        Pool { connections, meter: Arc::new(meter), lost }
    }

    /// A connection, after a wait of [`ACQUIRE`] at most.
    pub(super) async fn acquire(&self) -> Result<Loan<Connection>, Error> {
        self.lend(async {
            Ok(match &self.connections {
                Connections::Sqlite(pool) => Connection::Sqlite(pool.acquire().await?),
                Connections::Postgres(pool) => {
                    Connection::Postgres(Lease::new(pool.acquire().await?))
                }
            })
        })
        .await
    }

    /// A connection with a transaction that may write.
    pub(super) async fn begin(&self) -> Result<Loan<Transaction>, Error> {
        self.lend(async {
            let on = match &self.connections {
                Connections::Sqlite(pool) => {
                    OnConnection::Sqlite(pool.begin_with(begin(Dialect::Sqlite)).await?)
                }
                Connections::Postgres(pool) => {
                    let mut lease = Lease::new(pool.acquire().await?);
                    // Before it is true, because it may become true without our learning of it.
                    lease.in_transaction = true;
                    sqlx::raw_sql(begin(Dialect::Postgres)).execute(lease.connection()?).await?;
                    OnConnection::Postgres(lease)
                }
            };
            Ok(Transaction { on, failed: false })
        })
        .await
    }

    async fn lend<T>(
        &self,
        connecting: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<Loan<T>, Error> {
        let pending = Pending::begin(&self.meter);
        let outcome = connecting.await;
        self.meter.wait.record(pending.begun.elapsed());
        drop(pending);
        match &outcome {
            Err(sqlx::Error::PoolTimedOut) => self.meter.timeouts.increment(1),
            Err(cause) if error::is_loss(cause) => self.lost.now(), // of a BEGIN
            _ => {}
        }
        Ok(Loan { it: outcome?, used: Used::begin(self) })
    }

    /// Closes the connections, after those on loan came back.
    pub(super) async fn close(&self) {
        match &self.connections {
            Connections::Sqlite(pool) => pool.close().await,
            Connections::Postgres(pool) => pool.close().await,
        }
    }

    fn open(&self) -> u32 {
        match &self.connections {
            Connections::Sqlite(pool) => pool.size(),
            Connections::Postgres(pool) => pool.size(),
        }
    }
}

/// The handles of one pool's metrics, taken where the pool was opened: connections can be given back on any thread.
struct Meter {
    in_use: Mutex<u32>,
    used: Gauge,
    idle: Gauge,
    max: Gauge,
    pending: Gauge,
    timeouts: Counter,
    wait: Histogram,
}

impl Meter {
    fn new(pool: String) -> Meter {
        describe_gauge!("db_client_connection_count", "Connections that are open, by what they do");
        describe_gauge!("db_client_connection_max", "Connections that may be open");
        describe_gauge!(
            "db_client_connection_pending_requests",
            "Statements and transactions that wait for a connection"
        );
        describe_counter!(
            "db_client_connection_timeouts_total",
            "Waits for a connection that were given up"
        );
        describe_histogram!(
            "db_client_connection_wait_time_seconds",
            "Time that waits for a connection took"
        );
        let count = |state: &'static str| {
            gauge!("db_client_connection_count",
                "db_client_connection_pool_name" => pool.clone(), "db_client_connection_state" => state)
        };
        Meter {
            in_use: Mutex::new(0),
            used: count("used"),
            idle: count("idle"),
            max: gauge!("db_client_connection_max", "db_client_connection_pool_name" => pool.clone()),
            pending: gauge!("db_client_connection_pending_requests",
                "db_client_connection_pool_name" => pool.clone()),
            timeouts: counter!("db_client_connection_timeouts_total",
                "db_client_connection_pool_name" => pool.clone()),
            wait: histogram!("db_client_connection_wait_time_seconds",
                "db_client_connection_pool_name" => pool),
        }
    }

    /// Books a change of the connections on loan. Under a lock, so that the last figures written are the last ones true.
    fn change(&self, open: u32, by: i32) {
        let mut used = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        *used = used.saturating_add_signed(by);
        self.used.set(*used);
        self.idle.set(open.saturating_sub(*used));
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").field("in_use", &self.in_use).finish_non_exhaustive()
    }
}

/// One who waits. A drop ends the wait, also that of a caller who was cancelled.
struct Pending<'a> {
    meter: &'a Meter,
    begun: Instant,
}

impl Pending<'_> {
    fn begin(meter: &Meter) -> Pending<'_> {
        meter.pending.increment(1);
        Pending { meter, begun: Instant::now() }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.meter.pending.decrement(1);
    }
}

/// One connection on loan, for the gauges.
#[derive(Debug)]
struct Used(Pool);

impl Used {
    fn begin(pool: &Pool) -> Used {
        pool.meter.change(pool.open(), 1);
        Used(pool.clone())
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        self.0.meter.change(self.0.open(), -1);
    }
}
