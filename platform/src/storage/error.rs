//! What can go wrong with a statement, as far as a caller can act on it.

use std::time::Duration;

use sqlx::{error::DatabaseError, postgres::PgDatabaseError, sqlite::SqliteError};

use crate::problem::Problem;

/// Why a statement or a transaction failed. The cause is for the log; a client learns from [`Problem`] only
/// whether trying again helps.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection became free in time, the server is away or too busy, somebody else holds what the statement needs, the disk is full
    /// or fails: the same call may work later.
    #[error("the database cannot do it now")]
    Unavailable(#[source] sqlx::Error),
    /// The row would break a unique index. Nothing was changed by the statement.
    #[error("a value that has to be unique is taken")]
    Unique(#[source] sqlx::Error),
    /// Anything else: a mistake of ours, or a damaged file.
    #[error("the database failed")]
    Other(#[source] sqlx::Error),
}

/// SQLite's primary result codes for a state that can pass: BUSY, LOCKED, IOERR, FULL.
const PASSING: [i32; 4] = [5, 6, 10, 13];
/// PostgreSQL's: serialization failure, deadlock, lock not available, statement timeout, shutdown by an administrator, by a crash, not yet
/// up. Besides them all of the classes 08 (connection) and 53 (resources).
const PASSING_STATES: [&str; 7] = ["40001", "40P01", "55P03", "57014", "57P01", "57P02", "57P03"];

impl From<sqlx::Error> for Error {
    fn from(cause: sqlx::Error) -> Error {
        let database = cause.as_database_error();
        if database.is_some_and(|it| it.is_unique_violation()) {
            return Error::Unique(cause);
        }
        let passing = match &cause {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => true,
            _ => database.is_some_and(|it| match (primary_code(it), sqlstate(it)) {
                (Some(code), _) => PASSING.contains(&code),
                (_, Some(state)) => {
                    state.starts_with("08")
                        || state.starts_with("53")
                        || PASSING_STATES.contains(&state)
                }
                _ => false,
            }),
        };
        if passing { Error::Unavailable(cause) } else { Error::Other(cause) }
    }
}

impl Error {
    /// What the driver said.
    pub(super) fn cause(&self) -> &sqlx::Error {
        let (Error::Unavailable(cause) | Error::Unique(cause) | Error::Other(cause)) = self;
        cause
    }

    /// The database's own code: a result code of SQLite, a SQLSTATE of PostgreSQL.
    pub(super) fn code(&self) -> Option<String> {
        Some(self.cause().as_database_error()?.code()?.into_owned())
    }

    /// The value of `error.type`: the database's own code, or one of a few words.
    pub(super) fn kind(&self) -> String {
        self.code().unwrap_or_else(|| {
            let word = match self.cause() {
                sqlx::Error::PoolTimedOut => "timeout",
                sqlx::Error::PoolClosed => "closed",
                sqlx::Error::Io(_) => "io",
                sqlx::Error::RowNotFound => "row_not_found",
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => "decode",
                _ => "_OTHER",
            };
            word.to_owned()
        })
    }
}

/// Whether the connection is gone, and perhaps others with it: it broke, or the server has ended it.
pub(super) fn is_loss(cause: &sqlx::Error) -> bool {
    let ended = |state: &str| state.starts_with("57P") || state.starts_with("08");
    matches!(cause, sqlx::Error::Io(_))
        || cause.as_database_error().and_then(sqlstate).is_some_and(ended)
}

/// SQLite's primary result code: the lowest byte of the extended one that the driver reports.
pub(super) fn primary_code(error: &dyn DatabaseError) -> Option<i32> {
    error.try_downcast_ref::<SqliteError>()?;
    error.code()?.parse::<i32>().ok().map(|code| code & 0xff)
}

/// PostgreSQL's code.
pub(super) fn sqlstate(error: &dyn DatabaseError) -> Option<&str> {
    Some(error.try_downcast_ref::<PgDatabaseError>()?.code())
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        match error {
            Error::Unavailable(_) => {
                let detail = "The database is busy or cannot be reached. Try again soon.";
                Problem::unavailable("database-unavailable", detail, Duration::from_secs(1))
                    .caused_by(error)
            }
            // Whoever expects a unique index to hold something back matches on it before it comes here.
            Error::Unique(_) | Error::Other(_) => Problem::internal(error),
        }
    }
}
