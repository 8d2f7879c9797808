//! What can go wrong with a statement, as far as a caller can act on it.

use std::time::Duration;

use sqlx::error::DatabaseError;

use crate::problem::Problem;

/// Why a statement or a transaction failed. The cause is for the log; a client learns from [`Problem`] only
/// whether trying again helps.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection became free in time, another program holds the database, the disk is full or fails: the same call may work later.
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

impl From<sqlx::Error> for Error {
    fn from(cause: sqlx::Error) -> Error {
        let database = cause.as_database_error();
        if database.is_some_and(|it| it.is_unique_violation()) {
            return Error::Unique(cause);
        }
        let passing = match &cause {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => true,
            _ => database.and_then(primary_code).is_some_and(|code| PASSING.contains(&code)),
        };
        if passing { Error::Unavailable(cause) } else { Error::Other(cause) }
    }
}

impl Error {
    /// The value of `error.type`: the database's own code, or one of a few words.
    pub(super) fn kind(&self) -> String {
        let (Error::Unavailable(cause) | Error::Unique(cause) | Error::Other(cause)) = self;
        match cause {
            sqlx::Error::Database(cause) => {
                cause.code().map_or_else(|| "_OTHER".to_owned(), |code| code.into_owned())
            }
            sqlx::Error::PoolTimedOut => "timeout".to_owned(),
            sqlx::Error::PoolClosed => "closed".to_owned(),
            sqlx::Error::Io(_) => "io".to_owned(),
            sqlx::Error::RowNotFound => "row_not_found".to_owned(),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => "decode".to_owned(),
            _ => "_OTHER".to_owned(),
        }
    }
}

/// SQLite's primary result code: the lowest byte of the extended one that the driver reports.
pub(super) fn primary_code(error: &dyn DatabaseError) -> Option<i32> {
    error.code()?.parse::<i32>().ok().map(|code| code & 0xff)
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
